/**
 * Brings partitions up to what is on disk: each from its store or its snapshot, all of them by one
 * reading of the ticks behind. A store that is found damaged on the way is cleared, and its
 * partition read once more. A partition whose chain breaks is read some times more: in a cluster
 * each reading may be of another server's replica of the ledger, and one of them may be whole.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { readTickMessage } from '../../../core/envelope/tick-message.ts'
import { isLaterVersion } from '../../../core/envelope/version.ts'
import { tickSubjects, type Ledger, type LedgerMessage } from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'
import type { SnapshotStore } from '../../../core/ports/snapshot.ts'
import { isStoreDamage } from './opening.ts'
import type { Partition } from '../partition/partition.ts'
import { Past } from './trimmed-history.ts'

export type LoaderPorts = { ledger: Ledger; log: Log; snapshots?: SnapshotStore }

/** Called with each partition that is up to date. */
export type OnLoaded = (partition: Partition) => void

export class Loader {
  private readonly ledger: Ledger
  private readonly log: Log
  private readonly past: Past
  private readonly isDamage: (partition: number, fault: unknown) => boolean
  /** Their stores have been cleared once in this attempt to bring them up. */
  private readonly cleared = new Set<Partition>()
  /** How often their chain has broken in this attempt. */
  private readonly broken = new Map<Partition, number>()

  /** `isDamage` says of a fault whether the partition is given up for it. */
  constructor(
    { ledger, log, snapshots }: LoaderPorts,
    isDamage: (partition: number, fault: unknown) => boolean,
  ) {
    this.ledger = ledger
    this.log = log
    this.past = new Past(ledger, snapshots)
    this.isDamage = isDamage
  }

  /**
   * Reads to the end, and to the tick `through` at least. Those that are given up are closed.
   * Rejects when it is to be tried again.
   */
  async load(partitions: readonly Partition[], onLoaded: OnLoaded, through: number): Promise<void> {
    let open = partitions
    try {
      while (open.length > 0) open = await this.loadOnce(open, onLoaded, through)
    } finally {
      // Loads of other partitions may be under way.
      for (const partition of partitions) this.broken.delete(partition)
    }
  }

  /** @returns those whose store was found damaged */
  private async loadOnce(
    partitions: readonly Partition[],
    onLoaded: OnLoaded,
    through: number,
  ): Promise<Partition[]> {
    const { ledger, past } = this
    await past.look()
    const last = Math.max((await ledger.lastOn(tickSubjects))?.sequence ?? 0, through)
    const loading = new Map<number, Partition>()
    const again: Partition[] = []
    const fail = async (partition: Partition, fault: unknown): Promise<void> => {
      if (fault instanceof BrokerError && fault.code === 'LEDGER_CHAIN_BROKEN') {
        await past.look()
        this.checkForgotten(partition)
      }
      loading.delete(partition.number)
      if (isStoreDamage(fault) && !this.cleared.has(partition)) {
        this.cleared.add(partition)
        again.push(partition)
      } else if (this.mayReadAgain(partition, fault)) {
        again.push(partition)
      } else if (this.isDamage(partition.number, fault)) await partition.close()
      else throw fault
    }
    for (const partition of partitions) {
      loading.set(partition.number, partition)
      try {
        await partition.open(last, past)
      } catch (fault) {
        await fail(partition, fault)
      }
    }
    if (loading.size > 0) {
      const checkpoints = Array.from(loading.values(), ({ checkpoint }) => checkpoint.sequence)
      const onTick = (tick: LedgerMessage): Promise<void> => this.onTick(tick, loading, fail)
      await ledger.read(tickSubjects, Math.min(...checkpoints) + 1, onTick, last)
      await past.look()
    }
    for (const partition of loading.values()) {
      this.checkForgotten(partition)
      try {
        await partition.ready(last)
        this.cleared.delete(partition)
        onLoaded(partition)
      } catch (fault) {
        await fail(partition, fault)
      }
    }
    return again
  }

  private mayReadAgain(partition: Partition, fault: unknown): boolean {
    if (!(fault instanceof BrokerError && fault.code === 'LEDGER_CHAIN_BROKEN')) return false
    const count = (this.broken.get(partition) ?? 0) + 1
    this.broken.set(partition, count)
    if (count >= ((this.ledger.replicas ?? 1) > 1 ? limits.ledgerReadsMax : 1)) return false
    this.log.warn({ detail: fault.detail, count }, 'a hash chain broke: the ledger is read again')
    return true
  }

  private async onTick(
    { data, sequence }: LedgerMessage,
    loading: ReadonlyMap<number, Partition>,
    fail: (partition: Partition, fault: unknown) => Promise<void>,
  ): Promise<void> {
    const frames: Array<[Partition, Buffer]> = []
    try {
      readTickMessage(
        data,
        (number, frame) => {
          const partition = loading.get(number)
          if (partition !== undefined) frames.push([partition, frame])
        },
        undefined,
      )
    } catch (fault) {
      if (isLaterVersion(fault)) throw fault
      // Whose frames were in it is shown by the chains, which do not hold across it.
      this.log.error({ sequence, fault: String(fault) }, 'a tick in the ledger is malformed')
    }
    for (const [partition, frame] of frames) {
      try {
        await partition.replay(frame, sequence)
      } catch (fault) {
        await fail(partition, fault)
      }
    }
  }

  /**
   * What is forgotten while it is read looks like a chain that is broken, or like nothing at all.
   */
  private checkForgotten(partition: Partition): void {
    if (partition.checkpoint.frameNumber < this.past.headOf(partition.number).frameNumber)
      throw new BrokerError(
        'BROKER_LEDGER_UNAVAILABLE',
        `partition ${partition.number}: its next ticks were forgotten while they were read`,
      )
  }
}
