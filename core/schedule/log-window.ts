/** Which part of a log a run reads. Pure. */
import { limits } from '../base/limits.ts'
import { dayMs, dayOfRun, utcOf } from './recurrence.ts'
import type { ScheduleSpec } from './schedule.ts'

/**
 * From and to of what the run `number` reads, UTC ms, inclusive; undefined for a variant that reads
 * no log. Counted from the day of the run, however late it is made. A window that begins more than
 * 400 days before the run is due begins 400 days before.
 */
export function periodOfRun(
  spec: ScheduleSpec,
  number: number,
  dueMs: number,
): { fromMs: number; toMs: number } | undefined {
  const { window } = spec
  const day = dayOfRun(spec, number)
  if (window === undefined || day === undefined) return undefined
  const toMs = utcOf(spec, day + window.toOffset, window.toMs)
  const fromMs = utcOf(spec, day + window.fromOffset, window.fromMs)
  const oldestMs = dueMs - limits.scheduleWindowDaysMax * dayMs
  return { fromMs: Math.min(Math.max(fromMs, oldestMs), toMs), toMs }
}
