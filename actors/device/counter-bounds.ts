/**
 * What a refusal because of a RequestCounter says of the counters of its originator at the device.
 */
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { CounterBounds } from '../kind/effects.ts'
import type { Originator } from './state.ts'

/** Eight octets of 0: no counter of a request, and no EUI-64 of a party. */
export const noCounter = '\0'.repeat(8) as RequestCounter & Eui64

export function boundsOf(originator: Originator | undefined): CounterBounds {
  return { highest: originator?.highest ?? noCounter, floor: originator?.floor ?? noCounter }
}
