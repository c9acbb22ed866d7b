/** The awake actors of a partition, the longest idle ones first, to about a second. */
import type { ActorId } from '../../../core/base/actor-id.ts'
import type { ActorKind } from '../../kind/actor-kind.ts'
import type { Waking } from './wake-wheel.ts'

/** One awake actor. */
export type Awake = Waking & {
  readonly kind: ActorKind
  readonly state: unknown
  /** Changed since the store last had it. */
  isDirty: boolean
  usedAt: number
}

export type AwakeActors = Map<ActorId, Awake>

/** One that is used again within this keeps its place. */
const recentMs = 1_000

/** Takes note that `actor` is used. */
export function use(actors: AwakeActors, id: ActorId, actor: Awake, now: number): void {
  if (now - actor.usedAt < recentMs) return
  actor.usedAt = now
  actors.delete(id)
  actors.set(id, actor)
}

/**
 * Puts to sleep who has been idle, and the longest idle ones when there are more awake than may be;
 * nobody whom the store does not know.
 */
export function putToSleep(
  actors: AwakeActors,
  now: number,
  idleMs: number,
  awakeMax: number,
): void {
  for (const [id, actor] of actors) {
    if (now - actor.usedAt < idleMs && actors.size <= awakeMax) return
    if (!actor.isDirty && actor.kind.underWay(actor.state) === undefined) actors.delete(id)
  }
}
