/**
 * Invocation counters, which make each initialization vector unique: what is sent never uses a
 * value twice, what is received must go on. One of each per key and direction. In memory; a source
 * that reserves ahead on disk has the same shape.
 * [IEC 62056-5-3 ed. 3, 5.3.3.7 invocation counter; NIST SP 800-38D 8.2.1, deterministic construction]
 */
import { assert } from '../../base/assert.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'

/** The last value that a counter of 32 bits takes. */
export const invocationCounterMax = 0xffff_ffff

/**
 * Where values for sending come from. `take` gives one that was never given before, whatever
 * happens to the process.
 */
export interface CounterSource {
  /** @throws BrokerError DLMS_COUNTER_EXHAUSTED when there is none left */
  take(): number
}

/** Counts from `next` upwards. */
export class InvocationCounter implements CounterSource {
  private next: number

  constructor(next = 1) {
    assert(Number.isInteger(next) && next >= 0, 'a counter is a whole number')
    this.next = next
  }

  take(): number {
    if (this.next > invocationCounterMax) throw new BrokerError('DLMS_COUNTER_EXHAUSTED')
    return this.next++
  }

  /** Values that were not given yet. */
  get left(): number {
    return Math.max(0, invocationCounterMax - this.next + 1)
  }

  /** True when the key should be replaced soon. */
  get isNearEnd(): boolean {
    return this.left < limits.invocationCountersLeftMin
  }

  /**
   * Goes on from `value` when that lies ahead, as a meter says that it expects; never goes back.
   */
  raiseTo(value: number): void {
    assert(Number.isInteger(value) && value >= 0, 'a counter is a whole number')
    if (value > this.next) this.next = value
  }
}

/** Values that a window may look back at most: the bits of one number. */
export const counterWindowMax = 31

/**
 * Which values were received. Strict as it comes: each must be above the last. With a window, for
 * transports that change the order, values up to `window` below the highest are taken too, each
 * once.
 */
export class CounterWindow {
  private readonly window: number
  private highest: number
  /** Bit n is set when `highest` - n was received. */
  private seen = 1

  /** @param highest the last value known to be used, -1 when none is */
  constructor({ highest = -1, window = 0 }: { highest?: number; window?: number } = {}) {
    assert(window >= 0 && window <= counterWindowMax, 'the window fits a number')
    this.highest = highest
    this.window = window
    // What came before the highest is not known: none of it is taken.
    if (highest >= 0) this.seen = -1
  }

  /**
   * The highest value received; -1 when there was none. To be kept, and given to the next window of
   * the key.
   */
  get last(): number {
    return this.highest
  }

  isFresh(value: number): boolean {
    if (value > this.highest) return true
    const back = this.highest - value
    return back <= this.window && (this.seen & (1 << back)) === 0
  }

  /** Remembers a fresh `value`: only once what it came with has been verified. */
  remember(value: number): void {
    if (value <= this.highest) {
      this.seen |= 1 << (this.highest - value)
      return
    }
    const step = value - this.highest
    this.seen = this.highest < 0 || step > counterWindowMax ? 1 : (this.seen << step) | 1
    this.highest = value
  }
}
