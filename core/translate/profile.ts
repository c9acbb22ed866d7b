/**
 * The buffer of a profile generic object as busbar.v1.Profile: columns named by the meter itself,
 * then one entry a row.
 *
 *   buffer           = array of structure, one element a column         (class 7, attribute 2)
 *   capture_objects  = array of structure { class-id, OBIS, attribute, data index }   (attribute 3)
 *   capture_period   = double-long-unsigned, seconds                     (attribute 4)
 *
 * The clock column (class 8, attribute 2) becomes captured_at and the AMR profile status (class 1,
 * 0-b:96.10.e) status; all other columns keep their order. Where the clock is null it is the entry
 * before plus the capture period, as the Blue Book lets meters save octets. Without capture_objects
 * the first element is the clock if it looks like one, and there are no columns to name.
 *
 * Rows that lie outside the period that was asked for, or whose time is no point in time, are
 * dropped and counted: a meter that ignores or misreads the range must not make Busbar deliver what
 * was not asked for. A local time of a zone that is not known is told as one; its row is dropped
 * when it is outside in every zone.
 * @source IEC 62056-6-2, profile generic
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { lengthBytes, readLength, skipValue, Tag } from '../dlms/axdr/axdr.ts'
import { localTimeSlackMs } from '../dlms/cosem/index.ts'
import { readLocalMs } from '../dlms/axdr/date-time.ts'
import { isLocal, LocalTimes, type LocalZone } from '../dlms/axdr/local-time.ts'
import { formatObis, obisBytes } from '../dlms/axdr/obis.ts'
import type { CosemResult } from '../ports/wan.ts'
import { descriptorBytes, type PlannedOperation } from './plan.ts'
import { tagOf, varintBytes, WireType } from './protobuf.ts'
import { statusOf } from './reading-status.ts'
import { columnsMax, type ResponseWriter } from './response-writer.ts'
import { appendScalerUnit } from './scaler-unit.ts'
import { localText } from './expectation.ts'
import { appendValue, dateTimeIn, isTimestamp, uint32OfValue } from './value.ts'

const profileField = tagOf(2, WireType.LENGTH)
const columnField = tagOf(3, WireType.LENGTH)
const entryField = tagOf(4, WireType.LENGTH)
const entryTimeField = 1
const entryValueField = tagOf(2, WireType.LENGTH)
const entryStatusField = tagOf(3, WireType.VARINT)
const entryLocalTimeField = tagOf(4, WireType.LENGTH)
const rowsOutsideField = tagOf(5, WireType.VARINT)

const clockClass = 8
const dataClass = 1
const none = -1

/**
 * Where clock and status stand in a row, how many elements it has (0: not known yet), and how long
 * a capture period is; of the present row, where its elements begin.
 */
type RowShape = {
  count: number
  clock: number
  status: number
  periodMs: number
  readonly elementAt: Int32Array
}
/**
 * When a row was captured: a point in time, or the local time of a zone that is not known; neither
 * without a clock.
 */
type RowTime = { utcMs: number | undefined; localMs: number | undefined }

function malformed(what: string): BrokerError {
  return new BrokerError('DLMS_VALUE_INVALID', what)
}

// Array or structure at `at`: its count, checked against a ceiling; `next` is where its first
// element stands.
function countOf(view: Buffer, at: number, tag: number, countMax: number): number {
  if (view[at] !== tag)
    throw malformed(`octet ${at} should begin ${tag === Tag.ARRAY ? 'an array' : 'a structure'}`)
  const count = readLength(view, at + 1)
  if (count > countMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `${count} elements at octet ${at}`)
  return count
}

// AMR profile status: 0-b:96.10.e of class data. [IEC 62056-6-1, abstract objects]
function isProfileStatus(classId: number, view: Buffer, obisAt: number): boolean {
  return (
    classId === dataClass &&
    view[obisAt] === 0 &&
    view[obisAt + 2] === 96 &&
    view[obisAt + 3] === 10
  )
}

// structure of 4: 12 class u16 | 09 06 OBIS | 0f attribute | 12 data index u16
const captureObjectBytes = 18

// Reads capture_objects into `shape` and appends a column for each value.
function appendColumns(
  writer: ResponseWriter,
  view: Buffer,
  shape: RowShape,
  operations: readonly PlannedOperation[],
  results: readonly CosemResult[],
): void {
  shape.count = countOf(view, 0, Tag.ARRAY, columnsMax)
  let at = 1 + lengthBytes(view, 1)
  for (let index = 0; index < shape.count; index++, at += captureObjectBytes) {
    const isValid =
      at + captureObjectBytes <= view.length &&
      view.readUInt16BE(at) === ((Tag.STRUCTURE << 8) | 4) &&
      view[at + 2] === Tag.LONG_UNSIGNED &&
      view.readUInt16BE(at + 5) === ((Tag.OCTET_STRING << 8) | obisBytes) &&
      view[at + 13] === Tag.INTEGER &&
      view[at + 15] === Tag.LONG_UNSIGNED
    if (!isValid) throw malformed(`capture object ${index + 1}`)
    const classId = view.readUInt16BE(at + 3)
    const attribute = view.readInt8(at + 14)
    if (classId === clockClass && attribute === 2 && shape.clock === none) shape.clock = index
    else if (isProfileStatus(classId, view, at + 7) && shape.status === none) shape.status = index
    else appendColumn(writer, view, at, operations, results)
  }
  if (at !== view.length)
    throw new BrokerError('DLMS_LENGTH_INVALID', 'octets left over behind capture_objects')
}

// Appends the column of the capture object at `at`.
function appendColumn(
  writer: ResponseWriter,
  view: Buffer,
  at: number,
  operations: readonly PlannedOperation[],
  results: readonly CosemResult[],
): void {
  const classId = view.readUInt16BE(at + 3)
  const attribute = view.readInt8(at + 14)
  const obis = Buffer.from(formatObis(view, at + 7), 'latin1')
  writer.octet(columnField)
  const mark = writer.open()
  writer.octet(tagOf(1, WireType.LENGTH))
  writer.lengthDelimited(obis, 0, obis.length)
  writer.octet(tagOf(2, WireType.VARINT))
  writer.varint(classId)
  writer.octet(tagOf(3, WireType.VARINT))
  // Negative attribute ids are the maker's own; an unsigned field carries their octet.
  writer.varint(attribute & 0xff)
  const scaler = operations.findIndex(
    ({ plan }) =>
      plan.template.yields === 'scaler-unit' &&
      plan.template.classId === classId &&
      plan.descriptor.compare(view, at + 7, at + 7 + obisBytes, 2, descriptorBytes - 1) === 0,
  )
  if (scaler >= 0) appendScalerUnit(writer, 4, results[scaler]!)
  writer.close(mark)
}

// Finds the elements of the row at `at`; returns the offset behind it.
function walkRow(view: Buffer, at: number, shape: RowShape): number {
  const count = countOf(view, at, Tag.STRUCTURE, columnsMax)
  if (shape.count === 0) {
    shape.count = count
    const first = at + 1 + lengthBytes(view, at + 1)
    if (dateTimeIn(view, first, view.length) >= 0) shape.clock = 0
  }
  if (count !== shape.count)
    throw malformed(`a row of ${count} where there are ${shape.count} columns`)
  let next = at + 1 + lengthBytes(view, at + 1)
  for (let i = 0; i < count; i++) {
    shape.elementAt[i] = next
    next = skipValue(view, next)
  }
  shape.elementAt[count] = next
  return next
}

/** Times of rows, one after the other. */
class RowTimes {
  private readonly times: LocalTimes
  private readonly zone: LocalZone | undefined
  private localMs: number | undefined

  constructor(zone: LocalZone | undefined) {
    this.times = new LocalTimes(zone)
    this.zone = zone
  }

  /** Of the present row. */
  next(view: Buffer, { clock, periodMs, elementAt }: RowShape): RowTime {
    const at = elementAt[clock]!
    if (view[at] === Tag.NULL) return this.step(periodMs)
    const dateTime = dateTimeIn(view, at, elementAt[clock + 1]!)
    if (dateTime < 0) return noTime
    const utcMs = this.times.utcMsAt(view, dateTime)
    this.localMs =
      utcMs === undefined && this.zone === undefined && isLocal(view, dateTime)
        ? readLocalMs(view, dateTime)
        : undefined
    return this.timeOf(utcMs)
  }

  /** One period behind the row before. */
  private step(periodMs: number): RowTime {
    if (this.localMs !== undefined && periodMs > 0) this.localMs += periodMs
    else this.localMs = undefined
    const utcMs = this.localMs === undefined ? this.times.step(periodMs) : undefined
    if (periodMs === 0 || (utcMs === undefined && this.localMs === undefined))
      throw malformed('a row without a time')
    return this.timeOf(utcMs)
  }

  private timeOf(utcMs: number | undefined): RowTime {
    return {
      utcMs: isTimestamp(utcMs) ? utcMs : undefined,
      localMs: isTimestamp(this.localMs) ? this.localMs : undefined,
    }
  }
}

const noTime: RowTime = { utcMs: undefined, localMs: undefined }

/** True for a row of the period, as far as its time says. */
function isInside({ utcMs, localMs }: RowTime, { fromMs, toMs }: PlannedOperation): boolean {
  if (utcMs !== undefined) return utcMs >= fromMs && utcMs <= toMs
  if (localMs === undefined) return false
  return localMs >= fromMs - localTimeSlackMs && localMs <= toMs + localTimeSlackMs
}

function appendRow(
  writer: ResponseWriter,
  view: Buffer,
  shape: RowShape,
  { utcMs, localMs }: RowTime,
): void {
  const { elementAt } = shape
  writer.octet(entryField)
  const mark = writer.open()
  if (utcMs !== undefined) {
    writer.octet(tagOf(entryTimeField, WireType.LENGTH))
    writer.timestamp(utcMs)
  }
  for (let i = 0; i < shape.count; i++) {
    if (i === shape.clock || i === shape.status) continue
    writer.octet(entryValueField)
    appendValue(writer, view, elementAt[i]!, elementAt[i + 1]!, 'any')
  }
  if (shape.status !== none) {
    const status = uint32OfValue(view, elementAt[shape.status]!, elementAt[shape.status + 1]!)
    if (status === undefined) throw malformed('a profile status that is no number')
    if (status !== 0) {
      writer.octet(entryStatusField)
      writer.varint(status)
    }
  }
  if (utcMs === undefined && localMs !== undefined) {
    const text = Buffer.from(localText(localMs), 'latin1')
    writer.octet(entryLocalTimeField)
    writer.lengthDelimited(text, 0, text.length)
  }
  writer.close(mark)
}

function appendRows(
  writer: ResponseWriter,
  view: Buffer,
  shape: RowShape,
  operation: PlannedOperation,
): void {
  if (view[0] === Tag.NULL && view.length === 1) return
  const count = countOf(view, 0, Tag.ARRAY, limits.dataElementsMax)
  // What may stand behind a count of 0 is not looked at: some meters send the rows nevertheless, or
  // the empty array twice.
  if (count === 0) return
  let at = 1 + lengthBytes(view, 1)
  const times = new RowTimes(writer.zone)
  let outside = 0
  for (let i = 0; i < count; i++) {
    at = walkRow(view, at, shape)
    const time = shape.clock === none ? noTime : times.next(view, shape)
    if (shape.clock === none || isInside(time, operation)) appendRow(writer, view, shape, time)
    else outside++
    if (writer.bytes > limits.responseBodyBytesMax)
      throw new BrokerError('DLMS_SIZE_EXCEEDED', 'response body')
  }
  if (at !== view.length)
    throw new BrokerError(
      'DLMS_LENGTH_INVALID',
      `${view.length - at} octets left over behind the rows`,
    )
  if (outside > 0) {
    writer.octet(rowsOutsideField)
    writer.varint(outside)
  }
}

function valueOf(results: readonly CosemResult[], index: number): Buffer | undefined {
  const result = index < 0 ? undefined : results[index]
  return result?.result === 0 && result.value !== undefined ? asBuffer(result.value) : undefined
}

/**
 * Appends the Profile that operation `index` gave, as field 2 of ResponseBody; only its status when
 * the meter refused it.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID,
 * DLMS_NESTING_EXCEEDED, DLMS_SIZE_EXCEEDED
 */
export function appendProfile(
  writer: ResponseWriter,
  operations: readonly PlannedOperation[],
  results: readonly CosemResult[],
  index: number,
): void {
  const operation = operations[index]!
  const { plan } = operation
  const buffer = valueOf(results, index)
  const obis = Buffer.from(plan.template.obis, 'latin1')
  // The protobuf form is a little smaller or larger than the A-XDR; a wrong guess costs one move of
  // the content.
  const profileLengthBytes = varintBytes(buffer === undefined ? 0 : buffer.length)
  writer.octet(profileField)
  const mark = writer.open(profileLengthBytes)
  writer.octet(tagOf(1, WireType.LENGTH))
  writer.lengthDelimited(obis, 0, obis.length)
  writer.octet(tagOf(2, WireType.VARINT))
  writer.octet(statusOf(results[index]!.result))
  if (buffer !== undefined) {
    const columns = valueOf(results, plan.columnsIndex)
    const period = valueOf(results, plan.periodIndex)
    const periodSeconds = period === undefined ? 0 : (uint32OfValue(period, 0, period.length) ?? 0)
    const shape: RowShape = {
      count: 0,
      clock: none,
      status: none,
      periodMs: periodSeconds * 1000,
      elementAt: writer.elementAt,
    }
    if (columns !== undefined) appendColumns(writer, columns, shape, operations, results)
    appendRows(writer, buffer, shape, operation)
  }
  writer.close(mark, profileLengthBytes)
}
