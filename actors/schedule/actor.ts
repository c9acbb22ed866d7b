/**
 * The schedules of one device: created, listed and deleted by letters from the device, which has
 * checked the rights; run when they are due, by letters to the device, which checks them again.
 * Letters take effect once through any crash, so each run that is due is made once, or reported as
 * missed. Pure.
 */
import { actorIdOf, ActorKindNumber, kindOfActor, octetsOfActor } from '../../core/base/actor-id.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import type { Directory } from '../../core/access/directory.ts'
import { serviceRequestOf } from '../../core/catalogue/service-requests.ts'
import { readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { packTree } from '../../core/registration/versioned-tree.ts'
import {
  decodeLetter,
  encodeLetter,
  packedAnswers,
  type EndedUse,
  type RemovalReason,
  type ScheduleAnswer,
  type ToDevice,
  type ToSchedules,
  type Use,
} from '../../core/schedule/letters.ts'
import { periodOfRun } from '../../core/schedule/log-window.ts'
import { dueRuns, nextRun, spreadOffset, type Due } from '../../core/schedule/recurrence.ts'
import { counterOfRun } from '../../core/schedule/run-counter.ts'
import type { Schedule } from '../../core/schedule/schedule.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { missesBodyOf, removalBodyOf } from '../../core/translate/dcc-alert.ts'
import { periodBodyOf } from '../../core/translate/schedule-body.ts'
import { refuse, type Outbox } from '../kind/effects.ts'
import { isLetter, type LetterCame, type Tell } from '../kind/letters.ts'
import { isArrived, type ActorMessage } from '../kind/messages.ts'
import type { ScheduleFact } from './facts.ts'
import { firstDueMs, plannedOf, type Planned, type ScheduleState } from './state.ts'

export type ScheduleOutbox = Outbox<ScheduleFact, Tell>

/** Says what a message means. */
export function decide(
  state: ScheduleState,
  message: ActorMessage,
  now: number,
  _directory: Directory,
  out: ScheduleOutbox,
): void {
  if (isLetter(message)) return decideLetter(state, message, now, out)
  if (isArrived(message)) {
    if (readKind(message.buffer, message.at) !== Kind.SCHEDULES_QUERY)
      return refuse(out, message, 'ENVELOPE_MALFORMED', now)
    const bodyBytes = packTree(packedAnswers(state.schedules.map(answerOf)))
    const { replyTo } = message
    return void out.effects.push({ type: 'REPORT', kind: Kind.SCHEDULES, replyTo, bodyBytes })
  }
  // A clock that was set may wake it too early. What is too much for one decision waits for the
  // next.
  if (message.type === 'WAKE') decideDue(state, now, out)
  if (out.facts.length === 0) out.effects.push({ type: 'WAKE_AT', at: firstDueMs(state) })
}

// ── what the device says ──

function decideLetter(
  state: ScheduleState,
  { from, bodyBytes }: LetterCame,
  now: number,
  out: ScheduleOutbox,
): void {
  if (kindOfActor(from) !== ActorKindNumber.DEVICE) return
  const letter = decodeLetter(bodyBytes) as ToSchedules
  const device = octetsOfActor(from)
  switch (letter.word) {
    case 'CREATE':
      return create(state, letter, device, now, out)
    case 'READ':
    case 'DELETE':
      return readOrDelete(state, letter, device, now, out)
    case 'END':
      return endUses(state, letter.uses, device, now, out)
  }
}

type Asked<Word> = Extract<ToSchedules, { word: Word }>

function create(
  { schedules, lastId }: ScheduleState,
  letter: Asked<'CREATE'>,
  device: Eui64,
  now: number,
  out: ScheduleOutbox,
): void {
  const { party, spec } = letter
  const own = schedules.filter((one) => one.party === party)
  const isFull =
    own.length >= limits.schedulesPerPartyMax ||
    schedules.length >= limits.schedulesPerDeviceMax ||
    usesOf(schedules).length >= limits.scheduledUsesMax ||
    lastId >= limits.scheduleIdMax
  const id = lastId + 1
  const offset = spreadOffset(spec, device, party, id)
  const next = nextRun(spec, offset, 0, now)
  if (isFull) return answer(letter, 'SCHEDULES_FULL', [], { device, schedules, now }, out)
  if (next === undefined)
    return answer(letter, 'SCHEDULE_END_UNFIT', [], { device, schedules, now }, out)
  const schedule: Schedule = { id, party, createdAtMs: now, spec, next }
  const planned = plannedOf(schedule, offset)
  out.facts.push({ type: 'SCHEDULES_CHANGED', time: now, created: { schedule, offset }, ended: [] })
  out.effects.push(
    tell(device, {
      ...askedOf(letter),
      word: 'ANSWER',
      outcome: errorId('OK'),
      schedules: [answerOf(planned)],
      uses: usesOf([...schedules, planned]),
    }),
  )
}

function readOrDelete(
  { schedules }: ScheduleState,
  letter: Asked<'READ' | 'DELETE'>,
  device: Eui64,
  now: number,
  out: ScheduleOutbox,
): void {
  const { party, id, word } = letter
  const wanted = schedules.filter((one) => one.party === party && (id === 0 || one.id === id))
  if (id !== 0 && wanted.length === 0)
    return answer(letter, 'SCHEDULE_UNKNOWN', [], { device, schedules, now }, out)
  if (word === 'READ') return answer(letter, 'OK', wanted, { device, schedules, now }, out)
  const ended = wanted.map((one) => one.id)
  const left = schedules.filter((one) => !wanted.includes(one))
  out.facts.push({ type: 'SCHEDULES_CHANGED', time: now, created: undefined, ended })
  out.effects.push(
    tell(device, {
      ...askedOf(letter),
      word: 'ANSWER',
      outcome: errorId('OK'),
      schedules: wanted.map(answerOf),
      uses: usesOf(left),
    }),
  )
}

/** Answers without a change; a letter stands beside a fact, which says so. */
function answer(
  letter: Asked<'CREATE' | 'READ' | 'DELETE'>,
  code: ErrorCode,
  wanted: readonly Planned[],
  { device, schedules, now }: { device: Eui64; schedules: readonly Planned[]; now: number },
  out: ScheduleOutbox,
): void {
  out.facts.push({ type: 'SCHEDULES_CHANGED', time: now, created: undefined, ended: [] })
  out.effects.push(
    tell(device, {
      ...askedOf(letter),
      word: 'ANSWER',
      outcome: errorId(code),
      schedules: wanted.map(answerOf),
      uses: usesOf(schedules),
    }),
  )
}

/** The device says that these parties may not use it so any more. */
function endUses(
  { schedules }: ScheduleState,
  uses: readonly EndedUse[],
  device: Eui64,
  now: number,
  out: ScheduleOutbox,
): void {
  const ended: number[] = []
  for (const { id, party, spec } of schedules) {
    const use = uses.find((one) => one.party === party && one.srv === spec.srv)
    if (use === undefined) continue
    ended.push(id)
    tellRemoved({ id, party }, use.reason, device, now, out)
  }
  const left = schedules.filter(({ id }) => !ended.includes(id))
  out.facts.push({ type: 'SCHEDULES_CHANGED', time: now, created: undefined, ended })
  out.effects.push(tell(device, { word: 'USES', uses: usesOf(left) }))
}

function tellRemoved(
  { id, party }: Pick<Schedule, 'id' | 'party'>,
  reason: RemovalReason,
  device: Eui64,
  now: number,
  out: ScheduleOutbox,
): void {
  deliver(party, removalBodyOf(device, id, reason, now), now, out)
}

function deliver(party: Eui64, bodyBytes: Buffer, now: number, out: ScheduleOutbox): void {
  out.deliveries.push({ party, receivedAt: now, time: now, bodyBytes, isOfDcc: true })
}

// ── what is due ──

/** Makes the runs that are due; at most so many in one decision. */
function decideDue(state: ScheduleState, now: number, out: ScheduleOutbox): void {
  const { device, schedules } = state
  const over: number[] = []
  let count = 0
  for (const one of schedules) {
    if (one.dueMs > now) continue
    if (count++ >= limits.scheduleRunsPerDecisionMax) break
    const { spec, offset } = one
    const due = dueRuns(spec, offset, one.next, { now, catchUpMs: limits.scheduleCatchUpMs })
    const { run, missed, next } = due
    out.facts.push({
      type: 'SCHEDULE_RAN',
      time: now,
      id: one.id,
      made: run?.number,
      missed: missed?.count ?? 0,
      next: next?.number,
    })
    if (run !== undefined) out.effects.push(tell(device, runOf(one, run, due, now)))
    if (missed !== undefined)
      deliver(one.party, missesBodyOf(device, one.id, missed, now), now, out)
    if (next !== undefined) continue
    over.push(one.id)
    tellRemoved(one, 'END_DATE', device, now, out)
  }
  if (over.length === 0) return
  const left = schedules.filter(({ id }) => !over.includes(id))
  out.effects.push(tell(device, { word: 'USES', uses: usesOf(left) }))
}

function runOf(
  { id, party, spec }: Planned,
  { number, dueMs }: NonNullable<Due['run']>,
  { next }: Due,
  now: number,
): ToDevice {
  const period = periodOfRun(spec, number, dueMs)
  const untilMs = Math.min(now + limits.scheduleRunMs, next?.dueMs ?? Number.POSITIVE_INFINITY)
  return {
    word: 'RUN',
    party,
    counter: counterOfRun(id, number),
    srv: spec.srv,
    bodyType: serviceRequestOf(spec.srv)?.bodyType ?? 0,
    bodyBytes: period === undefined ? emptyBytes : periodBodyOf(period),
    // One that is caught up shortly before the next one gets a fair chance, too.
    deadline: Math.max(untilMs, now + limits.requestLifetimeMs),
  }
}

// ──

const askedOf = ({ party, counter }: Asked<'CREATE' | 'READ' | 'DELETE'>) => ({ party, counter })

const answerOf = ({ id, party, createdAtMs, spec, next, dueMs }: Planned): ScheduleAnswer => ({
  id,
  party,
  createdAtMs,
  spec,
  next,
  dueMs: dueMs === Number.POSITIVE_INFINITY ? 0 : dueMs,
})

const tell = (device: Eui64, letter: ToDevice): Tell => ({
  type: 'TELL',
  to: actorIdOf(ActorKindNumber.DEVICE, device),
  bodyBytes: encodeLetter(letter),
})

/** Who has schedules, of which variants: each pair once. */
function usesOf(schedules: readonly Planned[]): Use[] {
  const uses: Use[] = []
  for (const { party, spec } of schedules)
    if (!uses.some((one) => one.party === party && one.srv === spec.srv))
      uses.push({ party, srv: spec.srv })
  return uses
}

/** The actor failed on `message`: a party that waits for an answer gets one. */
export function park(
  { schedules }: ScheduleState,
  message: ActorMessage,
  now: number,
  out: ScheduleOutbox,
): void {
  if (isArrived(message)) return refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  if (!isLetter(message)) return
  const letter = decodeLetter(message.bodyBytes)
  const device = octetsOfActor(message.from)
  if (letter.word === 'CREATE' || letter.word === 'READ' || letter.word === 'DELETE')
    answer(letter, 'DEVICE_ACTOR_PARKED', [], { device, schedules, now }, out)
}

/** The only place that changes the state. */
export function evolve(state: ScheduleState, fact: ScheduleFact, id: Eui64): void {
  state.device = id
  switch (fact.type) {
    case 'SCHEDULES_CHANGED': {
      const { created, ended } = fact
      if (ended.length > 0)
        state.schedules = state.schedules.filter((one) => !ended.includes(one.id))
      if (created === undefined) return
      const { schedule, offset } = created
      state.schedules = [...state.schedules, plannedOf(schedule, offset)]
      state.lastId = Math.max(state.lastId, schedule.id)
      return
    }
    case 'SCHEDULE_RAN': {
      const { next } = fact
      state.schedules = state.schedules.flatMap((one) => {
        if (one.id !== fact.id) return [one]
        return next === undefined ? [] : [plannedOf({ ...one, next }, one.offset)]
      })
    }
  }
}
