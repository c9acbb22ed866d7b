/** What a host is given, and what a host gives to its partitions. */
import type { LiveDirectory } from '../../../core/access/directory.ts'
import type { ErrorCode } from '../../../core/base/error-table.ts'
import type { Eui64 } from '../../../core/base/eui64.ts'
import type { Bus } from '../../../core/ports/bus.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import type { HostStatus } from '../../../core/cluster/process-status.ts'
import type { Ledger } from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'
import type { Metrics } from '../../../core/ports/metrics.ts'
import type { Random } from '../../../core/ports/random.ts'
import type { SnapshotStore } from '../../../core/ports/snapshot.ts'
import type { PartitionStore } from '../../../core/ports/store.ts'
import type { ActorKinds, HostedKind } from '../../kind/actor-kind.ts'
import type { MayRecord } from '../partition/deciding.ts'
import type { SnapshotPorts } from '../recovery/snapshots.ts'

/** The other hosts, as they are heard on the bus and as the leases name them. */
export type Peers = {
  /** Hosts heard lately; this one may be among them. */
  readonly aliveHosts: readonly string[]
  ownerOf(partition: number): string | undefined
  /** Calls `listener` at each lease that changes, whichever host writes it. */
  onLeaseChange(listener: () => void): () => void
}

export type PartitionPorts = {
  hostId: string
  partitionCount: number
  ledger: Ledger
  openStore: (partition: number) => PartitionStore
  /** Left out, no snapshots are made or read. */
  snapshots?: SnapshotStore
  clock: Clock
  random: Random
  log: Log
  /** True for an owner that has been silent for too long. */
  mayTakeFrom: (owner: string) => boolean
  /** Left out, this host is alone and takes all that it may. */
  peers?: Peers
  actorsAwakeMax: number
  restores?: number | undefined
  actorIdleMs: number
  /** The kinds that its partitions hold. */
  actorKinds: ActorKinds
  /** Left out, no rejection is recorded. */
  mayRecord?: MayRecord
}

/** Runs `action` while no tick is under way; the next one waits for it. Rejects as it does. */
export type Hold = (action: () => Promise<void>) => Promise<void>

export type HostOptions = Omit<PartitionPorts, 'actorKinds' | 'mayRecord'> &
  SnapshotPorts & {
    bus: Bus
    /** The kinds of actor that it hosts. */
    kinds: readonly HostedKind[]
    metrics: Metrics
    /** Left out, nothing is in it, and every party may do everything. */
    directory?: LiveDirectory
    checkpointIntervalMs: number
    /**
     * Why new requests are rejected for now (a disk without its reserve), or undefined. Cheap:
     * asked for each request.
     */
    shortage?: () => ErrorCode | undefined
    /** Takes rejections that are counted only, when their tick is on disk. */
    countRejection?: (party: Eui64, outcome: number) => void
    /** What this process does, for the cluster's status. */
    roles?: readonly string[]
    /** Of the ledger's replicas, for the same. */
    comparison?: () => HostStatus['comparison']
    /**
     * The pipeline has ended by a fault of ours: nothing is decided any more, and the process must
     * not live on. Called once.
     */
    onFault: (fault: unknown) => void
  }
