/**
 * Values, units and times of readings as text for people. Integers stay exact: no floating point on
 * the way.
 */
import {
  QuarantineReason,
  scheduleRemovalReasonToJSON,
  type DccAlert,
} from '../../../proto/gen/busbar/v1/dcc_alert.ts'
import { DeviceAlertKind, type DeviceAlert } from '../../../proto/gen/busbar/v1/device_alert.ts'
import {
  Unit,
  type Profile,
  type ProfileEntry,
  type Reading,
  type ResponseBody,
  type ServiceResponse,
  type Value,
} from '../../../proto/gen/busbar/v1/service_response.ts'
import { scheduleFrequencyToJSON, type Schedule } from '../../../proto/gen/busbar/v1/schedule.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { nameOfObis } from '../../../core/dlms/cosem/obis-name.ts'
import { unitOf } from '../../../core/dlms/cosem/units.ts'
import { formatObis, obisBytes } from '../../../core/dlms/axdr/obis.ts'

/** The unit as `busbar meter` spells it, `Wh`; empty for counts and where there is no unit. */
export function unitText(unit: number): string {
  return unit === Unit.UNIT_UNSPECIFIED ? '' : unitOf(unit)
}

/** `1-0:1.8.0.255  Electricity, active energy import …`; text that is not a code stands alone. */
export function obisText(obis: string): string {
  try {
    return `${obis}  ${nameOfObis(obis)}`
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return obis
  }
}

/** `value` × 10^`scaler` as decimal text, exactly. `scaler` is an int8. */
export function decimalText(value: bigint, scaler: number): string {
  if (value === 0n) return scaler < 0 ? `0.${'0'.repeat(-scaler)}` : '0'
  const sign = value < 0n ? '-' : ''
  const digits = (value < 0n ? -value : value).toString()
  if (scaler >= 0) return sign + digits + '0'.repeat(scaler)
  const padded = digits.padStart(1 - scaler, '0')
  return `${sign}${padded.slice(0, scaler)}.${padded.slice(scaler)}`
}

export const timeText = (time: Date | undefined): string =>
  time === undefined ? '-' : time.toISOString().replace('.000Z', 'Z')

/** One value; octets in hexadecimal. */
export function valueText(value: Value | undefined, scaler: number): string {
  const kind = value?.kind
  switch (kind?.$case) {
    case undefined:
      return '-'
    case 'integer':
    case 'unsignedInteger':
      return decimalText(kind.value, scaler)
    case 'booleanValue':
      return kind.value ? 'true' : 'false'
    case 'text':
      return JSON.stringify(kind.value)
    case 'octets':
      return kind.value.toString('hex')
    case 'axdr':
      return `A-XDR ${kind.value.toString('hex')}`
    case 'time':
      return timeText(kind.value)
    case 'floating':
      return String(kind.value)
  }
}

// Statuses as people say them; a good one is not worth a word.
const statusWords = [
  '',
  '',
  'no such object',
  'denied',
  'temporary failure',
  'hardware fault',
  'type unmatched',
  'out of range',
  'other failure',
  'no value',
  'not as expected',
]

function readingLine(reading: Reading): string {
  const { obis, isMethod, attributeId, value, scaler, unit, status, statusDetail } = reading
  const place = `${obisText(obis)}${isMethod ? `, method ${attributeId}` : ''}`
  const quantity =
    value === undefined ? '' : `${valueText(value, scaler)} ${unitText(unit)}`.trimEnd()
  const word = [statusWords[status] ?? `status ${status}`, statusDetail].filter(Boolean).join(': ')
  // A write or a method that went well has nothing to show.
  const shown = [quantity, word && `(${word})`].filter(Boolean).join(' ')
  return shown === '' ? place : `${place}: ${shown}`
}

const rowTimeText = ({ capturedAt, capturedAtLocal }: ProfileEntry): string =>
  capturedAt === undefined && capturedAtLocal !== ''
    ? `${capturedAtLocal} local`
    : timeText(capturedAt)

function profileLines(profile: Profile, entriesMax: number): string[] {
  const { columns, entries } = profile
  const heads = columns.map(({ obis, unit }) => `${obis} ${unitText(unit)}`.trimEnd())
  const word = statusWords[profile.status] ?? `status ${profile.status}`
  const count = `${entries.length} ${entries.length === 1 ? 'entry' : 'entries'}`
  const lines = [`profile ${obisText(profile.obis)}: ${count}${word && ` (${word})`}`]
  // The heads of the table have room for the codes alone.
  for (const { obis } of columns) lines.push(`  column ${obisText(obis)}`)
  if (entries.length > 0) lines.push(`  ${'captured at'.padEnd(22)}${heads.join('  ')}`)
  for (const entry of entries.slice(0, entriesMax)) {
    // Clock and status stand in fields of their own, so the columns that the values belong to are
    // the last ones.
    const shift = columns.length - entry.values.length
    const values = entry.values.map((value, i) => valueText(value, columns[i + shift]?.scaler ?? 0))
    lines.push(`  ${rowTimeText(entry).padEnd(22)}${values.join('  ')}`)
  }
  if (entries.length > entriesMax) lines.push(`  … and ${entries.length - entriesMax} more`)
  const { rowsOutside } = profile
  if (rowsOutside > 0) lines.push(`  ${rowsOutside} rows outside the period were left out`)
  return lines
}

/** Readings, then profiles with at most `entriesMax` entries each; a line each. */
export function readingLines(body: ResponseBody | undefined, entriesMax = 48): string[] {
  return [
    ...(body?.readings ?? []).map(readingLine),
    ...(body?.profiles ?? []).flatMap((profile) => profileLines(profile, entriesMax)),
  ]
}

const alertWords: Readonly<Record<number, string>> = {
  [DeviceAlertKind.DEVICE_ALERT_KIND_DATA_NOTIFICATION]: 'data notification',
  [DeviceAlertKind.DEVICE_ALERT_KIND_EVENT_NOTIFICATION]: 'event notification',
  [DeviceAlertKind.DEVICE_ALERT_KIND_INFORMATION_REPORT]: 'information report',
  [DeviceAlertKind.DEVICE_ALERT_KIND_IDENTIFICATION]: 'identification',
  [DeviceAlertKind.DEVICE_ALERT_KIND_THROTTLED]: 'notice of held alerts',
}

/** Six octets are an OBIS code, fewer an alarm register. */
const alarmText = (alarm: Buffer): string =>
  alarm.length === obisBytes ? obisText(formatObis(alarm)) : alarm.toString('hex')

/** An alert as lines: who said it, how it was protected, and what it says. */
export function alertLines(alert: DeviceAlert): string[] {
  const { device, kind, receivedAt, deviceTime, readings, values, alarm } = alert
  const protection = [
    alert.isAuthenticated && 'authenticated',
    alert.isEncrypted && 'encrypted',
    alert.isSigned && 'signed',
  ].filter(Boolean)
  const { deviceTimeLocal } = alert
  const clock =
    deviceTime !== undefined
      ? `, ${timeText(deviceTime)} by the device`
      : deviceTimeLocal && `, ${deviceTimeLocal} local time by the device`
  const lines = [
    `alert  ${alertWords[kind] ?? `kind ${kind}`}  device ${device}`,
    `  received ${timeText(receivedAt)}${clock}, ${protection.join(' and ') || 'not protected'}`,
  ]
  const { alertCode, alertName, throttledAlertCount: held, throttledAlertSequenceId } = alert
  if (alertCode !== '') lines.push(`  ${alertCode} ${alertName}`)
  if (held > 0) lines.push(`  ${held} more were not delivered (notice ${throttledAlertSequenceId})`)
  for (const reading of readings) lines.push(`  ${readingLine(reading)}`)
  for (const value of values) lines.push(`  ${valueText(value, 0)}`)
  if (alarm.length > 0) lines.push(`  alarm ${alarmText(alarm)}`)
  return lines
}

/**
 * A response as lines: what it answers, how it went, readings and profiles. At most `entriesMax`
 * entries of each profile.
 */
export function responseLines(response: ServiceResponse, entriesMax: number): string[] {
  const {
    requestId,
    serviceReferenceVariant,
    responseCode,
    reason,
    message,
    acceptedAt,
    answeredAt,
    attempts,
    scheduleId,
    body,
  } = response
  const ms =
    acceptedAt && answeredAt
      ? `, ${answeredAt.getTime() - acceptedAt.getTime()} ms after acceptance`
      : ''
  const lines = [
    `${responseCode} ${reason}  SRV ${serviceReferenceVariant}  ` +
      `device ${requestId?.target ?? '?'}  counter ${requestId?.counter ?? '?'}` +
      (scheduleId === 0n ? '' : `  schedule ${scheduleId}`),
    `  answered ${timeText(answeredAt)}${ms}, attempts ${attempts}`,
  ]
  if (message !== '') lines.push(`  ${message}`)
  for (const line of readingLines(body, entriesMax)) lines.push(`  ${line}`)
  for (const schedule of body?.schedules ?? []) lines.push(`  ${scheduleLine(schedule)}`)
  return lines
}

function scheduleLine({ scheduleId, definition, nextRunAt }: Schedule): string {
  const { frequency = 0, serviceReferenceVariant = '', endDate = '' } = definition ?? {}
  const often = scheduleFrequencyToJSON(frequency).replace('SCHEDULE_FREQUENCY_', '').toLowerCase()
  const next = nextRunAt === undefined ? 'no further run' : `next ${timeText(nextRunAt)}`
  const until = endDate === '' ? '' : `, until ${endDate}`
  return `schedule ${scheduleId}: ${serviceReferenceVariant} ${often.replace('_', '-')}, ${next}${until}`
}

const reasonWords: Readonly<Record<number, string>> = {
  [QuarantineReason.QUARANTINE_REASON_PARTY_THRESHOLD]: 'over a threshold of the party',
  [QuarantineReason.QUARANTINE_REASON_ALL_PARTIES_THRESHOLD]: 'over a threshold of all parties',
  [QuarantineReason.QUARANTINE_REASON_VALUE_LIMIT]: 'a value in its body is outside a limit',
}

/** A message of Busbar itself as lines. */
export function dccAlertLines({ alertCode, time, content }: DccAlert): string[] {
  const head = `DCC alert ${alertCode}`.trimEnd()
  if (content?.$case === 'quarantinedRequest') {
    const { requestId, serviceReferenceVariant, quarantineEventNumber, reason } = content.value
    const { originator, target, counter } = requestId!
    return [
      `${head}  in quarantine as event ${quarantineEventNumber}  ${timeText(time)}`,
      `  ${originator}:${target}:${counter}  SRV ${serviceReferenceVariant}`,
      `  ${reasonWords[reason] ?? `reason ${reason}`}`,
    ]
  }
  if (content?.$case === 'thresholdWarning') {
    const { serviceReferenceVariant, windowHours, passed, warningThreshold, quarantineThreshold } =
      content.value
    const variant =
      serviceReferenceVariant === '' ? 'all variants' : `SRV ${serviceReferenceVariant}`
    return [
      `${head}  warning threshold reached  ${timeText(time)}`,
      `  ${variant}: ${passed} within ${windowHours} h; warning at ${warningThreshold}, quarantine above ${quarantineThreshold}`,
    ]
  }
  if (content?.$case === 'sequencedRequestFailure') {
    const { requestId, serviceReferenceVariant, precedingRequestId, reason, precedingReason } =
      content.value
    const { originator, target, counter } = requestId!
    const ended = precedingReason === '' ? '' : `, which ended with ${precedingReason}`
    return [
      `${head}  not carried out: ${reason}  ${timeText(time)}`,
      `  ${originator}:${target}:${counter}  SRV ${serviceReferenceVariant}`,
      `  predecessor ${precedingRequestId?.counter}${ended}`,
    ]
  }
  return (
    scheduleAlertLines(head, time, content) ?? [
      `${head}  of a kind that this version does not know`,
    ]
  )
}

function scheduleAlertLines(
  head: string,
  time: Date | undefined,
  content: DccAlert['content'],
): string[] | undefined {
  if (content?.$case === 'commandFailure') {
    const { requestId, scheduleId, device, reason } = content.value
    const whose = scheduleId === 0n ? '' : `  schedule ${scheduleId}`
    return [
      `${head}  a command has failed: ${reason}  ${timeText(time)}`,
      `  device ${device}  counter ${requestId?.counter}${whose}`,
    ]
  }
  if (content?.$case === 'scheduleRemoval') {
    const { device, scheduleId, reason } = content.value
    const why = scheduleRemovalReasonToJSON(reason).replace('SCHEDULE_REMOVAL_REASON_', '')
    const words = why.toLowerCase().replaceAll('_', ' ')
    return [
      `${head}  a schedule has ended: ${words}  ${timeText(time)}`,
      `  device ${device}  schedule ${scheduleId}`,
    ]
  }
  if (content?.$case !== 'scheduleMisses') return undefined
  const { device, scheduleId, count, firstDueAt, lastDueAt } = content.value
  return [
    `${head}  ${count} runs of a schedule were missed  ${timeText(time)}`,
    `  device ${device}  schedule ${scheduleId}  due ${timeText(firstDueAt)} to ${timeText(lastDueAt)}`,
  ]
}
