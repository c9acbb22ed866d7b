/**
 * The way to devices of a host that has no connections of its own: implements the Wan port over
 * processes with the role wan. The other end: wan-server.ts. What the two say: exchange-frame.ts.
 *
 * Exchanges of one address (host and port: meters share connections) go to one process as long as
 * it lives. A process that ends in order says so, and what it has not taken goes to another; one
 * that dies, by silence or by nobody being there, has failed what was sent to it: whether the
 * device acted is not known, and the device's actor decides about a retry. What finds no process
 * waits for one, within its time.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf } from '../../base/bytes.ts'
import type { Lane } from '../../base/lane.ts'
import { limits } from '../../base/limits.ts'
import type { Bus } from '../../ports/bus.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { Metrics } from '../../ports/metrics.ts'
import type { Random } from '../../ports/random.ts'
import type {
  CountersUsed,
  DeviceAddress,
  ExchangeFailure,
  ExchangeResult,
  ExchangeSecurity,
  Wan,
  WanCommand,
} from '../../ports/wan.ts'
import {
  decodeReceipt,
  decodeResults,
  encodeExchanges,
  encodeReceipt,
  exchangeBytes,
  Receipt,
  resultsSubject,
  wanSubject,
  type NumberedExchange,
} from './exchange-frame.ts'
import { FrameQueue, type Queued } from './frame-queue.ts'
import { busWanMetrics, type BusWanMetrics } from '../sockets/wan-metrics.ts'
import { decodeDialledIn, DialInPlaces, dialInSubject } from './dial-in-places.ts'
import { nameOf } from '../pushes/push-names.ts'
import { hashOf, WanProcesses } from './wan-processes.ts'

export type BusWanOptions = {
  bus: Bus
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
  exchangesMax?: number
  bytesInFlightMax?: number
}

/** One wan process, as long as it is heard. */
type Process = { wanId: string; queue: FrameQueue<Pending> }
/** Where the exchanges with one address go, while there are any. */
type Route = {
  key: string
  /** Of a device that dials in, which is where it says; else undefined. */
  name: string | undefined
  process: Process | undefined
  count: number
}

type Pending = NumberedExchange &
  Queued & {
    route: Route
    /** Undefined while there is none. */
    process: Process | undefined
    /** True from when its frame went out: from then on the device may have acted. */
    isSent: boolean
    isEnded: boolean
    dueMs: number
    settle: (result: ExchangeResult) => void
  }

/** Without a wan process for so long, the log says so. */
const aloneWarningMs = 2 * limits.aliveIntervalMs

const notUnderstood = 'the wan process does not understand this host: compare their versions'

export class BusWan implements Wan {
  private readonly options: BusWanOptions
  private readonly metrics: BusWanMetrics
  private readonly client: string
  private readonly directory: WanProcesses
  private readonly dialledIn = new DialInPlaces()
  private readonly processes = new Map<string, Process>()
  private readonly routes = new Map<string, Route>()
  private readonly pending = new Map<number, Pending>()
  private bytesInFlight = 0
  private lastNumber = 0
  private aloneSinceMs: number
  private isClosed = false
  private served: Array<{ close(): Promise<void> }> = []
  private callOff: (() => void) | undefined

  constructor(options: BusWanOptions) {
    this.options = options
    this.metrics = busWanMetrics(options.metrics, {
      underWay: () => this.pending.size,
      processes: () => this.directory.names.length,
    })
    this.client = options.random.bytes(8).toString('hex')
    this.aloneSinceMs = options.clock.elapsedMs()
    this.directory = new WanProcesses({
      bus: options.bus,
      clock: options.clock,
      onCame: (wanId) => this.onCame(wanId),
      onGone: (wanId) => this.onGone(wanId),
    })
  }

  /** Settles when it hears wan processes and results. */
  async start(): Promise<void> {
    const { bus } = this.options
    this.served = [
      await bus.serve(resultsSubject(this.client), (frame, reply) => {
        const receipt = this.onResults(frame)
        reply(encodeReceipt(receipt))
      }),
      await bus.listen(dialInSubject('*'), (data) => this.onDialledIn(data)),
    ]
    await this.directory.start()
    this.look()
  }

  /** Why exchanges wait, or undefined. */
  get trouble(): string | undefined {
    return this.directory.names.length > 0
      ? undefined
      : 'no process with the role wan is alive: devices cannot be reached'
  }

  /** Exchanges that have not ended. */
  get count(): number {
    return this.pending.size
  }

  exchange(
    address: DeviceAddress,
    command: WanCommand,
    lane: Lane,
    security?: ExchangeSecurity,
  ): Promise<ExchangeResult> {
    const { exchangesMax, bytesInFlightMax, clock } = this.options
    const bytes = exchangeBytes(address, command, security)
    const refuse = (why: string): Promise<ExchangeResult> =>
      Promise.resolve({ ...unreachable(why), ...unused(security) })
    if (this.isClosed) return refuse('the broker is closing')
    if (bytes > limits.frameBytesMax) return refuse(`an exchange of ${bytes} octets`)
    if (
      this.pending.size >= (exchangesMax ?? limits.wanExchangesMax) ||
      this.bytesInFlight + bytes > (bytesInFlightMax ?? limits.wanBytesInFlightMax)
    )
      return refuse('too many exchanges')
    return new Promise((settle) => {
      const pending: Pending = {
        number: this.nextNumber(),
        lane,
        address,
        command,
        security,
        bytes,
        route: this.routeOf(address),
        process: undefined,
        isSent: false,
        isEnded: false,
        dueMs: clock.elapsedMs() + limits.wanExchangeMsMax + limits.wanTransitMsMax,
        settle,
      }
      pending.route.count++
      this.bytesInFlight += bytes
      this.pending.set(pending.number, pending)
      this.place(pending)
    })
  }

  async close(): Promise<void> {
    this.isClosed = true
    this.callOff?.()
    for (const pending of [...this.pending.values()])
      this.end(pending, unreachable('the broker is closing'))
    await this.directory.close()
    await Promise.all(this.served.map((one) => one.close()))
  }

  // ── from exchange to process ──

  private nextNumber(): number {
    do this.lastNumber = (this.lastNumber + 1) >>> 0
    while (this.pending.has(this.lastNumber))
    return this.lastNumber
  }

  private routeOf({ transport = 'tcp', host, port }: DeviceAddress): Route {
    const name = transport === 'dial-in' ? nameOf(host) : undefined
    const key =
      transport === 'tcp' ? `${host}:${port}` : `${transport}:${name ?? `${host}:${port}`}`
    let route = this.routes.get(key)
    if (!route) this.routes.set(key, (route = { key, name, process: undefined, count: 0 }))
    return route
  }

  /** An exchange with a device that has not dialled in anywhere waits here. */
  private place(pending: Pending): void {
    const { route } = pending
    if (route.name !== undefined) route.process = this.processOf(this.whereIs(route.name))
    else route.process ??= this.processOf(this.directory.choose(hashOf(route.key)))
    pending.process = route.process
    pending.process?.queue.push(pending)
  }

  private whereIs(name: string): string | undefined {
    const wanId = this.dialledIn.at(name)
    return wanId !== undefined && this.directory.names.includes(wanId) ? wanId : undefined
  }

  private onDialledIn(data: Buffer): void {
    let told: ReturnType<typeof decodeDialledIn>
    try {
      told = decodeDialledIn(data)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      return this.options.log.error({ code: fault.code }, 'names of devices are malformed')
    }
    const now = this.options.clock.elapsedMs()
    for (const name of told.names) {
      this.dialledIn.note(told.wanId, name, now)
      if (this.routes.has(`dial-in:${name}`)) this.placeWaiting(name)
    }
  }

  /** Those that wait for a process, or for one device. */
  private placeWaiting(name?: string): void {
    for (const pending of this.pending.values())
      if (pending.process === undefined && (name === undefined || pending.route.name === name))
        this.place(pending)
  }

  private processOf(wanId: string | undefined): Process | undefined {
    if (wanId === undefined) return undefined
    let process = this.processes.get(wanId)
    if (!process) this.processes.set(wanId, (process = this.processAt(wanId)))
    return process
  }

  private processAt(wanId: string): Process {
    const queue = new FrameQueue<Pending>({
      bus: this.options.bus,
      subject: wanSubject(wanId),
      frameOf: (items) => {
        for (const item of items) item.isSent = true
        this.metrics.frames.add()
        this.metrics.exchanges.add(items.length)
        return encodeExchanges(this.client, items)
      },
      landed: (items, receipt) => this.onReceipt(wanId, items, receipt),
      lost: (items, fault) => {
        const code = fault instanceof BrokerError ? fault.code : String(fault)
        this.options.log.warn({ wanId, exchanges: items.length, code }, 'a wan process is gone')
        this.directory.forget(wanId)
        // It may have been forgotten before, and these were sent to it all the same.
        this.fail(items, 'the wan process did not take them')
      },
    })
    return { wanId, queue }
  }

  private onReceipt(wanId: string, items: readonly Pending[], receiptView: Buffer): void {
    const receipt = receiptIn(receiptView)
    if (receipt === Receipt.TAKEN) return
    if (receipt === Receipt.FULL) return this.fail(items, 'the wan process holds as much as it may')
    // Of a receipt that is not understood, nobody knows whether the frame was taken.
    if (receipt === undefined) return this.fail(items, notUnderstood)
    if (receipt === Receipt.MALFORMED) return this.onMalformed(wanId, items)
    this.directory.leaving(wanId)
    this.placeAgain(items, wanId)
  }

  /**
   * A process of an earlier version takes no frame with an opaque command in it, and of such a
   * frame nothing: what else lay in it goes out once more, in a frame without.
   */
  private onMalformed(wanId: string, items: readonly Pending[]): void {
    const opaque = items.filter(({ command }) => command.opaque !== undefined)
    if (opaque.length === 0) return this.fail(items, notUnderstood)
    this.options.log.warn({ wanId, opaque: opaque.length }, 'a wan process takes no opaque command')
    for (const item of opaque) item.isSent = false
    this.fail(opaque, 'the wan process takes no opaque commands: compare the versions of the two')
    this.placeAgain(items)
  }

  /** Those that the process has not taken; on another one, where it is `leavingId`. */
  private placeAgain(items: readonly Pending[], leavingId?: string): void {
    for (const item of items) {
      if (item.isEnded) continue
      if (item.route.process?.wanId === leavingId) item.route.process = undefined
      item.isSent = false
      this.place(item)
    }
  }

  // ── results ──

  private onResults(frameView: Buffer): Receipt {
    let frame: ReturnType<typeof decodeResults>
    try {
      // Whoever asked owns the values.
      frame = decodeResults(copyOf(frameView))
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      this.options.log.error({ code: fault.code }, 'a frame of results is malformed')
      return Receipt.MALFORMED
    }
    for (const { number, result } of frame.results) {
      const pending = this.pending.get(number)
      // Given up meanwhile, or asked of somebody else.
      if (pending?.process?.wanId !== frame.wanId) continue
      const isWhole = !result.ok || isAnswerTo(pending.command, result)
      this.end(
        pending,
        isWhole
          ? result
          : { ok: false, code: 'DEVICE_ANSWER_INVALID', detail: 'results are missing' },
      )
    }
    return Receipt.TAKEN
  }

  private end(pending: Pending, result: ExchangeResult): void {
    if (pending.isEnded) return
    pending.isEnded = true
    this.pending.delete(pending.number)
    this.bytesInFlight -= pending.bytes
    if (--pending.route.count === 0) this.routes.delete(pending.route.key)
    pending.settle(pending.isSent ? result : { ...result, ...unused(pending.security) })
  }

  private fail(items: Iterable<Pending>, why: string): void {
    for (const pending of items) {
      if (pending.isEnded) continue
      this.metrics.lost.add()
      this.end(pending, unreachable(why))
    }
  }

  // ── processes that come and go, and time ──

  private onCame(wanId: string): void {
    this.options.log.info({ wanId }, 'a wan process is there')
    this.placeWaiting()
  }

  private onGone(wanId: string): void {
    const process = this.processes.get(wanId)
    const its = [...this.pending.values()].filter(
      (pending) => process !== undefined && pending.process === process,
    )
    const sent = its.filter(({ isSent }) => isSent)
    const { log } = this.options
    if (sent.length === 0) log.info({ wanId }, 'a wan process has gone')
    else
      log.warn(
        { wanId, exchanges: sent.length },
        'a wan process has gone, with what it had under way',
      )
    this.processes.delete(wanId)
    process?.queue.stop()
    for (const { route } of its) if (route.process === process) route.process = undefined
    this.fail(sent, 'the wan process has gone')
    for (const pending of its) if (!pending.isEnded) this.place(pending)
  }

  private look(): void {
    const { clock } = this.options
    const now = clock.elapsedMs()
    this.directory.look()
    this.dialledIn.forgetSilent(clock.elapsedMs())
    for (const pending of this.pending.values()) {
      if (pending.dueMs > now) continue
      this.fail([pending], whyNot(pending))
    }
    this.warnWhenAlone(now)
    this.callOff = clock.at(clock.now() + limits.wanLookMs, () => this.look())
  }

  private warnWhenAlone(now: number): void {
    if (this.trouble === undefined) this.aloneSinceMs = now
    else if (now - this.aloneSinceMs >= aloneWarningMs) {
      this.options.log.warn({ waiting: this.pending.size }, this.trouble)
      // Once, until one has been there.
      this.aloneSinceMs = Infinity
    }
  }
}

/** One result for each COSEM operation, or the one answer to an opaque command. */
function isAnswerTo({ cosem }: WanCommand, result: ExchangeResult & { ok: true }): boolean {
  const { results, answerBytes } = result
  const isOpaque = cosem === undefined
  return isOpaque === (answerBytes !== undefined) && results.length === (cosem?.length ?? 0)
}

function whyNot({ process, route }: Pending): string {
  if (process !== undefined) return 'the wan process gave no result in time'
  return route.name === undefined
    ? 'no wan process was there in time'
    : 'the device has not dialled in'
}

function receiptIn(view: Buffer): Receipt | undefined {
  try {
    return decodeReceipt(view)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}

/** Says of an exchange that went nowhere that it has used no counter; of others it is not known. */
function unused(security: ExchangeSecurity | undefined): { counters?: CountersUsed } {
  if (security === undefined) return {}
  const { from: next, received } = security.counters
  return { counters: { next, received } }
}

function unreachable(detail: string): ExchangeFailure {
  return { ok: false, code: 'DEVICE_UNREACHABLE', detail }
}
