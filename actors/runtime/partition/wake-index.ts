/**
 * Ways through a store's wake index, from the earliest wake on, a slice at a time; saves in between
 * may move what is ahead or behind.
 */
import type { ActorId } from '../../../core/base/actor-id.ts'
import type { PartitionStore, StoredWake } from '../../../core/ports/store.ts'

export class IndexWalk {
  private behind: StoredWake | undefined

  /** Something may be left; false before the first slice and after the last. */
  get isUnderWay(): boolean {
    return this.behind !== undefined
  }

  /**
   * The next `countMax` wakes at or before `untilMs`. Fewer: it is at its end, and begins again.
   */
  next(store: PartitionStore, untilMs: number, countMax: number): StoredWake[] {
    const found = store.dueWakes(untilMs, countMax, this.behind)
    this.behind = found.length < countMax ? undefined : found.at(-1)
    return found
  }

  restart(): void {
    this.behind = undefined
  }
}

/**
 * Actors of a partition that has been loaded which may have had something on its way, each once or
 * twice.
 */
export class Unfinished {
  private readonly walk = new IndexWalk()
  readonly unsaved: ActorId[]
  isOver = false

  /** `unsaved` are those of which the store does not know; it goes as they are given out. */
  constructor(unsaved: ActorId[]) {
    this.unsaved = unsaved
  }

  next(store: PartitionStore, countMax: number): ActorId[] {
    const actors = this.unsaved.splice(0, countMax)
    const room = countMax - actors.length
    if (room === 0) return actors
    for (const { actor } of this.walk.next(store, Number.MAX_SAFE_INTEGER, room)) actors.push(actor)
    this.isOver = !this.walk.isUnderWay
    return actors
  }
}
