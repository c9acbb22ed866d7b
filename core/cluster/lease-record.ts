/**
 * What stands on `lease.<partition>`: who owns the partition. Written by core/ledger/lease, read by
 * it and by core/bus/owners. JSON, because people read it in an emergency and it changes only when
 * a partition changes hands.
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'

/** Who took a partition, when (UTC ms, by its own clock) and which of its attempts it was. */
export type LeaseRecord = { hostId: string; takenAtMs: number; nonce: string }

const hostIdPattern = /^[A-Za-z0-9_-]{1,64}$/

/**
 * True when `text` can be a host id: a NATS subject token of at most 64 letters, digits, `_` and
 * `-`.
 */
export const isHostId = (text: string): boolean => hostIdPattern.test(text)

export const leaseSubject = (partition: number): string => `lease.${partition}`

/** The partition of `lease.<partition>`, or -1. */
export function partitionOfLease(subject: string): number {
  const text = subject.startsWith('lease.') ? subject.slice(6) : ''
  return /^\d{1,5}$/.test(text) ? Number(text) : -1
}

export function encodeLease(record: LeaseRecord): Buffer {
  return Buffer.from(
    JSON.stringify({ hostId: record.hostId, takenAtMs: record.takenAtMs, nonce: record.nonce }),
    'utf8',
  )
}

/** @throws BrokerError FRAME_MALFORMED when it is not a lease record */
export function decodeLease(view: Uint8Array): LeaseRecord {
  let parsed: unknown
  try {
    parsed = view.length <= 1024 ? JSON.parse(asBuffer(view).toString('utf8')) : undefined
  } catch (cause) {
    throw new BrokerError('FRAME_MALFORMED', 'a lease record that is not JSON', { cause })
  }
  const record = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Partial<
    Record<keyof LeaseRecord, unknown>
  >
  const { hostId, takenAtMs, nonce } = record
  if (
    typeof hostId !== 'string' ||
    !isHostId(hostId) ||
    typeof nonce !== 'string' ||
    typeof takenAtMs !== 'number'
  ) {
    throw new BrokerError('FRAME_MALFORMED', 'a lease record without host, time or nonce')
  }
  return { hostId, takenAtMs, nonce }
}
