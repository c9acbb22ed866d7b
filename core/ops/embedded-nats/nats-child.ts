/**
 * The embedded nats-server: a supervised child process on loopback with its own store, port and
 * credentials.
 *
 *            start            ready
 *   (none) ────────→ starting ─────→ running ── stop ──→ stopping ──→ ended
 *                       ↑               │ died
 *                       └── back-off ←──┘── too often ─────────────→ ended (NATS_SERVER_FAILED)
 *
 * Nothing of it outlives the broker: a watchdog (a shell that reads a pipe from us) ends the server
 * when we are gone, however we went; and a server that is left over all the same, because the
 * watchdog was killed too, is ended by the next start. Two brokers on one data directory are
 * refused. It finds or obtains the program with nats-server.mjs.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { systemClock, type Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { noMetrics, type Counter, type Metrics } from '../../ports/metrics.ts'
import { takeDataDir } from './data-dir-owner.ts'
import { NatsLife, type Death } from './nats-life.ts'
import { endLeftServers, type NatsProcessOptions } from './nats-process.ts'
import { ensureNatsServer, NatsServerFault } from '../setup/nats-server.mjs'
import {
  formatNatsConfig,
  loadNatsSettings,
  natsPlaces,
  writePrivateFile,
  type NatsSettings,
} from './nats-settings.ts'
import { takeStoreLock, type StoreLock } from './store-lock.ts'

export type NatsChildOptions = {
  /** Made when missing; the server's store, log, port and credentials live there. */
  readonly dataDir: string
  readonly log: Log
  readonly metrics?: Metrics
  /** The nats-server to run; without it one is found, or obtained. */
  readonly binary?: string
  /** This port and no other; without it the one of last time, or a free one. */
  readonly port?: number
  /** Room for all streams together. */
  readonly storeBytesMax?: number
  readonly clock?: Clock
  /**
   * False while the disk of the store has no room: a server that has ended is started again when
   * there is some.
   */
  readonly hasRoom?: () => boolean
  /** Other limits, for tests. */
  readonly limits?: Partial<SupervisionLimits>
}

type SupervisionLimits =
  Pick<
    typeof limits,
    | 'natsReadyMsMax'
    | 'natsStopMsMax'
    | 'natsRevivalStopMsMax'
    | 'natsRestartDelayMs'
    | 'natsRestartDelayMsMax'
    | 'natsFailuresMax'
    | 'natsFailuresWindowMs'
  > extends infer T
    ? { [K in keyof T]: number }
    : never

export type NatsChild = {
  /** `nats://127.0.0.1:<port>`; the same as long as this object lives. */
  readonly url: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** Of the running server; undefined between a death and the next start. */
  readonly pid: number | undefined
  /** Times that it ended, of itself or by `restart`, and was started again. */
  readonly restarts: number
  /**
   * Ends the server and starts it again; that does not count as a death. Does nothing without a
   * server, or while it is being stopped.
   */
  restart(): void
  /**
   * Ends the server in order (SIGTERM, then SIGKILL); settles when it is gone. May be called again.
   */
  stop(): Promise<void>
  /**
   * Called once when the server has ended for good: without a fault after `stop`, with
   * NATS_SERVER_FAILED when Busbar gave up.
   */
  onExit(listener: (fault: BrokerError | undefined) => void): void
}

/**
 * Starts the server and settles when it takes connections.
 * @throws BrokerError NATS_SERVER_MISSING, NATS_SERVER_TOO_OLD, NATS_SERVER_FAILED
 */
export async function startNatsServer(options: NatsChildOptions): Promise<NatsChild> {
  const { log, clock = systemClock, storeBytesMax = limits.natsStoreBytesMax } = options
  const bounds: SupervisionLimits = { ...limits, ...options.limits }
  const dataDir = resolve(options.dataDir)
  const places = natsPlaces(dataDir)
  const binary = options.binary ?? (await findBinary(log))
  mkdirSync(places.store, { recursive: true, mode: 0o700 })
  const mine = await takeDataDir(places.run, clock, log, bounds.natsStopMsMax)
  let lock: StoreLock | undefined
  const leave = (): void => {
    lock?.release()
    rmSync(places.run, { force: true })
  }
  try {
    await endLeftServers(places, clock, log, bounds.natsStopMsMax)
    lock = await takeStoreLock(places.lock)
    const settings = await loadNatsSettings(dataDir, options.port)
    writePrivateFile(places.config, formatNatsConfig(dataDir, settings, storeBytesMax))
    const child = new SupervisedNats({
      settings,
      process: { binary, dataDir, places, mine, lock, log },
      bounds,
      clock,
      metrics: options.metrics ?? noMetrics,
      hasRoom: options.hasRoom ?? (() => true),
      leave,
    })
    await child.start()
    return child
  } catch (error) {
    leave()
    throw error
  }
}

type SupervisionPorts = {
  readonly settings: NatsSettings
  readonly process: NatsProcessOptions
  readonly bounds: SupervisionLimits
  readonly clock: Clock
  readonly metrics: Metrics
  readonly hasRoom: () => boolean
  /** Gives data directory and store back; called when the server has ended for good. */
  readonly leave: () => void
}

class SupervisedNats implements NatsChild {
  readonly url: string
  readonly port: number
  readonly user: string
  readonly password: string
  restarts = 0
  private readonly ports: SupervisionPorts
  private readonly log: Log
  private readonly restartsTotal: Counter
  private life: NatsLife | undefined
  private isStopping = false
  /** The end of the server that runs is asked for, and another one is to follow. */
  private isReviving = false
  /** Times that it could not be started, in a row. */
  private refusals = 0
  /** Times of deaths within the window, elapsed time. */
  private deaths: number[] = []
  private listeners: Array<(fault: BrokerError | undefined) => void> = []
  private ended: { fault: BrokerError | undefined } | undefined
  private cancelRestart: () => void = () => undefined

  constructor(ports: SupervisionPorts) {
    const { port, user, password } = ports.settings
    this.ports = ports
    this.log = ports.process.log
    this.url = `nats://127.0.0.1:${port}`
    this.port = port
    this.user = user
    this.password = password
    this.restartsTotal = ports.metrics.counter(
      'busbar_nats_server_restarts_total',
      'Times that the embedded nats-server ended and was started again.',
    )
    ports.metrics.gauge(
      'busbar_nats_server_up',
      '1 while the embedded nats-server takes connections',
      () => (this.life?.isUp === true ? 1 : 0),
    )
  }

  get pid(): number | undefined {
    return this.life?.server?.pid
  }

  /** Settles when it takes connections. @throws BrokerError NATS_SERVER_FAILED */
  async start(): Promise<void> {
    const { store, log: logPath } = this.ports.process.places
    const first = this.live()
    if (!(await first.ready)) {
      throw new BrokerError(
        'NATS_SERVER_FAILED',
        `it did not take connections: it ${(await first.gone).how}; log: ${logPath}`,
      )
    }
    this.log.info({ pid: this.pid, port: this.port, store }, 'nats-server runs')
    void first.gone.then((death) => this.died(death))
  }

  restart(): void {
    const server = this.life?.server
    if (server === undefined || this.isStopping || this.isReviving) return
    this.isReviving = true
    server.once('exit', this.endBy(server, this.ports.bounds.natsRevivalStopMsMax))
  }

  async stop(): Promise<void> {
    const isGone = new Promise<void>((settle) => this.onExit(() => settle()))
    if (!this.isStopping && !this.ended) {
      this.isStopping = true
      this.cancelRestart()
      const server = this.life?.server
      if (server) this.onExit(this.endBy(server, this.ports.bounds.natsStopMsMax))
      else this.end(undefined)
    }
    await isGone
  }

  onExit(listener: (fault: BrokerError | undefined) => void): void {
    if (this.ended) listener(this.ended.fault)
    else this.listeners.push(listener)
  }

  /** SIGTERM, and SIGKILL after `ms` unless what is returned is called before. */
  private endBy(server: ChildProcess, ms: number): () => void {
    const { clock } = this.ports
    server.kill('SIGTERM')
    return clock.at(clock.now() + ms, () => server.kill('SIGKILL'))
  }

  private live(): NatsLife {
    const { settings, process, clock, bounds } = this.ports
    return (this.life = new NatsLife({
      ...process,
      clock,
      port: settings.port,
      serverName: settings.serverName,
      readyMsMax: bounds.natsReadyMsMax,
      isStopping: () => this.isStopping,
    }))
  }

  private readonly startAgain = (): void => {
    const { ready, gone } = this.live()
    void gone.then((death) => this.died(death))
    void ready.then((isReady) => {
      if (isReady) this.log.info({ pid: this.pid, port: this.port }, 'nats-server runs again')
    })
  }

  private readonly startWhenRoom = (): void => {
    if (this.ports.hasRoom()) this.startAgain()
    else this.startLater(limits.diskLookMs, this.startWhenRoom)
  }

  private startLater(delayMs: number, start: () => void = this.startAgain): void {
    const { clock } = this.ports
    this.cancelRestart = clock.at(clock.now() + delayMs, start)
  }

  private died({ isStarted, how }: Death): void {
    if (this.isStopping) return this.end(undefined)
    if (!isStarted) {
      // It will pass: others end, or an operator raises the limit. Nothing of ours is wrong.
      const delayMs = this.delayAfter(this.refusals++)
      this.log.error({ how, delayMs }, 'nats-server cannot be started now; trying again')
      return this.startLater(delayMs)
    }
    this.refusals = 0
    if (!this.isReviving && this.ports.hasRoom()) return this.diedOfItself(how)
    // Without room it would die again and again, which says nothing about the server.
    if (!this.isReviving)
      this.log.error({ how }, 'nats-server died; it is started again when its disk has room')
    this.isReviving = false
    this.countRestart()
    this.startWhenRoom()
  }

  private diedOfItself(how: string): void {
    const { clock, bounds, process } = this.ports
    const nowMs = clock.elapsedMs()
    this.deaths = this.deaths.filter((atMs) => nowMs - atMs < bounds.natsFailuresWindowMs)
    this.deaths.push(nowMs)
    const deaths = this.deaths.length
    if (deaths >= bounds.natsFailuresMax) {
      const fault = new BrokerError(
        'NATS_SERVER_FAILED',
        `${deaths} times in ${bounds.natsFailuresWindowMs} ms, at last it ${how}; log: ${process.places.log}`,
      )
      this.log.error({ code: fault.code, deaths, how }, 'nats-server keeps stopping; giving up')
      return this.end(fault)
    }
    const delayMs = this.delayAfter(deaths - 1)
    this.countRestart()
    this.log.warn({ how, delayMs, deaths }, 'nats-server died; starting it again')
    this.startLater(delayMs)
  }

  /** The wait before the next start, doubled with each of `failures` in a row. */
  private delayAfter(failures: number): number {
    const { natsRestartDelayMs, natsRestartDelayMsMax } = this.ports.bounds
    return Math.min(natsRestartDelayMs * 2 ** failures, natsRestartDelayMsMax)
  }

  private countRestart(): void {
    this.restarts++
    this.restartsTotal.add()
  }

  private end(fault: BrokerError | undefined): void {
    if (this.ended) return
    this.ended = { fault }
    this.ports.leave()
    for (const listener of this.listeners) listener(fault)
    this.listeners = []
  }
}

async function findBinary(log: Log): Promise<string> {
  try {
    // BUSBAR_NATS_URL is for brokers without an embedded server; the caller wants one.
    const env = { ...process.env, BUSBAR_NATS_URL: undefined }
    const server = await ensureNatsServer({ env, progress: (line) => log.info({}, line) })
    return server!.path
  } catch (error) {
    if (error instanceof NatsServerFault)
      throw new BrokerError(error.code, error.detail, { cause: error })
    throw error
  }
}
