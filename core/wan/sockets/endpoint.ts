/**
 * One way to devices (a host and port, or a name that one dials in by): the link, when there is
 * one, and the exchanges that wait for it.
 */
import { laneCount, type Lane } from '../../base/lane.ts'
import type { Exchange } from './exchange.ts'
import { LaneQueue } from './lane-queue.ts'
import type { Link } from './link.ts'
import type { Transport } from '../../ports/wan.ts'

/** `wantedLane` of an endpoint that is not waiting for a link. */
export const notWanted = laneCount

export class Endpoint {
  readonly transport: Transport
  readonly host: string
  readonly port: number
  /** Further names by which a device that dialled in is known while it is connected. */
  aliases: readonly string[] = []
  link: Link | undefined
  /** The lane in which it waits for a link to be opened. */
  wantedLane: number = notWanted
  /** Until then, connecting is known to fail. */
  deadUntilMs = 0
  deadReason = ''
  private readonly waiting = new LaneQueue<Exchange>()

  constructor(transport: Transport, host: string, port: number) {
    this.transport = transport
    this.host = host
    this.port = port
  }

  /** Holds an exchange until there is a link with room. */
  wait(exchange: Exchange): void {
    this.waiting.push(exchange.lane, exchange)
  }

  /** The next waiting exchange that has not ended meanwhile. */
  takeWaiting(): Exchange | undefined {
    for (;;) {
      const exchange = this.waiting.shift()
      if (!exchange || !exchange.isEnded) return exchange
    }
  }

  /** All of these, the most urgent first. */
  takeAllWaiting(): Exchange[] {
    const all: Exchange[] = []
    for (let one = this.takeWaiting(); one; one = this.takeWaiting()) all.push(one)
    return all
  }

  get waitingCount(): number {
    return this.waiting.length
  }

  /** The most urgent lane in which an exchange waits that has not ended, or `notWanted`. */
  get mostUrgentLane(): Lane | typeof notWanted {
    const exchange = this.takeWaiting()
    if (!exchange) return notWanted
    this.waiting.unshift(exchange.lane, exchange)
    return exchange.lane
  }

  /** True when an exchange waits that has not ended. */
  get isAwaited(): boolean {
    return this.mostUrgentLane !== notWanted
  }
}
