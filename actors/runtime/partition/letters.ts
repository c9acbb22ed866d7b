/**
 * Letters in a partition: each is decided in its turn, and with what it leads to the place up to
 * which letters are read is written. What a decision may send is checked here, too.
 */
import { kindOfActor, octetsOfActor, type ActorId } from '../../../core/base/actor-id.ts'
import { assert } from '../../../core/base/assert.ts'
import { isBefore, type LetterPlace } from '../../../core/base/letter-place.ts'
import { limits } from '../../../core/base/limits.ts'
import type { Letter } from '../../../core/envelope/letter.ts'
import { isEnter, type Outbox } from '../../kind/effects.ts'
import { letterboxId } from '../../kind/letterbox.ts'
import { isLetter, isTell, type LetterCame, type Tell } from '../../kind/letters.ts'
import type { ActorMessage } from '../../kind/messages.ts'
import type { Tick } from './tick.ts'

/** A partition, as far as letters concern it. */
export interface LetterPartition {
  readonly lettersRead: LetterPlace
  holds(id: ActorId): boolean
  /** @returns true when it gave facts */
  run(id: ActorId, message: ActorMessage, now: number, tick: Tick): boolean
  /** An actor failed on the message that ran last. */
  readonly hasParked: boolean
}

/**
 * Decides a letter when it is the next one. One that is decided already came twice; one that is
 * further on is read again behind those that are missing.
 */
export function processLetter(
  partition: LetterPartition,
  id: ActorId,
  message: LetterCame,
  now: number,
  tick: Tick,
): void {
  const { place, previous, from } = message
  const read = partition.lettersRead
  if (!isBefore(read, place) || isBefore(read, previous)) return
  const isKnown = partition.holds(id) && kindOfActor(id) !== kindOfActor(letterboxId)
  const isChanged = isKnown && partition.run(id, message, now, tick)
  const isParked = !isKnown || partition.hasParked
  const isWritten = isChanged || isParked
  const decided = {
    type: 'LETTER_DECIDED',
    sender: octetsOfActor(from),
    place,
    isWritten,
    isParked,
  }
  partition.run(letterboxId, decided, now, tick)
}

/**
 * @throws AssertionError for a decision that breaks a rule of letters; the message is parked then
 */
export function checkDecision({ facts, deliveries, effects }: Outbox, message: ActorMessage): void {
  let letters = 0
  let records = 0
  for (const effect of effects) {
    if (isEnter(effect)) {
      records++
      const hasRoom = effect.bodyBytes.length <= limits.directoryRecordBytesMax
      assert(hasRoom, 'the directory has room for a record')
    }
    if (!isTell(effect)) continue
    letters++
    assert(effect.bodyBytes.length <= limits.letterBytesMax, 'a letter has room for its body')
  }
  if (letters + records === 0 && deliveries.length === 0) return
  assert(facts.length > 0, 'letters, deliveries and records stand beside a fact')
  assert(letters <= limits.lettersPerDecisionMax, 'a decision sends so many letters')
  if (letters > 0) assert(hopsOf(message) <= limits.letterHopsMax, 'letters lead to one another')
}

/** What `tell`, an effect of `from` on `message`, is as a letter. */
export const letterOf = (
  from: ActorId,
  { to, bodyBytes }: Tell,
  message: ActorMessage,
  now: number,
): Letter => ({ from, to, hops: hopsOf(message), time: now, bodyView: bodyBytes })

/** Of a letter that follows from `message`, the cause of the decision. */
const hopsOf = (message: ActorMessage): number => (isLetter(message) ? message.hops + 1 : 1)
