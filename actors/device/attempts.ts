/**
 * What comes of an attempt at a request: another attempt, or its end; and what ends, or may go,
 * without one. Pure, a part of actor.ts.
 */
import type { Directory } from '../../core/access/directory.ts'
import { errorCodeOf, errorId } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { mayRepeat } from '../../core/catalogue/retry-policy.ts'
import { faultAfter } from './cause.ts'
import { endOf, retryDelayMs, spread } from './clock-set.ts'
import type { DeviceOutbox } from './effects.ts'
import { alarm, end } from './ending.ts'
import type { AttemptFailed } from './facts.ts'
import { lateOutcome, settleFuture } from './future.ts'
import { isConsentGone } from './grants.ts'
import { noted } from './keyring.ts'
import type { Using } from './keys-facts.ts'
import { burnt, note } from './keys.ts'
import { endUnentitled } from './links.ts'
import type { Answered } from './messages.ts'
import { endUses } from './schedules.ts'
import {
  endOverdue,
  releaseSuccessor,
  settleSequences,
  waitEndOf,
  waitsForPredecessor,
} from './sequences.ts'
import { findOpen, type DeviceState } from './state.ts'

/** The attempt at the request that is on its way has ended. */
export function decideAnswered(
  state: DeviceState,
  message: Answered,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): void {
  // What was sent is not on disk: after a reload it is forgotten, and its answer is as good as
  // before.
  const request = state.sent ?? findOpen(state, message.originator, message.counter)
  // An answer to what has ended meanwhile, or came twice: nobody waits for it.
  if (
    request === undefined ||
    request.counter !== message.counter ||
    request.originator !== message.originator
  )
    return
  const { cause } = message
  let { outcome } = message
  const { using: counted, isRaised } = note(state, message.counters, now, out)
  const using: Using = { ...counted, ...(cause && { cause }) }
  const code = errorCodeOf(outcome)
  // A device that dials in was not there to be asked: that is no attempt, and it is waited for up
  // to the deadline.
  const transport = state.record?.address.transport
  const isAway = code === 'DEVICE_UNREACHABLE' && transport === 'dial-in' && !isRaised
  const attempt = Math.min(request.attempt + (isAway ? 0 : 1), limits.attemptsCountedMax)
  // What the device has just said of its counter is worth one attempt more, at once.
  const isAtOnce = isRaised && attempt <= limits.attemptsMax
  if (code !== undefined && mayRepeat(code, isAtOnce ? attempt - 1 : attempt)) {
    const delayMs = isAway
      ? spread(request, limits.dialInRetryMs)
      : retryDelayMs(request, transport, attempt)
    const nextAttemptAt = isAtOnce ? now : now + delayMs
    if (nextAttemptAt < endOf(request)) {
      const { originator, counter } = request
      out.facts.push({
        type: 'ATTEMPT_FAILED',
        originator,
        counter,
        time: now,
        outcome,
        attempt,
        nextAttemptAt,
        ...using,
      })
      return
    }
    outcome = lateOutcome(request, outcome)
  }
  if (cause !== undefined) alarm(state, cause, out)
  const { originator: party, srv } = request
  // What the device has said is not for a third party whose consent has ended meanwhile.
  if (isConsentGone(state, { party, srv, directory, atMs: now }))
    return end(out, request, now, { outcome: errorId('CONSENT_MISSING'), attempt, using: counted })
  end(out, request, now, { outcome, attempt, body: message.bodyBytes, using })
  releaseSuccessor(state, request, outcome, now, out)
}

/**
 * Ends what waits and whose deadline has come. What is on its way ends by the WAN's own time-outs.
 */
export function expire(state: DeviceState, now: number, out: DeviceOutbox): void {
  for (const request of state.open) {
    if (request === state.sent || waitEndOf(request) > now) continue
    if (waitsForPredecessor(request)) {
      endOverdue(state, request, now, out)
      continue
    }
    const last = request.attempt === 0 ? errorId('REQUEST_EXPIRED') : request.lastOutcome
    const outcome = lateOutcome(request, last)
    end(out, request, now, { outcome, using: burnt(state.keyring) })
  }
}

/** Ends what may not be carried out any more, and lets go what may now. True when there was any. */
export const settle = (
  state: DeviceState,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): boolean =>
  endUnentitled(state, now, directory, out) ||
  endUses(state, now, directory, out) ||
  settleSequences(state, now, out) ||
  settleFuture(state, now, out)

/** Applies ATTEMPT_FAILED. */
export function evolveAttempt(state: DeviceState, fact: AttemptFailed): void {
  state.fault = faultAfter(state.fault, fact, false)
  noted(state.keyring, fact.counters)
  const request = findOpen(state, fact.originator, fact.counter)
  if (request === undefined) return
  request.attempt = fact.attempt
  request.nextAttemptAt = fact.nextAttemptAt
  request.lastOutcome = fact.outcome
  if (state.sent === request) state.sent = undefined
}
