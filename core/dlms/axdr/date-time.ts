/**
 * COSEM date-time, twelve octets, to and from UTC milliseconds:
 *
 *   0 year u16 | 2 month | 3 day | 4 day of week (1 Monday) | 5 hour | 6 minute | 7 second | 8 hundredths
 *   9 deviation i16, minutes from local time to UTC: UTC = local + deviation | 11 clock status
 *
 * FFFF, FF, and for month and day also FD and FE, stand for "any"; deviation 8000 for "not
 * specified".
 * [IEC 62056-6-2, Date and time formats]. Recurring patterns (last day of the month, daylight saving rules) are not worked out.
 */
import { BrokerError } from '../../base/broker-error.ts'

export const cosemDateTimeBytes = 12

/** Deviation that a meter sends when it does not say one. */
export const deviationUnspecified = -0x8000

const dayMs = 86_400_000
const minuteMs = 60_000

/**
 * What the date-time at `at` shows, ms since 1970 as if it were UTC; undefined when it names no one
 * time: a wildcard, or a day that does not exist. Hundredths "any" count as 0, day of week is
 * ignored.
 * @throws BrokerError DLMS_LENGTH_INVALID when fewer than twelve octets are there
 */
export function readLocalMs(view: Uint8Array, at: number): number | undefined {
  if (at + cosemDateTimeBytes > view.length)
    throw new BrokerError('DLMS_LENGTH_INVALID', `date-time at octet ${at}`)
  const year = (view[at]! << 8) | view[at + 1]!
  const month = view[at + 2]!
  const day = view[at + 3]!
  const hour = view[at + 5]!
  const minute = view[at + 6]!
  const second = view[at + 7]!
  const hundredths = view[at + 8]!
  if (
    year === 0xffff ||
    month < 1 ||
    month > 12 ||
    day < 1 ||
    hour > 23 ||
    minute > 59 ||
    second > 59
  )
    return undefined
  if (day > daysOfMonth(year, month) || (hundredths > 99 && hundredths !== 0xff)) return undefined
  return (
    daysFromEpoch(year, month, day) * dayMs +
    ((hour * 60 + minute) * 60 + second) * 1000 +
    (hundredths === 0xff ? 0 : hundredths * 10)
  )
}

/**
 * The UTC time, ms since 1970, of the date-time at `at`; undefined when `readLocalMs` gives none,
 * or when the deviation is not specified: that is a local time, which only its zone makes a point
 * in time (local-time.ts).
 * @throws BrokerError DLMS_LENGTH_INVALID when fewer than twelve octets are there
 */
export function readCosemDateTime(view: Uint8Array, at: number): number | undefined {
  const local = readLocalMs(view, at)
  if (local === undefined) return undefined
  const deviation = readDeviation(view, at)
  return deviation === deviationUnspecified ? undefined : local + deviation * minuteMs
}

/** Minutes from local time to UTC of the date-time at `at`, or `deviationUnspecified`. */
export function readDeviation(view: Uint8Array, at: number): number {
  return ((view[at + 9]! << 24) >> 16) | view[at + 10]!
}

/** Bits of a date-time's last octet. @source IEC 62056-6-2, clock_status */
export const ClockStatus = {
  INVALID: 1,
  DOUBTFUL: 2,
  DIFFERENT_BASE: 4,
  STATUS_INVALID: 8,
  DAYLIGHT_SAVING: 128,
} as const

/** The clock status of the date-time at `at`: bits of ClockStatus, 0xff when not specified. */
export function readClockStatus(view: Uint8Array, at: number): number {
  return view[at + 11]!
}

/**
 * Writes `utcMs` as local time of `deviationMinutes` (minutes from local time to UTC; 0: UTC) at
 * `at`; returns the offset behind it. Milliseconds are cut to hundredths. Years 1 to 65534.
 */
export function writeCosemDateTime(
  out: Uint8Array,
  at: number,
  utcMs: number,
  deviationMinutes = 0,
  clockStatus = 0,
): number {
  const local = utcMs - deviationMinutes * minuteMs
  const days = Math.floor(local / dayMs)
  const hundredthsOfDay = Math.floor((local - days * dayMs) / 10)
  const secondsOfDay = Math.floor(hundredthsOfDay / 100)
  // Civil date from days: the year is taken to begin in March, so that the leap day comes last.
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
  out[at] = year >> 8
  out[at + 1] = year
  out[at + 2] = month
  out[at + 3] = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1
  // 1970-01-01 was a Thursday.
  out[at + 4] = ((((days + 3) % 7) + 7) % 7) + 1
  out[at + 5] = Math.floor(secondsOfDay / 3600)
  out[at + 6] = Math.floor(secondsOfDay / 60) % 60
  out[at + 7] = secondsOfDay % 60
  out[at + 8] = hundredthsOfDay % 100
  out[at + 9] = deviationMinutes >> 8
  out[at + 10] = deviationMinutes
  out[at + 11] = clockStatus
  return at + cosemDateTimeBytes
}

/**
 * Writes `localMs`, a local time as if it were UTC, without deviation and clock status; returns the
 * offset behind it.
 */
export function writeLocalDateTime(out: Uint8Array, at: number, localMs: number): number {
  const behind = writeCosemDateTime(out, at, localMs, 0, 0xff)
  out[at + 9] = 0x80
  out[at + 10] = 0
  return behind
}

function daysOfMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function daysFromEpoch(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  return (
    era * 146_097 +
    yearOfEra * 365 +
    Math.floor(yearOfEra / 4) -
    Math.floor(yearOfEra / 100) +
    dayOfYear -
    719_468
  )
}
