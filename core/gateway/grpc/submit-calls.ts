/**
 * The calls that have one answer: Submit, Cancel and GetRequestStatus with one request each,
 * SubmitBatch with many. One object a call collects what comes back and answers the call; refusals
 * of the whole call are gRPC statuses, see answer.ts.
 */
import type { sendUnaryData } from '@grpc/grpc-js'
import { emptyBytes } from '../../base/bytes.ts'
import { limits } from '../../base/limits.ts'
import { boundsText, readCounterBounds } from '../../envelope/counter-bounds.ts'
import { readKind } from '../../envelope/envelope.ts'
import { Kind } from '../../envelope/layout.ts'
import { ProtobufWriter } from '../../translate/protobuf.ts'
import { forEachRequest } from '../../translate/scan.ts'
import { appendStatus } from '../../translate/status.ts'
import { appendAnswer, callRefusalOf, isNamed } from '../intake/answer.ts'
import type { Intake } from '../intake/intake.ts'
import type { PartyAccount } from '../intake/party-account.ts'
import { grpcRefusal } from './refusal.ts'
import {
  isServiceRequest,
  requestIdViolations,
  requestViolations,
  within,
} from '../intake/request-violations.ts'
import type { AnswerSink } from '../intake/slots.ts'
import type { Violation } from '../../base/violation.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../base/error-table.ts'
import { readCounter, readOutcome } from '../../envelope/envelope.ts'

const accepted = errorId('REQUEST_ACCEPTED')

/** Submit or Cancel: an acknowledgement comes back. */
export class SingleCall implements AnswerSink {
  private readonly writer: ProtobufWriter
  private readonly callback: sendUnaryData<Buffer>
  private readonly violations: (code: ErrorCode) => Violation[]
  private readonly isMessage: () => boolean

  /**
   * Calls may share `writer`: an answer is taken out before the next one is begun. `violations`
   * says which fields of the call's message make it malformed. `isMessage` says whether a request
   * that was refused is a message at all: one that is not ends the call with INVALID_ARGUMENT, as
   * every gRPC server does it, whatever else is wrong with it.
   */
  constructor(
    writer: ProtobufWriter,
    callback: sendUnaryData<Buffer>,
    violations: (code: ErrorCode) => Violation[],
    isMessage: () => boolean = () => true,
  ) {
    this.writer = writer
    this.callback = callback
    this.violations = violations
    this.isMessage = isMessage
  }

  answer(_tag: number, buffer: Buffer, at: number): void {
    const isRefused = readOutcome(buffer, at) !== accepted
    const refusal =
      callRefusalOf(buffer, at) ??
      (isRefused && !this.isMessage() ? 'REQUEST_WIRE_MALFORMED' : undefined)
    if (refusal) {
      const status = grpcRefusal(refusal, undefined, this.violations(refusal))
      // A counter that the gateway has assigned may be accepted all the same: the party needs it to
      // repeat the request.
      if (isNamed(buffer, at))
        status.metadata.set('busbar-counter', String(readCounter(buffer, at)))
      return this.callback(status)
    }
    appendAnswer(this.writer, buffer, at)
    this.callback(null, this.writer.take())
  }
}

/**
 * GetRequestStatus: a status comes back, or a refusal, which has no message of its own here and is
 * a gRPC status.
 */
export class StatusCall implements AnswerSink {
  private readonly writer: ProtobufWriter
  private readonly callback: sendUnaryData<Buffer>
  private readonly message: Buffer

  /** Calls may share `writer`, as with SingleCall. */
  constructor(writer: ProtobufWriter, callback: sendUnaryData<Buffer>, message: Buffer) {
    this.writer = writer
    this.callback = callback
    this.message = message
  }

  answer(_tag: number, buffer: Buffer, at: number): void {
    const { writer } = this
    if (readKind(buffer, at) !== Kind.STATUS) {
      const code = errorCodeOf(readOutcome(buffer, at)) ?? 'BROKER_PARTITION_UNAVAILABLE'
      const bounds = readCounterBounds(buffer, at)
      const violations = requestIdViolations(code, this.message)
      return this.callback(grpcRefusal(code, bounds && boundsText(bounds), violations))
    }
    try {
      appendStatus(writer, buffer, at)
    } catch {
      writer.reset()
      return this.callback(grpcRefusal('ENVELOPE_MALFORMED'))
    }
    this.callback(null, writer.take())
  }
}

/** Hands in the one request of a SubmitRequest; anything but one is malformed. */
export function submitOne(
  intake: Intake,
  account: PartyAccount,
  message: Buffer,
  callback: sendUnaryData<Buffer>,
  writer: ProtobufWriter,
): void {
  let count = 0
  let start = 0
  let end = 0
  const fault = forEachRequest(message, (from, to) => {
    count++
    start = from
    end = to
  })
  if (fault) return callback(grpcRefusal(fault))
  if (count !== 1)
    return callback(
      grpcRefusal('REQUEST_WIRE_MALFORMED', `${count} requests in a SubmitRequest`, [
        { field: 'request', description: count === 0 ? 'is missing' : 'is there more than once' },
      ]),
    )
  const requestView = message.subarray(start, end)
  const violations = (code: ErrorCode): Violation[] =>
    code === 'REQUEST_SIZE_EXCEEDED'
      ? [{ field: 'request', description: `has ${end - start} octets` }]
      : within('request', requestViolations(code, requestView))
  const isMessage = (): boolean => isServiceRequest(requestView)
  const sink = new SingleCall(writer, callback, violations, isMessage)
  intake.submit(account, message, start, end, sink, 0)
}

/** SubmitBatch: acknowledgements in the order of the requests, whenever each came. */
export class BatchCall implements AnswerSink {
  private readonly done: (response: Buffer | undefined, refusal: ErrorCode | undefined) => void
  private readonly writer = new ProtobufWriter()
  /** Where the answer of each request stands in what the writer has: start and end by turns. */
  private places: Uint32Array = new Uint32Array(0)
  private left = 0

  constructor(done: (response: Buffer | undefined, refusal: ErrorCode | undefined) => void) {
    this.done = done
  }

  submit(intake: Intake, account: PartyAccount, message: Buffer): void {
    let tag = 0
    const starts = new Uint32Array(2 * limits.requestsPerBatchMax)
    const fault = forEachRequest(message, (start, end) => {
      starts[tag++] = start
      starts[tag++] = end
    })
    if (fault) return this.done(undefined, fault)
    this.left = tag / 2
    this.places = new Uint32Array(tag)
    if (tag === 0) return this.done(emptyBytes, undefined)
    for (let i = 0; i < tag; i += 2)
      intake.submit(account, message, starts[i]!, starts[i + 1]!, this, i)
  }

  answer(tag: number, buffer: Buffer, at: number): void {
    this.places[tag] = this.writer.bytes
    appendAnswer(this.writer, buffer, at)
    this.places[tag + 1] = this.writer.bytes
    if (--this.left > 0) return
    const gathered = this.writer.take()
    const ordered = Buffer.allocUnsafe(gathered.length)
    let to = 0
    for (let i = 0; i < this.places.length; i += 2)
      to += gathered.copy(ordered, to, this.places[i], this.places[i + 1])
    this.done(ordered, undefined)
  }
}
