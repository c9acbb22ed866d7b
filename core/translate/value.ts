/**
 * One A-XDR value straight into a busbar.v1.Value, without a tree between. Station 10 to 12 of a
 * message's way.
 *
 *   integers, enum, bcd        → integer (sint64); long64-unsigned from 2^63 → unsigned_integer
 *   boolean                    → boolean            float32, float64 → floating
 *   visible- and utf8-string   → text when valid UTF-8, else octets
 *   octet-string               → octets; `as` text: text when printable; `as` time: time when it names a point in time
 *   date-time                  → time when it names a point in time, else axdr
 *                                a local time, without deviation, names one only where the zone of the device is known
 *   null, don't-care           → no kind: an empty Value
 *   everything else            → axdr, as it is
 *
 * @source IEC 62056-5-3, A-XDR encoding of Data
 */
import { isUtf8 } from 'node:buffer'
import { BrokerError } from '../base/broker-error.ts'
import type { OperationTemplate } from '../catalogue/service-requests.ts'
import { bcdNumber, lengthBytes, readLength, skipValue, Tag } from '../dlms/axdr/axdr.ts'
import { cosemDateTimeBytes, readCosemDateTime } from '../dlms/axdr/date-time.ts'
import { isLocal, utcMsIn, type LocalZone } from '../dlms/axdr/local-time.ts'
import { type ProtobufWriter, tagOf, WireType } from './protobuf.ts'
import type { ResponseWriter } from './response-writer.ts'

const integerField = tagOf(1, WireType.VARINT)
const unsignedField = tagOf(2, WireType.VARINT)
const booleanField = tagOf(3, WireType.VARINT)
const textField = tagOf(4, WireType.LENGTH)
const octetsField = tagOf(5, WireType.LENGTH)
const timeField = tagOf(6, WireType.LENGTH)
const axdrField = tagOf(7, WireType.LENGTH)
const floatingField = tagOf(8, WireType.FIXED64)

// The range of google.protobuf.Timestamp above 1970; no meter has measured before.
const timeMsMax = 253_402_300_799_999

/** A length or content that runs past the end of the value. */
function cutShort(at: number): BrokerError {
  return new BrokerError('DLMS_LENGTH_INVALID', `cut short at octet ${at}`)
}

/**
 * The UTC ms that the twelve octets at `at` name, or undefined for a wildcard, a time that a
 * Timestamp cannot hold, or a local time where `zone` is not known.
 */
export function timeAt(view: Buffer, at: number, zone?: LocalZone): number | undefined {
  const timeMs =
    readCosemDateTime(view, at) ?? (zone && isLocal(view, at) ? utcMsIn(view, at, zone) : undefined)
  return isTimestamp(timeMs) ? timeMs : undefined
}

/** True for what a Timestamp of ours holds. */
export function isTimestamp(timeMs: number | undefined): timeMs is number {
  return timeMs !== undefined && timeMs >= 0 && timeMs <= timeMsMax
}

/**
 * Where the twelve octets of a clock stand in the value at `at`: in a date-time, an octet-string,
 * or either of them within an octet-string, as some meters send it. -1 for another value.
 */
export function dateTimeIn(view: Buffer, at: number, end: number): number {
  const tag = view[at]
  if (tag === Tag.DATE_TIME) return at + 1 + cosemDateTimeBytes <= end ? at + 1 : -1
  if (tag !== Tag.OCTET_STRING) return -1
  const bytes = view[at + 1]!
  const start = at + 2
  if (start + bytes > end) return -1
  if (bytes === cosemDateTimeBytes) return start
  const isOctets =
    bytes === 2 + cosemDateTimeBytes &&
    view[start] === Tag.OCTET_STRING &&
    view[start + 1] === cosemDateTimeBytes
  const isDateTime = bytes === 1 + cosemDateTimeBytes && view[start] === Tag.DATE_TIME
  return isOctets || isDateTime ? start + bytes - cosemDateTimeBytes : -1
}

/**
 * The unsigned number that a value of an integer type or a bit-string of up to 32 bits stands for;
 * null is 0. Undefined for another type, a negative number, or one above 2^32 − 1.
 */
export function uint32OfValue(view: Buffer, at: number, end: number): number | undefined {
  const tag = view[at]
  const octets = end - at - 1
  switch (tag) {
    case Tag.NULL:
      return 0
    case Tag.UNSIGNED:
    case Tag.ENUM:
    case Tag.BOOLEAN:
      return octets >= 1 ? view[at + 1]! : undefined
    case Tag.BCD:
      return octets >= 1 ? bcdNumber(view[at + 1]!) : undefined
    case Tag.LONG_UNSIGNED:
      return octets >= 2 ? view.readUInt16BE(at + 1) : undefined
    case Tag.DOUBLE_LONG_UNSIGNED:
      return octets >= 4 ? view.readUInt32BE(at + 1) : undefined
    case Tag.INTEGER:
      return octets >= 1 && view[at + 1]! < 0x80 ? view[at + 1]! : undefined
    case Tag.LONG:
      return octets >= 2 && view[at + 1]! < 0x80 ? view.readUInt16BE(at + 1) : undefined
    case Tag.DOUBLE_LONG:
      return octets >= 4 && view[at + 1]! < 0x80 ? view.readUInt32BE(at + 1) : undefined
    case Tag.BIT_STRING: {
      const bits = view[at + 1]!
      const count = Math.ceil(bits / 8)
      if (octets < 1 + count || bits > 32) return undefined
      let value = 0
      for (let i = 0; i < count; i++) value = value * 256 + view[at + 2 + i]!
      return value
    }
    default:
      return undefined
  }
}

function isPrintable(view: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) {
    const octet = view[i]!
    if (octet < 0x20 || octet === 0x7f) return false
    if (octet >= 0x80) return isUtf8(view.subarray(start, end))
  }
  return true
}

function isText(view: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (view[i]! >= 0x80) return isUtf8(view.subarray(start, end))
  return true
}

// Strings of every kind. Returns the offset behind.
function appendString(
  writer: ResponseWriter,
  view: Buffer,
  at: number,
  end: number,
  as: OperationTemplate['as'],
): number {
  const length = readLength(view, at + 1, end)
  const start = at + 1 + lengthBytes(view, at + 1)
  const behind = start + length
  if (behind > end) throw cutShort(at)
  const timeOffset = as === 'time' ? dateTimeIn(view, at, behind) : -1
  if (timeOffset >= 0) {
    const timeMs = timeAt(view, timeOffset, writer.zone)
    if (timeMs !== undefined) {
      writer.octet(timeField)
      writer.timestamp(timeMs)
      return behind
    }
  }
  const isShown =
    view[at] === Tag.OCTET_STRING
      ? as === 'text' && isPrintable(view, start, behind)
      : isText(view, start, behind)
  writer.octet(isShown ? textField : octetsField)
  writer.lengthDelimited(view, start, behind)
  return behind
}

// Whole contents of fixed width. Returns the offset behind, or 0 when the type is none of these.
function appendNumber(
  writer: ProtobufWriter,
  tag: number,
  view: Buffer,
  at: number,
  end: number,
): number {
  let behind: number
  switch (tag) {
    case Tag.DOUBLE_LONG_UNSIGNED:
      if ((behind = at + 5) > end) throw cutShort(at)
      writer.octet(integerField)
      writer.zigzag(view.readUInt32BE(at + 1))
      return behind
    case Tag.DOUBLE_LONG:
      if ((behind = at + 5) > end) throw cutShort(at)
      writer.octet(integerField)
      writer.zigzag(view.readInt32BE(at + 1))
      return behind
    case Tag.LONG_UNSIGNED:
    case Tag.LONG:
      if ((behind = at + 3) > end) throw cutShort(at)
      writer.octet(integerField)
      writer.zigzag(tag === Tag.LONG ? view.readInt16BE(at + 1) : view.readUInt16BE(at + 1))
      return behind
    case Tag.UNSIGNED:
    case Tag.ENUM:
    case Tag.INTEGER:
      if ((behind = at + 2) > end) throw cutShort(at)
      writer.octet(integerField)
      writer.zigzag(tag === Tag.INTEGER ? view.readInt8(at + 1) : view[at + 1]!)
      return behind
    case Tag.BCD: {
      if ((behind = at + 2) > end) throw cutShort(at)
      const number = bcdNumber(view[at + 1]!)
      // No pair of digits is no number.
      if (number === undefined) return 0
      writer.octet(integerField)
      writer.zigzag(number)
      return behind
    }
    case Tag.BOOLEAN:
      if ((behind = at + 2) > end) throw cutShort(at)
      // A oneof member is written even when false.
      writer.octet(booleanField)
      writer.octet(view[at + 1] === 0 ? 0 : 1)
      return behind
    case Tag.LONG64:
    case Tag.LONG64_UNSIGNED:
      if ((behind = at + 9) > end) throw cutShort(at)
      appendLong64(writer, tag, view, at)
      return behind
    case Tag.FLOAT32:
      if ((behind = at + 5) > end) throw cutShort(at)
      writer.octet(floatingField)
      writer.double(view.readFloatBE(at + 1))
      return behind
    case Tag.FLOAT64:
      if ((behind = at + 9) > end) throw cutShort(at)
      writer.octet(floatingField)
      writer.double(view.readDoubleBE(at + 1))
      return behind
    default:
      return 0
  }
}

function appendLong64(writer: ProtobufWriter, tag: number, view: Buffer, at: number): void {
  const high = view.readUInt32BE(at + 1)
  const low = view.readUInt32BE(at + 5)
  const isAboveSigned = tag === Tag.LONG64_UNSIGNED && high > 0x7fff_ffff
  writer.octet(isAboveSigned ? unsignedField : integerField)
  if (isAboveSigned) writer.varint64(low, high)
  else writer.zigzag64(low, high)
}

/**
 * Appends the value at `view[at, end)` as a Value: the content of a field whose tag has been
 * written. Returns the offset behind the value.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_NESTING_EXCEEDED,
 * DLMS_SIZE_EXCEEDED
 */
export function appendValue(
  writer: ResponseWriter,
  view: Buffer,
  at: number,
  end: number,
  as: OperationTemplate['as'],
): number {
  if (at >= end) throw cutShort(at)
  const tag = view[at]!
  const mark = writer.open()
  let behind = appendNumber(writer, tag, view, at, end)
  if (behind === 0) {
    switch (tag) {
      case Tag.NULL:
      case Tag.DONT_CARE:
        behind = at + 1
        break
      case Tag.OCTET_STRING:
      case Tag.VISIBLE_STRING:
      case Tag.UTF8_STRING:
        behind = appendString(writer, view, at, end, as)
        break
      default: {
        behind = skipValue(view, at, end)
        const timeMs = tag === Tag.DATE_TIME ? timeAt(view, at + 1, writer.zone) : undefined
        writer.octet(timeMs === undefined ? axdrField : timeField)
        if (timeMs === undefined) writer.lengthDelimited(view, at, behind)
        else writer.timestamp(timeMs)
      }
    }
  }
  writer.close(mark)
  return behind
}
