/**
 * One connection to NATS, opened the way Busbar needs it, and what is known about its health.
 *
 * The composition root opens one for commits and the bus and, when the host also follows much (an
 * output gateway), a second one for following: a large delivery in front of a commit's
 * acknowledgement on the same socket delays it. Figures: decision 0004.
 */
import {
  compare,
  connect,
  createInbox,
  parseSemVer,
  type Msg,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { pause, type Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'

/** Fenced batches over several subjects were measured on this one; older ones have bugs there. */
export const natsServerVersionMin = '2.15.1'

/**
 * It reconnects for ever, quickly: what is out of reach is refused by time-outs of its own, and an
 * idle broker must find its server again.
 */
const steadiness = {
  reconnect: true,
  maxReconnectAttempts: -1,
  reconnectTimeWait: 100,
  reconnectJitter: 50,
  reconnectJitterTLS: 200,
  // A server that hangs without closing, or was cut off, is found out after two of these; one that
  // does not greet in time is left for the next.
  pingInterval: limits.natsPingMs,
  maxPingOut: 2,
  timeout: limits.natsConnectMsMax,
  // A stack trace for each request would cost more than the request.
  noAsyncTraces: true,
} as const satisfies NodeConnectionOptions

/** Of connections that may not subscribe to the usual inboxes. */
const inboxPrefixes = new WeakMap<NatsConnection, string>()

/** A new subject for answers, which this connection may subscribe to. */
export const newInbox = (connection: NatsConnection): string =>
  createInbox(inboxPrefixes.get(connection))

/**
 * Connects, and reconnects for ever afterwards.
 * @param options  who we are, to which servers, with TLS or without, as natsConnectOptions
 * (core/ops) reads them from an address; how the connection is kept is decided here
 * @throws BrokerError NATS_UNREACHABLE when no server answers or it does not let us in,
 * NATS_SERVER_TOO_OLD
 */
export async function connectNats(options: NodeConnectionOptions): Promise<NatsConnection> {
  let connection: NatsConnection
  try {
    connection = await connect({ ...options, ...steadiness })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unknown fault'
    throw new BrokerError(
      'NATS_UNREACHABLE',
      `no connection to NATS at ${String(options.servers)}: ${why}`,
      { cause },
    )
  }
  if (options.inboxPrefix !== undefined) inboxPrefixes.set(connection, options.inboxPrefix)
  const version = connection.info?.version ?? '0.0.0'
  if (compare(parseSemVer(version), parseSemVer(natsServerVersionMin)) < 0) {
    await connection.close()
    throw new BrokerError(
      'NATS_SERVER_TOO_OLD',
      `the server at ${connection.getServer()} is ${version}`,
    )
  }
  return connection
}

/**
 * Makes or reads something with `make`. Where the server is one of a cluster it is tried again for
 * `ledgerStartMsMax`: a cluster that is starting, or in the middle of an election, has no leader
 * for it, or not enough servers yet.
 */
export async function insist<T>(
  connection: NatsConnection,
  make: () => Promise<T>,
  clock: Clock,
): Promise<T> {
  const isCluster = connection.info?.cluster !== undefined
  const deadlineMs = clock.elapsedMs() + (isCluster ? limits.ledgerStartMsMax : 0)
  for (;;) {
    try {
      return await make()
    } catch (cause) {
      if (clock.elapsedMs() + limits.ledgerStartRetryMs > deadlineMs) throw cause
      await pause(clock, limits.ledgerStartRetryMs)
    }
  }
}

/**
 * Tells when the connection goes and comes back. One loop over the library's notices for everybody
 * who wants to know.
 */
export class ConnectionHealth {
  isConnected = true
  private readonly listeners = new Set<(isConnected: boolean) => void>()
  /** What was not done over this connection since when, and when that was seen last; UTC ms. */
  private readonly failing = new Map<string, { sinceMs: number; lastMs: number }>()
  /** The server that was just left for another one. */
  private left: string | undefined
  private readonly connection: NatsConnection
  private readonly clock: Clock
  private readonly log: Log

  constructor(connection: NatsConnection, clock: Clock, log: Log) {
    this.connection = connection
    this.clock = clock
    this.log = log
  }

  start(): void {
    void this.watch()
  }

  /** Calls `listener` at each change; the returned function ends it. */
  onChange(listener: (isConnected: boolean) => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  /**
   * True at once when connected, or as soon as it is; false at `deadlineMs`, or when the connection
   * is closed.
   */
  connected(deadlineMs: number): Promise<boolean> {
    if (this.connection.isClosed()) return Promise.resolve(false)
    if (this.isConnected) return Promise.resolve(true)
    return new Promise((resolve) => {
      const done = (isConnected: boolean): void => {
        off()
        cancel()
        resolve(isConnected)
      }
      const off = this.onChange((isConnected) => isConnected && done(true))
      const cancel = this.clock.at(deadlineMs, () => done(false))
    })
  }

  /**
   * Asks the server. Unlike the library's request it waits for the connection before it sends (what
   * is sent without one may be dropped or go out much later), and gives up when the connection
   * goes: an answer will not come.
   */
  async request(subject: string, payload: string, timeoutMs: number): Promise<Msg> {
    const deadlineMs = this.clock.elapsedMs() + timeoutMs
    if (!(await this.connected(this.clock.now() + timeoutMs)))
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', `${subject}: not connected`)
    let off = (): void => {}
    const gone = new Promise<never>((_resolve, reject) => {
      off = this.onChange(() =>
        reject(new BrokerError('BROKER_LEDGER_UNAVAILABLE', `${subject}: the connection was lost`)),
      )
    })
    try {
      const timeout = Math.max(1, deadlineMs - this.clock.elapsedMs())
      return await Promise.race([gone, this.connection.request(subject, payload, { timeout })])
    } finally {
      off()
    }
  }

  /**
   * Whether the server did `what` it was asked. One that has not for `ledgerSilenceMsMax`, though
   * connected, may be cut off from the rest of its cluster: another one is tried. Each is counted
   * by itself, since one that was cut off goes on doing what it needs nobody for.
   */
  report(what: string, isDone: boolean): void {
    if (isDone) return void this.failing.delete(what)
    const now = this.clock.elapsedMs()
    const { sinceMs, lastMs } = this.failing.get(what) ?? { sinceMs: now, lastMs: now }
    // Not asked for so long, it says nothing about the time between.
    const isOne = now - lastMs < limits.ledgerSilenceMsMax
    this.failing.set(what, { sinceMs: isOne ? sinceMs : now, lastMs: now })
    if (!isOne || now - sinceMs < limits.ledgerSilenceMsMax || !this.isConnected) return
    this.failing.clear()
    this.left = this.connection.getServer()
    this.log.warn(
      { server: this.left, what },
      'the ledger does not answer over this server, another one is tried',
    )
    this.connection.reconnect().catch(() => undefined)
  }

  private async watch(): Promise<void> {
    for await (const status of this.connection.status()) {
      if (status.type === 'disconnect') this.change(false)
      else if (status.type === 'reconnect') {
        this.change(true)
        // The library's first choice may be the same one again; of a single server it is the only
        // one.
        if (this.left === this.connection.getServer())
          this.connection.reconnect().catch(() => undefined)
        this.left = undefined
      } else if (status.type === 'error')
        this.log.warn({ fault: status.error.name }, 'NATS connection error')
    }
    this.change(false)
  }

  private change(isConnected: boolean): void {
    if (this.isConnected === isConnected) return
    this.isConnected = isConnected
    // Closed by ourselves is no news.
    if (!this.connection.isClosed()) {
      this.log.info({ isConnected }, isConnected ? 'NATS is back' : 'NATS is gone, reconnecting')
    }
    for (const listener of [...this.listeners]) listener(isConnected)
  }
}
