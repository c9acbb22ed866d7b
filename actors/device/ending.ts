/** The end of a request, with the one response to its originator; and the alarm of a failure. */
import { emptyBytes } from '../../core/base/bytes.ts'
import { errorId } from '../../core/base/error-table.ts'
import { failedRunBodyOf } from '../../core/translate/dcc-alert.ts'
import { textOfCause, type FailureCause } from './cause.ts'
import type { DeviceOutbox } from './effects.ts'
import type { Using } from './keys-facts.ts'
import { tellLeft } from './quarantine-letters.ts'
import type { DeviceState, OpenRequest } from './state.ts'

const done = errorId('OK')

export type Ending = {
  outcome: number
  /** The attempts of the request so far, when left out. */
  attempt?: number
  body?: Buffer
  using: Using
}

/** Ends `request` with its one response; of a run that has failed, with a DCC alert beside. */
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
  if (request.run !== undefined && outcome !== done)
    out.deliveries.push({
      party: originator,
      receivedAt: now,
      time: now,
      bodyBytes: failedRunBodyOf(request, request.run.device, outcome, now),
      isOfDcc: true,
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
