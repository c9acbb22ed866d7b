/**
 * How the replicas of the ledger and of its buckets stand, asked for every `replicaLookMs`: for
 * readiness (degraded), metrics and people. A process asks for itself, because it may reach other
 * servers than its neighbours do.
 */
import { limits } from '../../core/base/limits.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Log } from '../../core/ports/log.ts'
import type { GaugeSeries, Metrics } from '../../core/ports/metrics.ts'
import { ReplicaState, type Replica, type StreamReplicas } from '../../core/ports/replicas.ts'

export type ReplicaWatchPorts = {
  /** Rejects or resolves; one question at a time. */
  ask: () => Promise<readonly StreamReplicas[]>
  clock: Clock
  log: Log
  metrics: Metrics
}

export class ReplicaWatch {
  private readonly ports: ReplicaWatchPorts
  private streams: readonly StreamReplicas[] = []
  /** Since when a replica lags, elapsed time, by stream and server. */
  private lagging = new Map<string, number>()
  private said: string | undefined
  private isClosed = false
  private callOff: () => void = () => {}

  constructor(ports: ReplicaWatchPorts) {
    this.ports = ports
    const { metrics } = ports
    metrics.gauges(
      'busbar_replicas',
      'Replicas of a stream by state: current, lagging, offline, missing',
      () => this.streams.flatMap(countsOf),
    )
    metrics.gauges(
      'busbar_replica_lag_messages',
      'Operations that a replica is behind the leader of its stream',
      () => this.streams.flatMap(lagsOf),
    )
  }

  /** Asks for the first time at once. */
  start(): void {
    void this.look()
  }

  close(): void {
    this.isClosed = true
    this.callOff()
  }

  /** What is wrong with replicas now, or undefined. The ledger may well be served. */
  get trouble(): string | undefined {
    const now = this.ports.clock.elapsedMs()
    const texts = this.streams.flatMap((stream) => {
      const isLasting = ({ server }: Replica): boolean =>
        now - (this.lagging.get(`${stream.stream} ${server}`) ?? now) >= limits.replicaLagMsMax
      return troubleOf(stream, isLasting)
    })
    return texts.length === 0 ? undefined : texts.join('; ')
  }

  private async look(): Promise<void> {
    const { ask, clock, log } = this.ports
    try {
      this.streams = await ask()
      this.noteLagging()
      const { trouble } = this
      if (trouble !== this.said && trouble !== undefined) log.warn({ trouble }, 'replicas')
      if (trouble === undefined && this.said !== undefined) log.info({}, 'all replicas are current')
      this.said = trouble
    } catch (fault) {
      // A ledger that does not answer has a readiness check of its own.
      log.debug({ fault: String(fault) }, 'the replicas are not known')
    }
    if (this.isClosed) return
    this.callOff = clock.at(clock.now() + limits.replicaLookMs, () => void this.look())
  }

  private noteLagging(): void {
    const now = this.ports.clock.elapsedMs()
    const lagging = new Map<string, number>()
    for (const { stream, replicas } of this.streams)
      for (const { server, state } of replicas) {
        const key = `${stream} ${server}`
        if (state === 'lagging') lagging.set(key, this.lagging.get(key) ?? now)
      }
    this.lagging = lagging
  }
}

/**
 * What is wrong with a stream's replicas, in words; `isLasting` says of one that lags whether it
 * counts.
 */
export function troubleOf(
  { stream, wanted, configured, leader, replicas, failure }: StreamReplicas,
  isLasting: (replica: Replica) => boolean = () => true,
): string[] {
  if (failure !== undefined) return [`${stream}: ${failure}`]
  const texts: string[] = []
  if (leader === undefined) texts.push(`${stream} has no leader`)
  if (configured < wanted)
    texts.push(`${stream} is configured for ${configured} of ${wanted} replicas`)
  const missing = replicas.filter(({ state }) => state === 'missing').length
  if (missing > 0 && configured >= wanted && leader !== undefined)
    texts.push(`${missing} of ${wanted} replicas of ${stream} are on no server`)
  for (const replica of replicas) {
    const { server, state, lagMessages, silentMs } = replica
    if (state === 'offline') texts.push(`${server} is offline with its replica of ${stream}`)
    else if (state === 'lagging' && isLasting(replica))
      texts.push(
        `${server} lags with its replica of ${stream} by ${lagMessages} operations, ` +
          `heard ${silentMs} ms ago`,
      )
  }
  return texts
}

const countsOf = ({ stream, wanted, replicas }: StreamReplicas): GaugeSeries[] =>
  ReplicaState.map((state) => ({
    labels: { stream, state },
    value:
      replicas.length === 0
        ? state === 'missing'
          ? wanted
          : 0
        : replicas.filter((replica) => replica.state === state).length,
  }))

const lagsOf = ({ stream, replicas }: StreamReplicas): GaugeSeries[] =>
  replicas
    .filter(({ server }) => server !== '')
    .map(({ server, lagMessages }) => ({ labels: { stream, server }, value: lagMessages }))
