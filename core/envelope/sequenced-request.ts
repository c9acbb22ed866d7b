/**
 * What a SEQUENCED_REQUEST, and the fact SEQUENCED_REQUEST_ACCEPTED, have in front of the seal and
 * the body of the request: its place in a sequence.
 *
 *   u8 version 1 | u8 1 when a seal follows | u8 1 for the first of a sequence
 *   | RequestID of the predecessor: originator 8, target 8, counter u64; zeros for none
 *
 * Behind it stands what a SIGNED_REQUEST or a SERVICE_REQUEST has.
 */
import { BrokerError } from '../base/broker-error.ts'
import { writeOctetsOf } from '../base/bytes.ts'
import { readRequestCounter, type RequestCounter } from '../base/counter.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { envelopeEnd, readKind } from './envelope.ts'
import { headerBytes, Kind } from './layout.ts'

/** Where a request stands in a sequence. */
export type Sequence = {
  readonly isFirst: boolean
  /** The RequestID of the predecessor. */
  readonly preceding: PrecedingId | undefined
}

export type PrecedingId = {
  readonly originator: Eui64
  readonly target: Eui64
  readonly counter: RequestCounter
}

const sequenceVersion = 1
const placeAt = 2
const originatorAt = 3
const targetAt = 11
const counterAt = 19

/** Octets of a sequence in front of the rest of a body. */
export const sequenceBytes = 27

/** True when a request of this kind names its place in a sequence. */
export const isSequenced = (kind: Kind): boolean =>
  kind === Kind.SEQUENCED_REQUEST || kind === Kind.SEQUENCED_REQUEST_ACCEPTED

/**
 * The body of a request in a sequence. Owned.
 * @param restView  body of the request, behind its seal when `isSealed`
 */
export function sequencedBodyOf(
  { isFirst, preceding }: Sequence,
  restView: Uint8Array,
  isSealed: boolean,
): Buffer {
  const body = Buffer.alloc(sequenceBytes + restView.length)
  body[0] = sequenceVersion
  body[1] = Number(isSealed)
  body[placeAt] = Number(isFirst)
  if (preceding !== undefined) {
    writeOctetsOf(preceding.originator, body, originatorAt)
    writeOctetsOf(preceding.target, body, targetAt)
    writeOctetsOf(preceding.counter, body, counterAt)
  }
  body.set(restView, sequenceBytes)
  return body
}

/**
 * The sequence of the request in the envelope at `at`, in memory of its own; undefined for a
 * request without one.
 * @throws BrokerError ENVELOPE_MALFORMED; FORMAT_VERSION_LATER
 */
export function sequenceIn(buffer: Buffer, at: number): Sequence | undefined {
  if (sequenceBytesIn(buffer, at) === 0) return undefined
  const from = at + headerBytes
  const isFirst = buffer[from + placeAt] === 1
  const hasPreceding = buffer.readBigUInt64BE(from + counterAt) !== 0n
  const preceding = hasPreceding
    ? {
        originator: readEui64(buffer, from + originatorAt),
        target: readEui64(buffer, from + targetAt),
        counter: readRequestCounter(buffer, from + counterAt),
      }
    : undefined
  return { isFirst, preceding }
}

/** True when both name the same place, or neither names one. */
export function isSameSequence(a: Sequence | undefined, b: Sequence | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  const [one, other] = [a.preceding, b.preceding]
  return (
    a.isFirst === b.isFirst &&
    one?.originator === other?.originator &&
    one?.target === other?.target &&
    one?.counter === other?.counter
  )
}

/** The octets of the sequence that tell a repeat from another request, borrowed. */
export const sequenceView = (buffer: Buffer, at: number): Buffer =>
  buffer.subarray(
    at + headerBytes + placeAt,
    at + headerBytes + Math.max(placeAt, sequenceBytesIn(buffer, at)),
  )

/** Octets of the sequence in the envelope at `at`; 0 for a request without. @throws as above */
export function sequenceBytesIn(buffer: Buffer, at: number): number {
  if (!isSequenced(readKind(buffer, at))) return 0
  if (envelopeEnd(buffer, at) - at - headerBytes < sequenceBytes)
    throw new BrokerError('ENVELOPE_MALFORMED', `a sequence that is cut short at octet ${at}`)
  const version = buffer[at + headerBytes]!
  if (version !== sequenceVersion)
    throw new BrokerError('FORMAT_VERSION_LATER', `a sequence of version ${version}`)
  return sequenceBytes
}

/** True when a seal follows behind the sequence. @throws as above */
export const isSealedSequence = (buffer: Buffer, at: number): boolean =>
  sequenceBytesIn(buffer, at) > 0 && buffer[at + headerBytes + 1] === 1
