/**
 * Facts of a device that are of its keys alone, of no request, and what they look like in the body
 * of an envelope. What facts.ts is for all others.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { copyOf, emptyBytes } from '../../core/base/bytes.ts'
import {
  readAttempt,
  readBodyView,
  readDeadline,
  readKind,
  readOutcome,
  readTime,
} from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { isSealedKeys } from '../../core/crypto/sealed-keys.ts'
import { decodeCause, encodeCause, type FailureCause } from './cause.ts'
import { KeyStage, type CountersNoted } from './keyring.ts'

/**
 * What an exchange under keys has used, and why it failed; not there in facts from before there
 * were any.
 */
export type Using = {
  counters?: CountersNoted | undefined
  cause?: FailureCause | undefined
}
/**
 * Invocation counters of the set `number`, from `from` on and below `to`, may be sent with from
 * here on.
 */
export type CountersReserved = {
  type: 'COUNTERS_RESERVED'
  time: number
  number: number
  from: number
  to: number
}
/**
 * There are new keys, which the device may have from here on. Of the set that rests, it is to be
 * tried again.
 */
export type KeysPending = {
  type: 'KEYS_PENDING'
  time: number
  number: number
  sealedKeys: Buffer
}
/** A step of the replacement has not proved the new keys; what is next, and when. */
export type KeysTried = Using & {
  type: 'KEYS_TRIED'
  time: number
  number: number
  stage: KeyStage
  outcome: number
  attempt: number
  transfers: number
  transferOutcome: number
  nextAttemptAt: number
}
/**
 * The device has proved that it has the keys of the set `number`: the ones before are not used any
 * more.
 */
export type KeysProved = Using & { type: 'KEYS_PROVED'; time: number; number: number }
/** The same keys, sealed under a newer key-encryption key. */
export type DeviceKeysSealed = {
  type: 'DEVICE_KEYS_SEALED'
  time: number
  number: number
  sealedKeys: Buffer
}
/**
 * An operator accepts the counter of the device as it is now: nothing counts as received under the
 * set `number`, and Busbar sends with `next` and above.
 */
export type CounterAccepted = {
  type: 'COUNTER_ACCEPTED'
  time: number
  number: number
  next: number
}
/** Counters of the set `number` were not used before, after so many restores of the ledger. */
export type CounterConfirmed = {
  type: 'COUNTER_CONFIRMED'
  time: number
  number: number
  restores: number
}
/** Facts of keys alone, of no request. */
export type KeysFact =
  | CountersReserved
  | KeysPending
  | KeysTried
  | KeysProved
  | DeviceKeysSealed
  | CounterAccepted
  | CounterConfirmed

const malformed = (what: string): BrokerError =>
  new BrokerError('ENVELOPE_MALFORMED', `${what} of a fact`)

/** The body of the envelope of `fact`. */
export function keysBody(fact: KeysFact): Buffer {
  switch (fact.type) {
    case 'COUNTERS_RESERVED':
      return reservedBody(fact)
    case 'KEYS_TRIED':
      return triedBody(fact)
    case 'KEYS_PROVED':
      return numbered(fact.number, countersBody(fact.counters))
    case 'COUNTER_ACCEPTED':
      return countersBody({ number: fact.number, next: fact.next, received: -1 })
    case 'COUNTER_CONFIRMED':
      return countersBody({ number: fact.number, next: fact.restores, received: -1 })
    case 'KEYS_PENDING':
    case 'DEVICE_KEYS_SEALED':
      return numbered(fact.number, fact.sealedKeys)
  }
}

// Counters: number u32 | next u40 | received + 1 u40. A counter may stand one past its 32 bits.
const countersBytes = 14
/** Sets are numbered from 1. */
const ofNoSet: CountersNoted = { number: 0, next: 0, received: -1 }

export function countersBody(counters: CountersNoted | undefined): Buffer {
  if (counters === undefined) return emptyBytes
  const body = Buffer.allocUnsafe(countersBytes)
  body.writeUInt32BE(counters.number, 0)
  body.writeUIntBE(counters.next, 4, 5)
  body.writeUIntBE(counters.received + 1, 9, 5)
  return body
}

export function countersIn(body: Buffer, at = 0): CountersNoted | undefined {
  if (body.length === at) return undefined
  if (body.length !== at + countersBytes) throw malformed('counters')
  return {
    number: body.readUInt32BE(at),
    next: body.readUIntBE(at + 4, 5),
    received: body.readUIntBE(at + 9, 5) - 1,
  }
}

/** Counters, then the cause; counters of no set stand in front of a cause without any. */
export function usingBody({ counters, cause }: Using): Buffer {
  if (cause === undefined) return countersBody(counters)
  return Buffer.concat([countersBody(counters ?? ofNoSet), encodeCause(cause)])
}

/** What stands in `body` from `at` on. @throws BrokerError ENVELOPE_MALFORMED */
export function usingIn(body: Buffer, at = 0): Using {
  const end = at + countersBytes
  const counters = countersIn(body.length > end ? body.subarray(0, end) : body, at)
  if (body.length <= end) return counters === undefined ? {} : { counters }
  const cause = decodeCause(body.subarray(end))
  if (cause === undefined) throw malformed('cause')
  return { ...(counters !== undefined && counters.number !== 0 && { counters }), cause }
}

/** `number u32 | from u40 | to u40` */
function reservedBody({ number, from, to }: CountersReserved): Buffer {
  return countersBody({ number, next: from, received: to - 1 })
}

/** `number u32 | octets` */
function numbered(number: number, octets: Buffer): Buffer {
  const front = Buffer.allocUnsafe(4)
  front.writeUInt32BE(number)
  return Buffer.concat([front, octets])
}

/**
 * `number u32 | stage u8 | transfers u8 | outcome of the transfer u16 | counters and cause, when
 * there are any`
 */
function triedBody({ number, stage, transfers, transferOutcome, ...using }: KeysTried): Buffer {
  const front = Buffer.allocUnsafe(8)
  front.writeUInt32BE(number)
  front[4] = KeyStage.indexOf(stage)
  front[5] = transfers
  front.writeUInt16BE(transferOutcome, 6)
  return Buffer.concat([front, usingBody(using)])
}

/**
 * The fact of keys at `buffer[at]`, or undefined when the envelope is another fact. @throws
 * BrokerError ENVELOPE_MALFORMED
 */
export function readKeysFact(buffer: Buffer, at: number): KeysFact | undefined {
  const kind = readKind(buffer, at)
  if (kind < Kind.COUNTERS_RESERVED || kind > Kind.DEVICE_KEYS_SEALED)
    if (kind !== Kind.COUNTER_ACCEPTED && kind !== Kind.COUNTER_CONFIRMED) return undefined
  const time = readTime(buffer, at)
  const body = copyOf(readBodyView(buffer, at))
  if (body.length < 4) throw malformed('keys')
  const number = body.readUInt32BE()
  switch (kind) {
    case Kind.COUNTERS_RESERVED: {
      const { next: from, received } = countersIn(body) ?? { next: 0, received: -1 }
      return { type: 'COUNTERS_RESERVED', time, number, from, to: received + 1 }
    }
    case Kind.COUNTER_ACCEPTED:
      return { type: 'COUNTER_ACCEPTED', time, number, next: countersIn(body)?.next ?? 0 }
    case Kind.COUNTER_CONFIRMED:
      return { type: 'COUNTER_CONFIRMED', time, number, restores: countersIn(body)?.next ?? 0 }
    case Kind.KEYS_TRIED: {
      const stage = KeyStage[body[4] ?? KeyStage.length]
      if (stage === undefined || body.length < 8) throw malformed('stage')
      return {
        type: 'KEYS_TRIED',
        time,
        number,
        stage,
        outcome: readOutcome(buffer, at),
        attempt: readAttempt(buffer, at),
        transfers: body[5]!,
        transferOutcome: body.readUInt16BE(6),
        nextAttemptAt: readDeadline(buffer, at),
        ...usingIn(body, 8),
      }
    }
    case Kind.KEYS_PROVED:
      return { type: 'KEYS_PROVED', time, number, counters: countersIn(body, 4) }
    default: {
      const type = kind === Kind.KEYS_PENDING ? 'KEYS_PENDING' : 'DEVICE_KEYS_SEALED'
      const sealedKeys = body.subarray(4)
      if (!isSealedKeys(sealedKeys)) throw malformed('sealed keys')
      return { type, time, number, sealedKeys }
    }
  }
}
