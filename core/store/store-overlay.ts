/**
 * Changes of one partition that its store on disk does not have: states, wakes and the checkpoint
 * that they belong to, in memory. Pure.
 */
import { copyOf } from '../base/bytes.ts'
import type { ActorId } from '../base/actor-id.ts'
import type { Checkpoint, StoreChanges, StoredWake, StoreRecord } from '../ports/store.ts'

export function orderOfWakes(a: StoredWake, b: StoredWake): number {
  if (a.atMs !== b.atMs) return a.atMs - b.atMs
  return a.actor === b.actor ? 0 : a.actor < b.actor ? -1 : 1
}

export class StoreOverlay {
  /** Packed states; never changed in place. */
  readonly states = new Map<ActorId, Uint8Array>()
  /** 0 for never. */
  readonly wakes = new Map<ActorId, number>()
  checkpoint: Checkpoint | undefined
  /** Wakes that are not 0, in order; undefined until it is asked for. */
  private sorted: StoredWake[] | undefined

  get isEmpty(): boolean {
    return this.states.size === 0 && this.wakes.size === 0 && this.checkpoint === undefined
  }

  /** Keeps copies of what is in `changes`. */
  take({ states, wakes, checkpoint }: StoreChanges): void {
    for (const [actor, state] of states) this.states.set(actor, copyOf(state))
    for (const [actor, atMs] of wakes) this.wakes.set(actor, atMs)
    if (checkpoint !== undefined) this.checkpoint = { ...checkpoint, hash: copyOf(checkpoint.hash) }
    if (wakes.size > 0) this.sorted = undefined
  }

  clear(): void {
    this.states.clear()
    this.wakes.clear()
    this.checkpoint = this.sorted = undefined
  }

  /** As PartitionStore.dueWakes, of what is in here alone. */
  dueWakes(untilMs: number, count: number, after?: StoredWake): StoredWake[] {
    const sorted = this.sortedWakes()
    const due: StoredWake[] = []
    for (let at = after === undefined ? 0 : placeBehind(sorted, after); at < sorted.length; at++) {
      const wake = sorted[at]!
      if (due.length >= count || wake.atMs > untilMs) break
      due.push({ ...wake })
    }
    return due
  }

  /** A copy that stays as it is; the octets of states are shared. */
  copy(): StoreOverlay {
    const copy = new StoreOverlay()
    for (const [actor, state] of this.states) copy.states.set(actor, state)
    for (const [actor, atMs] of this.wakes) copy.wakes.set(actor, atMs)
    copy.checkpoint = this.checkpoint
    return copy
  }

  /** In slices of `devicesMax` devices; the last one alone has the checkpoint. */
  *slices(devicesMax: number): Generator<StoreChanges> {
    const devices = [...new Set([...this.states.keys(), ...this.wakes.keys()])]
    for (let from = 0; ; from += devicesMax) {
      const slice = new StoreOverlay()
      for (const actor of devices.slice(from, from + devicesMax)) {
        const state = this.states.get(actor)
        const wake = this.wakes.get(actor)
        if (state !== undefined) slice.states.set(actor, state)
        if (wake !== undefined) slice.wakes.set(actor, wake)
      }
      const isLast = from + devicesMax >= devices.length
      if (isLast) slice.checkpoint = this.checkpoint
      yield changesOf(slice)
      if (isLast) return
    }
  }

  /**
   * `records` of the store below, in order of devices, with what is in here in place of it or
   * between it.
   */
  *over(records: Iterable<StoreRecord>): Generator<StoreRecord> {
    const ours = [...this.states.keys()].sort()
    let at = 0
    for (const record of records) {
      while (at < ours.length && ours[at]! < record.actor) yield this.record(ours[at++]!, 0)
      if (ours[at] === record.actor) yield this.record(ours[at++]!, record.wakeAtMs)
      else yield { ...record, wakeAtMs: this.wakes.get(record.actor) ?? record.wakeAtMs }
    }
    while (at < ours.length) yield this.record(ours[at++]!, 0)
  }

  private record(actor: ActorId, wakeBelowMs: number): StoreRecord {
    const state = this.states.get(actor)!
    return { actor, state, wakeAtMs: this.wakes.get(actor) ?? wakeBelowMs }
  }

  private sortedWakes(): StoredWake[] {
    if (this.sorted === undefined) {
      this.sorted = []
      for (const [actor, atMs] of this.wakes) if (atMs !== 0) this.sorted.push({ actor, atMs })
      this.sorted.sort(orderOfWakes)
    }
    return this.sorted
  }
}

/** What `overlay` holds, as one save. */
export function changesOf({ states, wakes, checkpoint }: StoreOverlay): StoreChanges {
  return { states, wakes, ...(checkpoint !== undefined && { checkpoint }) }
}

/** The index of the first wake behind `after`. */
function placeBehind(sorted: readonly StoredWake[], after: StoredWake): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (orderOfWakes(sorted[middle]!, after) <= 0) low = middle + 1
    else high = middle
  }
  return low
}
