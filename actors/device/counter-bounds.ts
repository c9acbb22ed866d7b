/** What a refusal because of a RequestCounter says of the counters of its originator at the device. */
import type { CounterKey } from '../../core/base/counter.ts'
import type { Originator } from './state.ts'

/** Highest accepted counter and floor; `noCounter` for none. */
export type CounterBounds = { highest: CounterKey; floor: CounterKey }

/** 0, which is no counter of a request. */
export const noCounter = '\0'.repeat(8) as CounterKey

export function boundsOf(originator: Originator | undefined): CounterBounds {
  return { highest: originator?.highest ?? noCounter, floor: originator?.floor ?? noCounter }
}
