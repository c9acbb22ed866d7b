/**
 * How the replicas of a stream stand, from what its leader says of them.
 *
 * The server goes on calling a follower current for a long time after its process was killed
 * (more than 8 s were measured on 2.15.1), so the time since the leader heard it decides as well.
 *
 * @source NATS JetStream API, STREAM.INFO, object `cluster`; core/decisions/0019
 */
import type { NatsConnection } from '@nats-io/transport-node'
import { limits } from '../base/limits.ts'
import type { Replica, StreamCounts, StreamReplicas } from '../ports/replicas.ts'
import { cursorBucketNameDefault } from './cursors.ts'
import { ledgerStreamNameDefault, streamNotFoundCode } from './opening.ts'
import { snapshotBucketNameDefault } from './snapshots.ts'

type PeerInfo = {
  name?: string
  current?: boolean
  offline?: boolean
  /** Nanoseconds since the leader heard it. */
  active?: number
  lag?: number
}
/** The part of the server's answer that is read here. */
export type StreamInfoAnswer = {
  error?: { err_code?: number; description?: string }
  config?: { num_replicas?: number }
  state?: { messages?: number; first_seq?: number; last_seq?: number; num_deleted?: number }
  cluster?: { leader?: string; replicas?: PeerInfo[] }
}

/** Streams that a deployment cannot do without: the ledger, cursors, snapshots. */
const dependedStreams = (bucketSuffix: string): string[] => [
  ledgerStreamNameDefault,
  `KV_${cursorBucketNameDefault}${bucketSuffix}`,
  `OBJ_${snapshotBucketNameDefault}${bucketSuffix}`,
]

const nanosPerMs = 1_000_000

function replicaIn({ name = '', current, offline, active = 0, lag = 0 }: PeerInfo): Replica {
  const silentMs = Math.round(active / nanosPerMs)
  const isOffline = offline === true || silentMs > limits.replicaSilenceMsMax
  const isCurrent = current === true && lag <= limits.replicaLagMessagesMax
  const state = isOffline ? 'offline' : isCurrent ? 'current' : 'lagging'
  return { server: name, state, lagMessages: lag, silentMs }
}

const countsIn = (state: StreamInfoAnswer['state']): StreamCounts => ({
  firstSequence: state?.first_seq ?? 0,
  lastSequence: state?.last_seq ?? 0,
  messages: state?.messages ?? 0,
  deleted: state?.num_deleted ?? 0,
})

/**
 * Reads the answer to STREAM.INFO.
 *
 * @param wanted      copies that the deployment asks for
 * @param serverName  the server that the connection is to: the only copy where there is no cluster
 */
export function streamReplicasIn(
  stream: string,
  { error, config, state, cluster }: StreamInfoAnswer,
  wanted: number,
  serverName: string,
): StreamReplicas {
  const configured = config?.num_replicas ?? 0
  const copies = Math.max(wanted, configured)
  const base = { stream, wanted: copies, configured, counts: countsIn(state) }
  if (error !== undefined)
    return {
      ...base,
      leader: undefined,
      replicas: [],
      failure: `${error.err_code ?? ''} ${error.description ?? ''}`.trim(),
    }
  const leader = cluster === undefined ? serverName : cluster.leader || undefined
  const replicas: Replica[] = []
  if (leader !== undefined)
    replicas.push({ server: leader, state: 'current', lagMessages: 0, silentMs: 0 })
  for (const peer of cluster?.replicas ?? []) replicas.push(replicaIn(peer))
  while (replicas.length < copies)
    replicas.push({ server: '', state: 'missing', lagMessages: 0, silentMs: 0 })
  return { ...base, leader, replicas }
}

/**
 * Asks for the replicas of one stream; undefined when there is no such stream. Never rejects: a
 * stream that does not answer is told by `failure`.
 */
export async function askStreamReplicas(
  connection: NatsConnection,
  stream: string,
  wanted: number,
): Promise<StreamReplicas | undefined> {
  try {
    const reply = await connection.request(`$JS.API.STREAM.INFO.${stream}`, '', {
      timeout: limits.ledgerAskMs,
    })
    const answer = reply.json<StreamInfoAnswer>()
    if (answer.error?.err_code === streamNotFoundCode) return undefined
    return streamReplicasIn(stream, answer, wanted, connection.info?.server_name ?? '')
  } catch {
    const failure = 'no answer: no server leads it, or too few of its servers run'
    const nothing = { configured: 0, leader: undefined, replicas: [], counts: countsIn({}) }
    return { stream, wanted, ...nothing, failure }
  }
}

/**
 * The replicas of the deployment's streams, of those that exist. Without `wanted`, each has to have
 * as many copies as the one with most of them. `bucketSuffix` ends the names of its buckets.
 */
export async function askAllReplicas(
  connection: NatsConnection,
  wanted?: number,
  bucketSuffix = '',
): Promise<StreamReplicas[]> {
  const streams = dependedStreams(bucketSuffix)
  const ask = (copies: number) =>
    Promise.all(streams.map((stream) => askStreamReplicas(connection, stream, copies)))
  let found = await ask(wanted ?? 1)
  const most = Math.max(1, ...found.map((stream) => stream?.configured ?? 0))
  if (wanted === undefined && most > 1) found = await ask(most)
  return found.filter((stream) => stream !== undefined)
}
