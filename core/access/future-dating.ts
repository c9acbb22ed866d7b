/**
 * Requests for a later time that Busbar keeps until then: how far ahead, and for how long after
 * their time, as data (future-dating.json).
 */
import type { ErrorCode } from '../base/error-table.ts'
import type { ServiceRequestRow } from '../catalogue/service-requests.ts'
import rules from './future-dating.json' with { type: 'json' }

/** The furthest execution time, ms after the request has come. */
export const executionAheadMsMax = rules.aheadDaysMax * 86_400_000
/** A request that is not carried out so long after its execution time ends, ms. */
export const executionLateMsMax = rules.keptHours * 3_600_000
/** The execution time that cancels what waits for its time, UTC ms. */
export const cancellationMs = Date.parse(rules.cancelsAt)

/**
 * Why a gateway cannot pass on a request for `executeAtMs`, UTC ms; undefined when it can. Whether
 * that time has passed is for the device, which knows whether the request is a repeat.
 */
export function refusalOfExecution(
  row: Pick<ServiceRequestRow, 'futureDated'>,
  scan: {
    readonly executeAtMs: number
    readonly deadlineMs: number
    readonly isInSequence: boolean
  },
  nowMs: number,
): ErrorCode | undefined {
  const { executeAtMs, deadlineMs, isInSequence } = scan
  if (!row.futureDated.includes('busbar') || isInSequence) return 'EXECUTION_TIME_UNFIT'
  if (executeAtMs === cancellationMs) return undefined
  if (executeAtMs > nowMs + executionAheadMsMax) return 'EXECUTION_TIME_FAR'
  return deadlineMs > 0 && deadlineMs <= executeAtMs ? 'REQUEST_DEADLINE_PAST' : undefined
}
