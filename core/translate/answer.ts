/**
 * From a meter's results to the ResponseBody that the party gets: readings and profiles, written as
 * protobuf straight from the A-XDR. Station 10 and 11 of a message's way; the body is encoded here
 * once and only copied afterwards.
 *
 * What becomes of each operation (the catalogue says what it yields and whether it is optional):
 *   done       a reading or a profile; scalers, columns and periods go into the reading or profile they belong to
 *   refused    mandatory: a reading (or profile) with its status, and the outcome is DEVICE_REFUSED
 *              optional: left out when the meter has no such object (UNDEFINED), else a reading with its status;
 *              an optional scaler, columns or period that was refused is just missing
 *   null       a reading with status EMPTY and no value
 *   not what was expected (a clock that names no point in time, or another than was set; an invalid scaler_unit)
 *              the reading as it came, with status UNEXPECTED and why; mandatory: the outcome is DEVICE_REFUSED
 *
 * An answer that is no valid A-XDR, of the wrong shape, or too large is DEVICE_ANSWER_INVALID with
 * an empty body.
 */
import { AssertionFault } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer, emptyBytes } from '../base/bytes.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import type { ServiceRequestRow } from '../catalogue/service-requests.ts'
import { plainTime, type DeviceTime } from '../catalogue/device-time.ts'
import { hasFloatLength, Tag } from '../dlms/axdr/axdr.ts'
import type { CosemOperation, CosemResult } from '../ports/wan.ts'
import { PlannedOperation } from './plan.ts'
import { appendProfile } from './profile.ts'
import { tagOf, WireType } from './protobuf.ts'
import { ReadingStatus, statusOf } from './reading-status.ts'
import { ResponseWriter } from './response-writer.ts'
import { appendScalerUnit, scalerProblem } from './scaler-unit.ts'
import { dateTimeProblem, expectationProblem } from './expectation.ts'
import { appendValue } from './value.ts'

/**
 * What a request came to. `bodyBytes` is a ResponseBody, owned by the receiver, in memory shared
 * with other answers of the same moment: `copyOf` it to keep it for long. `detail` is for logs and
 * never holds readings.
 */
export type Answer = { outcome: ErrorCode; bodyBytes: Buffer; detail?: string }

const readingField = tagOf(1, WireType.LENGTH)
const statusField = tagOf(5, WireType.VARINT)
const valueField = tagOf(6, WireType.LENGTH)
const statusDetailField = tagOf(9, WireType.LENGTH)

// Bodies are taken out of the writer's slabs as views: nothing is copied, and a slab is never
// written twice.
const bodies = new ResponseWriter(65_536)

function appendStatusReading(
  writer: ResponseWriter,
  operation: PlannedOperation,
  status: ReadingStatus,
): void {
  writer.octet(readingField)
  const mark = writer.open()
  writer.raw(operation.plan.readingFront)
  writer.octet(statusField)
  writer.octet(status)
  writer.close(mark)
}

/** False when the reading is not what was expected, which its status says. */
function appendReading(
  writer: ResponseWriter,
  operation: PlannedOperation,
  view: Buffer,
  scaler: CosemResult | undefined,
): boolean {
  const { zone } = writer
  const isEmpty = view[0] === Tag.NULL && view.length === 1
  const { as } = operation.plan.template
  const problem =
    expectationProblem(operation, view, zone) ??
    (as === 'time' && !isEmpty ? dateTimeProblem(view, zone) : undefined) ??
    (scaler && scalerProblem(scaler))
  writer.octet(readingField)
  const mark = writer.open()
  writer.raw(operation.plan.readingFront)
  writer.octet(statusField)
  writer.octet(
    problem !== undefined
      ? ReadingStatus.UNEXPECTED
      : isEmpty
        ? ReadingStatus.EMPTY
        : ReadingStatus.GOOD,
  )
  if (!isEmpty) {
    const source = hasFloatLength(view)
      ? Buffer.concat([view.subarray(0, 1), view.subarray(2)])
      : view
    writer.octet(valueField)
    const behind = appendValue(writer, source, 0, source.length, as)
    if (behind !== source.length)
      throw new BrokerError('DLMS_LENGTH_INVALID', `${source.length - behind} octets left over`)
  }
  if (scaler !== undefined && scalerProblem(scaler) === undefined)
    appendScalerUnit(writer, 7, scaler)
  if (problem !== undefined) {
    const text = Buffer.from(problem)
    writer.octet(statusDetailField)
    writer.lengthDelimited(text, 0, text.length)
  }
  writer.close(mark)
  return problem === undefined
}

// Writes what one operation gave; false when the request is refused by it.
function appendResult(
  writer: ResponseWriter,
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
    else appendStatusReading(writer, operation, status)
    return template.isOptional
  }
  const value =
    result.value === undefined || result.value.length === 0 ? undefined : asBuffer(result.value)
  if (value === undefined) {
    if (template.kind === 'get')
      throw new BrokerError('DLMS_VALUE_INVALID', 'success without a value')
    appendStatusReading(writer, operation, ReadingStatus.GOOD)
    return true
  }
  switch (template.yields) {
    case 'reading': {
      const { scalerIndex } = operation.plan
      const scaler = scalerIndex < 0 ? undefined : results[scalerIndex]
      return appendReading(writer, operation, value, scaler) || template.isOptional
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
 * @param time        how the device's clock is understood
 */
export function answerOf(
  row: ServiceRequestRow,
  operations: readonly CosemOperation[],
  results: readonly CosemResult[],
  { zone }: Pick<DeviceTime, 'zone'> = plainTime,
): Answer {
  // Lists come whole from commandOf, so the first one speaks for all.
  if (!(operations[0] instanceof PlannedOperation))
    throw new AssertionFault(`operations of ${row.text} that commandOf did not make`)
  if (results.length !== operations.length) {
    return invalid(`${row.text}: ${results.length} results to ${operations.length} operations`)
  }
  let isRefused = false
  let index = 0
  const writer = bodies
  writer.reset()
  writer.zone = zone
  try {
    for (; index < operations.length; index++) {
      if (!appendResult(writer, operations as readonly PlannedOperation[], results, index))
        isRefused = true
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
