/**
 * Bodies about schedules: CreateSchedule, ReadSchedules and DeleteSchedules of busbar.v1 as data,
 * and schedules as part of a ResponseBody. They are rare, so the generated code reads and writes
 * them. Pure.
 */
import {
  CreateSchedule,
  DeleteSchedules,
  type LogWindow as WireWindow,
  type ScheduleFrequency,
  type Schedule as WireSchedule,
} from '../../proto/gen/busbar/v1/schedule.ts'
import { ReadPeriod } from '../../proto/gen/busbar/v1/service_request.ts'
import { ResponseBody } from '../../proto/gen/busbar/v1/service_response.ts'
import { asBuffer } from '../base/bytes.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import { formatSrv, parseSrv } from '../base/srv.ts'
import { serviceRequestOf, type ServiceRequestRow } from '../catalogue/service-requests.ts'
import { timeZoneOf } from '../catalogue/time-zone.ts'
import type { ScheduleAnswer } from '../schedule/letters.ts'
import { dayAt, dayMs } from '../schedule/recurrence.ts'
import { Frequency, type LogWindow, type ScheduleSpec } from '../schedule/schedule.ts'
import { BodyType } from './body-types.ts'

const minutesOfDay = 1_440
const malformed = 'SCHEDULE_MALFORMED'

/** Number of the day from 1970-01-01; undefined for what is no day of the calendar. */
function dayIn(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return undefined
  const ms = Date.parse(`${text}T00:00:00Z`)
  // Date takes 2026-02-30 for 2026-03-02.
  return Number.isNaN(ms) || dayText(ms / dayMs) !== text ? undefined : ms / dayMs
}

const dayText = (day: number): string => new Date(day * dayMs).toISOString().slice(0, 10)

/** Ms from midnight of 02:30 or 02:30:00; 24:00 where `isEnd`. */
function timeIn(text: string, isEnd = false): number | undefined {
  if (isEnd && /^24:00(?::00)?$/.test(text)) return dayMs
  const [, hours, minutes, seconds = '0'] =
    /^([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/.exec(text) ?? []
  if (hours === undefined) return undefined
  return ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000
}

const timeText = (ms: number): string =>
  ms === dayMs ? '24:00' : new Date(ms).toISOString().slice(11, 19)

function windowIn(
  window: WireWindow | undefined,
  row: ServiceRequestRow,
): LogWindow | undefined | ErrorCode {
  if ((window !== undefined) !== (row.bodyType === BodyType.READ_PERIOD))
    return 'SCHEDULE_BODY_UNFIT'
  if (window === undefined) return undefined
  const { startDaysBefore, endDaysBefore } = window
  const fromMs = timeIn(window.startTime)
  const toMs = timeIn(window.endTime, true)
  const isTooLong = Math.max(startDaysBefore, endDaysBefore) > limits.scheduleWindowDaysMax
  if (fromMs === undefined || toMs === undefined || isTooLong) return 'SCHEDULE_BODY_UNFIT'
  const isBackwards =
    startDaysBefore < endDaysBefore || (startDaysBefore === endDaysBefore && fromMs > toMs)
  if (isBackwards) return 'SCHEDULE_WINDOW_BACKWARDS'
  return { fromOffset: 0 - startDaysBefore, fromMs, toOffset: 0 - endDaysBefore, toMs }
}

/** The schedule that a CreateSchedule describes; a code when it describes none. */
export function scheduleSpecIn(view: Buffer): ScheduleSpec | ErrorCode {
  const wire = decoded(() => CreateSchedule.decode(view))
  if (wire === undefined) return 'REQUEST_WIRE_MALFORMED'
  const { startDate, endDate, startTime, spreadMinutes, timeZone, serviceReferenceVariant } = wire
  const frequency = Frequency[wire.frequency - 1]
  const startDay = dayIn(startDate)
  const endDay = endDate === '' ? undefined : dayIn(endDate)
  const startMs = startTime === '' ? undefined : timeIn(startTime)
  if (frequency === undefined || startDay === undefined) return malformed
  if ((endDate !== '' && endDay === undefined) || (startTime !== '' && startMs === undefined))
    return malformed
  if (spreadMinutes > minutesOfDay || (spreadMinutes > 0 && startMs === undefined)) return malformed
  if (timeZone !== '' && timeZoneOf(timeZone) === undefined) return malformed
  if (endDay !== undefined && endDay < startDay) return 'SCHEDULE_END_UNFIT'
  const srv = parseSrv(serviceReferenceVariant)
  const row = serviceRequestOf(srv)
  if (row === undefined) return 'REQUEST_SRV_UNKNOWN'
  if (!row.isSchedulable) return 'SCHEDULE_VARIANT_UNFIT'
  if (!row.isServed) return 'REQUEST_SRV_UNSUPPORTED'
  const window = windowIn(wire.logWindow, row)
  if (typeof window === 'string') return window
  return {
    frequency,
    startDay,
    ...(endDay !== undefined && { endDay }),
    ...(startMs !== undefined && { startMs }),
    spreadMs: spreadMinutes * 60_000,
    timeZone,
    srv,
    ...(window !== undefined && { window }),
  }
}

/** The rule of CreateSchedule, as body.ts has rules. */
export function checkCreateSchedule(
  view: Buffer,
  start: number,
  end: number,
  nowMs: number,
): ErrorCode | undefined {
  const spec = scheduleSpecIn(view.subarray(start, end))
  if (typeof spec === 'string') return spec
  const today = dayAt(spec, nowMs)
  const isFit = spec.startDay >= today && spec.startDay <= today + limits.scheduleStartDaysMax
  return isFit ? undefined : 'SCHEDULE_START_UNFIT'
}

/** Number of the schedule in a ReadSchedules or DeleteSchedules, which are alike; 0 for all. */
export function scheduleNumberIn(view: Buffer): number | ErrorCode {
  const wire = decoded(() => DeleteSchedules.decode(view))
  if (wire === undefined) return 'REQUEST_WIRE_MALFORMED'
  return wire.scheduleId > BigInt(limits.scheduleIdMax)
    ? 'SCHEDULE_UNKNOWN'
    : Number(wire.scheduleId)
}

/** The rule of ReadSchedules and DeleteSchedules. */
export function checkScheduleNumber(
  view: Buffer,
  start: number,
  end: number,
): ErrorCode | undefined {
  const number = scheduleNumberIn(view.subarray(start, end))
  return typeof number === 'string' ? number : undefined
}

function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode()
  } catch {
    // The generated code throws one kind of error or another on octets that are no message.
    return undefined
  }
}

/** A schedule as parties and operators read it. */
export function wireSchedule({ id, spec, createdAtMs, dueMs }: ScheduleAnswer): WireSchedule {
  const { frequency, startDay, endDay, startMs, spreadMs, timeZone, srv, window } = spec
  return {
    scheduleId: BigInt(id),
    definition: {
      frequency: (Frequency.indexOf(frequency) + 1) as ScheduleFrequency,
      startDate: dayText(startDay),
      endDate: endDay === undefined ? '' : dayText(endDay),
      startTime: startMs === undefined ? '' : timeText(startMs),
      spreadMinutes: spreadMs / 60_000,
      timeZone,
      serviceReferenceVariant: formatSrv(srv),
      logWindow: window && {
        startDaysBefore: 0 - window.fromOffset,
        startTime: timeText(window.fromMs),
        endDaysBefore: 0 - window.toOffset,
        endTime: timeText(window.toMs),
      },
    },
    createdAt: new Date(createdAtMs),
    nextRunAt: dueMs === 0 ? undefined : new Date(dueMs),
  }
}

/** A ResponseBody with schedules. Owned. */
export const schedulesBodyOf = (schedules: readonly ScheduleAnswer[]): Buffer =>
  asBuffer(
    ResponseBody.encode({
      readings: [],
      profiles: [],
      schedules: schedules.map(wireSchedule),
    }).finish(),
  )

/** A ReadPeriod, both ends inclusive, UTC ms. Owned. */
export const periodBodyOf = ({ fromMs, toMs }: { fromMs: number; toMs: number }): Buffer =>
  asBuffer(ReadPeriod.encode({ startTime: new Date(fromMs), endTime: new Date(toMs) }).finish())
