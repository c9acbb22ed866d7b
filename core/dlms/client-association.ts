/**
 * How the head-end reads a meter's answer to its AARQ: in, on which terms, or refused.
 * [IEC 62056-5-3, AARE result and diagnostic]. Meters word acceptance in several ways; high-level security is not here.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { decodeAare } from './acse.ts'
import { ApduTag } from './apdu.ts'
import { AssociationResult, Diagnostic } from './apdu/acse.ts'
import { refusalOf, unexpected } from './service-response.ts'

/** Conformance bits and the octets of the largest APDU that the meter receives. */
export type Agreement = { conformance: number; pduBytesMax: number }

/**
 * What the meter agrees to.
 * @throws BrokerError DLMS_ASSOCIATION_REFUSED, DLMS_SERVICE_UNEXPECTED, and those of `decodeAare`
 */
export function readAgreement(view: Buffer): Agreement {
  const tag = view[0]
  if (tag === ApduTag.EXCEPTION_RESPONSE || tag === ApduTag.CONFIRMED_SERVICE_ERROR) {
    throw new BrokerError('DLMS_ASSOCIATION_REFUSED', refusalOf(view))
  }
  if (tag !== ApduTag.AARE) throw unexpected(view, 'ASSOCIATING')
  const { result, diagnostic, initiate, initiateError } = decodeAare(view)
  // "Authentication required" with "accepted" asks for high-level security, which we did not offer.
  if (result !== AssociationResult.ACCEPTED || diagnostic === Diagnostic.AUTHENTICATION_REQUIRED) {
    const cause = initiateError === undefined ? '' : `, initiate error ${initiateError}`
    throw new BrokerError(
      'DLMS_ASSOCIATION_REFUSED',
      `result ${result}, diagnostic ${diagnostic}${cause}`,
    )
  }
  // A meter that leaves the InitiateResponse out has agreed to nothing beyond the plain services.
  return {
    conformance: initiate?.conformance ?? 0,
    // 0 is no limit.
    pduBytesMax: initiate?.pduBytesMax || limits.apduBytesMax,
  }
}
