/**
 * Rows of a profile that were asked for, cut out of what a device has sent: a device may agree to
 * no selective access, so that its buffer is read whole, or may ignore the range.
 */
import type { Profile, ProfileRow } from './profile.ts'

/** Clocks of the world are at most so far from UTC, and from each other's standard time. */
export const localTimeSlackMs = 14 * 3_600_000

/** `cutRows`: how many rows were outside. */
export type CutProfile = Profile & { cutRows: number }

/**
 * The rows from one time to another, both included. A local time of an unknown zone stays in where
 * it may be inside.
 */
export function rowsWithin(profile: Profile, fromUtcMs: number, toUtcMs: number): CutProfile {
  return cut(profile, ({ utcMs, localMs }) => {
    if (utcMs !== undefined) return utcMs >= fromUtcMs && utcMs <= toUtcMs
    if (localMs === undefined) return true
    return localMs >= fromUtcMs - localTimeSlackMs && localMs <= toUtcMs + localTimeSlackMs
  })
}

/** The rows by number, as `rangeOfEntries` has them: the first one is 1, and 0 the last one. */
export function rowsByNumber(profile: Profile, fromEntry: number, toEntry: number): CutProfile {
  const last = toEntry === 0 ? profile.rows.length : toEntry
  return cut(profile, (_, number) => number >= fromEntry && number <= last)
}

function cut(profile: Profile, isInside: (row: ProfileRow, number: number) => boolean): CutProfile {
  const rows = profile.rows.filter((row, index) => isInside(row, index + 1))
  return { ...profile, rows, cutRows: profile.rows.length - rows.length }
}
