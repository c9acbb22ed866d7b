/**
 * What was trimmed from the ledger, for bringing a partition up: where each chain stood at the
 * last trimming, and the snapshots that hold what came before.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import type { ActorId } from '../../../core/base/actor-id.ts'
import type { Ledger, LedgerMessage } from '../../../core/ports/ledger.ts'
import {
  decodeSnapshotRecord,
  decodeTrimRecord,
  snapshotSubject,
  trimSubject,
  untrimmed,
  type SnapshotRecord,
  type SnapshotStore,
  type TrimRecord,
} from '../../../core/ports/snapshot.ts'
import type { Checkpoint, PartitionStore, StoreRecord } from '../../../core/ports/store.ts'
import { genesis } from '../partition/chain.ts'
import { SnapshotReader } from './snapshot-codec.ts'

/** Devices written to a store in one go. */
const batchDevicesMax = 5_000

/** @throws BrokerError SNAPSHOT_DAMAGED, BROKER_LEDGER_UNAVAILABLE */
export async function trimRecordOf(
  ledger: Pick<Ledger, 'lastOn'>,
): Promise<TrimRecord & { sequence: number }> {
  const found = await ledger.lastOn(trimSubject)
  if (found === undefined) return { ...untrimmed, sequence: 0 }
  return { ...decodeTrimRecord(found.data), sequence: found.sequence }
}

/**
 * `recordSequence` is where it stands in the ledger. @throws BrokerError SNAPSHOT_DAMAGED,
 * BROKER_LEDGER_UNAVAILABLE
 */
export async function snapshotRecordOf(
  ledger: Ledger,
  partition: number,
): Promise<(SnapshotRecord & { recordSequence: number }) | undefined> {
  const found = await ledger.lastOn(snapshotSubject(partition))
  return found && { ...decodeSnapshotRecord(found.data), recordSequence: found.sequence }
}

export class Past {
  private readonly ledger: Ledger
  private readonly snapshots: SnapshotStore | undefined
  private trimmed: TrimRecord = untrimmed

  /** Without `snapshots` a partition whose beginning is forgotten cannot be brought up. */
  constructor(ledger: Ledger, snapshots: SnapshotStore | undefined) {
    this.ledger = ledger
    this.snapshots = snapshots
  }

  /**
   * Reads what has been forgotten by now. @throws BrokerError SNAPSHOT_DAMAGED,
   * BROKER_LEDGER_UNAVAILABLE
   */
  async look(): Promise<void> {
    this.trimmed = await trimRecordOf(this.ledger)
  }

  /**
   * Where the partition's chain stood at the last trimming, as of the last look: a store that is
   * behind lacks something.
   */
  headOf(partition: number): Checkpoint {
    return this.trimmed.heads.get(partition) ?? genesis
  }

  /** Every tick up to this sequence may be gone, as of the last look. */
  get through(): number {
    return this.trimmed.through
  }

  tickAt(sequence: number): Promise<LedgerMessage | undefined> {
    return this.ledger.at(sequence)
  }

  snapshotOf(partition: number): Promise<SnapshotRecord | undefined> {
    return snapshotRecordOf(this.ledger, partition)
  }

  /**
   * Gives `onRecords` every device of the snapshot, many at a time.
   * @throws BrokerError SNAPSHOT_DAMAGED, BROKER_LEDGER_UNAVAILABLE
   */
  async read(
    record: SnapshotRecord,
    onRecords: (records: readonly StoreRecord[]) => Promise<void>,
  ): Promise<void> {
    if (this.snapshots === undefined)
      throw new BrokerError('SNAPSHOT_DAMAGED', 'no store of snapshots was given')
    const reader = new SnapshotReader()
    let devices = 0
    await this.snapshots.get(record.name, async (chunk) => {
      const records = reader.push(chunk)
      devices += records.length
      await onRecords(records)
    })
    reader.end()
    if (devices !== record.devices)
      throw new BrokerError(
        'SNAPSHOT_DAMAGED',
        `${record.name}: ${devices} devices, ${record.devices} recorded`,
      )
  }

  /**
   * Replaces what is in `store` by the snapshot. Broken off, it has no checkpoint and is cleared at
   * its next opening.
   * @throws BrokerError SNAPSHOT_DAMAGED, BROKER_LEDGER_UNAVAILABLE, STORE_DAMAGED
   */
  async restore(record: SnapshotRecord, store: PartitionStore): Promise<void> {
    let isCleared = false
    let states = new Map<ActorId, Uint8Array>()
    let wakes = new Map<ActorId, number>()
    const flush = async (checkpoint?: Checkpoint): Promise<void> => {
      if (!isCleared) await store.clear()
      isCleared = true
      await store.save({ states, wakes, ...(checkpoint && { checkpoint }) })
      states = new Map()
      wakes = new Map()
    }
    await this.read(record, async (records) => {
      for (const { actor, state, wakeAtMs } of records) {
        states.set(actor, state)
        if (wakeAtMs > 0) wakes.set(actor, wakeAtMs)
      }
      if (states.size >= batchDevicesMax) await flush()
    })
    const { sequence, frameSequence, frameNumber, hash } = record
    await flush({ sequence, frameSequence, frameNumber, hash })
  }
}
