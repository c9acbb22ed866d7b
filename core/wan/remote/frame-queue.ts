/**
 * What is to be sent to one other process: one frame gathers while at most `wanFramesInFlightMax`
 * others are out. Clocked by itself, by the receipts: an idle process sends each item at the end of
 * its turn, a busy one sends larger frames. Urgent lanes go first.
 */
import { limits } from '../../base/limits.ts'
import type { Lane } from '../../base/lane.ts'
import type { Bus } from '../../ports/bus.ts'
import { LaneQueue } from '../sockets/lane-queue.ts'

export type Queued = {
  readonly lane: Lane
  /** About as many octets as it takes in a frame. */
  readonly bytes: number
  /** Nobody waits for it any more: it is left out. */
  readonly isEnded: boolean
}

export type FrameQueueOptions<T extends Queued> = {
  bus: Bus
  subject: string
  /** The frame of these items, which go out now. */
  frameOf(items: readonly T[]): Buffer
  /** The other one has answered a frame. */
  landed(items: readonly T[], receipt: Buffer): void
  /** Nobody is there, or no receipt came in time: whether the frame arrived is not known. */
  lost(items: readonly T[], fault: unknown): void
}

export class FrameQueue<T extends Queued> {
  private readonly options: FrameQueueOptions<T>
  private readonly waiting = new LaneQueue<T>()
  private framesOut = 0
  private isDue = false
  private isStopped = false

  constructor(options: FrameQueueOptions<T>) {
    this.options = options
  }

  /** Nothing waits and nothing is out. */
  get isIdle(): boolean {
    return this.waiting.length === 0 && this.framesOut === 0
  }

  push(item: T): void {
    this.waiting.push(item.lane, item)
    this.ask()
  }

  /** Nothing goes out any more. */
  stop(): void {
    this.isStopped = true
  }

  private ask(): void {
    if (this.isDue || this.waiting.length === 0 || this.framesOut >= limits.wanFramesInFlightMax)
      return
    this.isDue = true
    setImmediate(this.send)
  }

  private readonly send = (): void => {
    this.isDue = false
    const items = this.isStopped ? [] : this.take()
    if (items.length === 0) return
    const { bus, subject, frameOf, landed, lost } = this.options
    this.framesOut++
    bus.request(subject, frameOf(items), limits.wanReceiptMsMax).then(
      (receipt) => {
        this.framesOut--
        landed(items, receipt)
        this.ask()
      },
      (fault: unknown) => {
        this.framesOut--
        lost(items, fault)
        this.ask()
      },
    )
    this.ask()
  }

  private take(): T[] {
    const items: T[] = []
    let bytes = 0
    for (let item = this.waiting.shift(); item !== undefined; item = this.waiting.shift()) {
      if (item.isEnded) continue
      bytes += item.bytes
      if (bytes > limits.wanFrameBytesMax && items.length > 0) {
        this.waiting.unshift(item.lane, item)
        break
      }
      items.push(item)
    }
    return items
  }
}
