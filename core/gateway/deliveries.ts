/**
 * Who receives the deliveries of which party, in this gateway and among all gateways: one receiver
 * a party, the newest wins. A receiver that opens tells the others on the bus with a stamp (time,
 * then chance); whoever has an older stamp ends, whoever has a newer one tells again. Reads
 * `out.<party>` of the feed from the party's cursor on (station 13).
 *
 * A delivery id is the ledger sequence of its tick × 4096 + its index in the party's frame.
 */
import type { Party } from '../access/parties.ts'
import type { Eui64Key } from '../base/eui64.ts'
import { writeSafeU64 } from '../envelope/envelope.ts'
import type { Bus } from '../ports/bus.ts'
import type { Clock } from '../ports/clock.ts'
import {
  outSubject,
  type CursorStore,
  type DeliveryFeed,
  type LedgerMessage,
} from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'
import type { Random } from '../ports/random.ts'
import { cursorNameOf, sequenceOf } from '../envelope/delivery-id.ts'
import { DeliveryCursor } from './delivery-cursor.ts'

export type DeliveryPorts = {
  bus: Bus
  ledger: DeliveryFeed
  cursors: CursorStore
  clock: Clock
  random: Random
  log: Log
}

const stampBytes = 16

/**
 * The place of the one receiver of a party. Ask for it with `Deliveries.open`, give it back with
 * `leave`.
 */
export class Seat {
  readonly cursor: DeliveryCursor
  readonly subject: string
  /** Eight octets time, eight of chance: the larger one is the newer. */
  readonly stamp: Buffer
  private readonly superseded: () => void
  private readonly ledger: DeliveryFeed
  private readonly giveBack: (seat: Seat) => Promise<void>
  private isLost = false
  private isLeft = false

  constructor(
    subject: string,
    cursor: DeliveryCursor,
    stamp: Buffer,
    ledger: DeliveryFeed,
    superseded: () => void,
    giveBack: (seat: Seat) => Promise<void>,
  ) {
    this.subject = subject
    this.cursor = cursor
    this.stamp = stamp
    this.ledger = ledger
    this.superseded = superseded
    this.giveBack = giveBack
  }

  /** Every frame from the one that holds the delivery behind the cursor; see Ledger.follow. */
  follow(
    onMessage: (message: LedgerMessage) => void | Promise<void>,
  ): Promise<{ close(): Promise<void> }> {
    return this.ledger.follow(
      this.subject,
      Math.max(1, sequenceOf(this.cursor.acknowledged)),
      onMessage,
    )
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
}

export class Deliveries {
  private readonly ports: DeliveryPorts
  private readonly entries = new Map<Eui64Key, Entry>()

  constructor(ports: DeliveryPorts) {
    this.ports = ports
  }

  /**
   * Takes the receiver's seat of `party`; whoever had it, here or at another gateway, loses it.
   * `superseded` is called once if this one loses it in turn, perhaps before this settles. Rejects
   * when the cursor cannot be read.
   */
  async open(party: Party, superseded: () => void): Promise<Seat> {
    const { bus, clock, random, ledger, cursors, log } = this.ports
    const hex = cursorNameOf(party.key)
    let entry = this.entries.get(party.key)
    if (!entry) {
      entry = {
        cursor: new DeliveryCursor(cursors, hex, clock, log),
        seat: undefined,
        users: 0,
        lastMs: 0,
        listening: undefined,
      }
      this.entries.set(party.key, entry)
    }
    const held = entry
    const stamp = Buffer.allocUnsafeSlow(stampBytes)
    held.lastMs = Math.max(clock.now(), held.lastMs + 1)
    writeSafeU64(stamp, held.lastMs, 0)
    stamp.set(random.bytes(8), 8)
    const seat = new Seat(this.subjectOf(party), held.cursor, stamp, ledger, superseded, () =>
      this.release(party.key, held, seat),
    )
    const before = held.seat
    held.seat = seat
    held.users++
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

  /** The name under which the feed has a party's deliveries. */
  subjectOf(party: Party): string {
    return outSubject(party.key)
  }

  /**
   * The cursor of a party for an acknowledgement without a receiver (HTTP), caught up with the
   * store.
   */
  async cursorOf(party: Party): Promise<DeliveryCursor> {
    const hex = cursorNameOf(party.key)
    const { cursors, clock, log } = this.ports
    const cursor =
      this.entries.get(party.key)?.cursor ?? new DeliveryCursor(cursors, hex, clock, log)
    await cursor.load()
    return cursor
  }

  private hear(entry: Entry, subject: string, stampView: Uint8Array): void {
    const { seat } = entry
    if (seat === undefined || stampView.length !== stampBytes) return
    const order = Buffer.compare(stampView, seat.stamp)
    if (order > 0) {
      entry.seat = undefined
      seat.lose()
    } else if (order < 0) this.ports.bus.announce(subject, seat.stamp)
  }

  private async release(key: Eui64Key, entry: Entry, seat: Seat): Promise<void> {
    if (entry.seat === seat) entry.seat = undefined
    await entry.cursor.settle()
    if (--entry.users > 0) return
    this.entries.delete(key)
    const listening = await entry.listening
    await listening?.close()
  }
}
