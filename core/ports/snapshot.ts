/**
 * What makes it possible to forget the oldest ticks: snapshots of partitions, and the record of
 * what was forgotten. The records stand in the ledger (`meta.snapshot-<partition>`,
 * `meta.trimmed`), fenced like everything in it; a snapshot's octets stand beside it in a
 * SnapshotStore. Twins: core/ledger/snapshots (JetStream object store) and
 * core/ports/sim/snapshots. Records are JSON: people read them in an emergency, and they are few.
 */
import { limits } from '../base/limits.ts'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import type { LetterPlace } from '../base/letter-place.ts'
import type { Checkpoint } from './store.ts'

export interface SnapshotStore {
  /**
   * Keeps what `chunks` give under a name that is new; durable when it settles. @throws BrokerError
   * BROKER_LEDGER_UNAVAILABLE, with nothing kept
   */
  put(name: string, chunks: AsyncIterable<Uint8Array>): Promise<void>
  /**
   * Gives `onChunk` the octets in order, in chunks of any size, borrowed until its promise settles.
   * @throws BrokerError SNAPSHOT_DAMAGED when there is none of this name or it is not whole, at the
   * latest at its end; BROKER_LEDGER_UNAVAILABLE
   */
  get(name: string, onChunk: (chunk: Uint8Array) => Promise<void>): Promise<void>
  /** Nothing happens when there is none. */
  remove(name: string): Promise<void>
  names(): Promise<string[]>
}

/**
 * A snapshot of one partition: its object's name, and the checkpoint that its states are folded up
 * to. `lettersRead` is the last letter that was decided by then; missing in records of a version
 * without letters.
 */
export type SnapshotRecord = {
  name: string
  devices: number
  takenAtMs: number
  lettersRead?: LetterPlace
} & Checkpoint

/**
 * Every tick up to `through` may be gone; where each partition's chain stood there. A partition
 * that is not in `heads` stood at its genesis.
 */
export type TrimRecord = { through: number; heads: ReadonlyMap<number, Checkpoint> }

export const trimSubject = 'meta.trimmed'
export const snapshotSubject = (partition: number): string => `meta.snapshot-${partition}`
export const untrimmed: TrimRecord = { through: 0, heads: new Map() }

type CheckpointJson = { sequence: number; frameSequence: number; frameNumber: number; hash: string }

const jsonOf = ({ sequence, frameSequence, frameNumber, hash }: Checkpoint): CheckpointJson => ({
  sequence,
  frameSequence,
  frameNumber,
  hash: Buffer.from(hash).toString('hex'),
})

export function encodeSnapshotRecord(record: SnapshotRecord): Buffer {
  const { name, devices, takenAtMs, lettersRead } = record
  return Buffer.from(
    JSON.stringify({ version: 1, name, devices, takenAtMs, lettersRead, ...jsonOf(record) }),
    'utf8',
  )
}

/** @throws BrokerError SNAPSHOT_DAMAGED when it is not a record of a snapshot */
export function decodeSnapshotRecord(view: Uint8Array): SnapshotRecord {
  const json = objectIn(view)
  const { name, devices, takenAtMs } = json
  if (typeof name !== 'string' || name === '' || !isCount(devices) || !isCount(takenAtMs))
    throw new BrokerError('SNAPSHOT_DAMAGED', 'a record without name, devices or time')
  const lettersRead = placeIn(json['lettersRead'])
  return {
    name,
    devices,
    takenAtMs,
    ...(lettersRead && { lettersRead }),
    ...checkpointIn(json),
  }
}

export function encodeTrimRecord({ through, heads }: TrimRecord): Buffer {
  const list = Array.from(heads, ([partition, head]) => ({ partition, ...jsonOf(head) }))
  return Buffer.from(JSON.stringify({ version: 1, through, heads: list }), 'utf8')
}

/** @throws BrokerError SNAPSHOT_DAMAGED when it is not a record of what was forgotten */
export function decodeTrimRecord(view: Uint8Array): TrimRecord {
  const { through, heads } = objectIn(view)
  if (!isCount(through) || !Array.isArray(heads))
    throw new BrokerError('SNAPSHOT_DAMAGED', 'a record of trimming without sequence or heads')
  return {
    through,
    heads: new Map(
      heads.map((one: unknown) => {
        const json = (typeof one === 'object' && one !== null ? one : {}) as Record<string, unknown>
        if (!isCount(json['partition']))
          throw new BrokerError('SNAPSHOT_DAMAGED', 'a record of trimming: a partition')
        return [json['partition'], checkpointIn(json)]
      }),
    ),
  }
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** The index before the first letter is -1. */
function placeIn(json: unknown): LetterPlace | undefined {
  if (json === undefined) return undefined
  const found = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  const { sequence, index } = found
  if (!isCount(sequence) || !(index === -1 || isCount(index)))
    throw new BrokerError('SNAPSHOT_DAMAGED', 'a record of a snapshot: the letters that were read')
  return { sequence, index }
}

function checkpointIn(json: Record<string, unknown>): Checkpoint {
  const { sequence, frameSequence, frameNumber, hash } = json
  if (
    !isCount(sequence) ||
    !isCount(frameSequence) ||
    !isCount(frameNumber) ||
    typeof hash !== 'string' ||
    !/^[0-9a-f]{64}$/.test(hash)
  )
    throw new BrokerError('SNAPSHOT_DAMAGED', 'a record without a checkpoint')
  return { sequence, frameSequence, frameNumber, hash: Buffer.from(hash, 'hex') }
}

function objectIn(view: Uint8Array): Record<string, unknown> {
  try {
    if (view.length <= limits.snapshotRecordBytesMax) {
      const parsed: unknown = JSON.parse(asBuffer(view).toString('utf8'))
      if (typeof parsed === 'object' && parsed !== null) {
        const json = parsed as Record<string, unknown>
        if (json['version'] === 1) return json
      }
    }
  } catch {
    // Told below.
  }
  throw new BrokerError('SNAPSHOT_DAMAGED', 'a record that is not JSON of a known version')
}
