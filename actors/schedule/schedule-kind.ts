/** The schedules of a device as a kind of actor: what the runtime must know of them. */
import { ActorKindNumber } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { latin1Of } from '../../core/base/bytes.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { scheduleBlocks } from '../../core/envelope/layout.ts'
import { isLaterVersion } from '../../core/envelope/version.ts'
import { packTree, readTree } from '../../core/registration/versioned-tree.ts'
import { packedSchedule, scheduleIn, type PackedSchedule } from '../../core/schedule/schedule.ts'
import type { ActorKind } from '../kind/actor-kind.ts'
import type { Tell } from '../kind/letters.ts'
import type { ActorMessage } from '../kind/messages.ts'
import { hostedQuiet, quiet } from '../kind/quiet-kind.ts'
import { decide, evolve, park } from './actor.ts'
import { readFact, writeFact, type ScheduleFact } from './facts.ts'
import { emptyState, firstDueMs, plannedOf, type ScheduleState } from './state.ts'

type PackedState = [
  device: Uint8Array,
  lastId: number,
  schedules: Array<[schedule: PackedSchedule, offset: number]>,
]

export const scheduleKind: ActorKind<ScheduleState, ActorMessage, ScheduleFact, Tell> = {
  ...quiet,
  number: ActorKindNumber.SCHEDULE,
  name: 'schedule',
  messageKinds: scheduleBlocks.messages,
  factKinds: scheduleBlocks.facts,
  emptyState,
  decide,
  evolve,
  park,
  nextWakeMs: firstDueMs,
  storedWakeMs: firstDueMs,
  isKnown: ({ lastId }) => lastId > 0,
  isNew: () => false,
  writeFact,
  readFact,
  packState: ({ device, lastId, schedules }) =>
    packTree(
      Buffer.from(device, 'latin1'),
      lastId,
      schedules.map((one) => [packedSchedule(one), one.offset]),
    ),
  unpackState(packed) {
    try {
      return readTree(packed, 'the state of schedules', (members) => {
        const [device, lastId, schedules] = members as PackedState
        return {
          device: latin1Of(device) as Eui64,
          lastId,
          schedules: schedules.map(([one, offset]) => plannedOf(scheduleIn(one), offset)),
        }
      })
    } catch (cause) {
      if (isLaterVersion(cause)) throw cause
      throw new BrokerError('STORE_DAMAGED', 'the state of schedules', { cause })
    }
  },
}

/** Schedules as a host has them: without effects of their own. */
export const hostedSchedule = hostedQuiet(scheduleKind)
