/** The kinds of actor of a host, and who runs the effects of each. */
import type { LiveDirectory } from '../../../core/access/directory.ts'
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
import type { Mailbox } from '../partition/mailbox.ts'
import type { Partition } from '../partition/partition.ts'
import type { WantedEffect } from '../partition/tick.ts'
import type { Hold } from './host-options.ts'
import type { OwnedPartitions } from './owned-partitions.ts'

export type EffectPortsOptions = {
  partitions: () => Pick<OwnedPartitions, 'get' | 'isFenceCurrent' | 'reload'>
  directory: LiveDirectory
  mailbox: Pick<Mailbox, 'post'>
  hold: Hold
  fail: (fault: unknown) => void
}

/** What effects of all kinds get of their host. */
export function effectPortsOf({
  partitions,
  directory,
  mailbox,
  hold,
  fail,
}: EffectPortsOptions): EffectPorts {
  return {
    get directory() {
      return directory.current
    },
    post({ partition, actor }, message) {
      // The partition may have been given away and taken back meanwhile. One that is being
      // reloaded stays the same object; mail of one that is gone for good is dropped.
      const owner = partitions().get(partition.number) ?? (partition as Partition)
      mailbox.post({ partition: owner, actor, message })
    },
    underWayOf: ({ partition, actor }) => partitions().get(partition.number)?.underWayOf(actor),
    whenOurs(place, action) {
      hold(async () => {
        const { number } = place.partition
        if (partitions().get(number) === undefined) return
        // The fence last: nothing may take time between its answer and what is sent.
        const isFresh = await directory.refresh()
        if (isFresh && (await partitions().isFenceCurrent())) action()
        else await partitions().reload(false)
      }).catch(fail)
    },
  }
}

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
