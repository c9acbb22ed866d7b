/**
 * The way to devices over sockets: implements the Wan port with the sans-io DLMS client, over TCP,
 * UDP, HDLC behind serial servers, and connections that devices make to us (dial-in.ts). Station 9
 * of the way of one message. Keeps connections and associations open and uses them again, under a
 * cap: when another address needs a connection the least recently used idle one is released. What
 * has to wait, for a connection or for room on one, waits by lane. One coarse sweep finds every
 * time-out; there is no timer and no promise beside the caller's for an exchange.
 *
 * How failures are named: no connection → DEVICE_UNREACHABLE; connected, but no answer in time or
 * dropped in the middle → DEVICE_SILENT; an answer that cannot be parsed → DEVICE_ANSWER_INVALID;
 * association refused → DEVICE_ASSOCIATION_REFUSED. A kept connection that turns out to be gone is
 * replaced once, at once, when nothing can have been done twice. Late answers: see link.ts. Retries
 * with back-off are the device actor's.
 */
import type { Lane } from '../../base/lane.ts'
import { assert } from '../../base/assert.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf } from '../../base/bytes.ts'
import type {
  DeviceAddress,
  ExchangeResult,
  ExchangeSecurity,
  Wan,
  WanCommand,
} from '../../ports/wan.ts'
import { isUnaskedApdu } from '../../dlms/unsolicited/push.ts'
import { sendsCounters } from './counter-reading.ts'
import { CounterReadings } from './counter-readings.ts'
import { DialIn } from './dial-in.ts'
import { DialledLinks } from './dialled-links.ts'
import { notWanted, type Endpoint } from './endpoint.ts'
import { Endpoints } from './endpoints.ts'
import { Exchange, ExchangeList, type ExchangeTerms } from './exchange.ts'
import { IdleLinks } from './idle-links.ts'
import { LaneQueue } from './lane-queue.ts'
import { cannotAsk, silent, unreachable } from './failures.ts'
import { Link } from './link.ts'
import type { LinkOwner, UnsolicitedFrom } from './link-owner.ts'
import { dialledParts } from './link-parts.ts'
import { defaultWanOptions, type WanOptions } from './options.ts'
import { Pauses } from './pauses.ts'
import { namesInApdu } from '../pushes/push-names.ts'
import { Refusals } from './refusals.ts'
import { exchangeSecured, needsParts, type Carried, type PartPorts } from './secured-exchange.ts'
import { wanMetrics, type WanMetrics } from './wan-metrics.ts'

/**
 * What the pool holds now. `connections` includes opening and closing ones, `idle` those with
 * nothing under way.
 */
export type WanCounts = {
  exchanges: number
  connections: number
  connecting: number
  idle: number
  endpoints: number
}

export class SocketWan implements Wan {
  private readonly options: WanOptions
  private readonly metrics: WanMetrics
  private readonly refusals: Refusals
  private readonly endpoints = new Endpoints()
  private readonly exchanges = new ExchangeList()
  private readonly links = new Map<Link, Endpoint>()
  private readonly connecting = new Set<Link>()
  private readonly releasing = new Set<Link>()
  /** Those whose framing keeps time. */
  private readonly timed = new Set<Link>()
  private dialIn: DialIn | undefined
  private readonly dialled: DialledLinks
  private readonly idle = new IdleLinks()
  // Endpoints that need a link; an entry counts only while the endpoint still waits in that lane.
  private readonly wanted = new LaneQueue<Endpoint>()
  // In the order in which they come to life again, as all stay dead equally long.
  private readonly dead = new Set<Endpoint>()
  private dirty: Link[] = []
  /** The link on which exchanges are being started. */
  private filling: Link | undefined
  private readonly owner: LinkOwner<Link>
  private readonly parts: PartPorts
  private readonly pauses = new Pauses()
  private readonly sweeper: NodeJS.Timeout
  private closing: (() => void) | undefined
  private closed: Promise<void> | undefined

  constructor(options: Partial<WanOptions> = {}) {
    this.options = { ...defaultWanOptions, ...options }
    this.metrics = wanMetrics(this.options.metrics, {
      underWay: () => this.exchanges.count,
      connections: () => this.links.size,
    })
    this.refusals = new Refusals(this.metrics, this.options.log, () => this.options.nowMs())
    this.owner = this.asOwner()
    this.dialled = new DialledLinks({
      owner: this.owner,
      endpoints: this.endpoints,
      links: this.links,
      metrics: this.metrics,
      isClosed: () => this.closed !== undefined,
      add: (link, endpoint) => this.add(link, endpoint),
      hear: (link, endpoint) => this.hear(link, endpoint),
      forgetAliases: (endpoint) => this.forgetAliases(endpoint),
    })
    this.parts = {
      carry: (part) => this.carry(part),
      nowMs: this.options.nowMs,
      pause: (ms) =>
        this.closed ? Promise.resolve() : this.pauses.until(this.options.nowMs() + ms),
      readings: new CounterReadings(),
    }
    this.sweeper = setInterval(() => {
      const now = this.options.nowMs()
      setImmediate(() => this.sweep(now))
    }, this.options.sweepMs)
    this.sweeper.unref()
  }

  exchange(
    address: DeviceAddress,
    command: WanCommand,
    lane: Lane,
    security?: ExchangeSecurity,
  ): Promise<ExchangeResult> {
    const now = this.options.nowMs()
    const dueMs = now + this.options.exchangeMs
    if (command.cosem !== undefined && needsParts(address, security))
      return exchangeSecured({ address, command, lane, dueMs }, security, this.parts)
    return new Promise((settle) => {
      this.take(new Exchange({ address, command, lane, dueMs, security }, now, settle))
    })
  }

  private carry(part: ExchangeTerms): Promise<Carried> {
    return new Promise((resolve) => {
      const settle = (result: ExchangeResult): void => {
        const { isServiceSent, isHeard, isOnReusedLink } = exchange
        resolve({ result, isServiceSent, isHeard, isOnReusedLink })
      }
      const exchange = new Exchange(part, this.options.nowMs(), settle)
      this.take(exchange)
    })
  }

  private take(exchange: Exchange): void {
    const isFull = this.exchanges.count >= this.options.exchangesMax
    this.exchanges.add(exchange)
    if (this.closed) this.end(exchange, unreachable('the broker is closing'))
    else if (isFull) this.end(exchange, unreachable('too many exchanges'))
    else if (exchange.isOpaque && sendsCounters(exchange.address))
      this.end(exchange, cannotAsk(new BrokerError('DLMS_OPAQUE_UNFIT'), this.owner))
    else this.place(exchange)
  }

  /**
   * Takes devices that dial in, and notifications in datagrams, at `port` (0: any) of `host`;
   * settles with the port.
   * @throws BrokerError DIAL_IN_LISTEN_FAILED
   */
  listen(host: string, port: number): Promise<number> {
    assert(this.dialIn === undefined, 'there is one door')
    const { apduBytesMax, nowMs, onPush, connectionsMax, dialInPerAddressMax } = this.options
    this.dialIn = new DialIn(
      { host, port, apduBytesMax, nowMs, connectionsMax, perAddressMax: dialInPerAddressMax },
      {
        connected: (socket, announcement) => this.dialled.connect(socket, announcement),
        pushed: (push) => {
          this.metrics.pushes.add()
          onPush(push)
        },
        isAwaited: (name) => this.endpoints.dialledIn(name)?.isAwaited === true,
        refused: (code, bytes) => this.refusals.note(code, bytes),
      },
    )
    this.dialled.door = this.dialIn
    return this.dialIn.listen()
  }

  get counts(): WanCounts {
    return {
      exchanges: this.exchanges.count,
      connections: this.links.size,
      connecting: this.connecting.size,
      idle: this.idle.count,
      endpoints: this.endpoints.count,
    }
  }

  close(): Promise<void> {
    this.closed ??= new Promise<void>((resolve) => {
      this.closing = () => {
        clearInterval(this.sweeper)
        resolve()
      }
      // What is under way may end within the time of a release; what waits has no connection to
      // wait for.
      const dueMs = this.options.nowMs() + this.options.releaseMs
      for (const exchange of this.exchanges.all()) {
        if (exchange.isWaiting) this.end(exchange, unreachable('the broker is closing'))
        else exchange.dueMs = Math.min(exchange.dueMs, dueMs)
      }
      for (const link of [...this.links.keys()]) if (link.activeCount === 0) link.release()
      this.pauses.sweep(Infinity)
      this.sweeper.ref()
      this.dialled.close()
      void (this.dialIn?.close() ?? Promise.resolve()).then(() => {
        this.dialIn = undefined
        this.closeWhenEmpty()
      })
    })
    return this.closed
  }

  private closeWhenEmpty(): void {
    if (this.links.size === 0 && this.dialIn === undefined) this.closing?.()
  }

  // ── from exchange to link ──

  private place(exchange: Exchange): void {
    if (exchange.wantsNewLink && !exchange.isRetried) this.makeWay(exchange.address)
    const endpoint = this.endpoints.at(exchange.address)
    const { link } = endpoint
    if (link?.state === 'OPEN' && link.hasRoom && endpoint.waitingCount === 0)
      return this.begin(link, exchange)
    if (endpoint.deadUntilMs > exchange.startedMs)
      return this.end(exchange, unreachable(endpoint.deadReason))
    exchange.isWaiting = true
    endpoint.wait(exchange)
    if (!link) this.wantLink(endpoint, exchange.lane)
  }

  /** Closes the connection that is there, where nobody is at work on it. */
  private makeWay(address: DeviceAddress): void {
    const { link } = this.endpoints.at(address)
    if (link?.isReplaceable === true) link.cut('another connection is wanted')
  }

  private begin(link: Link, exchange: Exchange): void {
    exchange.isWaiting = false
    exchange.link = link
    this.idle.remove(link)
    link.begin(exchange)
  }

  private forgetUnused(endpoint: Endpoint): void {
    if (
      endpoint.link ||
      endpoint.wantedLane !== notWanted ||
      endpoint.isAwaited ||
      this.dead.has(endpoint)
    )
      return
    this.endpoints.forget(endpoint)
  }

  private wantLink(endpoint: Endpoint, lane: Lane): void {
    // A device that dials in comes when it likes.
    if (lane >= endpoint.wantedLane || endpoint.transport === 'dial-in') return
    endpoint.wantedLane = lane
    this.wanted.push(lane, endpoint)
    this.connectWanted()
  }

  // Opens links for those who wait, as far as the caps allow, and makes room by releasing idle
  // ones.
  private connectWanted(): void {
    while (this.wanted.length > 0 && this.connecting.size < this.options.connectsMax) {
      if (this.links.size >= this.options.connectionsMax) return this.evictIdle()
      const endpoint = this.wanted.shift()!
      if (endpoint.wantedLane !== this.wanted.shiftedLane) continue
      endpoint.wantedLane = notWanted
      if (!endpoint.isAwaited) this.forgetUnused(endpoint)
      else {
        const link = new Link(this.owner, dialledParts(endpoint, this.options))
        this.add(link, endpoint)
        this.connecting.add(link)
      }
    }
  }

  private add(link: Link, endpoint: Endpoint): void {
    endpoint.link = link
    this.hear(link, endpoint)
  }

  /** Takes what comes on `link`; questions go on the link of the endpoint alone. */
  private hear(link: Link, endpoint: Endpoint): void {
    this.links.set(link, endpoint)
    if (link.keepsTime) this.timed.add(link)
  }

  /** Names of the devices that have dialled in and are connected. */
  get dialledIn(): string[] {
    return this.dialled.names
  }

  private forgetAliases(endpoint: Endpoint): void {
    for (const exchange of this.endpoints.dropAliases(endpoint)) this.place(exchange)
  }

  private evictIdle(): void {
    while (this.releasing.size < this.wanted.length) {
      const link = this.idle.takeOldest()
      if (!link) return
      this.metrics.evicted.add()
      link.release()
    }
  }

  // ── what links report ──

  private asOwner(): LinkOwner<Link> {
    return {
      options: this.options,
      nowMs: this.options.nowMs,
      wantFlush: (link) => {
        if (this.dirty.push(link) === 1) setImmediate(this.flush)
      },
      opened: (link) => this.onOpened(link),
      ended: (link, exchange, result) => {
        if (result.ok && link.isTheirs)
          this.dialled.prove(link, exchange.address, exchange.security !== undefined)
        this.end(exchange, result)
      },
      freed: (link) => this.onFreed(link),
      retired: (link) => this.onRetired(link),
      closed: (link, reason, lost) => this.onClosed(link, reason, lost),
      displaced: (link, exchange) => {
        exchange.link = undefined
        this.place(exchange)
      },
      lateFrame: () => this.metrics.lateFrames.add(),
      unsolicited: (link, from, apduView) => this.onUnsolicited(link, from, apduView),
      refusedFrame: (code, bytes) => this.refusals.note(code, bytes),
    }
  }

  private onUnsolicited(
    link: Link,
    { protection, counter, confirm, ...ends }: UnsolicitedFrom,
    apduView: Buffer,
  ): void {
    if (!isUnaskedApdu(apduView)) {
      this.metrics.unsolicitedFrames.add()
      return this.refusals.note('DLMS_SERVICE_UNEXPECTED', apduView.length)
    }
    const endpoint = this.links.get(link)
    if (endpoint === undefined) return
    const { transport, host, port, aliases } = endpoint
    const ownNames = link.isTheirs ? [host, ...aliases] : []
    this.metrics.pushes.add()
    this.options.onPush({
      device: ends.device,
      address: { transport, host, port, ...ends },
      names: [...namesInApdu(apduView), ...ownNames],
      apduBytes: copyOf(apduView),
      protection,
      counter,
      confirm,
    })
  }

  private readonly flush = (): void => {
    const { dirty } = this
    this.dirty = []
    for (const link of dirty) link.flush()
  }

  private onOpened(link: Link): void {
    this.connecting.delete(link)
    this.metrics.connected.add()
    this.fill(link)
    this.connectWanted()
  }

  private onFreed(link: Link): void {
    // One of those that are being started has ended at once; the next follows in the loop that
    // started it.
    if (this.filling === link) return
    const endpoint = this.links.get(link)!
    if (endpoint.waitingCount > 0) this.fill(link)
    else if (link.activeCount === 0) this.onIdle(link)
  }

  // Starts what waits for this link as far as it has room.
  private fill(link: Link): void {
    const endpoint = this.links.get(link)!
    this.filling = link
    while (link.state === 'OPEN' && link.hasRoom) {
      const exchange = endpoint.takeWaiting()
      if (!exchange) break
      this.begin(link, exchange)
    }
    this.filling = undefined
    if (link.state === 'OPEN' && link.activeCount === 0) this.onIdle(link)
  }

  private onIdle(link: Link): void {
    if (this.closed) return link.release()
    this.idle.add(link)
    if (this.wanted.length > 0) this.connectWanted()
  }

  private onRetired(link: Link): void {
    this.idle.remove(link)
    const endpoint = this.links.get(link)!
    if (endpoint.link === link) endpoint.link = undefined
    if (link.state === 'RELEASING') this.releasing.add(link)
    this.wantForWaiting(endpoint)
  }

  private wantForWaiting(endpoint: Endpoint): void {
    if (endpoint.link) return
    const lane = endpoint.mostUrgentLane
    if (lane !== notWanted) this.wantLink(endpoint, lane as Lane)
  }

  private onClosed(link: Link, reason: string, lost: Exchange[]): void {
    const endpoint = this.links.get(link)!
    this.links.delete(link)
    this.timed.delete(link)
    this.releasing.delete(link)
    this.idle.remove(link)
    if (endpoint.link === link) endpoint.link = undefined
    if (endpoint.link === undefined) this.forgetAliases(endpoint)
    if (this.connecting.delete(link)) this.onConnectFailed(endpoint, reason)
    for (const exchange of lost) {
      if (exchange.isRetried || this.closed || !link.mayRepeat(exchange))
        this.end(exchange, silent(reason))
      else {
        exchange.isRetried = true
        exchange.answerDueMs = Infinity
        exchange.link = undefined
        this.metrics.begunAgain.add()
        this.place(exchange)
      }
    }
    this.dialled.closed(link, endpoint)
    this.wantForWaiting(endpoint)
    this.forgetUnused(endpoint)
    this.connectWanted()
    this.closeWhenEmpty()
  }

  private onConnectFailed(endpoint: Endpoint, reason: string): void {
    this.metrics.connectsFailed.add()
    const { deadAddressMs } = this.options
    if (deadAddressMs > 0) {
      endpoint.deadUntilMs = this.options.nowMs() + deadAddressMs
      endpoint.deadReason = reason
      this.dead.delete(endpoint)
      this.dead.add(endpoint)
    }
    for (const exchange of endpoint.takeAllWaiting()) this.end(exchange, unreachable(reason))
  }

  private end(exchange: Exchange, result: ExchangeResult): void {
    if (exchange.isEnded) return
    this.exchanges.remove(exchange)
    this.metrics.ended[result.ok ? 'OK' : result.code].add()
    this.metrics.durations.observe((this.options.nowMs() - exchange.startedMs) / 1000)
    exchange.end(result)
  }

  // ── time-outs ──

  // `now` is older than the reads since: what came while this process was held up is an answer in
  // time.
  private sweep(now: number): void {
    this.dialIn?.sweep(now)
    this.dialled.sweep(now)
    this.pauses.sweep(now)
    for (const link of this.timed) link.onTime(now)
    for (const link of this.connecting) if (link.dueMs <= now) link.cut('no connection in time')
    for (const link of this.releasing) if (link.dueMs <= now) link.cut('no release in time')
    for (const exchange of this.exchanges.due(now)) {
      // An exchange may have ended with another one's link.
      if (exchange.isEnded) continue
      if (exchange.link && !exchange.isWaiting) exchange.link.timeOut(exchange, now)
      else this.endWaiting(exchange)
    }
    for (const endpoint of this.dead) {
      if (endpoint.deadUntilMs > now) break
      this.dead.delete(endpoint)
      this.forgetUnused(endpoint)
    }
  }

  private endWaiting(exchange: Exchange): void {
    const endpoint = this.endpoints.at(exchange.address)
    const isDialIn = endpoint.transport === 'dial-in'
    const why = isDialIn ? 'the device has not dialled in' : 'no connection became free in time'
    this.end(exchange, unreachable(why))
    this.forgetUnused(endpoint)
  }
}
