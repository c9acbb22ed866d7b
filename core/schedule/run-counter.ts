/**
 * Counters of the RequestIDs of runs. A run is a request with its party as originator and a counter
 * that no party may use:
 *
 *   1 bit set | number of the schedule: 40 bits | number of the run: 23 bits
 *
 * Counters of parties end at 2^63 - 1. So the RequestID of a run says which run of which schedule
 * it is, and one run never has two. Pure.
 */
import { readRequestCounter, type RequestCounter } from '../base/counter.ts'

const runBits = 23n
const runMask = (1n << runBits) - 1n
const ofBroker = 1n << 63n
const scratch = Buffer.alloc(8)

/** @param id  1 to 10^12 @param run  0 to 2^23 - 1 */
export function counterOfRun(id: number, run: number): RequestCounter {
  scratch.writeBigUInt64BE(ofBroker | (BigInt(id) << runBits) | BigInt(run))
  return readRequestCounter(scratch)
}

/** True for the counter of a run. */
export const isRunCounter = (counter: RequestCounter): boolean => counter.charCodeAt(0) >= 0x80

/** The schedule of a run; 0 for the counter of a party. */
export const scheduleOfCounter = (counter: bigint): number =>
  counter < ofBroker ? 0 : Number((counter ^ ofBroker) >> runBits)

export const runOfCounter = (counter: bigint): number => Number(counter & runMask)
