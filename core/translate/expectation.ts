/**
 * Whether a reading says what was expected of it, in words for the party: a clock that was set
 * stands where it was set, and a time is a point in time. Pure.
 */
import { limits } from '../base/limits.ts'
import { readLocalMs } from '../dlms/axdr/date-time.ts'
import { isLocal, type LocalZone } from '../dlms/axdr/local-time.ts'
import type { PlannedOperation } from './plan.ts'
import { dateTimeIn, timeAt } from './value.ts'

// A clock that was just set shows the preset time or later: as much later as an exchange may last.
// Two seconds earlier allows for meters that count whole seconds.
const clockBehindMsMax = 2_000
const clockAheadMsMax = limits.wanExchangeMsMax

/** `2026-02-02T14:10:00`, from ms as if local time were UTC. */
export const localText = (localMs: number): string => new Date(localMs).toISOString().slice(0, 19)

/** Why the value is no point in time; undefined when it is one. */
export function dateTimeProblem(view: Buffer, zone: LocalZone | undefined): string | undefined {
  const at = dateTimeIn(view, 0, view.length)
  if (at < 0) return 'expected a date-time: what came is another value'
  if (timeAt(view, at, zone) !== undefined) return undefined
  const localMs = readLocalMs(view, at)
  if (localMs !== undefined && zone === undefined && isLocal(view, at))
    return `a local time, ${localText(localMs)}: the device sends no deviation, and its record has no timeZone`
  return 'expected a point in time: the date-time has wildcards, or a day that does not exist'
}

/**
 * Why the value is not what the operation expects; undefined when it is, or when nothing is
 * expected.
 */
export function expectationProblem(
  { plan, expectedMs }: PlannedOperation,
  view: Buffer,
  zone: LocalZone | undefined,
): string | undefined {
  if (plan.template.expect === undefined) return undefined
  const problem = dateTimeProblem(view, zone)
  if (problem !== undefined) return problem
  const aheadMs = timeAt(view, dateTimeIn(view, 0, view.length), zone)! - expectedMs
  if (aheadMs >= -clockBehindMsMax && aheadMs <= clockAheadMsMax) return undefined
  const seconds = Math.round(Math.abs(aheadMs) / 1_000)
  return `the clock is ${seconds} s ${aheadMs < 0 ? 'behind' : 'ahead of'} the time that was set`
}
