/**
 * Which actors of a partition are to be woken: awake ones by the wheel, sleeping ones by the index
 * of the store.
 */
import type { ActorId } from '../../../core/base/actor-id.ts'
import type { PartitionStore } from '../../../core/ports/store.ts'
import type { Awake, AwakeActors } from './awake.ts'
import { IndexWalk } from './wake-index.ts'
import { WakeWheel } from './wake-wheel.ts'

/** Lags in ms: by how much the clock was set back since the start; below zero: set forward. */
export type ClockSet = { readonly before: number; readonly after: number }

export type WakesPorts = {
  readonly awake: AwakeActors
  readonly store: PartitionStore
  readonly actorsAwakeMax: number
  /** Loads the state of a sleeping actor. */
  wake(id: ActorId, now: number): Awake
  markDirty(id: ActorId, actor: Awake): void
}

export class Wakes {
  private readonly ports: WakesPorts
  private wheel = new WakeWheel()
  private readonly walk = new IndexWalk()

  constructor(ports: WakesPorts) {
    this.ports = ports
  }

  /** Sees to it that actor `id` is looked at when its `wakeAt` has come. */
  schedule(id: ActorId, actor: Awake): void {
    this.wheel.schedule(id, actor)
  }

  /** The store is read from its beginning. */
  restart(): void {
    this.walk.restart()
  }

  /** The clock of this host was set. What awake actors have planned is moved with it. */
  clockSet({ before, after }: ClockSet): void {
    const { awake, markDirty } = this.ports
    for (const { kind, state } of awake.values()) kind.clockSet(state, before, after)
    if (after < before) return
    this.wheel = new WakeWheel()
    for (const [id, actor] of awake) {
      actor.slot = 0
      if (actor.wakeAt === 0) continue
      actor.wakeAt = Math.max(1, actor.wakeAt - (after - before))
      this.wheel.schedule(id, actor)
      // The index has it as it was.
      markDirty(id, actor)
    }
  }

  /** As `clockSet` does, for an actor that may have been asleep then. */
  clockSetFor(id: ActorId, now: number, { before, after }: ClockSet): void {
    const { awake, markDirty, wake } = this.ports
    const isAsleep = !awake.has(id)
    const actor = wake(id, now)
    if (isAsleep) actor.kind.clockSet(actor.state, before, after)
    markDirty(id, actor)
  }

  /** Up to `countMax` awake actors whose time has come. */
  dueAwake(now: number, countMax: number): ActorId[] {
    const actors: ActorId[] = []
    this.wheel.advance(now, countMax, (id, slot) => {
      const actor = this.ports.awake.get(id)
      if (actor === undefined || actor.slot !== slot) return
      actor.slot = 0
      if (actor.wakeAt !== 0 && actor.wakeAt <= now) actors.push(id)
      else this.wheel.schedule(id, actor)
    })
    return actors
  }

  /**
   * Adds actors that the index names, and loads them. It is behind for actors that are awake:
   * with `mayBegin` a walk begins, after the save of all that the last one has woken. @returns true
   * when any was found
   */
  dueStored(now: number, countMax: number, actors: ActorId[], mayBegin: boolean): boolean {
    const { awake, store, actorsAwakeMax, wake, markDirty } = this.ports
    // Many wait for room in memory.
    if (awake.size > actorsAwakeMax) return false
    if (!this.walk.isUnderWay && (!mayBegin || (store.nextWakeMs() ?? Infinity) > now)) return false
    const found = this.walk.next(store, now, countMax)
    for (const { actor: id } of found) {
      const known = awake.get(id)
      // What is awake is woken by the wheel, unless its wake was too far away for it.
      if (known === undefined || (known.slot === 0 && known.wakeAt !== 0 && known.wakeAt <= now))
        actors.push(id)
      markDirty(id, known ?? wake(id, now))
    }
    return found.length > 0
  }
}
