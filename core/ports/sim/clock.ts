/** A clock that stands still until it is moved: simulations own time. */
import type { Clock } from '../clock.ts'

type Due = { atMs: number; order: number; action: () => void }

export class SimClock implements Clock {
  private nowMs: number
  private order = 0
  private readonly due = new Set<Due>()

  constructor(startMs = 0) {
    this.nowMs = startMs
  }

  now(): number {
    return this.nowMs
  }

  elapsedMs(): number {
    return this.nowMs
  }

  at(atMs: number, action: () => void): () => void {
    const due = { atMs, order: this.order++, action }
    this.due.add(due)
    return () => void this.due.delete(due)
  }

  /** When the next action is due, or undefined. */
  nextMs(): number | undefined {
    return this.earliest()?.atMs
  }

  /**
   * Moves time to `toMs`, running each action at its own time, in order of time and then of asking;
   * actions that these ask for run too when they are due by then. Time never goes back.
   */
  advanceTo(toMs: number): void {
    for (
      let next = this.earliest();
      next !== undefined && next.atMs <= toMs;
      next = this.earliest()
    ) {
      this.due.delete(next)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.action()
    }
    this.nowMs = Math.max(this.nowMs, toMs)
  }

  advanceBy(ms: number): void {
    this.advanceTo(this.nowMs + ms)
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
