/** What a host says about itself when it is asked on the bus (`status.<host id>`), for `busbar cluster status`. JSON: asked by people. */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { isHostId } from './lease.ts'

/** Where a host answers. */
export const statusSubject = (hostId: string): string => `status.${hostId}`

/** Sequences are the ledger's. */
export type PartitionStatus = {
  number: number
  /** The last tick that its memory is folded up to. */
  sequence: number
  /** The same of its local store; what lies behind is read again after a restart. */
  savedSequence: number
  /** The same of its last snapshot; 0 for none. */
  snapshotSequence: number
  /** Actors in memory. */
  awake: number
  /** Requests in the mailbox. */
  waiting: number
}
export type HostStatus = { hostId: string; roles: string[]; partitions: PartitionStatus[] }

const statusBytesMax = 512 * 1024

export const encodeHostStatus = (status: HostStatus): Buffer =>
  Buffer.from(JSON.stringify(status), 'utf8')

const partitionFields = [
  'number',
  'sequence',
  'savedSequence',
  'snapshotSequence',
  'awake',
  'waiting',
] as const

/** @throws BrokerError FRAME_MALFORMED when it is not a host's status */
export function decodeHostStatus(view: Uint8Array): HostStatus {
  let parsed: unknown
  try {
    if (view.length <= statusBytesMax) parsed = JSON.parse(asBuffer(view).toString('utf8'))
  } catch {
    // Told below.
  }
  const { hostId, roles, partitions } = (
    typeof parsed === 'object' && parsed !== null ? parsed : {}
  ) as Record<string, unknown>
  if (
    typeof hostId !== 'string' ||
    !isHostId(hostId) ||
    !Array.isArray(roles) ||
    !roles.every((role) => typeof role === 'string' && isHostId(role)) ||
    !Array.isArray(partitions)
  )
    throw new BrokerError(
      'FRAME_MALFORMED',
      'the status of a host without name, roles or partitions',
    )
  return { hostId, roles: roles as string[], partitions: partitions.map(partitionIn) }
}

function partitionIn(json: unknown): PartitionStatus {
  const found = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  const status: Partial<PartitionStatus> = {}
  for (const field of partitionFields) {
    const value = found[field]
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw new BrokerError('FRAME_MALFORMED', `the status of a partition: ${field}`)
    status[field] = value
  }
  return status as PartitionStatus
}
