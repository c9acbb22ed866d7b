/**
 * Whether somebody has set the clock of this machine. Plans of actors are times of the clock, which
 * people and programs set; what was planned is to come after the same elapsed time all the same.
 */
import { limits } from '../../../core/base/limits.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import type { Log } from '../../../core/ports/log.ts'
import type { ClockSet } from '../partition/wakes.ts'

/**
 * The clock of the start with the elapsed time since, or the clock when that is less. For what
 * makes others lose something by its age: a clock that is set forward makes nothing old.
 */
export function provenTime(clock: Clock): () => number {
  const baseMs = clock.now() - clock.elapsedMs()
  return () => Math.min(clock.now(), baseMs + clock.elapsedMs())
}

export class ClockLag {
  private readonly clock: Clock
  private readonly log: Log
  private readonly baseMs: number
  private before = 0

  constructor({ clock, log }: { clock: Clock; log: Log }) {
    this.clock = clock
    this.log = log
    this.baseMs = clock.now() - clock.elapsedMs()
  }

  private get lagMs(): number {
    return this.baseMs + this.clock.elapsedMs() - this.clock.now()
  }

  /**
   * Tells `partitions` when the clock was set by `clockStepMs` or more since the last look; between
   * two ticks.
   */
  look(partitions: Iterable<{ clockSet(set: ClockSet): void }>): void {
    const { before, lagMs: after } = this
    if (Math.abs(after - before) < limits.clockStepMs) return
    this.before = after
    const aheadMs = Math.round(before - after)
    this.log.warn({ aheadMs }, 'the clock of this machine was set; what waits is moved with it')
    for (const partition of partitions) partition.clockSet({ before, after })
  }

  /**
   * True when `atMs`, elapsed time, is less than `leaseSilenceMsMax` ago. False also when the clock
   * has left elapsed time behind by so much since the last look: the machine may have been
   * suspended, and elapsed time stood still.
   */
  isRecent(atMs: number): boolean {
    const silentMs = this.clock.elapsedMs() - atMs
    const leaptMs = this.before - this.lagMs
    return Math.max(silentMs, leaptMs) < limits.leaseSilenceMsMax
  }
}
