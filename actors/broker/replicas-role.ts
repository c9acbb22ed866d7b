/**
 * What a broker does about the replicas of its ledger: watches how they stand, and in the one
 * process that owns the first partition, compares what they hold.
 */
import type { Clock } from '../../core/ports/clock.ts'
import type { ComparisonStatus } from '../../core/cluster/process-status.ts'
import type { Ledger } from '../../core/ports/ledger.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Metrics } from '../../core/ports/metrics.ts'
import { formatReplicaFault } from '../../core/ports/replicas.ts'
import { connectNats } from '../../core/nats/connection.ts'
import { ReplicaReader } from '../../core/ledger/replica-reader.ts'
import { askAllReplicas } from '../../core/ledger/stream-replicas.ts'
import type { OpsServer } from '../../core/ops/server.ts'
import { ReplicaAudit } from '../replicas/replica-audit.ts'
import { ReplicaWatch } from '../replicas/replica-watch.ts'

export type ReplicasParts = {
  /** How a connection of our own is made: ranges of the ledger must not delay other messages. */
  connectOptions: Parameters<typeof connectNats>[0]
  /** Copies that the deployment asks for. */
  wanted: number
  /** Ends the names of the deployment's buckets. */
  bucketSuffix?: string
  ledger: Ledger
  clock: Clock
  log: Log
  metrics: Metrics
  isOurs: () => boolean
}

export type Replicas = {
  /** Lets the readiness of the process say what is degraded. */
  addTo(ops: Pick<OpsServer, 'addDegradation'>): void
  /** For the status of this host; undefined while it has not compared. */
  comparison(): ComparisonStatus | undefined
  close(): Promise<void>
}

/** Starts both. @throws BrokerError NATS_UNREACHABLE */
export async function startReplicas(parts: ReplicasParts): Promise<Replicas> {
  const { wanted, bucketSuffix, ledger, clock, log, metrics, isOurs } = parts
  const connection = await connectNats(parts.connectOptions)
  const ask = () => askAllReplicas(connection, wanted, bucketSuffix)
  const watch = new ReplicaWatch({ ask, clock, log, metrics })
  const source = new ReplicaReader({ connection, wanted, clock })
  const audit = new ReplicaAudit({ ledger, source, clock, log, metrics, isOurs })
  watch.start()
  audit.start()
  return {
    addTo(ops) {
      ops.addDegradation('replicas', () => watch.trouble)
      ops.addDegradation('ledger', () => audit.trouble)
    },
    comparison: () => {
      const { status } = audit
      if (status === undefined) return undefined
      const { atMs, compared, notCompared, throughSequence, faults, moreFaults } = status
      return {
        atMs,
        compared: [...compared],
        notCompared: [...notCompared],
        throughSequence,
        faults: [
          ...faults.map(formatReplicaFault),
          ...(moreFaults > 0 ? [`${moreFaults} more`] : []),
        ],
      }
    },
    async close() {
      watch.close()
      await audit.close()
      await connection.close()
    },
  }
}
