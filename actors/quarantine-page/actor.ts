/**
 * One page of the list of what a party has in quarantine: a place of its own beside the party's
 * thresholds, whose state stays small. They alone write to it, by letters. Pure.
 */
import { decodeCount } from '../../core/access/count-letters.ts'
import type { Directory } from '../../core/access/directory.ts'
import { encodePage } from '../../core/access/quarantine-list.ts'
import { ActorKindNumber, kindOfActor } from '../../core/base/actor-id.ts'
import { Kind } from '../../core/envelope/layout.ts'
import type { Outbox } from '../kind/effects.ts'
import { isLetter } from '../kind/letters.ts'
import { isArrived, type ActorMessage } from '../kind/messages.ts'
import type { QuarantineListed } from './facts.ts'
import type { PageState } from './state.ts'

/** A page answers what is asked of it, and never asks to be woken. */
export function decide(
  { entries }: PageState,
  message: ActorMessage,
  now: number,
  _directory: Directory,
  out: Outbox<QuarantineListed, never>,
): void {
  if (isArrived(message)) {
    const { replyTo } = message
    const bodyBytes = encodePage(entries)
    out.effects.push({ type: 'REPORT', kind: Kind.QUARANTINE_PAGE, replyTo, bodyBytes })
    return
  }
  if (!isLetter(message) || kindOfActor(message.from) !== ActorKindNumber.THRESHOLD) return
  const listed = decodeCount(message.bodyBytes)
  if (listed.word === 'LISTED' || listed.word === 'UNLISTED')
    out.facts.push({ type: 'QUARANTINE_LISTED', time: now, listed })
}

/** The only place that changes the state. */
export function evolve(state: PageState, { listed }: QuarantineListed): void {
  const { word, originator, event } = listed
  if (word === 'LISTED') state.entries = [...state.entries, listed]
  else
    state.entries = state.entries.filter(
      (one) => one.event !== event || one.originator !== originator,
    )
}
