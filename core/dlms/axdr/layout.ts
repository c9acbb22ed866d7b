/**
 * How COSEM data lies in octets: tags, lengths, and walking over a value without building it.
 * Every response and every profile passes here; so nothing is allocated. Big-endian throughout.
 *
 *   value          = tag octet, content
 *   array/structure = tag, length n, then n values
 *   compact-array  = tag, type description, length, packed contents without tags
 *   length         = 0nnnnnnn | 1000kkkk then k octets
 *
 * [IEC 62056-5-3, A-XDR encoding of Data; IEC 61334-6 for lengths]. Values as trees are in axdr-value.ts.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'

/** The choice tags of COSEM Data. @source IEC 62056-5-3, ASN.1 module, Data */
export const Tag = {
  NULL: 0,
  ARRAY: 1,
  STRUCTURE: 2,
  BOOLEAN: 3,
  BIT_STRING: 4,
  DOUBLE_LONG: 5,
  DOUBLE_LONG_UNSIGNED: 6,
  OCTET_STRING: 9,
  VISIBLE_STRING: 10,
  UTF8_STRING: 12,
  BCD: 13,
  INTEGER: 15,
  LONG: 16,
  UNSIGNED: 17,
  LONG_UNSIGNED: 18,
  COMPACT_ARRAY: 19,
  LONG64: 20,
  LONG64_UNSIGNED: 21,
  ENUM: 22,
  FLOAT32: 23,
  FLOAT64: 24,
  DATE_TIME: 25,
  DATE: 26,
  TIME: 27,
  DELTA_INTEGER: 28,
  DELTA_LONG: 29,
  DELTA_DOUBLE_LONG: 30,
  DELTA_UNSIGNED: 31,
  DELTA_LONG_UNSIGNED: 32,
  DELTA_DOUBLE_LONG_UNSIGNED: 33,
  DONT_CARE: 255,
} as const
export type Tag = (typeof Tag)[keyof typeof Tag]

const typeNames = new Map<number, string>(
  Object.entries(Tag).map(([name, tag]) => [
    tag,
    name === 'NULL' ? 'null-data' : name.toLowerCase().replaceAll('_', '-'),
  ]),
)

/** `double-long-unsigned` of tag 6. @throws BrokerError DLMS_TAG_UNKNOWN */
export function nameOfType(tag: number): string {
  const name = typeNames.get(tag)
  if (name === undefined) throw new BrokerError('DLMS_TAG_UNKNOWN', `data tag ${tag}`)
  return name
}

const variable = -1
const unknown = -2

// Content octets of each tag; `variable` where a length or a count says it, `unknown` where no type
// has the tag.
const contentBytes = new Int8Array(256).fill(unknown)
for (const tag of [Tag.NULL, Tag.DONT_CARE]) contentBytes[tag] = 0
for (const tag of [
  Tag.BOOLEAN,
  Tag.BCD,
  Tag.INTEGER,
  Tag.UNSIGNED,
  Tag.ENUM,
  Tag.DELTA_INTEGER,
  Tag.DELTA_UNSIGNED,
])
  contentBytes[tag] = 1
for (const tag of [Tag.LONG, Tag.LONG_UNSIGNED, Tag.DELTA_LONG, Tag.DELTA_LONG_UNSIGNED])
  contentBytes[tag] = 2
for (const tag of [
  Tag.DOUBLE_LONG,
  Tag.DOUBLE_LONG_UNSIGNED,
  Tag.FLOAT32,
  Tag.TIME,
  Tag.DELTA_DOUBLE_LONG,
  Tag.DELTA_DOUBLE_LONG_UNSIGNED,
])
  contentBytes[tag] = 4
for (const tag of [Tag.LONG64, Tag.LONG64_UNSIGNED, Tag.FLOAT64]) contentBytes[tag] = 8
contentBytes[Tag.DATE_TIME] = 12
contentBytes[Tag.DATE] = 5
for (const tag of [
  Tag.ARRAY,
  Tag.STRUCTURE,
  Tag.BIT_STRING,
  Tag.OCTET_STRING,
  Tag.VISIBLE_STRING,
  Tag.UTF8_STRING,
  Tag.COMPACT_ARRAY,
])
  contentBytes[tag] = variable

/**
 * Octets that a value of `tag` has behind its tag, or -1 when a length says it. @throws
 * DLMS_TAG_UNKNOWN
 */
export function contentBytesOf(tag: number, at: number): number {
  const bytes = contentBytes[tag]!
  if (bytes === unknown) throw new BrokerError('DLMS_TAG_UNKNOWN', `data tag ${tag} at octet ${at}`)
  return bytes
}

/**
 * The number that an octet of BCD stands for, 25 for 0x25; undefined for one that is no pair of
 * digits, as 0xff, which meters fill up with.
 * [IEC 62056-6-2, Common data types, bcd]
 */
export function bcdNumber(octet: number): number | undefined {
  const [tens, units] = [octet >> 4, octet & 0x0f]
  return tens > 9 || units > 9 ? undefined : tens * 10 + units
}

/** A length or a count runs past `end`, or an octet that must be there is not. */
export function cutShort(at: number): BrokerError {
  return new BrokerError('DLMS_LENGTH_INVALID', `cut short at octet ${at}`)
}

/**
 * Octets that the length at `at` itself takes; read it with `readLength` first, which checks it.
 */
export function lengthBytes(view: Uint8Array, at: number): number {
  const first = view[at]!
  return first < 0x80 ? 1 : 1 + (first & 0x7f)
}

/**
 * Reads the length at `at`. Longer forms than needed are accepted, since meters send them.
 * @throws BrokerError DLMS_LENGTH_INVALID when it is cut short or takes more than four octets
 */
export function readLength(view: Uint8Array, at: number, end = view.length): number {
  if (at >= end) throw cutShort(at)
  const first = view[at]!
  if (first < 0x80) return first
  const octets = first & 0x7f
  if (octets === 0 || octets > 4)
    throw new BrokerError('DLMS_LENGTH_INVALID', `length of ${octets} octets at octet ${at}`)
  if (at + octets >= end) throw cutShort(at)
  let length = 0
  for (let i = 1; i <= octets; i++) length = length * 256 + view[at + i]!
  return length
}

/** Octets that `length` takes in its shortest form. */
export function lengthBytesFor(length: number): number {
  return length < 0x80
    ? 1
    : length < 0x100
      ? 2
      : length < 0x1_0000
        ? 3
        : length < 0x100_0000
          ? 4
          : 5
}

/** Writes `length` in its shortest form at `at`; returns the offset behind it. */
export function writeLength(out: Uint8Array, at: number, length: number): number {
  if (length < 0x80) {
    out[at] = length
    return at + 1
  }
  const octets = lengthBytesFor(length) - 1
  out[at] = 0x80 | octets
  for (let i = octets; i > 0; i--, length = Math.floor(length / 256)) out[at + i] = length & 255
  return at + 1 + octets
}

/**
 * The offset behind the value at `at`, which must lie in `view` before `end` as a whole.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_NESTING_EXCEEDED,
 * DLMS_SIZE_EXCEEDED (fault: meter)
 */
export function skipValue(view: Buffer, at: number, end = view.length): number {
  return skipNested(view, at, end, 0)
}

function skipNested(view: Buffer, at: number, end: number, depth: number): number {
  if (at >= end) throw cutShort(at)
  const tag = view[at]!
  const fixed = contentBytes[tag]!
  if (fixed >= 0) {
    const behind = at + 1 + fixed
    if (behind > end) throw cutShort(at)
    return behind
  }
  switch (tag) {
    case Tag.ARRAY:
    case Tag.STRUCTURE: {
      const count = readCount(view, at + 1, end, depth)
      let next = at + 1 + lengthBytes(view, at + 1)
      for (let i = 0; i < count; i++) {
        // Most elements are numbers and short octet strings: they are stepped over here, without a
        // call.
        const elementTag = next < end ? view[next]! : tag
        const elementBytes = contentBytes[elementTag]!
        if (elementBytes >= 0) next += 1 + elementBytes
        else if (elementTag === Tag.OCTET_STRING && view[next + 1]! < 0x80)
          next += 2 + view[next + 1]!
        else next = skipNested(view, next, end, depth + 1)
        if (next > end) throw cutShort(next)
      }
      return next
    }
    case Tag.COMPACT_ARRAY:
      return skipOctets(view, skipTypeDescription(view, at + 1, end, depth), end)
    case Tag.BIT_STRING: {
      const bits = readLength(view, at + 1, end)
      const behind = at + 1 + lengthBytes(view, at + 1) + Math.ceil(bits / 8)
      if (behind > end) throw cutShort(at)
      return behind
    }
    case Tag.OCTET_STRING:
    case Tag.VISIBLE_STRING:
    case Tag.UTF8_STRING:
      return skipOctets(view, at + 1, end)
    default:
      throw new BrokerError('DLMS_TAG_UNKNOWN', `data tag ${tag} at octet ${at}`)
  }
}

/** The offset behind a length and as many octets as it says. @throws DLMS_LENGTH_INVALID */
export function skipOctets(view: Uint8Array, at: number, end = view.length): number {
  const length = readLength(view, at, end)
  const behind = at + lengthBytes(view, at) + length
  if (behind > end) throw cutShort(at)
  return behind
}

/**
 * Reads the count of elements of an array or structure at nesting `depth`.
 * @throws DLMS_NESTING_EXCEEDED, DLMS_SIZE_EXCEEDED, and DLMS_LENGTH_INVALID when not even one
 * octet an element is left
 */
export function readCount(view: Uint8Array, at: number, end: number, depth: number): number {
  if (depth >= limits.dataDepthMax) throw new BrokerError('DLMS_NESTING_EXCEEDED', `at octet ${at}`)
  const count = readLength(view, at, end)
  if (count > limits.dataElementsMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `${count} elements at octet ${at}`)
  if (count > end - at) throw cutShort(at)
  return count
}

/**
 * The offset behind the type description of a compact array.
 * @source IEC 62056-5-3, ASN.1 module, TypeDescription: array is a u16 count and one description,
 * structure a list
 */
export function skipTypeDescription(view: Buffer, at: number, end: number, depth: number): number {
  if (at >= end) throw cutShort(at)
  const tag = view[at]!
  if (tag === Tag.ARRAY) {
    if (depth >= limits.dataDepthMax)
      throw new BrokerError('DLMS_NESTING_EXCEEDED', `at octet ${at}`)
    if (at + 3 > end) throw cutShort(at)
    return skipTypeDescription(view, at + 3, end, depth + 1)
  }
  if (tag === Tag.STRUCTURE) {
    const count = readCount(view, at + 1, end, depth)
    let next = at + 1 + lengthBytes(view, at + 1)
    for (let i = 0; i < count; i++) next = skipTypeDescription(view, next, end, depth + 1)
    return next
  }
  // A compact array within a compact array is not in the standard's type description.
  if (tag === Tag.COMPACT_ARRAY)
    throw new BrokerError('DLMS_TAG_UNKNOWN', `type description ${tag} at octet ${at}`)
  contentBytesOf(tag, at)
  return at + 1
}

/**
 * Some meters put a length octet between the tag and the content of a float (17 04 …). Only where
 * the value stands by itself can that be told from its length; then this says where the value would
 * begin if the length were not there.
 */
export function hasFloatLength(view: Buffer): boolean {
  const width = view[0] === Tag.FLOAT32 ? 4 : view[0] === Tag.FLOAT64 ? 8 : 0
  return width > 0 && view.length === width + 2 && view[1] === width
}
