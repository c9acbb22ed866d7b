/** The end of a request, with the one response to its originator; and the alarm of a failure. */
import { emptyBytes } from '../../core/base/bytes.ts'
import { textOfCause, type FailureCause } from './cause.ts'
import type { DeviceOutbox } from './effects.ts'
import type { Using } from './keys-facts.ts'
import { tellLeft } from './quarantine-letters.ts'
import type { DeviceState, OpenRequest } from './state.ts'

export type Ending = {
  outcome: number
  /** The attempts of the request so far, when left out. */
  attempt?: number
  body?: Buffer
  using: Using
}

/** Ends `request` with its one response. */
export function end(
  out: DeviceOutbox,
  request: OpenRequest,
  now: number,
  { outcome, attempt = request.attempt, body = emptyBytes, using }: Ending,
): void {
  const { originator, counter, hold } = request
  const { cause } = using
  const isCause = cause !== undefined && body.length === 0
  const about = { originator, counter, time: now, outcome, attempt }
  out.facts.push({ type: 'REQUEST_ENDED', ...about, ...using })
  out.deliveries.push({
    request,
    outcome,
    attempt,
    time: now,
    bodyBytes: isCause ? Buffer.from(textOfCause(cause)) : body,
    ...(isCause && { isCause }),
  })
  if (hold?.phase === 'quarantined') out.effects.push(tellLeft(request, hold.event))
}

/**
 * Every failed request is counted by its cause. The log reports a cause that differs from the one
 * before.
 */
export function alarm({ fault }: DeviceState, cause: FailureCause, out: DeviceOutbox): void {
  const isKnown = fault?.isTold === true && fault.code === cause.code
  out.effects.push({ type: 'ALARM', code: cause.code, cause, isKnown })
}
