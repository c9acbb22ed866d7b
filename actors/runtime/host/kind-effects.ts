/** The kinds of actor of a host, and who runs the effects of each. */
import { kindOfActor } from '../../../core/base/actor-id.ts'
import {
  ActorKinds,
  type ActorKind,
  type ActorPlace,
  type EffectPorts,
  type HostedKind,
  type KindEffects,
  type StoredPartition,
} from '../../kind/actor-kind.ts'
import { isAnswer, type ActorEffect } from '../../kind/effects.ts'
import { letterboxKind } from '../../kind/letterbox.ts'
import type { WantedEffect } from '../partition/tick.ts'

export class HostedKinds {
  readonly kinds: ActorKinds
  private readonly effects = new Map<number, KindEffects>()

  constructor(hosted: readonly HostedKind[], ports: EffectPorts) {
    // Each partition has a letterbox, which has no effects.
    this.kinds = new ActorKinds([letterboxKind as ActorKind, ...hosted.map(({ kind }) => kind)])
    for (const { kind, effects } of hosted) this.effects.set(kind.number, effects(ports))
  }

  /** What is on its way for actors of all kinds. */
  get underWayCount(): number {
    let count = 0
    for (const effects of this.effects.values()) count += effects.underWayCount
    return count
  }

  /** True when one of `wanted` may have an effect outside. */
  hasSends(wanted: readonly WantedEffect[]): boolean {
    for (const { place, effect } of wanted)
      if (!isAnswer(effect) && this.of(place).isSend(effect)) return true
    return false
  }

  run(place: ActorPlace, effect: ActorEffect): void {
    if (isAnswer(effect)) effect.replyTo?.answer(effect)
    else this.of(place).run(place, effect)
  }

  look(elapsedMs: number, partitions: Iterable<StoredPartition>): void {
    for (const effects of this.effects.values()) effects.look?.(elapsedMs, partitions)
  }

  close(): void {
    for (const effects of this.effects.values()) effects.close?.()
  }

  private of({ actor }: ActorPlace): KindEffects {
    // The partition has found its kind before.
    return this.effects.get(kindOfActor(actor))!
  }
}
