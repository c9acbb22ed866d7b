/**
 * What the device's side reads out of requests and how its small answers are laid out; server.ts
 * decides which.
 * [IEC 62056-5-3, Cosem-Attribute-Descriptor with selection, GET-Response, SET-Response, ExceptionResponse]
 */
import { BrokerError } from '../../base/broker-error.ts'
import {
  ApduTag,
  descriptorBytes,
  GetResponse,
  ServiceError,
  StateError,
} from '../apdu/constants.ts'
import { skipValue } from '../axdr/layout.ts'
import { allocateApdu } from '../framing/wrapper.ts'

/**
 * The offset behind a descriptor and its optional selective access (1, selector octet, parameters).
 */
export function skipAttribute(view: Buffer, at: number, end: number): number {
  const optionAt = at + descriptorBytes
  if (optionAt >= end) throw leftOver(end)
  if (view[optionAt] === 0) return optionAt + 1
  if (view[optionAt] !== 1)
    throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${view[optionAt]} at octet ${optionAt}`)
  return skipValue(view, optionAt + 2, end)
}

/** The selector octet and its parameters of the attribute in [at, end), or undefined. */
export function selectionOf(view: Buffer, at: number, end: number): Buffer | undefined {
  return view[at + descriptorBytes] === 0 ? undefined : view.subarray(at + descriptorBytes + 1, end)
}

/** An APDU is cut short at `at`, or octets are left over there. */
export function leftOver(at: number): BrokerError {
  return new BrokerError('DLMS_LENGTH_INVALID', `cut short or left over at octet ${at}`)
}

/**
 * An answer of `apduBytes` octets with its tag, type, and the client's octet of invoke id and
 * priority.
 */
export function allocateService(
  apduBytes: number,
  tag: number,
  type: number,
  invokeId: number,
): Buffer {
  const apdu = allocateApdu(apduBytes)
  apdu[0] = tag
  apdu[1] = type
  apdu[2] = invokeId
  return apdu
}

/** A response that is one result. */
export function encodeResult(tag: number, type: number, invokeId: number, result: number): Buffer {
  const apdu = allocateService(4, tag, type, invokeId)
  apdu[3] = result
  return apdu
}

/** Get-response-normal with a data-access-result. */
export function encodeGetRefusal(invokeId: number, result: number): Buffer {
  const apdu = allocateService(5, ApduTag.GET_RESPONSE, GetResponse.NORMAL, invokeId)
  apdu[3] = 1
  apdu[4] = result
  return apdu
}

/** The service, or this form of it, is not for this association. */
export function notSupported(): Buffer {
  return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
}

/** Exception-response. */
export function encodeException(stateError: number, serviceError: number): Buffer {
  const apdu = allocateApdu(3)
  apdu[0] = ApduTag.EXCEPTION_RESPONSE
  apdu[1] = stateError
  apdu[2] = serviceError
  return apdu
}
