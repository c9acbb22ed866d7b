/**
 * Letters: durable messages from one actor to another, of any kinds. An actor sends one by the
 * effect TELL beside a fact; it is written in the same commit, and read by the owner of the
 * addressee's partition in the order of the ledger. A letter that leads to facts does so once,
 * through any crash, because the place up to which letters are read is a fact of the same tick
 * (letterbox.ts). One that leads to nothing may be decided again.
 */
import type { ActorId } from '../../core/base/actor-id.ts'
import type { ActorEffect } from './effects.ts'
import type { ActorMessage } from './messages.ts'

/** Where a letter stands: the sequence of its message of the ledger, and which one in it. */
export type LetterPlace = { readonly sequence: number; readonly index: number }

/** Before every letter. */
export const noLetter: LetterPlace = { sequence: 0, index: -1 }

/** True when `a` stands before `b`. */
export const isBefore = (a: LetterPlace, b: LetterPlace): boolean =>
  a.sequence < b.sequence || (a.sequence === b.sequence && a.index < b.index)

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
