/**
 * One long poll for deliveries (HTTP): those behind the party's cursor, the same again until they
 * are acknowledged. Answers as soon as what was there at the call is read, or the first one comes,
 * or the wait is over. A poll takes the receiver's seat like any receiver.
 */
import type { Party } from '../../access/parties.ts'
import { emptyBytes } from '../../base/bytes.ts'
import { limits } from '../../base/limits.ts'
import { checkEnvelope } from '../../envelope/envelope.ts'
import type { Clock } from '../../ports/clock.ts'
import type { DeliveryFeed, DeliveryFrame } from '../../ports/ledger.ts'
import type { Log } from '../../ports/log.ts'
import { appendDelivery, isDelivery } from '../../translate/delivery.ts'
import { ProtobufWriter } from '../../translate/protobuf.ts'
import { deliveryIdOf, indexOf, sequenceOf } from '../../envelope/delivery-id.ts'
import type { Deliveries, Seat } from '../delivery/deliveries.ts'

export type PollPorts = { deliveries: Deliveries; feed: DeliveryFeed; clock: Clock; log: Log }

/** What a poll gave: an encoded ReceiveResponse, or why another receiver has the seat. */
export type PollResult = {
  message: Buffer
  refusal?: 'DELIVERY_RECEIVER_SUPERSEDED' | 'DELIVERY_RECEIVER_PRESENT'
}

export type PollQuery = {
  /** Deliveries in the answer. */
  max: number
  waitMs: number
  /** Answers DELIVERY_RECEIVER_PRESENT instead of taking the seat of another receiver. */
  ifFree: boolean
}

/**
 * Settles with at most `query.max` deliveries. `abandoned` is given a function that ends the poll
 * early, for a client that has gone. Rejects when ledger or cursor cannot be read.
 */
export async function pollDeliveries(
  ports: PollPorts,
  party: Party,
  query: PollQuery,
  abandoned: (stop: () => void) => void,
): Promise<PollResult> {
  const poll = new Poll(ports, query)
  abandoned(poll.stop)
  const options = { ifFree: query.ifFree, isPoll: true }
  const seat = await ports.deliveries.open(party, poll.supersede, options)
  if (seat === undefined) return { message: emptyBytes, refusal: 'DELIVERY_RECEIVER_PRESENT' }
  try {
    await poll.run(seat)
  } finally {
    poll.disarm()
    await seat.leave()
  }
  return poll.result()
}

class Poll {
  private readonly ports: PollPorts
  private readonly query: PollQuery
  private readonly writer = new ProtobufWriter()
  private readonly over: Promise<void>
  private end: () => void = () => undefined
  private isOver = false
  private isSuperseded = false
  private count = 0
  /** The cursor at the call, and the sequence of the last frame that was there then. */
  private acknowledged = 0
  private backlogSequence = 0
  disarm: () => void = () => undefined

  constructor(ports: PollPorts, query: PollQuery) {
    this.ports = ports
    this.query = query
    this.over = new Promise((resolve) => (this.end = resolve))
  }

  readonly stop = (): void => {
    this.isOver = true
    this.end()
  }

  /** Another receiver has the seat. */
  readonly supersede = (): void => {
    this.isSuperseded = true
    this.stop()
  }

  async run(seat: Seat): Promise<void> {
    const { feed } = this.ports
    const { acknowledged } = seat.cursor
    this.acknowledged = acknowledged
    const last = await feed.lastOf(seat.party, sequenceOf(acknowledged))
    this.backlogSequence = last?.sequence ?? 0
    // Only when what was there is read does the party wait for more.
    if (this.backlogSequence < Math.max(1, sequenceOf(acknowledged))) this.waitForMore()
    else this.endIn(limits.longPollMsMax)
    const following = await seat.follow((frame) => this.take(frame))
    await this.over
    await following.close()
  }

  result(): PollResult {
    const message = this.writer.take()
    return this.isSuperseded ? { message, refusal: 'DELIVERY_RECEIVER_SUPERSEDED' } : { message }
  }

  private waitForMore(): void {
    this.disarm()
    this.endIn(Math.min(this.query.waitMs, limits.longPollMsMax))
  }

  private endIn(ms: number): void {
    const { clock } = this.ports
    this.disarm = clock.at(clock.now() + ms, this.stop)
  }

  private get isFull(): boolean {
    return this.count >= this.query.max || this.writer.bytes >= limits.pollBytesMax
  }

  private take(frame: DeliveryFrame): void | Promise<void> {
    if (this.isOver) return
    const { sequence } = frame
    try {
      this.append(frame)
    } catch (error) {
      this.ports.log.error({ sequence, reason: String(error) }, 'a frame of deliveries is damaged')
    }
    if (this.isFull || (this.count > 0 && sequence >= this.backlogSequence)) {
      this.stop()
      return this.over
    }
    if (sequence === this.backlogSequence) this.waitForMore()
  }

  /** Appends the deliveries of a frame behind the cursor, as far as there is room. */
  private append({ data, sequence }: DeliveryFrame): void {
    const { acknowledged } = this
    const done = sequence === sequenceOf(acknowledged) ? indexOf(acknowledged) : -1
    for (let at = 0, index = 0; at < data.length && !this.isFull; index++) {
      const end = checkEnvelope(data, at)
      if (index > done && isDelivery(data, at)) {
        appendDelivery(this.writer, deliveryIdOf(sequence, index), data, at)
        this.count++
      }
      at = end
    }
  }
}
