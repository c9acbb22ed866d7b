/**
 * The letterbox of a partition, a kind of actor of the runtime's own: how far the letters to its
 * actors have been read. Its fact stands in the frame of the facts to which a letter has led, so
 * that both are in the ledger, the store and every snapshot, or neither is.
 */
import { actorIdOf, ActorKindNumber, type ActorId } from '../../core/base/actor-id.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { isBefore, noLetter, type LetterPlace } from '../../core/base/letter-place.ts'
import { limits } from '../../core/base/limits.ts'
import { emptyBytes, writeOctetsOf } from '../../core/base/bytes.ts'
import { errorId } from '../../core/base/error-table.ts'
import {
  readAttempt,
  readCounter,
  readOriginator,
  readBodyView,
  readKind,
  readOutcome,
  readTime,
  writeSafeU64,
} from '../../core/envelope/envelope.ts'
import {
  headerBytes,
  headerTemplate,
  Kind,
  letterboxBlocks,
  offsetOf,
} from '../../core/envelope/layout.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ActorKind } from './actor-kind.ts'
import { acknowledge, refuse, type Outbox } from './effects.ts'
import { decodeLettersAside, encodeLettersAside, type LettersAside } from './letters-aside.ts'
import type { ActorMessage, Arrived } from './messages.ts'

const nobody = '\0'.repeat(8) as RequestCounter & Eui64
/** There is one in each partition, under the same id: nothing is hashed to find it. */
export const letterboxId: ActorId = actorIdOf(ActorKindNumber.LETTERBOX, nobody)

/**
 * `skipped`: letters behind the last written place that led to nothing; `skippedAt` is when the
 * first of them was decided, UTC ms, and `sender` sent the last one.
 */
export type LetterboxState = {
  place: LetterPlace
  skipped: number
  skippedAt: number
  sender: Eui64
}

/**
 * The letter of `sender` at `place` is decided; `isWritten` when it led to facts, or was parked.
 */
export type LetterDecided = {
  type: 'LETTER_DECIDED'
  sender: Eui64
  place: LetterPlace
  isWritten: boolean
  /** Its addressee failed on it, or there is no such kind of actor: it led to nothing. */
  isParked: boolean
}

/** `time` is that of the decision, UTC ms. */
export type LettersRead = Omit<LetterDecided, 'type'> & { type: 'LETTERS_READ'; time: number }

/** An operator has set letters aside. */
export type LettersSetAside = LettersAside & { type: 'LETTERS_SET_ASIDE'; time: number }

export type LetterboxFact = LettersRead | LettersSetAside

const parked = errorId('DEVICE_ACTOR_PARKED')

export const letterboxKind: ActorKind<LetterboxState, LetterDecided & ActorMessage, LetterboxFact> =
  {
    number: ActorKindNumber.LETTERBOX,
    name: 'letterbox',
    messageKinds: letterboxBlocks.messages,
    factKinds: letterboxBlocks.facts,
    emptyState: () => ({ place: noLetter, skipped: 0, skippedAt: 0, sender: nobody }),
    // Letters that lead to nothing cost a write now and then, so that the ledger may forget them.
    decide(state, message, now, _directory, out) {
      if (message.type === 'LETTER_DECIDED' && 'place' in message) {
        const isDue = state.skipped + 1 >= limits.lettersSkippedMax
        const isWritten = message.isWritten || isDue
        out.facts.push({ ...message, type: 'LETTERS_READ', time: now, isWritten })
      } else if (message.type === 'ARRIVED' && 'buffer' in message) {
        decideAside(state, message, now, out)
      } else if (message.type === 'WAKE' && writeDueAt(state) > 0 && writeDueAt(state) <= now) {
        const { place, sender } = state
        const fact = { place, sender, time: now, isWritten: true, isParked: false }
        out.facts.push({ ...fact, type: 'LETTERS_READ' })
      }
      out.effects.push({ type: 'WAKE_AT', at: writeDueAt(state) })
    },
    evolve(state, fact) {
      if (fact.type === 'LETTERS_SET_ASIDE') {
        state.place = fact.through
        state.skipped = 0
        return
      }
      const { place, isWritten, time, sender } = fact
      const { skipped, skippedAt } = state
      state.place = place
      state.skipped = isWritten ? 0 : skipped + 1
      state.skippedAt = isWritten ? 0 : skipped === 0 ? time : skippedAt
      state.sender = isWritten ? nobody : sender
    },
    park(_state, message, now, out) {
      if (message.type === 'ARRIVED' && 'buffer' in message)
        refuse(out, message, 'ENVELOPE_MALFORMED', now)
    },
    nextWakeMs: writeDueAt,
    storedWakeMs: () => 0,
    clockSet(state, before, after) {
      state.skippedAt -= after - before
    },
    loaded: () => undefined,
    isUnfinished: () => false,
    isResumed: false,
    // The place is in memory alone: asleep, it would be forgotten, and the reader be ahead of it.
    underWay: ({ skipped }) => (skipped > 0 ? skipped : undefined),
    isKnown: ({ place }) => place.sequence > 0,
    isNew: () => false,
    smallerOf: (message) => message,
    isWritten: (fact) => fact.type === 'LETTERS_SET_ASIDE' || fact.isWritten,
    writeFact(frame, _id, fact) {
      const bodyBytes = fact.type === 'LETTERS_SET_ASIDE' ? encodeLettersAside(fact) : emptyBytes
      const at = frame.reserve(headerBytes + bodyBytes.length)
      const buffer = frame.target
      buffer.set(headerTemplate, at)
      buffer[at + offsetOf.kind + 1] = Kind[fact.type]
      const place = fact.type === 'LETTERS_SET_ASIDE' ? fact.through : fact.place
      if (fact.type === 'LETTERS_READ') {
        writeOctetsOf(fact.sender, buffer, at + offsetOf.originator)
        buffer.writeUInt16BE(fact.isParked ? parked : 0, at + offsetOf.outcome)
      }
      writeSafeU64(buffer, fact.time, at + offsetOf.time)
      writeSafeU64(buffer, place.sequence, at + offsetOf.counter)
      buffer.writeUInt16BE(place.index, at + offsetOf.attempt)
      buffer.writeUInt32BE(bodyBytes.length, at + offsetOf.body)
      buffer.set(bodyBytes, at + headerBytes)
      frame.count++
    },
    readFact(buffer, at) {
      const time = readTime(buffer, at)
      if (readKind(buffer, at) === Kind.LETTERS_SET_ASIDE)
        return { type: 'LETTERS_SET_ASIDE', time, ...decodeLettersAside(readBodyView(buffer, at)) }
      return {
        type: 'LETTERS_READ',
        sender: readOriginator(buffer, at),
        place: { sequence: Number(readCounter(buffer, at)), index: readAttempt(buffer, at) },
        time,
        isWritten: true,
        isParked: readOutcome(buffer, at) === parked,
      }
    },
    packState({ place }) {
      const packed = Buffer.alloc(1 + 8 + 4)
      packed[0] = 1
      writeSafeU64(packed, place.sequence, 1)
      packed.writeInt32BE(place.index, 9)
      return packed
    },
    unpackState(packed) {
      const view = Buffer.from(packed)
      if (view.length !== 13 || view[0] !== 1)
        throw new BrokerError('STORE_DAMAGED', 'not the state of a letterbox')
      const sequence = Number(view.readBigUInt64BE(1))
      return {
        ...letterboxKind.emptyState(),
        place: { sequence, index: view.readInt32BE(9) },
      }
    },
  }

/** When the place is to be written though no letter led to anything; 0 for never. */
function writeDueAt({ skipped, skippedAt }: LetterboxState): number {
  return skipped > 0 ? skippedAt + limits.lettersPlaceMs : 0
}

/** Sets letters aside when none was read since the operator looked. */
function decideAside(
  state: LetterboxState,
  message: Arrived,
  now: number,
  out: Outbox<LetterboxFact>,
): void {
  const { buffer, at } = message
  if (readKind(buffer, at) !== Kind.SET_LETTERS_ASIDE)
    return refuse(out, message, 'ENVELOPE_MALFORMED', now)
  const aside = decodeLettersAside(readBodyView(buffer, at))
  const { after, through } = aside
  if (after.sequence !== state.place.sequence || after.index !== state.place.index)
    return refuse(out, message, 'LETTERS_READ_MEANWHILE', now)
  if (!isBefore(after, through)) return refuse(out, message, 'ENVELOPE_MALFORMED', now)
  out.facts.push({ type: 'LETTERS_SET_ASIDE', time: now, ...aside })
  acknowledge(out, message, errorId('REQUEST_ACCEPTED'), now)
}
