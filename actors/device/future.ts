/**
 * Requests for a later time: accepted now, carried out then. Pure, a part of actor.ts.
 *
 *   accepted ─▶ waits for its time ── that has come ─▶ waiting for its turn, state.ts
 *                  └── cancelled, or the party has lost the right ─▶ ended
 *
 * What waits holds up nothing; once its time has come it has the place in its lane that its
 * acceptance gave it. What a party may is checked when it is accepted, at each change, and when it
 * is sent. The time is that of the host's clock: when that is set back, the request waits longer.
 *
 * @source ../shared/domain/schedules-and-future-dating.md, future dated
 */
import { cancellationMs } from '../../core/access/future-dating.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithSchedules } from '../../core/cluster/format.ts'
import { executeAtIn } from '../../core/envelope/future-request.ts'
import type { Arrived } from '../kind/messages.ts'
import type { DeviceOutbox } from './effects.ts'
import { end } from './ending.ts'
import { burnt } from './keys.ts'
import { findOpen, type DeviceState, type OpenRequest } from './state.ts'
import type { ExecutionTimeCame } from './waiting-facts.ts'

/** True while `request` waits for its execution time. */
export const waitsForTime = ({ future }: OpenRequest): boolean => future?.isWaiting === true

/** True for a request that cancels those that wait for their time. */
export const isCancellation = ({ future }: OpenRequest): boolean =>
  future?.executeAt === cancellationMs

/**
 * Why a new request cannot have the execution time that it names; undefined when it can, and for a
 * request without one.
 */
export function refusalOfTime(
  state: DeviceState,
  { buffer, at }: Pick<Arrived, 'buffer' | 'at'>,
  request: Pick<OpenRequest, 'originator' | 'srv'>,
  now: number,
  format: number,
): ErrorCode | undefined {
  const executeAt = executeAtIn(buffer, at)
  if (executeAt === undefined) return undefined
  if (format < formatWithSchedules) return 'FORMAT_NOT_RAISED'
  if (executeAt === cancellationMs)
    return waitingOf(state, request).length > 0 ? undefined : 'FUTURE_REQUEST_NOT_FOUND'
  if (executeAt <= now) return 'EXECUTION_TIME_PAST'
  const count = state.open.reduce((sum, one) => sum + Number(waitsForTime(one)), 0)
  return count < limits.deviceFutureRequestsMax ? undefined : 'DEVICE_QUEUE_FULL'
}

/** Requests of the same party and variant that wait for their time. */
const waitingOf = (
  state: DeviceState,
  { originator, srv }: Pick<OpenRequest, 'originator' | 'srv'>,
): OpenRequest[] =>
  state.open.filter((one) => waitsForTime(one) && one.originator === originator && one.srv === srv)

/** Carries out a cancellation that is being accepted: both end at once. */
export function cancelWaiting(
  state: DeviceState,
  request: OpenRequest,
  now: number,
  out: DeviceOutbox,
): void {
  const using = burnt(state.keyring)
  const outcome = errorId('REQUEST_CANCELLED')
  for (const waiting of waitingOf(state, request)) end(out, waiting, now, { outcome, using })
  end(out, request, now, { outcome: errorId('OK'), using })
}

/** Lets go what has waited for its time. True when there was any. */
export function settleFuture(state: DeviceState, now: number, out: DeviceOutbox): boolean {
  let isAny = false
  for (const { originator, counter, future } of state.open) {
    if (future?.isWaiting !== true || future.executeAt > now) continue
    out.facts.push({ type: 'EXECUTION_TIME_CAME', originator, counter, time: now })
    isAny = true
  }
  return isAny
}

/** Applies EXECUTION_TIME_CAME. */
export function evolveTimeCame(
  state: DeviceState,
  { originator, counter }: ExecutionTimeCame,
): void {
  const request = findOpen(state, originator, counter)
  if (request?.future !== undefined) request.future = { ...request.future, isWaiting: false }
}

/**
 * How a request ends whose time to be carried out is over: one for a later time as one that was not
 * carried out, others with the outcome of the last attempt.
 */
export const lateOutcome = ({ future }: OpenRequest, outcome: number): number =>
  future === undefined ? outcome : errorId('REQUEST_EXPIRED')
