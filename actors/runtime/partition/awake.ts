/** The awake actors of a partition, the longest idle ones first, to about a second. */
import type { Eui64 } from '../../../core/base/eui64.ts'
import type { DeviceState } from '../../device/state.ts'
import type { Waking } from './wake-wheel.ts'

/** One awake actor. */
export type Awake = Waking & {
  state: DeviceState
  /** Changed since the store last had it. */
  isDirty: boolean
  usedAt: number
}

export type AwakeActors = Map<Eui64, Awake>

/** One that is used again within this keeps its place. */
const recentMs = 1_000

/** Takes note that `actor` is used. */
export function use(actors: AwakeActors, device: Eui64, actor: Awake, now: number): void {
  if (now - actor.usedAt < recentMs) return
  actor.usedAt = now
  actors.delete(device)
  actors.set(device, actor)
}

/** Puts to sleep who has been idle, and the longest idle ones when there are more awake than may be; nobody whom the store does not know. */
export function putToSleep(
  actors: AwakeActors,
  now: number,
  idleMs: number,
  awakeMax: number,
): void {
  for (const [device, actor] of actors) {
    if (now - actor.usedAt < idleMs && actors.size <= awakeMax) return
    const { sent, keyStep } = actor.state
    if (!actor.isDirty && sent === undefined && keyStep === undefined) actors.delete(device)
  }
}
