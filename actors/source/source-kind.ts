/** The source as a kind of actor: what the runtime must know of it. */
import { ActorKindNumber } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { sourceBlocks } from '../../core/envelope/layout.ts'
import { isLaterVersion } from '../../core/envelope/version.ts'
import { decodeSourceReport, encodeSourceReport } from '../../core/registration/source-report.ts'
import type { ActorKind } from '../kind/actor-kind.ts'
import { refuse, type Enter } from '../kind/effects.ts'
import { isArrived, type ActorMessage } from '../kind/messages.ts'
import { hostedQuiet, quiet } from '../kind/quiet-kind.ts'
import { decide, evolve } from './actor.ts'
import { readFact, writeFact, type SourceFact } from './facts.ts'
import { emptyState, type SourceBox } from './state.ts'

export const sourceKind: ActorKind<SourceBox, ActorMessage, SourceFact, Enter> = {
  ...quiet,
  number: ActorKindNumber.SOURCE,
  name: 'source',
  messageKinds: sourceBlocks.messages,
  factKinds: sourceBlocks.facts,
  emptyState,
  decide,
  evolve,
  park(_state, message, now, out) {
    if (isArrived(message)) refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  },
  isKnown: ({ source }) => source.sinceMs > 0,
  // Few and small, and what ends a load that was taken in.
  isNew: () => false,
  writeFact,
  readFact,
  packState: ({ source }) => encodeSourceReport(source),
  unpackState(packed) {
    try {
      return { source: decodeSourceReport(packed) }
    } catch (cause) {
      if (isLaterVersion(cause)) throw cause
      throw new BrokerError('STORE_DAMAGED', 'the state of a source', { cause })
    }
  },
}

/** The source as a host has it: without effects of its own. */
export const hostedSource = hostedQuiet(sourceKind)
