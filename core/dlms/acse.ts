/**
 * Association control: AARQ, AARE, RLRQ, RLRE with the xDLMS InitiateRequest and InitiateResponse inside.
 * Logical-name referencing, without security or with low-level security. Once a connection, so it is written for the
 * reader; the fields come back as one object.
 *
 * [IEC 62056-5-3, ACSE APDUs and InitiateRequest; ISO/IEC 15953 in BER]. High-level security and ciphered contexts are
 * the security layer's; their fields are read over here.
 */
import { BrokerError } from '../base/broker-error.ts'
import { ApduTag } from './apdu.ts'
import { lengthBytes, readLength } from './axdr-layout.ts'
import { allocateApdu } from './wrapper.ts'

/** Last octet of the object identifier 2.16.756.5.8.1.x of an application context. */
export const ApplicationContext = {
  LOGICAL_NAME: 1,
  SHORT_NAME: 2,
  LOGICAL_NAME_CIPHERED: 3,
  SHORT_NAME_CIPHERED: 4,
} as const
/** Last octet of the object identifier 2.16.756.5.8.2.x of an authentication mechanism. */
export const Mechanism = { NONE: 0, LOW: 1 } as const
/** Result of an AARE. */
export const AssociationResult = {
  ACCEPTED: 0,
  REJECTED_PERMANENT: 1,
  REJECTED_TRANSIENT: 2,
} as const
/** Diagnostic of the ACSE service user in an AARE. */
export const Diagnostic = {
  NULL: 0,
  NO_REASON: 1,
  CONTEXT_NAME_UNSUPPORTED: 2,
  MECHANISM_UNKNOWN: 11,
  MECHANISM_REQUIRED: 12,
  AUTHENTICATION_FAILURE: 13,
  AUTHENTICATION_REQUIRED: 14,
} as const
/** Error of an InitiateRequest, within a confirmed-service-error. */
export const InitiateError = {
  OTHER: 0,
  DLMS_VERSION_TOO_LOW: 1,
  INCOMPATIBLE_CONFORMANCE: 2,
  PDU_SIZE_TOO_SHORT: 3,
} as const

const dlmsVersion = 6
// 2.16.756.5.8.1 and 2.16.756.5.8.2, joint-iso-ccitt country Switzerland DLMS-UA.
const contextPrefix = Buffer.from('608574050801', 'hex')
const mechanismPrefix = Buffer.from('608574050802', 'hex')
const initiateRequestHead = Buffer.from('01000000065f1f0400', 'hex')
const initiateResponseHead = Buffer.from('0800065f1f0400', 'hex')

/** `conformance` 24 bits; `pduBytesMax` what the sender can receive, 0 for no limit. */
export type AssociationRequest = {
  secret?: Uint8Array | undefined
  conformance: number
  pduBytesMax: number
}

/** What an AARQ asks for; views borrow. An InitiateRequest that is ciphered is left as it came, and all its numbers are 0. */
export type AssociationRequestView = {
  context: number
  mechanism: number
  secretView: Buffer | undefined
  cipheredView: Buffer | undefined
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

// Keeps every length of an AARQ in one octet.
const secretBytesMax = 64

/**
 * Encodes an AARQ, with low-level security when there is a secret. Owned, with spare octets in front.
 * @throws BrokerError DLMS_SIZE_EXCEEDED for a secret of more than 64 octets
 */
export function encodeAarq(request: AssociationRequest): Buffer {
  const { secret } = request
  if (secret !== undefined && secret.length > secretBytesMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `a secret of ${secret.length} octets`)
  const authenticationBytes = secret === undefined ? 0 : 4 + 9 + 4 + secret.length
  const bytes = 11 + authenticationBytes + 4 + 14
  const out = allocateApdu(2 + bytes)
  out[0] = ApduTag.AARQ
  out[1] = bytes
  let at = writeContext(out, 2)
  if (secret !== undefined) {
    // sender-acse-requirements: authentication; mechanism-name; calling-authentication-value as characters
    at = writeOctets(out, at, 0x8a, 0x02, 0x07, 0x80)
    at = writeOctets(out, at, 0x8b, 0x07)
    out.set(mechanismPrefix, at)
    out[at + 6] = Mechanism.LOW
    at = writeOctets(out, at + 7, 0xac, 2 + secret.length, 0x80, secret.length)
    out.set(secret, at)
    at += secret.length
  }
  at = writeOctets(out, at, 0xbe, 0x10, 0x04, 0x0e)
  out.set(initiateRequestHead, at)
  writeNegotiated(out, at + initiateRequestHead.length, request)
  return out
}

/** Encodes an AARE: with an InitiateResponse, a confirmed-service-error, or neither. Owned, with spare octets in front. */
export function encodeAare(response: AssociationResponse): Buffer {
  const { initiate, initiateError } = response
  const informationBytes = initiate ? 4 + 14 : initiateError === undefined ? 0 : 4 + 4
  const bytes = 11 + 5 + 7 + informationBytes
  const out = allocateApdu(2 + bytes)
  out[0] = ApduTag.AARE
  out[1] = bytes
  let at = writeContext(out, 2)
  at = writeOctets(out, at, 0xa2, 0x03, 0x02, 0x01, response.result)
  at = writeOctets(out, at, 0xa3, 0x05, 0xa1, 0x03, 0x02, 0x01, response.diagnostic)
  if (initiate) {
    at = writeOctets(out, at, 0xbe, 0x10, 0x04, 0x0e)
    out.set(initiateResponseHead, at)
    at = writeNegotiated(out, at + initiateResponseHead.length, initiate)
    // vaa-name of a logical-name association
    writeOctets(out, at, 0x00, 0x07)
  } else if (initiateError !== undefined) {
    // initiateError [1], error group initiate [6]
    writeOctets(
      out,
      at,
      0xbe,
      0x06,
      0x04,
      0x04,
      ApduTag.CONFIRMED_SERVICE_ERROR,
      1,
      6,
      initiateError,
    )
  }
  return out
}

/** RLRQ, reason normal. Owned, with spare octets in front. */
export function encodeRlrq(): Buffer {
  return encodeRelease(ApduTag.RLRQ)
}

/** RLRE, reason normal. Owned, with spare octets in front. */
export function encodeRlre(): Buffer {
  return encodeRelease(ApduTag.RLRE)
}

function encodeRelease(tag: number): Buffer {
  const out = allocateApdu(5)
  writeOctets(out, 0, tag, 3, 0x80, 1, 0)
  return out
}

/**
 * Reads an AARQ. Fields it does not know are passed over.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID
 */
export function decodeAarq(view: Buffer): AssociationRequestView {
  const request: AssociationRequestView = {
    context: 0,
    mechanism: Mechanism.NONE,
    secretView: undefined,
    cipheredView: undefined,
    dlmsVersion: 0,
    conformance: 0,
    pduBytesMax: 0,
  }
  let hasInitiate = false
  forEachField(view, ApduTag.AARQ, (tag, content) => {
    if (tag === 0xa1)
      request.context = readObjectIdentifier(contentOf(content, 0x06), contextPrefix)
    else if (tag === 0x8b) request.mechanism = readObjectIdentifier(content, mechanismPrefix)
    else if (tag === 0xac) request.secretView = contentOf(content, 0x80)
    else if (tag === 0xbe) {
      hasInitiate = true
      readInitiateRequest(contentOf(content, 0x04), request)
    }
  })
  if (!hasInitiate) throw new BrokerError('DLMS_VALUE_INVALID', 'AARQ without InitiateRequest')
  return request
}

/**
 * Reads an AARE. A protocol version, names, requirements and titles are passed over: meters add and omit them.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID
 */
export function decodeAare(view: Buffer): AssociationResponse {
  const response: AssociationResponse = { result: -1, diagnostic: Diagnostic.NULL }
  forEachField(view, ApduTag.AARE, (tag, content) => {
    if (tag === 0xa2) response.result = readSmallInteger(contentOf(content, 0x02))
    else if (tag === 0xa3) response.diagnostic = readDiagnostic(content)
    else if (tag === 0xbe) readInitiateResponse(contentOf(content, 0x04), response)
  })
  if (response.result < 0) throw new BrokerError('DLMS_VALUE_INVALID', 'AARE without result')
  return response
}

function writeOctets(out: Buffer, at: number, ...octets: number[]): number {
  for (const octet of octets) out[at++] = octet
  return at
}

function writeContext(out: Buffer, at: number): number {
  at = writeOctets(out, at, 0xa1, 0x09, 0x06, 0x07)
  out.set(contextPrefix, at)
  out[at + 6] = ApplicationContext.LOGICAL_NAME
  return at + 7
}

function writeNegotiated(
  out: Buffer,
  at: number,
  negotiated: { conformance: number; pduBytesMax: number },
): number {
  const { conformance, pduBytesMax } = negotiated
  return writeOctets(
    out,
    at,
    conformance >> 16,
    conformance >> 8,
    conformance,
    pduBytesMax >> 8,
    pduBytesMax,
  )
}

/** Calls `visit` for each field of an APDU in BER. Octets behind the APDU are passed over. */
function forEachField(
  view: Buffer,
  apduTag: number,
  visit: (tag: number, content: Buffer) => void,
): void {
  if (view[0] !== apduTag) throw new BrokerError('DLMS_TAG_UNKNOWN', `APDU ${view[0]}`)
  const bytes = readLength(view, 1)
  let at = 1 + lengthBytes(view, 1)
  const end = at + bytes
  if (end > view.length)
    throw new BrokerError('DLMS_LENGTH_INVALID', `APDU of ${bytes} octets in ${view.length}`)
  while (at < end) {
    const tag = view[at]!
    const contentAt = at + 1
    const contentBytes = readLength(view, contentAt, end)
    const from = contentAt + lengthBytes(view, contentAt)
    if (from + contentBytes > end)
      throw new BrokerError('DLMS_LENGTH_INVALID', `field ${tag} at octet ${at}`)
    visit(tag, view.subarray(from, from + contentBytes))
    at = from + contentBytes
  }
}

/** The content of the one field with `tag` that `view` is. */
function contentOf(view: Buffer, tag: number): Buffer {
  if (view[0] !== tag)
    throw new BrokerError('DLMS_TAG_UNKNOWN', `field ${view[0]} in place of ${tag}`)
  const bytes = readLength(view, 1)
  const from = 1 + lengthBytes(view, 1)
  if (from + bytes > view.length) throw new BrokerError('DLMS_LENGTH_INVALID', `field ${tag}`)
  return view.subarray(from, from + bytes)
}

function readObjectIdentifier(view: Buffer, prefix: Buffer): number {
  if (view.length !== prefix.length + 1 || !view.subarray(0, prefix.length).equals(prefix)) {
    throw new BrokerError('DLMS_VALUE_INVALID', 'object identifier')
  }
  return view[prefix.length]!
}

function readSmallInteger(view: Buffer): number {
  if (view.length !== 1)
    throw new BrokerError('DLMS_VALUE_INVALID', `integer of ${view.length} octets`)
  return view[0]!
}

/** acse-service-user [1] or acse-service-provider [2]. */
function readDiagnostic(content: Buffer): number {
  return readSmallInteger(contentOf(contentOf(content, content[0] === 0xa2 ? 0xa2 : 0xa1), 0x02))
}

function readInitiateRequest(view: Buffer, into: AssociationRequestView): void {
  if (view[0] !== ApduTag.INITIATE_REQUEST) {
    into.cipheredView = view
    return
  }
  let at = 1
  // dedicated-key OPTIONAL: not used without ciphering
  if (octetAt(view, at++) !== 0) at += 1 + octetAt(view, at)
  // response-allowed DEFAULT TRUE
  if (octetAt(view, at++) !== 0) at++
  if (octetAt(view, at++) !== 0) at++
  into.dlmsVersion = octetAt(view, at++)
  at = readConformance(view, at, into)
  into.pduBytesMax = (octetAt(view, at) << 8) | octetAt(view, at + 1)
}

function readInitiateResponse(view: Buffer, into: AssociationResponse): void {
  if (view[0] === ApduTag.CONFIRMED_SERVICE_ERROR) {
    into.initiateError = octetAt(view, 3)
    return
  }
  if (view[0] !== ApduTag.INITIATE_RESPONSE)
    throw new BrokerError('DLMS_TAG_UNKNOWN', `initiate ${view[0]}`)
  let at = 1
  if (octetAt(view, at++) !== 0) at++
  const version = octetAt(view, at++)
  if (version !== dlmsVersion)
    throw new BrokerError('DLMS_VALUE_INVALID', `DLMS version ${version}`)
  const initiate = { conformance: 0, pduBytesMax: 0 }
  at = readConformance(view, at, initiate)
  initiate.pduBytesMax = (octetAt(view, at) << 8) | octetAt(view, at + 1)
  into.initiate = initiate
}

/** [APPLICATION 31] in its two-octet tag, or in the one-octet form of old meters; a bit string of 24 bits. */
function readConformance(view: Buffer, at: number, into: { conformance: number }): number {
  if (octetAt(view, at++) !== 0x5f)
    throw new BrokerError('DLMS_TAG_UNKNOWN', `conformance at octet ${at - 1}`)
  if (octetAt(view, at) === 0x1f) at++
  if (octetAt(view, at) !== 4 || octetAt(view, at + 1) !== 0)
    throw new BrokerError('DLMS_VALUE_INVALID', `conformance at octet ${at}`)
  into.conformance =
    (octetAt(view, at + 2) << 16) | (octetAt(view, at + 3) << 8) | octetAt(view, at + 4)
  return at + 5
}

function octetAt(view: Buffer, at: number): number {
  const octet = view[at]
  if (octet === undefined)
    throw new BrokerError('DLMS_LENGTH_INVALID', `initiate cut short at octet ${at}`)
  return octet
}
