/**
 * How many rejections are recorded one by one: of one party with one code so many in any second,
 * and so many in all. Time is an argument. What does not pass is counted by its owner.
 */
import type { Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'

const windowMs = 1_000

/** The last admissions, as many as one second may have: a ring of times. */
class Rate {
  private readonly times: number[] = []
  private next = 0
  private readonly countMax: number

  constructor(countMax: number) {
    this.countMax = countMax
  }

  /** True while fewer than `countMax` were admitted in the second before `nowMs`. */
  mayAdmit(nowMs: number): boolean {
    const oldest = this.times[this.next]
    return oldest === undefined || nowMs - oldest >= windowMs || nowMs < oldest
  }

  admit(nowMs: number): void {
    this.times[this.next] = nowMs
    this.next = (this.next + 1) % this.countMax
  }

  /** Nothing of it matters any more. */
  isOver(nowMs: number): boolean {
    return this.times.every((time) => nowMs - time >= windowMs || nowMs < time)
  }
}

export class RejectionGate {
  private readonly rates = new Map<string, Rate>()
  private all = new Rate(limits.rejectionsOfAllPerSecondMax)

  /** @param nowMs  elapsed time */
  admits(party: Eui64, outcome: number, nowMs: number): boolean {
    if (!this.all.mayAdmit(nowMs)) return false
    const key = `${party}${outcome}`
    let rate = this.rates.get(key)
    if (rate === undefined) {
      if (this.rates.size >= limits.rejectionRatesMax) this.forget(nowMs)
      if (this.rates.size >= limits.rejectionRatesMax) return false
      rate = new Rate(limits.rejectionsPerSecondMax)
      this.rates.set(key, rate)
    }
    if (!rate.mayAdmit(nowMs)) return false
    rate.admit(nowMs)
    this.all.admit(nowMs)
    return true
  }

  /** What was admitted lately was not written: it may come again. */
  reset(): void {
    this.rates.clear()
    this.all = new Rate(limits.rejectionsOfAllPerSecondMax)
  }

  private forget(nowMs: number): void {
    for (const [key, rate] of this.rates) if (rate.isOver(nowMs)) this.rates.delete(key)
  }
}
