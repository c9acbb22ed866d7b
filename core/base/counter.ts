/**
 * The counter of a RequestID as a key: its eight big-endian octets as latin-1 characters. Keys
 * compare with `<` as the numbers do, cost no bigint, and stand in a Map or a store as they are.
 */
import { textOfOctets, writeOctetsOf } from './bytes.ts'

export type RequestCounter = string & { readonly brand: 'RequestCounter' }

export function readRequestCounter(view: Uint8Array, at = 0): RequestCounter {
  return textOfOctets(view, at) as RequestCounter
}

const scratch = Buffer.alloc(8)

/** The counter as a number. */
export function numberOfCounter(key: RequestCounter): bigint {
  writeOctetsOf(key, scratch, 0)
  return scratch.readBigUInt64BE(0)
}
