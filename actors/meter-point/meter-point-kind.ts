/** The meter point as a kind of actor: what the runtime must know of it. */
import { ActorKindNumber } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { isLaterVersion } from '../../core/envelope/version.ts'
import { meterPointBlocks } from '../../core/envelope/layout.ts'
import {
  decodeMeterPointReport,
  encodeMeterPointReport,
} from '../../core/registration/meter-point-report.ts'
import type { ActorKind } from '../kind/actor-kind.ts'
import { refuse } from '../kind/effects.ts'
import type { Tell } from '../kind/letters.ts'
import { isArrived, type ActorMessage } from '../kind/messages.ts'
import { hostedQuiet, quiet } from '../kind/quiet-kind.ts'
import { decide, evolve } from './actor.ts'
import { readFact, writeFact, type MeterPointFact } from './facts.ts'
import { emptyState, type MeterPointState } from './state.ts'

export const meterPointKind: ActorKind<MeterPointState, ActorMessage, MeterPointFact, Tell> = {
  ...quiet,
  number: ActorKindNumber.METER_POINT,
  name: 'meter-point',
  messageKinds: meterPointBlocks.messages,
  factKinds: meterPointBlocks.facts,
  emptyState,
  decide,
  evolve,
  park(_state, message, now, out) {
    if (isArrived(message)) refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  },
  isKnown: ({ version }) => version > 0,
  // Bulk: registration files wait for room.
  isNew: isArrived,
  writeFact,
  readFact,
  packState: encodeMeterPointReport,
  unpackState(packed) {
    try {
      return { ...decodeMeterPointReport(packed) }
    } catch (cause) {
      if (isLaterVersion(cause)) throw cause
      throw new BrokerError('STORE_DAMAGED', 'the state of a meter point', { cause })
    }
  },
}

/** The meter point as a host has it: without effects of its own. */
export const hostedMeterPoint = hostedQuiet(meterPointKind)
