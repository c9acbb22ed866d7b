/**
 * Wakes of awake actors: devices in slots of time. An actor stands in at most one slot, and is looked at again when
 * the slot comes: a wake that moved later (the rule: most requests end long before their deadline) costs nothing.
 * Sleeping actors' wakes are in the store's index instead, and so are those that are further away than an actor may
 * stay unsaved: an entry that its actor has left stays here until its slot comes.
 */
import type { Eui64 } from '../../../core/base/eui64.ts'

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
  private readonly slots = new Map<number, Eui64[]>()
  /** The last slot that has come; 0 before the first. */
  private passed = 0

  /** Sees to it that `device` is looked at no later than its `wakeAt`, if that is near. */
  schedule(device: Eui64, waking: Waking): void {
    if (waking.wakeAt === 0) return
    const slot = Math.ceil(waking.wakeAt / slotMs)
    if (waking.slot !== 0 && waking.slot <= slot) return
    if (this.passed > 0 && slot > this.passed + horizonSlots) return
    waking.slot = slot
    const devices = this.slots.get(slot)
    if (devices === undefined) this.slots.set(slot, [device])
    else devices.push(device)
  }

  /**
   * Calls `visit` for devices whose slot has come, at most `countMax`; the visitor clears its `slot` and schedules it again if need be. What is
   * left comes first the next time.
   */
  advance(now: number, countMax: number, visit: (device: Eui64, slot: number) => void): void {
    const until = Math.floor(now / slotMs)
    let left = countMax
    for (const slot of this.due(until)) {
      if (left <= 0) return
      const devices = this.slots.get(slot)!
      const visited = devices.splice(0, left)
      if (devices.length === 0) this.slots.delete(slot)
      left -= visited.length
      for (const device of visited) visit(device, slot)
    }
    this.passed = until
  }

  /** Slots with devices, in order. */
  private due(until: number): number[] {
    return [...this.slots.keys()].filter((slot) => slot <= until).sort((a, b) => a - b)
  }
}
