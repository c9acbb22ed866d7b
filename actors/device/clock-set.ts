/**
 * What is left of a device's times when somebody sets the clock of its host. Times of requests are
 * UTC, and the clock that wrote them may have been another one, or wrong, or is wrong now:
 *
 *   the clock of this process is set   what is in memory is moved with it (`clockSet`), so that
 *                                      attempts and deadlines come after the elapsed time planned
 *   it was set before, or elsewhere    an attempt further away than any delay is due (`isWaiting`)
 *
 * Pure. The lag of a clock is by how much it was set back since the process started, in ms; below
 * zero for one that was set forward.
 */
import { limits } from '../../core/base/limits.ts'
import { retryDelaysOf } from '../../core/catalogue/retry-policy.ts'
import type { Transport } from '../../core/ports/wan.ts'
import type { DeviceState, OpenRequest } from './state.ts'

/** When `request` ends if nothing else ends it before: UTC ms by the host's present clock. */
export const endOf = ({ deadline, endsBy }: OpenRequest): number => endsBy ?? deadline

/**
 * The delay before the next attempt at `request` after `attempt` attempts; grows each time, as the
 * policy of its lane and of the transport of its device says.
 */
export function retryDelayMs(
  request: OpenRequest,
  transport: Transport | undefined,
  attempt: number,
): number {
  const { firstMs, growth, longestMs } = retryDelaysOf(request.lane, transport)
  return spread(request, Math.min(firstMs * growth ** (attempt - 1), longestMs))
}

/** ± 25 % by the request's own content, so that a lost region does not come back all at once. */
export function spread({ contentHash, acceptedAt }: OpenRequest, delayMs: number): number {
  const share = ((contentHash ^ acceptedAt) & 0xff) / 0xff
  return Math.round(delayMs * (0.75 + share / 2))
}

/**
 * True while the next attempt at `request`, one of `device`, is to wait. No clock that is right
 * gives a longer wait than its delay.
 */
export function isWaiting(device: DeviceState, request: OpenRequest, now: number): boolean {
  const waitMs = request.nextAttemptAt - now
  if (waitMs <= 0) return false
  const delayMs = Math.max(
    retryDelayMs(request, device.record?.address.transport, Math.max(1, request.attempt)),
    spread(request, limits.dialInRetryMs),
  )
  return waitMs <= delayMs + limits.clockStepMs
}

/**
 * The host's clock was set: its lag was `before` and is `after`. Moves what the state plans, as far
 * as it would come later than planned. What is moved beside `deadline` is not written to the
 * ledger.
 */
export function clockSet(state: DeviceState, before: number, after: number): void {
  const backMs = Math.max(0, after - before)
  for (const request of state.open) {
    request.lagMs ??= before
    const lateMs = after - request.lagMs
    request.endsBy = lateMs > 0 ? request.deadline - lateMs : undefined
    request.nextAttemptAt = Math.max(0, request.nextAttemptAt - backMs)
  }
  const replacement = state.keyring?.replacement
  if (replacement !== undefined)
    replacement.nextAttemptAt = Math.max(0, replacement.nextAttemptAt - backMs)
}
