/**
 * The keys of a device, sealed, and their invocation counters. Plain data; only `evolve` changes
 * it, through the functions here.
 *
 * A counter value is never sent with twice under a key, whatever crashes. Values are reserved
 * ahead: COUNTERS_RESERVED is in the ledger before the first of them goes out, and the facts that
 * end an exchange say how many were used, so that nothing is written for one request alone. When
 * something may have been under way that is not known any more (a state that was read from disk
 * with requests open), all that was reserved counts as used.
 *
 *   0 ────── used ────── next ─── may be under way ─── reservedTo ────── not reserved ────── 2³²
 */
import { keyMarkOf } from '../../core/crypto/sealed-keys.ts'
import { limits } from '../../core/base/limits.ts'
import type { ExchangeSecurity } from '../../core/ports/wan.ts'

/** Keys that are used together, and the counters of their unicast key. */
export type Keyset = {
  /** Rises with every set that the device ever had: facts name a set by it. */
  number: number
  sealedKeys: Buffer
  /**
   * The lowest value that was not used, as far as the ledger knows, and the end of those that may
   * be used.
   */
  next: number
  reservedTo: number
  /** The highest that the device was heard with, -1 for none. */
  received: number
  /** Not in the ledger: values from `next` on may have been used. */
  isUncertain: boolean
  /** Restores of the ledger after the last of which the counter was read, or accepted. */
  confirmedAfter: number
  /**
   * What the device pushed was heard with these, and it may come later than an answer that the
   * device sent after it. Nothing at or below `pushFloor` is taken. Not in the store: what is read
   * from there has all up to `received` below the floor.
   */
  pushFloor: number
  pushed: readonly number[]
}

/** A unicast key that the device had before: it never begins again. */
export type RememberedKey = {
  mark: string
  reservedTo: number
  /** The highest that the device was heard with under it, -1 for none. */
  received: number
  /** It was replaced by keys that the device has proved, so that a message under it is stale. */
  isReplaced: boolean
}

/**
 * New keys on their way to the device, which has the old or the new ones until it has proved which:
 *
 *   KEYS_PENDING ▶ TRANSFER ─ answered or not ▶ PROVE_NEW ─ proved ▶ KEYS_PROVED: the new ones are current
 *                     ▲                          │    ▲
 *                     │                     failed    │ failed too, after a while
 *                     │                          ▼    │
 *                     └──── after a while ──── PROVE_OLD ─ proved, and offered often enough ▶ RESTING
 *
 * While one of the first three is due, requests wait. RESTING: the device has proved that it keeps
 * the old ones; the new ones stay known, and the next replacement begins with PROVE_NEW.
 */
export const KeyStage = ['TRANSFER', 'PROVE_NEW', 'PROVE_OLD', 'RESTING'] as const
export type KeyStage = (typeof KeyStage)[number]

export type Replacement = {
  keys: Keyset
  stage: KeyStage
  /** Times in a row that neither the new nor the old ones were proved. */
  attempt: number
  /** Times that the new ones were offered and the old ones proved. */
  transfers: number
  /** Not before this time, UTC ms. */
  nextAttemptAt: number
  /** Row of the error table that the last TRANSFER ended with; 0 before. */
  transferOutcome: number
}

export type Keyring = {
  /** Undefined after a registration without keys. */
  current: Keyset | undefined
  replacement: Replacement | undefined
  /** Newest first, at most `keysRememberedMax`. */
  remembered: RememberedKey[]
  /** Where keys begin that are not remembered: no forgotten one was used further. */
  floor: number
  lastNumber: number
}

/** What facts say of counters. */
export type CountersNoted = { number: number; next: number; received: number }

/** One past the last value of a counter. */
export const countersEnd = 2 ** 32

/** Shared by all that have heard of no pushes. */
export const noCounters: readonly number[] = []

const emptyRing = (): Keyring => ({
  current: undefined,
  replacement: undefined,
  remembered: [],
  floor: 0,
  lastNumber: 0,
})

/** What becomes of keys that a registration brings. */
export type Bringing = 'same' | 'resealed' | 'new' | 'superseded' | 'underway'

export function bringingOf(ring: Keyring | undefined, sealedKeys: Buffer): Bringing {
  if (ring === undefined) return 'new'
  const { current, replacement, remembered } = ring
  if (current?.sealedKeys.equals(sealedKeys)) return 'same'
  const mark = keyMarkOf(sealedKeys)
  // The new set was made of the present one: what is changed in that now would be lost.
  if (current !== undefined && mark === keyMarkOf(current.sealedKeys))
    return isInDoubt(ring) ? 'underway' : 'resealed'
  if (remembered.some((known) => known.mark === mark && known.isReplaced)) return 'superseded'
  if (isInDoubt(ring)) return 'underway'
  // The new ones themselves, whose counters are counted there.
  return replacement && mark === keyMarkOf(replacement.keys.sealedKeys) ? 'underway' : 'new'
}

/** The ring after a registration with these keys; changes `ring`. */
export function withKeys(ring: Keyring = emptyRing(), sealedKeys: Buffer): Keyring {
  const bringing = bringingOf(ring, sealedKeys)
  if (bringing === 'resealed') ring.current!.sealedKeys = sealedKeys
  if (bringing !== 'new') return ring
  remember(ring, false)
  ring.replacement = undefined
  const mark = keyMarkOf(sealedKeys)
  const known = ring.remembered.find((one) => one.mark === mark)
  ring.remembered = ring.remembered.filter((one) => one !== known)
  const current = keyset(++ring.lastNumber, sealedKeys, known?.reservedTo ?? ring.floor)
  current.received = current.pushFloor = known?.received ?? -1
  ring.current = current
  return ring
}

/** The ring after a registration without keys of a device that needs none; changes `ring`. */
export function withoutKeys(ring: Keyring | undefined): Keyring | undefined {
  if (ring === undefined) return undefined
  remember(ring, false)
  ring.current = undefined
  ring.replacement = undefined
  return ring
}

/**
 * The ring of a device that is removed; changes `ring`. Counters of keys on their way stay known,
 * too. No key counts as replaced any more: whatever the device is registered with next is current.
 */
export function withoutAllKeys(ring: Keyring | undefined): Keyring | undefined {
  if (ring === undefined) return undefined
  const newKeys = ring.replacement?.keys
  remember(ring, false)
  ring.current = newKeys
  withoutKeys(ring)
  ring.remembered = ring.remembered.map((known) => ({ ...known, isReplaced: false }))
  return ring
}

function keyset(number: number, sealedKeys: Buffer, next: number): Keyset {
  return {
    number,
    sealedKeys,
    next,
    reservedTo: next,
    received: -1,
    isUncertain: false,
    confirmedAfter: 0,
    pushFloor: -1,
    pushed: noCounters,
  }
}

/** True when nothing was pushed under `set` with this counter before. */
export const isFreshPush = (set: Keyset, counter: number): boolean =>
  counter > set.pushFloor && !set.pushed.includes(counter)

/** The device has pushed something with the counter `received` of the set. */
export function notedPush(ring: Keyring | undefined, counters: CountersNoted | undefined): void {
  const set = counters && setOf(ring, counters.number)
  if (counters === undefined || set === undefined) return
  const pushed = [...set.pushed, counters.received].sort((a, b) => a - b)
  const forgotten = pushed.splice(0, pushed.length - limits.pushCountersRememberedMax)
  set.pushFloor = Math.max(set.pushFloor, ...forgotten)
  set.pushed = pushed
  noted(ring, counters)
}

function remember(ring: Keyring, isReplaced: boolean): void {
  if (ring.current === undefined) return
  const { sealedKeys, reservedTo, received } = ring.current
  ring.remembered.unshift({ mark: keyMarkOf(sealedKeys), reservedTo, received, isReplaced })
  const forgotten = ring.remembered.splice(limits.keysRememberedMax)
  for (const one of forgotten) ring.floor = Math.max(ring.floor, one.reservedTo)
}

/**
 * New keys are known from here on; or those of the replacement that rests are to be tried again.
 */
export function beginReplacement(
  ring: Keyring,
  number: number,
  sealedKeys: Buffer,
  at: number,
): void {
  const resting = ring.replacement
  const isAgain = resting?.keys.number === number
  ring.lastNumber = Math.max(ring.lastNumber, number)
  ring.replacement = {
    keys: isAgain ? { ...resting.keys, sealedKeys } : keyset(number, sealedKeys, 0),
    stage: isAgain ? 'PROVE_NEW' : 'TRANSFER',
    attempt: 0,
    transfers: 0,
    nextAttemptAt: at,
    transferOutcome: 0,
  }
}

/** The device has proved that it has the new keys. */
export function endReplacement(ring: Keyring): void {
  if (ring.replacement === undefined) return
  remember(ring, true)
  ring.current = ring.replacement.keys
  ring.replacement = undefined
}

export function setOf(ring: Keyring | undefined, number: number): Keyset | undefined {
  return [ring?.current, ring?.replacement?.keys].find((set) => set?.number === number)
}

/** True while new keys are on their way, so that requests wait. */
export function isInDoubt(ring: Keyring | undefined): boolean {
  return ring?.replacement !== undefined && ring.replacement.stage !== 'RESTING'
}

export function reserved(
  ring: Keyring | undefined,
  number: number,
  from: number,
  to: number,
): void {
  const set = setOf(ring, number)
  if (set === undefined) return
  set.next = Math.max(set.next, from)
  set.reservedTo = Math.max(set.reservedTo, to)
  set.isUncertain = false
}

export function noted(ring: Keyring | undefined, counters: CountersNoted | undefined): void {
  if (counters === undefined) return
  const set = setOf(ring, counters.number)
  if (set === undefined) return
  set.next = Math.max(set.next, counters.next)
  if (set.next >= set.reservedTo) {
    set.reservedTo = set.next
    set.isUncertain = false
  }
  set.received = Math.max(set.received, counters.received)
}

/** Nothing counts as received under `number`, and `next` is the lowest value that is sent with. */
export function acceptCounter(ring: Keyring | undefined, number: number, next: number): void {
  const set = setOf(ring, number)
  if (set === undefined) return
  noted(ring, { number, next, received: -1 })
  set.received = -1
  set.pushFloor = -1
  set.pushed = noCounters
}

/** Counters of the set are known to be unused after so many restores of the ledger. */
export function confirmCounter(ring: Keyring | undefined, number: number, restores: number): void {
  const set = setOf(ring, number)
  if (set !== undefined) set.confirmedAfter = Math.max(set.confirmedAfter, restores)
}

/** All that was reserved counts as used. */
export function burn(ring: Keyring | undefined): void {
  for (const set of [ring?.current, ring?.replacement?.keys])
    if (set !== undefined) set.next = set.reservedTo
}

/**
 * The counters of an exchange under `set`, none below `floor`; when they are to be reserved first,
 * `reserve` is called. Undefined when there are none left below `end`.
 */
export function countersFor(
  set: Keyset,
  end: number,
  reserve: (from: number, to: number) => void,
  floor = 0,
): ExchangeSecurity['counters'] | undefined {
  const from = Math.max(set.isUncertain ? set.reservedTo : set.next, floor)
  let to = set.reservedTo
  if (set.isUncertain || to - from < limits.countersPerExchangeMin) {
    const wanted = Math.min(from + limits.countersReserved, end)
    if (wanted <= from) return undefined
    // Near the end there may be nothing more to reserve.
    if (set.isUncertain || wanted > to) reserve(from, wanted)
    to = Math.max(to, wanted)
  }
  return { from, to, received: set.received }
}
