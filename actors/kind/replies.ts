/**
 * Answers to a frame of envelopes: one envelope each, gathered, and sent back as one frame when the
 * last has come.
 */
import { writeOctetsOf } from '../../core/base/bytes.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { retryHintMs } from '../../core/base/retry-hint.ts'
import { writeSafeU64 } from '../../core/envelope/envelope.ts'
import { counterBoundsBytes, neverAccepted } from '../../core/envelope/counter-bounds.ts'
import { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind, offsetOf } from '../../core/envelope/layout.ts'
import type { Acknowledge, Answer, Asker, Report, ReportStatus } from './effects.ts'
import type { ActorMessage } from './messages.ts'
import { statusBodyBytes, writeStatusBody } from '../../core/envelope/status-body.ts'

/** One asked envelope and the frame its answer goes into. */
export class Asked implements Asker {
  readonly replies: FrameReplies
  readonly buffer: Buffer
  readonly at: number

  constructor(replies: FrameReplies, buffer: Buffer, at: number) {
    this.replies = replies
    this.buffer = buffer
    this.at = at
  }

  answer(answer: Answer): void {
    switch (answer.type) {
      case 'ACKNOWLEDGE':
        return this.replies.acknowledge(this, answer)
      case 'REPORT':
        return this.replies.report(this, answer)
      case 'REPORT_STATUS':
        return this.replies.reportStatus(this, answer)
    }
  }

  /** Answers with a row of the error table. */
  refuse(code: ErrorCode, now: number): void {
    const notBefore = notBeforeOf(code, now)
    this.answer({
      type: 'ACKNOWLEDGE',
      replyTo: this,
      outcome: errorId(code),
      time: now,
      notBefore,
    })
  }
}

export class FrameReplies {
  private readonly writer = new FrameWriter()
  private readonly send: (frame: Uint8Array) => void
  private expected = 0
  private isRead = false

  constructor(send: (frame: Uint8Array) => void) {
    this.send = send
  }

  /** Counts one more envelope that will be answered. */
  expect(): void {
    this.expected++
  }

  /** The frame has been read to its end. */
  close(): void {
    if (this.expected === this.writer.count) this.send(this.writer.take())
    else this.isRead = true
  }

  acknowledge(
    asked: Asked,
    { outcome, time, notBefore, bounds, isNeverAccepted = false }: Acknowledge,
  ): void {
    const bodyBytes = bounds === undefined ? 0 : counterBoundsBytes
    const at = this.begin(asked, Kind.ACKNOWLEDGEMENT, bodyBytes)
    const { target } = this.writer
    if (bounds !== undefined) {
      writeOctetsOf(bounds.highest, target, at + headerBytes)
      writeOctetsOf(bounds.floor, target, at + headerBytes + 8)
    }
    if (isNeverAccepted) target.writeUInt16BE(neverAccepted, at + offsetOf.attempt)
    target.writeUInt16BE(outcome, at + offsetOf.outcome)
    writeSafeU64(target, time, at + offsetOf.time)
    writeSafeU64(target, notBefore, at + offsetOf.deadline)
    this.end()
  }

  reportStatus(asked: Asked, status: ReportStatus): void {
    const at = this.begin(asked, Kind.STATUS, statusBodyBytes)
    const { target } = this.writer
    target.writeUInt32BE(status.srv, at + offsetOf.srv)
    target.writeUInt16BE(status.outcome, at + offsetOf.outcome)
    target.writeUInt16BE(status.attempt, at + offsetOf.attempt)
    writeSafeU64(target, status.endedAt, at + offsetOf.time)
    writeSafeU64(target, status.deadline, at + offsetOf.deadline)
    writeStatusBody(target, at, status.state, status.acceptedAt)
    this.end()
  }

  report(asked: Asked, { kind, bodyBytes }: Report): void {
    const at = this.begin(asked, kind, bodyBytes.length)
    this.writer.target.set(bodyBytes, at + headerBytes)
    this.end()
  }

  /**
   * An answer is the asked envelope's header with another kind: RequestID, srv and correlation
   * stay.
   */
  private begin(asked: Asked, kind: Kind, bodyBytes: number): number {
    const at = this.writer.reserve(headerBytes + bodyBytes)
    const { target } = this.writer
    asked.buffer.copy(target, at, asked.at, asked.at + headerBytes)
    target[at + offsetOf.kind + 1] = kind
    target.writeUInt32BE(bodyBytes, at + offsetOf.body)
    return at
  }

  private end(): void {
    this.writer.count++
    if (this.isRead && this.writer.count === this.expected) this.send(this.writer.take())
  }
}

/** Answers what came from outside with a refusal; a message of the host's own is dropped. */
export function refuse(message: ActorMessage, code: ErrorCode, now: number): void {
  if (message.replyTo === undefined) return
  const { replyTo } = message
  const notBefore = notBeforeOf(code, now)
  replyTo.answer({ type: 'ACKNOWLEDGE', replyTo, outcome: errorId(code), time: now, notBefore })
}

/**
 * When to come again after a refusal: shortly when there was no room, never when it would not help.
 */
export function notBeforeOf(code: ErrorCode, now: number): number {
  const waitMs = retryHintMs(code)
  return waitMs === 0 ? 0 : now + waitMs
}
