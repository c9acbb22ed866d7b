/**
 * From a request's body to the COSEM operations that carry it out. Station 8 of a message's way.
 * Variants without parameters get one constant list, made when the process starts. APDUs are made
 * of the operations by core/dlms.
 * @source IEC 62056-6-2: profile generic, selective access by range; clock, preset_adjusting_time
 * and adjust_to_preset_time
 */
import { BrokerError } from '../base/broker-error.ts'
import type { DeviceType } from '../inventory/device-record.ts'
import type { ServiceRequestRow, ValueSource } from '../catalogue/service-requests.ts'
import { plainTime, type DeviceTime } from '../catalogue/device-time.ts'
import {
  cosemDateTimeBytes,
  writeCosemDateTime,
  writeLocalDateTime,
} from '../dlms/axdr/date-time.ts'
import { lengthBytesFor, Tag, writeLength } from '../dlms/axdr/axdr.ts'
import { BodyType } from './body-types.ts'
import { emptyBodyFields, readBody, type BodyFields } from './body.ts'
import { commandPlanOf, operationsOf, type PlannedOperation } from './plan.ts'

// Access selector 1, then A-XDR structure of four:
//   structure of four: class-id 8 (clock) as long-unsigned, OBIS 0-0:1.0.0.255, attribute 2 as integer, data index 0
//   from: octet-string of 12, to: octet-string of 12, selected values: array of none, which means all columns
// [IEC 62056-6-2 profile generic, range_descriptor]
const rangeTemplate = Buffer.from(
  '010204020412000809060000010000ff0f02120000' + `090c${'00'.repeat(12)}`.repeat(2) + '0100',
  'hex',
)
const rangeFromAt = 23
const rangeToAt = rangeFromAt + cosemDateTimeBytes + 2

function rangeSelection(fromMs: number, toMs: number, { zone, isSentLocal }: DeviceTime): Buffer {
  const selection = Buffer.from(rangeTemplate)
  if (zone !== undefined && isSentLocal) {
    const { fromLocalMs, toLocalMs } = zone.localRangeOf(fromMs, toMs)
    writeLocalDateTime(selection, rangeFromAt, fromLocalMs)
    writeLocalDateTime(selection, rangeToAt, toLocalMs)
  } else {
    writeCosemDateTime(selection, rangeFromAt, fromMs)
    writeCosemDateTime(selection, rangeToAt, toMs)
  }
  return selection
}

function octetString(view: Buffer, start: number, end: number): Buffer {
  const length = end - start
  const front = 1 + lengthBytesFor(length)
  const out = Buffer.allocUnsafe(front + length)
  out[0] = Tag.OCTET_STRING
  writeLength(out, 1, length)
  view.copy(out, front, start, end)
  return out
}

// "Any" tolerance: a validity interval that holds whatever a clock may show after a power failure.
const anyTimeFromMs = Date.UTC(1970, 0, 1)
const anyTimeToMs = Date.UTC(2099, 11, 31)

// structure of three octet-strings of 12: preset time, start and end of the validity interval. The
// meter takes the preset time only while its own clock is within the interval, so the interval is
// the tolerance. [IEC 62056-6-2 clock, method 5]
function presetTime(
  nowMs: number,
  toleranceSeconds: number,
  { zone, isSentLocal }: DeviceTime,
): Buffer {
  const fields = 3
  const out = Buffer.allocUnsafe(2 + fields * (2 + cosemDateTimeBytes))
  const isAny = toleranceSeconds === 0
  const times = [
    nowMs,
    isAny ? anyTimeFromMs : nowMs - toleranceSeconds * 1000,
    isAny ? anyTimeToMs : nowMs + toleranceSeconds * 1000,
  ]
  out[0] = Tag.STRUCTURE
  out[1] = fields
  let at = 2
  for (const timeMs of times) {
    out[at] = Tag.OCTET_STRING
    out[at + 1] = cosemDateTimeBytes
    at =
      zone !== undefined && isSentLocal
        ? writeLocalDateTime(out, at + 2, zone.localMsOf(timeMs))
        : writeCosemDateTime(out, at + 2, timeMs)
  }
  return out
}

/** integer 0, the parameter of methods that take none in effect. */
const zeroBytes = Buffer.of(Tag.INTEGER, 0)
/** clock_base: internal crystal. [IEC 62056-6-2 clock, attribute 9] */
const internalCrystalBytes = Buffer.of(Tag.ENUM, 1)

function valueOf(
  source: ValueSource,
  view: Buffer,
  fields: BodyFields,
  nowMs: number,
  time: DeviceTime,
): Buffer {
  switch (source) {
    case 'text':
      return octetString(view, fields.textStart, fields.textEnd)
    case 'preset-time':
      return presetTime(nowMs, fields.toleranceSeconds, time)
    case 'zero':
      return zeroBytes
    case 'internal-crystal':
      return internalCrystalBytes
  }
}

/** Times before `readableFromMs`, UTC, that a body asks for are left out of the command. */
export type CommandTime = DeviceTime & { readonly readableFromMs?: number | undefined }

/**
 * The COSEM operations that carry out a request of `row`, to be done in order. They own their
 * memory; constant lists are shared: the same array comes back each time. Give the list to
 * `answerOf` with the results.
 *
 * @param bodyView the request's body as the party sent it, empty when `row` takes none; borrowed
 * during the call
 * @param nowMs       UTC; the time that 6.11 sets
 * @param deviceType  of the target: a gas meter keeps the same things under other names
 * @param time        how times are sent to the target, and from when on values may be read
 * @throws BrokerError of the codes of `readBody`, for a body that intake would have refused
 */
export function commandOf(
  row: ServiceRequestRow,
  bodyView: Buffer,
  nowMs: number,
  deviceType: DeviceType,
  time: CommandTime = plainTime,
): readonly PlannedOperation[] {
  const { plans, operations } = commandPlanOf(row, deviceType)
  if (operations !== undefined) return operations
  const fields = emptyBodyFields()
  if (row.bodyType !== BodyType.NONE) {
    // How far back a meter keeps was checked at intake, against the time of intake.
    const place = { bodyType: row.bodyType, bodyStart: 0, bodyEnd: bodyView.length }
    const code = readBody(bodyView, place, Number.NEGATIVE_INFINITY, fields)
    if (code !== undefined) throw new BrokerError(code, 'in a body that was accepted')
  }
  return operationsOf(plans, (operation) => {
    const { selection, value, expect } = operation.plan.template
    if (selection === 'period') {
      operation.fromMs = Math.max(fields.fromMs, time.readableFromMs ?? fields.fromMs)
      operation.toMs = fields.toMs
      operation.selection = rangeSelection(operation.fromMs, fields.toMs, time)
    }
    if (value !== undefined) operation.value = valueOf(value, bodyView, fields, nowMs, time)
    if (expect === 'now') operation.expectedMs = nowMs
  })
}
