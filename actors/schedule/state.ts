/**
 * What the actor of the schedules of one device remembers. It has the eight octets of the device,
 * and is woken when a run is due; the device is not touched before.
 *
 *   CREATE ─▶ scheduled ── due ─▶ RUN, a letter to the device ─▶ scheduled, for the next run
 *                 │                                          └──▶ ended: no run follows
 *                 └── DELETE, or END: the device says that its party may not any more ─▶ ended
 *
 * `next` of a schedule only rises, so that no run is made twice, whatever clocks do.
 */
import type { Eui64 } from '../../core/base/eui64.ts'
import { dueOf } from '../../core/schedule/recurrence.ts'
import type { Schedule } from '../../core/schedule/schedule.ts'

export type Planned = Schedule & {
  /** By how much its runs are put off, so that they are spread, ms. */
  readonly offset: number
  /** When the run `next` is due, UTC ms: computed, not written. */
  readonly dueMs: number
}

export type ScheduleState = {
  /** The device; empty before the first fact. */
  device: Eui64
  /** The highest number that a schedule here ever had. */
  lastId: number
  /** In the order of their numbers. */
  schedules: readonly Planned[]
}

const none: readonly never[] = []

export const emptyState = (): ScheduleState => ({
  device: '' as Eui64,
  lastId: 0,
  schedules: none,
})

/** With the time at which its next run is due. One without a next run is never due. */
export const plannedOf = (schedule: Schedule, offset: number): Planned => ({
  ...schedule,
  offset,
  dueMs: dueOf(schedule.spec, offset, schedule.next) ?? Number.POSITIVE_INFINITY,
})

/** When the first of them is due, UTC ms; 0 for never. */
export function firstDueMs({ schedules }: ScheduleState): number {
  let at = Number.POSITIVE_INFINITY
  for (const { dueMs } of schedules) if (dueMs < at) at = dueMs
  return at === Number.POSITIVE_INFINITY ? 0 : Math.max(1, at)
}
