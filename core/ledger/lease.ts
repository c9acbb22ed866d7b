/**
 * Taking a partition: one compare-and-set message on `lease.<partition>`, whose sequence is the
 * fence of everything that is written for the partition afterwards. Written only when a partition
 * changes hands or a writer is in doubt about a commit: taken anew, it refuses that one for ever
 * (decision 0003). Whether its owner is alive is said on the bus, decision 0002.
 */
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { systemClock, type Clock } from '../ports/clock.ts'
import {
  decodeLease,
  encodeLease,
  isHostId,
  leaseSubject,
  type LeaseRecord,
} from '../ports/lease.ts'
import type { Ledger, LedgerMessage } from '../ports/ledger.ts'
import { systemRandom, type Random } from '../ports/random.ts'

/** `sequence` is the fence. */
export type LeaseTaken = { taken: true; sequence: number }
/** Somebody else owns it, since `sequence`. */
export type LeaseHeld = { taken: false; owner: string; sequence: number }

export type TakeLeaseOptions = {
  /**
   * Whether the partition may be taken from this other owner: true only when its heartbeats have
   * been missing for `leaseSilenceMsMax`. A wrong yes costs a change of hands, never a message: the
   * fence keeps the order. Never, when left out.
   */
  mayTakeFrom?: ((owner: string) => boolean) | undefined
  clock?: Clock | undefined
  random?: Random | undefined
}

const attemptsMax = 5

/**
 * Takes `partition` for `hostId` when nobody has it, when that host has it already (its life
 * before, or a writer in doubt), or when `mayTakeFrom` says so of its owner. Taking again gives a
 * new fence and makes the old one stale.
 * @throws BrokerError BROKER_LEDGER_FULL, BROKER_LEDGER_UNAVAILABLE; FRAME_MALFORMED when the
 * record found is not one
 */
export async function takeLease(
  ledger: Ledger,
  partition: number,
  hostId: string,
  options: TakeLeaseOptions = {},
): Promise<LeaseTaken | LeaseHeld> {
  assert(isHostId(hostId), 'a host id is a subject token')
  const { mayTakeFrom, clock = systemClock, random = systemRandom } = options
  // The nonce tells a write of this call from one of a namesake or of an earlier call.
  const record: LeaseRecord = {
    hostId,
    takenAtMs: clock.now(),
    nonce: random.bytes(9).toString('base64url'),
  }
  const subject = leaseSubject(partition)
  const data = encodeLease(record)
  let detail = ''
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = await ledger.lastOn(subject)
    const held = found && decodeLease(found.data)
    if (found && held) {
      // An attempt of this call that went unanswered has arrived.
      if (held.nonce === record.nonce && held.hostId === hostId)
        return { taken: true, sequence: found.sequence }
      if (held.hostId !== hostId && !mayTakeFrom?.(held.hostId))
        return { taken: false, owner: held.hostId, sequence: found.sequence }
    }
    const outcome = await ledger.commit([
      { subject, data, expect: { subject, sequence: found?.sequence ?? 0 } },
    ])
    if (outcome.refused === undefined) return { taken: true, sequence: outcome.firstSequence }
    if (outcome.refused === 'full')
      throw new BrokerError('BROKER_LEDGER_FULL', `${subject}: ${outcome.detail}`)
    // Fence: another was faster, or an earlier attempt of ours arrived late. Unknown: look again. A
    // late attempt expects the same sequence as its repetition, so at most one of them is ever
    // written.
    detail = `${outcome.refused} ${outcome.detail}`
  }
  throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', `${subject}: ${detail}`)
}

/**
 * The owner that the ledger records, or undefined. @throws BrokerError FRAME_MALFORMED,
 * BROKER_LEDGER_UNAVAILABLE
 */
export async function leaseOf(
  ledger: Ledger,
  partition: number,
): Promise<(LeaseRecord & { sequence: number }) | undefined> {
  const found: LedgerMessage | undefined = await ledger.lastOn(leaseSubject(partition))
  return found && { ...decodeLease(found.data), sequence: found.sequence }
}
