/**
 * Brings what this process has rejected to the actors of the parties, which record it: one by one
 * within the rate, else as counts of a minute. Rejecting waits for none of it: the queue is
 * bounded, and what finds no place in it is counted. A report stays the same until it is accepted,
 * so that one that comes twice is known by its number. What a process holds when it is killed is
 * lost: at most the last second of rejections, and the counts of the last minute.
 */
import { RejectionGate } from '../access/rejection-gate.ts'
import {
  encodeRejectionReport,
  type Caller,
  type RejectionCount,
} from '../access/rejection-report.ts'
import { unknownParty, type RejectionSink } from '../access/rejection-sink.ts'
import type { Rejection } from '../access/rejection.ts'
import { errorCodeOf, type ErrorCode } from '../base/error-table.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { Kind } from '../envelope/layout.ts'
import type { Counter, Metrics } from '../ports/metrics.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import { pause } from '../ports/clock.ts'
import { askActors, type ActorMailPorts, type Question } from './actor-mail.ts'

export type RejectionMailPorts = ActorMailPorts & {
  random: Random
  log: Log
  metrics: Metrics
  /** Of the directory that this process decides by. */
  directorySequence: () => number
}

type Tally = RejectionCount & { readonly party: Eui64 }

/** A report that would be refused in this way is refused for good. */
const isForGood = (code: ErrorCode): boolean =>
  code === 'FORMAT_NOT_RAISED' || code === 'ENVELOPE_MALFORMED' || code === 'DEVICE_ACTOR_PARKED'

export class RejectionMail implements RejectionSink {
  private readonly ports: RejectionMailPorts
  private readonly gate = new RejectionGate()
  private readonly reporter: Eui64
  private number = 0
  private queue: Array<{ party: Eui64; rejection: Rejection }> = []
  private tallies = new Map<string, Tally>()
  /** Reports that no actor has accepted yet; nothing else is sent before. */
  private pending: Question[] = []
  private sending: Promise<void> | undefined
  private callOff: (() => void) | undefined
  private isClosed = false
  /** By the id of the error's row. */
  private readonly counted: Array<Counter | undefined> = []

  constructor(ports: RejectionMailPorts) {
    this.ports = ports
    this.reporter = readEui64(ports.random.bytes(8))
  }

  start(): void {
    const { clock } = this.ports
    this.callOff = clock.at(clock.now() + limits.rejectionReportMs, () => {
      if (this.sending === undefined) void this.flush(false)
      if (!this.isClosed) this.start()
    })
  }

  mayRecord(party: Eui64, outcome: number): boolean {
    const isAdmitted = this.gate.admits(party, outcome, this.ports.clock.elapsedMs())
    if (!isAdmitted) this.count(party, outcome)
    return isAdmitted
  }

  record(party: Eui64, rejection: Omit<Rejection, 'directorySequence'>): void {
    if (this.queue.length >= limits.rejectionsQueuedMax) return this.count(party, rejection.outcome)
    const directorySequence = this.ports.directorySequence()
    this.queue.push({ party, rejection: { ...rejection, directorySequence } })
  }

  count(party: Eui64, outcome: number, caller: Caller = ''): void {
    this.add(this.tallies.size < limits.rejectionCountsMax ? party : unknownParty, outcome, caller)
    const code = errorCodeOf(outcome)
    if (code === undefined) return
    this.counted[outcome] ??= this.ports.metrics.counter(
      'busbar_rejections_counted_total',
      'Rejected requests and calls that the ledger has in counts of a minute only',
      { code },
    )
    this.counted[outcome].add()
  }

  private add(party: Eui64, outcome: number, caller: Caller): void {
    const now = this.ports.clock.now()
    const key = `${party}${outcome} ${caller}`
    const { fromMs = now, count = 0 } = this.tallies.get(key) ?? {}
    this.tallies.set(key, { party, outcome, caller, fromMs, toMs: now + 1, count: count + 1 })
  }

  /** Reports what waits, all counts too when `isLast`; settles when actors have answered. */
  flush(isLast: boolean): Promise<void> {
    this.sending = this.send(isLast).finally(() => {
      this.sending = undefined
    })
    return this.sending
  }

  private async send(isLast: boolean): Promise<void> {
    if (this.pending.length === 0) this.gather(isLast)
    if (this.pending.length === 0) return
    const sent = this.pending
    try {
      const refused = await askActors(sent, this.ports)
      this.pending = refused.filter(({ code }) => !isForGood(code)).map(({ index }) => sent[index]!)
    } catch (fault) {
      this.ports.log.warn({ fault: String(fault) }, 'rejections were not recorded yet')
    }
  }

  /** Makes reports of what waits. */
  private gather(isLast: boolean): void {
    const now = this.ports.clock.now()
    const rejections = Map.groupBy(this.queue, ({ party }) => party)
    this.queue = []
    const due = [...this.tallies].filter(([, { fromMs }]) => isLast || isOver(fromMs, now))
    for (const [key] of due) this.tallies.delete(key)
    const counts = Map.groupBy(
      due.map(([, tally]) => tally),
      ({ party }) => party,
    )
    const most = limits.rejectionsPerReportMax
    for (const party of new Set([...rejections.keys(), ...counts.keys()])) {
      const some = rejections.get(party) ?? []
      const tallies = counts.get(party) ?? []
      for (let from = 0; from < Math.max(some.length, tallies.length); from += most)
        this.pending.push(
          this.reportTo(
            party,
            some.slice(from, from + most).map(({ rejection }) => rejection),
            tallies.slice(from, from + most),
          ),
        )
    }
  }

  private reportTo(
    party: Eui64,
    rejections: readonly Rejection[],
    counts: readonly RejectionCount[],
  ): Question {
    const { reporter } = this
    const number = ++this.number
    const bodyBytes = encodeRejectionReport({ reporter, number, rejections, counts })
    return { kind: Kind.REJECTIONS_REPORT, target: party, bodyBytes }
  }

  /** Reports once more, within `waitMs`. To be called while hosts still answer. */
  async close(waitMs: number): Promise<void> {
    this.isClosed = true
    this.callOff?.()
    const all = async (): Promise<void> => {
      await this.sending
      await this.flush(false)
      await this.flush(true)
    }
    await Promise.race([all(), pause(this.ports.clock, waitMs)])
  }
}

/** The minute in which `fromMs` lies is over. */
const isOver = (fromMs: number, now: number): boolean =>
  Math.floor(fromMs / limits.rejectionCountMs) !== Math.floor(now / limits.rejectionCountMs)
