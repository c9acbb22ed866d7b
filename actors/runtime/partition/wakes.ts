/**
 * Which devices of a partition are to be woken: awake ones by the wheel, sleeping ones by the index
 * of the store.
 */
import type { Eui64 } from '../../../core/base/eui64.ts'
import type { PartitionStore } from '../../../core/ports/store.ts'
import type { clockSet } from '../../device/clock-set.ts'
import type { Awake, AwakeActors } from './awake.ts'
import type { ClockSet } from '../host/clock-lag.ts'
import { IndexWalk } from './wake-index.ts'
import { WakeWheel } from './wake-wheel.ts'

export type WakesPorts = {
  readonly awake: AwakeActors
  readonly store: PartitionStore
  readonly actorsAwakeMax: number
  readonly clockSet: typeof clockSet
  /** Loads the state of a sleeping device. */
  wake(device: Eui64, now: number): Awake
  markDirty(device: Eui64, actor: Awake): void
}

export class Wakes {
  private readonly ports: WakesPorts
  private wheel = new WakeWheel()
  private readonly walk = new IndexWalk()

  constructor(ports: WakesPorts) {
    this.ports = ports
  }

  /** Sees to it that `device` is looked at when its `wakeAt` has come. */
  schedule(device: Eui64, actor: Awake): void {
    this.wheel.schedule(device, actor)
  }

  /** The store is read from its beginning. */
  restart(): void {
    this.walk.restart()
  }

  /** The clock of this host was set. What awake actors have planned is moved with it. */
  clockSet({ before, after }: ClockSet): void {
    const { awake, markDirty, clockSet } = this.ports
    for (const { state } of awake.values()) clockSet(state, before, after)
    if (after < before) return
    this.wheel = new WakeWheel()
    for (const [device, actor] of awake) {
      actor.slot = 0
      if (actor.wakeAt === 0) continue
      actor.wakeAt = Math.max(1, actor.wakeAt - (after - before))
      this.wheel.schedule(device, actor)
      // The index has it as it was.
      markDirty(device, actor)
    }
  }

  /** As `clockSet` does, for a device that may have been asleep then. */
  clockSetFor(device: Eui64, now: number, { before, after }: ClockSet): void {
    const { awake, markDirty, clockSet, wake } = this.ports
    const isAsleep = !awake.has(device)
    const actor = wake(device, now)
    if (isAsleep) clockSet(actor.state, before, after)
    markDirty(device, actor)
  }

  /** Up to `countMax` awake devices whose time has come. */
  dueAwake(now: number, countMax: number): Eui64[] {
    const devices: Eui64[] = []
    this.wheel.advance(now, countMax, (device, slot) => {
      const actor = this.ports.awake.get(device)
      if (actor === undefined || actor.slot !== slot) return
      actor.slot = 0
      if (actor.wakeAt !== 0 && actor.wakeAt <= now) devices.push(device)
      else this.wheel.schedule(device, actor)
    })
    return devices
  }

  /**
   * Adds devices that the index names, and loads them. It is behind for devices that are awake:
   * with `mayBegin` a walk begins, after the save of all that the last one has woken. @returns true
   * when any was found
   */
  dueStored(now: number, countMax: number, devices: Eui64[], mayBegin: boolean): boolean {
    const { awake, store, actorsAwakeMax, wake, markDirty } = this.ports
    // Many wait for room in memory.
    if (awake.size > actorsAwakeMax) return false
    if (!this.walk.isUnderWay && (!mayBegin || (store.nextWakeMs() ?? Infinity) > now)) return false
    const found = this.walk.next(store, now, countMax)
    for (const { device } of found) {
      const known = awake.get(device)
      // What is awake is woken by the wheel, unless its wake was too far away for it.
      if (known === undefined || (known.slot === 0 && known.wakeAt !== 0 && known.wakeAt <= now))
        devices.push(device)
      markDirty(device, known ?? wake(device, now))
    }
    return found.length > 0
  }
}
