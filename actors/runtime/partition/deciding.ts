/**
 * One actor decides one message: facts go into the partition's frame and the actor's state,
 * deliveries and letters into the tick, effects wait until all of it is on disk. An actor that
 * fails is parked; the others go on.
 */
import { octetsOfActor, textOfActor, type ActorId } from '../../../core/base/actor-id.ts'
import { chainLinkBytes, type FrameWriter } from '../../../core/envelope/frame.ts'
import type { Log } from '../../../core/ports/log.ts'
import {
  emptyOutbox,
  isEnter,
  isRecordOnly,
  isWakeAt,
  refuse,
  type ActorEffect,
  type ActorFact,
  type Outbox,
  type RecordOnly,
} from '../../kind/effects.ts'
import { isTell } from '../../kind/letters.ts'
import { next, type ActorMessage } from '../../kind/messages.ts'
import type { Awake } from './awake.ts'
import { checkDecision, letterOf } from './letters.ts'
import type { Tick } from './tick.ts'

/** Whether the host has room for the record of one rejection now. */
export type MayRecord = (instead: NonNullable<RecordOnly['instead']>) => boolean

export type DecidingPorts = {
  partition: { readonly number: number }
  /** Of the deployment. */
  partitionCount: number
  /** Facts of the present tick. */
  frame: FrameWriter
  log: Log
  /** How often the ledger was restored. */
  restores?: number | undefined
  /** Left out, no rejection is recorded. */
  mayRecord?: MayRecord | undefined
  onParked: () => void
  markDirty(id: ActorId, actor: Awake): void
  schedule(id: ActorId, actor: Awake): void
}

export class Deciding {
  private readonly ports: DecidingPorts
  private readonly outbox: Outbox
  /** What the present decision follows from. */
  private cause: ActorMessage = next
  /** The actor failed on the message that ran last; not on what followed from its facts. */
  hasParked = false

  constructor(ports: DecidingPorts) {
    this.ports = ports
    this.outbox = { facts: [], deliveries: [], effects: [], restores: ports.restores ?? 0 }
  }

  /** Decides `message`, and what follows when it gave facts. @returns whether it did */
  run(id: ActorId, actor: Awake, message: ActorMessage, now: number, tick: Tick): boolean {
    this.cause = message
    this.hasParked = false
    const isChanged = this.step(id, actor, message, now, tick)
    if (isChanged && message.type !== 'NEXT') this.step(id, actor, next, now, tick)
    emptyOutbox(this.outbox)
    return isChanged
  }

  /** Changes the state by `fact`. */
  apply(actor: Awake, fact: ActorFact, id: ActorId): void {
    try {
      actor.kind.evolve(actor.state, fact, octetsOfActor(id))
    } catch (fault) {
      // The fact is in the ledger for good: the partition must go on past it, today and at every
      // replay.
      this.parked(id, fact.type, fault, 'a fact could not be applied')
    }
  }

  /** True when it gave facts. */
  private step(id: ActorId, actor: Awake, message: ActorMessage, now: number, tick: Tick): boolean {
    const { outbox, cause } = this
    const { frame, markDirty } = this.ports
    const { kind, state } = actor
    emptyOutbox(outbox)
    try {
      kind.decide(state, message, now, tick.directory, outbox)
      checkDecision(outbox, cause)
    } catch (fault) {
      this.hasParked ||= message === cause
      emptyOutbox(outbox)
      this.parked(id, message.type, fault, 'an actor failed on a message, which is parked')
      this.park(id, actor, message, now)
    }
    const octets = octetsOfActor(id)
    for (const fact of outbox.facts) {
      if (kind.isWritten(fact)) {
        if (frame.count === 0) frame.reserve(chainLinkBytes)
        kind.writeFact(frame, octets, fact)
        markDirty(id, actor)
      }
      this.apply(actor, fact, id)
    }
    for (const delivery of outbox.deliveries) tick.deliver(octets, delivery)
    for (const effect of outbox.effects) this.want(id, actor, effect, now, tick)
    return outbox.facts.length > 0
  }

  /** What is left to say of a message on which the actor has failed; a refusal at the least. */
  private park(id: ActorId, { kind, state }: Awake, message: ActorMessage, now: number): void {
    const { outbox } = this
    try {
      kind.park(state, message, now, outbox)
      checkDecision(outbox, this.cause)
    } catch (fault) {
      emptyOutbox(outbox)
      this.parked(id, message.type, fault, 'an actor failed on parking a message')
      if (message.replyTo !== undefined)
        refuse(outbox, { replyTo: message.replyTo }, 'DEVICE_ACTOR_PARKED', now)
    }
  }

  private want(id: ActorId, actor: Awake, effect: ActorEffect, now: number, tick: Tick): void {
    const { partition, partitionCount, schedule } = this.ports
    if (isWakeAt(effect)) {
      actor.wakeAt = effect.at
      schedule(id, actor)
    } else if (isEnter(effect)) tick.enter(id, effect.bodyBytes)
    else if (isRecordOnly(effect)) this.record(id, actor, effect, tick)
    else if (isTell(effect)) tick.tell(partitionCount, letterOf(id, effect, this.cause, now))
    else tick.effect({ partition, actor: id }, effect)
  }

  /** Writes a fact that changes nothing, or counts it. */
  private record(id: ActorId, { kind }: Awake, { fact, instead }: RecordOnly, tick: Tick): void {
    const { frame, mayRecord } = this.ports
    if (instead !== undefined && mayRecord?.(instead) !== true)
      return tick.countRejection(instead.party, instead.outcome)
    if (frame.count === 0) frame.reserve(chainLinkBytes)
    kind.writeFact(frame, octetsOfActor(id), fact)
  }

  private parked(id: ActorId, what: string, fault: unknown, text: string): void {
    const { onParked, log, partition } = this.ports
    onParked()
    log.error(
      { partition: partition.number, device: textOfActor(id), what, fault: String(fault) },
      text,
    )
  }
}
