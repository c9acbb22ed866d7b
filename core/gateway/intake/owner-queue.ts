/**
 * Envelopes on their way to one host: one frame gathers while at most `gatewayFramesInFlightMax`
 * others are out. Clocked by itself: an idle gateway sends each request at the end of its turn, a
 * busy one sends larger frames.
 */
import { limits } from '../../base/limits.ts'
import { FrameWriter } from '../../envelope/frame.ts'
import type { OwnerDirectory } from '../../ports/bus.ts'
import type { PartyAccount } from './party-account.ts'
import type { Flight, Slots } from './slots.ts'
import type { Flushable, Turn } from './turn-flush.ts'

export class OwnerQueue implements Flushable {
  /** Undefined for the envelopes of partitions that nobody owns. */
  readonly owner: string | undefined
  readonly writer = new FrameWriter()
  private slots: number[] = []
  /** Octets of each party in the frame that gathers. */
  private readonly gathered = new Map<PartyAccount, number>()
  private framesInFlight = 0
  private isDue = false
  private readonly turn: Turn
  private readonly launch: (queue: OwnerQueue, flight: Flight) => void

  /** `launch` sends a frame and calls `landed` once, whatever becomes of it. */
  constructor(
    owner: string | undefined,
    turn: Turn,
    launch: (queue: OwnerQueue, flight: Flight) => void,
  ) {
    this.owner = owner
    this.turn = turn
    this.launch = launch
  }

  /** No room for another envelope of `envelopeBytes` until a frame has been sent. */
  isFullFor(envelopeBytes: number): boolean {
    return this.writer.bytes + envelopeBytes > limits.requestFrameBytesMax
  }

  /**
   * A party may take as much of the frame that gathers as is free, so that others find room in it
   * while no frame can be sent.
   */
  hasShareFor(account: PartyAccount, envelopeBytes: number): boolean {
    const { bytes } = this.writer
    const free = limits.requestFrameBytesMax - bytes
    if (free > bytes) return true
    return (this.gathered.get(account) ?? 0) + envelopeBytes <= free
  }

  /** Nothing gathers here and nothing is out. */
  get isIdle(): boolean {
    return this.framesInFlight === 0 && this.slots.length === 0
  }

  /** Notes the envelope that was written at `at` for `slot`. */
  add(slot: number, at: number, slots: Slots): void {
    slots.offsets[slot] = at
    this.slots.push(slot)
    const account = slots.accounts[slot]
    if (account !== undefined)
      this.gathered.set(account, (this.gathered.get(account) ?? 0) + this.writer.bytes - at)
    this.writer.count++
    this.ask()
  }

  flush(): void {
    this.isDue = false
    if (this.framesInFlight < limits.gatewayFramesInFlightMax) this.send()
  }

  /**
   * Sends what has gathered however many frames are out: its host is going, and these must not wait
   * behind it.
   */
  launchAll(): void {
    this.send()
  }

  landed(): void {
    this.framesInFlight--
    if (this.slots.length > 0) this.ask()
  }

  private ask(): void {
    if (this.isDue || this.framesInFlight >= limits.gatewayFramesInFlightMax) return
    this.isDue = true
    this.turn.add(this)
  }

  private send(): void {
    if (this.slots.length === 0) return
    const slots = this.slots
    this.slots = []
    this.gathered.clear()
    this.framesInFlight++
    this.launch(this, { owner: this.owner, frame: this.writer.take(), slots, left: slots.length })
  }
}

/** One queue for each host that there is something for. */
export class OwnerQueues {
  private readonly queues = new Map<string | undefined, OwnerQueue>()
  private readonly turn: Turn
  private readonly launch: (queue: OwnerQueue, flight: Flight) => void

  constructor(turn: Turn, launch: (queue: OwnerQueue, flight: Flight) => void) {
    this.turn = turn
    this.launch = launch
  }

  of(owner: string | undefined): OwnerQueue {
    let queue = this.queues.get(owner)
    if (!queue) this.queues.set(owner, (queue = new OwnerQueue(owner, this.turn, this.launch)))
    return queue
  }

  /** Forgets hosts that own nothing any more. */
  forgetIdle(directory: OwnerDirectory): void {
    const owners = new Set<string | undefined>()
    for (let partition = 0; partition < directory.partitionCount; partition++) {
      owners.add(directory.ownerOf(partition))
    }
    for (const [owner, queue] of this.queues) {
      if (queue.isIdle && !owners.has(owner)) this.queues.delete(owner)
    }
  }
}
