/** What a kind of actor has that only answers messages: nothing is under way for it, ever. */
import type { ActorKind, HostedKind } from './actor-kind.ts'
import type { ActorEffect, ActorFact } from './effects.ts'
import type { ActorMessage } from './messages.ts'

/** Never woken, nothing to resume, every fact written. */
export const quiet = {
  nextWakeMs: () => 0,
  storedWakeMs: () => 0,
  clockSet: () => undefined,
  loaded: () => undefined,
  isUnfinished: () => false,
  isResumed: false,
  underWay: () => undefined,
  smallerOf: () => undefined,
  isWritten: () => true,
} as const

/** A kind as a host has it, whose effects the runtime carries out: answers, letters, records. */
export const hostedQuiet = <
  State,
  Message extends ActorMessage,
  Fact extends ActorFact,
  Effect extends ActorEffect,
>(
  kind: ActorKind<State, Message, Fact, Effect>,
): HostedKind => ({
  kind: kind as unknown as ActorKind,
  effects: () => ({
    underWayCount: 0,
    isSend: () => false,
    run(_place, { type }: ActorEffect) {
      throw new TypeError(`a ${kind.name} has no effect ${type}`)
    },
  }),
})
