/**
 * An intake without a network, for tests: a bus that keeps what is sent until the test answers it,
 * a clock that stands still. Not a test.
 */
import { demoParties } from '../../../core/access/parties.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { errorCodeOf } from '../../../core/base/error-table.ts'
import { readEui64, parseEui64 } from '../../../core/base/eui64.ts'
import { readDeadline, readKind, readOutcome, readTime } from '../../../core/envelope/envelope.ts'
import { Kind } from '../../../core/envelope/layout.ts'
import { Intake } from '../../../core/gateway/intake/intake.ts'
import { PartyAccount } from '../../../core/gateway/intake/party-account.ts'
import type { AnswerSink } from '../../../core/gateway/intake/slots.ts'
import type { Bus } from '../../../core/ports/bus.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { formatLatest } from '../../../core/cluster/format.ts'
import { noMetrics, type Metrics } from '../../../core/ports/metrics.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { ServiceRequest } from '../../../proto/gen/busbar/v1/service_request.ts'
import { answerFrame, requestOf, supplier, TestDirectory, type HostAnswer } from './rig.ts'

export type Sent = {
  subject: string
  frame: Buffer
  timeoutMs: number
  answer(answerOf: (at: number) => HostAnswer): void
  reply(frame: Buffer): void
  fail(): void
}

/** A bus that keeps what is sent until the test answers it. */
export class HeldBus implements Bus {
  readonly sent: Sent[] = []
  private waiting: (() => void)[] = []

  request(subject: string, frame: Uint8Array, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const held = frame as Buffer
      this.sent.push({
        subject,
        frame: held,
        timeoutMs,
        answer: (answerOf) => resolve(answerFrame(held, answerOf)),
        reply: resolve,
        fail: () => reject(new BrokerError('BROKER_PARTITION_UNAVAILABLE', 'nobody serves')),
      })
      for (const wake of this.waiting.splice(0)) wake()
    })
  }
  serve = (): Promise<{ close(): Promise<void> }> => Promise.reject(new Error('not here'))
  listen = this.serve
  announce(): void {}

  /** Settles when `count` frames have been sent in all. */
  async until(count: number): Promise<void> {
    while (this.sent.length < count)
      await new Promise<void>((resolve) => this.waiting.push(resolve))
  }
}

export class Answers implements AnswerSink {
  readonly codes = new Map<number, string>()
  readonly waits = new Map<number, number>()
  private waiting: (() => void)[] = []

  answer(tag: number, buffer: Buffer, at: number): void {
    if (this.codes.has(tag)) throw new Error(`answered twice: ${tag}`)
    this.codes.set(
      tag,
      readKind(buffer, at) === Kind.STATUS ? 'STATUS' : errorCodeOf(readOutcome(buffer, at))!,
    )
    this.waits.set(
      tag,
      readDeadline(buffer, at) === 0 ? 0 : readDeadline(buffer, at) - readTime(buffer, at),
    )
    for (const wake of this.waiting.splice(0)) wake()
  }

  async until(count: number): Promise<void> {
    while (this.codes.size < count) await new Promise<void>((resolve) => this.waiting.push(resolve))
  }
}

export const startMs = 1_700_000_000_000
export const party = demoParties().get(readEui64(parseEui64(supplier)!))!

export function makeIntake({
  slots,
  partitions = 1,
  metrics = noMetrics,
  format = formatLatest,
}: { slots?: number; partitions?: number; metrics?: Metrics; format?: number } = {}) {
  const clock = new SimClock(startMs)
  const bus = new HeldBus()
  const directory = new TestDirectory(partitions, 'a', clock)
  const ports = { bus, directory, clock, log: silentLog, metrics, format: () => format }
  const intake = new Intake(ports, slots)
  return {
    clock,
    bus,
    directory,
    intake,
    account: new PartyAccount(party, 5),
    answers: new Answers(),
  }
}

export const wire = (fields: Parameters<typeof requestOf>[0] = {}): Buffer =>
  Buffer.from(ServiceRequest.encode(requestOf(fields)).finish())
export const turnOver = (): Promise<void> =>
  new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
