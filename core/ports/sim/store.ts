/**
 * A partition's store in memory, with the same rules as the one on LMDB: nothing of a save is seen
 * before all of it.
 */
import { copyOf } from '../../base/bytes.ts'
import type { Eui64 } from '../../base/eui64.ts'
import type { Checkpoint, PartitionStore, StoreChanges, StoreCopy, StoredWake } from '../store.ts'

function order(a: StoredWake, b: StoredWake): number {
  if (a.atMs !== b.atMs) return a.atMs - b.atMs
  return a.device === b.device ? 0 : a.device < b.device ? -1 : 1
}

export class SimPartitionStore implements PartitionStore {
  private readonly states = new Map<Eui64, Uint8Array>()
  private readonly wakes = new Map<Eui64, number>()
  private saved: Checkpoint | undefined

  checkpoint(): Checkpoint | undefined {
    return this.saved && { ...this.saved }
  }

  load(device: Eui64): Uint8Array | undefined {
    const state = this.states.get(device)
    return state && copyOf(state)
  }

  save(changes: StoreChanges): Promise<void> {
    for (const [device, state] of changes.states) this.states.set(device, copyOf(state))
    for (const [device, atMs] of changes.wakes) {
      if (atMs === 0) this.wakes.delete(device)
      else this.wakes.set(device, atMs)
    }
    const { checkpoint } = changes
    if (checkpoint !== undefined) this.saved = { ...checkpoint, hash: copyOf(checkpoint.hash) }
    return Promise.resolve()
  }

  dueWakes(untilMs: number, count: number, after?: StoredWake): StoredWake[] {
    const due: StoredWake[] = []
    for (const [device, atMs] of this.wakes) {
      const wake = { device, atMs }
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
      .map(([device, state]) => ({ device, state, wakeAtMs: this.wakes.get(device) ?? 0 }))
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
