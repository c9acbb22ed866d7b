/**
 * The requests that a gateway holds between a party and its acknowledgement: a table of fixed size,
 * one slot each, whose number travels as the envelope's correlation. Columns instead of objects, so
 * that a request allocates nothing here.
 */
import { assert } from '../../base/assert.ts'
import type { PartyAccount } from './party-account.ts'

/**
 * Takes answers. `buffer` is borrowed until the call returns; an envelope (ACKNOWLEDGEMENT or
 * STATUS) stands at `at`.
 */
export interface AnswerSink {
  /**
   * `tag` is what was handed in with the request. Called exactly once a request, perhaps before
   * `submit` returns.
   */
  answer(tag: number, buffer: Buffer, at: number): void
}

/**
 * A frame on its way to a host, or stranded: it keeps the envelopes until each of them is answered
 * or sent elsewhere.
 */
export type Flight = {
  /** The host it was sent to, undefined while the partition has none. */
  readonly owner: string | undefined
  readonly frame: Buffer
  readonly slots: readonly number[]
  /** Slots that still wait for this frame. */
  left: number
}

export class Slots {
  readonly count: number
  readonly sinks: (AnswerSink | undefined)[]
  readonly tags: Float64Array
  readonly accounts: (PartyAccount | undefined)[]
  readonly flights: (Flight | undefined)[]
  /** Where the envelope stands in its frame. */
  readonly offsets: Uint32Array
  readonly partitions: Uint16Array
  /** When it was taken, elapsed time. */
  readonly startedMs: Float64Array
  /** The party's own number of the request. */
  readonly correlations: Uint32Array
  /**
   * How often the gateway may still assign another counter; 0 for a request that came with its own.
   */
  readonly assignsLeft: Uint8Array
  /** 1 while the envelope is with no host and waits for an owner. */
  readonly stranded: Uint8Array
  private readonly free: Int32Array
  private freeCount: number

  constructor(count: number) {
    this.count = count
    this.sinks = new Array<AnswerSink | undefined>(count).fill(undefined)
    this.tags = new Float64Array(count)
    this.accounts = new Array<PartyAccount | undefined>(count).fill(undefined)
    this.flights = new Array<Flight | undefined>(count).fill(undefined)
    this.offsets = new Uint32Array(count)
    this.partitions = new Uint16Array(count)
    this.startedMs = new Float64Array(count)
    this.correlations = new Uint32Array(count)
    this.assignsLeft = new Uint8Array(count)
    this.stranded = new Uint8Array(count)
    this.free = new Int32Array(count)
    for (let i = 0; i < count; i++) this.free[i] = count - 1 - i
    this.freeCount = count
  }

  get used(): number {
    return this.count - this.freeCount
  }

  /** A free slot, or -1. */
  take(
    sink: AnswerSink,
    tag: number,
    account: PartyAccount,
    partition: number,
    startedMs: number,
  ): number {
    if (this.freeCount === 0) return -1
    const slot = this.free[--this.freeCount]!
    this.sinks[slot] = sink
    this.tags[slot] = tag
    this.accounts[slot] = account
    this.partitions[slot] = partition
    this.startedMs[slot] = startedMs
    this.correlations[slot] = 0
    this.assignsLeft[slot] = 0
    this.stranded[slot] = 0
    account.inFlight++
    return slot
  }

  release(slot: number): void {
    const account = this.accounts[slot]
    assert(account !== undefined, 'a slot is released once')
    account.inFlight--
    this.sinks[slot] = this.accounts[slot] = this.flights[slot] = undefined
    this.stranded[slot] = 0
    this.free[this.freeCount++] = slot
  }
}
