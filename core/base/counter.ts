/**
 * The counter of a RequestID as a key: its eight big-endian octets as latin-1 characters. Keys compare with `<` as the
 * numbers do, cost no bigint, and stand in a Map or a store as they are.
 */
import { textOfOctets } from './bytes.ts'

export type CounterKey = string & { readonly brand: 'CounterKey' }

/** Below every counter but 0, and equal to that. */
export const counterZero: CounterKey = '\0'.repeat(8) as CounterKey

export function counterKey(view: Uint8Array, at = 0): CounterKey {
  return textOfOctets(view, at) as CounterKey
}

export function formatCounterKey(key: CounterKey): string {
  return Buffer.from(key, 'latin1').readBigUInt64BE(0).toString()
}
