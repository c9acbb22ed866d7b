/**
 * The store of one partition over a disk that may fail at any time: what the disk does not take
 * stays in memory and is seen all the same, until it is taken. A save fails only when the partition
 * has to be rebuilt from the ledger.
 *
 *   whole    the disk has everything, or everything but what is in memory
 *   void     what the disk has is not to be used; all there is, is in memory
 *   lost     the disk was set aside with something that is not in memory: STORE_DAMAGED until `clear`
 */
import { BrokerError } from '../base/broker-error.ts'
import { copyOf } from '../base/bytes.ts'
import type { ActorId } from '../base/actor-id.ts'
import { limits } from '../base/limits.ts'
import type {
  Checkpoint,
  PartitionStore,
  StoreChanges,
  StoreCopy,
  StoredWake,
} from '../ports/store.ts'
import { changesOf, orderOfWakes, StoreOverlay } from './store-overlay.ts'

/** The disk under all partitions of a host: local-stores.ts. */
export type Disk = {
  /** The partition's store on it; undefined while there can be none. */
  baseOf(partition: number): PartitionStore | undefined
  onWritten(): void
  /** A write has failed; it is kept in memory, and `flush` is called later. */
  onWriteFault(fault: unknown): void
  /** A read has failed that no checksum explains: what is on the disk is not trusted any more. */
  onReadFault(fault: unknown): void
  /**
   * Settles when a disk that is not trusted has been set aside; `isRisky` marks a step that may end
   * the process.
   */
  settle(): Promise<void>
  risk<T>(step: () => Promise<T>): Promise<T>
  onClose(partition: number): void
}

export class OverlaidStore implements PartitionStore {
  private readonly partition: number
  private readonly disk: Disk
  private readonly overlay = new StoreOverlay()
  private base: PartitionStore | undefined
  private condition: 'whole' | 'void' | 'lost'
  private isClosed = false
  /** Writes run one after the other. */
  private tail: Promise<unknown> = Promise.resolve()

  constructor(partition: number, disk: Disk) {
    this.partition = partition
    this.disk = disk
    this.base = disk.baseOf(partition)
    this.condition = this.base === undefined ? 'void' : 'whole'
  }

  /** Devices whose changes are in memory only. */
  get unsavedCount(): number {
    return Math.max(this.overlay.states.size, this.overlay.wakes.size)
  }

  /** The disk is set aside. */
  lose(): void {
    if (this.condition === 'whole') this.condition = 'lost'
    this.base = undefined
  }

  checkpoint(): Checkpoint | undefined {
    return this.overlay.checkpoint ?? this.read('checkpoint', (base) => base.checkpoint())
  }

  load(actor: ActorId): Uint8Array | undefined {
    const state = this.overlay.states.get(actor)
    return state ? copyOf(state) : this.read('state', (base) => base.load(actor))
  }

  save(changes: StoreChanges): Promise<void> {
    return this.queue(() => this.write(changes))
  }

  private async write(changes: StoreChanges): Promise<void> {
    if (this.condition === 'whole' && this.overlay.isEmpty && this.base !== undefined) {
      try {
        await this.base.save(changes)
        return this.disk.onWritten()
      } catch (fault) {
        if (fault instanceof BrokerError) throw fault
        this.disk.onWriteFault(fault)
      }
    }
    if (this.condition === 'lost') throw lost()
    this.overlay.take(changes)
  }

  /** Writes what is in memory to the disk. @returns false when it is still there */
  flush(): Promise<boolean> {
    return this.queue(async () => {
      // Lost: the partition is rebuilt first.
      if (this.condition === 'lost' || this.isClosed) return true
      if (this.condition === 'whole' && this.overlay.isEmpty) return true
      this.base ??= this.disk.baseOf(this.partition)
      if (this.base === undefined) return false
      try {
        await this.writeOverlay(this.base)
        return true
      } catch (fault) {
        this.disk.onWriteFault(fault)
        return false
      }
    })
  }

  private async writeOverlay(base: PartitionStore): Promise<void> {
    if (this.condition === 'whole') await base.save(changesOf(this.overlay))
    else {
      await base.clear()
      for (const slice of this.overlay.slices(limits.storeFlushDevicesMax)) await base.save(slice)
    }
    // Set aside meanwhile: what was written is gone, and is in memory still.
    if (this.base !== base) throw lost()
    this.condition = 'whole'
    this.overlay.clear()
  }

  dueWakes(untilMs: number, count: number, after?: StoredWake): StoredWake[] {
    const ours = this.overlay.dueWakes(untilMs, count, after)
    const below: StoredWake[] = []
    let behind = after
    // Those that are in memory stand elsewhere now.
    while (below.length < count) {
      const slice = this.read('wakes', (base) => base.dueWakes(untilMs, count, behind)) ?? []
      for (const wake of slice) if (!this.overlay.wakes.has(wake.actor)) below.push(wake)
      if (slice.length < count) break
      behind = slice.at(-1)
    }
    if (ours.length === 0) return below.slice(0, count)
    return [...ours, ...below].sort(orderOfWakes).slice(0, count)
  }

  nextWakeMs(): number | undefined {
    if (this.overlay.wakes.size === 0) return this.read('wakes', (base) => base.nextWakeMs())
    return this.dueWakes(Number.MAX_SAFE_INTEGER - 1, 1)[0]?.atMs
  }

  isEmpty(): boolean {
    return this.overlay.states.size === 0 && (this.read('state', (base) => base.isEmpty()) ?? true)
  }

  copy(): StoreCopy | undefined {
    const below = this.read('copy', (base) => base.copy())
    const overlay = this.overlay.copy()
    const checkpoint = overlay.checkpoint ?? below?.checkpoint
    if (checkpoint === undefined) {
      below?.close()
      return undefined
    }
    return {
      checkpoint,
      records: () => overlay.over(below?.records() ?? []),
      close: () => below?.close(),
    }
  }

  /** Never fails for the disk: without one, the partition goes on in memory. */
  clear(): Promise<void> {
    return this.queue(async () => {
      this.overlay.clear()
      this.condition = 'void'
      await this.disk.settle()
      this.base ??= this.disk.baseOf(this.partition)
      const { base } = this
      if (base === undefined) return
      try {
        await this.disk.risk(() => base.clear())
        if (this.base === base) this.condition = 'whole'
      } catch (fault) {
        this.disk.onWriteFault(fault)
      }
    })
  }

  async close(): Promise<void> {
    await this.flush().catch(() => false)
    this.isClosed = true
    await this.base?.close().catch(() => undefined)
    this.disk.onClose(this.partition)
  }

  private queue<T>(write: () => Promise<T>): Promise<T> {
    const done = this.tail.then(write)
    this.tail = done.catch(() => undefined)
    return done
  }

  /** @throws BrokerError STORE_DAMAGED for whatever the disk says */
  private read<T>(what: string, read: (base: PartitionStore) => T): T | undefined {
    if (this.condition === 'lost') throw lost()
    if (this.condition === 'void' || this.base === undefined) return undefined
    try {
      return read(this.base)
    } catch (cause) {
      if (cause instanceof BrokerError) throw cause
      this.disk.onReadFault(cause)
      throw new BrokerError('STORE_DAMAGED', what, { cause })
    }
  }
}

const lost = (): BrokerError => new BrokerError('STORE_DAMAGED', 'the store was set aside')
