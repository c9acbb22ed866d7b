/**
 * One life of a process: it can be killed, paused (SIGSTOP) and woken at any place where it touches
 * the world. Everything it does goes through here: when it is over nothing happens any more, while
 * it is paused what happens waits. Its clock is its own, and may be off.
 */
import { limits } from '../../core/base/limits.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { SimClock } from '../../core/ports/sim/clock.ts'

export class Life {
  readonly id: string
  readonly clock: Clock
  isOver = false
  /** How far its clock is ahead of the world's. */
  clockAheadMs = 0
  /**
   * The last sequence up to which the ledger has confirmed to it that its leases stand; undefined
   * when it has been paused for long since it asked.
   */
  confirmedTo: number | undefined
  /** Pauses that were long enough for another host to take its partitions. */
  longPauseCount = 0
  /** Partitions whose store it has open. */
  readonly openStores = new Set<number>()
  private waiting: Array<() => void> | undefined
  private pausedAt = 0
  private readonly time: SimClock
  private readonly onPlace: (place: string, life: Life) => void

  /** `onPlace` is told of each place that it comes to, and may end or pause it there. */
  constructor(id: string, time: SimClock, onPlace: (place: string, life: Life) => void) {
    this.id = id
    this.time = time
    this.onPlace = onPlace
    const now = (): number => time.now() + this.clockAheadMs
    this.clock = {
      now,
      elapsedMs: () => time.elapsedMs(),
      // As timers of the system are: a clock that is set makes none of them earlier or later.
      at: (atMs, action) => time.at(time.now() + Math.max(0, atMs - now()), () => this.run(action)),
    }
  }

  get isPaused(): boolean {
    return this.waiting !== undefined
  }

  end(): void {
    this.isOver = true
    this.waiting = undefined
  }

  pause(): void {
    if (this.isOver || this.isPaused) return
    this.waiting = []
    this.pausedAt = this.time.now()
  }

  wake(): void {
    const { waiting } = this
    if (waiting === undefined) return
    this.waiting = undefined
    if (this.time.now() - this.pausedAt >= limits.leaseSilenceMsMax) {
      this.longPauseCount++
      this.confirmedTo = undefined
    }
    for (const action of waiting) this.run(action)
  }

  /** Now, when it goes on, or never. */
  run(action: () => void): void {
    if (this.isOver) return
    if (this.waiting !== undefined) this.waiting.push(action)
    else action()
  }

  /** Comes to `place`, then as `run`. */
  runAt(place: string, action: () => void): void {
    if (!this.isOver && !this.isPaused) this.onPlace(place, this)
    this.run(action)
  }

  /** Settles when the process runs; never when it is over. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.run(resolve))
  }

  /** Comes to `place`, then as `turn`. */
  turnAt(place: string): Promise<void> {
    return new Promise((resolve) => this.runAt(place, resolve))
  }
}
