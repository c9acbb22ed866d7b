/**
 * COSEM date-time, date and time field by field, wildcards and recurring patterns included:
 *
 *   date = year u16 | month | day | day of week      time = hour | minute | second | hundredths
 *   date-time = date, time, deviation i16 in minutes from local time to UTC, clock status
 *
 * FFFF, FF, deviation 8000 and clock status FF say "not specified", which is undefined here. Fields
 * are not held against the calendar: a 30th of February is what a meter sent. As points in time:
 * date-time.ts. [IEC 62056-6-2, Date and time formats]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { ClockStatus, cosemDateTimeBytes, deviationUnspecified } from './date-time.ts'

/** Months that are a rule: the last Sunday of daylight saving, and its first. */
export const RecurringMonth = { DAYLIGHT_SAVING_END: 0xfd, DAYLIGHT_SAVING_BEGIN: 0xfe } as const
/** Days of the month that are a rule. */
export const RecurringDay = { SECOND_LAST: 0xfd, LAST: 0xfe } as const

/** `month` 1 to 12 or RecurringMonth, `day` 1 to 31 or RecurringDay, `dayOfWeek` 1 Monday to 7. */
export type CosemDate = {
  year: number | undefined
  month: number | undefined
  day: number | undefined
  dayOfWeek: number | undefined
}
export type CosemTime = {
  hour: number | undefined
  minute: number | undefined
  second: number | undefined
  hundredths: number | undefined
}
/** `deviation` minutes from local time to UTC; `clockStatus` bits of ClockStatus. */
export type CosemDateTime = CosemDate &
  CosemTime & { deviation: number | undefined; clockStatus: number | undefined }

export const cosemDateBytes = 5
export const cosemTimeBytes = 4

/**
 * @throws BrokerError DLMS_LENGTH_INVALID for other than twelve octets, as those below for five and
 * four
 */
export function decodeDateTime(view: Buffer): CosemDateTime {
  checkBytes(view, cosemDateTimeBytes)
  const deviation = view.readInt16BE(9)
  return {
    ...dateAt(view, 0),
    ...timeAt(view, cosemDateBytes),
    deviation: deviation === deviationUnspecified ? undefined : deviation,
    clockStatus: specified(view[11]!),
  }
}

export function decodeDate(view: Buffer): CosemDate {
  checkBytes(view, cosemDateBytes)
  return dateAt(view, 0)
}

export function decodeTime(view: Buffer): CosemTime {
  checkBytes(view, cosemTimeBytes)
  return timeAt(view, 0)
}

/**
 * Twelve octets; owned, as those below. @throws BrokerError DLMS_VALUE_INVALID for a field that its
 * octets cannot hold
 */
export function encodeDateTime(fields: CosemDateTime): Buffer {
  const { deviation = deviationUnspecified, clockStatus = 0xff } = fields
  if (deviation < -0x8000 || deviation > 0x7fff)
    throw new BrokerError('DLMS_VALUE_INVALID', `deviation ${deviation}`)
  return Buffer.concat([
    encodeDate(fields),
    encodeTime(fields),
    Buffer.of((deviation >> 8) & 0xff, deviation & 0xff, octetOf('clock status', clockStatus)),
  ])
}

export function encodeDate({ year = 0xffff, month, day, dayOfWeek }: CosemDate): Buffer {
  if (!(year >= 0 && year <= 0xffff)) throw new BrokerError('DLMS_VALUE_INVALID', `year ${year}`)
  return Buffer.of(
    year >> 8,
    year & 0xff,
    octetOf('month', month),
    octetOf('day', day),
    octetOf('day of week', dayOfWeek),
  )
}

export function encodeTime({ hour, minute, second, hundredths }: CosemTime): Buffer {
  return Buffer.of(
    octetOf('hour', hour),
    octetOf('minute', minute),
    octetOf('second', second),
    octetOf('hundredths', hundredths),
  )
}

const daysOfWeek = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']

/**
 * `2026-06-12 Fri 13:14:15.00 UTC-02:00 daylight-saving`, with `*` for what is not specified.
 * @throws as `decodeDateTime`
 */
export function formatDateTime(view: Buffer): string {
  const { deviation, clockStatus } = decodeDateTime(view)
  // People read the distance of local time from UTC; the field holds the way back.
  const east = -(deviation ?? 0)
  const zone =
    deviation === undefined
      ? ''
      : ` UTC${east < 0 ? '-' : '+'}${two(Math.trunc(Math.abs(east) / 60))}:${two(Math.abs(east) % 60)}`
  const status = Object.entries(ClockStatus)
    .filter(([, bit]) => clockStatus !== undefined && clockStatus & bit)
    .map(([name]) => ` ${name.toLowerCase().replaceAll('_', '-')}`)
  return `${formatDate(view.subarray(0, cosemDateBytes))} ${formatTime(view.subarray(cosemDateBytes, 9))}${zone}${status.join('')}`
}

/** `2026-06-12 Fri`. @throws as `decodeDate` */
export function formatDate(view: Buffer): string {
  const { year, month, day, dayOfWeek } = decodeDate(view)
  const monthText =
    month === RecurringMonth.DAYLIGHT_SAVING_END
      ? 'dst-end'
      : month === RecurringMonth.DAYLIGHT_SAVING_BEGIN
        ? 'dst-begin'
        : two(month)
  const dayText =
    day === RecurringDay.LAST ? 'last' : day === RecurringDay.SECOND_LAST ? '2nd-last' : two(day)
  const weekday = dayOfWeek === undefined ? '' : ` ${daysOfWeek[dayOfWeek - 1] ?? dayOfWeek}`
  return `${year ?? '*'}-${monthText}-${dayText}${weekday}`
}

/** `13:14:15.00`. @throws as `decodeTime` */
export function formatTime(view: Buffer): string {
  const { hour, minute, second, hundredths } = decodeTime(view)
  return `${two(hour)}:${two(minute)}:${two(second)}${hundredths === undefined ? '' : `.${two(hundredths)}`}`
}

function two(value: number | undefined): string {
  return value === undefined ? '*' : String(value).padStart(2, '0')
}

function dateAt(view: Buffer, at: number): CosemDate {
  const year = view.readUInt16BE(at)
  return {
    year: year === 0xffff ? undefined : year,
    month: specified(view[at + 2]!),
    day: specified(view[at + 3]!),
    dayOfWeek: specified(view[at + 4]!),
  }
}

function timeAt(view: Buffer, at: number): CosemTime {
  return {
    hour: specified(view[at]!),
    minute: specified(view[at + 1]!),
    second: specified(view[at + 2]!),
    hundredths: specified(view[at + 3]!),
  }
}

function specified(octet: number): number | undefined {
  return octet === 0xff ? undefined : octet
}

function octetOf(name: string, value = 0xff): number {
  if (!(value >= 0 && value <= 0xff))
    throw new BrokerError('DLMS_VALUE_INVALID', `${name} ${value}`)
  return value
}

function checkBytes(view: Buffer, bytes: number): void {
  if (view.length !== bytes)
    throw new BrokerError('DLMS_LENGTH_INVALID', `${view.length} octets in place of ${bytes}`)
}
