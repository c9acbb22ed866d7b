/**
 * What the envelope of a request has as its kind and body: the body as it came, with its seal and
 * its place in a sequence in front where it has them.
 */
import { Kind } from '../../envelope/layout.ts'
import { sequencedBodyOf } from '../../envelope/sequenced-request.ts'
import { sealBytesOf, sealedBodyOf, type Seal } from '../../envelope/signed-request.ts'
import type { RequestScan } from '../../translate/scan.ts'
import { sequenceOf } from '../../translate/sequence-of.ts'

/** True for a request that names its place in a sequence. */
export const isInSequence = ({ isFirstInSequence, hasPreceding }: RequestScan): boolean =>
  isFirstInSequence || hasPreceding

/** The kind of the envelope of a request. */
export function kindOfRequest(scan: RequestScan, seal: Seal | undefined): Kind {
  if (isInSequence(scan)) return Kind.SEQUENCED_REQUEST
  return seal === undefined ? Kind.SERVICE_REQUEST : Kind.SIGNED_REQUEST
}

/** The body of the envelope of the request in `view`: borrowed when nothing stands in front. */
export function bodyOfRequest(view: Buffer, scan: RequestScan, seal: Seal | undefined): Buffer {
  const bodyView = view.subarray(scan.bodyStart, scan.bodyEnd)
  const sealed = seal === undefined ? bodyView : sealedBodyOf(sealBytesOf(seal), bodyView)
  if (!isInSequence(scan)) return sealed
  return sequencedBodyOf(sequenceOf(scan), sealed, seal !== undefined)
}
