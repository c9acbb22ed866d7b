/**
 * RequestCounters: the convention, and how far a counter may go ahead. Pure; the time is an
 * argument.
 *
 * The convention is nanoseconds since 1970-01-01 UTC. A party may count in another way as long as
 * its counters for one device rise: 1, 2, 3 …, or a time in seconds, milliseconds or microseconds.
 */
import { limits } from './limits.ts'

const nanosecondsPerMs = 1_000_000n

/** The largest counter: many languages have signed numbers of 64 bits only. */
export const requestCounterMax = 2n ** 63n - 1n

/**
 * Counters by the convention, each above the one before, whatever the clock does. Keep one for all
 * requests of a party.
 */
export class RequestCounters {
  private last = 0n
  private readonly nowMs: () => number

  /** @param nowMs UTC in ms */
  constructor(nowMs: () => number) {
    this.nowMs = nowMs
  }

  next(): bigint {
    const now = BigInt(Math.floor(this.nowMs())) * nanosecondsPerMs
    this.last = now > this.last ? now : this.last + 1n
    return this.last
  }
}

/** Above that no counter is taken, whatever the party used before: a time in ns a day ahead. */
export function counterCeiling(nowMs: number): bigint {
  const ahead = BigInt(Math.floor(nowMs) + limits.requestCounterAheadMs) * nanosecondsPerMs
  return ahead < requestCounterMax ? ahead : requestCounterMax
}

/**
 * True when `counter` is so far above `highest`, the highest counter that this party used before at
 * the device, that it can only be a mistake: the counters that follow it would be rejected later. A
 * counter that is the present time in nanoseconds is always taken, so that a party can change over
 * to the convention.
 */
export function isCounterTooHigh(
  counter: bigint,
  highest: bigint | undefined,
  nowMs: number,
): boolean {
  if (counter > counterCeiling(nowMs)) return true
  if (highest === undefined || counter <= highest + BigInt(limits.requestCounterStepMax))
    return false
  return unitsPerMs.every((perMs) => !isTimeIn(perMs, counter, highest, nowMs))
}

/**
 * Nanoseconds, microseconds, milliseconds, seconds: how many units are in one ms, as numerator and
 * denominator.
 */
const unitsPerMs: ReadonlyArray<readonly [bigint, bigint]> = [
  [nanosecondsPerMs, 1n],
  [1_000n, 1n],
  [1n, 1n],
  [1n, 1_000n],
]
/** 2001-09-09, ms: times before that are taken for plain counting. */
const firstTimeMs = 10n ** 12n

/**
 * True when `counter` is not ahead as a time in this unit, and the party counts in it or goes over
 * to nanoseconds now.
 */
function isTimeIn(
  [numerator, denominator]: readonly [bigint, bigint],
  counter: bigint,
  highest: bigint,
  nowMs: number,
): boolean {
  const inUnit = (ms: bigint): bigint => (ms * numerator) / denominator
  const now = BigInt(Math.floor(nowMs))
  const ahead = BigInt(limits.requestCounterAheadMs)
  if (counter > inUnit(now + ahead)) return false
  const isUsed = highest >= inUnit(firstTimeMs)
  const isNow = numerator === nanosecondsPerMs && counter >= inUnit(now - ahead)
  return isUsed || isNow
}

/**
 * Bits of a counter that a gateway assigns which say which gateway did; the others are the time in
 * steps of 16.384 µs.
 */
const markBits = 14n

/**
 * Counters that one gateway process assigns to requests of one party. Two gateways at the same
 * nanosecond give different ones, because each has its mark in the lowest bits; one gateway gives
 * rising ones, whatever its clock does.
 */
export class AssignedCounters {
  private readonly mark: bigint
  private lastStep = 0n

  /** @param mark of the gateway process: drawn at its start; the lowest `markBits` of it count */
  constructor(mark: number) {
    this.mark = BigInt(mark) & ((1n << markBits) - 1n)
  }

  next(nowMs: number): bigint {
    const step = (BigInt(Math.floor(nowMs)) * 1_000_000n) >> markBits
    this.lastStep = step > this.lastStep ? step : this.lastStep + 1n
    return (this.lastStep << markBits) | this.mark
  }

  /**
   * The next ones are above `counter`: a gateway whose clock lags learns from a refusal where it
   * has to go on.
   */
  passBy(counter: bigint): void {
    const step = counter >> markBits
    if (step > this.lastStep) this.lastStep = step
  }
}
