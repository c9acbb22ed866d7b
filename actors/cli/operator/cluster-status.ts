/**
 * `busbar cluster status`: who owns which partition, how far each host is, who reaches devices,
 * who has fallen silent, and how the replicas of the ledger stand.
 */
import { limits } from '../../../core/base/limits.ts'
import type { Bus } from '../../../core/ports/bus.ts'
import { pause, type Clock } from '../../../core/ports/clock.ts'
import {
  decodeHostStatus,
  decodeWanStatus,
  statusSubject,
  type HostStatus,
  type WanStatus,
} from '../../../core/cluster/process-status.ts'
import { decodeLease, leaseSubject } from '../../../core/cluster/lease-record.ts'
import type { CursorStore, Ledger } from '../../../core/ports/ledger.ts'
import { viewsCursorsIn } from '../../../core/cluster/views-cursor.ts'
import { WanProcesses } from '../../../core/wan/remote/wan-processes.ts'
import type { StreamReplicas } from '../../../core/ports/replicas.ts'
import { troubleOf } from '../../replicas/replica-watch.ts'
import { tableOf } from '../table.ts'

export type PartitionRow = {
  partition: number
  owner: string
  leaseSequence: number
  isAlive: boolean
  /**
   * Ticks between the owner's memory and the end of the ledger that may hold facts of it; undefined
   * when the owner does not answer.
   */
  lag: number | undefined
  savedSequence: number | undefined
  snapshotSequence: number | undefined
  awake: number | undefined
  waiting: number | undefined
}
export type ClusterStatus = {
  lastSequence: number
  hosts: HostStatus[]
  wans: WanStatus[]
  /** Hosts that own partitions, and wan processes, that do not answer. */
  silent: string[]
  /**
   * Processes that have ever had the role views; ticks that each had not counted when it last said
   * so.
   */
  views: Array<{ processId: string; lag: number; atMs: number }>
  partitions: PartitionRow[]
  /** Streams of the deployment and their replicas. */
  streams: readonly StreamReplicas[]
}

export type ClusterStatusPorts = {
  ledger: Ledger
  bus: Bus
  cursors: CursorStore
  partitionCount: number
  /** The wan processes that were heard (WanProcesses). */
  wanIds?: readonly string[]
  /** Shown as given. */
  streams?: readonly StreamReplicas[]
}

/** Asks every owner that the leases name, and the wan processes `wanIds`. */
export async function clusterStatus({
  ledger,
  bus,
  cursors,
  partitionCount,
  wanIds = [],
  streams = [],
}: ClusterStatusPorts): Promise<ClusterStatus> {
  const leases = await Promise.all(
    Array.from({ length: partitionCount }, (_, number) => ledger.lastOn(leaseSubject(number))),
  )
  const owners = leases.map((lease) => (lease === undefined ? '' : decodeLease(lease.data).hostId))
  const names = [...new Set(owners)].filter((name) => name !== '').sort()
  const ask = <T>(
    ids: readonly string[],
    decode: (view: Buffer) => T,
  ): Promise<(T | undefined)[]> =>
    Promise.all(
      ids.map((id) =>
        bus
          .request(statusSubject(id), Buffer.alloc(0), limits.aliveIntervalMs)
          .then(decode, () => undefined),
      ),
    )
  const [answers, wanAnswers] = await Promise.all([
    ask(names, decodeHostStatus),
    ask(wanIds, decodeWanStatus),
  ])
  const hosts = answers.filter((answer) => answer !== undefined)
  const lastSequence = (await ledger.lastOn('log.*'))?.sequence ?? 0
  const views = await viewsCursorsIn(cursors)
  return {
    streams,
    lastSequence,
    hosts,
    wans: wanAnswers.filter((answer) => answer !== undefined),
    silent: [
      ...names.filter((_, index) => answers[index] === undefined),
      ...wanIds.filter((_, index) => wanAnswers[index] === undefined),
    ],
    views: views.map(({ processId, sequence, atMs }) => ({
      processId,
      lag: Math.max(0, lastSequence - sequence),
      atMs,
    })),
    partitions: owners.map((owner, partition) => {
      const host = hosts.find(({ hostId }) => hostId === owner)
      const its = host?.partitions.find(({ number }) => number === partition)
      return {
        partition,
        owner,
        leaseSequence: leases[partition]?.sequence ?? 0,
        isAlive: its !== undefined,
        lag: its && Math.max(0, lastSequence - its.sequence),
        savedSequence: its?.savedSequence,
        snapshotSequence: its?.snapshotSequence,
        awake: its?.awake,
        waiting: its?.waiting,
      }
    }),
  }
}

export function formatStatus({
  lastSequence,
  hosts,
  wans,
  silent,
  views,
  partitions,
  streams,
}: ClusterStatus): string[] {
  const rows = [
    ['partition', 'owner', 'lease', 'alive', 'lag', 'checkpoint', 'snapshot', 'awake', 'waiting'],
    ...partitions.map((row) => [
      row.partition,
      row.owner || '(nobody)',
      row.leaseSequence,
      row.isAlive ? 'yes' : 'NO',
      row.lag ?? '-',
      row.savedSequence ?? '-',
      row.snapshotSequence || '-',
      row.awake ?? '-',
      row.waiting ?? '-',
    ]),
  ]
  return [
    `last tick ${lastSequence}; ${hosts.length} hosts and ${wans.length} wan processes alive`,
    ...hosts.map(
      ({ hostId, roles, partitions: owned }) =>
        `host ${hostId}  ${roles.join()}  ${owned.length} partitions`,
    ),
    ...wans.map(
      ({ wanId, roles, exchanges, connections }) =>
        `wan ${wanId}  ${roles.join()}  ${connections} connections to devices, ${exchanges} exchanges for other processes`,
    ),
    ...silent.map((id) => `${id}  SILENT`),
    ...views.map(
      ({ processId, lag, atMs }) =>
        `views ${processId}  lag ${lag}  as of ${new Date(atMs).toISOString()}`,
    ),
    ...streams.map(replicasLine),
    ...hosts.flatMap(comparisonLines),
    ...streams.flatMap((stream) => troubleOf(stream)).map((text) => `REPLICAS  ${text}`),
    '',
    ...tableOf(rows),
  ]
}

const replicasLine = ({ stream, wanted, leader, replicas, failure }: StreamReplicas): string => {
  if (failure !== undefined) return `stream ${stream}  ${failure}`
  const current = replicas.filter(({ state }) => state === 'current').length
  const each = replicas.map(({ server, state, lagMessages }) => {
    const role = server === leader ? 'leader' : state
    return `${server || '(no server)'} ${role}${lagMessages > 0 ? ` lag ${lagMessages}` : ''}`
  })
  return `stream ${stream}  ${current} of ${wanted} replicas current  ${each.join(', ')}`
}

function comparisonLines({ comparison }: HostStatus): string[] {
  if (comparison === undefined) return []
  const { atMs, compared, notCompared, throughSequence, faults } = comparison
  const missed = notCompared.length === 0 ? '' : `, not ${notCompared.join(', ')}`
  const found = faults.length === 0 ? 'no difference' : `${faults.length} FAULTS`
  return [
    `ledger of ${compared.join(', ')}${missed} compared through ${throughSequence}  ${found}  as of ${new Date(atMs).toISOString()}`,
    ...faults.map((fault) => `LEDGER_REPLICA_DAMAGED  ${fault}`),
  ]
}

/** True when something has to be repaired: a partition without a live owner, or a replica. */
export function isInTrouble({ partitions, streams, hosts }: ClusterStatus): boolean {
  return (
    partitions.some(({ isAlive }) => !isAlive) ||
    streams.some((stream) => troubleOf(stream, () => false).length > 0) ||
    hosts.some(({ comparison }) => (comparison?.faults.length ?? 0) > 0)
  )
}

/** Listens for as long as it takes every wan process to say that it is alive. */
export async function heardWanIds(bus: Bus, clock: Clock): Promise<string[]> {
  const heard = new WanProcesses({ bus, clock })
  await heard.start()
  await pause(clock, limits.aliveIntervalMs * 1.25)
  await heard.close()
  return heard.names
}
