/**
 * Letters: durable messages from one actor to another, of any kinds. An actor sends one by the
 * effect TELL beside a fact; it is written in the same commit, and read by the owner of the
 * addressee's partition in the order of the ledger. A letter that leads to facts does so once,
 * through any crash, because the place up to which letters are read is a fact of the same tick
 * (letterbox.ts). One that leads to nothing may be decided again.
 */
import type { ActorId } from '../../core/base/actor-id.ts'
import type { LetterPlace } from '../../core/base/letter-place.ts'
import type { ActorEffect } from './effects.ts'
import type { ActorMessage } from './messages.ts'

/** A letter has come. `previous` is the place of the one before it in its partition. */
export type LetterCame = {
  type: 'LETTER'
  from: ActorId
  place: LetterPlace
  previous: LetterPlace
  hops: number
  /** Owned. */
  bodyBytes: Buffer
}

/**
 * Sends a letter; only beside a fact. At most `letterBytesMax`, and `lettersPerDecisionMax` of
 * them.
 */
export type Tell = { type: 'TELL'; to: ActorId; bodyBytes: Buffer }

export const isTell = (effect: ActorEffect): effect is Tell => effect.type === 'TELL'
export const isLetter = (message: ActorMessage): message is LetterCame => message.type === 'LETTER'
