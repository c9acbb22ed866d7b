/**
 * One receiving stream of one party (OutputGateway.Receive, station 13): deliveries out within the
 * party's credit and within what it reads, acknowledgements in. Holds one frame of the ledger and
 * at most `window` octets on their way, however slow the party is: the next frame is read when this
 * one is out.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { ReceiveRequest } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import type { Party } from '../../access/parties.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import { checkEnvelope } from '../../envelope/envelope.ts'
import type { Clock } from '../../ports/clock.ts'
import type { DeliveryFrame } from '../../ports/ledger.ts'
import type { Log } from '../../ports/log.ts'
import { appendDelivery, isDelivery } from '../../translate/delivery.ts'
import { ProtobufWriter } from '../../translate/protobuf.ts'
import { resetCall } from './call-reset.ts'
import { deliveryIdOf, indexOf, sequenceOf } from '../../envelope/delivery-id.ts'
import type { Deliveries, Seat } from '../delivery/deliveries.ts'
import { grpcRefusal } from './refusal.ts'
import type { Violation } from '../../base/violation.ts'
import type { Flushable, Turn } from '../intake/turn-flush.ts'

export type ReceiveCall = ServerDuplexStream<Buffer, Buffer>

export type ReceiverPorts = { deliveries: Deliveries; turn: Turn; clock: Clock; log: Log }

/** Octets written but not taken by the transport; past them this stream waits. */
const windowBytes = 4 * limits.deliveryMessageBytes

/** Deliveries of one frame that are sent and not acknowledged: indices `[first, last]`. */
type Outstanding = { sequence: number; first: number; last: number }

export class Receiver implements Flushable {
  private readonly call: ReceiveCall
  private readonly party: Party
  private readonly deliveries: Deliveries
  private readonly turn: Turn
  private readonly clock: Clock
  private readonly log: Log
  private readonly ended: () => void
  private readonly writer = new ProtobufWriter(64 * 1024)
  private writerCount = 0
  private seat: Seat | undefined
  private following: { close(): Promise<void> } | undefined
  private credit = 0
  private outstanding: Outstanding[] = []
  private outstandingCount = 0
  private lastAcknowledged = 0

  // The frame that is being delivered.
  private frame: Buffer | undefined
  private sequence = 0
  private at = 0
  private index = 0
  private frameDone: (() => void) | undefined

  private bytesUnsent = 0
  private progressMs = 0
  private disarmStall: (() => void) | undefined
  private disarmOpen: (() => void) | undefined
  private isDue = false
  private isEnded = false

  /** Starts serving `call`; `ended` is called once, when nothing of it is left. */
  constructor(
    call: ReceiveCall,
    party: Party,
    { deliveries, turn, clock, log }: ReceiverPorts,
    ended: () => void,
  ) {
    this.call = call
    this.party = party
    this.deliveries = deliveries
    this.turn = turn
    this.clock = clock
    this.log = log
    this.ended = ended
  }

  start(): void {
    const { call } = this
    this.disarmOpen = this.clock.at(this.clock.now() + limits.receiverOpenMsMax, () =>
      this.end('DELIVERY_CREDIT_INVALID', 'nothing came'),
    )
    call.on('data', (message: Buffer) => this.take(message))
    call.on('end', () => this.end(undefined))
    call.on('cancelled', () => this.end(undefined))
  }

  /** Ends the stream with a code, or normally; twice is once. */
  end(code: ErrorCode | undefined, detail?: string, violations?: readonly Violation[]): void {
    if (this.isEnded) return
    this.isEnded = true
    this.disarmOpen?.()
    this.disarmStall?.()
    this.frame = undefined
    this.frameDone?.()
    this.writer.reset()
    void this.leave(code, detail, violations)
  }

  flush(): void {
    this.isDue = false
    if (!this.isEnded && this.writerCount > 0) this.write()
  }

  private async leave(
    code: ErrorCode | undefined,
    detail?: string,
    violations?: readonly Violation[],
  ): Promise<void> {
    // The status first: a party that was superseded need not wait for its old stream's
    // book-keeping.
    if (code !== undefined) {
      this.call.emit('error', grpcRefusal(code, detail, violations))
      if (this.bytesUnsent > 0)
        this.clock.at(this.clock.now() + limits.receiverResetMs, () => resetCall(this.call))
    }
    try {
      await this.following?.close()
      await this.seat?.leave()
    } catch (error) {
      this.log.warn({ reason: String(error) }, 'a receiver did not end cleanly')
    }
    if (code === undefined) this.call.end()
    this.ended()
  }

  private take(message: Buffer): void {
    if (this.isEnded) return
    let request: ReceiveRequest
    try {
      request = ReceiveRequest.decode(message)
    } catch {
      return this.end('REQUEST_WIRE_MALFORMED')
    }
    const { step } = request
    if (step === undefined)
      return this.end('REQUEST_WIRE_MALFORMED', 'neither open nor acknowledge', [
        { field: 'step', description: 'is missing' },
      ])
    if (step.$case === 'openReceiver') {
      const { credit } = step.value
      if (this.credit > 0 || credit < 1 || credit > limits.receiverCreditMax) {
        return this.end(
          'DELIVERY_CREDIT_INVALID',
          this.credit > 0 ? 'opened twice' : `credit ${credit}`,
        )
      }
      this.credit = credit
      this.disarmOpen?.()
      void this.open(step.value.onlyIfFree)
    } else if (this.seat === undefined)
      this.end(this.credit > 0 ? 'DELIVERY_ACKNOWLEDGEMENT_INVALID' : 'DELIVERY_CREDIT_INVALID')
    else if (
      step.value.deliveryId > BigInt(Number.MAX_SAFE_INTEGER) ||
      !this.acknowledge(Number(step.value.deliveryId), this.seat)
    ) {
      this.end('DELIVERY_ACKNOWLEDGEMENT_INVALID', `delivery id ${step.value.deliveryId}`)
    }
  }

  private async open(ifFree: boolean): Promise<void> {
    try {
      const seat = await this.deliveries.open(
        this.party,
        () => this.end('DELIVERY_RECEIVER_SUPERSEDED'),
        { ifFree },
      )
      if (seat === undefined) return this.end('DELIVERY_RECEIVER_PRESENT')
      this.seat = seat
      if (this.isEnded) return await seat.leave()
      this.lastAcknowledged = seat.cursor.acknowledged
      const following = await seat.follow((message) => this.begin(message))
      this.following = following
      if (this.isEnded) await following.close()
    } catch (error) {
      this.log.warn({ reason: String(error) }, 'deliveries cannot be read')
      this.end('BROKER_LEDGER_UNAVAILABLE')
    }
  }

  /** Takes a frame of the feed; the promise settles when all of it is on its way. */
  private begin(message: DeliveryFrame): void | Promise<void> {
    if (this.isEnded) return
    this.frame = message.data
    this.sequence = message.sequence
    this.at = this.index = 0
    this.pump()
    if (this.frame === undefined) return
    return new Promise((resolve) => (this.frameDone = resolve))
  }

  /** Sends as much of the present frame as credit and window allow. */
  private pump(): void {
    const { frame } = this
    if (frame === undefined || this.isEnded) return
    const first = this.index
    const alreadyDone =
      this.sequence === sequenceOf(this.lastAcknowledged) ? indexOf(this.lastAcknowledged) : -1
    let sent = 0
    try {
      while (
        this.at < frame.length &&
        this.outstandingCount + sent < this.credit &&
        this.bytesUnsent < windowBytes
      ) {
        const end = checkEnvelope(frame, this.at)
        if (this.index > alreadyDone && isDelivery(frame, this.at)) {
          appendDelivery(this.writer, deliveryIdOf(this.sequence, this.index), frame, this.at)
          this.writerCount++
        }
        this.at = end
        this.index++
        if (this.index - 1 > alreadyDone) sent++
        if (
          this.writer.bytes >= limits.deliveryMessageBytes ||
          this.writerCount >= limits.deliveriesPerMessageMax
        )
          this.write()
      }
    } catch (error) {
      // Nothing behind this place of the frame can be found; the frames after it can.
      this.log.error(
        { sequence: this.sequence, reason: String(error) },
        'a frame of deliveries is damaged',
      )
      this.at = frame.length
    }
    if (sent > 0) this.note(Math.max(first, alreadyDone + 1), this.index - 1, sent)
    if (this.writerCount > 0 && !this.isDue) {
      this.isDue = true
      this.turn.add(this)
    }
    if (this.at >= frame.length) {
      this.frame = undefined
      this.frameDone?.()
      this.frameDone = undefined
    }
  }

  private note(first: number, last: number, count: number): void {
    this.outstandingCount += count
    const tail = this.outstanding.at(-1)
    if (tail?.sequence === this.sequence) tail.last = last
    else this.outstanding.push({ sequence: this.sequence, first, last })
  }

  /** False when `deliveryId` was never sent here. */
  private acknowledge(deliveryId: number, seat: Seat): boolean {
    if (deliveryId <= this.lastAcknowledged) return true
    const sequence = sequenceOf(deliveryId)
    const index = indexOf(deliveryId)
    const place = this.outstanding.findIndex((frame) => frame.sequence >= sequence)
    const found = this.outstanding[place]
    if (
      found === undefined ||
      found.sequence !== sequence ||
      index < found.first ||
      index > found.last
    )
      return false
    for (let i = 0; i < place; i++)
      this.outstandingCount -= this.outstanding[i]!.last - this.outstanding[i]!.first + 1
    this.outstandingCount -= index - found.first + 1
    found.first = index + 1
    this.outstanding.splice(0, found.first > found.last ? place + 1 : place)
    this.lastAcknowledged = deliveryId
    seat.cursor.acknowledge(deliveryId)
    this.pump()
    return true
  }

  private write(): void {
    const message = this.writer.take()
    this.writerCount = 0
    if (this.bytesUnsent === 0) this.progressMs = this.clock.elapsedMs()
    this.bytesUnsent += message.length
    this.call.write(message, () => {
      this.bytesUnsent -= message.length
      this.progressMs = this.clock.elapsedMs()
      this.pump()
    })
    if (this.disarmStall === undefined) this.watchStall(limits.receiverStallMsMax)
  }

  /**
   * Cuts the stream off when the transport has taken nothing for too long. One timer a stream,
   * armed while octets wait.
   */
  private watchStall(waitMs: number): void {
    this.disarmStall = this.clock.at(this.clock.now() + waitMs, () => {
      this.disarmStall = undefined
      if (this.isEnded || this.bytesUnsent === 0) return
      const leftMs = this.progressMs + limits.receiverStallMsMax - this.clock.elapsedMs()
      if (leftMs <= 0) this.end('DELIVERY_RECEIVER_STALLED')
      else this.watchStall(leftMs)
    })
  }
}
