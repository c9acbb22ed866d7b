/**
 * What a device decides about its keys: which ones an exchange goes under and with which counters,
 * and the replacement of keys step by step. Pure, a part of actor.ts; what it decides on is in
 * keyring.ts, where the replacement is drawn. Keys also come with a registration (registration.ts).
 *
 * Why nobody is locked out: the new keys are in the ledger before they are sent, the old ones stay
 * until the device has answered under the new ones. A transfer that comes late, after the device
 * has answered under the old keys, has a lower counter than that answer's question, and is refused
 * as a replay.
 */
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { readBodyView } from '../../core/envelope/envelope.ts'
import { keyMarkOf } from '../../core/crypto/sealed-keys.ts'
import type { DeviceAddress } from '../../core/ports/wan.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import { type DeviceOutbox, type SendKeys } from './effects.ts'
import type { KeyStepSent } from './facts.ts'
import type { KeysFact, KeysPending } from './keys-facts.ts'
import {
  acceptCounter,
  beginReplacement,
  confirmCounter,
  countersEnd,
  countersFor,
  endReplacement,
  isInDoubt,
  noted,
  reserved,
  setOf,
  type CountersNoted,
  type Keyring,
  type Keyset,
  type Replacement,
} from './keyring.ts'
import type { Arrived } from '../kind/messages.ts'
import type { CountersOf, KeysMade, KeysSealed, KeyStepAnswered } from './messages.ts'
import type { DeviceState } from './state.ts'

const accepted = errorId('REQUEST_ACCEPTED')
/** Requests leave so many at the end of a counter, for the replacement of its key. */
const requestCountersEnd = countersEnd - limits.countersReserved
const noCounters = { from: 0, to: 0, received: -1 }

/**
 * True when nothing goes to the device without keys: its mechanism proves them, or its APDUs are
 * protected.
 */
export function needsKeys({ security }: DeviceAddress): boolean {
  return security !== undefined && (security.mechanism >= 5 || security.protection !== 0)
}

/** True when an answer proves the unicast key: not a signature, or a secret that is hashed. */
function provesKeys({ security }: DeviceAddress): boolean {
  return security !== undefined && (security.mechanism === 5 || security.protection !== 0)
}

/**
 * The keys that a request goes under, undefined when it needs none; or why there are none. What
 * must be on disk before is in `out`.
 */
export function keysFor(
  { record, keyring }: DeviceState,
  now: number,
  out: DeviceOutbox,
): SendKeys | undefined | ErrorCode {
  const set = keyring?.current
  const address = record?.address
  if (address === undefined || set === undefined)
    return address !== undefined && needsKeys(address) ? 'DLMS_KEY_UNKNOWN' : undefined
  if (address.security === undefined)
    return { number: set.number, sealedKeys: set.sealedKeys, counters: noCounters }
  return (
    sendKeys(set, requestCountersEnd, now, out, address.counter?.initial) ??
    'DLMS_COUNTER_EXHAUSTED'
  )
}

function sendKeys(
  set: Keyset,
  end: number,
  now: number,
  out: DeviceOutbox,
  floor?: number,
): SendKeys | undefined {
  const { number, sealedKeys } = set
  const reserve = (from: number, to: number): void => {
    out.facts.push({ type: 'COUNTERS_RESERVED', time: now, number, from, to })
    if (countersEnd - to < limits.invocationCountersLeftMin)
      out.effects.push({ type: 'ALARM', code: 'KEYS_COUNTER_NEAR_END' })
  }
  const counters = countersFor(set, end, reserve, floor)
  const isCounterUnknown = (out.restores ?? 0) > set.confirmedAfter
  return counters && { number, sealedKeys, counters, ...(isCounterUnknown && { isCounterUnknown }) }
}

/**
 * What a fact that ends a request says of counters though no exchange came back: with requests open
 * at the start, all may have been used.
 */
export function burnt(ring: Keyring | undefined): { counters?: CountersNoted } {
  const set = ring?.current
  if (set === undefined || !set.isUncertain) return {}
  const { number, reservedTo: next, received } = set
  return { counters: { number, next, received } }
}

/**
 * What a fact says of the counters that an exchange has used. `isRaised`: the device expects a
 * higher one, and the next exchange begins there.
 */
export function note(
  { keyring: ring, sentCountersFrom }: DeviceState,
  used: CountersOf | undefined,
  now: number,
  out: DeviceOutbox,
): { using: { counters?: CountersNoted }; isRaised: boolean } {
  const set = used && setOf(ring, used.number)
  if (used === undefined || set === undefined) return { using: burnt(ring), isRaised: false }
  const { number, reservedTo } = set
  const { received, expected = 0 } = used
  // Of what was sent before a reload: the one that was sent since may be on its way still.
  const isOther = set.isUncertain || used.from !== sentCountersFrom
  const next = Math.max(used.next, set.next, isOther ? reservedTo : 0)
  const counters = { number, next, received }
  if (used.isRead === true) confirm(set, now, out)
  // Not authenticated: an attacker in between could exhaust the key otherwise.
  const isAhead = expected > counters.next
  const isRaised = isAhead && expected - counters.next <= limits.counterJumpMax
  if (isRaised) {
    counters.next = expected
    out.effects.push({ type: 'ALARM', code: 'KEYS_COUNTER_RAISED' })
  } else if (isAhead) out.effects.push({ type: 'ALARM', code: 'KEYS_COUNTER_AHEAD' })
  return { using: { counters }, isRaised }
}

/** Counters of `set` are known not to have been used before the ledger was restored. */
function confirm(
  { number, confirmedAfter }: Pick<Keyset, 'number' | 'confirmedAfter'>,
  now: number,
  out: DeviceOutbox,
): void {
  const { restores = 0 } = out
  if (restores > confirmedAfter)
    out.facts.push({ type: 'COUNTER_CONFIRMED', time: now, number, restores })
}

// ── replacement ──

export function decideReplacement(
  { record, keyring, keyStep }: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  const { replyTo } = message
  if (record === undefined) return refuse(out, message, 'DEVICE_UNKNOWN', now)
  const current = keyring?.current
  if (current === undefined || !provesKeys(record.address))
    return refuse(out, message, 'KEYS_REPLACEMENT_UNFIT', now)
  const known = keyring?.replacement
  if (known === undefined || known.stage === 'RESTING') {
    // Those that rest are tried again before there are others: the device may have them after all.
    const { number, sealedKeys } = current
    const restingKeys = known?.keys.sealedKeys
    out.effects.push({ type: 'MAKE_KEYS', number, sealedKeys, restingKeys, record, replyTo })
    return
  }
  // Whoever asks does not want to wait.
  if (known.nextAttemptAt > now && keyStep === undefined)
    out.facts.push(pending(known.keys.number, known.keys.sealedKeys, now))
  acknowledge(out, message, accepted, now)
}

/**
 * An operator accepts the counter of the device as it is now: the body holds the lowest value that
 * Busbar is to send with, u40, 0 for what the device tells. Whatever was heard before can be
 * replayed to Busbar until the device has been heard again.
 */
export function decideAcceptance(
  { record, keyring }: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  const set = keyring?.current
  if (record === undefined) return refuse(out, message, 'DEVICE_UNKNOWN', now)
  if (set === undefined) return refuse(out, message, 'DLMS_KEY_UNKNOWN', now)
  if (isInDoubt(keyring)) return refuse(out, message, 'KEYS_REPLACEMENT_UNDERWAY', now)
  const body = readBodyView(message.buffer, message.at)
  const wanted = body.length === 5 ? body.readUIntBE(0, 5) : countersEnd
  if (wanted >= requestCountersEnd) return refuse(out, message, 'DLMS_COUNTER_EXHAUSTED', now)
  const { number, reservedTo } = set
  // Above all that was reserved, so that nothing that is on its way uses the same values.
  const next = Math.max(wanted, reservedTo)
  out.facts.push({ type: 'COUNTER_ACCEPTED', time: now, number, next })
  // Without a counter of the operator's the device has to tell it.
  if (body.length === 5 && wanted > 0) confirm(set, now, out)
  acknowledge(out, message, accepted, now)
}

const isSameKey = (a: Buffer, b: Buffer): boolean => keyMarkOf(a) === keyMarkOf(b)

const pending = (number: number, sealedKeys: Buffer, time: number): KeysPending => ({
  type: 'KEYS_PENDING',
  time,
  number,
  sealedKeys,
})

export function decideMade(
  { keyring }: DeviceState,
  message: KeysMade,
  now: number,
  out: DeviceOutbox,
): void {
  const { sealedKeys } = message
  if (keyring?.current?.number !== message.number)
    return refuse(out, message, 'KEYS_REPLACEMENT_UNFIT', now)
  const { replacement, lastNumber } = keyring
  if (replacement === undefined) {
    const number = lastNumber + 1
    out.facts.push(pending(number, sealedKeys, now))
    // They were made just now: nothing was ever sent under them.
    confirm({ number, confirmedAfter: 0 }, now, out)
  }
  // Else it was asked for twice: the first ones are on their way, or rest; never others in the
  // place of those that rest.
  else if (replacement.stage === 'RESTING' && isSameKey(replacement.keys.sealedKeys, sealedKeys))
    out.facts.push(pending(replacement.keys.number, sealedKeys, now))
  acknowledge(out, message, accepted, now)
}

export function decideSealed(
  { keyring }: DeviceState,
  { number, before, sealedKeys }: KeysSealed,
  now: number,
  out: DeviceOutbox,
): void {
  if (setOf(keyring, number)?.sealedKeys.equals(before))
    out.facts.push({ type: 'DEVICE_KEYS_SEALED', time: now, number, sealedKeys })
}

/**
 * Sends what is due of a replacement that is in doubt; or skips it, for want of counters, with a
 * fact that says what is next.
 */
export function sendKeyStep(
  state: DeviceState,
  now: number,
  out: DeviceOutbox,
): 'skipped' | undefined {
  const { record, keyring } = state
  const replacement = keyring?.replacement
  if (record === undefined || replacement === undefined) return undefined
  const { keys: newSet, stage, attempt, nextAttemptAt } = replacement
  const waitMs = nextAttemptAt - now
  const delayMs = Math.min(limits.retryDelayMs * 2 ** attempt, limits.keysRetryMsMax)
  // Longer than anybody waits: the clock was wrong then, or is now.
  if (stage === 'RESTING' || (waitMs > 0 && waitMs <= delayMs)) return undefined
  const { number, sealedKeys: newSealedKeys } = newSet
  const set = stage === 'PROVE_NEW' ? newSet : keyring?.current
  const keys = set && sendKeys(set, countersEnd, now, out)
  if (keys === undefined) {
    // The counter of the old ones has come to its end: the device may have the new ones all the
    // same.
    tried(replacement, errorId('DLMS_COUNTER_EXHAUSTED'), {}, now, out)
    return 'skipped'
  }
  const step = { number, stage }
  out.facts.push({ type: 'KEY_STEP_SENT', step, countersFrom: keys.counters.from })
  out.effects.push({ type: 'SEND_KEY_STEP', step, record, keys, newSealedKeys })
  return undefined
}

export function decideStepAnswered(
  state: DeviceState,
  { step, outcome, counters, cause }: KeyStepAnswered,
  now: number,
  out: DeviceOutbox,
): void {
  const replacement = state.keyring?.replacement
  // Of before a reload, and settled since by another one.
  if (replacement?.keys.number !== step.number || replacement.stage !== step.stage) return
  const { using: noted, isRaised } = note(state, counters, now, out)
  const using = { ...noted, ...(cause && { cause }) }
  if (step.stage === 'PROVE_NEW' && isProof(outcome)) {
    out.facts.push({ type: 'KEYS_PROVED', time: now, number: step.number, ...using })
  } else if (isRaised && replacement.attempt < limits.attemptsMax) {
    const { stage, attempt, transfers, transferOutcome } = replacement
    out.facts.push({
      type: 'KEYS_TRIED',
      time: now,
      number: step.number,
      outcome,
      stage,
      attempt: attempt + 1,
      transfers,
      transferOutcome,
      nextAttemptAt: now,
      ...using,
    })
  } else tried(replacement, outcome, using, now, out)
}

/** Nobody knows what the answer said: the step counts as one without an answer. */
export function parkStep(
  { keyring: ring }: DeviceState,
  { step }: KeyStepAnswered,
  now: number,
  out: DeviceOutbox,
): void {
  const replacement = ring?.replacement
  if (replacement?.keys.number === step.number && replacement.stage === step.stage)
    tried(replacement, errorId('DEVICE_ACTOR_PARKED'), burnt(ring), now, out)
}

/** An answer, whatever it says, was opened with the keys that it was asked under. */
const isProof = (outcome: number): boolean =>
  outcome === errorId('OK') || outcome === errorId('DEVICE_REFUSED')

/** The new keys are not proved: what is next. */
function tried(
  { keys, stage, attempt, transfers, transferOutcome }: Replacement,
  outcome: number,
  using: { counters?: CountersNoted },
  now: number,
  out: DeviceOutbox,
): void {
  const delayMs = Math.min(limits.retryDelayMs * 2 ** attempt, limits.keysRetryMsMax)
  const about = { type: 'KEYS_TRIED', time: now, number: keys.number, outcome, ...using } as const
  const later = { attempt: attempt + 1, nextAttemptAt: now + delayMs }
  const atOnce = { attempt, nextAttemptAt: now }
  switch (stage) {
    case 'TRANSFER':
      // Answered or not, with yes or no: only a question under each of the keys tells.
      out.facts.push({
        ...about,
        stage: 'PROVE_NEW',
        transfers,
        transferOutcome: outcome,
        ...atOnce,
      })
      return
    case 'PROVE_NEW':
      out.facts.push({ ...about, stage: 'PROVE_OLD', transfers, transferOutcome, ...atOnce })
      return
    case 'RESTING':
      return
    case 'PROVE_OLD': {
      if (!isProof(outcome)) {
        out.facts.push({ ...about, stage: 'PROVE_NEW', transfers, transferOutcome, ...later })
        return
      }
      const isRefused = errorCodeOf(transferOutcome) === 'DEVICE_REFUSED'
      const isOver = isRefused || transfers + 1 >= limits.keyTransfersMax
      out.facts.push({
        ...about,
        stage: isOver ? 'RESTING' : 'TRANSFER',
        transfers: transfers + 1,
        transferOutcome,
        ...later,
      })
      if (isOver) out.effects.push({ type: 'ALARM', code: 'KEYS_REPLACEMENT_REFUSED' })
    }
  }
}

/** Applies a fact of keys. */
export function evolveKeys(state: DeviceState, fact: KeysFact | KeyStepSent): void {
  const ring = state.keyring
  if (fact.type === 'KEY_STEP_SENT') {
    state.keyStep = fact.step
    state.sentCountersFrom = fact.countersFrom
    return
  }
  if (ring === undefined) return
  switch (fact.type) {
    case 'COUNTER_CONFIRMED':
      return confirmCounter(ring, fact.number, fact.restores)
    case 'COUNTER_ACCEPTED':
      return acceptCounter(ring, fact.number, fact.next)
    case 'COUNTERS_RESERVED':
      return reserved(ring, fact.number, fact.from, fact.to)
    case 'KEYS_PENDING':
      return beginReplacement(ring, fact.number, fact.sealedKeys, fact.time)
    case 'KEYS_TRIED': {
      const { replacement } = ring
      state.keyStep = undefined
      noted(ring, fact.counters)
      if (replacement?.keys.number !== fact.number) return
      const { stage, attempt, transfers, transferOutcome, nextAttemptAt } = fact
      Object.assign(replacement, { stage, attempt, transfers, transferOutcome, nextAttemptAt })
      // What may have been under way with them is not asked for any more.
      if (stage === 'RESTING') replacement.keys.next = replacement.keys.reservedTo
      return
    }
    case 'KEYS_PROVED':
      state.keyStep = undefined
      noted(ring, fact.counters)
      if (ring.replacement?.keys.number === fact.number) endReplacement(ring)
      return
    case 'DEVICE_KEYS_SEALED': {
      const set = setOf(ring, fact.number)
      if (set !== undefined) set.sealedKeys = fact.sealedKeys
    }
  }
}
