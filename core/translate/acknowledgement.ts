/**
 * Acknowledgements: from an ACKNOWLEDGEMENT envelope, or from a refusal decided at the gateway, to
 * busbar.v1.Acknowledgement. Station 7 of a message's way. Written as field 1 of the message around
 * it, which SubmitResponse, SubmitBatchResponse, SubmitStreamResponse and CancelResponse have
 * alike: one after another they make the whole message.
 */
import { errorId, type ErrorCode } from '../base/error-table.ts'
import {
  boundsText,
  readCounterBounds,
  type CounterBoundsRead,
} from '../envelope/counter-bounds.ts'
import { readCorrelation, readDeadline, readOutcome, readTime } from '../envelope/envelope.ts'
import {
  appendRequestId,
  appendRequestIdOf,
  appendOutcome,
  appendTime,
  outcomeFields,
} from './request-identity.ts'
import { type ProtobufWriter, tagOf, WireType } from './protobuf.ts'
import type { RequestScan } from './scan.ts'

// An acknowledgement with its sentence takes between 128 and 16,383 octets.
const lengthBytes = 2
const fieldsOf = outcomeFields(2, 'always')
const accepted = errorId('REQUEST_ACCEPTED')
const uint32Max = 0xffff_ffff

function appendRest(
  writer: ProtobufWriter,
  outcome: number,
  timeMs: number,
  retryAfterMs: number,
  bounds?: CounterBoundsRead,
): void {
  if (bounds === undefined) writer.raw(fieldsOf(outcome))
  else appendOutcome(writer, 2, outcome, boundsText(bounds))
  appendTime(writer, 5, timeMs)
  if (retryAfterMs > 0) {
    writer.octet(tagOf(6, WireType.VARINT))
    writer.varint(Math.min(Math.ceil(retryAfterMs), uint32Max))
  }
  if (bounds !== undefined) {
    appendU64(writer, 7, bounds.highest)
    appendU64(writer, 8, bounds.floor)
  }
}

/** The party's own number; the last field. */
function appendCorrelation(writer: ProtobufWriter, correlation: number): void {
  if (correlation === 0) return
  writer.octet(tagOf(9, WireType.VARINT))
  writer.varint(Math.min(correlation, uint32Max))
}

function appendU64(writer: ProtobufWriter, field: number, value: bigint): void {
  if (value === 0n) return
  writer.octet(tagOf(field, WireType.VARINT))
  writer.varint64(Number(value & 0xffff_ffffn), Number(value >> 32n))
}

/**
 * Appends the Acknowledgement that the ACKNOWLEDGEMENT envelope at `at` stands for, as field 1. Its
 * deadline is "not before this time again", which a refusal gives as `retry_after_ms`; its
 * correlation is the party's own number.
 */
export function appendAcknowledgement(writer: ProtobufWriter, buffer: Buffer, at: number): void {
  writer.octet(tagOf(1, WireType.LENGTH))
  const mark = writer.open(lengthBytes)
  appendRequestIdOf(writer, buffer, at)
  const outcome = readOutcome(buffer, at)
  const timeMs = readTime(buffer, at)
  const retryAfterMs = outcome === accepted ? 0 : readDeadline(buffer, at) - timeMs
  appendRest(writer, outcome, timeMs, retryAfterMs, readCounterBounds(buffer, at))
  appendCorrelation(writer, readCorrelation(buffer, at))
  writer.close(mark, lengthBytes)
}

/** What a refusal names of a request. */
export type RefusedRequest = Readonly<
  Pick<RequestScan, 'hasRequestId' | 'originator' | 'target' | 'counter' | 'correlation'>
>

/**
 * Appends the Acknowledgement of a request that was refused before it became an envelope, as field
 * 1. It names the request when the scan got that far.
 * @param retryAfterMs  0 for none
 */
export function appendRefusal(
  writer: ProtobufWriter,
  scan: RefusedRequest,
  code: ErrorCode,
  timeMs: number,
  retryAfterMs = 0,
): void {
  writer.octet(tagOf(1, WireType.LENGTH))
  const mark = writer.open(lengthBytes)
  if (scan.hasRequestId) appendRequestId(writer, scan)
  appendRest(writer, errorId(code), timeMs, retryAfterMs)
  appendCorrelation(writer, scan.correlation)
  writer.close(mark, lengthBytes)
}
