/**
 * The device: accepts requests for one device, sends them to it one at a time, and sees each to
 * exactly one end. Pure: `decide` reads the state and says what has happened and what is wanted;
 * `evolve` alone changes the state, and replay runs it alone. No I/O, clock, promise or randomness.
 * The content of a request is not read here.
 */
import { standingOf, type Directory } from '../../core/access/directory.ts'
import { hasToSignSrv } from '../../core/access/signing.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import { copyOf, emptyBytes } from '../../core/base/bytes.ts'
import { errorId } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import {
  readBodyView,
  readKind,
  readOriginator,
  readSrv,
  readTarget,
} from '../../core/envelope/envelope.ts'
import { Kind, offsetOf } from '../../core/envelope/layout.ts'
import { isRunCounter } from '../../core/schedule/run-counter.ts'
import { sealViewOf } from '../../core/envelope/signed-request.ts'
import { decideCancel, decideStatus } from './about-requests.ts'
import { alerted, decideOpened, decidePush } from './alerts.ts'
import { decideAnswered, evolveAttempt, expire, settle } from './attempts.ts'
import { cancelWaiting, evolveTimeCame, isCancellation } from './future.ts'
import { decideCounters, decideReset, evolveReset } from './counters-reset.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import type { DeviceOutbox } from './effects.ts'
import {
  contentHashOf,
  namedIn,
  readRequest,
  sealIn,
  type DeviceFact,
  type RequestEnded,
  type RequestParked,
} from './facts.ts'
import { faultAfter } from './cause.ts'
import { end } from './ending.ts'
import { cutOf, evolveGranted, grantedAs } from './grants.ts'
import { countFirst, decideCounted, decideQuarantineAction, evolveHold } from './holds.ts'
import { burn, isInDoubt, noted } from './keyring.ts'
import {
  burnt,
  decideAcceptance,
  decideMade,
  decideReplacement,
  decideSealed,
  decideStepAnswered,
  evolveKeys,
  keysFor,
  parkStep,
  sendKeyStep,
} from './keys.ts'
import { decideRefresh, decideRights, decideRightsQuery, evolveLinks } from './links.ts'
import type { Arrived } from '../kind/messages.ts'
import type { DeviceMessage } from './messages.ts'
import { findEnded } from './ended-requests.ts'
import { findPast } from './past-counters.ts'
import { tellLeft } from './quarantine-letters.ts'
import { decideRegistration, evolveRecord } from './registration.ts'
import { reject } from './rejections.ts'
import { decideRemoval, evolveRemoval } from './removal.ts'
import { refusalOf } from './request-checks.ts'
import { evolveSucceeded, placeOf, rememberSequenced } from './sequences.ts'
import {
  decideFromSchedules,
  evolveKnown,
  isForSchedules,
  parkFromSchedules,
  refusalOfSchedule,
  tellSchedules,
} from './schedules.ts'
import { decideStatusChange, evolveStatus } from './status.ts'
import { findOpen, findOriginator, rememberEnded, topOf, type DeviceState } from './state.ts'
import { evolveTold, tellHeld } from './throttle.ts'
import { nextInTurn } from './turn.ts'
import { nextWakeMs } from './wakes.ts'

const accepted = errorId('REQUEST_ACCEPTED')

/**
 * Says what `message` means for the device at `now` (UTC ms): facts, deliveries and effects,
 * appended to `out`.
 */
export function decide(
  state: DeviceState,
  message: DeviceMessage,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): void {
  switch (message.type) {
    case 'ARRIVED':
      return decideArrived(state, message, now, directory, out)
    case 'ANSWERED':
      return decideAnswered(state, message, now, directory, out)
    case 'KEY_STEP_ANSWERED':
      return decideStepAnswered(state, message, now, out)
    case 'KEYS_MADE':
      return decideMade(state, message, now, out)
    case 'KEYS_SEALED':
      return decideSealed(state, message, now, out)
    case 'PUSH_OPENED':
      return decideOpened(state, message, now, directory, out)
    case 'LETTER':
      decideRights(state, message, now, out)
      decideFromSchedules(state, message, now, directory, out)
      return decideCounted(state, message, now, out)
    case 'WAKE':
      tellHeld(state, now, directory, out)
      expire(state, now, out)
      // Nothing may have expired, yet an attempt may be due.
      return out.facts.length === 0 ? decideNext(state, now, directory, out) : undefined
    case 'RESUME':
    case 'NEXT':
      return decideNext(state, now, directory, out)
  }
}

function decideArrived(
  state: DeviceState,
  message: Arrived,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): void {
  const { buffer, at } = message
  switch (readKind(buffer, at)) {
    case Kind.SERVICE_REQUEST:
    case Kind.SIGNED_REQUEST:
    case Kind.SEQUENCED_REQUEST:
    case Kind.FUTURE_REQUEST:
      return decideRequest(state, message, now, directory, out)
    case Kind.DEVICE_REGISTRATION:
      return decideRegistration(state, message, now, directory, out)
    case Kind.DEVICE_REMOVAL:
      return decideRemoval(state, message, now, directory, out)
    case Kind.KEYS_REPLACEMENT:
      return decideReplacement(state, message, now, out)
    case Kind.COUNTER_ACCEPTANCE:
      return decideAcceptance(state, message, now, out)
    case Kind.DEVICE_PUSH:
      return decidePush(state, message, now, out)
    case Kind.CANCEL:
      return decideCancel(state, message, now, out)
    case Kind.STATUS_QUERY:
      return decideStatus(state, message, now, out)
    case Kind.COUNTERS_QUERY:
      return decideCounters(state, message, now, out)
    case Kind.DEVICE_STATUS:
      return decideStatusChange(state, message, now, directory, out)
    case Kind.RIGHTS_QUERY:
      return decideRightsQuery(state, message, now, out)
    case Kind.RIGHTS_REFRESH:
      return decideRefresh(state, message, now, out)
    case Kind.QUARANTINE_ACTION:
      return decideQuarantineAction(state, message, now, out)
    case Kind.COUNTERS_RESET:
      return decideReset(state, message, now, out)
    default:
      return acknowledge(out, message, errorId('ENVELOPE_MALFORMED'), now)
  }
}

function decideRequest(
  state: DeviceState,
  message: Arrived,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): void {
  const { buffer, at } = message
  const originatorKey = readOriginator(buffer, at)
  const counter = readRequestCounter(buffer, at + offsetOf.counter)
  const originator = findOriginator(state, originatorKey)
  // In front of what is known: a repeat has to be signed, too. The gateway has verified it.
  if (sealViewOf(buffer, at) === undefined && mustBeSigned(message, directory))
    return reject({ state, message, originator, now, directory }, 'REQUEST_SIGNATURE_MISSING', out)
  if (originator !== undefined && counter <= topOf(originator)) {
    const known =
      findOpen(state, originatorKey, counter) ??
      findEnded(state, originatorKey, counter) ??
      findPast(state.past, originatorKey, counter)
    if (known !== undefined) {
      if (known.contentHash !== contentHashOf(buffer, at))
        return reject({ state, message, originator, now, directory }, 'REQUEST_COUNTER_REUSED', out)
      // The first acknowledgement once more, with its time.
      return acknowledge(out, message, accepted, known.acceptedAt)
    }
  }
  const refusal = refusalOf(state, message, originator, now, directory)
  if (refusal !== undefined)
    return reject({ state, message, originator, now, directory }, refusal, out)
  const request = readRequest(buffer, at, originatorKey, counter, now)
  const unscheduled = refusalOfSchedule(state, request, now, directory)
  if (unscheduled !== undefined)
    return reject({ state, message, originator, now, directory }, unscheduled, out)
  const granted = grantedAs(state, request, directory, now)
  if (typeof granted === 'string')
    return reject({ state, message, originator, now, directory }, granted, out)
  const asked = { ...sealIn(buffer, at), ...namedIn(buffer, at) }
  out.facts.push({ type: 'REQUEST_ACCEPTED', request, ...asked }, ...granted)
  if (isForSchedules(request)) tellSchedules(request, readTarget(buffer, at), out)
  else if (isCancellation(request)) cancelWaiting(state, request, now, out)
  else countFirst(request, readTarget(buffer, at), directory, now, out)
  acknowledge(out, message, accepted, now)
}

function mustBeSigned({ buffer, at }: Arrived, { isInForce, parties }: Directory): boolean {
  const party = isInForce ? parties.get(readOriginator(buffer, at)) : undefined
  return party !== undefined && hasToSignSrv(party, readSrv(buffer, at))
}

function decideNext(
  state: DeviceState,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): void {
  if (settle(state, now, directory, out))
    return void out.effects.push({ type: 'WAKE_AT', at: now + 1 })
  if (state.sent === undefined && state.keyStep === undefined) {
    // While nobody knows which keys the device has, requests wait.
    if (isInDoubt(state.keyring)) {
      // What is next is seen when its fact has been applied.
      if (sendKeyStep(state, now, out) === 'skipped')
        return void out.effects.push({ type: 'WAKE_AT', at: now + 1 })
    } else if (sendRequest(state, now, directory, out) === 'refused')
      return void out.effects.push({ type: 'WAKE_AT', at: now + 1 })
  }
  out.effects.push({ type: 'WAKE_AT', at: nextWakeMs(state, now) })
}

/** @returns `refused` when requests have ended instead: what is next is seen when they are gone */
function sendRequest(
  state: DeviceState,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): 'refused' | undefined {
  const { record, keyring } = state
  const request = nextInTurn(state, now)
  if (record === undefined || request === undefined) return undefined
  const standing = standingOf(directory, request.originator)
  if (standing !== undefined) {
    for (const one of state.open)
      if (one.originator === request.originator && !isForSchedules(one))
        end(out, one, now, { outcome: errorId(standing), using: burnt(keyring) })
    return 'refused'
  }
  const keys = keysFor(state, now, out)
  if (typeof keys !== 'string') {
    const countersFrom = keys?.counters.from ?? 0
    out.facts.push({ type: 'REQUEST_SENT', request, countersFrom })
    const cut = cutOf(state, request, directory, now)
    const readableFromMs = typeof cut === 'number' ? cut : undefined
    out.effects.push({ type: 'SEND', request, record, keys, readableFromMs })
    return undefined
  }
  // No request gets anywhere any more, until an operator does something about it.
  for (const one of state.open)
    if (!isForSchedules(one)) end(out, one, now, { outcome: errorId(keys), using: burnt(keyring) })
  return undefined
}

const ofNoRequest: ReadonlySet<Kind> = new Set([
  Kind.DEVICE_PUSH,
  Kind.DEVICE_REMOVAL,
  Kind.COUNTERS_QUERY,
  Kind.COUNTERS_RESET,
  Kind.DEVICE_STATUS,
  Kind.RIGHTS_QUERY,
  Kind.RIGHTS_REFRESH,
])

/**
 * What is left to say when `decide` has thrown on `message`: the request concerned ends with
 * DEVICE_ACTOR_PARKED and its party is told; the device goes on with the others.
 */
export function park(
  state: DeviceState,
  message: DeviceMessage,
  now: number,
  out: DeviceOutbox,
): void {
  const outcome = errorId('DEVICE_ACTOR_PARKED')
  // An unsolicited message concerns no request.
  if (message.type === 'PUSH_OPENED' || message.type === 'KEYS_MADE')
    return refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  // It is offered again when its partition is gone through the next time.
  if (message.type === 'KEYS_SEALED') return
  if (message.type === 'LETTER') return parkFromSchedules(state, message, now, out)
  if (message.type === 'KEY_STEP_ANSWERED') return parkStep(state, message, now, out)
  if (message.type === 'ARRIVED') {
    const kind = readKind(message.buffer, message.at)
    if (ofNoRequest.has(kind)) return refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
    const originator = readOriginator(message.buffer, message.at)
    const counter = readRequestCounter(message.buffer, message.at + offsetOf.counter)
    const bodyBytes = copyOf(readBodyView(message.buffer, message.at))
    // Not only a new request: a repeat, a cancellation or a query may have failed on one that is
    // open, which the fact ends.
    const request = findOpen(state, originator, counter)
    const attempt = request?.attempt ?? 0
    out.facts.push({
      type: 'REQUEST_PARKED',
      originator,
      counter,
      time: now,
      outcome,
      attempt,
      bodyBytes,
    })
    if (request !== undefined) {
      out.deliveries.push({ request, outcome, attempt, time: now, bodyBytes: emptyBytes })
      const { hold } = request
      if (hold?.phase === 'quarantined') out.effects.push(tellLeft(request, hold.event))
    }
    return refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  }
  const request = state.sent ?? state.open[0]
  if (request === undefined) return
  const { originator, counter, attempt, bodyBytes } = request
  out.facts.push({
    type: 'REQUEST_PARKED',
    originator,
    counter,
    time: now,
    outcome,
    attempt,
    bodyBytes,
  })
  out.deliveries.push({ request, outcome, attempt, time: now, bodyBytes: emptyBytes })
}

/** Applies `fact`. Facts about requests that are not open change nothing. */
export function evolve(state: DeviceState, fact: DeviceFact): void {
  switch (fact.type) {
    case 'DEVICE_REGISTERED':
    case 'DEVICE_ADDRESSED':
    case 'DEVICE_KEYED':
    case 'DEVICE_ALERTS_ADDRESSED':
      return evolveRecord(state, fact)
    case 'DEVICE_LINKED':
    case 'RIGHTS_RECEIVED':
      return evolveLinks(state, fact)
    case 'DEVICE_STATUS_CHANGED':
      return evolveStatus(state, fact)
    case 'DEVICE_REMOVED':
      return evolveRemoval(state, fact)
    // A record: replay does not even come here.
    case 'REQUEST_REJECTED':
    case 'SCHEDULED_RUN_REFUSED':
      return
    case 'REQUEST_ACCEPTED':
      if (fact.named !== undefined)
        fact.request.sequence = placeOf(state, fact.request.originator, fact.named)
      state.open = [...state.open, fact.request]
      return raise(state, fact.request.originator, fact.request.counter)
    case 'REQUEST_GRANTED':
      return evolveGranted(state, fact)
    case 'REQUEST_HELD':
      return evolveHold(state, fact)
    case 'PREDECESSOR_SUCCEEDED':
      return evolveSucceeded(state, fact)
    case 'EXECUTION_TIME_CAME':
      return evolveTimeCame(state, fact)
    case 'SCHEDULES_KNOWN':
      return evolveKnown(state, fact)
    case 'REQUEST_SENT':
      state.sent = fact.request
      state.sentCountersFrom = fact.countersFrom
      return
    case 'REQUEST_COUNTERS_RESET':
      return evolveReset(state, fact)
    case 'DEVICE_ALERTED':
    case 'ALERTS_TAKEN':
      return alerted(state, fact)
    case 'HELD_ALERTS_TOLD':
      return evolveTold(state, fact)
    case 'KEY_STEP_SENT':
    case 'COUNTERS_RESERVED':
    case 'KEYS_PENDING':
    case 'KEYS_TRIED':
    case 'KEYS_PROVED':
    case 'DEVICE_KEYS_SEALED':
    case 'COUNTER_ACCEPTED':
    case 'COUNTER_CONFIRMED':
      return evolveKeys(state, fact)
    case 'ATTEMPT_FAILED':
      return evolveAttempt(state, fact)
    case 'REQUEST_ENDED':
    case 'REQUEST_PARKED':
      return evolveEnd(state, fact)
  }
}

function evolveEnd(state: DeviceState, fact: RequestEnded | RequestParked): void {
  if (fact.type === 'REQUEST_ENDED') {
    state.fault = faultAfter(state.fault, fact, true)
    noted(state.keyring, fact.counters)
  }
  // What it was sent with, if it was, nobody waits for any more.
  else {
    burn(state.keyring)
    state.keyStep = undefined
  }
  const request = findOpen(state, fact.originator, fact.counter)
  if (request === undefined) return
  state.open = state.open.filter((other) => other !== request)
  if (state.sent === request) state.sent = undefined
  const { outcome, attempt, time } = fact
  rememberEnded(state, request, { endedAt: time, outcome, attempt })
  rememberSequenced(state, request, outcome)
}

function raise(state: DeviceState, key: Eui64, counter: RequestCounter): void {
  // Counters of runs are Busbar's own.
  if (isRunCounter(counter)) return
  const originator = findOriginator(state, key)
  if (originator === undefined)
    state.originators = [...state.originators, { key, highest: counter, floor: undefined }]
  else if (originator.highest < counter) originator.highest = counter
}
