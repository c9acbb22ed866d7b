/**
 * What a link asks of its pool, and what a link is made of: the types that socket-wan.ts, link.ts
 * and link-parts.ts share.
 */
import type { ErrorCode } from '../../base/error-table.ts'
import type { DeviceAddress, DevicePush, ExchangeResult } from '../../ports/wan.ts'
import type { Carrier, CarrierEvents } from './carrier.ts'
import type { Exchange } from './exchange.ts'
import type { Framing, FramingEvents } from './framing.ts'
import type { WanOptions } from './options.ts'

/** What the pool does for its links, of the class `Link`: link.ts, which imports this. */
export interface LinkOwner<Link> {
  readonly options: WanOptions
  nowMs(): number
  /** Calls `flush` at the end of this turn. */
  wantFlush(link: Link): void
  opened(link: Link): void
  /** The exchange has ended; its place on the link is free. */
  ended(link: Link, exchange: Exchange, result: ExchangeResult): void
  /** Retry the exchange on another link. */
  displaced(link: Link, exchange: Exchange): void
  /** The link has room, or nothing to do any more when `activeCount` is 0. */
  freed(link: Link): void
  /** The link takes nothing new; what waits for it goes elsewhere. */
  retired(link: Link): void
  /**
   * The link is gone without having opened (`failure`), or with exchanges that it had not ended
   * (`lost`).
   */
  closed(link: Link, reason: string, lost: Exchange[]): void
  lateFrame(): void
  /** Nobody had asked for it: told as a push where it is one. The view is borrowed for the call. */
  unsolicited(link: Link, from: UnsolicitedFrom, apduView: Buffer): void
  /** What came was not taken, for this reason; `bytes` octets, where that is known. */
  refusedFrame(code: ErrorCode, bytes?: number): void
}

/**
 * Where something came from on a link: device and client as device records have them, whose it is,
 * how it was protected, and how to confirm it.
 */
export type UnsolicitedFrom = Pick<DeviceAddress, 'logicalDevice' | 'client' | 'device'> &
  Pick<DevicePush, 'protection' | 'counter' | 'confirm'>

/** What a link is made of. */
export type LinkParts = {
  open(events: CarrierEvents): Carrier
  frame(events: FramingEvents): Framing
  /**
   * True when the device has connected to us: a connection that is cut comes back only when it
   * likes.
   */
  isTheirs: boolean
}

export type LinkState = 'CONNECTING' | 'OPEN' | 'DOOMED' | 'RELEASING' | 'CLOSED'
