/**
 * A partition's store in memory, with the same rules as the one on LMDB: nothing of a save is seen
 * before all of it.
 */
import { copyOf } from '../../base/bytes.ts'
import type { ActorId } from '../../base/actor-id.ts'
import type { Checkpoint, PartitionStore, StoreChanges, StoreCopy, StoredWake } from '../store.ts'

function order(a: StoredWake, b: StoredWake): number {
  if (a.atMs !== b.atMs) return a.atMs - b.atMs
  return a.actor === b.actor ? 0 : a.actor < b.actor ? -1 : 1
}

export class SimPartitionStore implements PartitionStore {
  private readonly states = new Map<ActorId, Uint8Array>()
  private readonly wakes = new Map<ActorId, number>()
  private saved: Checkpoint | undefined

  checkpoint(): Checkpoint | undefined {
    return this.saved && { ...this.saved }
  }

  load(actor: ActorId): Uint8Array | undefined {
    const state = this.states.get(actor)
    return state && copyOf(state)
  }

  save(changes: StoreChanges): Promise<void> {
    for (const [actor, state] of changes.states) this.states.set(actor, copyOf(state))
    for (const [actor, atMs] of changes.wakes) {
      if (atMs === 0) this.wakes.delete(actor)
      else this.wakes.set(actor, atMs)
    }
    const { checkpoint } = changes
    if (checkpoint !== undefined) this.saved = { ...checkpoint, hash: copyOf(checkpoint.hash) }
    return Promise.resolve()
  }

  dueWakes(untilMs: number, count: number, after?: StoredWake): StoredWake[] {
    const due: StoredWake[] = []
    for (const [actor, atMs] of this.wakes) {
      const wake = { actor, atMs }
      if (atMs <= untilMs && (after === undefined || order(after, wake) < 0)) due.push(wake)
    }
    return due.sort(order).slice(0, count)
  }

  nextWakeMs(): number | undefined {
    let next: number | undefined
    for (const atMs of this.wakes.values()) if (next === undefined || atMs < next) next = atMs
    return next
  }

  isEmpty(): boolean {
    return this.states.size === 0
  }

  copy(): StoreCopy | undefined {
    const { saved } = this
    if (saved === undefined) return undefined
    const records = [...this.states]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([actor, state]) => ({ actor, state, wakeAtMs: this.wakes.get(actor) ?? 0 }))
    return { checkpoint: { ...saved }, records: () => records, close: () => undefined }
  }

  clear(): Promise<void> {
    this.states.clear()
    this.wakes.clear()
    this.saved = undefined
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
