/**
 * When a schedule runs. Its runs are numbered from 0; each has a day, by the calendar of its zone,
 * and a time. Pure: the same schedule and number give the same time on every host.
 *
 *   months      a start on 29 to 31 runs on the last day of shorter months, and on its own day again
 *               afterwards; a start on 29 February runs on 28 February in other years
 *   forward     a time that clocks leave out is taken by the rule before the change: 01:30, in a
 *               night without 01:00 to 02:00, runs when clocks show 02:30
 *   back        of a time that comes twice, the first one
 *   no day      in a zone that leaves out a whole day, the run of that day would fall together with
 *               the next one, and counts as missed: run times strictly rise
 *
 * Calendar and zones are Temporal's. @source ../shared/domain/schedules-and-future-dating.md
 */
import { Temporal } from 'temporal-polyfill'
import { fnv1a32 } from '../base/bytes.ts'
import { bytesOfEui64, type Eui64 } from '../base/eui64.ts'
import { timeZoneOf } from '../catalogue/time-zone.ts'
import type { Frequency, When } from './schedule.ts'

export const dayMs = 86_400_000
/** Runs of one schedule: daily, that is 22,000 years. */
export const runNumberMax = 2 ** 23 - 1

/** Days between two runs, or months. */
const steps: Readonly<Record<Frequency, { days?: number; months?: number }>> = {
  DAILY: { days: 1 },
  WEEKLY: { days: 7 },
  MONTHLY: { months: 1 },
  QUARTERLY: { months: 3 },
  HALF_YEARLY: { months: 6 },
  YEARLY: { months: 12 },
}
/** No two runs are closer, apart from clocks that are set: for a first guess. */
const shortestDays = ({ frequency }: When): number => {
  const { days, months = 0 } = steps[frequency]
  return days ?? months * 28
}
const longestDays = ({ frequency }: When): number => {
  const { days, months = 0 } = steps[frequency]
  return days ?? months * 31
}

/** Day of the run `number`, from 1970-01-01; undefined behind the end. */
export function dayOfRun(
  { frequency, startDay, endDay }: When,
  number: number,
): number | undefined {
  const { days, months } = steps[frequency]
  let day: number
  if (days !== undefined) day = startDay + days * number
  else {
    const start = Temporal.Instant.fromEpochMilliseconds(startDay * dayMs)
    const date = start.toZonedDateTimeISO('UTC').toPlainDate()
    // From the start, not from the run before: the last day of a short month must not stick.
    const at = date.add({ months: months! * number }, { overflow: 'constrain' })
    day = Math.round(at.toZonedDateTime('UTC').epochMilliseconds / dayMs)
  }
  return number > runNumberMax || (endDay !== undefined && day > endDay) ? undefined : day
}

/** UTC of a time of a day in the zone of a schedule. A zone that is not known any more is UTC. */
export function utcOf({ timeZone }: Pick<When, 'timeZone'>, day: number, timeMs: number): number {
  const localMs = day * dayMs + timeMs
  const zone = timeZone === '' ? undefined : timeZoneOf(timeZone)
  return zone === undefined ? localMs : (zone.utcMsOf(localMs)[0] ?? localMs)
}

/** The day that clocks in the zone of a schedule show. */
export function dayAt({ timeZone }: Pick<When, 'timeZone'>, utcMs: number): number {
  const zone = timeZone === '' ? undefined : timeZoneOf(timeZone)
  return Math.floor((zone?.localMsOf(utcMs) ?? utcMs) / dayMs)
}

/** Time of day at which a schedule runs; `offset` is its share of what it is spread over. */
const timeOfRun = ({ startMs = 0 }: When, offset: number): number => startMs + offset

/**
 * By how much the runs of a schedule are put off, ms, in whole seconds: a stable hash over the time
 * that they are spread over.
 */
export function spreadOffset(when: When, device: Eui64, party: Eui64, id: number): number {
  const overMs = when.startMs === undefined ? dayMs : when.spreadMs
  const seconds = Math.floor(overMs / 1_000)
  if (seconds <= 1) return 0
  const octets = Buffer.concat([bytesOfEui64(device), bytesOfEui64(party), Buffer.alloc(8)])
  octets.writeBigUInt64BE(BigInt(id), 16)
  return (mixed(fnv1a32(octets, 0, octets.length)) % seconds) * 1_000
}

/** FNV-1a spreads its last octets badly over the high bits: the finisher of MurmurHash3. */
function mixed(hash: number): number {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** When the run `number` is due, UTC ms; undefined behind the end. */
export function dueOf(when: When, offset: number, number: number): number | undefined {
  const day = dayOfRun(when, number)
  return day === undefined ? undefined : utcOf(when, day, timeOfRun(when, offset))
}

/** The lowest number from `from` on whose run is due after `afterMs`; undefined for none. */
export function nextRun(
  when: When,
  offset: number,
  from: number,
  afterMs: number,
): number | undefined {
  const isAfter = (number: number): boolean =>
    (dueOf(when, offset, number) ?? Number.POSITIVE_INFINITY) > afterMs
  // As a rule, it is this one.
  let high = from
  if (!isAfter(from)) {
    const first = dueOf(when, offset, from) ?? afterMs
    const elapsedDays = Math.max(0, (afterMs - first) / dayMs)
    let low = from + Math.max(0, Math.floor(elapsedDays / longestDays(when)) - 2)
    high = from + Math.ceil(elapsedDays / shortestDays(when)) + 3
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (isAfter(middle)) high = middle
      else low = middle
    }
  }
  return dueOf(when, offset, high) === undefined ? undefined : high
}

/** What is to be done about runs that are due. */
export type Due = {
  /** The one to make now; undefined for none. */
  readonly run: { readonly number: number; readonly dueMs: number } | undefined
  readonly missed:
    | { readonly count: number; readonly firstMs: number; readonly lastMs: number }
    | undefined
  /** The next one; undefined behind the end. */
  readonly next: { readonly number: number; readonly dueMs: number } | undefined
}

/**
 * Runs from `from` on that are due by `now`. The last one of them is made when it was due at most
 * `catchUpMs` ago; all others are missed.
 */
export function dueRuns(
  when: When,
  offset: number,
  from: number,
  { now, catchUpMs }: { now: number; catchUpMs: number },
): Due {
  const firstMs = dueOf(when, offset, from)
  const nothing = { run: undefined, missed: undefined }
  if (firstMs === undefined) return { ...nothing, next: undefined }
  if (firstMs > now) return { ...nothing, next: { number: from, dueMs: firstMs } }
  const number = nextRun(when, offset, from, now)
  const next = number === undefined ? undefined : { number, dueMs: dueOf(when, offset, number)! }
  const last = (number ?? endOf(when, offset, from)) - 1
  const lastMs = dueOf(when, offset, last)!
  const isMade = now - lastMs <= catchUpMs
  const missedLast = isMade ? last - 1 : last
  const missed =
    missedLast < from
      ? undefined
      : {
          count: missedLast - from + 1,
          firstMs,
          lastMs: dueOf(when, offset, missedLast)!,
        }
  return { run: isMade ? { number: last, dueMs: lastMs } : undefined, missed, next }
}

/** The number behind the last run of a schedule that has an end; `from` is one before it. */
function endOf(when: When, offset: number, from: number): number {
  let low = from
  let high = from + 1
  while (dueOf(when, offset, high) !== undefined) [low, high] = [high, high + 2 * (high - from)]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (dueOf(when, offset, middle) === undefined) high = middle
    else low = middle
  }
  return high
}
