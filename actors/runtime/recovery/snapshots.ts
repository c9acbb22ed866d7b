/**
 * Snapshots of the partitions that a host serves: made beside its work from what the stores hold,
 * recorded on the ledger each behind the one before. So the ledger may forget, and another host
 * need not read it from its beginning.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { letterboxId, letterboxKind } from '../../kind/letterbox.ts'
import { lettersSubject } from '../../../core/cluster/letters-subject.ts'
import { noLetter } from '../../../core/base/letter-place.ts'
import { limits } from '../../../core/base/limits.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import type { CursorStore, Ledger } from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'
import {
  encodeSnapshotRecord,
  snapshotSubject,
  type SnapshotRecord,
  type SnapshotStore,
} from '../../../core/ports/snapshot.ts'
import type { StoreCopy, StoreRecord } from '../../../core/ports/store.ts'
import { provenTime } from '../host/clock-lag.ts'
import type { HostMetrics } from '../host/host-metrics.ts'
import type { LedgerRoom } from '../host/ledger-room.ts'
import type { Partition } from '../partition/partition.ts'
import { snapshotRecordOf, trimRecordOf } from './trimmed-history.ts'
import { snapshotChunks } from './snapshot-codec.ts'
import { forgetThrough, trim } from './trimming.ts'
import type { UnreadLetter } from './unread-letters.ts'

export type SnapshotPorts = {
  hostId: string
  partitionCount: number
  ledger: Ledger
  clock: Clock
  log: Log
  /** Left out, none are made and nothing is forgotten. */
  snapshots?: SnapshotStore
  /** Where parties have got to; left out, nothing is forgotten. */
  cursors?: CursorStore
  /**
   * A delivery that nobody acknowledged for so long may be forgotten when the ledger is short of
   * room.
   */
  deliveryKeepMs?: number
  /** `limits.snapshotTicks` when left out. */
  snapshotTicks?: number
}

/** The partitions that a host serves, as far as snapshots concern them. */
export type SnapshotPartitions = {
  get(number: number): Partition | undefined
  values(): Iterable<Partition>
  /** Seals the host's ticks once more when the ledger may forget the last of them. */
  renewForgotten(through: number): void
}

export class Snapshots {
  private readonly ports: SnapshotPorts
  private readonly metrics: HostMetrics
  private readonly partitions: SnapshotPartitions
  private looking: Promise<void> | undefined
  private lookedAt = 0
  private forgottenThrough = 0
  private isClosing = false
  /** The unread letter that keeps the ledger from being trimmed, as of the last trimming. */
  held: UnreadLetter | undefined
  private readonly room: LedgerRoom
  private readonly provenNow: () => number

  constructor(
    ports: SnapshotPorts,
    metrics: HostMetrics,
    partitions: SnapshotPartitions,
    room: LedgerRoom,
  ) {
    this.ports = ports
    this.room = room
    this.metrics = metrics
    this.partitions = partitions
    this.provenNow = provenTime(ports.clock)
  }

  /**
   * To be called now and then, with the clock's elapsed time: makes what is due, and lets the
   * ledger forget when it is short of room.
   */
  look(elapsedMs: number): void {
    const { snapshots, log } = this.ports
    if (snapshots === undefined || this.isClosing || this.looking !== undefined) return
    if (elapsedMs - this.lookedAt < limits.snapshotLookMs) return
    this.lookedAt = elapsedMs
    this.looking = this.makeAndTrim(snapshots)
      .catch((fault: unknown) => log.warn({ fault: String(fault) }, 'no snapshots for the moment'))
      .then(() => {
        this.looking = undefined
      })
  }

  private async makeAndTrim(snapshots: SnapshotStore): Promise<void> {
    const { ledger, cursors, snapshotTicks = limits.snapshotTicks } = this.ports
    const { through } = await trimRecordOf(ledger)
    this.partitions.renewForgotten(through)
    const isTrimming = cursors !== undefined && this.partitions.get(0) !== undefined
    if (isTrimming && through > this.forgottenThrough) {
      await forgetThrough(ledger, through)
      this.forgottenThrough = through
    }
    const { bytes, bytesMax } = await ledger.usage()
    this.room.look({ bytes, bytesMax })
    if (!isTrimming) this.held = undefined
    const isShort = bytes * 100 > bytesMax * limits.ledgerTrimPercent
    for (const partition of this.partitions.values()) {
      if (this.isClosing) return
      const record = await snapshotRecordOf(ledger, partition.number)
      const from = record?.sequence ?? 0
      partition.snapshotSequence = from
      const to = partition.storedSequence
      // Half of what is there can be forgotten then.
      const isNeeded = isShort && to > from && from < (through + partition.checkpoint.sequence) / 2
      if (to - from >= snapshotTicks || isNeeded) await this.make(snapshots, partition, record)
    }
    if (isShort && isTrimming)
      await trim(
        {
          ...this.ports,
          metrics: this.metrics,
          cursors,
          nowMs: this.provenNow,
          onHeld: (letter) => {
            this.held = letter
          },
        },
        bytes - (bytesMax * limits.ledgerTrimPercent) / 200,
      )
  }

  private async make(
    snapshots: SnapshotStore,
    partition: Partition,
    before: (SnapshotRecord & { recordSequence: number }) | undefined,
  ): Promise<void> {
    const { hostId, ledger, clock, log } = this.ports
    const { number } = partition
    const copy = partition.copy()
    if (copy === undefined) return
    try {
      const { checkpoint } = copy
      const takenAtMs = clock.now()
      const startedAt = clock.elapsedMs()
      // Nothing has happened since but time.
      const isSame = before !== undefined && before.frameNumber === checkpoint.frameNumber
      const name = isSame ? before.name : snapshotName(number, checkpoint.sequence, hostId)
      let devices = before?.devices ?? 0
      let lettersRead = before?.lettersRead
      if (!isSame) {
        devices = 0
        lettersRead = noLetter
        await snapshots.put(
          name,
          this.chunksOf(copy, partition, ({ actor, state }) => {
            devices++
            if (actor === letterboxId) lettersRead = letterboxKind.unpackState(state).place
          }),
        )
      }
      const subject = snapshotSubject(number)
      const outcome = await ledger.commit([
        {
          subject,
          data: encodeSnapshotRecord({
            name,
            devices,
            takenAtMs,
            ...(lettersRead && { lettersRead }),
            ...checkpoint,
          }),
          // Neither a stale owner nor an attempt of our own that comes late puts an older one,
          // which is removed, in place of a newer one.
          expect: { subject, sequence: before?.recordSequence ?? 0 },
        },
      ])
      if (outcome.refused !== undefined) {
        log.warn({ partition: number, ...outcome }, 'a snapshot was not recorded')
        // What was put stays: an earlier attempt, of unknown fate then, may have recorded it under
        // this name. The next snapshot clears up.
        return
      }
      partition.snapshotSequence = checkpoint.sequence
      if (isSame) return
      const tookMs = clock.elapsedMs() - startedAt
      this.metrics.snapshots.add()
      this.metrics.snapshotSeconds.observe(tookMs / 1000)
      log.info(
        { partition: number, devices, sequence: checkpoint.sequence, tookMs },
        'a snapshot was made',
      )
      await ledger.forget(subject, outcome.firstSequence)
      await this.forgetBehind(snapshots, number, checkpoint.sequence, lettersRead?.sequence ?? 0)
    } finally {
      copy.close()
    }
  }

  /** Forgets what the snapshot of `sequence`, which is recorded, makes useless. */
  private async forgetBehind(
    snapshots: SnapshotStore,
    partition: number,
    sequence: number,
    lettersRead: number,
  ): Promise<void> {
    // Every later owner has decided the letters before that place.
    if (lettersRead > 0) await this.ports.ledger.forget(lettersSubject(partition), lettersRead)
    // Also those that a host recorded no more before it died. Never later ones: another host may
    // have taken the partition and recorded its own.
    for (const other of await snapshots.names())
      if (isOlder(other, partition, sequence)) await snapshots.remove(other)
  }

  private async *chunksOf(
    copy: StoreCopy,
    partition: Partition,
    onRecord: (record: StoreRecord) => void,
  ): AsyncGenerator<Buffer> {
    try {
      for (const chunk of snapshotChunks(counted(copy.records(), onRecord))) {
        if (this.isClosing || partition.isClosed)
          throw new BrokerError('BROKER_DRAINING', 'the partition is given up')
        yield chunk
      }
    } catch (fault) {
      // Found by reading all of it: the host rebuilds the store between two ticks.
      if (fault instanceof BrokerError && fault.code === 'STORE_DAMAGED')
        partition.isStoreDamaged = true
      throw fault
    }
  }

  async close(): Promise<void> {
    this.isClosing = true
    await this.looking
  }
}

const snapshotName = (partition: number, sequence: number, hostId: string): string =>
  `${partition}.${sequence}.${hostId}`

/** True when `name` is that of a snapshot of `partition` from before `sequence`. */
function isOlder(name: string, partition: number, sequence: number): boolean {
  const [itsPartition, itsSequence] = name.split('.')
  return Number(itsPartition) === partition && Number(itsSequence) < sequence
}

function* counted(
  records: Iterable<StoreRecord>,
  onRecord: (record: StoreRecord) => void,
): Generator<StoreRecord> {
  for (const record of records) {
    onRecord(record)
    yield record
  }
}
