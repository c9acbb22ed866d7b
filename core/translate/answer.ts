/**
 * From a meter's results to the ResponseBody that the party gets: readings and profiles, written as protobuf straight from
 * the A-XDR. Station 10 and 11 of a message's way; the body is encoded here once and only copied afterwards.
 *
 * What becomes of each operation (the catalogue says what it yields and whether it is optional):
 *   done       a reading or a profile; scalers, columns and periods go into the reading or profile they belong to
 *   refused    mandatory: a reading (or profile) with its status, and the outcome is DEVICE_REFUSED
 *              optional: left out when the meter has no such object (UNDEFINED), else a reading with its status;
 *              an optional scaler, columns or period that was refused is just missing
 *   null       a reading with status EMPTY and no value
 *
 * An answer that is no valid A-XDR, of the wrong shape, or too large is DEVICE_ANSWER_INVALID with an empty body.
 */
import { AssertionFault } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer, emptyBytes } from '../base/bytes.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import type { ServiceRequestRow } from '../catalogue/service-requests.ts'
import { hasFloatLength, Tag } from '../dlms/axdr.ts'
import type { CosemOperation, CosemResult } from '../ports/wan.ts'
import { PlannedOperation } from './plan.ts'
import { appendProfile } from './profile.ts'
import { ProtobufWriter, tagOf, WireType } from './protobuf.ts'
import { ReadingStatus, statusOf } from './reading-status.ts'
import { appendScalerUnit } from './scaler-unit.ts'
import { appendValue, timeOfValue } from './value.ts'

/**
 * What a request came to. `bodyBytes` is a ResponseBody, owned by the receiver, in memory shared with other answers of the
 * same moment: `copyOf` it to keep it for long. `detail` is for logs and never holds readings.
 */
export type Answer = { outcome: ErrorCode; bodyBytes: Buffer; detail?: string }

// A clock that was just set shows the preset time or later: as much later as an exchange may last. Two seconds earlier
// allows for meters that count whole seconds.
const clockBehindMsMax = 2_000
const clockAheadMsMax = limits.wanExchangeMsMax

const readingField = tagOf(1, WireType.LENGTH)
const statusField = tagOf(5, WireType.VARINT)
const valueField = tagOf(6, WireType.LENGTH)

// Bodies are taken out of the writer's slabs as views: nothing is copied, and a slab is never written twice.
const writer = new ProtobufWriter(65_536)

function appendStatusReading(operation: PlannedOperation, status: ReadingStatus): void {
  writer.octet(readingField)
  const mark = writer.open()
  writer.raw(operation.plan.readingFront)
  writer.octet(statusField)
  writer.octet(status)
  writer.close(mark)
}

function appendReading(
  operation: PlannedOperation,
  view: Buffer,
  scaler: CosemResult | undefined,
): void {
  const isEmpty = view[0] === Tag.NULL && view.length === 1
  writer.octet(readingField)
  const mark = writer.open()
  writer.raw(operation.plan.readingFront)
  writer.octet(statusField)
  writer.octet(isEmpty ? ReadingStatus.EMPTY : ReadingStatus.GOOD)
  if (!isEmpty) {
    const source = hasFloatLength(view)
      ? Buffer.concat([view.subarray(0, 1), view.subarray(2)])
      : view
    const behind = appendValue(
      writer,
      valueField,
      source,
      0,
      source.length,
      operation.plan.template.as,
    )
    if (behind !== source.length)
      throw new BrokerError('DLMS_LENGTH_INVALID', `${source.length - behind} octets left over`)
  }
  if (scaler !== undefined) appendScalerUnit(writer, 7, scaler)
  writer.close(mark)
}

function isExpected(operation: PlannedOperation, view: Buffer): boolean {
  if (operation.plan.template.expect === undefined) return true
  const timeMs = timeOfValue(view, 0, view.length)
  if (timeMs === undefined) return false
  const aheadMs = timeMs - operation.expectedMs
  return aheadMs >= -clockBehindMsMax && aheadMs <= clockAheadMsMax
}

// Writes what one operation gave; false when the request is refused by it.
function appendResult(
  operations: readonly PlannedOperation[],
  results: readonly CosemResult[],
  index: number,
): boolean {
  const operation = operations[index]!
  const result = results[index]!
  const { template } = operation.plan
  if (result.result !== 0) {
    const status = statusOf(result.result)
    if (
      template.isOptional &&
      (template.yields !== 'reading' || status === ReadingStatus.UNDEFINED)
    )
      return true
    if (template.yields === 'profile') appendProfile(writer, operations, results, index)
    else appendStatusReading(operation, status)
    return template.isOptional
  }
  const value =
    result.value === undefined || result.value.length === 0 ? undefined : asBuffer(result.value)
  if (value === undefined) {
    if (template.kind === 'get')
      throw new BrokerError('DLMS_VALUE_INVALID', 'success without a value')
    appendStatusReading(operation, ReadingStatus.GOOD)
    return true
  }
  switch (template.yields) {
    case 'reading': {
      const { scalerIndex } = operation.plan
      appendReading(operation, value, scalerIndex < 0 ? undefined : results[scalerIndex])
      return isExpected(operation, value)
    }
    case 'profile':
      appendProfile(writer, operations, results, index)
      return true
    default:
      // Scaler, columns and period go where they belong.
      return true
  }
}

/**
 * What the meter's `results` mean for a request of `row`. Never throws for what a meter sends.
 *
 * @param operations  the very list that `commandOf` gave
 * @param results     one for each operation; values are borrowed during the call
 */
export function answerOf(
  row: ServiceRequestRow,
  operations: readonly CosemOperation[],
  results: readonly CosemResult[],
): Answer {
  // Lists come whole from commandOf, so the first one speaks for all.
  if (!(operations[0] instanceof PlannedOperation))
    throw new AssertionFault(`operations of ${row.text} that commandOf did not make`)
  if (results.length !== operations.length) {
    return invalid(`${row.text}: ${results.length} results to ${operations.length} operations`)
  }
  let isRefused = false
  let index = 0
  writer.reset()
  try {
    for (; index < operations.length; index++) {
      if (!appendResult(operations as readonly PlannedOperation[], results, index)) isRefused = true
      if (writer.bytes > limits.responseBodyBytesMax)
        throw new BrokerError('DLMS_SIZE_EXCEEDED', 'response body')
    }
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    writer.reset()
    return invalid(`${row.text}: operation ${index + 1}: ${error.code} ${error.detail ?? ''}`)
  }
  return { outcome: isRefused ? 'DEVICE_REFUSED' : 'OK', bodyBytes: writer.take() }
}

function invalid(detail: string): Answer {
  return { outcome: 'DEVICE_ANSWER_INVALID', bodyBytes: emptyBytes, detail }
}
