/**
 * The stores of all partitions of one host, over LMDB, as a cache may behave: whatever its disk
 * does (no room, input and output errors, any error of LMDB, at the start, while it is read or
 * written), partitions are served from the ledger and from memory. A failed write is reported, kept
 * and tried again. A store that cannot be trusted, or stays unwritable on a disk that has room, is
 * set aside; partitions that need it are rebuilt from the ledger into a new one.
 */
import { assert } from '../base/assert.ts'
import { limits } from '../base/limits.ts'
import { systemClock, type Clock } from '../ports/clock.ts'
import { silentLog, type Log } from '../ports/log.ts'
import { noMetrics, type Counter, type Metrics } from '../ports/metrics.ts'
import type { PartitionStore } from '../ports/store.ts'
import { hasRoom } from './lmdb-environment.ts'
import { codeOfFault, isFatalFault, wordsOfFault } from './lmdb-faults.ts'
import { openLmdbStores, setLmdbStoresAside, type LmdbStores } from './lmdb-partitions.ts'
import { OverlaidStore, type Disk } from './overlaid-store.ts'

/** What is under them; LMDB unless a test brings something that fails. */
export type StoreDisk = {
  /** @throws what the disk says */
  open(): LmdbStores
  /** Of a disk that is closed. @throws what the file system says */
  setAside(reason: string): void
  hasRoom(): boolean
}

export type LocalStoresOptions = {
  folder: string
  log?: Log
  clock?: Clock
  metrics?: Metrics
  disk?: StoreDisk
}

/** A write that keeps failing is logged at the first time, and then once in so many. */
const logEvery = 60

export class LocalStores {
  private readonly folder: string
  private readonly log: Log
  private readonly clock: Clock
  private readonly disk: StoreDisk
  private readonly failuresTotal: Counter
  private readonly setAsideTotal: Counter
  private readonly stores = new Map<number, OverlaidStore>()
  private opened: LmdbStores | undefined
  /** Writes that failed, one after the other. */
  private failures = 0
  /** What the last one said. */
  private why: string | undefined
  /** What is on the disk is to be set aside before it is opened again. */
  private distrust: string | undefined
  private replacing: Promise<void> | undefined
  private callOffRetry: (() => void) | undefined
  private isServing = false
  private isClosed = false

  constructor(options: LocalStoresOptions) {
    const { folder, log = silentLog, clock = systemClock, metrics = noMetrics } = options
    this.folder = folder
    this.log = log
    this.clock = clock
    this.disk = options.disk ?? {
      open: () => openLmdbStores({ folder, log, clock }),
      setAside: (reason) => setLmdbStoresAside({ folder, log, clock }, reason),
      hasRoom: () => hasRoom(folder),
    }
    this.failuresTotal = metrics.counter(
      'busbar_store_failures_total',
      'Reads and writes of the local store that failed; it is a cache of the ledger.',
    )
    this.setAsideTotal = metrics.counter(
      'busbar_store_set_aside_total',
      'Times that the local store was set aside and rebuilt from the ledger.',
    )
    metrics.gauge(
      'busbar_store_unsaved_devices',
      'Devices whose changes wait in memory because the local store does not take them',
      () => this.unsavedCount,
    )
    this.openDisk()
  }

  /** The store of one partition; open at most one at a time. */
  open(partition: number): PartitionStore {
    assert(!this.stores.has(partition), 'a partition has one store')
    const store = new OverlaidStore(partition, this.portOf())
    this.stores.set(partition, store)
    return store
  }

  /** Partitions are served: the store has been read without harm. */
  served(): void {
    this.isServing = true
    this.opened?.settled()
  }

  /**
   * Why the local store is not used as it should be, or undefined. Partitions are served all the
   * same.
   */
  get trouble(): string | undefined {
    if (this.why === undefined) return undefined
    return (
      `the local store in ${this.folder} cannot be used: ${this.why}; partitions are served from the ledger and memory, ` +
      `changes of ${this.unsavedCount} devices wait`
    )
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.callOffRetry?.()
    await this.replacing
    await this.opened?.close()
  }

  private get unsavedCount(): number {
    let count = 0
    for (const store of this.stores.values()) count += store.unsavedCount
    return count
  }

  private portOf(): Disk {
    return {
      baseOf: (partition) => this.baseOf(partition),
      onWritten: () => {
        this.failures = 0
      },
      onWriteFault: (fault) => this.failed(fault),
      onReadFault: (fault) => {
        this.failuresTotal.add()
        this.doubt(wordsOfFault(fault))
      },
      settle: () => this.settle(),
      risk: (step) => this.risk(step),
      onClose: (partition) => this.stores.delete(partition),
    }
  }

  private openDisk(): void {
    try {
      if (this.distrust !== undefined) this.disk.setAside(this.distrust)
      this.distrust = undefined
      this.opened = this.disk.open()
    } catch (fault) {
      this.failed(fault)
    }
  }

  private baseOf(partition: number): PartitionStore | undefined {
    if (this.isClosed || this.replacing !== undefined) return undefined
    try {
      return this.opened?.open(partition)
    } catch (fault) {
      this.failed(fault)
      return undefined
    }
  }

  private failed(fault: unknown): void {
    this.failuresTotal.add()
    this.why = wordsOfFault(fault)
    if (this.failures++ % logEvery === 0)
      this.log.error(
        { folder: this.folder, code: codeOfFault(fault), fault: this.why },
        'the local store cannot be written; changes stay in memory and are written again',
      )
    // The memory of this process may be damaged: should it end, the next start does not read the
    // store.
    const isFull = codeOfFault(fault) === 'ENOSPC'
    if (!isFull) this.opened?.unsettled()
    const isFatal = isFatalFault(fault)
    // A disk without room fails every write; a new store on it would fail as well.
    const isLasting = !isFull && this.failures >= limits.storeFailuresMax && this.disk.hasRoom()
    if (isFatal || isLasting) this.doubt(this.why)
    this.armRetry()
  }

  /** The disk is set aside before the next partition is cleared, or at the next retry. */
  private doubt(reason: string): void {
    if (this.opened === undefined || this.distrust !== undefined) return
    this.distrust = reason
    this.why = reason
    this.armRetry()
  }

  private settle(): Promise<void> {
    if (this.distrust === undefined) return this.replacing ?? Promise.resolve()
    this.replacing ??= this.replace().finally(() => {
      this.replacing = undefined
    })
    return this.replacing
  }

  private async replace(): Promise<void> {
    const { opened } = this
    this.opened = undefined
    for (const store of this.stores.values()) store.lose()
    if (opened !== undefined) this.setAsideTotal.add()
    await opened?.close()
    if (this.isClosed) return
    this.failures = 0
    this.openDisk()
  }

  /**
   * The marker stands while `step` runs: should it end the process, the next start sets the store
   * aside.
   */
  private async risk<T>(step: () => Promise<T>): Promise<T> {
    const { opened } = this
    opened?.unsettled()
    try {
      return await step()
    } finally {
      if (this.isServing) opened?.settled()
    }
  }

  private armRetry(): void {
    if (this.isClosed || this.callOffRetry !== undefined) return
    this.callOffRetry = this.clock.at(this.clock.now() + limits.storeFlushRetryMs, () => {
      void this.retry().then((isDone) => {
        this.callOffRetry = undefined
        // One may have failed again while the others were written.
        if (!isDone || this.unsavedCount > 0) this.armRetry()
      })
    })
  }

  private async retry(): Promise<boolean> {
    await this.settle()
    if (this.isClosed) return true
    if (this.opened === undefined) this.openDisk()
    if (this.opened === undefined) return false
    for (const store of this.stores.values()) if (!(await store.flush())) return false
    if (this.isServing) this.opened.settled()
    this.failures = 0
    if (this.unsavedCount > 0) return false
    this.why = undefined
    this.log.info({ folder: this.folder }, 'the local store is written again')
    return true
  }
}
