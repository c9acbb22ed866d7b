/** A page of a quarantine as a kind of actor: what the runtime must know of it. */
import { decodePage, encodePage } from '../../core/access/quarantine-list.ts'
import { ActorKindNumber } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { quarantinePageBlocks } from '../../core/envelope/layout.ts'
import { isLaterVersion } from '../../core/envelope/version.ts'
import type { ActorKind } from '../kind/actor-kind.ts'
import { refuse } from '../kind/effects.ts'
import { isArrived, type ActorMessage } from '../kind/messages.ts'
import { hostedQuiet, quiet } from '../kind/quiet-kind.ts'
import { decide, evolve } from './actor.ts'
import { readFact, writeFact, type QuarantineListed } from './facts.ts'
import { emptyState, type PageState } from './state.ts'

export const quarantinePageKind: ActorKind<PageState, ActorMessage, QuarantineListed, never> = {
  ...quiet,
  number: ActorKindNumber.QUARANTINE_PAGE,
  name: 'quarantine-page',
  messageKinds: quarantinePageBlocks.messages,
  factKinds: quarantinePageBlocks.facts,
  emptyState,
  decide,
  evolve,
  park(_state, message, now, out) {
    if (isArrived(message)) refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  },
  isKnown: ({ entries }) => entries.length > 0,
  isNew: () => false,
  writeFact,
  readFact,
  packState: ({ entries }) => encodePage(entries),
  unpackState(packed) {
    try {
      return { entries: decodePage(packed) }
    } catch (cause) {
      if (isLaterVersion(cause)) throw cause
      throw new BrokerError('STORE_DAMAGED', 'a page of a quarantine', { cause })
    }
  },
}

/** A page as a host has it: without effects of its own. */
export const hostedQuarantinePage = hostedQuiet(quarantinePageKind)
