/**
 * Wakes of awake actors: devices in slots of time. An actor stands in at most one slot, and is looked at again when
 * the slot comes: a wake that moved later (the rule: most requests end long before their deadline) costs nothing.
 * Sleeping actors' wakes are in the store's index instead.
 */
import type { Eui64Key } from '../../core/base/eui64.ts'

const slotMs = 100

export type Waking = {
  /** When the actor wants to be woken, UTC ms; 0 for never. */
  wakeAt: number
  /** The slot it stands in; 0 for none. */
  slot: number
}

export class WakeWheel {
  private readonly slots = new Map<number, Eui64Key[]>()

  /** Sees to it that `device` is looked at no later than its `wakeAt`. */
  schedule(device: Eui64Key, waking: Waking): void {
    if (waking.wakeAt === 0) return
    const slot = Math.ceil(waking.wakeAt / slotMs)
    if (waking.slot !== 0 && waking.slot <= slot) return
    waking.slot = slot
    const devices = this.slots.get(slot)
    if (devices === undefined) this.slots.set(slot, [device])
    else devices.push(device)
  }

  /** Calls `visit` for each device whose slot has come; the visitor clears its `slot` and schedules it again if need be. */
  advance(now: number, visit: (device: Eui64Key, slot: number) => void): void {
    const until = Math.floor(now / slotMs)
    for (const slot of [...this.slots.keys()].filter((s) => s <= until).sort((a, b) => a - b)) {
      const devices = this.slots.get(slot)!
      this.slots.delete(slot)
      for (const device of devices) visit(device, slot)
    }
  }
}
