/**
 * Reading and writing envelopes where they stand: no parsing, no allocation. See layout.ts for the
 * picture. An envelope is named by the buffer it lies in and the offset of its first octet; what is
 * returned as `…View` borrows.
 */
import { BrokerError } from '../base/broker-error.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { Lane } from '../base/lane.ts'
import { limits } from '../base/limits.ts'
import type { Srv } from '../base/srv.ts'
import {
  fixedOffsets,
  headerBytes,
  headerTemplate,
  Kind,
  layoutVersion,
  offsetOf,
} from './layout.ts'

const kinds = new Set<number>(Object.values(Kind))
const tagOffsets = Uint8Array.from(fixedOffsets)
const tagValues = Uint8Array.from(fixedOffsets, (offset) => headerTemplate[offset]!)

/**
 * Checks that a whole envelope lies at `at` and returns the offset behind it.
 * @throws BrokerError ENVELOPE_MALFORMED with the offset; FORMAT_VERSION_LATER
 */
export function checkEnvelope(buffer: Buffer, at: number): number {
  if (at + headerBytes > buffer.length)
    throw new BrokerError('ENVELOPE_MALFORMED', `cut short at octet ${at}`)
  for (let i = 0; i < tagOffsets.length; i++) {
    if (buffer[at + tagOffsets[i]!] !== tagValues[i]) {
      checkLayout(buffer, at)
      throw new BrokerError(
        'ENVELOPE_MALFORMED',
        `octet ${at + tagOffsets[i]!} is ${buffer[at + tagOffsets[i]!]}`,
      )
    }
  }
  if (buffer[at + offsetOf.kind + 1] === 0)
    throw new BrokerError('ENVELOPE_MALFORMED', `kind 0 at octet ${at}`)
  if (!kinds.has(buffer[at + offsetOf.kind + 1]!))
    throw new BrokerError(
      'FORMAT_VERSION_LATER',
      `envelope kind ${buffer[at + offsetOf.kind + 1]} at octet ${at} is not known here`,
    )
  const length = buffer.readUInt32BE(at + offsetOf.body)
  const end = at + headerBytes + length
  if (length > limits.responseBodyBytesMax || end > buffer.length) {
    throw new BrokerError('ENVELOPE_MALFORMED', `body of ${length} octets at octet ${at}`)
  }
  return end
}

/** The version of the layout is the high octet of the kind. */
function checkLayout(buffer: Buffer, at: number): void {
  const found = buffer[at + offsetOf.kind]!
  if (buffer[at]! >> 4 === 9 && buffer[at + 1] === 0xcd && found > layoutVersion && found < 16)
    throw new BrokerError(
      'FORMAT_VERSION_LATER',
      `an envelope of layout ${found}, ${layoutVersion} is known here`,
    )
}

/** The offset behind the envelope at `at`, which has been checked before. */
export function envelopeEnd(buffer: Buffer, at: number): number {
  return at + headerBytes + buffer.readUInt32BE(at + offsetOf.body)
}

/** Reads a u64 that holds a time, a delivery id or a slot: whole numbers below 2^53. */
export function readSafeU64(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at) * 0x1_0000_0000 + buffer.readUInt32BE(at + 4)
}

/** Writes a whole number below 2^53 as u64. */
export function writeSafeU64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 0x1_0000_0000)
  buffer.writeUInt32BE(high, at)
  buffer.writeUInt32BE(value - high * 0x1_0000_0000, at + 4)
}

export const readKind = (b: Buffer, at: number): Kind => b[at + offsetOf.kind + 1]! as Kind
/** A lane that does not exist is the last one: its sender waits longest. */
export const readLane = (b: Buffer, at: number): Lane =>
  Math.min(b[at + offsetOf.lane + 1]!, Lane.BULK) as Lane
export const readSrv = (b: Buffer, at: number): Srv => b.readUInt32BE(at + offsetOf.srv) as Srv
export const readOutcome = (b: Buffer, at: number): number => b.readUInt16BE(at + offsetOf.outcome)
export const readBodyType = (b: Buffer, at: number): number =>
  b.readUInt16BE(at + offsetOf.bodyType)
export const readAttempt = (b: Buffer, at: number): number => b.readUInt16BE(at + offsetOf.attempt)
export const readOriginator = (b: Buffer, at: number): Eui64 =>
  readEui64(b, at + offsetOf.originator)
export const readTarget = (b: Buffer, at: number): Eui64 => readEui64(b, at + offsetOf.target)
export const readCounter = (b: Buffer, at: number): bigint =>
  b.readBigUInt64BE(at + offsetOf.counter)
export const readTime = (b: Buffer, at: number): number => readSafeU64(b, at + offsetOf.time)
export const readDeadline = (b: Buffer, at: number): number =>
  readSafeU64(b, at + offsetOf.deadline)
export const readCorrelation = (b: Buffer, at: number): number =>
  readSafeU64(b, at + offsetOf.correlation)
export const readBodyView = (b: Buffer, at: number): Buffer =>
  b.subarray(at + headerBytes, envelopeEnd(b, at))

/**
 * The header fields of an envelope that is to be written; the RequestID is copied from where it
 * stands.
 */
export type Header = {
  kind: Kind
  lane: Lane
  srv: Srv
  outcome: number
  bodyType: number
  attempt: number
  /** 8 octets each. */
  originator: Uint8Array
  target: Uint8Array
  counter: bigint
  time: number
  deadline: number
  correlation: number
}

/**
 * Writes a header for a body of `bodyBytes` octets at `at`; the caller copies the body behind it.
 * Returns the offset where the body begins. The buffer must have room.
 */
export function writeHeader(buffer: Buffer, at: number, header: Header, bodyBytes: number): number {
  buffer.set(headerTemplate, at)
  buffer[at + offsetOf.kind + 1] = header.kind
  buffer[at + offsetOf.lane + 1] = header.lane
  buffer.writeUInt32BE(header.srv, at + offsetOf.srv)
  buffer.writeUInt16BE(header.outcome, at + offsetOf.outcome)
  buffer.writeUInt16BE(header.bodyType, at + offsetOf.bodyType)
  buffer.writeUInt16BE(header.attempt, at + offsetOf.attempt)
  buffer.set(header.originator, at + offsetOf.originator)
  buffer.set(header.target, at + offsetOf.target)
  // Writing a bigint costs ten times as much as writing a number; counters above 2^53 are rare.
  const counter = Number(header.counter)
  if (counter <= Number.MAX_SAFE_INTEGER) writeSafeU64(buffer, counter, at + offsetOf.counter)
  else buffer.writeBigUInt64BE(header.counter, at + offsetOf.counter)
  writeSafeU64(buffer, header.time, at + offsetOf.time)
  writeSafeU64(buffer, header.deadline, at + offsetOf.deadline)
  writeSafeU64(buffer, header.correlation, at + offsetOf.correlation)
  buffer.writeUInt32BE(bodyBytes, at + offsetOf.body)
  return at + headerBytes
}

/**
 * Writes header and body as one envelope at `at`; returns the offset behind it. This is the
 * gather-write.
 */
export function writeEnvelope(
  buffer: Buffer,
  at: number,
  header: Header,
  bodyView: Uint8Array,
): number {
  const bodyAt = writeHeader(buffer, at, header, bodyView.length)
  buffer.set(bodyView, bodyAt)
  return bodyAt + bodyView.length
}
