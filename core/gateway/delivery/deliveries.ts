/**
 * Who receives the deliveries of which party, in this gateway and among all gateways: one receiver
 * a party, the newest wins. A receiver that opens tells the others on the bus with a stamp (time,
 * then chance); a receiver with an older stamp ends, one with a newer stamp announces itself again.
 * Reads the party's feed from its cursor on (station 13).
 *
 * A receiver that opens only if there is no other asks first, with a stamp of zeros: each holder
 * of a seat has a newer one and announces it.
 *
 * A delivery id is the ledger sequence of its tick × 4096 + its index in the party's frame.
 */
import type { Party } from '../../access/parties.ts'
import type { Eui64 } from '../../base/eui64.ts'
import { limits } from '../../base/limits.ts'
import { writeSafeU64 } from '../../envelope/envelope.ts'
import type { Bus } from '../../ports/bus.ts'
import type { Clock } from '../../ports/clock.ts'
import type { CursorStore, DeliveryFeed, DeliveryFrame } from '../../ports/ledger.ts'
import type { Log } from '../../ports/log.ts'
import type { Random } from '../../ports/random.ts'
import { cursorNameOf, sequenceOf } from '../../envelope/delivery-id.ts'
import { DeliveryCursor } from './delivery-cursor.ts'

export type DeliveryPorts = {
  bus: Bus
  feed: DeliveryFeed
  cursors: CursorStore
  clock: Clock
  random: Random
  log: Log
}

const stampBytes = 16
/** Older than any stamp: the gateway that holds the seat answers with its own. */
const question = Buffer.alloc(stampBytes)

/**
 * `ifFree`: does not take the seat from another receiver. `isPoll`: comes back soon, see
 * `receiverLingerMs`.
 */
export type OpenOptions = { ifFree?: boolean; isPoll?: boolean }

/**
 * The place of the one receiver of a party. Ask for it with `Deliveries.open`, give it back with
 * `leave`.
 */
export class Seat {
  readonly party: Eui64
  readonly cursor: DeliveryCursor
  /** Eight octets time, eight of chance: the larger one is the newer. */
  readonly stamp: Buffer
  private readonly superseded: () => void
  private readonly feed: DeliveryFeed
  private readonly giveBack: (seat: Seat) => Promise<void>
  private isLost = false
  private isLeft = false

  /** `superseded` is called once if another receiver comes; `giveBack` when this one leaves. */
  constructor(
    { party, cursor, stamp }: Pick<Seat, 'party' | 'cursor' | 'stamp'>,
    feed: DeliveryFeed,
    superseded: () => void,
    giveBack: (seat: Seat) => Promise<void>,
  ) {
    this.party = party
    this.cursor = cursor
    this.stamp = stamp
    this.feed = feed
    this.superseded = superseded
    this.giveBack = giveBack
  }

  /** Every frame from the one that holds the delivery behind the cursor; see DeliveryFeed. */
  follow(
    onFrame: (frame: DeliveryFrame) => void | Promise<void>,
  ): Promise<{ close(): Promise<void> }> {
    const fromSequence = Math.max(1, sequenceOf(this.cursor.acknowledged))
    return this.feed.follow(this.party, fromSequence, onFrame)
  }

  /** Another receiver has come. */
  lose(): void {
    if (this.isLost || this.isLeft) return
    this.isLost = true
    this.superseded()
  }

  /** Settles when the cursor is written. */
  async leave(): Promise<void> {
    if (this.isLeft) return
    this.isLeft = true
    await this.giveBack(this)
  }
}

type Entry = {
  cursor: DeliveryCursor
  seat: Seat | undefined
  users: number
  lastMs: number
  listening: Promise<{ close(): Promise<void> } | undefined> | undefined
  /** The stamp of a poll that has ended and will probably come back; no seat is held for it. */
  lingering: { stamp: Buffer; end: () => void } | undefined
}

export class Deliveries {
  private readonly ports: DeliveryPorts
  private readonly entries = new Map<Eui64, Entry>()

  constructor(ports: DeliveryPorts) {
    this.ports = ports
  }

  /**
   * Takes the receiver's seat of `party`; its holder, here or at another gateway, loses it.
   * `superseded` is called once if this one loses it in turn, perhaps before this settles. Rejects
   * when the cursor cannot be read. With `ifFree` it settles with undefined when there is another
   * receiver.
   */
  async open(party: Party, superseded: () => void): Promise<Seat>
  async open(party: Party, superseded: () => void, options: OpenOptions): Promise<Seat | undefined>
  async open(
    party: Party,
    superseded: () => void,
    { ifFree = false, isPoll = false }: OpenOptions = {},
  ): Promise<Seat | undefined> {
    if (ifFree && (await this.isTaken(party))) return undefined
    const { bus, clock, random, feed, log } = this.ports
    const hex = cursorNameOf(party.id)
    const held = this.entryOf(party)
    const stamp = Buffer.allocUnsafeSlow(stampBytes)
    held.lastMs = Math.max(clock.now(), held.lastMs + 1)
    writeSafeU64(stamp, held.lastMs, 0)
    stamp.set(random.bytes(8), 8)
    const place = { party: party.id, cursor: held.cursor, stamp }
    const seat = new Seat(place, feed, superseded, () => {
      if (isPoll && !ifFree && held.seat === seat) this.linger(party.id, held, stamp)
      return this.release(party.id, held, seat)
    })
    const before = held.seat
    held.seat = seat
    held.users++
    held.lingering?.end()
    before?.lose()
    const subject = `receiver.${hex}`
    try {
      held.listening ??= bus
        .listen(subject, (stampView) => this.hear(held, subject, stampView))
        .catch((error: unknown) => {
          log.warn({ party: hex, reason: String(error) }, 'other gateways cannot be heard')
          return undefined
        })
      await held.listening
      if (held.seat === seat) bus.announce(subject, stamp)
      await held.cursor.load()
    } catch (error) {
      await seat.leave()
      throw error
    }
    return seat
  }

  /** Forgets polls that have ended; call when no receiver is open any more. */
  close(): void {
    for (const entry of this.entries.values()) entry.lingering?.end()
  }

  /**
   * True if a receiver of `party` is connected, here or at another gateway that answers in time.
   */
  private async isTaken(party: Party): Promise<boolean> {
    const here = this.entries.get(party.id)
    if (here?.seat !== undefined || here?.lingering !== undefined) return true
    const { bus, clock } = this.ports
    const subject = `receiver.${cursorNameOf(party.id)}`
    let answered = (_isTaken: boolean): void => {}
    const answer = new Promise<boolean>((resolve) => (answered = resolve))
    const listening = await bus.listen(subject, (stampView) => {
      if (stampView.length === stampBytes && Buffer.compare(stampView, question) > 0) answered(true)
    })
    const disarm = clock.at(clock.now() + limits.receiverAskMs, () => answered(false))
    bus.announce(subject, question)
    try {
      return await answer
    } finally {
      disarm()
      await listening.close()
    }
  }

  private entryOf(party: Party): Entry {
    const known = this.entries.get(party.id)
    if (known !== undefined) return known
    const { cursors, clock, log } = this.ports
    const entry: Entry = {
      cursor: new DeliveryCursor(cursors, cursorNameOf(party.id), clock, log),
      seat: undefined,
      users: 0,
      lastMs: 0,
      listening: undefined,
      lingering: undefined,
    }
    this.entries.set(party.id, entry)
    return entry
  }

  /** Answers for a poll that has ended, until the time is over or another receiver comes. */
  private linger(key: Eui64, entry: Entry, stamp: Buffer): void {
    const { clock } = this.ports
    entry.users++
    const end = (): void => {
      if (entry.lingering?.end !== end) return
      entry.lingering = undefined
      disarm()
      void this.abandon(key, entry)
    }
    entry.lingering?.end()
    entry.lingering = { stamp, end }
    const disarm = clock.at(clock.now() + limits.receiverLingerMs, end)
  }

  /**
   * The cursor of a party for an acknowledgement without a receiver (HTTP), caught up with the
   * store.
   */
  async cursorOf(party: Party): Promise<DeliveryCursor> {
    const hex = cursorNameOf(party.id)
    const { cursors, clock, log } = this.ports
    const cursor =
      this.entries.get(party.id)?.cursor ?? new DeliveryCursor(cursors, hex, clock, log)
    await cursor.load()
    return cursor
  }

  private hear(entry: Entry, subject: string, stampView: Uint8Array): void {
    const { seat, lingering } = entry
    const stamp = seat?.stamp ?? lingering?.stamp
    if (stamp === undefined || stampView.length !== stampBytes) return
    const order = Buffer.compare(stampView, stamp)
    if (order > 0) {
      entry.seat = undefined
      seat?.lose()
      lingering?.end()
    } else if (order < 0 && (seat !== undefined || Buffer.compare(stampView, question) === 0))
      this.ports.bus.announce(subject, stamp)
  }

  private async release(key: Eui64, entry: Entry, seat: Seat): Promise<void> {
    if (entry.seat === seat) entry.seat = undefined
    await entry.cursor.settle()
    await this.abandon(key, entry)
  }

  private async abandon(key: Eui64, entry: Entry): Promise<void> {
    if (--entry.users > 0) return
    this.entries.delete(key)
    const listening = await entry.listening
    await listening?.close()
  }
}
