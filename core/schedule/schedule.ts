/**
 * A schedule: which read runs when, and over which part of a log. Plain data, and its octets in
 * states, facts and letters: a MessagePack array with a version in front. Pure.
 *
 * @source ../shared/domain/schedules-and-future-dating.md, "Create (5.1)"
 */
import { BrokerError } from '../base/broker-error.ts'
import type { Eui64 } from '../base/eui64.ts'
import { latin1Of } from '../base/bytes.ts'
import type { Srv } from '../base/srv.ts'

/** In the order of the numbers on the wire, from 1. */
export const Frequency = [
  'DAILY',
  'WEEKLY',
  'MONTHLY',
  'QUARTERLY',
  'HALF_YEARLY',
  'YEARLY',
] as const
export type Frequency = (typeof Frequency)[number]

/** Days are numbered from 1970-01-01, day 0; times of day are ms from midnight. */
export type When = {
  readonly frequency: Frequency
  readonly startDay: number
  /** The last day on which it runs; undefined for no end. */
  readonly endDay?: number | undefined
  /** Undefined for any time of the day. */
  readonly startMs?: number | undefined
  /** Runs are spread over so long from the start time on; 0 for none. */
  readonly spreadMs: number
  /** IANA name of the zone of its days and times; empty for UTC. */
  readonly timeZone: string
}

/** Part of a log, from the day of the run: offsets are whole days, 0 or below. Inclusive. */
export type LogWindow = {
  readonly fromOffset: number
  readonly fromMs: number
  readonly toOffset: number
  readonly toMs: number
}

export type ScheduleSpec = When & {
  readonly srv: Srv
  /** For variants that read a log. */
  readonly window?: LogWindow | undefined
}

/** A schedule as its actor has it. */
export type Schedule = {
  /** From 1; rises, and is never used again at its device. */
  readonly id: number
  readonly party: Eui64
  readonly createdAtMs: number
  readonly spec: ScheduleSpec
  /** Number of the next run in its recurrence, from 0; all before have been dealt with. */
  readonly next: number
}

type PackedSpec = [
  frequency: number,
  startDay: number,
  endDay: number | null,
  startMs: number | null,
  spreadMs: number,
  timeZone: string,
  srv: Srv,
  window: [number, number, number, number] | null,
]
export type PackedSchedule = [
  id: number,
  party: Uint8Array,
  createdAtMs: number,
  spec: PackedSpec,
  next: number,
]

export const packedSpec = (spec: ScheduleSpec): PackedSpec => {
  const { frequency, startDay, endDay, startMs, spreadMs, timeZone, srv, window } = spec
  return [
    Frequency.indexOf(frequency),
    startDay,
    endDay ?? null,
    startMs ?? null,
    spreadMs,
    timeZone,
    srv,
    window === undefined ? null : [window.fromOffset, window.fromMs, window.toOffset, window.toMs],
  ]
}

/** @throws BrokerError ENVELOPE_MALFORMED */
export function specIn(packed: PackedSpec): ScheduleSpec {
  const [number, startDay, endDay, startMs, spreadMs, timeZone, srv, window] = packed
  const frequency = Frequency[number]
  if (frequency === undefined || typeof timeZone !== 'string')
    throw new BrokerError('ENVELOPE_MALFORMED', 'a schedule')
  return {
    frequency,
    startDay,
    ...(endDay !== null && { endDay }),
    ...(startMs !== null && { startMs }),
    spreadMs,
    timeZone,
    srv,
    ...(window !== null && { window: windowIn(window) }),
  }
}

const windowIn = ([fromOffset, fromMs, toOffset, toMs]: [
  number,
  number,
  number,
  number,
]): LogWindow => ({ fromOffset, fromMs, toOffset, toMs })

export const packedSchedule = ({
  id,
  party,
  createdAtMs,
  spec,
  next,
}: Schedule): PackedSchedule => [
  id,
  Buffer.from(party, 'latin1'),
  createdAtMs,
  packedSpec(spec),
  next,
]

/** @throws BrokerError ENVELOPE_MALFORMED */
export const scheduleIn = ([id, party, createdAtMs, spec, next]: PackedSchedule): Schedule => ({
  id,
  party: latin1Of(party) as Eui64,
  createdAtMs,
  spec: specIn(spec),
  next,
})
