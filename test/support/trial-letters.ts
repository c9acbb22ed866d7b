/**
 * Letters of the trial kind, for tests: envelopes that make trials send them, what they have added
 * by the ledger, and letters as a host writes them.
 */
import { actorIdOf, ActorKindNumber } from '../../core/base/actor-id.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { lettersSubject } from '../../core/cluster/letters-subject.ts'
import { readKind, readTarget } from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope, FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { writeLetter } from '../../core/envelope/letter.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { isTickSubject, type LedgerEntry, type LedgerMessage } from '../../core/ports/ledger.ts'
import { deviceKey, envelopeOf } from './envelopes.ts'
import { readAdded } from './trial-kind.ts'
import { numberOf } from './world.ts'

/** Trials beside two devices of different partitions. */
export const one = deviceKey(0)
export const other = Array.from({ length: 20 }, (_, index) => deviceKey(index + 1)).find(
  (device) => numberOf(device) !== numberOf(one),
)!

/** Of the same partition as `other`. */
export const neighbour = Array.from({ length: 40 }, (_, index) => deviceKey(index + 1)).find(
  (device) => device !== other && numberOf(device) === numberOf(other),
)!

/** Adds `counter` to the trial of `device`, which tells that of `to`, and so on `left` times. */
export const add = (device: Eui64, counter: number, to: Eui64, left: number): Buffer =>
  envelopeOf({
    kind: Kind.TRIAL_ADD,
    device,
    counter,
    correlation: counter,
    body: Buffer.concat([Buffer.from(to, 'latin1'), Buffer.of(left)]),
  })

/** The same without a letter. */
export const addAlone = (device: Eui64, counter: number): Buffer =>
  envelopeOf({ kind: Kind.TRIAL_ADD, device, counter, correlation: counter })

/** The facts of trials in a tick, with the device beside which each is. */
export function addedIn(
  { subject, data }: Pick<LedgerMessage, 'subject' | 'data'>,
  onAdded: (device: Eui64, value: number, sum: number) => void,
): void {
  if (!isTickSubject(subject)) return
  const onFacts = (_partition: number, frame: Buffer): void =>
    forEachEnvelope(frame, chainLinkBytes, (at) => {
      if (readKind(frame, at) !== Kind.TRIAL_ADDED) return
      const { value, sum } = readAdded(frame, at)
      onAdded(readTarget(frame, at), value, sum)
    })
  readTickMessage(data, onFacts, undefined)
}

/** Values that were added, by device, in the order of the ledger. */
export function addedBy(messages: Iterable<LedgerMessage>): Map<Eui64, number[]> {
  const found = new Map<Eui64, number[]>()
  for (const message of messages)
    addedIn(message, (device, value) => found.set(device, [...(found.get(device) ?? []), value]))
  return found
}

/** Letters of these values from the trial of `one` to that of `other`, as a host writes them. */
export function lettersOf(
  values: readonly number[],
  { kind = ActorKindNumber.TRIAL as number, time = 0 } = {},
): LedgerEntry {
  const frame = new FrameWriter()
  for (const value of values) {
    const bodyView = Buffer.alloc(5)
    bodyView.writeUInt32BE(value, 0)
    const from = actorIdOf(ActorKindNumber.TRIAL, one)
    writeLetter(frame, { from, to: actorIdOf(kind, other), hops: 1, time, bodyView })
  }
  return { subject: lettersSubject(numberOf(other)), data: frame.take() }
}
