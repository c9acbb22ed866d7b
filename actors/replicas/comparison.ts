/**
 * Compares the copies of the ledger that the servers of a cluster hold, range by range. Ticks that
 * were trimmed do not count, even where they are still there. With a single copy, its hash chains
 * are checked. Messages without a chain, leases and records, that every copy lacks show in the
 * number that the leader counts: a server counts a message whose checksum is wrong, and gives it to
 * nobody.
 */
import { limits } from '../../core/base/limits.ts'
import { pause, type Clock } from '../../core/ports/clock.ts'
import { isTickSubject, type Ledger } from '../../core/ports/ledger.ts'
import type {
  ReplicaComparison,
  ReplicaFault,
  ReplicaRange,
  ReplicaSource,
  StreamCounts,
} from '../../core/ports/replicas.ts'
import { trimRecordOf } from '../runtime/recovery/trimmed-history.ts'
import { coveredThrough, judgeRange, mergeFaults, type Heads, type Judgement } from './judgement.ts'

export type ComparisonPorts = {
  ledger: Pick<Ledger, 'lastOn'>
  source: ReplicaSource
  clock: Clock
  /** Between two ranges; `replicaRangeRestMs` in a broker, 0 for a command. */
  restMs: number
  /** Ends the comparison early. */
  isStopped?: () => boolean
}

type Judged = Judgement & { through: number; present: readonly number[] }

/** The ledger was trimmed past the place that is read: everything starts again. */
class Trimmed extends Error {}

/**
 * Resolves with what was found, or undefined when it was stopped.
 * @throws BrokerError BROKER_LEDGER_UNAVAILABLE
 */
export async function compareReplicas(
  ports: ComparisonPorts,
): Promise<ReplicaComparison | undefined> {
  for (;;) {
    try {
      return await new Comparison(ports).run()
    } catch (fault) {
      if (!(fault instanceof Trimmed)) throw fault
    }
  }
}

class Comparison {
  private readonly ports: ComparisonPorts
  /** Servers whose copy is read. */
  private servers: string[] = []
  private readonly silent = new Set<string>()
  private readonly faults: ReplicaFault[] = []
  private messages = 0
  /** Ticks up to this sequence were trimmed. */
  private trimmedThrough = 0
  /** What the leader counted at the start. */
  private counts: StreamCounts | undefined
  private countRead = 0
  /** The first and the last sequence that no copy has. */
  private gap: { from: number; through: number } | undefined

  constructor(ports: ComparisonPorts) {
    this.ports = ports
  }

  async run(): Promise<ReplicaComparison | undefined> {
    const { ledger, source, restMs, isStopped = () => false } = this.ports
    const { replicas, counts, leader } = await source.replicas()
    this.counts = counts
    // What a server that is offline has cannot be read; one that lags may answer.
    for (const { server, state } of replicas)
      if (state === 'offline') this.silent.add(server)
      else if (state !== 'missing') this.servers.push(server)
    // A leader that lost its last messages still knows their sequences.
    const last = Math.max(counts.lastSequence, (await ledger.lastOn('*.*'))?.sequence ?? 0)
    const trimmed = await trimRecordOf(ledger)
    this.trimmedThrough = trimmed.through
    let heads: Heads = trimmed.heads
    let from = 1
    while (from <= last && this.servers.length > 0) {
      if (isStopped()) return undefined
      const judged = await this.judge(from, last, heads)
      if (judged === undefined) break
      heads = judged.heads
      this.messages += judged.messages
      this.faults.push(...judged.faults)
      this.note(judged.present, from, judged.through)
      from = judged.through + 1
      if (from <= last) await this.rest(restMs)
    }
    if (from > last && leader !== undefined) await this.checkCount(leader)
    const faults = mergeFaults(this.faults)
    return {
      compared: [...this.servers],
      notCompared: [...this.silent],
      throughSequence: from - 1,
      messages: this.messages,
      damaged: [...new Set(faults.map(({ server }) => server))],
      faults: faults.slice(0, limits.replicaFaultsMax),
      moreFaults: Math.max(0, faults.length - limits.replicaFaultsMax),
    }
  }

  /** `present` are sequences that some copy has, in order. */
  private note(present: readonly number[], from: number, through: number): void {
    const { lastSequence = 0 } = this.counts ?? {}
    let next = from
    for (const sequence of [...present, through + 1]) {
      const end = Math.min(sequence - 1, lastSequence)
      if (end >= next && end > this.trimmedThrough)
        this.gap = { from: this.gap?.from ?? Math.max(next, this.trimmedThrough + 1), through: end }
      next = sequence + 1
    }
    for (const sequence of present) if (sequence <= lastSequence) this.countRead++
  }

  /**
   * Where all copies agree, the leader's count is compared, unless something was trimmed meanwhile.
   */
  private async checkCount(leader: string): Promise<void> {
    const before = this.counts
    const { counts: now, leader: leaderNow } = await this.ports.source.replicas()
    if (before === undefined || this.faults.some(({ what }) => what !== 'chain')) return
    if (leaderNow !== leader || !this.servers.includes(leader)) return
    if (now.firstSequence !== before.firstSequence || now.deleted !== before.deleted) return
    const count = before.messages - this.countRead
    if (count <= 0 || this.gap === undefined) return
    this.faults.push({ server: leader, what: 'unreadable', ...this.gap, partitions: [], count })
  }

  private async judge(from: number, last: number, heads: Heads): Promise<Judged | undefined> {
    const first = await this.judgeOnce(from, last, heads)
    if (first === undefined || first.faults.length === 0) return first
    // A follower that was behind, or a trimming under way, looks like damage for a moment.
    await this.rest(limits.replicaConfirmMs)
    const { through } = await trimRecordOf(this.ports.ledger)
    if (through > this.trimmedThrough) throw new Trimmed()
    const second = await this.judgeOnce(from, first.through, heads)
    if (second === undefined) return undefined
    const seen = new Set(first.faults.map(keyOf))
    return { ...second, faults: second.faults.filter((fault) => seen.has(keyOf(fault))) }
  }

  private async judgeOnce(from: number, last: number, heads: Heads): Promise<Judged | undefined> {
    const ranges = await this.gather(from)
    if (ranges.length === 0) return undefined
    const through = Math.max(from, coveredThrough(ranges, last))
    const present = new Set<number>()
    for (const { messages } of ranges)
      for (const { sequence } of messages) if (sequence <= through) present.add(sequence)
    const untrimmed = ranges.map((range) => ({
      ...range,
      messages: range.messages.filter(
        ({ subject, sequence }) => sequence > this.trimmedThrough || !isTickSubject(subject),
      ),
    }))
    return {
      ...judgeRange(untrimmed, through, heads),
      through,
      present: [...present].sort((a, b) => a - b),
    }
  }

  /** One answer of each server; a server that gives none is left out from then on. */
  private async gather(from: number): Promise<ReplicaRange[]> {
    const wanted = new Set(this.servers)
    const found = new Map<string, ReplicaRange>()
    for (let asked = 0; wanted.size > 0 && asked < limits.replicaReadsMax;) {
      const count = Math.min(wanted.size, limits.replicaReadsMax - asked)
      asked += count
      const answers = await Promise.all(
        Array.from({ length: count }, () => this.ports.source.read(from)),
      )
      for (const answer of answers)
        if (answer !== undefined && wanted.delete(answer.server)) found.set(answer.server, answer)
      if (answers.every((answer) => answer === undefined)) asked += limits.replicaReadsMax / 4
    }
    for (const server of wanted) this.silent.add(server)
    this.servers = this.servers.filter((server) => found.has(server))
    return this.servers.map((server) => found.get(server)!)
  }

  private rest(restMs: number): Promise<void> {
    const { clock } = this.ports
    if (restMs === 0) return Promise.resolve()
    return pause(clock, restMs)
  }
}

const keyOf = ({ server = '', what, from }: ReplicaFault): string => `${server} ${what} ${from}`
