/**
 * The words in which the APDUs are written down: a codec reads and writes one thing, and codecs are
 * put together as the standard's ASN.1 puts types together. One description serves decoding,
 * encoding and explaining.
 *
 *   INTEGER of n bits = big-endian octets | BOOLEAN = 00 or 01 | OCTET STRING = length, octets
 *   OPTIONAL = 00, or 01 and the thing | SEQUENCE = its fields in order | SEQUENCE OF = count, elements | CHOICE = tag, thing
 *
 * [IEC 61334-6, A-XDR; IEC 62056-5-3, ASN.1 module COSEMpdu]. Octets that come out are borrowed from the APDU.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { cutShort, lengthBytes, readLength, skipValue } from '../axdr/layout.ts'
import type { AxdrWriter } from '../axdr/writer.ts'

/** Is told what is read where, for people; without one nothing is recorded. */
export type Tracer = {
  /** Reads `codec` at the reader's place as the thing called `name`. */
  trace<T>(reader: Reader, name: string, codec: Codec<T>): T
}

/**
 * Reads one kind of thing and writes it. `show` says a value in words; `kind` lets explainers know
 * octets of a meaning.
 */
export type Codec<T> = {
  read(reader: Reader): T
  write(out: AxdrWriter, value: T): void
  show?(value: T): string
  kind?: string
}

/** A codec of values told apart by `type`, all of which it names. */
export type TypedCodec<T> = Codec<T> & { types: readonly string[] }

/** What a codec reads. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never

/**
 * A place in an APDU. A tolerant one takes what real meters send although the standard says
 * otherwise: each codec that gives way says how.
 */
export class Reader {
  readonly view: Buffer
  readonly isTolerant: boolean
  readonly tracer: Tracer | undefined
  at: number
  end: number

  constructor(view: Buffer, options: { at?: number; isTolerant?: boolean; tracer?: Tracer } = {}) {
    this.view = view
    this.at = options.at ?? 0
    this.end = view.length
    this.isTolerant = options.isTolerant ?? false
    this.tracer = options.tracer
  }

  /** Octets left. */
  get left(): number {
    return this.end - this.at
  }

  /** Reads the part called `name`. */
  part<T>(name: string, codec: Codec<T>): T {
    return this.tracer === undefined ? codec.read(this) : this.tracer.trace(this, name, codec)
  }

  octet(): number {
    if (this.at >= this.end) throw cutShort(this.at)
    return this.view[this.at++]!
  }

  /** The next `count` octets, borrowed. */
  octets(count: number): Buffer {
    const behind = this.at + count
    if (behind > this.end) throw cutShort(this.at)
    const view = this.view.subarray(this.at, behind)
    this.at = behind
    return view
  }

  length(): number {
    const length = readLength(this.view, this.at, this.end)
    this.at += lengthBytes(this.view, this.at)
    return length
  }
}

function unsigned(bytes: number): Codec<number> {
  const below = 256 ** bytes
  return {
    read(reader) {
      let value = 0
      for (let i = 0; i < bytes; i++) value = value * 256 + reader.octet()
      return value
    },
    write(out, value) {
      if (!(value >= 0 && value < below)) throw outOfRange(value)
      const at = out.reserve(bytes)
      for (let i = bytes - 1; i >= 0; i--, value = Math.floor(value / 256))
        out.target[at + i] = value & 0xff
    },
  }
}

export const unsigned8 = unsigned(1)
export const unsigned16 = unsigned(2)
export const unsigned32 = unsigned(4)

export const integer8: Codec<number> = {
  read: (reader) => (reader.octet() << 24) >> 24,
  write(out, value) {
    if (!(value >= -0x80 && value < 0x80)) throw outOfRange(value)
    out.octet(value & 0xff)
  },
}

/** A value is written that its octets cannot hold. */
export function outOfRange(value: unknown): BrokerError {
  return new BrokerError('DLMS_VALUE_INVALID', `${String(value)} does not fit its field`)
}

/** Any octet but 0 is true, as elsewhere in COSEM data. */
export const boolean: Codec<boolean> = {
  read: (reader) => reader.octet() !== 0,
  write: (out, value) => void out.octet(value ? 1 : 0),
}

/** OCTET STRING of any length; `kind` as in Codec. */
export function octetString(kind = 'octets'): Codec<Buffer> {
  return {
    kind,
    read: (reader) => reader.octets(reader.length()),
    write: (out, view) => void out.length(view.length).octets(view),
  }
}

/**
 * OCTET STRING of `count` octets, without a length; also several fixed fields that are kept as they
 * came.
 */
export function octets(count: number, kind = 'octets'): Codec<Buffer> {
  return {
    kind,
    read: (reader) => reader.octets(count),
    write(out, view) {
      if (view.length !== count)
        throw new BrokerError('DLMS_VALUE_INVALID', `${view.length} octets in place of ${count}`)
      out.octets(view)
    },
  }
}

/** COSEM Data as it lies there, tag included. */
export const data: Codec<Buffer> = {
  kind: 'data',
  read: (reader) => reader.octets(skipValue(reader.view, reader.at, reader.end) - reader.at),
  write: (out, view) => void out.octets(view),
}

/** OPTIONAL. A tolerant reader takes an end of the APDU in the place of the flag for "absent". */
export function optional<T>(codec: Codec<T>): Codec<T | undefined> {
  return {
    ...(codec.kind !== undefined && { kind: codec.kind }),
    read(reader) {
      if (reader.isTolerant && reader.left === 0) return undefined
      const flag = reader.octet()
      if (flag > 1)
        throw new BrokerError('DLMS_TAG_UNKNOWN', `flag ${flag} at octet ${reader.at - 1}`)
      return flag === 0 ? undefined : codec.read(reader)
    },
    write(out, value) {
      out.octet(value === undefined ? 0 : 1)
      if (value !== undefined) codec.write(out, value)
    },
    show: (value) => (value === undefined ? 'absent' : (codec.show?.(value) ?? '')),
  }
}

/** SEQUENCE OF. */
export function list<T>(codec: Codec<T>, elementName = 'element'): Codec<T[]> {
  return {
    read(reader) {
      const count = readListCount(reader)
      const values: T[] = []
      for (let i = 0; i < count; i++) values.push(reader.part(elementName, codec))
      return values
    },
    write(out, values) {
      out.length(values.length)
      for (const value of values) codec.write(out, value)
    },
    show: (values) => `${values.length}`,
  }
}

/**
 * The count of a SEQUENCE OF whose elements take an octet at least. @throws DLMS_SIZE_EXCEEDED,
 * DLMS_LENGTH_INVALID
 */
export function readListCount(reader: Reader): number {
  const count = reader.length()
  if (count > limits.dataElementsMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `${count} elements at octet ${reader.at}`)
  if (count > reader.left) throw cutShort(reader.at)
  return count
}

/** Fields by name, in the order in which they lie there. */
type Fields = { readonly [name: string]: Codec<unknown> }
type OptionalNames<F> = {
  [K in keyof F]: undefined extends ValueOf<F[K]> ? K : never
}[keyof F]
/** What a sequence of fields reads; what is OPTIONAL may be left out. */
export type Sequence<F> = {
  [K in Exclude<keyof F, OptionalNames<F>>]: ValueOf<F[K]>
} & { [K in OptionalNames<F>]?: ValueOf<F[K]> } extends infer S
  ? { [K in keyof S]: S[K] }
  : never

type Entries = readonly (readonly [name: string, codec: Codec<unknown>])[]

function readFields(reader: Reader, entries: Entries, into: Record<string, unknown>): unknown {
  for (const [name, codec] of entries) into[name] = reader.part(name, codec)
  return into
}

function writeFields(out: AxdrWriter, entries: Entries, from: unknown): void {
  for (const [name, codec] of entries) codec.write(out, (from as Record<string, unknown>)[name])
}

/** SEQUENCE. */
export function sequence<F extends Fields>(fields: F): Codec<Sequence<F>> {
  const entries = Object.entries(fields)
  return {
    read: (reader) => readFields(reader, entries, {}) as Sequence<F>,
    write: (out, value) => writeFields(out, entries, value),
  }
}

/** Variants of a CHOICE, by tag: the name that becomes `type`, and the fields. */
type Variants = { readonly [tag: number]: readonly [type: string, fields: Fields] }
/** What a choice reads: a union told apart by `type`. */
export type Choice<V extends Variants> = {
  [K in keyof V]: V[K] extends readonly [infer T extends string, infer F extends Fields]
    ? Typed<T, F>
    : never
}[keyof V]
type Typed<T extends string, F> = { type: T } & Sequence<F> extends infer S
  ? { [P in keyof S]: S[P] }
  : never

/** CHOICE of sequences, its tag one octet. */
export function choice<const V extends Variants>(variants: V): TypedCodec<Choice<V>> {
  type Variant = { tag: number; type: string; entries: Entries }
  const byTag: (Variant | undefined)[] = []
  const byType = new Map<string, Variant>()
  for (const [key, [type, fields]] of Object.entries(variants)) {
    const variant = { tag: Number(key), type, entries: Object.entries(fields) }
    byTag[variant.tag] = variant
    byType.set(type, variant)
  }
  return {
    types: [...byType.keys()],
    read(reader) {
      const tag = reader.octet()
      const variant = byTag[tag]
      if (variant === undefined)
        throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${tag} at octet ${reader.at - 1}`)
      return readFields(reader, variant.entries, { type: variant.type }) as Choice<V>
    },
    write(out, value) {
      const type = typeOf(value)
      const variant = byType.get(type)
      if (variant === undefined) throw new BrokerError('DLMS_VALUE_INVALID', `choice ${type}`)
      writeFields(out.octet(variant.tag), variant.entries, value)
    },
    show: typeOf,
  }
}

/** `fields` as a sequence with the name `type`: an APDU that has no choice within. */
export function service<const T extends string, F extends Fields>(
  type: T,
  fields: F,
): TypedCodec<Typed<T, F>> {
  const entries = Object.entries(fields)
  return {
    types: [type],
    read: (reader) => readFields(reader, entries, { type }) as Typed<T, F>,
    write: (out, value) => writeFields(out, entries, value),
    show: () => type,
  }
}

/**
 * APDUs by their first octet. @throws DLMS_TAG_UNKNOWN, when writing DLMS_VALUE_INVALID, for one
 * that is not there
 */
export function union<
  const A extends readonly (readonly [tag: number, codec: TypedCodec<unknown>])[],
>(apdus: A): TypedCodec<ValueOf<A[number][1]>> {
  const byTag: (Codec<unknown> | undefined)[] = Array.from({ length: 256 })
  const byType = new Map<string, { tag: number; codec: Codec<unknown> }>()
  for (const [tag, codec] of apdus) {
    byTag[tag] = codec
    for (const type of codec.types) byType.set(type, { tag, codec })
  }
  return {
    types: [...byType.keys()],
    read(reader) {
      const tag = reader.octet()
      const codec = byTag[tag]
      if (codec === undefined)
        throw new BrokerError('DLMS_TAG_UNKNOWN', `APDU ${tag} at octet ${reader.at - 1}`)
      return codec.read(reader) as ValueOf<A[number][1]>
    },
    write(out, value) {
      const type = typeOf(value)
      const apdu = byType.get(type)
      if (apdu === undefined) throw new BrokerError('DLMS_VALUE_INVALID', `APDU ${type}`)
      apdu.codec.write(out.octet(apdu.tag), value)
    },
    show: typeOf,
  }
}

function typeOf(value: unknown): string {
  return (value as { type: string }).type
}

/**
 * ENUMERATED in one octet: the number, which `names` (`UPPER_CASE` to number) puts in the
 * standard's words.
 */
export function enumerated(names: Readonly<Record<string, number>>): Codec<number> {
  return { ...unsigned8, show: (value) => nameOf(names, value) }
}

/**
 * `read-write-denied (3)` of READ_WRITE_DENIED: 3, or the bare number when the standard gives it no
 * name.
 */
export function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  for (const [name, number] of Object.entries(names))
    if (number === value) return `${name.toLowerCase().replaceAll('_', '-')} (${value})`
  return `${value}`
}
