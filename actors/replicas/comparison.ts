/**
 * Compares the copies of the ledger that the servers of a cluster hold, from the first tick that
 * is not trimmed to the last one, range by range. With a single copy, its hash chains are checked.
 */
import { limits } from '../../core/base/limits.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Ledger } from '../../core/ports/ledger.ts'
import type {
  ReplicaComparison,
  ReplicaFault,
  ReplicaRange,
  ReplicaSource,
} from '../../core/ports/replicas.ts'
import { trimRecordOf } from '../runtime/past.ts'
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

  constructor(ports: ComparisonPorts) {
    this.ports = ports
  }

  async run(): Promise<ReplicaComparison | undefined> {
    const { ledger, source, restMs, isStopped = () => false } = this.ports
    const { replicas, lastSequence } = await source.replicas()
    // What a server that is offline has cannot be read; one that lags may answer.
    for (const { server, state } of replicas)
      if (state === 'offline') this.silent.add(server)
      else if (state !== 'missing') this.servers.push(server)
    // A leader that lost its last messages still knows their sequences.
    const last = Math.max(lastSequence, (await ledger.lastOn('*.*'))?.sequence ?? 0)
    const trimmed = await trimRecordOf(ledger)
    let heads: Heads = trimmed.heads
    let from = trimmed.through + 1
    while (from <= last && this.servers.length > 0) {
      if (isStopped()) return undefined
      const judged = await this.judge(from, last, heads)
      if (judged === undefined) break
      heads = judged.heads
      this.messages += judged.messages
      this.faults.push(...judged.faults)
      from = judged.through + 1
      if (from <= last) await this.rest(restMs)
    }
    const faults = mergeFaults(this.faults)
    return {
      compared: [...this.servers],
      notCompared: [...this.silent],
      throughSequence: from - 1,
      messages: this.messages,
      faults: faults.slice(0, limits.replicaFaultsMax),
      moreFaults: Math.max(0, faults.length - limits.replicaFaultsMax),
    }
  }

  private async judge(
    from: number,
    last: number,
    heads: Heads,
  ): Promise<(Judgement & { through: number }) | undefined> {
    const first = await this.judgeOnce(from, last, heads)
    if (first === undefined || first.faults.length === 0) return first
    // A follower that was behind, or a trimming under way, looks like damage for a moment.
    await this.rest(limits.replicaConfirmMs)
    const { through } = await trimRecordOf(this.ports.ledger)
    if (through >= from) throw new Trimmed()
    const second = await this.judgeOnce(from, last, heads)
    if (second === undefined) return undefined
    const seen = new Set(first.faults.map(keyOf))
    return { ...second, faults: second.faults.filter((fault) => seen.has(keyOf(fault))) }
  }

  private async judgeOnce(
    from: number,
    last: number,
    heads: Heads,
  ): Promise<(Judgement & { through: number }) | undefined> {
    const ranges = await this.gather(from)
    if (ranges.length === 0) return undefined
    const through = Math.max(from, coveredThrough(ranges, last))
    return { ...judgeRange(ranges, through, heads), through }
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
    return new Promise((resolve) => void clock.at(clock.now() + restMs, resolve))
  }
}

const keyOf = ({ server = '', what, from }: ReplicaFault): string => `${server} ${what} ${from}`
