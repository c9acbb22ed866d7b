/** Thresholds as a kind of actor: what the runtime must know of them. */
import { decodeThresholds, encodeThresholds } from '../../core/access/thresholds.ts'
import { ActorKindNumber } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { thresholdBlocks } from '../../core/envelope/layout.ts'
import { isLaterVersion } from '../../core/envelope/version.ts'
import { packTree, readTree } from '../../core/registration/versioned-tree.ts'
import type { ActorKind } from '../kind/actor-kind.ts'
import { refuse, type Enter } from '../kind/effects.ts'
import type { Tell } from '../kind/letters.ts'
import { isArrived, type ActorMessage } from '../kind/messages.ts'
import { hostedQuiet, quiet } from '../kind/quiet-kind.ts'
import { decide, evolve } from './actor.ts'
import { readFact, writeFact, type ThresholdFact } from './facts.ts'
import { emptyState, type ThresholdState } from './state.ts'

type PackedState = [
  record: Uint8Array | null,
  counts: Array<[window: number, passed: number, warned: number]>,
  lastEvent: number,
  held: number,
  pages: Array<[page: number, count: number]>,
]

export const thresholdKind: ActorKind<ThresholdState, ActorMessage, ThresholdFact, Tell | Enter> = {
  ...quiet,
  number: ActorKindNumber.THRESHOLD,
  name: 'threshold',
  messageKinds: thresholdBlocks.messages,
  factKinds: thresholdBlocks.facts,
  emptyState,
  decide,
  evolve,
  park(_state, message, now, out) {
    if (isArrived(message)) refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  },
  isKnown: ({ record, lastEvent }) => record !== undefined || lastEvent > 0,
  // Operators set thresholds however little room there is.
  isNew: () => false,
  writeFact,
  readFact,
  packState: ({ record, counts, lastEvent, held, pages }) =>
    packTree(
      record === undefined ? null : encodeThresholds(record),
      counts.map(({ window, passed, warned }) => [window, passed, warned]),
      lastEvent,
      held,
      [...pages],
    ),
  unpackState(packed) {
    try {
      return readTree(packed, 'the state of thresholds', (members) => {
        const [record, counts, lastEvent, held, pages] = members as PackedState
        return {
          record: record === null ? undefined : decodeThresholds(record),
          counts: counts.map(([window, passed, warned]) => ({ window, passed, warned })),
          lastEvent,
          held,
          pages: new Map(pages),
        }
      })
    } catch (cause) {
      if (isLaterVersion(cause)) throw cause
      throw new BrokerError('STORE_DAMAGED', 'the state of thresholds', { cause })
    }
  },
}

/** Thresholds as a host has them: without effects of their own. */
export const hostedThreshold = hostedQuiet(thresholdKind)
