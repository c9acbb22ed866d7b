/**
 * Letters that are not behind the snapshot of their partition. They stay in the ledger, and so does
 * the tick of the commit in which they stand: a backup then has all of them under their sequences,
 * and the host that brings the partition up from its snapshot finds them.
 */
import { isBefore, noLetter, type LetterPlace } from '../../../core/base/letter-place.ts'
import { limits } from '../../../core/base/limits.ts'
import { lettersSubject } from '../../../core/cluster/letters-subject.ts'
import { readTime } from '../../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../../core/envelope/frame.ts'
import { isTickSubject, type Ledger, type LedgerMessage } from '../../../core/ports/ledger.ts'

/** The oldest unread letter of a partition: where its message stands, and when it was sent. */
export type UnreadLetter = { partition: number; sequence: number; sentAtMs: number }

/** Ends the reading: the first one is found. */
class Found {
  readonly letter: { sequence: number; sentAtMs: number }
  constructor(sequence: number, sentAtMs: number) {
    this.letter = { sequence, sentAtMs }
  }
}

/**
 * The first letter of `partition` behind `read`, or undefined. @throws BrokerError
 * BROKER_LEDGER_UNAVAILABLE, FRAME_MALFORMED, ENVELOPE_MALFORMED
 */
export async function firstUnread(
  ledger: Pick<Ledger, 'lastOn' | 'read'>,
  partition: number,
  read: LetterPlace = noLetter,
): Promise<UnreadLetter | undefined> {
  const subject = lettersSubject(partition)
  const last = await ledger.lastOn(subject)
  if (last === undefined || last.sequence < read.sequence) return undefined
  try {
    await ledger.read(subject, Math.max(1, read.sequence), (message) => {
      const unread = lettersIn(message).find(({ place }) => isBefore(read, place))
      if (unread !== undefined) throw new Found(message.sequence, unread.sentAtMs)
    })
  } catch (found) {
    if (!(found instanceof Found)) throw found
    return { partition, ...found.letter }
  }
  return undefined
}

/** The letters of a message of letters: their places, when they were sent, where they stand. */
export function lettersIn({ sequence, data }: Pick<LedgerMessage, 'sequence' | 'data'>): Array<{
  place: LetterPlace
  sentAtMs: number
  at: number
}> {
  const found: Array<{ place: LetterPlace; sentAtMs: number; at: number }> = []
  forEachEnvelope(data, 0, (at) => {
    const place = { sequence, index: found.length }
    found.push({ place, sentAtMs: readTime(data, at), at })
  })
  return found
}

/**
 * Sequence of the tick that the letters at `sequence` were committed with; `sequence` itself when
 * that tick is not there any more.
 */
export async function tickOfLetters(ledger: Pick<Ledger, 'at'>, sequence: number): Promise<number> {
  const oldest = Math.max(1, sequence - limits.ledgerBatchMessagesMax)
  for (let before = sequence - 1; before >= oldest; before--) {
    const message = await ledger.at(before)
    if (message !== undefined && isTickSubject(message.subject)) return before
  }
  return sequence
}
