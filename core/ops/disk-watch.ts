/**
 * The free space of every file system that this process uses, looked at now and then. Below its
 * reserve a file system is low: new requests are rejected before a write fails, and readiness and
 * metrics name the file system and what it is used for.
 */
import { limits } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { Disks, DiskSpace } from '../ports/disk.ts'
import type { Log } from '../ports/log.ts'
import type { Metrics } from '../ports/metrics.ts'

/** What a folder is used for: `ledger`, `store`, … */
export type DiskUse = { readonly use: string; readonly path: string }

export type DiskReserve = {
  readonly bytes: number
  /** Of 100 of the file system. The smaller one of both holds. */
  readonly percent: number
}

export type DiskWatchOptions = {
  uses: readonly DiskUse[]
  reserve: DiskReserve
  disks: Disks
  clock: Clock
  log: Log
  metrics: Metrics
}

/** One file system, by its first path. */
type Disk = { path: string; uses: string[]; space: DiskSpace }

export class DiskWatch {
  private readonly options: DiskWatchOptions
  private seen: Disk[] = []
  private readonly unread = new Map<string, string>()
  private readonly low = new Set<string>()
  private isLooking = false
  private isClosed = false
  private callOff: () => void = () => {}

  constructor(options: DiskWatchOptions) {
    this.options = options
    const { metrics } = options
    const gauges = (name: string, help: string, read: (disk: Disk) => number): void =>
      metrics.gauges(name, help, () =>
        this.seen.map((disk) => ({
          labels: { path: disk.path, uses: disk.uses.join() },
          value: read(disk),
        })),
      )
    gauges(
      'busbar_disk_free_bytes',
      'Octets free on a file system in use',
      ({ space }) => space.freeBytes,
    )
    gauges(
      'busbar_disk_total_bytes',
      'Octets of a file system in use',
      ({ space }) => space.totalBytes,
    )
    gauges(
      'busbar_disk_reserve_bytes',
      'Free octets below which no new requests are taken when the ledger is on it',
      ({ space }) => this.reserveOf(space),
    )
    gauges(
      'busbar_disk_low',
      '1 while a file system has less free space than its reserve',
      (disk) => (this.isBelow(disk) ? 1 : 0),
    )
  }

  /** Settles when all have been looked at once; goes on looking until `close`. */
  async start(): Promise<void> {
    await this.look()
    this.arm()
  }

  close(): void {
    this.isClosed = true
    this.callOff()
  }

  /**
   * True while the file system of `use` has less free space than its reserve; false when it is not
   * known.
   */
  isLow(use: string): boolean {
    const disk = this.diskOf(use)
    return disk !== undefined && this.isBelow(disk)
  }

  /** Free space of what `use` is on, as last seen; undefined when it is not known. */
  spaceOf(use: string): DiskSpace | undefined {
    return this.diskOf(use)?.space
  }

  /**
   * Says of each file system that holds one of `uses` and is low, or cannot be read, why; undefined
   * when all is well.
   */
  troubleOf(...uses: string[]): string | undefined {
    const faults = this.seen
      .filter((disk) => disk.uses.some((use) => uses.includes(use)) && this.isBelow(disk))
      .map((disk) => this.wordsOf(disk))
    for (const use of uses) {
      const fault = this.unread.get(use)
      if (fault !== undefined) faults.push(fault)
    }
    return faults.length === 0 ? undefined : faults.join('; ')
  }

  private wordsOf({ path, uses, space }: Disk): string {
    const { freeBytes, totalBytes } = space
    return (
      `the disk of ${path} (${uses.join(', ')}) has ${freeBytes} of ${totalBytes} octets free, ` +
      `its reserve is ${this.reserveOf(space)}: free space on it`
    )
  }

  private reserveOf({ totalBytes }: DiskSpace): number {
    const { bytes, percent } = this.options.reserve
    return Math.min(bytes, Math.floor((totalBytes * percent) / 100))
  }

  private isBelow({ space }: Disk): boolean {
    return space.freeBytes < this.reserveOf(space)
  }

  private diskOf(use: string): Disk | undefined {
    return this.seen.find(({ uses }) => uses.includes(use))
  }

  private arm(): void {
    const { clock } = this.options
    if (this.isClosed) return
    this.callOff = clock.at(clock.now() + limits.diskLookMs, () => {
      void this.look()
      this.arm()
    })
  }

  private async look(): Promise<void> {
    // A file system that hangs is not asked again and again.
    if (this.isLooking) return
    this.isLooking = true
    const found = new Map<string, Disk>()
    for (const { use, path } of this.options.uses) {
      try {
        const space = await this.options.disks.spaceOf(path)
        const disk = found.get(space.id) ?? { path, uses: [], space }
        disk.uses.push(use)
        disk.space = space
        found.set(space.id, disk)
        this.unread.delete(use)
      } catch (fault) {
        this.unread.set(use, `the free space of ${path} (${use}) cannot be read: ${String(fault)}`)
      }
    }
    this.seen = [...found.values()]
    this.isLooking = false
    this.tell()
  }

  /** Says once when one becomes low, and once when it is no longer. */
  private tell(): void {
    const { log } = this.options
    for (const disk of this.seen) {
      const { path, uses, space } = disk
      const fields = { path, uses: uses.join(), ...space, reserveBytes: this.reserveOf(space) }
      if (this.isBelow(disk) && !this.low.has(path)) {
        this.low.add(path)
        log.error(fields, 'a disk has less free space than its reserve')
      } else if (!this.isBelow(disk) && this.low.delete(path))
        log.info(fields, 'a disk has its reserve free again')
    }
  }
}
