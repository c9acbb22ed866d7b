/**
 * The keys of a device's state as what MessagePack takes, for state-codec.ts: sealed as they are,
 * counters, and what was before.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { copyOf, latin1Of } from '../../core/base/bytes.ts'
import { isSealedKeys } from '../../core/crypto/sealed-keys.ts'
import {
  KeyStage,
  noCounters,
  type Keyring,
  type Keyset,
  type RememberedKey,
  type Replacement,
} from './keyring.ts'

type PackedSet = [
  number: number,
  sealedKeys: Uint8Array,
  next: number,
  reservedTo: number,
  received: number,
  /** Left out for 0, as in states of earlier versions. */
  confirmedAfter?: number,
]
type PackedReplacement = [
  keys: PackedSet,
  stage: number,
  attempt: number,
  transfers: number,
  nextAttemptAt: number,
  transferOutcome: number,
]
type PackedRemembered = [
  mark: Uint8Array,
  reservedTo: number,
  isReplaced: boolean,
  /** Left out for none, as in states of earlier versions. */
  received?: number,
]
export type PackedRing = [
  current: PackedSet | null,
  replacement: PackedReplacement | null,
  remembered: PackedRemembered[],
  floor: number,
  lastNumber: number,
]

export function packRing(ring: Keyring): PackedRing {
  const { current, replacement, remembered, floor, lastNumber } = ring
  return [
    current === undefined ? null : packSet(current),
    replacement === undefined ? null : packReplacement(replacement),
    remembered.map(packRemembered),
    floor,
    lastNumber,
  ]
}

function packRemembered({
  mark,
  reservedTo,
  isReplaced,
  received,
}: RememberedKey): PackedRemembered {
  const packed: PackedRemembered = [Buffer.from(mark, 'latin1'), reservedTo, isReplaced]
  if (received >= 0) packed.push(received)
  return packed
}

function packSet(set: Keyset): PackedSet {
  const { number, sealedKeys, next, reservedTo, received, confirmedAfter } = set
  const packed: PackedSet = [number, sealedKeys, next, reservedTo, received]
  if (confirmedAfter > 0) packed.push(confirmedAfter)
  return packed
}

function packReplacement(replacement: Replacement): PackedReplacement {
  const { keys, stage, attempt, transfers, nextAttemptAt, transferOutcome } = replacement
  const place = KeyStage.indexOf(stage)
  return [packSet(keys), place, attempt, transfers, nextAttemptAt, transferOutcome]
}

/** @throws BrokerError STORE_DAMAGED */
export function unpackRing(packed: PackedRing): Keyring {
  const [current, replacement, remembered, floor, lastNumber] = packed
  return {
    current: current === null ? undefined : unpackSet(current),
    replacement: replacement === null ? undefined : unpackReplacement(replacement),
    remembered: remembered.map(([mark, reservedTo, isReplaced, received = -1]) => ({
      mark: latin1Of(mark),
      reservedTo,
      received,
      isReplaced,
    })),
    floor,
    lastNumber,
  }
}

function unpackSet(packed: PackedSet): Keyset {
  const [number, sealedView, next, reservedTo, received, confirmedAfter = 0] = packed
  const sealedKeys = copyOf(sealedView)
  if (!isSealedKeys(sealedKeys)) throw new BrokerError('STORE_DAMAGED', 'keys that are not sealed')
  return {
    number,
    sealedKeys,
    next,
    reservedTo,
    received,
    isUncertain: false,
    confirmedAfter,
    pushFloor: received,
    pushed: noCounters,
  }
}

function unpackReplacement(packed: PackedReplacement): Replacement {
  const [keys, place, attempt, transfers, nextAttemptAt, transferOutcome] = packed
  const stage = KeyStage[place]
  if (stage === undefined) throw new BrokerError('STORE_DAMAGED', `stage ${place}`)
  return { keys: unpackSet(keys), stage, attempt, transfers, nextAttemptAt, transferOutcome }
}
