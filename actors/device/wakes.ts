/**
 * When a device is to be woken: what it plans, and what its store says for the time after a
 * restart.
 */
import { limits } from '../../core/base/limits.ts'
import { endOf, isWaiting } from './clock-set.ts'
import { nextChangeMs } from '../../core/registration/rights.ts'
import { isInDoubt } from './keyring.ts'
import { waitEndOf } from './sequences.ts'
import type { DeviceState } from './state.ts'
import { noticeMs } from './throttle.ts'

/**
 * When something is to happen if no message comes before: an attempt or a deadline of what waits; 0
 * for never.
 */
export function nextWakeMs(state: DeviceState, now: number): number {
  let at = noticeMs(state)
  const replacement = isInDoubt(state.keyring) ? state.keyring?.replacement : undefined
  if (replacement && state.keyStep === undefined && replacement.nextAttemptAt > now)
    at = Math.min(at, replacement.nextAttemptAt)
  for (const request of state.open) {
    if (request === state.sent) continue
    at = Math.min(at, waitEndOf(request))
    if (request.future?.isWaiting === true) at = Math.min(at, request.future.executeAt)
    if (request.nextAttemptAt < at && isWaiting(state, request, now)) at = request.nextAttemptAt
  }
  // Who may use the device changes.
  const isUsed = state.open.length > 0 || state.schedules !== undefined
  if (state.linked !== undefined && isUsed) at = Math.min(at, nextChangeMs(state.linked.links, now))
  return at === Number.POSITIVE_INFINITY ? 0 : at
}

/** The same for the store, where what is on its way must be found after a restart. */
export function storedWakeMs(state: DeviceState): number {
  const replacement = state.keyStep && state.keyring?.replacement
  if (replacement !== undefined) return replacement.nextAttemptAt + limits.keysRetryMsMax
  if (state.sent !== undefined) return endOf(state.sent)
  let at = nextWakeMs(state, 0)
  // Whatever the clock says now: who is looked at too early only waits on.
  for (const { nextAttemptAt } of state.open)
    if (nextAttemptAt > 0 && nextAttemptAt < at) at = nextAttemptAt
  return at
}
