/**
 * What a host knows of the counters of one originator at one device, in the body of an
 * ACKNOWLEDGEMENT that refuses a counter: highest accepted counter u64 | floor u64, big-endian, 0
 * for none. Other acknowledgements have no body.
 */
import { explain, type ErrorCode } from '../base/error-table.ts'
import { headerBytes, offsetOf } from './layout.ts'

export const counterBoundsBytes = 16

export type CounterBoundsRead = { highest: bigint; floor: bigint }

/** The bounds in the ACKNOWLEDGEMENT envelope at `at`, or undefined. */
export function readCounterBounds(buffer: Buffer, at: number): CounterBoundsRead | undefined {
  if (buffer.readUInt32BE(at + offsetOf.body) !== counterBoundsBytes) return undefined
  return {
    highest: buffer.readBigUInt64BE(at + headerBytes),
    floor: buffer.readBigUInt64BE(at + headerBytes + 8),
  }
}

/**
 * In the field `attempt` of a refusal REQUEST_NOT_FOUND: the device knows that it never accepted
 * this RequestID, so that there is no response to look for. Hosts of earlier versions leave the
 * field as it came.
 */
export const neverAccepted = 0xffff

/** True when the refusal at `at` says so. */
export const isNeverAccepted = (buffer: Buffer, at: number): boolean =>
  buffer.readUInt16BE(at + offsetOf.attempt) === neverAccepted

/** The bounds in words. */
export function boundsText({ highest, floor }: CounterBoundsRead): string {
  const most = highest === 0n ? 'no counter of yours is accepted yet' : `highest counter ${highest}`
  return floor === 0n ? `${most}, no floor` : `${most}, floor ${floor}`
}

/** The sentence of `code`, with the bounds. */
export const explainBounds = (code: ErrorCode, bounds: CounterBoundsRead): string =>
  explain(code, boundsText(bounds))
