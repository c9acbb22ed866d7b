/**
 * Date-times, dates and times of COSEM as text that goes both ways without loss, patterns and
 * wildcards included:
 *
 *   2026-06-12 Fri 13:14:15.00 UTC+02:00 daylight-saving      *-dst-end-last Sun 02:00:00
 *
 * The text is formatDateTime's with two words more: `status-unspecified` for clock status FF,
 * `status-40` for bits without a name. From people ISO 8601 is taken too. [IEC 62056-6-2, Date and
 * time formats]
 */
import { BrokerError } from '../../base/broker-error.ts'
import {
  ClockStatus,
  cosemDateTimeBytes,
  deviationUnspecified,
  writeCosemDateTime,
} from '../axdr/date-time.ts'
import {
  cosemDateBytes,
  decodeDateTime,
  encodeDate,
  encodeDateTime,
  encodeTime,
  formatDate,
  formatDateTime,
  formatTime,
  RecurringDay,
  RecurringMonth,
  type CosemDate,
  type CosemTime,
} from '../axdr/date-time-fields.ts'

const daysOfWeek = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']
const statusBits = new Map(
  Object.entries(ClockStatus).map(([name, bit]) => [name.toLowerCase().replaceAll('_', '-'), bit]),
)
const namedBits = [...statusBits.values()].reduce((all, bit) => all | bit, 0)

const dateText = String.raw`(\*|\d{1,5})-(\*|\d{1,3}|dst-end|dst-begin)-(\*|\d{1,3}|last|2nd-last)(?: (Mon|Tue|Wed|Thu|Fri|Sat|Sun|\d{1,3}))?`
const timeText = String.raw`(\*|\d{1,3}):(\*|\d{1,3}):(\*|\d{1,3})(?:\.(\d{1,3}))?`
const datePattern = new RegExp(`^${dateText}$`)
const timePattern = new RegExp(`^${timeText}$`)
const dateTimePattern = new RegExp(
  String.raw`^(${dateText}) (${timeText})(?: UTC([+-])(\d{2,3}):(\d{2}))?((?: [a-z][a-z0-9-]*)*)$`,
)
const isoPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})$/

/**
 * The text of twelve octets. @throws BrokerError DLMS_LENGTH_INVALID for another number, as those
 * below
 */
export function textOfDateTime(view: Buffer): string {
  const { clockStatus } = decodeDateTime(view)
  const unnamed = (clockStatus ?? 0) & ~namedBits
  const status =
    clockStatus === undefined
      ? ' status-unspecified'
      : unnamed
        ? ` status-${unnamed.toString(16)}`
        : ''
  return formatDateTime(view) + status
}

/** The text of five octets. */
export function textOfDate(view: Buffer): string {
  return formatDate(view)
}

/** The text of four octets. */
export function textOfTime(view: Buffer): string {
  return formatTime(view)
}

/** Twelve octets; owned, as those below. @throws BrokerError DLMS_VALUE_INVALID */
export function octetsOfDateTime(text: string): Buffer {
  if (isoPattern.test(text)) return octetsOfIso(text)
  const match = dateTimePattern.exec(text)
  if (match === null) throw noTime('date-time', text)
  const [, date, , , , , time, , , , , sign, hours, minutes, words] = match
  const distance = Number(hours ?? 0) * 60 + Number(minutes ?? 0)
  const deviation = sign === undefined ? undefined : sign === '+' ? -distance : distance
  if (deviation === deviationUnspecified) throw noTime('date-time', text)
  return encodeDateTime({
    ...dateOf(date!),
    ...timeOf(time!),
    deviation: deviation === undefined ? undefined : deviation + 0,
    clockStatus: statusOf(words!.trim()),
  })
}

export function octetsOfDate(text: string): Buffer {
  return encodeDate(dateOf(text))
}

export function octetsOfTime(text: string): Buffer {
  return encodeTime(timeOf(text))
}

function octetsOfIso(text: string): Buffer {
  const utcMs = Date.parse(text)
  if (Number.isNaN(utcMs)) throw noTime('date-time', text)
  const zone = /([+-])(\d{2}):(\d{2})$/.exec(text)
  const east = zone === null ? 0 : Number(`${zone[1]}1`) * (Number(zone[2]) * 60 + Number(zone[3]))
  const bytes = Buffer.alloc(cosemDateTimeBytes)
  writeCosemDateTime(bytes, 0, utcMs, 0 - east)
  return bytes
}

function dateOf(text: string): CosemDate {
  const match = datePattern.exec(text)
  if (match === null) throw noTime('date', text)
  const [, year, month, day, weekday] = match
  const named = daysOfWeek.indexOf(weekday ?? '')
  return {
    year: numberOf(year),
    month:
      month === 'dst-end'
        ? RecurringMonth.DAYLIGHT_SAVING_END
        : month === 'dst-begin'
          ? RecurringMonth.DAYLIGHT_SAVING_BEGIN
          : numberOf(month),
    day:
      day === 'last'
        ? RecurringDay.LAST
        : day === '2nd-last'
          ? RecurringDay.SECOND_LAST
          : numberOf(day),
    dayOfWeek: named < 0 ? numberOf(weekday) : named + 1,
  }
}

function timeOf(text: string): CosemTime {
  const match = timePattern.exec(text)
  if (match === null) throw noTime('time', text)
  const [, hour, minute, second, hundredths] = match
  return {
    hour: numberOf(hour),
    minute: numberOf(minute),
    second: numberOf(second),
    hundredths: numberOf(hundredths),
  }
}

function statusOf(words: string): number | undefined {
  let status = 0
  for (const word of words === '' ? [] : words.split(' ')) {
    if (word === 'status-unspecified') return undefined
    const unnamed = /^status-([0-9a-f]{1,2})$/.exec(word)?.[1]
    const bits = unnamed === undefined ? statusBits.get(word) : Number.parseInt(unnamed, 16)
    if (bits === undefined) throw noTime('clock status', word)
    status |= bits
  }
  return status
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || text === '*' ? undefined : Number(text)
}

function noTime(what: string, text: string): BrokerError {
  return new BrokerError('DLMS_VALUE_INVALID', `'${text.slice(0, 60)}' is no ${what}`)
}

/**
 * Octets of a date-time, a date or a time by their number; undefined for any other number.
 */
export function textOfTimeOctets(view: Buffer): string | undefined {
  if (view.length === cosemDateTimeBytes) return textOfDateTime(view)
  if (view.length === cosemDateBytes) return textOfDate(view)
  return view.length === 4 ? textOfTime(view) : undefined
}
