/**
 * The kind of actor that tests have: a sum, to which TRIAL_ADD envelopes add their counter. It asks
 * to be woken when `deadline` comes, fails on 13, and keeps nothing of 0.
 */
import { actorIdOf, ActorKindNumber, octetsOfActor } from '../../core/base/actor-id.ts'
import { readEui64 } from '../../core/base/eui64.ts'
import {
  readBodyView,
  readCorrelation,
  readCounter,
  readDeadline,
  readLane,
  writeEnvelope,
  type Header,
} from '../../core/envelope/envelope.ts'
import { headerBytes, Kind, offsetOf, trialBlocks } from '../../core/envelope/layout.ts'
import { Lane } from '../../core/base/lane.ts'
import { errorId } from '../../core/base/error-table.ts'
import type { Srv } from '../../core/base/srv.ts'
import type { ActorKind, HostedKind } from '../../actors/kind/actor-kind.ts'
import { acknowledge, refuse, type ActorEffect } from '../../actors/kind/effects.ts'
import { isLetter, type Tell } from '../../actors/kind/letters.ts'
import type { ActorMessage } from '../../actors/kind/messages.ts'

type Trial = { sum: number; wakeAt: number; wakes: number }
/**
 * `sum` is that after it, as its decision had it; `directory` the sequence of the directory that it
 * was made by.
 */
export type Added = {
  type: 'TRIAL_ADDED'
  value: number
  sum: number
  wakeAt: number
  isWake: boolean
  directory: number
}

const accepted = errorId('REQUEST_ACCEPTED')

/** A letter that adds `value`, and is answered `left` times. */
function tellOf(octets: Uint8Array, value: number, left: number): Tell {
  const bodyBytes = Buffer.alloc(5)
  bodyBytes.writeUInt32BE(value, 0)
  bodyBytes[4] = left
  return { type: 'TELL', to: actorIdOf(ActorKindNumber.TRIAL, readEui64(octets)), bodyBytes }
}

export const trialKind: ActorKind<Trial, ActorMessage, Added, Tell> = {
  number: ActorKindNumber.TRIAL,
  name: 'trial',
  messageKinds: trialBlocks.messages,
  factKinds: trialBlocks.facts,
  emptyState: () => ({ sum: 0, wakeAt: 0, wakes: 0 }),
  decide(state, message, now, { sequence: directory }, out) {
    if ('buffer' in message && message.type === 'ARRIVED') {
      const value = Number(readCounter(message.buffer, message.at))
      if (value === 13) throw new TypeError('poison')
      const wakeAt = readDeadline(message.buffer, message.at)
      const sum = state.sum + value
      if (value > 0)
        out.facts.push({ type: 'TRIAL_ADDED', value, sum, wakeAt, isWake: false, directory })
      // With a body it tells another trial, which tells this one, and so on.
      const body = readBodyView(message.buffer, message.at)
      if (body.length === 9) out.effects.push(tellOf(body.subarray(0, 8), value * 16 + 1, body[8]!))
      acknowledge(out, message, accepted, now)
    } else if (isLetter(message)) {
      const value = message.bodyBytes.readUInt32BE(0)
      const left = message.bodyBytes[4]!
      if (value === 13 * 16 + 1) throw new TypeError('poison')
      const { wakeAt } = state
      const sum = state.sum + value
      // A letter of 0 leads to nothing.
      if (value === 0) return
      out.facts.push({ type: 'TRIAL_ADDED', value, sum, wakeAt, isWake: false, directory })
      const sender = Buffer.from(octetsOfActor(message.from), 'latin1')
      if (left > 0) out.effects.push(tellOf(sender, value + 1, left - 1))
    } else if (message.type === 'WAKE' && state.wakeAt > 0 && state.wakeAt <= now)
      out.facts.push({
        type: 'TRIAL_ADDED',
        value: 0,
        sum: state.sum,
        wakeAt: 0,
        isWake: true,
        directory,
      })
    out.effects.push({ type: 'WAKE_AT', at: state.wakeAt })
  },
  evolve(state, { value, wakeAt, isWake }) {
    state.sum += value
    state.wakeAt = wakeAt
    if (isWake) state.wakes++
  },
  park(_state, message, now, out) {
    if ('buffer' in message) refuse(out, message, 'DEVICE_ACTOR_PARKED', now)
  },
  nextWakeMs: ({ wakeAt }) => wakeAt,
  storedWakeMs: ({ wakeAt }) => wakeAt,
  clockSet: () => undefined,
  loaded: () => undefined,
  isUnfinished: () => false,
  isResumed: true,
  underWay: () => undefined,
  isKnown: ({ sum }) => sum > 0,
  isNew: (message) => message.type === 'ARRIVED',
  smallerOf: () => undefined,
  isWritten: () => true,
  writeFact(frame, id, fact) {
    const at = frame.reserve(headerBytes)
    writeEnvelope(frame.target, at, headerOf(id, fact), none)
    frame.count++
  },
  readFact: readAdded,
  packState: (state) => Buffer.from(JSON.stringify(state)),
  unpackState: (packed) => JSON.parse(Buffer.from(packed).toString()) as Trial,
}

const none = Buffer.alloc(0)

function octetsOf(number: number): Buffer {
  const octets = Buffer.alloc(8)
  octets.writeBigUInt64BE(BigInt(number))
  return octets
}

const headerOf = (id: string, { value, sum, wakeAt, isWake, directory }: Added): Header => ({
  kind: Kind.TRIAL_ADDED,
  lane: isWake ? Lane.BULK : Lane.NORMAL,
  srv: 0 as Srv,
  outcome: 0,
  bodyType: 0,
  attempt: 0,
  originator: octetsOf(directory),
  target: Buffer.from(id, 'latin1'),
  counter: BigInt(value),
  time: 0,
  deadline: wakeAt,
  correlation: sum,
})

/** The fact at `buffer[at]`. */
export function readAdded(buffer: Buffer, at: number): Added {
  return {
    type: 'TRIAL_ADDED',
    value: Number(readCounter(buffer, at)),
    sum: readCorrelation(buffer, at),
    wakeAt: readDeadline(buffer, at),
    isWake: readLane(buffer, at) === Lane.BULK,
    directory: Number(buffer.readBigUInt64BE(at + offsetOf.originator)),
  }
}

/** Hosted without effects of its own. */
export const hostedTrial: HostedKind = {
  kind: trialKind as ActorKind,
  effects: () => ({
    underWayCount: 0,
    isSend: () => false,
    run: (_place, effect: ActorEffect) => {
      throw new TypeError(`no effect ${effect.type}`)
    },
  }),
}
