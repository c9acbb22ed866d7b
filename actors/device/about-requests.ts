/** What a party wants of, or asks about, a request that it has submitted: Cancel and the status. */
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import { errorId } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readOriginator } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import { notEnded } from '../../core/envelope/status-body.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import type { Arrived } from '../kind/messages.ts'
import { boundsOf } from './counter-bounds.ts'
import { refuseCounter, type DeviceOutbox } from './effects.ts'
import { findEnded } from './ended-requests.ts'
import { end } from './ending.ts'
import { waitsForTime } from './future.ts'
import { burnt } from './keys.ts'
import { findPast } from './past-counters.ts'
import { isForSchedules } from './schedules.ts'
import { waitsForPredecessor } from './sequences.ts'
import {
  findOpen,
  findOriginator,
  topOf,
  type DeviceState,
  type OpenRequest,
  type Originator,
} from './state.ts'

export function decideCancel(
  state: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  const { buffer, at } = message
  const originator = readOriginator(buffer, at)
  const counter = readRequestCounter(buffer, at + offsetOf.counter)
  const request = findOpen(state, originator, counter)
  if (request === undefined) {
    const ended = findEnded(state, originator, counter)
    if (ended?.outcome === errorId('REQUEST_CANCELLED'))
      return acknowledge(out, message, ended.outcome, ended.endedAt)
    const code = ended === undefined ? 'REQUEST_NOT_FOUND' : 'REQUEST_ENDED'
    return refuseCounter(out, message, code, now, boundsOf(findOriginator(state, originator)))
  }
  if (state.sent === request || isForSchedules(request))
    return refuse(out, message, 'REQUEST_ENDED', now)
  const outcome = errorId('REQUEST_CANCELLED')
  end(out, request, now, { outcome, using: burnt(state.keyring) })
  acknowledge(out, message, errorId('REQUEST_CANCELLED'), now)
}

/**
 * False when no request with this RequestID, which is neither open nor among the last ended ones,
 * was ever accepted.
 */
function mayHaveAccepted(
  state: DeviceState,
  originator: Originator | undefined,
  key: Eui64,
  counter: RequestCounter,
): boolean {
  if (originator === undefined || counter > topOf(originator)) return false
  if (originator.floor !== undefined && counter <= originator.floor) return true
  // A reset has removed the earlier floor.
  if (originator.top !== undefined) return true
  return findPast(state.past, key, counter) !== undefined
}

function stateOf(request: OpenRequest, isSent: boolean): 1 | 2 | 4 | 6 | 7 {
  if (request.hold?.phase === 'quarantined') return 4
  if (waitsForPredecessor(request)) return 6
  if (waitsForTime(request)) return 7
  return isSent ? 2 : 1
}

export function decideStatus(
  state: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  const { buffer, at, replyTo } = message
  const originator = readOriginator(buffer, at)
  const counter = readRequestCounter(buffer, at + offsetOf.counter)
  const open = findOpen(state, originator, counter)
  if (open !== undefined) {
    const { srv, attempt, acceptedAt, deadline } = open
    const isSent = state.sent === open
    out.effects.push({
      type: 'REPORT_STATUS',
      replyTo,
      srv,
      state: stateOf(open, isSent),
      outcome: notEnded,
      attempt: attempt + (isSent ? 1 : 0),
      acceptedAt,
      endedAt: 0,
      deadline,
    })
    return
  }
  const ended = findEnded(state, originator, counter)
  if (ended === undefined) {
    const known = findOriginator(state, originator)
    const isNever = !mayHaveAccepted(state, known, originator, counter)
    return refuseCounter(out, message, 'REQUEST_NOT_FOUND', now, {
      ...boundsOf(known),
      ...(isNever && { isNeverAccepted: true }),
    })
  }
  const { srv, outcome, attempt, acceptedAt, endedAt } = ended
  out.effects.push({
    type: 'REPORT_STATUS',
    replyTo,
    srv,
    state: 3,
    outcome,
    attempt,
    acceptedAt,
    endedAt,
    deadline: 0,
  })
}
