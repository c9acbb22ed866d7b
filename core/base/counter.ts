/**
 * The counter of a RequestID as a key: its eight big-endian octets as latin-1 characters. Keys compare with `<` as the
 * numbers do, cost no bigint, and stand in a Map or a store as they are.
 */
import { textOfOctets } from './bytes.ts'

export type CounterKey = string & { readonly brand: 'CounterKey' }

export function counterKey(view: Uint8Array, at = 0): CounterKey {
  return textOfOctets(view, at) as CounterKey
}
