/**
 * COSEM data as a tree, for tests, simulators and tools; the hot path walks over the octets
 * instead. Exact: 64-bit integers are bigint, octet-strings bytes, a bcd its octet (`bcdNumber`
 * says what it stands for), and what is decoded encodes to the same octets (a boolean other than 0
 * and 1 and a length in longer form than needed excepted).
 *
 * [IEC 62056-5-3, ASN.1 module, Data and TypeDescription]. No meaning is given to octet-strings (times, OBIS codes).
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import {
  contentBytesOf,
  cutShort,
  lengthBytes,
  nameOfType,
  readCount,
  readLength,
  skipValue,
  Tag,
} from './layout.ts'
import { AxdrWriter } from './writer.ts'

type NumberTag =
  | typeof Tag.DOUBLE_LONG
  | typeof Tag.DOUBLE_LONG_UNSIGNED
  | typeof Tag.BCD
  | typeof Tag.INTEGER
  | typeof Tag.LONG
  | typeof Tag.UNSIGNED
  | typeof Tag.LONG_UNSIGNED
  | typeof Tag.ENUM
  | typeof Tag.FLOAT32
  | typeof Tag.FLOAT64
  | typeof Tag.DELTA_INTEGER
  | typeof Tag.DELTA_LONG
  | typeof Tag.DELTA_DOUBLE_LONG
  | typeof Tag.DELTA_UNSIGNED
  | typeof Tag.DELTA_LONG_UNSIGNED
  | typeof Tag.DELTA_DOUBLE_LONG_UNSIGNED
type OctetsTag = typeof Tag.OCTET_STRING | typeof Tag.DATE_TIME | typeof Tag.DATE | typeof Tag.TIME

type ListValue = { tag: typeof Tag.ARRAY | typeof Tag.STRUCTURE; elements: AxdrValue[] }
type CompactValue = { tag: typeof Tag.COMPACT_ARRAY; type: AxdrType; elements: AxdrValue[] }
type SimpleValue =
  | { tag: typeof Tag.NULL | typeof Tag.DONT_CARE }
  | { tag: typeof Tag.BOOLEAN; value: boolean }
  | { tag: typeof Tag.BIT_STRING; bitCount: number; value: Buffer }
  | { tag: NumberTag; value: number }
  | { tag: typeof Tag.LONG64 | typeof Tag.LONG64_UNSIGNED; value: bigint }
  | { tag: OctetsTag; value: Buffer }
  | { tag: typeof Tag.VISIBLE_STRING; value: string }
  | { tag: typeof Tag.UTF8_STRING; value: string; octets?: Buffer }
/**
 * One value; octets in it are owned. A visible-string's text is latin-1. A utf8-string that is no
 * UTF-8 has U+FFFD in its text where it is invalid, and its `octets` beside it, which are what is
 * encoded.
 */
export type AxdrValue = ListValue | CompactValue | SimpleValue

type SimpleTag = Exclude<Tag, typeof Tag.ARRAY | typeof Tag.STRUCTURE | typeof Tag.COMPACT_ARRAY>
/** Type description of a compact array; `count` elements make an array within an element. */
export type AxdrType =
  | { tag: SimpleTag }
  | { tag: typeof Tag.ARRAY; count: number; of: AxdrType }
  | { tag: typeof Tag.STRUCTURE; of: AxdrType[] }

/**
 * The numbers that the integer types stand for. A value holds them as numbers, of 64 bits as
 * bigints; of bcd it holds the octet.
 */
export const integerRanges: ReadonlyMap<Tag, readonly [min: bigint, max: bigint]> = new Map([
  [Tag.BCD, [0n, 99n]],
  ...(
    [
      [8, true, [Tag.INTEGER, Tag.DELTA_INTEGER]],
      [8, false, [Tag.UNSIGNED, Tag.ENUM, Tag.DELTA_UNSIGNED]],
      [16, true, [Tag.LONG, Tag.DELTA_LONG]],
      [16, false, [Tag.LONG_UNSIGNED, Tag.DELTA_LONG_UNSIGNED]],
      [32, true, [Tag.DOUBLE_LONG, Tag.DELTA_DOUBLE_LONG]],
      [32, false, [Tag.DOUBLE_LONG_UNSIGNED, Tag.DELTA_DOUBLE_LONG_UNSIGNED]],
      [64, true, [Tag.LONG64]],
      [64, false, [Tag.LONG64_UNSIGNED]],
    ] as [number, boolean, Tag[]][]
  ).flatMap(([bits, isSigned, tags]) => {
    const min = isSigned ? -(2n ** BigInt(bits - 1)) : 0n
    const max = isSigned ? 2n ** BigInt(bits - 1) - 1n : 2n ** BigInt(bits) - 1n
    return tags.map((tag) => [tag, [min, max] as const] as const)
  }),
])

// eslint-disable-next-line no-control-regex -- control characters are latin-1, too
const isLatin1 = /^[\u0000-\u00ff]*$/
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const utf8Lossy = new TextDecoder('utf-8', { ignoreBOM: true })

/** Elements of one tree: 13 months of half hours of a compact array with ten columns. */
export const packedElementsMax: number = 4 * limits.dataElementsMax

/**
 * Reads forward; `left` bounds the elements of one tree, since packed types can promise many in few
 * octets.
 */
type Cursor = { view: Buffer; at: number; end: number; left: number }

/**
 * The value at `at`, and nothing of what stands behind it.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_NESTING_EXCEEDED,
 * DLMS_SIZE_EXCEEDED, DLMS_VALUE_INVALID
 */
export function decodeValue(view: Buffer, at = 0): AxdrValue {
  const end = skipValue(view, at)
  const cursor: Cursor = { view, at, end, left: packedElementsMax }
  return readValue(cursor, 0)
}

/**
 * An element of a compact array: its type is described at `typeAt`, its content lies at `at`.
 * @throws as `decodeValue`
 */
export function decodePacked(view: Buffer, typeAt: number, at: number, end: number): AxdrValue {
  const type = readType({ view, at: typeAt, end: view.length, left: limits.dataElementsMax }, 0)
  return readPacked({ view, at, end, left: packedElementsMax }, type)
}

/**
 * Encodes `value`; owned. @throws BrokerError DLMS_SIZE_EXCEEDED; DLMS_VALUE_INVALID for what its
 * type cannot hold
 */
export function encodeValue(value: AxdrValue): Buffer {
  writeValue(scratch.clear(), value)
  return scratch.take()
}
const scratch = new AxdrWriter()

/** The type description at `at` of a compact array. @throws as `decodeValue` */
export function decodeType(view: Buffer, at = 0): AxdrType {
  return readType({ view, at, end: view.length, left: limits.dataElementsMax }, 0)
}

function readValue(cursor: Cursor, depth: number): AxdrValue {
  const tag = readOctet(cursor) as Tag
  if (tag === Tag.ARRAY || tag === Tag.STRUCTURE) {
    const count = takeCount(cursor, depth)
    const elements: AxdrValue[] = []
    for (let i = 0; i < count; i++) elements.push(readValue(cursor, depth + 1))
    return { tag, elements }
  }
  if (tag === Tag.COMPACT_ARRAY) return readCompactArray(cursor, depth)
  contentBytesOf(tag, cursor.at - 1)
  return readContent(cursor, tag)
}

function readCompactArray(cursor: Cursor, depth: number): AxdrValue {
  const type = readType(cursor, depth)
  const bytes = readLength(cursor.view, cursor.at, cursor.end)
  cursor.at += lengthBytes(cursor.view, cursor.at)
  const behind = cursor.at + bytes
  if (behind > cursor.end) throw cutShort(cursor.at)
  const elements: AxdrValue[] = []
  const outerEnd = cursor.end
  cursor.end = behind
  while (cursor.at < behind) {
    const before = cursor.at
    elements.push(readPacked(cursor, type))
    if (cursor.at === before)
      throw new BrokerError('DLMS_VALUE_INVALID', `elements of no octets at octet ${before}`)
  }
  cursor.end = outerEnd
  return { tag: Tag.COMPACT_ARRAY, type, elements }
}

/** A value without its tag, as the type says. */
function readPacked(cursor: Cursor, type: AxdrType): AxdrValue {
  if (--cursor.left < 0)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `elements at octet ${cursor.at}`)
  if (type.tag === Tag.ARRAY) {
    const elements: AxdrValue[] = []
    for (let i = 0; i < type.count; i++) elements.push(readPacked(cursor, type.of))
    return { tag: Tag.ARRAY, elements }
  }
  if (type.tag === Tag.STRUCTURE)
    return { tag: Tag.STRUCTURE, elements: type.of.map((of) => readPacked(cursor, of)) }
  return readContent(cursor, type.tag)
}

function readType(cursor: Cursor, depth: number): AxdrType {
  if (--cursor.left < 0) throw new BrokerError('DLMS_SIZE_EXCEEDED', `types at octet ${cursor.at}`)
  const tag = readOctet(cursor) as Tag
  if (tag === Tag.ARRAY) {
    if (depth >= limits.dataDepthMax)
      throw new BrokerError('DLMS_NESTING_EXCEEDED', `at octet ${cursor.at}`)
    const count = takeOctets(cursor, 2).readUInt16BE(0)
    return { tag, count, of: readType(cursor, depth + 1) }
  }
  if (tag === Tag.STRUCTURE) {
    const count = takeCount(cursor, depth)
    const of: AxdrType[] = []
    for (let i = 0; i < count; i++) of.push(readType(cursor, depth + 1))
    return { tag, of }
  }
  if (tag === Tag.COMPACT_ARRAY)
    throw new BrokerError('DLMS_TAG_UNKNOWN', `type description ${tag} at octet ${cursor.at - 1}`)
  contentBytesOf(tag, cursor.at - 1)
  return { tag }
}

function readContent(cursor: Cursor, tag: SimpleTag): AxdrValue {
  switch (tag) {
    case Tag.NULL:
    case Tag.DONT_CARE:
      return { tag }
    case Tag.BOOLEAN:
      return { tag, value: readOctet(cursor) !== 0 }
    case Tag.INTEGER:
    case Tag.DELTA_INTEGER:
      return { tag, value: takeOctets(cursor, 1).readInt8(0) }
    case Tag.UNSIGNED:
    case Tag.BCD:
    case Tag.ENUM:
    case Tag.DELTA_UNSIGNED:
      return { tag, value: readOctet(cursor) }
    case Tag.LONG:
    case Tag.DELTA_LONG:
      return { tag, value: takeOctets(cursor, 2).readInt16BE(0) }
    case Tag.LONG_UNSIGNED:
    case Tag.DELTA_LONG_UNSIGNED:
      return { tag, value: takeOctets(cursor, 2).readUInt16BE(0) }
    case Tag.DOUBLE_LONG:
    case Tag.DELTA_DOUBLE_LONG:
      return { tag, value: takeOctets(cursor, 4).readInt32BE(0) }
    case Tag.DOUBLE_LONG_UNSIGNED:
    case Tag.DELTA_DOUBLE_LONG_UNSIGNED:
      return { tag, value: takeOctets(cursor, 4).readUInt32BE(0) }
    case Tag.FLOAT32:
      return { tag, value: takeOctets(cursor, 4).readFloatBE(0) }
    case Tag.FLOAT64:
      return { tag, value: takeOctets(cursor, 8).readDoubleBE(0) }
    case Tag.LONG64:
      return { tag, value: takeOctets(cursor, 8).readBigInt64BE(0) }
    case Tag.LONG64_UNSIGNED:
      return { tag, value: takeOctets(cursor, 8).readBigUInt64BE(0) }
    case Tag.DATE_TIME:
      return { tag, value: Buffer.from(takeOctets(cursor, 12)) }
    case Tag.DATE:
      return { tag, value: Buffer.from(takeOctets(cursor, 5)) }
    case Tag.TIME:
      return { tag, value: Buffer.from(takeOctets(cursor, 4)) }
    case Tag.OCTET_STRING:
      return { tag, value: Buffer.from(takeOctets(cursor, takeLength(cursor))) }
    case Tag.VISIBLE_STRING:
      return { tag, value: takeOctets(cursor, takeLength(cursor)).toString('latin1') }
    case Tag.UTF8_STRING:
      return utf8Value(takeOctets(cursor, takeLength(cursor)))
    case Tag.BIT_STRING: {
      const bitCount = takeLength(cursor)
      return { tag, bitCount, value: Buffer.from(takeOctets(cursor, Math.ceil(bitCount / 8))) }
    }
    default:
      throw new BrokerError('DLMS_TAG_UNKNOWN', `data tag ${String(tag)} at octet ${cursor.at}`)
  }
}

/**
 * The utf8-string of `view`. Meters put other alphabets there: what can be read of it is, and
 * nothing else of the answer is lost.
 */
export function utf8Value(view: Uint8Array): Extract<AxdrValue, { tag: typeof Tag.UTF8_STRING }> {
  try {
    return { tag: Tag.UTF8_STRING, value: utf8.decode(view) }
  } catch {
    return { tag: Tag.UTF8_STRING, value: utf8Lossy.decode(view), octets: Buffer.from(view) }
  }
}

function readOctet(cursor: Cursor): number {
  if (cursor.at >= cursor.end) throw cutShort(cursor.at)
  return cursor.view[cursor.at++]!
}

function takeLength(cursor: Cursor): number {
  const length = readLength(cursor.view, cursor.at, cursor.end)
  cursor.at += lengthBytes(cursor.view, cursor.at)
  return length
}

function takeCount(cursor: Cursor, depth: number): number {
  const count = readCount(cursor.view, cursor.at, cursor.end, depth)
  cursor.at += lengthBytes(cursor.view, cursor.at)
  return count
}

function takeOctets(cursor: Cursor, count: number): Buffer {
  const behind = cursor.at + count
  if (behind > cursor.end) throw cutShort(cursor.at)
  const octets = cursor.view.subarray(cursor.at, behind)
  cursor.at = behind
  return octets
}

function writeValue(out: AxdrWriter, value: AxdrValue): void {
  switch (value.tag) {
    case Tag.ARRAY:
    case Tag.STRUCTURE:
      out.octet(value.tag).length(value.elements.length)
      for (const element of value.elements) writeValue(out, element)
      return
    case Tag.COMPACT_ARRAY: {
      writeType(out.octet(value.tag), value.type)
      const contents = new AxdrWriter()
      for (const element of value.elements) writePacked(contents, element, value.type)
      out.length(contents.bytes).octets(contents.view)
      return
    }
    default:
      writeContent(out.octet(value.tag), value)
  }
}

function writePacked(out: AxdrWriter, value: AxdrValue, type: AxdrType): void {
  if (value.tag !== type.tag)
    throw new BrokerError(
      'DLMS_VALUE_INVALID',
      `tag ${value.tag} in a compact array of ${type.tag}`,
    )
  if ('elements' in value) {
    const count =
      type.tag === Tag.ARRAY ? type.count : type.tag === Tag.STRUCTURE ? type.of.length : 0
    if (value.elements.length !== count)
      throw new BrokerError('DLMS_VALUE_INVALID', `${value.elements.length} elements of ${count}`)
    value.elements.forEach((element, i) => {
      writePacked(
        out,
        element,
        type.tag === Tag.ARRAY ? type.of : (type as { of: AxdrType[] }).of[i]!,
      )
    })
  } else writeContent(out, value)
}

function writeType(out: AxdrWriter, type: AxdrType): void {
  out.octet(type.tag)
  if (type.tag === Tag.ARRAY) {
    writeInteger(out, Tag.LONG_UNSIGNED, type.count)
    writeType(out, type.of)
  } else if (type.tag === Tag.STRUCTURE) {
    out.length(type.of.length)
    for (const of of type.of) writeType(out, of)
  }
}

function writeContent(out: AxdrWriter, value: SimpleValue): void {
  switch (value.tag) {
    case Tag.NULL:
    case Tag.DONT_CARE:
      return
    case Tag.BOOLEAN:
      out.octet(value.value ? 1 : 0)
      return
    case Tag.BIT_STRING:
      checkLength(value, Math.ceil(value.bitCount / 8))
      out.length(value.bitCount).octets(value.value)
      return
    case Tag.OCTET_STRING:
      out.length(value.value.length).octets(value.value)
      return
    case Tag.DATE_TIME:
    case Tag.DATE:
    case Tag.TIME:
      checkLength(value, contentBytesOf(value.tag, 0))
      out.octets(value.value)
      return
    case Tag.VISIBLE_STRING:
    case Tag.UTF8_STRING: {
      if (value.tag === Tag.VISIBLE_STRING && !isLatin1.test(value.value))
        throw new BrokerError('DLMS_VALUE_INVALID', 'a visible-string that is not latin-1')
      const text =
        value.tag === Tag.VISIBLE_STRING
          ? Buffer.from(value.value, 'latin1')
          : (value.octets ?? Buffer.from(value.value, 'utf8'))
      out.length(text.length).octets(text)
      return
    }
    case Tag.LONG64:
    case Tag.LONG64_UNSIGNED: {
      checkRange(value.tag, value.value, 'bigint')
      const at = out.reserve(8)
      if (value.tag === Tag.LONG64) out.target.writeBigInt64BE(value.value, at)
      else out.target.writeBigUInt64BE(value.value, at)
      return
    }
    case Tag.FLOAT32: {
      const at = out.reserve(4)
      out.target.writeFloatBE(value.value, at)
      return
    }
    case Tag.FLOAT64: {
      const at = out.reserve(8)
      out.target.writeDoubleBE(value.value, at)
      return
    }
    default:
      writeInteger(out, value.tag, value.value)
  }
}

function writeInteger(out: AxdrWriter, tag: Tag, value: number): void {
  const bytes = contentBytesOf(tag, 0)
  checkRange(tag, value, 'number')
  const at = out.reserve(bytes)
  for (let i = bytes - 1; i >= 0; i--, value >>= 8) out.target[at + i] = value
}

const octetRange = [0n, 255n] as const

/** Those who have no types may give anything. */
function checkRange(tag: Tag, value: number | bigint, kind: 'number' | 'bigint'): void {
  const [min, max] = tag === Tag.BCD ? octetRange : integerRanges.get(tag)!
  const isWhole = typeof value === kind && (kind === 'bigint' || Number.isInteger(value))
  if (!isWhole || value < min || value > max)
    throw new BrokerError('DLMS_VALUE_INVALID', `${value} is no ${nameOfType(tag)}`)
}

function checkLength({ tag, value }: { tag: Tag; value: Buffer }, bytes: number): void {
  if (value.length !== bytes)
    throw new BrokerError(
      'DLMS_VALUE_INVALID',
      `${value.length} octets in place of ${bytes} of a ${nameOfType(tag)}`,
    )
}
