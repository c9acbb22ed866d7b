/** `busbar cluster status`: who owns which partition, how far each host is, and who has fallen silent. */
import { limits } from '../../core/base/limits.ts'
import type { Bus } from '../../core/ports/bus.ts'
import { decodeHostStatus, statusSubject, type HostStatus } from '../../core/ports/host-status.ts'
import { decodeLease, leaseSubject } from '../../core/ports/lease.ts'
import type { Ledger } from '../../core/ports/ledger.ts'

export type PartitionRow = {
  partition: number
  owner: string
  leaseSequence: number
  isAlive: boolean
  /** Ticks between the owner's memory and the end of the ledger that may hold facts of it; undefined when the owner does not answer. */
  lag: number | undefined
  savedSequence: number | undefined
  snapshotSequence: number | undefined
  awake: number | undefined
  waiting: number | undefined
}
export type ClusterStatus = {
  lastSequence: number
  hosts: HostStatus[]
  silent: string[]
  partitions: PartitionRow[]
}

/** Asks every owner that the leases name. */
export async function clusterStatus(
  ledger: Ledger,
  bus: Bus,
  partitionCount: number,
): Promise<ClusterStatus> {
  const leases = await Promise.all(
    Array.from({ length: partitionCount }, (_, number) => ledger.lastOn(leaseSubject(number))),
  )
  const owners = leases.map((lease) => (lease === undefined ? '' : decodeLease(lease.data).hostId))
  const names = [...new Set(owners)].filter((name) => name !== '').sort()
  const answers = await Promise.all(
    names.map((name) =>
      bus
        .request(statusSubject(name), Buffer.alloc(0), limits.aliveIntervalMs)
        .then(decodeHostStatus, () => undefined),
    ),
  )
  const hosts = answers.filter((answer) => answer !== undefined)
  const lastSequence = (await ledger.lastOn('log.*'))?.sequence ?? 0
  return {
    lastSequence,
    hosts,
    silent: names.filter((_, index) => answers[index] === undefined),
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

export function formatStatus({ lastSequence, hosts, silent, partitions }: ClusterStatus): string[] {
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
  ].map((row) => row.map(String))
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return [
    `last tick ${lastSequence}; ${hosts.length} hosts alive`,
    ...hosts.map(
      ({ hostId, roles, partitions: owned }) =>
        `host ${hostId}  ${roles.join()}  ${owned.length} partitions`,
    ),
    ...silent.map((hostId) => `host ${hostId}  SILENT`),
    '',
    ...rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    ),
  ]
}
