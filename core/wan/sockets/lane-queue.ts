/**
 * A queue that gives what is in a more urgent lane first, and first in first out within a lane.
 * Pure; unbounded by itself: what may wait is counted where it comes in.
 */
import { laneCount, type Lane } from '../../base/lane.ts'

// Below this many taken items a lane's array is not worth moving.
const compactMin = 64

/** Items by lane; `shift` is O(1) amortised. */
export class LaneQueue<T> {
  private readonly lanes: T[][] = Array.from({ length: laneCount }, () => [])
  private readonly heads: number[] = Array.from({ length: laneCount }, () => 0)
  /** The lane of what `shift` gave last. */
  shiftedLane: Lane = 0
  length = 0

  push(lane: Lane, item: T): void {
    this.lanes[lane]!.push(item)
    this.length++
  }

  /** Puts back, in front of its lane, what was shifted last. */
  unshift(lane: Lane, item: T): void {
    const head = this.heads[lane]!
    if (head > 0) this.lanes[lane]![--this.heads[lane]!] = item
    else this.lanes[lane]!.unshift(item)
    this.length++
  }

  /** Takes the next item, or gives undefined when there is none. */
  shift(): T | undefined {
    for (let lane = 0; lane < laneCount; lane++) {
      const items = this.lanes[lane]!
      const head = this.heads[lane]!
      if (head === items.length) continue
      const item = items[head]!
      if (head + 1 === items.length) {
        items.length = 0
        this.heads[lane] = 0
      } else if (head >= compactMin && head * 2 > items.length) {
        items.splice(0, head + 1)
        this.heads[lane] = 0
      } else this.heads[lane] = head + 1
      this.length--
      this.shiftedLane = lane as Lane
      return item
    }
    return undefined
  }
}
