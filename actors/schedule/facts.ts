/**
 * What has happened to the schedules of a device. Bodies are MessagePack arrays with a version in
 * front.
 */
import { writeFactOf } from '../kind/write-fact.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readKind, readTime } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { packTree, readTree } from '../../core/registration/versioned-tree.ts'
import {
  packedSchedule,
  scheduleIn,
  type PackedSchedule,
  type Schedule,
} from '../../core/schedule/schedule.ts'

/** A party was answered, or the device: a schedule was created, some have ended, or neither. */
export type SchedulesChanged = {
  type: 'SCHEDULES_CHANGED'
  time: number
  created: { schedule: Schedule; offset: number } | undefined
  ended: readonly number[]
}
/**
 * Runs that were due have been dealt with: `made`, a number, was sent to the device; `missed` of
 * them were not made. `next` is the number of the next one; undefined when the schedule has ended.
 */
export type ScheduleRan = {
  type: 'SCHEDULE_RAN'
  time: number
  id: number
  made: number | undefined
  missed: number
  next: number | undefined
}
export type ScheduleFact = SchedulesChanged | ScheduleRan

export const writeFact = (frame: FrameWriter, device: Eui64, fact: ScheduleFact): void =>
  writeFactOf(frame, device, Kind[fact.type], { time: fact.time }, bodyOf(fact))

function bodyOf(fact: ScheduleFact): Buffer {
  if (fact.type === 'SCHEDULE_RAN') {
    const { id, made, missed, next } = fact
    return packTree(id, made ?? null, missed, next ?? null)
  }
  const { created, ended } = fact
  const packed = created && [packedSchedule(created.schedule), created.offset]
  return packTree(packed ?? null, [...ended])
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export function readFact(buffer: Buffer, at: number): ScheduleFact {
  const time = readTime(buffer, at)
  const body = readBodyView(buffer, at)
  switch (readKind(buffer, at)) {
    case Kind.SCHEDULES_CHANGED:
      return readTree(body, 'a change of schedules', ([packed, ended]) => {
        const [schedule, offset] = (packed ?? []) as [PackedSchedule?, number?]
        const created = schedule && { schedule: scheduleIn(schedule), offset: offset! }
        return { type: 'SCHEDULES_CHANGED', time, created, ended: ended as number[] }
      })
    case Kind.SCHEDULE_RAN:
      return readTree(body, 'a run of a schedule', (members) => {
        const [id, made, missed, next] = members as [number, number | null, number, number | null]
        const run = { id, made: made ?? undefined, missed, next: next ?? undefined }
        return { type: 'SCHEDULE_RAN', time, ...run }
      })
    default:
      throw new BrokerError('ENVELOPE_MALFORMED', 'a fact of schedules')
  }
}
