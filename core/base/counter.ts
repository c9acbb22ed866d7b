/**
 * The counter of a RequestID as a key: its eight big-endian octets as latin-1 characters. Keys compare with `<` as the
 * numbers do, cost no bigint, and stand in a Map or a store as they are.
 */
import { textOfOctets, writeOctetsOf } from './bytes.ts'

export type CounterKey = string & { readonly brand: 'CounterKey' }

export function counterKey(view: Uint8Array, at = 0): CounterKey {
  return textOfOctets(view, at) as CounterKey
}

const scratch = Buffer.alloc(8)

/** The counter as a number. */
export function numberOfCounter(key: CounterKey): bigint {
  writeOctetsOf(key, scratch, 0)
  return scratch.readBigUInt64BE(0)
}
