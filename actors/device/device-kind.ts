/**
 * The device as a kind of actor: what the runtime must know of it, gathered from the files beside.
 */
import { ActorKindNumber } from '../../core/base/actor-id.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { errorId } from '../../core/base/error-table.ts'
import { readKind } from '../../core/envelope/envelope.ts'
import { deviceBlocks, Kind } from '../../core/envelope/layout.ts'
import type { Tell } from '../kind/letters.ts'
import type { ActorKind } from '../kind/actor-kind.ts'
import { decide, evolve, park } from './actor.ts'
import { clockSet } from './clock-set.ts'
import type { DeviceEffect } from './effects.ts'
import { isWritten, readFact, writeFact, type DeviceFact } from './facts.ts'
import type { DeviceMessage } from './messages.ts'
import { packState, unpackState } from './state-codec.ts'
import { claimRecord, emptyState, isUnfinished, loaded, type DeviceState } from './state.ts'
import { nextWakeMs, storedWakeMs } from './wakes.ts'

export const deviceKind: ActorKind<DeviceState, DeviceMessage, DeviceFact, DeviceEffect | Tell> = {
  number: ActorKindNumber.DEVICE,
  name: 'device',
  messageKinds: deviceBlocks.messages,
  factKinds: deviceBlocks.facts,
  recordKinds: new Set([Kind.REQUEST_REJECTED]),
  emptyState,
  decide,
  evolve(state, fact, device) {
    evolve(state, fact)
    if (fact.type === 'DEVICE_REGISTERED' || fact.type === 'DEVICE_ADDRESSED')
      claimRecord(state, device)
  },
  park,
  nextWakeMs,
  storedWakeMs,
  clockSet,
  loaded,
  isUnfinished,
  isResumed: true,
  underWay: ({ sent, keyStep }) => sent ?? keyStep,
  isKnown: ({ record }) => record !== undefined,
  isNew,
  smallerOf,
  isWritten,
  writeFact,
  readFact,
  packState,
  unpackState,
}

function isNew(message: DeviceMessage): boolean {
  if (message.type === 'PUSH_OPENED') return true
  if (message.type !== 'ARRIVED') return false
  const kind = readKind(message.buffer, message.at)
  return isRequest(kind) || kind === Kind.DEVICE_PUSH
}

const isRequest = (kind: Kind): boolean =>
  kind === Kind.SERVICE_REQUEST ||
  kind === Kind.SIGNED_REQUEST ||
  kind === Kind.SEQUENCED_REQUEST ||
  kind === Kind.FUTURE_REQUEST

/** An answer goes on as one that was too large. */
function smallerOf(message: DeviceMessage): DeviceMessage | undefined {
  const { type } = message
  if (type === 'ARRIVED' || type === 'PUSH_OPENED' || type === 'LETTER') return undefined
  if (type !== 'ANSWERED' || message.bodyBytes.length === 0) return message
  return { ...message, outcome: errorId('DLMS_SIZE_EXCEEDED'), bodyBytes: emptyBytes }
}
