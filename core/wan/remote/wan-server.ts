/**
 * Carries exchanges for the hosts of other processes: takes frames of them from the bus, gives each
 * to the Wan of this process, and sends the results back as they come, many in a frame. The other
 * end: bus-wan.ts. Remembers nothing beyond an exchange under way.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf } from '../../base/bytes.ts'
import { limits } from '../../base/limits.ts'
import { announceAlive, wanAliveSubject } from '../../cluster/alive.ts'
import type { Bus } from '../../ports/bus.ts'
import { pause, type Clock } from '../../ports/clock.ts'
import { encodeWanStatus, statusSubject, type WanStatus } from '../../cluster/process-status.ts'
import type { Log } from '../../ports/log.ts'
import type { Counter, Metrics } from '../../ports/metrics.ts'
import type { ExchangeResult, Wan } from '../../ports/wan.ts'
import {
  decodeExchanges,
  encodeReceipt,
  encodeResults,
  Receipt,
  resultBytes,
  resultsSubject,
  wanSubject,
  type NumberedExchange,
  type NumberedResult,
} from './exchange-frame.ts'
import { dialInSubject, encodeDialledIn } from './dial-in-places.ts'
import { FrameQueue, type Queued } from './frame-queue.ts'

export type WanServerOptions = {
  /** Names one life of this process. */
  wanId: string
  /** What this process does, for the cluster's status. */
  roles: readonly string[]
  wan: Wan
  /** Connections to devices that are open. */
  connectionCount: () => number
  /** Names of the devices that have dialled in to this process. */
  dialledIn?: () => readonly string[]
  bus: Bus
  clock: Clock
  log: Log
  metrics: Metrics
  bytesInFlightMax?: number
}

type Waiting = NumberedResult & Queued
/** A frame whose exchanges are under way: their octets lie in it. */
type Taken = { client: string; bytes: number; left: number }

export class WanServer {
  private readonly options: WanServerOptions
  private readonly bytesMax: number
  /** Results on their way, by client. */
  private readonly queues = new Map<string, FrameQueue<Waiting>>()
  private underWay = 0
  private bytesInFlight = 0
  private isLeaving = false
  private closed: Promise<void> | undefined
  private served: Array<{ close(): Promise<void> }> = []
  private fallSilent: (() => void) | undefined
  private stopTelling: (() => void) | undefined
  private readonly carried: Counter

  constructor(options: WanServerOptions) {
    this.options = options
    this.bytesMax = options.bytesInFlightMax ?? limits.wanBytesInFlightMax
    const { metrics } = options
    this.carried = metrics.counter(
      'busbar_wan_carried_exchanges_total',
      'Exchanges taken from hosts of other processes',
    )
    metrics.gauge(
      'busbar_wan_carried_bytes',
      'Octets of exchanges and results held for hosts of other processes',
      () => this.bytesInFlight,
    )
  }

  async start(): Promise<void> {
    const { bus, clock, wanId } = this.options
    this.served = [
      await bus.serve(wanSubject(wanId), (frame, reply) =>
        reply(encodeReceipt(this.onFrame(frame))),
      ),
      await bus.serve(statusSubject(wanId), (_frame, reply) =>
        reply(encodeWanStatus(this.status())),
      ),
    ]
    this.fallSilent = announceAlive(bus, clock, wanAliveSubject(wanId), wanId)
    this.tellAll()
  }

  /** Tells hosts that these devices have dialled in here. */
  tell(names: readonly string[]): void {
    const { bus, wanId } = this.options
    for (const frame of encodeDialledIn(wanId, names)) bus.announce(dialInSubject(wanId), frame)
  }

  /** For hosts that were not there when they came. */
  private tellAll(): void {
    const { clock, dialledIn } = this.options
    if (dialledIn === undefined) return
    this.tell(dialledIn())
    this.stopTelling = clock.at(clock.now() + limits.dialInTellMs, () => this.tellAll())
  }

  status(): WanStatus {
    const { wanId, roles, connectionCount } = this.options
    return {
      wanId,
      roles: [...roles],
      exchanges: this.underWay,
      connections: connectionCount(),
    }
  }

  /** Takes nothing new, ends what is under way within `wanDrainMsMax`, and closes its Wan. */
  close(): Promise<void> {
    return (this.closed ??= this.leave())
  }

  private async leave(): Promise<void> {
    this.isLeaving = true
    await this.until(() => this.underWay === 0)
    // Whatever is left ends now, as a failure, and its hosts are told.
    await this.options.wan.close()
    await this.until(() => this.underWay === 0 && this.queues.size === 0)
    this.fallSilent?.()
    this.stopTelling?.()
    await Promise.all(this.served.map((one) => one.close()))
  }

  private async until(isSo: () => boolean): Promise<void> {
    const { clock } = this.options
    const deadline = clock.elapsedMs() + limits.wanDrainMsMax
    while (!isSo() && clock.elapsedMs() < deadline) await pause(clock, limits.wanDrainLookMs)
  }

  private onFrame(frameView: Buffer): Receipt {
    if (this.isLeaving) return Receipt.LEAVING
    if (this.bytesInFlight + frameView.length > this.bytesMax) return Receipt.FULL
    let frame: ReturnType<typeof decodeExchanges>
    try {
      // Exchanges outlive the socket's chunk; they borrow from the copy.
      frame = decodeExchanges(copyOf(frameView))
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      // Not what stands in it: there are secrets.
      this.options.log.error(
        { code: fault.code, bytes: frameView.length },
        'a frame of exchanges is malformed',
      )
      return Receipt.MALFORMED
    }
    const { client, exchanges } = frame
    if (exchanges.length === 0) return Receipt.TAKEN
    this.hold(frameView.length)
    this.underWay += exchanges.length
    this.carried.add(exchanges.length)
    const taken: Taken = { client, bytes: frameView.length, left: exchanges.length }
    for (const exchange of exchanges) this.carry(taken, exchange)
    return Receipt.TAKEN
  }

  private carry(taken: Taken, exchange: NumberedExchange): void {
    const { number, lane, address, command, security } = exchange
    void this.options.wan.exchange(address, command, lane, security).then((result) => {
      this.underWay--
      if (--taken.left === 0) this.hold(-taken.bytes)
      const fitting = this.fitting(result)
      const bytes = resultBytes(fitting)
      this.hold(bytes)
      this.queueTo(taken.client).push({ number, result: fitting, lane, bytes, isEnded: false })
    })
  }

  /** The result, or a failure instead of one for which there is no room. */
  private fitting(result: ExchangeResult): ExchangeResult {
    const bytes = resultBytes(result)
    const { counters } = result
    if (bytes > limits.frameBytesMax)
      return {
        ok: false,
        code: 'DEVICE_ANSWER_INVALID',
        detail: `a result of ${bytes} octets`,
        counters,
      }
    return result.ok && this.bytesInFlight + bytes > this.bytesMax
      ? { ok: false, code: 'DEVICE_UNREACHABLE', detail: 'too many octets of results', counters }
      : result
  }

  private queueTo(client: string): FrameQueue<Waiting> {
    const { bus, wanId, log } = this.options
    const present = this.queues.get(client)
    if (present !== undefined) return present
    const over = (items: readonly Waiting[]): void => {
      for (const { bytes } of items) this.hold(-bytes)
      if (queue.isIdle) this.queues.delete(client)
    }
    const queue = new FrameQueue<Waiting>({
      bus,
      subject: resultsSubject(client),
      frameOf: (items) => encodeResults(wanId, items),
      landed: over,
      lost: (items, fault) => {
        // Its host has gone; the present owner of the devices asks again.
        const code = fault instanceof BrokerError ? fault.code : String(fault)
        log.warn({ results: items.length, code }, 'results found nobody to take them')
        over(items)
      },
    })
    this.queues.set(client, queue)
    return queue
  }

  private hold(bytes: number): void {
    this.bytesInFlight += bytes
  }
}
