/** The party as a kind of actor: what the runtime must know of it. */
import { decodePartyRecord, encodePartyRecord } from '../../core/access/party-record.ts'
import { ActorKindNumber } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { isLaterVersion } from '../../core/envelope/version.ts'
import { readKind } from '../../core/envelope/envelope.ts'
import { Kind, partyBlocks } from '../../core/envelope/layout.ts'
import type { ActorKind } from '../kind/actor-kind.ts'
import { refuse, type Enter } from '../kind/effects.ts'
import { isArrived, type ActorMessage } from '../kind/messages.ts'
import { hostedQuiet, quiet } from '../kind/quiet-kind.ts'
import { decide, evolve } from './actor.ts'
import { readFact, recordKinds, writeFact, type PartyFact } from './facts.ts'
import type { PartyState } from './state.ts'

export const partyKind: ActorKind<PartyState, ActorMessage, PartyFact, Enter> = {
  ...quiet,
  number: ActorKindNumber.PARTY,
  name: 'party',
  messageKinds: partyBlocks.messages,
  factKinds: partyBlocks.facts,
  recordKinds,
  emptyState: () => ({ record: undefined }),
  decide,
  evolve,
  park(_state, message, now, out) {
    if (isArrived(message)) refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  },
  isKnown: ({ record }) => record !== undefined,
  // Operators suspend parties however little room there is; what they add is small, too. Reports of
  // rejections wait.
  isNew: (message) =>
    isArrived(message) && readKind(message.buffer, message.at) === Kind.REJECTIONS_REPORT,
  writeFact,
  readFact,
  // Only parties with a record have facts, and a state.
  packState: ({ record }) => encodePartyRecord(record!),
  unpackState(packed) {
    try {
      return { record: decodePartyRecord(packed) }
    } catch (cause) {
      if (isLaterVersion(cause)) throw cause
      throw new BrokerError('STORE_DAMAGED', 'the record of a party', { cause })
    }
  },
}

/** The party as a host has it: without effects of its own. */
export const hostedParty = hostedQuiet(partyKind)
