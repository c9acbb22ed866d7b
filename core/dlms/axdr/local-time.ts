/**
 * Local times of devices as points in time. A device that sends no deviation shows the time of its
 * place: only who knows the zone can say when that was. Rules of zones come from outside
 * (core/catalogue/time-zone.ts); here is what a date-time means by them.
 *
 * At the end of daylight saving a clock shows an hour twice. Which one is meant, by the first of
 * these that decides:
 *   1. the daylight-saving bit of the clock status is set: the first one
 *   2. in a sequence, a date-time before it had the bit set, so that the device keeps the bit: clear is the second one
 *   3. in a sequence, the one that continues it: time does not go back
 *   4. the clock status is given, and clear: the second one; not given: the first one
 * At its beginning an hour is left out. A device that shows a time in it has not moved its clock
 * yet: the rule before the change holds.
 * [IEC 62056-6-2, Date and time formats, clock_status]
 */
import {
  ClockStatus,
  deviationUnspecified,
  readClockStatus,
  readDeviation,
  readLocalMs,
} from './date-time.ts'

const minuteMs = 60_000
const statusUnspecified = 0xff

/** The local time of one place. All numbers are ms; a local one counts as if it were UTC. */
export type LocalZone = {
  /** As operators write it: an IANA name or an offset. */
  readonly name: string
  /** The points in time at which clocks show `localMs`: one, or two, the earlier one first. */
  utcMsOf(localMs: number): readonly number[]
  /** What clocks show at `utcMs`. */
  localMsOf(utcMs: number): number
  /** The earliest and the latest local time that clocks show from one point in time to another. */
  localRangeOf(fromUtcMs: number, toUtcMs: number): { fromLocalMs: number; toLocalMs: number }
}

/** For devices whose local time is UTC. */
export const utcZone: LocalZone = {
  name: 'UTC',
  utcMsOf: (localMs) => [localMs],
  localMsOf: (utcMs) => utcMs,
  localRangeOf: (fromLocalMs, toLocalMs) => ({ fromLocalMs, toLocalMs }),
}

/** True when the date-time at `at` does not say how far it is from UTC. */
export function isLocal(view: Uint8Array, at: number): boolean {
  return readDeviation(view, at) === deviationUnspecified
}

/** The point in time of the one date-time at `at`; see `LocalTimes.utcMsAt`. */
export function utcMsIn(
  view: Uint8Array,
  at: number,
  zone: LocalZone | undefined,
): number | undefined {
  return new LocalTimes(zone).utcMsAt(view, at)
}

/** The date-times of one device in their order, rows of a buffer for example, as points in time. */
export class LocalTimes {
  private readonly zone: LocalZone | undefined
  private previousMs: number | undefined
  private previousLocalMs = 0
  /** 1: time goes on from one to the next; -1: the newest comes first. */
  private direction: 1 | -1 | 0 = 0
  private keepsBit = false

  /** @param zone  of date-times without deviation; undefined when it is not known */
  constructor(zone: LocalZone | undefined) {
    this.zone = zone
  }

  /**
   * The point in time, UTC ms, of the date-time at `at`; undefined when it names none: a wildcard,
   * a day that does not exist, or a local time of a zone that is not known.
   * @throws BrokerError DLMS_LENGTH_INVALID when fewer than twelve octets are there
   */
  utcMsAt(view: Uint8Array, at: number): number | undefined {
    const localMs = readLocalMs(view, at)
    if (localMs === undefined) return undefined
    const deviation = readDeviation(view, at)
    if (deviation !== deviationUnspecified)
      return this.remember(localMs + deviation * minuteMs, localMs)
    if (this.zone === undefined) return undefined
    const status = readClockStatus(view, at)
    const hasBit = status !== statusUnspecified && (status & ClockStatus.DAYLIGHT_SAVING) !== 0
    const [first, second] = this.zone.utcMsOf(localMs) as [number, number?]
    const utcMs =
      second === undefined
        ? first
        : this.choose(first, second, hasBit, status !== statusUnspecified)
    if (hasBit) this.keepsBit = true
    return this.remember(utcMs, localMs)
  }

  /**
   * The entry `stepMs` behind the one before, for one whose time was left out; undefined for the
   * first entry.
   */
  step(stepMs: number): number | undefined {
    if (this.previousMs === undefined) return undefined
    return this.remember(this.previousMs + stepMs, this.previousLocalMs + stepMs)
  }

  private choose(first: number, second: number, hasBit: boolean, isGiven: boolean): number {
    if (hasBit) return first
    if (this.keepsBit) return second
    const { previousMs, direction } = this
    if (previousMs === undefined) return isGiven ? second : first
    if (direction < 0) return second < previousMs ? second : first
    return first > previousMs ? first : second
  }

  private remember(utcMs: number, localMs: number): number {
    const { previousMs } = this
    if (this.direction === 0 && previousMs !== undefined && utcMs !== previousMs)
      this.direction = utcMs > previousMs ? 1 : -1
    this.previousMs = utcMs
    this.previousLocalMs = localMs
    return utcMs
  }
}
