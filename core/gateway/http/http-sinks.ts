/**
 * What comes back for calls over HTTP, as their answers: one object a call, which the intake or a
 * host answers.
 */
import type { FastifyReply } from 'fastify'
import { GetRequestStatusResponse } from '../../../proto/gen/busbar/v1/input_gateway.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { readKind } from '../../envelope/envelope.ts'
import { Kind } from '../../envelope/layout.ts'
import type { ProtobufWriter } from '../../translate/protobuf.ts'
import { appendStatus } from '../../translate/status.ts'
import { send } from '../../http/door.ts'
import { acknowledgementJson, httpAnswerOf, httpRefusal } from './http-answer.ts'
import { requestViolations } from '../intake/request-violations.ts'
import type { AnswerSink } from '../intake/slots.ts'
import type { Violation } from '../../base/violation.ts'

/** One request a call: POST with a single object, or DELETE. */
export class HttpSingle implements AnswerSink {
  private readonly reply: FastifyReply
  private readonly goodStatus: number
  private readonly request: Buffer | undefined

  /**
   * `request`: wire bytes of the ServiceRequest, to say which of its fields a rejection is about.
   */
  constructor(reply: FastifyReply, goodStatus: number, request?: Buffer) {
    this.reply = reply
    this.goodStatus = goodStatus
    this.request = request
  }

  answer(_tag: number, buffer: Buffer, at: number): void {
    const { request } = this
    const violations = (code: ErrorCode): Violation[] =>
      request === undefined ? [] : requestViolations(code, request)
    send(this.reply, httpAnswerOf(buffer, at, this.goodStatus, violations))
  }
}

/** POST with a list: acknowledgements in its order. */
export class HttpBatch implements AnswerSink {
  private readonly reply: FastifyReply
  private readonly texts: string[]
  private left: number

  constructor(reply: FastifyReply, count: number) {
    this.reply = reply
    this.texts = new Array<string>(count)
    this.left = count
  }

  answer(tag: number, buffer: Buffer, at: number): void {
    this.texts[tag] = acknowledgementJson(buffer, at)
    if (--this.left > 0) return
    send(this.reply, {
      status: 200,
      body: `{"acknowledgements":[${this.texts.join(',')}]}`,
      retryAfterSeconds: 0,
    })
  }
}

/** GET of the status of one request. */
export class HttpStatus implements AnswerSink {
  private readonly reply: FastifyReply
  private readonly writer: ProtobufWriter

  /** Calls may share `writer`: an answer is taken out before the next one is begun. */
  constructor(reply: FastifyReply, writer: ProtobufWriter) {
    this.reply = reply
    this.writer = writer
  }

  answer(_tag: number, buffer: Buffer, at: number): void {
    if (readKind(buffer, at) !== Kind.STATUS) return send(this.reply, httpAnswerOf(buffer, at, 200))
    try {
      appendStatus(this.writer, buffer, at)
      const body = JSON.stringify(
        GetRequestStatusResponse.toJSON(GetRequestStatusResponse.decode(this.writer.take())),
      )
      send(this.reply, { status: 200, body, retryAfterSeconds: 0 })
    } catch {
      this.writer.reset()
      send(this.reply, httpRefusal('ENVELOPE_MALFORMED'))
    }
  }
}
