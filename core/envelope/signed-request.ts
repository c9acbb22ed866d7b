/**
 * What a SIGNED_REQUEST, and the fact SIGNED_REQUEST_ACCEPTED, have in front of the body of the
 * request: the seal, which proves later who asked for what.
 *
 *   u16 octets of the seal | seal | body of the request, as in a SERVICE_REQUEST
 *
 *   seal:  u8 version 1 | 32 SHA-256 of the signing certificate | 64 signature, r || s
 *          | further fields of the request on the wire of protobuf: deadline, priority …
 *
 * Header, seal and body give the canonical form again (core/translate/sealed-request.ts), so it is
 * not stored.
 */
import { BrokerError } from '../base/broker-error.ts'
import { copyOf } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { envelopeEnd, readKind } from './envelope.ts'
import { futureBytesIn, isSealedFuture } from './future-request.ts'
import { headerBytes, Kind } from './layout.ts'
import { isSealedSequence, sequenceBytesIn } from './sequenced-request.ts'

export const thumbprintBytes = 32
export const signatureBytes = 64
const sealVersion = 1
const fixedBytes = 1 + thumbprintBytes + signatureBytes
const lengthBytes = 2

export type Seal = {
  /** SHA-256 of the certificate, DER. */
  readonly thumbprint: Buffer
  /** r || s. */
  readonly signature: Buffer
  /** Fields of the request that neither header nor body has, on the wire of protobuf. */
  readonly further: Buffer
}

/** The octets of a seal. Owned. */
export const sealBytesOf = ({ thumbprint, signature, further }: Seal): Buffer =>
  Buffer.concat([Buffer.of(sealVersion), thumbprint, signature, further])

/** The body of a signed request, with the octets of its seal in front. Owned. */
export function sealedBodyOf(sealView: Uint8Array, bodyView: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(lengthBytes + sealView.length + bodyView.length)
  body.writeUInt16BE(sealView.length)
  body.set(sealView, lengthBytes)
  body.set(bodyView, lengthBytes + sealView.length)
  return body
}

function isSigned(buffer: Buffer, at: number): boolean {
  const kind = readKind(buffer, at)
  return (
    kind === Kind.SIGNED_REQUEST ||
    kind === Kind.SIGNED_REQUEST_ACCEPTED ||
    isSealedSequence(buffer, at) ||
    isSealedFuture(buffer, at)
  )
}

/** Where a seal, with its length, begins in the envelope at `at`, or the body without a seal. */
const sealedStart = (buffer: Buffer, at: number): number =>
  at + headerBytes + sequenceBytesIn(buffer, at) + futureBytesIn(buffer, at)

/** Where the body of the request begins in the envelope at `at`. @throws as `sealViewOf` */
export const requestBodyStart = (buffer: Buffer, at: number): number =>
  sealedStart(buffer, at) + (isSigned(buffer, at) ? lengthBytes + sealLength(buffer, at) : 0)

/** The body of the request, borrowed. @throws as `sealViewOf` */
export const requestBodyView = (buffer: Buffer, at: number): Buffer =>
  buffer.subarray(requestBodyStart(buffer, at), envelopeEnd(buffer, at))

/**
 * The octets of the seal in the envelope at `at`, borrowed; undefined for a request without.
 * @throws BrokerError ENVELOPE_MALFORMED; FORMAT_VERSION_LATER
 */
export function sealViewOf(buffer: Buffer, at: number): Buffer | undefined {
  if (!isSigned(buffer, at)) return undefined
  const sealAt = sealedStart(buffer, at) + lengthBytes
  return buffer.subarray(sealAt, sealAt + sealLength(buffer, at))
}

function sealLength(buffer: Buffer, at: number): number {
  const lengthAt = sealedStart(buffer, at)
  const room = envelopeEnd(buffer, at) - lengthAt - lengthBytes
  const length = room < fixedBytes ? 0 : buffer.readUInt16BE(lengthAt)
  const further = length - fixedBytes
  if (further < 0 || further > limits.sealFurtherBytesMax || length > room)
    throw new BrokerError('ENVELOPE_MALFORMED', `a seal of ${length} octets at octet ${at}`)
  const version = buffer[lengthAt + lengthBytes]!
  if (version !== sealVersion)
    throw new BrokerError('FORMAT_VERSION_LATER', `a seal of version ${version}`)
  return length
}

/** What `sealViewOf` returned, in parts of their own memory. */
export function sealIn(view: Buffer): Seal {
  const seal = copyOf(view)
  const signatureAt = 1 + thumbprintBytes
  return {
    thumbprint: seal.subarray(1, signatureAt),
    signature: seal.subarray(signatureAt, fixedBytes),
    further: seal.subarray(fixedBytes),
  }
}
