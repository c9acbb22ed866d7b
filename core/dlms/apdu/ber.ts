/**
 * The words in which association control is written down: tag, length, content, as grammar.ts has
 * them for A-XDR.
 * [ISO/IEC 8825-1, BER, definite lengths]. Fields that are not known are passed over; one that comes twice is refused.
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { AxdrWriter } from '../axdr/writer.ts'
import { cutShort } from '../axdr/layout.ts'
import { outOfRange, type Codec, type Reader, type Sequence, type TypedCodec } from './grammar.ts'

/** What is left, whatever it is. */
export const rest: Codec<Buffer> = {
  kind: 'octets',
  read: (reader) => reader.octets(reader.left),
  write: (out, view) => void out.octets(view),
}

/** INTEGER of one to `bytesMax` octets, at most four. */
export function integer(bytesMax: number): Codec<number> {
  return {
    read(reader) {
      const bytes = reader.left
      if (bytes < 1 || bytes > bytesMax)
        throw new BrokerError('DLMS_VALUE_INVALID', `integer of ${bytes} octets`)
      return reader.octets(bytes).readIntBE(0, bytes)
    },
    write(out, value) {
      if (!(Math.abs(value + 0.5) <= 2 ** (8 * bytesMax - 1))) throw outOfRange(value)
      let bytes = 1
      while (bytes < bytesMax && Math.abs(value + 0.5) > 2 ** (8 * bytes - 1)) bytes++
      const at = out.reserve(bytes)
      for (let i = 0; i < bytes; i++) out.target[at + i] = (value >> (8 * (bytes - 1 - i))) & 0xff
    },
  }
}

/** BIT STRING as text of 0 and 1. */
export const bitString: Codec<string> = {
  read(reader) {
    const unused = reader.octet()
    const view = reader.octets(reader.left)
    if (unused > 7 || unused > 8 * view.length)
      throw new BrokerError('DLMS_VALUE_INVALID', `${unused} unused bits at octet ${reader.at}`)
    const bits = Array.from(view, (octet) => octet.toString(2).padStart(8, '0')).join('')
    return bits.slice(0, bits.length - unused)
  },
  write(out, bits) {
    if (!/^[01]*$/.test(bits)) throw outOfRange(bits)
    const bytes = Math.ceil(bits.length / 8)
    const padded = bits.padEnd(8 * bytes, '0')
    out.octet(8 * bytes - bits.length)
    for (let i = 0; i < bytes; i++) out.octet(parseInt(padded.slice(8 * i, 8 * i + 8), 2))
  },
}

/**
 * The last octet of an OBJECT IDENTIFIER that begins with `prefix`. A tolerant reader gives -1 for
 * any other.
 */
export function objectIdentifier(prefix: Buffer, show: (value: number) => string): Codec<number> {
  return {
    read(reader) {
      const view = reader.octets(reader.left)
      if (view.length === prefix.length + 1 && view.subarray(0, prefix.length).equals(prefix))
        return view[prefix.length]!
      if (reader.isTolerant) return -1
      throw new BrokerError('DLMS_VALUE_INVALID', `object identifier before octet ${reader.at}`)
    },
    write(out, value) {
      if (!(value >= 0 && value <= 0xff)) throw outOfRange(value)
      out.octets(prefix).octet(value)
    },
    show,
  }
}

/** `codec` as the content of a field with `tag`. */
export function tagged<T>(tag: number, codec: Codec<T>): Codec<T> {
  return {
    ...(codec.kind !== undefined && { kind: codec.kind }),
    ...(codec.show !== undefined && { show: (value: T) => codec.show!(value) }),
    read(reader) {
      const found = reader.octet()
      if (found !== tag)
        throw new BrokerError('DLMS_TAG_UNKNOWN', `field ${found} in place of ${tag}`)
      return readContent(reader, codec, reader.length())
    },
    write: (out, value) => writeTagged(out, tag, codec, value),
  }
}

/** Fields by name: the tag of each and what is in it; all of them may be left out. */
type TaggedFields = { readonly [name: string]: readonly [tag: number, codec: Codec<unknown>] }
/** What a set of tagged fields reads. */
export type TaggedSequence<F extends TaggedFields> = Sequence<{
  [K in keyof F]: Codec<(F[K] extends readonly [number, Codec<infer T>] ? T : never) | undefined>
}>

/**
 * An APDU of tagged fields, its own tag read already. With `isLengthFree` a tolerant reader lets
 * the APDU, and its last field, go to the end of the octets instead of believing what they declare.
 */
export function taggedFields<const T extends string, F extends TaggedFields>(
  type: T,
  fields: F,
  isLengthFree = false,
): TypedCodec<{ type: T } & TaggedSequence<F>> {
  const entries = Object.entries(fields)
  const byTag = new Map(entries.map(([name, [tag, codec]]) => [tag, { name, codec }]))
  const lastTag = entries.at(-1)![1][0]
  return {
    types: [type],
    read(reader) {
      const isFree = isLengthFree && reader.isTolerant
      const declared = reader.length()
      const { end } = reader
      if (!isFree) {
        if (declared > reader.left) throw cutShort(reader.at)
        reader.end = reader.at + declared
      }
      // Every field is there, also those that are left out, so that all values have one shape.
      const value: Record<string, unknown> = { type }
      for (const [name] of entries) value[name] = undefined
      while (reader.left > 0) {
        const tag = reader.octet()
        const declaredInner = reader.length()
        const bytes = isFree && tag === lastTag ? reader.left : declaredInner
        const field = byTag.get(tag)
        if (field === undefined) readField(reader, `field ${tag}`, rest, bytes)
        else if (value[field.name] === undefined)
          value[field.name] = readField(reader, field.name, field.codec, bytes)
        else throw new BrokerError('DLMS_VALUE_INVALID', `field ${tag} twice before ${reader.at}`)
      }
      reader.end = end
      return value as { type: T } & TaggedSequence<F>
    },
    write(out, value) {
      const start = out.openLength()
      for (const [name, [tag, codec]] of entries) {
        const field = (value as Record<string, unknown>)[name]
        if (field !== undefined) writeTagged(out, tag, codec, field)
      }
      out.closeLength(start)
    },
    show: () => type,
  }
}

/** The part called `name`: `codec` within the next `bytes` octets. */
function readField<T>(reader: Reader, name: string, codec: Codec<T>, bytes: number): T {
  // Most often nobody looks on, and a codec a field is not made for nothing.
  if (reader.tracer === undefined) return readContent(reader, codec, bytes)
  return reader.part(name, { ...codec, read: (inner) => readContent(inner, codec, bytes) })
}

/** `codec` within the next `bytes` octets, all of them unless the reader is tolerant. */
function readContent<T>(reader: Reader, codec: Codec<T>, bytes: number): T {
  if (bytes > reader.left) throw cutShort(reader.at)
  const { end } = reader
  const behind = reader.at + bytes
  reader.end = behind
  const value = codec.read(reader)
  if (reader.at !== behind && !reader.isTolerant)
    throw new BrokerError('DLMS_LENGTH_INVALID', `octets left at octet ${reader.at}`)
  reader.at = behind
  reader.end = end
  return value
}

function writeTagged<T>(out: AxdrWriter, tag: number, codec: Codec<T>, value: T): void {
  const start = out.octet(tag).openLength()
  codec.write(out, value)
  out.closeLength(start)
}
