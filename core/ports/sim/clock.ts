/**
 * A clock that stands still until it is moved, and can be set as people set theirs: simulations own
 * time.
 */
import type { Clock } from '../clock.ts'

type Due = { atMs: number; order: number; action: () => void }

export class SimClock implements Clock {
  /** Elapsed time; it is UTC until the clock is set. */
  private nowMs: number
  private aheadMs = 0
  private order = 0
  private readonly due = new Set<Due>()

  constructor(startMs = 0) {
    this.nowMs = startMs
  }

  now(): number {
    return this.nowMs + this.aheadMs
  }

  elapsedMs(): number {
    return this.nowMs
  }

  at(atMs: number, action: () => void): () => void {
    const due = { atMs: atMs - this.aheadMs, order: this.order++, action }
    this.due.add(due)
    return () => void this.due.delete(due)
  }

  /** When the next action is due, or undefined. */
  nextMs(): number | undefined {
    const next = this.earliest()
    return next && next.atMs + this.aheadMs
  }

  /**
   * Somebody sets the clock, forward or back: no time passes, and nothing that was asked for comes
   * earlier or later.
   */
  setBy(ms: number): void {
    this.aheadMs += ms
  }

  /**
   * Moves time to `toMs`, running each action at its own time, in order of time and then of asking;
   * actions that these ask for run too when they are due by then. Time never goes back.
   */
  advanceTo(toMs: number): void {
    const untilMs = toMs - this.aheadMs
    for (
      let next = this.earliest();
      next !== undefined && next.atMs <= untilMs;
      next = this.earliest()
    ) {
      this.due.delete(next)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.action()
    }
    this.nowMs = Math.max(this.nowMs, untilMs)
  }

  advanceBy(ms: number): void {
    this.advanceTo(this.now() + ms)
  }

  private earliest(): Due | undefined {
    let found: Due | undefined
    for (const due of this.due) {
      if (
        found === undefined ||
        due.atMs < found.atMs ||
        (due.atMs === found.atMs && due.order < found.order)
      )
        found = due
    }
    return found
  }
}
