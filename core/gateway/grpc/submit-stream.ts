/**
 * One SubmitStream: the fast door (stations 1 and 7). Requests are handed on where they stand in
 * the received message; acknowledgements that come in one turn of the event loop go out in one
 * message. While too many requests are open, or the party does not read its acknowledgements,
 * nothing more is read from it.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { emptyBytes } from '../../base/bytes.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import { ProtobufWriter } from '../../translate/protobuf.ts'
import { forEachRequest } from '../../translate/scan.ts'
import { appendAnswer } from '../intake/answer.ts'
import type { CallGate } from './call-gate.ts'
import type { Intake } from '../intake/intake.ts'
import type { PartyAccount } from '../intake/party-account.ts'
import { grpcRefusal } from './refusal.ts'
import { tooMany } from '../intake/request-violations.ts'
import type { AnswerSink } from '../intake/slots.ts'
import type { Flushable } from '../intake/turn-flush.ts'

export type SubmitCall = ServerDuplexStream<Buffer, Buffer>

/**
 * Reading goes on when this many are left, so that a full stream does not stop and go at each
 * acknowledgement.
 */
const resumeAt = limits.streamRequestsInFlightMax / 2

export class SubmitStream implements AnswerSink, Flushable {
  private readonly call: SubmitCall
  private readonly account: PartyAccount
  private readonly gate: Pick<CallGate, 'taken' | 'onRefused'>
  private readonly intake: Intake
  private readonly ended: () => void
  private readonly writer = new ProtobufWriter()
  private inFlight = 0
  /** The message being read. */
  private view: Buffer = emptyBytes
  private isPaused = false
  private isBlocked = false
  private isDue = false
  /** Nothing more comes in; the call ends when everything is answered. */
  private isFinishing = false
  private isEnded = false
  private refusal: ErrorCode | undefined

  /** `ended` is called once, when the call is over; answers that come later are dropped. */
  constructor(
    call: SubmitCall,
    account: PartyAccount,
    gate: Pick<CallGate, 'taken' | 'onRefused'>,
    intake: Intake,
    ended: () => void,
  ) {
    this.call = call
    this.account = account
    this.gate = gate
    this.intake = intake
    this.ended = ended
  }

  start(): void {
    const { call } = this
    this.gate.onRefused((code) => this.finish(code))
    call.on('data', (message: Buffer) => {
      this.gate.taken()
      this.read(message)
    })
    call.on('end', () => this.finish(undefined))
    // The party has gone: what it handed in goes on, its acknowledgements go nowhere.
    call.on('cancelled', () => this.end())
    call.on('drain', () => {
      this.isBlocked = false
      this.ask()
    })
  }

  /** Takes no more requests, and ends when all are answered; with a code, or normally. */
  finish(code: ErrorCode | undefined): void {
    if (this.isFinishing || this.isEnded) return
    this.isFinishing = true
    this.refusal = code
    this.ask()
  }

  answer(_tag: number, buffer: Buffer, at: number): void {
    this.inFlight--
    if (this.isEnded) return
    appendAnswer(this.writer, buffer, at)
    this.ask()
  }

  flush(): void {
    this.isDue = false
    if (this.isEnded || this.isBlocked) return
    if (this.writer.bytes > 0) this.isBlocked = !this.call.write(this.writer.take())
    if (this.isFinishing) {
      if (this.inFlight > 0) return
      if (this.refusal)
        this.call.emit('error', grpcRefusal(this.refusal, undefined, tooMany(this.refusal)))
      else this.call.end()
      this.end()
    } else if (this.isBlocked) this.pause()
    else if (this.isPaused && this.inFlight <= resumeAt) {
      this.isPaused = false
      this.call.resume()
    }
  }

  private read(message: Buffer): void {
    if (this.isFinishing || this.isEnded) return
    this.view = message
    const fault = forEachRequest(message, this.visit)
    if (fault) return this.finish(fault)
    if (this.inFlight >= limits.streamRequestsInFlightMax) this.pause()
  }

  private readonly visit = (start: number, end: number): void => {
    this.inFlight++
    this.intake.submit(this.account, this.view, start, end, this, 0)
  }

  private pause(): void {
    if (this.isPaused) return
    this.isPaused = true
    this.call.pause()
  }

  private ask(): void {
    if (this.isDue) return
    this.isDue = true
    this.intake.turn.add(this)
  }

  private end(): void {
    if (this.isEnded) return
    this.isEnded = true
    this.writer.reset()
    this.ended()
  }
}
