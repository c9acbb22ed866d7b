/**
 * Taking a partition: one compare-and-set message on `lease.<partition>`, and with it, in one
 * commit, a seal on the ticks of the host that had it: what that one sends without knowing of it is
 * refused (decision 0011). Written only when a partition changes hands. Whether its owner is alive
 * is said on the bus, decision 0002.
 */
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { emptyTick } from '../envelope/tick-message.ts'
import { systemClock, type Clock } from '../ports/clock.ts'
import {
  decodeLease,
  encodeLease,
  isHostId,
  leaseSubject,
  type LeaseRecord,
} from '../cluster/lease-record.ts'
import { tickSubject, type Ledger, type LedgerMessage } from '../ports/ledger.ts'
import { systemRandom, type Random } from '../ports/random.ts'

/** `sequence` is the lease's. */
export type LeaseTaken = { taken: true; sequence: number }
/** Somebody else owns it, since `sequence`. */
export type LeaseHeld = { taken: false; owner: string; sequence: number }

export type TakeLeaseOptions = {
  /**
   * Whether the partition may be taken from this other owner: true only when its heartbeats have
   * been missing for `leaseSilenceMsMax`. A wrong yes costs a change of hands, never a message: the
   * seal keeps the order. Never, when left out.
   */
  mayTakeFrom?: ((owner: string) => boolean) | undefined
  clock?: Clock | undefined
  random?: Random | undefined
}

const leasesPerSealMax = limits.ledgerBatchMessagesMax - 1

/**
 * Takes `partition` for `hostId` when nobody has it, when that host has it already (in its life
 * before), or when `mayTakeFrom` says so of its owner. The ticks of its former owner are sealed.
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
  for (let attempt = 0; attempt < limits.leaseAttemptsMax; attempt++) {
    const found = await ledger.lastOn(subject)
    const held = found && decodeLease(found.data)
    if (found && held) {
      // An attempt of this call that went unanswered has arrived.
      if (held.nonce === record.nonce && held.hostId === hostId)
        return { taken: true, sequence: found.sequence }
      if (held.hostId !== hostId && !mayTakeFrom?.(held.hostId))
        return { taken: false, owner: held.hostId, sequence: found.sequence }
    }
    const lease = { subject, data, expect: { subject, sequence: found?.sequence ?? 0 } }
    const seal = held && { subject: tickSubject(held.hostId), data: emptyTick }
    const outcome = await ledger.commit(seal === undefined ? [lease] : [lease, seal])
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

/** A partition and the sequence of its lease, as its owner knows it. */
export type HeldLease = { number: number; leaseSequence: number }

/**
 * Seals the ticks of `hostId` itself, on condition that `leases` are its own still: what it sent
 * before and is not written yet is refused for ever, and all that was ever written for these
 * partitions lies before the seal. It is a write because in a cluster nothing that is read proves
 * that it is the newest.
 * @returns the seal's sequence, which the host's next tick has to expect; `fence` when a lease, or
 * the last of its ticks, is another one
 * @throws BrokerError BROKER_LEDGER_FULL, BROKER_LEDGER_UNAVAILABLE
 */
export async function sealOwnTicks(
  ledger: Ledger,
  hostId: string,
  leases: readonly HeldLease[],
): Promise<number | 'fence'> {
  const subject = tickSubject(hostId)
  let last = (await ledger.lastOn(subject))?.sequence ?? 0
  for (let at = 0; at === 0 || at < leases.length; at += leasesPerSealMax) {
    const seal = { subject, data: emptyTick }
    const outcome = await ledger.commit([
      { ...seal, expect: { subject, sequence: last } },
      ...leases.slice(at, at + leasesPerSealMax).map(({ number, leaseSequence }) => ({
        ...seal,
        expect: { subject: leaseSubject(number), sequence: leaseSequence },
      })),
    ])
    if (outcome.refused === 'fence') return 'fence'
    if (outcome.refused !== undefined)
      throw new BrokerError(
        outcome.refused === 'full' ? 'BROKER_LEDGER_FULL' : 'BROKER_LEDGER_UNAVAILABLE',
        `${subject}: ${outcome.refused} ${outcome.detail}`,
      )
    last = outcome.firstSequence + Math.min(leases.length - at, leasesPerSealMax)
  }
  return last
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
