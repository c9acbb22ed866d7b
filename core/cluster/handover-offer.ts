/**
 * How one host offers partitions to another on the bus, before it writes the leases that give them
 * away: the other brings its stores up to date first, so that only the last few ticks are left to
 * read when the leases change. JSON: rare and small.
 */
import { limits } from '../base/limits.ts'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { isHostId } from './lease-record.ts'

/** Where a host takes offers. */
export const handoverSubject = (hostId: string): string => `handover.${hostId}`

/** Partitions that `from` would give away. */
export type Offer = { from: string; partitions: number[] }
/**
 * A partition that is up to date at the other host, and the nonce by which it knows the lease as
 * given to this life of it.
 */
export type Prepared = { partition: number; nonce: string }

export const encodeOffer = (offer: Offer): Buffer => Buffer.from(JSON.stringify(offer), 'utf8')
export const encodePrepared = (prepared: readonly Prepared[]): Buffer =>
  Buffer.from(JSON.stringify({ prepared }), 'utf8')

const isPartition = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 65_536

/** @throws BrokerError FRAME_MALFORMED when it is not an offer */
export function decodeOffer(view: Uint8Array): Offer {
  const { from, partitions } = objectIn(view)
  if (
    typeof from !== 'string' ||
    !isHostId(from) ||
    !Array.isArray(partitions) ||
    !partitions.every(isPartition)
  )
    throw new BrokerError('FRAME_MALFORMED', 'an offer without host or partitions')
  return { from, partitions }
}

/** @throws BrokerError FRAME_MALFORMED when it is not the answer to an offer */
export function decodePrepared(view: Uint8Array): Prepared[] {
  const { prepared } = objectIn(view)
  if (!Array.isArray(prepared))
    throw new BrokerError('FRAME_MALFORMED', 'an answer to an offer without partitions')
  return prepared.map((one: unknown) => {
    const { partition, nonce } = (typeof one === 'object' && one !== null ? one : {}) as {
      partition?: unknown
      nonce?: unknown
    }
    if (!isPartition(partition) || typeof nonce !== 'string' || nonce.length > 64)
      throw new BrokerError('FRAME_MALFORMED', 'a prepared partition without number or nonce')
    return { partition, nonce }
  })
}

function objectIn(view: Uint8Array): Record<string, unknown> {
  try {
    if (view.length <= limits.handoverBytesMax) {
      const parsed: unknown = JSON.parse(asBuffer(view).toString('utf8'))
      if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
    }
  } catch {
    // Told below.
  }
  throw new BrokerError('FRAME_MALFORMED', 'an offer of partitions that is not JSON')
}
