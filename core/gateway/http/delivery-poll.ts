/**
 * One long poll for deliveries (HTTP): those behind the party's cursor, the same again until they
 * are acknowledged. Answers as soon as what was there at the call is read, or the first one comes,
 * or the wait is over. A poll takes the receiver's seat like any receiver.
 */
import type { Party } from '../../access/parties.ts'
import { limits } from '../../base/limits.ts'
import { checkEnvelope } from '../../envelope/envelope.ts'
import type { Clock } from '../../ports/clock.ts'
import type { DeliveryFeed, LedgerMessage } from '../../ports/ledger.ts'
import type { Log } from '../../ports/log.ts'
import { appendDelivery, isDelivery } from '../../translate/delivery.ts'
import { ProtobufWriter } from '../../translate/protobuf.ts'
import { deliveryIdOf, indexOf, sequenceOf } from '../../envelope/delivery-id.ts'
import type { Deliveries } from '../delivery/deliveries.ts'

export type PollPorts = { deliveries: Deliveries; ledger: DeliveryFeed; clock: Clock; log: Log }

/** Octets of deliveries in one answer; the last one may stand above. */
const pollBytesMax = 1024 * 1024

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
 * Settles with at most `query.max` deliveries. `abandoned` is given a function that ends the poll early,
 * for a client that has gone. Rejects when ledger or cursor cannot be read.
 */
export async function pollDeliveries(
  ports: PollPorts,
  party: Party,
  { max, waitMs, ifFree }: PollQuery,
  abandoned: (stop: () => void) => void,
): Promise<PollResult> {
  const { deliveries, ledger, clock, log } = ports
  const writer = new ProtobufWriter()
  let isSuperseded = false
  let count = 0
  let isOver = false
  let disarm = (): void => {}
  let stop = (): void => {}
  const over = new Promise<void>((resolve) => {
    stop = () => {
      isOver = true
      resolve()
    }
  })
  abandoned(stop)
  const superseded = (): void => {
    isSuperseded = true
    stop()
  }
  const seat = await deliveries.open(party, superseded, { ifFree, isPoll: true })
  if (seat === undefined) return { message: Buffer.alloc(0), refusal: 'DELIVERY_RECEIVER_PRESENT' }
  try {
    const { acknowledged } = seat.cursor
    const backlogSequence =
      (await ledger.lastOn(seat.subject, sequenceOf(acknowledged)))?.sequence ?? 0
    // Only when what was there is read does the party wait for more.
    const wait = (): void => {
      disarm()
      disarm = clock.at(clock.now() + Math.min(waitMs, limits.longPollMsMax), stop)
    }
    const take = (message: LedgerMessage): void | Promise<void> => {
      if (isOver) return
      const { data, sequence } = message
      const done = sequence === sequenceOf(acknowledged) ? indexOf(acknowledged) : -1
      try {
        for (
          let at = 0, index = 0;
          at < data.length && count < max && writer.bytes < pollBytesMax;
          index++
        ) {
          const end = checkEnvelope(data, at)
          if (index > done && isDelivery(data, at)) {
            appendDelivery(writer, deliveryIdOf(sequence, index), data, at)
            count++
          }
          at = end
        }
      } catch (error) {
        log.error({ sequence, reason: String(error) }, 'a frame of deliveries is damaged')
      }
      const isFull = count >= max || writer.bytes >= pollBytesMax
      if (isFull || (count > 0 && sequence >= backlogSequence)) {
        stop()
        return over
      }
      if (sequence === backlogSequence) wait()
    }
    if (backlogSequence < Math.max(1, sequenceOf(acknowledged))) wait()
    else disarm = clock.at(clock.now() + limits.longPollMsMax, stop)
    const following = await seat.follow(take)
    await over
    await following.close()
  } finally {
    disarm()
    await seat.leave()
  }
  return {
    message: writer.take(),
    ...(isSuperseded ? { refusal: 'DELIVERY_RECEIVER_SUPERSEDED' as const } : {}),
  }
}
