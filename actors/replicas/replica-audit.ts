/**
 * Compares the replicas of the ledger again and again, in the one process that owns the first
 * partition. What it finds degrades readiness, is logged, counted and shown by `cluster status`
 * until a later comparison finds it repaired. A leader that is damaged is asked to hand over to a
 * replica that is not: readers get the ledger from the leader.
 */
import { limits } from '../../core/base/limits.ts'
import type { Log } from '../../core/ports/log.ts'
import type { GaugeSeries, Metrics } from '../../core/ports/metrics.ts'
import { formatReplicaFault, type ReplicaComparison } from '../../core/ports/replicas.ts'
import { compareReplicas, type ComparisonPorts } from './comparison.ts'

export type ReplicaAuditPorts = Pick<ComparisonPorts, 'ledger' | 'source' | 'clock'> & {
  log: Log
  metrics: Metrics
  /** True while this process is the one that compares. */
  isOurs: () => boolean
  /** Between two ranges. */
  restMs?: number
}

/** The last whole comparison. */
export type ReplicaAuditStatus = ReplicaComparison & {
  /** When it ended; UTC ms. */
  atMs: number
}

export class ReplicaAudit {
  private readonly ports: ReplicaAuditPorts
  private last: ReplicaAuditStatus | undefined
  private said = new Set<string>()
  private isClosed = false
  private callOff: () => void = () => {}
  private run: Promise<void> = Promise.resolve()
  private endRest: () => void = () => {}

  constructor(ports: ReplicaAuditPorts) {
    this.ports = ports
    const { metrics } = ports
    const compared = metrics.counter(
      'busbar_replica_messages_compared_total',
      'Messages of the ledger that were compared across its replicas',
    )
    this.onCompared = (count) => compared.add(count)
    metrics.gauges(
      'busbar_replica_faults',
      'Faults in a replica of the ledger: missing or different messages, broken hash chains',
      () => this.faultCounts(),
    )
    metrics.gauge(
      'busbar_replica_comparison_age_seconds',
      'Since the last whole comparison of the replicas ended; 0 where another process compares',
      () => (this.status === undefined ? 0 : (ports.clock.now() - this.status.atMs) / 1_000),
    )
  }

  private readonly onCompared: (count: number) => void

  /** Begins to compare, and goes on until `close`. */
  start(): void {
    this.run = this.loop()
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.callOff()
    this.endRest()
    await this.run
  }

  /** The last whole comparison; undefined before the first, and where another process compares. */
  get status(): ReplicaAuditStatus | undefined {
    return this.ports.isOurs() ? this.last : undefined
  }

  /** The damage that is known, or undefined. */
  get trouble(): string | undefined {
    const { faults = [], moreFaults = 0 } = this.status ?? {}
    if (faults.length === 0) return undefined
    const more = moreFaults > 0 ? [`${moreFaults} more`] : []
    return `LEDGER_REPLICA_DAMAGED: ${[...faults.map(formatReplicaFault), ...more].join('; ')}`
  }

  private faultCounts(): GaugeSeries[] {
    const counts = new Map<string, number>()
    for (const server of this.status?.compared ?? []) counts.set(server, 0)
    for (const { server = 'every' } of this.status?.faults ?? [])
      counts.set(server, (counts.get(server) ?? 0) + 1)
    return [...counts].map(([server, value]) => ({ labels: { server }, value }))
  }

  private async loop(): Promise<void> {
    while (!this.isClosed) {
      let restMs: number = limits.replicaDamageRestMs
      if (this.ports.isOurs()) {
        try {
          const found = await this.compare()
          if (found && found.faults.length === 0 && found.notCompared.length === 0)
            restMs = limits.replicaPassRestMs
        } catch (fault) {
          this.ports.log.warn({ fault: String(fault) }, 'the replicas could not be compared')
        }
      } else {
        this.last = undefined
        restMs = limits.replicaLookMs
      }
      if (!this.isClosed) await this.rest(restMs)
    }
  }

  private async compare(): Promise<ReplicaComparison | undefined> {
    const { ledger, source, clock, log, isOurs, restMs = limits.replicaRangeRestMs } = this.ports
    const found = await compareReplicas({
      ledger,
      source,
      clock,
      restMs,
      isStopped: () => this.isClosed || !isOurs(),
    })
    if (found === undefined) return undefined
    this.last = { ...found, atMs: clock.now() }
    this.onCompared(found.messages)
    this.say(found)
    await this.moveFromDamaged(found)
    if (found.notCompared.length > 0)
      log.warn({ servers: found.notCompared.join() }, 'replicas that could not be compared')
    return found
  }

  /** One line for each fault that is new, and one when all are repaired. */
  private say({ faults }: ReplicaComparison): void {
    const { log } = this.ports
    const texts = new Set(faults.map(formatReplicaFault))
    for (const fault of texts)
      if (!this.said.has(fault))
        log.error({ code: 'LEDGER_REPLICA_DAMAGED', fault }, 'a replica of the ledger is damaged')
    if (texts.size === 0 && this.said.size > 0) log.info({}, 'the replicas of the ledger agree')
    this.said = texts
  }

  private async moveFromDamaged(found: ReplicaComparison): Promise<void> {
    const { source, log } = this.ports
    const { compared } = found
    const damaged = new Set(found.damaged)
    if (damaged.size === 0) return
    const { leader, replicas } = await source.replicas()
    const intact = replicas.find(
      ({ server, state }) =>
        state === 'current' && compared.includes(server) && !damaged.has(server),
    )
    if (!damaged.has(leader) || intact === undefined) return
    await source.moveLeader(intact.server)
    log.warn({ from: leader, to: intact.server }, 'the leader of the ledger is damaged: it moves')
  }

  private rest(restMs: number): Promise<void> {
    const { clock } = this.ports
    return new Promise((resolve) => {
      this.endRest = resolve
      this.callOff = clock.at(clock.now() + restMs, resolve)
    })
  }
}
