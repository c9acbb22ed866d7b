/**
 * What the envelope of a request has as its kind and body: the body as it came, with its seal, and
 * its place in a sequence or its execution time, in front where it has them; and when it ends.
 */
import {
  cancellationMs,
  executionLateMsMax,
  refusalOfExecution,
} from '../../access/future-dating.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import { formatWithSchedules } from '../../cluster/format.ts'
import type { ServiceRequestRow } from '../../catalogue/service-requests.ts'
import { futureBodyOf } from '../../envelope/future-request.ts'
import { Kind } from '../../envelope/layout.ts'
import { sequencedBodyOf } from '../../envelope/sequenced-request.ts'
import { sealBytesOf, sealedBodyOf, type Seal } from '../../envelope/signed-request.ts'
import { checkBody } from '../../translate/body.ts'
import type { RequestScan } from '../../translate/scan.ts'
import { sequenceOf } from '../../translate/sequence-of.ts'

/** True for a request that names its place in a sequence. */
export const isInSequence = ({ isFirstInSequence, hasPreceding }: RequestScan): boolean =>
  isFirstInSequence || hasPreceding

/** The kind of the envelope of a request. */
export function kindOfRequest(scan: RequestScan, seal: Seal | undefined): Kind {
  if (isInSequence(scan)) return Kind.SEQUENCED_REQUEST
  if (scan.executeAtMs > 0) return Kind.FUTURE_REQUEST
  return seal === undefined ? Kind.SERVICE_REQUEST : Kind.SIGNED_REQUEST
}

/** The body of the envelope of the request in `view`: borrowed when nothing stands in front. */
export function bodyOfRequest(view: Buffer, scan: RequestScan, seal: Seal | undefined): Buffer {
  const bodyView = view.subarray(scan.bodyStart, scan.bodyEnd)
  const sealed = seal === undefined ? bodyView : sealedBodyOf(sealBytesOf(seal), bodyView)
  if (scan.executeAtMs > 0) return futureBodyOf(scan.executeAtMs, sealed, seal !== undefined)
  if (!isInSequence(scan)) return sealed
  return sequencedBodyOf(sequenceOf(scan), sealed, seal !== undefined)
}

/**
 * Why the content of a request is not accepted that has come at `nowMs`: its body, its place in a
 * sequence, its execution time.
 */
export const refusalOfContent = (
  row: ServiceRequestRow,
  view: Buffer,
  scan: RequestScan,
  nowMs: number,
  format: number,
): ErrorCode | undefined =>
  refusalOfTerms(scan, row, nowMs, format) ??
  // What it asks for must be there when it is carried out.
  checkBody(row, view, scan, dueMsOf(scan, nowMs))

function refusalOfTerms(
  scan: RequestScan,
  row: ServiceRequestRow,
  nowMs: number,
  format: number,
): ErrorCode | undefined {
  const { executeAtMs, deadlineMs } = scan
  const isOfSequence = isInSequence(scan)
  if (executeAtMs === 0 && !isOfSequence) return undefined
  if (format < formatWithSchedules) return 'FORMAT_NOT_RAISED'
  if (executeAtMs === 0) return undefined
  return refusalOfExecution(row, { executeAtMs, deadlineMs, isInSequence: isOfSequence }, nowMs)
}

/** When a request that came at `nowMs` is to be carried out, UTC ms. */
const dueMsOf = ({ executeAtMs }: RequestScan, nowMs: number): number =>
  executeAtMs === 0 || executeAtMs === cancellationMs ? nowMs : executeAtMs

/** The deadline of a request that came at `nowMs`, UTC ms: its own, or the longest. */
export function deadlineOf(scan: RequestScan, nowMs: number): number {
  if (scan.deadlineMs > 0) return scan.deadlineMs
  const dueMs = dueMsOf(scan, nowMs)
  return dueMs === nowMs ? nowMs + limits.requestLifetimeMs : dueMs + executionLateMsMax
}
