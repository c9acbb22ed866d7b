/**
 * Finds the response to one request among a party's deliveries, without a cursor and without a
 * receiver (GetResponse). Sees every tick behind the start of the process; older ones are read from
 * the ledger when a caller needs them, from the newest to the oldest, and stay indexed.
 *
 * Memory: a party has an index from its first question on. All indexes together hold at most
 * `limits.responseIndexEntriesMax` responses; above that the party that was asked for longest ago
 * loses its index first, and a party that fills the limit by itself loses its oldest deliveries.
 * What is not indexed is read from the ledger again.
 */
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { deliveryIdOf } from '../envelope/delivery-id.ts'
import { readCounter } from '../envelope/envelope.ts'
import { offsetOf } from '../envelope/layout.ts'
import { partyFramesOf } from '../envelope/tick-message.ts'
import { tickSubjects, type Ledger, type LedgerMessage } from '../ports/ledger.ts'
import type {
  FoundResponse,
  ResponseKey,
  ResponseLookup,
  ResponseWatch,
} from '../ports/responses.ts'
import { fingerprintOf, forEachResponse, ResponseBlock, ResponseIndex } from './response-index.ts'

type Waiter = { key: ResponseKey; resolve: (found: FoundResponse) => void }
/**
 * Searches of one party run one after another, so that none reads what another has just indexed.
 */
type SearchQueue = { last: Promise<unknown>; length: number }

/** Ends a read of the ledger before its end; never leaves this file. */
const enough = new Error('enough was read')

export class ResponseFinder implements ResponseLookup {
  private readonly ledger: Pick<Ledger, 'read' | 'at' | 'lastOn'>
  private readonly entriesMax: number
  /** In the order of use, the least recently used first. */
  private readonly indexes = new Map<Eui64, ResponseIndex>()
  private readonly searches = new Map<Eui64, SearchQueue>()
  /**
   * Responses that no tick up to this sequence holds, by party and fingerprint of the key; oldest
   * first.
   */
  private readonly absent = new Map<string, number>()
  /** Searches that read the ledger, and those that wait for one of them to end. */
  private readingCount = 0
  private readonly readingWaiters: (() => void)[] = []
  private readonly waiting = new Map<Eui64, Map<number, Set<Waiter>>>()
  private waitingCount = 0
  private sequence = 0
  private readonly tailWaiters = new Set<() => void>()

  constructor(
    ledger: Pick<Ledger, 'read' | 'at' | 'lastOn'>,
    entriesMax: number = limits.responseIndexEntriesMax,
  ) {
    this.ledger = ledger
    this.entriesMax = entriesMax
  }

  /**
   * Takes a tick as it comes, also one without deliveries, without a gap from the first call on;
   * frames are borrowed from its message.
   */
  add(sequence: number, frames: ReadonlyMap<Eui64, Buffer>): void {
    this.sequence = sequence
    for (const [party, frame] of frames) {
      this.indexes.get(party)?.add(sequence, frame)
      const waiting = this.waiting.get(party)
      if (waiting !== undefined) wake(party, waiting, sequence, frame)
    }
    if (this.indexes.size > 0 && frames.size > 0) this.makeRoom(undefined)
    for (const look of this.tailWaiters) look()
  }

  watch(party: Eui64, key: ResponseKey): ResponseWatch | undefined {
    if (this.waitingCount >= limits.responseWaitsMax) return undefined
    this.waitingCount++
    const fingerprint = fingerprintOf(key.target, key.counter)
    let byFingerprint = this.waiting.get(party)
    if (byFingerprint === undefined) this.waiting.set(party, (byFingerprint = new Map()))
    let waiters = byFingerprint.get(fingerprint)
    if (waiters === undefined) byFingerprint.set(fingerprint, (waiters = new Set()))
    const [ours, all] = [waiters, byFingerprint]
    const waiter: Waiter = { key, resolve: () => {} }
    const found = new Promise<FoundResponse>((resolve) => (waiter.resolve = resolve))
    ours.add(waiter)
    return {
      found,
      close: () => {
        if (!ours.delete(waiter)) return
        this.waitingCount--
        if (ours.size === 0 && all.get(fingerprint) === ours) all.delete(fingerprint)
        if (all.size === 0 && this.waiting.get(party) === all) this.waiting.delete(party)
      },
    }
  }

  find(party: Eui64, key: ResponseKey): Promise<FoundResponse | undefined> {
    return this.lookUp(party, key, this.indexOf(party))
  }

  async search(party: Eui64, key: ResponseKey): Promise<FoundResponse | undefined> {
    const queue = this.searches.get(party) ?? { last: Promise.resolve(), length: 0 }
    if (queue.length >= limits.responseSearchesMax) throw new BrokerError('BROKER_GATEWAY_BUSY')
    this.searches.set(party, queue)
    queue.length++
    const search = queue.last.then(
      () => this.searchNow(party, key),
      () => this.searchNow(party, key),
    )
    queue.last = search
    try {
      return await search
    } finally {
      if (--queue.length === 0) this.searches.delete(party)
    }
  }

  private async searchNow(party: Eui64, key: ResponseKey): Promise<FoundResponse | undefined> {
    await this.reachEnd()
    const index = this.indexOf(party)
    const known = await this.lookUp(party, key, index)
    if (known !== undefined) return known
    const name = nameOf(party, key)
    const first = (this.absent.get(name) ?? 0) + 1
    if (index.from <= first) return undefined
    const reached = this.sequence
    const found = await this.inTurn(() => this.searchBelow(party, key, index, first))
    if (found === undefined) this.noteAbsent(name, reached)
    return found
  }

  /** Reads the ticks before those of `index`, down to `first`, the newest ones first. */
  private async searchBelow(
    party: Eui64,
    key: ResponseKey,
    index: ResponseIndex,
    first: number,
  ): Promise<FoundResponse | undefined> {
    const fingerprint = fingerprintOf(key.target, key.counter)
    let below = index.from
    let ticks: number = limits.responseSearchTicks
    while (below > first) {
      const from = Math.max(first, below - ticks)
      const block = new ResponseBlock()
      const isEmpty = !(await this.readPast(party, from, below, block))
      // Other deliveries of the party may have taken the room meanwhile: then this step is not
      // kept.
      const isKept =
        this.indexes.get(party) === index &&
        index.from === below &&
        this.makeRoom(party, block.count)
      if (isKept) index.prepend(from, block)
      for (const sequence of block.sequencesOf(fingerprint)) {
        const found = await this.readResponse(party, key, sequence)
        if (found !== undefined) return found
      }
      below = from
      ticks = isEmpty ? 2 * ticks : Math.min(2 * ticks, limits.responseSearchTicksMax)
    }
    return undefined
  }

  /**
   * Runs `search` when fewer than `responseSearchesAtOnceMax` are at work: each reads the ledger as
   * fast as it can.
   */
  private async inTurn<T>(search: () => Promise<T>): Promise<T> {
    if (this.readingCount >= limits.responseSearchesAtOnceMax)
      await new Promise<void>((resolve) => this.readingWaiters.push(resolve))
    else this.readingCount++
    try {
      return await search()
    } finally {
      const next = this.readingWaiters.shift()
      if (next === undefined) this.readingCount--
      else next()
    }
  }

  private noteAbsent(name: string, sequence: number): void {
    this.absent.delete(name)
    this.absent.set(name, sequence)
    if (this.absent.size <= limits.responsesAbsentMax) return
    const [oldest] = this.absent.keys()
    if (oldest !== undefined) this.absent.delete(oldest)
  }

  /** Settles when every tick that was in the ledger at the call has come to `add`. */
  private async reachEnd(): Promise<void> {
    const last = (await this.ledger.lastOn(tickSubjects))?.sequence ?? 0
    if (this.sequence >= last) return
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (this.sequence < last) return
        this.tailWaiters.delete(look)
        resolve()
      }
      this.tailWaiters.add(look)
    })
  }

  /**
   * Reads the party's responses of the ticks in [from, below) into `block`; false if there is no
   * tick.
   */
  private async readPast(
    party: Eui64,
    from: number,
    below: number,
    block: ResponseBlock,
  ): Promise<boolean> {
    let hasTicks = false
    const onTick = ({ sequence, data }: LedgerMessage): void => {
      if (sequence >= below) throw enough
      hasTicks = true
      const frame = partyFramesOf(data).get(party)
      if (frame !== undefined) block.add(sequence, frame)
    }
    try {
      await this.ledger.read(tickSubjects, from, onTick)
    } catch (fault) {
      if (fault !== enough) throw fault
    }
    return hasTicks
  }

  private async lookUp(
    party: Eui64,
    key: ResponseKey,
    index: ResponseIndex,
  ): Promise<FoundResponse | undefined> {
    const fingerprint = fingerprintOf(key.target, key.counter)
    for (const sequence of [...index.sequencesOf(fingerprint)]) {
      const found = await this.readResponse(party, key, sequence)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** The response in the tick with this sequence, or undefined when it is another's or not kept. */
  private async readResponse(
    party: Eui64,
    key: ResponseKey,
    sequence: number,
  ): Promise<FoundResponse | undefined> {
    const message = await this.ledger.at(sequence)
    const frame = message && partyFramesOf(message.data).get(party)
    return frame && responseIn(party, key, sequence, frame)
  }

  /** The party's index, from now on the most recently used one. */
  private indexOf(party: Eui64): ResponseIndex {
    const index = this.indexes.get(party) ?? new ResponseIndex(this.sequence + 1)
    this.indexes.delete(party)
    this.indexes.set(party, index)
    return index
  }

  /**
   * Makes room for `count` more entries of `party`; false if all the room is taken by newer
   * deliveries.
   */
  private makeRoom(party: Eui64 | undefined, count = 0): boolean {
    const total = (): number =>
      [...this.indexes.values()].reduce((sum, index) => sum + index.count, count)
    while (total() > this.entriesMax) {
      const [oldest] = this.indexes.keys()
      if (oldest === undefined) return false
      if (this.indexes.size > 1 && oldest !== party) this.indexes.delete(oldest)
      else if (count > 0) return false
      else this.indexes.get(oldest)!.shrink()
    }
    return true
  }
}

const nameOf = (party: Eui64, { target, counter }: ResponseKey): string =>
  `${party}${asBuffer(target).toString('latin1')}${counter}`

function responseIn(
  party: Eui64,
  key: ResponseKey,
  sequence: number,
  frame: Buffer,
): FoundResponse | undefined {
  let found: FoundResponse | undefined
  const target = asBuffer(key.target)
  forEachResponse(frame, (_fingerprint, at, index) => {
    const targetAt = at + offsetOf.target
    const isWanted =
      readCounter(frame, at) === key.counter &&
      target.compare(frame, targetAt, targetAt + target.length) === 0 &&
      readEui64(frame, at + offsetOf.originator) === party
    if (isWanted) found = { frame, at, deliveryId: deliveryIdOf(sequence, index) }
    return isWanted
  })
  return found
}

function wake(
  party: Eui64,
  waiting: ReadonlyMap<number, ReadonlySet<Waiter>>,
  sequence: number,
  frame: Buffer,
): void {
  forEachResponse(frame, (fingerprint) => {
    for (const { key, resolve } of waiting.get(fingerprint) ?? []) {
      const found = responseIn(party, key, sequence, frame)
      if (found !== undefined) resolve(found)
    }
  })
}
