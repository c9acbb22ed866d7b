/**
 * How a device answers an AARQ: whom it lets in, and on what both agree.
 * [IEC 62056-5-3, AARE result and diagnostic, ConfirmedServiceError initiateError]. High-level security is not here.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import {
  decodeAarq,
  encodeAare,
  type AssociationRequestView,
  type AssociationResponse,
} from './acse.ts'
import { conformanceSupported } from './apdu.ts'
import { ApplicationContext, AssociationResult, Diagnostic, Mechanism } from './apdu/acse.ts'
import { InitiateError } from './apdu/error.ts'

/** What a device allows; see ServerOptions. */
export type AssociationPolicy = {
  secret?: Uint8Array | undefined
  apduBytesMax?: number | undefined
  conformance?: number | undefined
}

/** The AARE to send, and what was agreed: conformance 0 when the association is refused. */
export type AssociationAnswer = { aareBytes: Buffer; conformance: number; pduBytesMax: number }

const dlmsVersionMin = 6
// A client that takes less than this would need a block for every few octets.
const pduBytesMin = 32

/** Answers the AARQ that `view` is; a malformed one is refused. */
export function answerAssociation(view: Buffer, policy: AssociationPolicy): AssociationAnswer {
  let request: AssociationRequestView
  try {
    request = decodeAarq(view)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return refused({
      result: AssociationResult.REJECTED_PERMANENT,
      diagnostic: Diagnostic.NO_REASON,
    })
  }
  const conformance =
    request.conformance & conformanceSupported & (policy.conformance ?? conformanceSupported)
  const refusal = refusalOfAssociation(request, conformance, policy.secret)
  if (refusal !== undefined) return refused(refusal)
  const apduBytesMax = Math.min(policy.apduBytesMax ?? limits.apduBytesMax, limits.apduBytesMax)
  const aareBytes = encodeAare({
    result: AssociationResult.ACCEPTED,
    diagnostic: Diagnostic.NULL,
    initiate: { conformance, pduBytesMax: apduBytesMax },
  })
  // A client that gives 0 takes APDUs of any size.
  return {
    aareBytes,
    conformance,
    pduBytesMax: Math.min(request.pduBytesMax || limits.apduBytesMax, apduBytesMax),
  }
}

function refused(response: AssociationResponse): AssociationAnswer {
  return { aareBytes: encodeAare(response), conformance: 0, pduBytesMax: 0 }
}

/** Why the association is refused, or undefined. */
function refusalOfAssociation(
  request: AssociationRequestView,
  conformance: number,
  secret: Uint8Array | undefined,
): AssociationResponse | undefined {
  const refused = (diagnostic: number, initiateError?: number): AssociationResponse => ({
    result: AssociationResult.REJECTED_PERMANENT,
    diagnostic,
    initiateError,
  })
  if (request.context !== ApplicationContext.LOGICAL_NAME)
    return refused(Diagnostic.CONTEXT_NAME_UNSUPPORTED)
  if (request.mechanism !== (secret === undefined ? Mechanism.NONE : Mechanism.LOW)) {
    return refused(
      request.mechanism === Mechanism.NONE
        ? Diagnostic.AUTHENTICATION_REQUIRED
        : Diagnostic.MECHANISM_UNKNOWN,
    )
  }
  if (
    secret !== undefined &&
    (request.secretView === undefined || !sameSecret(secret, request.secretView))
  ) {
    return refused(Diagnostic.AUTHENTICATION_FAILURE)
  }
  if (request.dlmsVersion < dlmsVersionMin)
    return refused(Diagnostic.NO_REASON, InitiateError.DLMS_VERSION_TOO_LOW)
  if (conformance === 0)
    return refused(Diagnostic.NO_REASON, InitiateError.INCOMPATIBLE_CONFORMANCE)
  if (request.pduBytesMax !== 0 && request.pduBytesMax < pduBytesMin)
    return refused(Diagnostic.NO_REASON, InitiateError.PDU_SIZE_TOO_SHORT)
  return undefined
}

/** Looks at every octet, whatever the first ones were. */
function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ (b[i] ?? 0)
  return difference === 0
}
