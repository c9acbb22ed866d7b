/**
 * Where a letter between actors stands in the ledger: the sequence of its message, and which one in
 * it. A backup brings sequences back as they were, so a place means the same letter for good.
 */
export type LetterPlace = { readonly sequence: number; readonly index: number }

/** Before every letter. */
export const noLetter: LetterPlace = { sequence: 0, index: -1 }

/** True when `a` stands before `b`. */
export const isBefore = (a: LetterPlace, b: LetterPlace): boolean =>
  a.sequence < b.sequence || (a.sequence === b.sequence && a.index < b.index)
