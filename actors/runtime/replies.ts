/**
 * Answers to a frame of envelopes: one envelope each, gathered, and sent back as one frame when the last has come.
 */
import { writeOctetsOf } from '../../core/base/bytes.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { retryHintMs } from '../../core/base/retry-hint.ts'
import { writeSafeU64 } from '../../core/envelope/envelope.ts'
import { counterBoundsBytes, neverAccepted } from '../../core/envelope/counter-bounds.ts'
import { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind, offsetOf } from '../../core/envelope/layout.ts'
import { statusBodyBytes, writeStatusBody } from '../../core/envelope/status-body.ts'
import type { Acknowledge, ReportCounters, ReportStatus } from '../device/effects.ts'
import type { CounterBounds } from '../device/counter-bounds.ts'
import type { DeviceMessage, ReplyTo } from '../device/messages.ts'

/** One asked envelope and the frame its answer goes into. */
export type Asked = { replies: FrameReplies; buffer: Buffer; at: number }

export const replyToOf = (asked: Asked): ReplyTo => asked as unknown as ReplyTo
const askedOf = (replyTo: ReplyTo): Asked | undefined => replyTo as unknown as Asked | undefined

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

  /** `bounds` goes with a refusal because of the counter. */
  acknowledge(
    asked: Asked,
    outcome: number,
    time: number,
    notBefore: number,
    bounds?: CounterBounds,
    isNeverAccepted = false,
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

  reportCounters(asked: Asked, bodyView: Buffer): void {
    const at = this.begin(asked, Kind.COUNTERS, bodyView.length)
    this.writer.target.set(bodyView, at + headerBytes)
    this.end()
  }

  /** An answer is the asked envelope's header with another kind: RequestID, srv and correlation stay. */
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

/** Runs ACKNOWLEDGE, REPORT_STATUS or REPORT_COUNTERS. */
export function answer(effect: Acknowledge | ReportStatus | ReportCounters): void {
  const asked = askedOf(effect.replyTo)
  if (asked === undefined) return
  if (effect.type === 'ACKNOWLEDGE') {
    const { outcome, time, notBefore, bounds, isNeverAccepted } = effect
    asked.replies.acknowledge(asked, outcome, time, notBefore, bounds, isNeverAccepted)
  } else if (effect.type === 'REPORT_COUNTERS')
    asked.replies.reportCounters(asked, effect.bodyBytes)
  else asked.replies.reportStatus(asked, effect)
}

/** Answers what came from outside with a refusal; a message of the host's own is dropped. */
export function refuse(message: DeviceMessage, code: ErrorCode, now: number): void {
  if (!('replyTo' in message)) return
  const { replyTo } = message
  const outcome = errorId(code)
  answer({ type: 'ACKNOWLEDGE', replyTo, outcome, time: now, notBefore: notBeforeOf(code, now) })
}

/** When to come again after a refusal: shortly when there was no room, never when it would not help. */
export function notBeforeOf(code: ErrorCode, now: number): number {
  const waitMs = retryHintMs(code)
  return waitMs === 0 ? 0 : now + waitMs
}
