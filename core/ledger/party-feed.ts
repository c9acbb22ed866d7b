/**
 * Sorts ticks by party for output gateways, station 13: follows the ledger's ticks once for the
 * whole process and gives each receiver the frames of its party.
 *
 *   ticks ─▶ tail ─▶ cache of the latest ─┐
 *              └──▶ index of each party ───┴─▶ a reader at each receiver's own pace
 *
 * A party is indexed from the first time that somebody asks for it: the past is scanned once from
 * where its cursor stands, and the tail keeps the index from then on. A reader that is slow holds
 * up nobody: it finds its place in the index and reads older ticks again.
 */
import { textOfEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { partyFramesOf } from '../envelope/tick-message.ts'
import { pause, systemClock, type Clock } from '../ports/clock.ts'
import {
  tickSubjects,
  type DeliveryFeed,
  type DeliveryFrame,
  type Ledger,
  type LedgerMessage,
} from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'

export type PartyFeedOptions = {
  ledger: Ledger
  log: Log
  clock?: Clock
  /**
   * Sees every tick behind the start, also one without deliveries, with the deliveries by party;
   * frames are borrowed. The first call has the sequence at which the feed starts, and no
   * deliveries.
   */
  onTick?: (sequence: number, frames: ReadonlyMap<Eui64, Buffer>) => void
  /**
   * Entries of one party's index, from 2 on; the older half goes when there are more, and is
   * scanned again if somebody needs it.
   */
  indexEntriesMax?: number
}

/** Ticks of one party, by sequence, rising; complete from `from` on once `isComplete`. */
type PartyIndex = { from: number; sequences: number[]; isComplete: boolean }

/**
 * What a tick holds for whom; frames borrow from the message they came in, which they keep alive.
 */
type Tick = { frames: ReadonlyMap<Eui64, Buffer>; bytes: number }

export class PartyFeed implements DeliveryFeed {
  private readonly ledger: Ledger
  private readonly log: Log
  private readonly clock: Clock
  private readonly onFrames: PartyFeedOptions['onTick']
  private readonly indexEntriesMax: number
  private readonly indexes = new Map<Eui64, PartyIndex>()
  private readonly scans = new Map<Eui64, Promise<void>>()
  private readonly cache = new Map<number, Tick>()
  private cachedBytes = 0
  private tailSequence = 0
  private tail: { close(): Promise<void> } | undefined
  /** Readers that have all there is, by party. */
  private readonly waiting = new Map<Eui64, Array<() => void>>()

  constructor({
    ledger,
    log,
    clock = systemClock,
    onTick,
    indexEntriesMax = limits.partyIndexEntriesMax,
  }: PartyFeedOptions) {
    this.onFrames = onTick
    this.indexEntriesMax = indexEntriesMax
    this.ledger = ledger
    this.log = log
    this.clock = clock
  }

  /** Sequence of the last tick that it has seen. */
  get sequence(): number {
    return this.tailSequence
  }

  /** Joins the end of the log. */
  async start(): Promise<void> {
    this.tailSequence = (await this.ledger.lastOn(tickSubjects))?.sequence ?? 0
    this.onFrames?.(this.tailSequence, new Map())
    this.tail = await this.ledger.follow(tickSubjects, this.tailSequence + 1, (message) =>
      this.onTick(message),
    )
  }

  async close(): Promise<void> {
    await this.tail?.close()
    for (const party of [...this.waiting.keys()]) this.tell(party)
  }

  follow(
    party: Eui64,
    fromSequence: number,
    onFrame: (frame: DeliveryFrame) => void | Promise<void>,
  ): Promise<{ close(): Promise<void> }> {
    const reader = { isClosed: false }
    const running = this.read(party, fromSequence, onFrame, reader)
    return Promise.resolve({
      close: async () => {
        reader.isClosed = true
        this.tell(party)
        await running
      },
    })
  }

  async lastOf(party: Eui64, fromSequence: number): Promise<DeliveryFrame | undefined> {
    const index = await this.indexOf(party, fromSequence)
    const sequence = index.sequences.at(-1)
    if (sequence === undefined || sequence < fromSequence) return undefined
    const frame = (await this.framesAt(sequence)).get(party)
    return frame && { sequence, data: frame }
  }

  private async read(
    party: Eui64,
    fromSequence: number,
    onFrame: (frame: DeliveryFrame) => void | Promise<void>,
    reader: { isClosed: boolean },
  ): Promise<void> {
    let next = fromSequence
    while (!reader.isClosed) {
      try {
        const index = await this.indexOf(party, next)
        const sequence = index.sequences[lowerBound(index.sequences, next)]
        if (reader.isClosed) return
        if (sequence === undefined) {
          await new Promise<void>((resolve) => this.wait(party, resolve))
          continue
        }
        const frame = (this.cache.get(sequence)?.frames ?? (await this.framesAt(sequence))).get(
          party,
        )
        if (reader.isClosed) return
        if (frame !== undefined) await onFrame({ sequence, data: frame })
        next = sequence + 1
      } catch (fault) {
        // The ledger is away; what is not read now is read later.
        this.log.warn(
          { party: textOfEui64(party), fault: String(fault) },
          'deliveries cannot be read for the moment',
        )
        await pause(this.clock, limits.feedRetryMs)
      }
    }
  }

  /** The index of `party`, complete from `from` on. */
  private async indexOf(party: Eui64, from: number): Promise<PartyIndex> {
    for (;;) {
      const known = this.indexes.get(party)
      if (known?.isComplete && known.from <= from) return known
      const scan = this.scans.get(party) ?? this.scan(party, from)
      this.scans.set(party, scan)
      try {
        await scan
      } finally {
        if (this.scans.get(party) === scan) this.scans.delete(party)
      }
    }
  }

  private async scan(party: Eui64, from: number): Promise<void> {
    // From this moment on the tail adds to it; the scan fills in what came before.
    const index: PartyIndex = { from, sequences: [], isComplete: false }
    this.indexes.set(party, index)
    const until = this.tailSequence
    const past: number[] = []
    if (from <= until) {
      const onTick = (message: LedgerMessage): void => {
        if (message.sequence <= until && partyFramesOf(message.data).has(party))
          past.push(message.sequence)
      }
      await this.ledger.read(tickSubjects, Math.max(1, from), onTick, until)
    }
    index.sequences = past.concat(index.sequences)
    index.isComplete = true
  }

  private onTick(message: LedgerMessage): void {
    this.tailSequence = message.sequence
    const frames = partyFramesOf(message.data)
    this.onFrames?.(message.sequence, frames)
    if (frames.size === 0) return
    let isWanted = false
    for (const party of frames.keys()) {
      const index = this.indexes.get(party)
      if (index === undefined) continue
      isWanted = true
      index.sequences.push(message.sequence)
      if (index.isComplete && index.sequences.length > this.indexEntriesMax) {
        index.sequences.splice(0, this.indexEntriesMax >> 1)
        index.from = index.sequences[0]!
      }
    }
    if (!isWanted) return
    this.keep(message.sequence, { frames, bytes: message.data.length })
    for (const party of frames.keys()) this.tell(party)
  }

  private keep(sequence: number, tick: Tick): void {
    this.cache.set(sequence, tick)
    this.cachedBytes += tick.bytes
    for (const [oldest, { bytes }] of this.cache) {
      if (this.cache.size <= limits.feedTicksMax && this.cachedBytes <= limits.feedBytesMax) return
      this.cache.delete(oldest)
      this.cachedBytes -= bytes
    }
  }

  private async framesAt(sequence: number): Promise<ReadonlyMap<Eui64, Buffer>> {
    const cached = this.cache.get(sequence)
    if (cached !== undefined) return cached.frames
    const message = await this.ledger.at(sequence)
    return message === undefined ? new Map() : partyFramesOf(message.data)
  }

  private wait(party: Eui64, resolve: () => void): void {
    const waiting = this.waiting.get(party)
    if (waiting === undefined) this.waiting.set(party, [resolve])
    else waiting.push(resolve)
  }

  private tell(party: Eui64): void {
    const waiting = this.waiting.get(party)
    if (waiting === undefined) return
    this.waiting.delete(party)
    for (const resolve of waiting) resolve()
  }
}

/** The first index whose value is at least `wanted`. */
function lowerBound(rising: readonly number[], wanted: number): number {
  let low = 0
  let high = rising.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (rising[middle]! < wanted) low = middle + 1
    else high = middle
  }
  return low
}
