/**
 * Replicas of the streams that a deployment depends on: how each server's copy stands, and the
 * ledger as one server has it. Twins: core/ledger/stream-replicas and core/ledger/replica-reader
 * (NATS JetStream), and lists in memory in tests.
 */
import type { LedgerMessage } from './ledger.ts'

/**
 * `lagging`: connected, but not up to date. `offline`: its leader does not hear it. `missing`: a
 * copy that should exist and that no server has.
 */
export const ReplicaState = ['current', 'lagging', 'offline', 'missing'] as const
export type ReplicaState = (typeof ReplicaState)[number]

export type Replica = {
  /** Name of the nats-server; empty when `missing`. */
  readonly server: string
  readonly state: ReplicaState
  /** Operations that its leader has and it has not. */
  readonly lagMessages: number
  /** Since its leader heard it last; 0 for the leader itself. */
  readonly silentMs: number
}

/** What a server counts of its copy; it may be more than it can read. */
export type StreamCounts = {
  readonly firstSequence: number
  /** Of the last message that it has, or had. */
  readonly lastSequence: number
  readonly messages: number
  /** Sequences between the first and the last that it counts as deleted. */
  readonly deleted: number
}

/** One stream. */
export type StreamReplicas = {
  readonly stream: string
  /** Copies that the deployment asks for, or more when the stream is configured for more. */
  readonly wanted: number
  /** Copies that the stream is configured for. */
  readonly configured: number
  /** Server that leads; undefined while no server does. */
  readonly leader: string | undefined
  /** The leader first; at least `wanted`. Empty when `failure` is given. */
  readonly replicas: readonly Replica[]
  /** What the leader counts. */
  readonly counts: StreamCounts
  /** Why nothing is known: no answer, or an error of the server. */
  readonly failure?: string
}

/** What one server has of the ledger from a sequence on. */
export type ReplicaRange = {
  readonly server: string
  /** In order of their sequences, which need not be adjacent. */
  readonly messages: readonly LedgerMessage[]
  /** True when the server has nothing behind the last of `messages`. */
  readonly isEnd: boolean
}

/** Reads the ledger's copies one by one. */
export interface ReplicaSource {
  /** Servers with a copy, and who leads. Rejects with BROKER_LEDGER_UNAVAILABLE. */
  replicas(): Promise<StreamReplicas>
  /**
   * Asks for messages from `fromSequence` on, at most `replicaRangeMessages` of
   * `replicaRangeBytes` (one message at least). Any server may answer; undefined when none did in
   * time, or when it is not known which one did.
   */
  read(fromSequence: number): Promise<ReplicaRange | undefined>
  /** Asks the ledger's leader to hand over to `server`. Resolves when it was asked. */
  moveLeader(server: string): Promise<void>
}

/** A part of the ledger that a server does not have as the others do. */
export type ReplicaFault = {
  /** Undefined: the damage is in every one of several copies. */
  readonly server: string | undefined
  /**
   * `missing`: these sequences are not there. `different`: their octets differ. `chain`: the hash
   * chain of a partition does not hold there. `unreadable`: `count` messages in between cannot be
   * read, though the server counts them.
   */
  readonly what: 'missing' | 'different' | 'chain' | 'unreadable'
  readonly count?: number
  /** First and last sequence. */
  readonly from: number
  readonly through: number
  /**
   * Partitions with facts there, in order; empty for messages other than ticks, or when unknown.
   */
  readonly partitions: readonly number[]
}

/** One reading of the whole ledger on every server. */
export type ReplicaComparison = {
  /** Servers whose copy was read. */
  readonly compared: readonly string[]
  /** Servers with a copy that gave no answer, or only in part. */
  readonly notCompared: readonly string[]
  readonly throughSequence: number
  readonly messages: number
  /** Servers with a fault, listed or not; undefined for one in every copy. */
  readonly damaged: readonly (string | undefined)[]
  readonly faults: readonly ReplicaFault[]
  /** Faults beyond `replicaFaultsMax`. */
  readonly moreFaults: number
}

/** The fault in words. Names no reading and no secret. */
export function formatReplicaFault(fault: ReplicaFault): string {
  const { server, what, from, through, partitions } = fault
  const where = from === through ? `sequence ${from}` : `sequences ${from} to ${through}`
  const whose =
    partitions.length === 0
      ? ''
      : ` (partition${partitions.length === 1 ? '' : 's'} ${partitions.join(', ')})`
  const said = {
    missing: 'missing',
    different: 'different from the other replicas',
    chain: 'the hash chain is broken',
    unreadable: `${fault.count ?? 0} messages that the server counts cannot be read`,
  }[what]
  return `${server ?? 'every replica'}: ${where}${whose}: ${said}`
}
