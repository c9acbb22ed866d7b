/**
 * Wakes of awake actors: actors in slots of time. An actor stands in at most one slot, and is
 * looked at again when the slot comes: a wake that moved later (the rule: most requests end long
 * before their deadline) costs nothing. Sleeping actors' wakes are in the store's index instead,
 * and so are those that are further away than an actor may stay unsaved: an entry that its actor
 * has left stays here until its slot comes.
 */
import type { ActorId } from '../../../core/base/actor-id.ts'

const slotMs = 100
/** Several intervals between two saves. */
const horizonSlots = 60_000 / slotMs

export type Waking = {
  /** When the actor wants to be woken, UTC ms; 0 for never. */
  wakeAt: number
  /** The slot it stands in; 0 for none. */
  slot: number
}

export class WakeWheel {
  private readonly slots = new Map<number, ActorId[]>()
  /** The last slot that has come; 0 before the first. */
  private passed = 0

  /** Sees to it that `actor` is looked at no later than its `wakeAt`, if that is near. */
  schedule(actor: ActorId, waking: Waking): void {
    if (waking.wakeAt === 0) return
    const slot = Math.ceil(waking.wakeAt / slotMs)
    if (waking.slot !== 0 && waking.slot <= slot) return
    if (this.passed > 0 && slot > this.passed + horizonSlots) return
    waking.slot = slot
    const actors = this.slots.get(slot)
    if (actors === undefined) this.slots.set(slot, [actor])
    else actors.push(actor)
  }

  /**
   * Calls `visit` for actors whose slot has come, at most `countMax`; the visitor clears its `slot`
   * and schedules it again if need be. What is left comes first the next time.
   */
  advance(now: number, countMax: number, visit: (actor: ActorId, slot: number) => void): void {
    const until = Math.floor(now / slotMs)
    let left = countMax
    for (const slot of this.due(until)) {
      if (left <= 0) return
      const actors = this.slots.get(slot)!
      const visited = actors.splice(0, left)
      if (actors.length === 0) this.slots.delete(slot)
      left -= visited.length
      for (const actor of visited) visit(actor, slot)
    }
    this.passed = until
  }

  /** Slots with actors, in order. */
  private due(until: number): number[] {
    return [...this.slots.keys()].filter((slot) => slot <= until).sort((a, b) => a - b)
  }
}
