/**
 * The id of a delivery: where it stands in the ledger, as one whole number below 2^53. A party's
 * cursor is the last id that it has acknowledged, and every one before it with it; it is kept under
 * the party's name in a CursorStore.
 */
import { asBuffer } from '../base/bytes.ts'
import { bytesOfEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { readSafeU64, writeSafeU64 } from './envelope.ts'

export const deliveryIdOf = (sequence: number, index: number): number =>
  sequence * limits.deliveriesPerFrameMax + index
export const sequenceOf = (deliveryId: number): number =>
  Math.floor(deliveryId / limits.deliveriesPerFrameMax)
export const indexOf = (deliveryId: number): number => deliveryId % limits.deliveriesPerFrameMax

/** Sixteen hexadecimal digits. */
export const cursorNameOf = (party: Eui64): string =>
  bytesOfEui64(party).toString('hex').toUpperCase()

const cursorBytes = 8

export function encodeCursor(deliveryId: number): Buffer {
  const value = Buffer.allocUnsafeSlow(cursorBytes)
  writeSafeU64(value, deliveryId, 0)
  return value
}

/**
 * 0 for a party that has acknowledged nothing, or a value that is no cursor: it is delivered again.
 */
export const decodeCursor = (value: Uint8Array | undefined): number =>
  value?.length === cursorBytes ? readSafeU64(asBuffer(value), 0) : 0
