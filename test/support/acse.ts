/**
 * The plainest AARQ and AARE, for tests that play one side of an association by hand: logical-name
 * referencing, without security or with low-level security. [IEC 62056-5-3, ACSE APDUs and
 * InitiateRequest]
 */
import { asBuffer } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { decodeApdu, encodeApdu, type ApduOf } from '../../core/dlms/apdu/codec.ts'
import { ApplicationContext, Diagnostic } from '../../core/dlms/apdu/acse.ts'
import { ConfirmedService, ErrorGroup } from '../../core/dlms/apdu/error.ts'
import { dlmsVersion, logicalNameVaa } from '../../core/dlms/apdu/initiate.ts'
import { Mechanism } from '../../core/dlms/security/suite.ts'

/** `conformance` 24 bits; `pduBytesMax` what the sender can receive, 0 for no limit. */
export type AssociationRequest = {
  secret?: Uint8Array | undefined
  conformance: number
  pduBytesMax: number
}

/**
 * What an AARQ asks for; the secret is borrowed. Of an InitiateRequest that is ciphered all numbers
 * are 0.
 */
export type AssociationRequestView = {
  context: number
  mechanism: number
  secretView: Buffer | undefined
  dlmsVersion: number
  conformance: number
  pduBytesMax: number
}

export type AssociationResponse = {
  result: number
  diagnostic: number
  /** The InitiateResponse; absent in most refusals. */
  initiate?: { conformance: number; pduBytesMax: number } | undefined
  /** Of a confirmed-service-error in place of the InitiateResponse. */
  initiateError?: number | undefined
}

/**
 * Encodes an AARQ, with low-level security when there is a secret. Owned, with spare octets in
 * front.
 */
export function encodeAarq({ secret, conformance, pduBytesMax }: AssociationRequest): Buffer {
  return encodeApdu({
    type: 'aarq',
    applicationContextName: ApplicationContext.LOGICAL_NAME,
    ...(secret !== undefined && {
      senderAcseRequirements: '1',
      mechanismName: Mechanism.LOW,
      callingAuthenticationValue: { type: 'charstring', valueView: asBuffer(secret) },
    }),
    userInformation: {
      type: 'initiate-request',
      responseAllowed: true,
      proposedDlmsVersionNumber: dlmsVersion,
      proposedConformance: conformance,
      clientMaxReceivePduSize: pduBytesMax,
    },
  })
}

/**
 * Encodes an AARE: with an InitiateResponse, a confirmed-service-error, or neither. Owned, with
 * spare octets in front.
 */
export function encodeAare({
  result,
  diagnostic,
  initiate,
  initiateError,
}: AssociationResponse): Buffer {
  return encodeApdu({
    type: 'aare',
    applicationContextName: ApplicationContext.LOGICAL_NAME,
    result,
    resultSourceDiagnostic: { source: 'acse-service-user', diagnostic },
    userInformation:
      initiate !== undefined
        ? {
            type: 'initiate-response',
            negotiatedDlmsVersionNumber: dlmsVersion,
            negotiatedConformance: initiate.conformance,
            serverMaxReceivePduSize: initiate.pduBytesMax,
            vaaName: logicalNameVaa,
          }
        : initiateError !== undefined
          ? {
              type: 'confirmed-service-error',
              service: ConfirmedService.INITIATE_ERROR,
              serviceError: { group: ErrorGroup.INITIATE, error: initiateError },
            }
          : undefined,
  })
}

/** RLRQ, reason normal. Owned, with spare octets in front. */
export function encodeRlrq(): Buffer {
  return encodeApdu({ type: 'rlrq', reason: 0 })
}

/** RLRE, reason normal. Owned, with spare octets in front. */
export function encodeRlre(): Buffer {
  return encodeApdu({ type: 'rlre', reason: 0 })
}

/**
 * Reads an AARQ. Fields it does not know are passed over.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID
 */
export function decodeAarq(view: Buffer): AssociationRequestView {
  const aarq = decodeAs(view, 'aarq')
  const initiate = aarq.userInformation
  if (initiate === undefined)
    throw new BrokerError('DLMS_VALUE_INVALID', 'AARQ without InitiateRequest')
  const isClear = initiate.type === 'initiate-request'
  return {
    context: aarq.applicationContextName ?? 0,
    mechanism: aarq.mechanismName ?? Mechanism.NONE,
    secretView: aarq.callingAuthenticationValue?.valueView,
    dlmsVersion: isClear ? initiate.proposedDlmsVersionNumber : 0,
    conformance: isClear ? initiate.proposedConformance : 0,
    pduBytesMax: isClear ? initiate.clientMaxReceivePduSize : 0,
  }
}

/**
 * Reads an AARE. A protocol version, names, requirements and titles are passed over: meters add and
 * omit them.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID
 */
export function decodeAare(view: Buffer): AssociationResponse {
  const { result, resultSourceDiagnostic, userInformation } = decodeAs(view, 'aare')
  if (result === undefined) throw new BrokerError('DLMS_VALUE_INVALID', 'AARE without result')
  const response: AssociationResponse = {
    result,
    diagnostic: resultSourceDiagnostic?.diagnostic ?? Diagnostic.NULL,
  }
  if (userInformation?.type === 'confirmed-service-error')
    response.initiateError = userInformation.serviceError.error
  else if (userInformation?.type === 'initiate-response') {
    const version = userInformation.negotiatedDlmsVersionNumber
    if (version !== dlmsVersion)
      throw new BrokerError('DLMS_VALUE_INVALID', `DLMS version ${version}`)
    response.initiate = {
      conformance: userInformation.negotiatedConformance,
      pduBytesMax: userInformation.serverMaxReceivePduSize,
    }
  } else if (userInformation !== undefined)
    throw new BrokerError('DLMS_TAG_UNKNOWN', `${userInformation.type} in an AARE`)
  return response
}

function decodeAs<T extends 'aarq' | 'aare'>(view: Buffer, type: T): ApduOf<T> {
  const apdu = decodeApdu(view, { isTolerant: true })
  if (apdu.type !== type) throw new BrokerError('DLMS_TAG_UNKNOWN', `${apdu.type} for ${type}`)
  return apdu as ApduOf<T>
}
