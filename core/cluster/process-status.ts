/**
 * What a host or a wan process says about itself when it is asked on the bus (`status.<its id>`),
 * for `busbar cluster status`. JSON: asked by people.
 */
import { limits } from '../base/limits.ts'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import type { LetterPlace } from '../base/letter-place.ts'
import { isHostId } from './lease-record.ts'

/** Where a host or a wan process answers. */
export const statusSubject = (id: string): string => `status.${id}`

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
  /** The last letter that was read; missing from hosts of a version without letters. */
  lettersRead?: LetterPlace
  keys: KeyCounts
}
/** Of devices with keys, as they were when the partition was last gone through. */
export type KeyCounts = {
  /**
   * The name of the key-encryption key that was the first then, `none` without any; empty while it
   * has not been gone through yet.
   */
  under: string
  keyed: number
  /** Sealed under an older key-encryption key than the first. */
  older: number
  /** Of those, under one that the host does not have. */
  unreadable: number
  /** Whose new keys are on their way, and not proved yet. */
  replacing: number
  /** Whose counter is near its end. */
  nearEnd: number
}
/**
 * Letters that partitions have not decided: the most that one of them has, and the age of the
 * oldest of all, ms.
 */
export type LettersBacklog = { unreadMax: number; oldestMs: number }
export type HostStatus = {
  hostId: string
  roles: string[]
  partitions: PartitionStatus[]
  /** Missing from hosts of a version that does not count them. */
  letters?: LettersBacklog
  /** Of the host that compares the replicas of the ledger, once it has. */
  comparison?: ComparisonStatus
}
/** The last whole comparison of the ledger's replicas. */
export type ComparisonStatus = {
  /** When it ended; UTC ms. */
  atMs: number
  compared: string[]
  notCompared: string[]
  throughSequence: number
  /** In words. */
  faults: string[]
}
export type WanStatus = {
  wanId: string
  roles: string[]
  /** Under way for hosts of other processes. */
  exchanges: number
  /** To devices, open ones. */
  connections: number
}

export const noKeyCounts: KeyCounts = {
  under: '',
  keyed: 0,
  older: 0,
  unreadable: 0,
  replacing: 0,
  nearEnd: 0,
}

export const keyCountFields = ['keyed', 'older', 'unreadable', 'replacing', 'nearEnd'] as const

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
  const { hostId, roles, partitions, letters, comparison } = objectIn(view)
  if (!isName(hostId) || !isNames(roles) || !Array.isArray(partitions))
    throw new BrokerError(
      'FRAME_MALFORMED',
      'the status of a host without name, roles or partitions',
    )
  return {
    hostId,
    roles,
    partitions: partitions.map(partitionIn),
    ...(letters !== undefined && { letters: backlogIn(letters) }),
    ...(comparison !== undefined && { comparison: comparisonIn(comparison) }),
  }
}

export const encodeWanStatus = (status: WanStatus): Buffer =>
  Buffer.from(JSON.stringify(status), 'utf8')

/** @throws BrokerError FRAME_MALFORMED when it is not a wan process's status */
export function decodeWanStatus(view: Uint8Array): WanStatus {
  const { wanId, roles, exchanges, connections } = objectIn(view)
  if (!isName(wanId) || !isNames(roles) || !isCount(exchanges) || !isCount(connections))
    throw new BrokerError(
      'FRAME_MALFORMED',
      'the status of a wan process without name, roles or counts',
    )
  return { wanId, roles, exchanges, connections }
}

/** Empty when it is another message. */
function objectIn(view: Uint8Array): Record<string, unknown> {
  try {
    if (view.length <= limits.processStatusBytesMax) {
      const parsed: unknown = JSON.parse(asBuffer(view).toString('utf8'))
      if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
    }
  } catch {
    // What is asked of it is missing then.
  }
  return {}
}

const isName = (value: unknown): value is string => typeof value === 'string' && isHostId(value)
const isNames = (value: unknown): value is string[] => Array.isArray(value) && value.every(isName)
const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string')

function comparisonIn(json: unknown): ComparisonStatus {
  const found = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  const { atMs, compared, notCompared, throughSequence, faults } = found
  const isWhole = isCount(atMs) && isCount(throughSequence)
  if (!isWhole || !isTexts(compared) || !isTexts(notCompared) || !isTexts(faults))
    throw new BrokerError('FRAME_MALFORMED', 'the comparison of replicas in the status of a host')
  return { atMs, compared, notCompared, throughSequence, faults }
}

function backlogIn(json: unknown): LettersBacklog {
  const found = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  const { unreadMax, oldestMs } = found
  if (!isCount(unreadMax) || !isCount(oldestMs))
    throw new BrokerError('FRAME_MALFORMED', 'the letters in the status of a host')
  return { unreadMax, oldestMs }
}

function partitionIn(json: unknown): PartitionStatus {
  const found = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  const status: Partial<Omit<PartitionStatus, 'keys'>> = {}
  for (const field of partitionFields) {
    const value = found[field]
    if (!isCount(value))
      throw new BrokerError('FRAME_MALFORMED', `the status of a partition: ${field}`)
    status[field] = value
  }
  const lettersRead = placeIn(found['lettersRead'])
  return {
    ...(status as Omit<PartitionStatus, 'keys'>),
    ...(lettersRead && { lettersRead }),
    keys: keyCountsIn(found['keys']),
  }
}

function placeIn(json: unknown): LetterPlace | undefined {
  if (json === undefined) return undefined
  const { sequence, index } = (typeof json === 'object' && json !== null ? json : {}) as Record<
    string,
    unknown
  >
  if (!isCount(sequence) || !(index === -1 || isCount(index)))
    throw new BrokerError('FRAME_MALFORMED', 'the status of a partition: lettersRead')
  return { sequence, index }
}

/** Not gone through in the status of a host from before there were any. */
function keyCountsIn(json: unknown): KeyCounts {
  const found = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  const counts = { ...noKeyCounts }
  const under = found['under'] ?? ''
  if (typeof under !== 'string' || !/^\w{0,64}$/.test(under))
    throw new BrokerError('FRAME_MALFORMED', 'counts of keys: under')
  counts.under = under
  for (const field of keyCountFields) {
    const value = found[field] ?? 0
    if (!isCount(value)) throw new BrokerError('FRAME_MALFORMED', `counts of keys: ${field}`)
    counts[field] = value
  }
  return counts
}
