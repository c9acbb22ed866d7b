/**
 * What a FUTURE_REQUEST, and the fact FUTURE_REQUEST_ACCEPTED, have in front of the seal and the
 * body of the request: when it is to be carried out.
 *
 *   u8 version 1 | u8 1 when a seal follows | execution time u64, UTC ms
 *
 * Behind it stands what a SIGNED_REQUEST or a SERVICE_REQUEST has.
 */
import { BrokerError } from '../base/broker-error.ts'
import { envelopeEnd, readKind, readSafeU64, writeSafeU64 } from './envelope.ts'
import { headerBytes, Kind } from './layout.ts'

const futureVersion = 1
const executeAtPlace = 2
const futureBytes = 10

const isFuture = (kind: Kind): boolean =>
  kind === Kind.FUTURE_REQUEST || kind === Kind.FUTURE_REQUEST_ACCEPTED

/**
 * The body of a request for a later time. Owned.
 * @param executeAt  UTC ms
 * @param restView  body of the request, behind its seal when `isSealed`
 */
export function futureBodyOf(executeAt: number, restView: Uint8Array, isSealed: boolean): Buffer {
  const body = Buffer.alloc(futureBytes + restView.length)
  body[0] = futureVersion
  body[1] = Number(isSealed)
  writeSafeU64(body, executeAt, executeAtPlace)
  body.set(restView, futureBytes)
  return body
}

/**
 * When the request in the envelope at `at` is to be carried out, UTC ms; undefined for one without
 * a time.
 * @throws BrokerError ENVELOPE_MALFORMED; FORMAT_VERSION_LATER
 */
export const executeAtIn = (buffer: Buffer, at: number): number | undefined =>
  futureBytesIn(buffer, at) === 0
    ? undefined
    : readSafeU64(buffer, at + headerBytes + executeAtPlace)

/** The octets of the execution time that tell a repeat from another request, borrowed. */
export const executeAtView = (buffer: Buffer, at: number): Buffer =>
  buffer.subarray(
    at + headerBytes + executeAtPlace,
    at + headerBytes + Math.max(executeAtPlace, futureBytesIn(buffer, at)),
  )

/** Octets in front of seal and body in the envelope at `at`; 0 without. @throws as above */
export function futureBytesIn(buffer: Buffer, at: number): number {
  if (!isFuture(readKind(buffer, at))) return 0
  if (envelopeEnd(buffer, at) - at - headerBytes < futureBytes)
    throw new BrokerError('ENVELOPE_MALFORMED', `an execution time cut short at octet ${at}`)
  const version = buffer[at + headerBytes]!
  if (version !== futureVersion)
    throw new BrokerError('FORMAT_VERSION_LATER', `an execution time of version ${version}`)
  return futureBytes
}

/** True when a seal follows behind the execution time. @throws as above */
export const isSealedFuture = (buffer: Buffer, at: number): boolean =>
  futureBytesIn(buffer, at) > 0 && buffer[at + headerBytes + 1] === 1
