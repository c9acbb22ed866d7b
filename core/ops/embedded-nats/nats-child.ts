/**
 * The embedded nats-server: a supervised child process on loopback with its own store, port and credentials.
 *
 *            start            ready
 *   (none) ────────→ starting ─────→ running ── stop ──→ stopping ──→ ended
 *                       ↑               │ died
 *                       └── back-off ←──┘── too often ─────────────→ ended (NATS_SERVER_FAILED)
 *
 * Nothing of it outlives the broker: a watchdog (a shell that reads a pipe from us) ends the server when we are gone, however
 * we went; and a server that is left over all the same, because the watchdog was killed too, is ended by the next start.
 * Two brokers on one data directory are refused. It finds or obtains the program with nats-server.mjs.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { systemClock, type Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import { noMetrics, type Metrics } from '../../ports/metrics.ts'
import { takeDataDir } from './data-dir-owner.ts'
import { greets } from './embedded-nats.ts'
import { endLeftServers, startNatsProcess } from './nats-process.ts'
import { ensureNatsServer, NatsServerFault } from '../setup/nats-server.mjs'
import {
  formatNatsConfig,
  loadNatsSettings,
  natsPlaces,
  writePrivateFile,
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
  /** Ends the server in order (SIGTERM, then SIGKILL); settles when it is gone. May be called again. */
  stop(): Promise<void>
  /** Called once when the server has ended for good: without a fault after `stop`, with NATS_SERVER_FAILED when Busbar gave up. */
  onExit(listener: (fault: BrokerError | undefined) => void): void
}

/** The ledger's default limit of 8 GiB, and as much again for cursors and files that wait to be compacted. */
const storeBytesMaxDefault = 16 * 1024 ** 3
const pollMs = 20

const wait = (clock: Clock, ms: number): Promise<void> =>
  new Promise((settle) => void clock.at(clock.now() + ms, settle))

/**
 * How a life of the server ended; not started: the system had no descriptors, processes or memory
 * for it.
 */
type Death = { readonly isStarted: boolean; readonly how: string }

const messageOf = (fault: unknown): string =>
  fault instanceof Error ? fault.message : String(fault)

/** The last lines of the server's log from `start` on, for a message to the operator. */
function tailOfLog(path: string, start: number): string {
  let text: string
  try {
    text = readFileSync(path).subarray(start).toString('utf8')
  } catch {
    // None, or no descriptor left to read it with.
    return ''
  }
  const lines = text.split('\n').filter((line) => /\[(FTL|ERR)\]|nats-server:/.test(line))
  return lines.slice(-3).join(' | ').slice(-600)
}

/**
 * Starts the server and settles when it takes connections.
 * @throws BrokerError NATS_SERVER_MISSING, NATS_SERVER_TOO_OLD, NATS_SERVER_FAILED
 */
export async function startNatsServer(options: NatsChildOptions): Promise<NatsChild> {
  const {
    log,
    metrics = noMetrics,
    clock = systemClock,
    storeBytesMax = storeBytesMaxDefault,
    hasRoom = () => true,
  } = options
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
  const restartsTotal = metrics.counter(
    'busbar_nats_server_restarts_total',
    'Times that the embedded nats-server ended and was started again.',
  )
  let isUp = false
  metrics.gauge('busbar_nats_server_up', '1 while the embedded nats-server takes connections', () =>
    isUp ? 1 : 0,
  )

  let child: ChildProcess | undefined
  let isStopping = false
  /** The end of the server that runs is asked for, and another one is to follow. */
  let isReviving = false
  let restarts = 0
  /** Times that it could not be started, in a row. */
  let refusals = 0
  /** Times of deaths within the window, elapsed time. */
  let deaths: number[] = []
  let listeners: Array<(fault: BrokerError | undefined) => void> = []
  let ended: { fault: BrokerError | undefined } | undefined
  let cancelRestart = (): void => {}

  const end = (fault: BrokerError | undefined): void => {
    if (ended) return
    ended = { fault }
    isUp = false
    leave()
    for (const listener of listeners) listener(fault)
    listeners = []
  }

  const onExit = (listener: (fault: BrokerError | undefined) => void): void => {
    if (ended) listener(ended.fault)
    else listeners.push(listener)
  }

  /**
   * One life of the server: settles `ready` when it greets, and `gone` when it has ended;
   * `isStarted` is false for one that the system did not let start.
   */
  const live = (port: number, serverName: string, lock: StoreLock) => {
    const logStart = existsSync(places.log) ? statSync(places.log).size : 0
    const starting = startNatsProcess({ binary, dataDir, places, mine, lock, log })
    let isGone = false
    const gone = starting.then(
      ({ server, watchdog }) =>
        new Promise<Death>((settle) => {
          child = server
          if (isStopping) server.kill('SIGTERM')
          server.on('error', () => {})
          server.once('exit', (code, signal) => {
            isGone = true
            child = undefined
            watchdog.dismiss()
            isUp = false
            const tail = tailOfLog(places.log, logStart)
            settle({
              isStarted: true,
              how: `ended with ${signal ?? `code ${code}`} ${tail}`.trim(),
            })
          })
        }),
      (fault: unknown): Death => {
        isGone = true
        return { isStarted: false, how: `could not be started: ${messageOf(fault)}` }
      },
    )
    const ready = (async (): Promise<boolean> => {
      const started = await starting.catch(() => undefined)
      const untilMs = clock.elapsedMs() + bounds.natsReadyMsMax
      while (!isGone && clock.elapsedMs() < untilMs) {
        if (await greets(port, serverName)) return !isGone
        await wait(clock, pollMs)
      }
      if (!isGone) started?.server.kill('SIGKILL')
      return false
    })()
    return { ready, gone }
  }

  try {
    await endLeftServers(places, clock, log, bounds.natsStopMsMax)
    const held = (lock = await takeStoreLock(places.lock))
    const settings = await loadNatsSettings(dataDir, options.port)
    const { port, user, password, serverName } = settings
    const url = `nats://127.0.0.1:${port}`
    writePrivateFile(places.config, formatNatsConfig(dataDir, settings, storeBytesMax))

    const startAgain = (): void => {
      const { ready, gone } = live(port, serverName, held)
      void gone.then(died)
      void ready.then((isReady) => {
        if (!isReady) return
        isUp = true
        log.info({ pid: child?.pid, port }, 'nats-server runs again')
      })
    }
    const startWhenRoom = (): void => {
      if (hasRoom()) startAgain()
      else cancelRestart = clock.at(clock.now() + limits.diskLookMs, startWhenRoom)
    }
    const died = ({ isStarted, how }: Death): void => {
      if (isStopping) return end(undefined)
      if (!isStarted) {
        // It will pass: others end, or an operator raises the limit. Nothing of ours is wrong.
        const delayMs = Math.min(
          bounds.natsRestartDelayMs * 2 ** refusals++,
          bounds.natsRestartDelayMsMax,
        )
        log.error({ how, delayMs }, 'nats-server cannot be started now; trying again')
        cancelRestart = clock.at(clock.now() + delayMs, startAgain)
        return
      }
      refusals = 0
      if (isReviving || !hasRoom()) {
        // Without room it would die again and again, which says nothing about the server.
        if (!isReviving)
          log.error({ how }, 'nats-server died; it is started again when its disk has room')
        isReviving = false
        restarts++
        restartsTotal.add()
        return startWhenRoom()
      }
      const nowMs = clock.elapsedMs()
      deaths = deaths.filter((atMs) => nowMs - atMs < bounds.natsFailuresWindowMs)
      deaths.push(nowMs)
      if (deaths.length >= bounds.natsFailuresMax) {
        const fault = new BrokerError(
          'NATS_SERVER_FAILED',
          `${deaths.length} times in ${bounds.natsFailuresWindowMs} ms, at last it ${how}; log: ${places.log}`,
        )
        log.error(
          { code: fault.code, deaths: deaths.length, how },
          'nats-server keeps stopping; giving up',
        )
        return end(fault)
      }
      const delayMs = Math.min(
        bounds.natsRestartDelayMs * 2 ** (deaths.length - 1),
        bounds.natsRestartDelayMsMax,
      )
      restarts++
      restartsTotal.add()
      log.warn({ how, delayMs, deaths: deaths.length }, 'nats-server died; starting it again')
      cancelRestart = clock.at(clock.now() + delayMs, startAgain)
    }

    const first = live(port, serverName, held)
    if (!(await first.ready)) {
      throw new BrokerError(
        'NATS_SERVER_FAILED',
        `it did not take connections: it ${(await first.gone).how}; log: ${places.log}`,
      )
    }
    isUp = true
    log.info({ pid: child?.pid, port, store: places.store }, 'nats-server runs')
    void first.gone.then(died)

    return {
      url,
      port,
      user,
      password,
      get pid() {
        return child?.pid
      },
      get restarts() {
        return restarts
      },
      onExit,
      restart() {
        if (child === undefined || isStopping || isReviving) return
        isReviving = true
        const server = child
        server.kill('SIGTERM')
        const callOff = clock.at(clock.now() + bounds.natsRevivalStopMsMax, () =>
          server.kill('SIGKILL'),
        )
        server.once('exit', callOff)
      },
      async stop() {
        const isGone = new Promise<void>((settle) => onExit(() => settle()))
        if (!isStopping && !ended) {
          isStopping = true
          cancelRestart()
          if (child) {
            const server = child
            server.kill('SIGTERM')
            onExit(clock.at(clock.now() + bounds.natsStopMsMax, () => server.kill('SIGKILL')))
          } else {
            end(undefined)
          }
        }
        await isGone
      },
    }
  } catch (error) {
    leave()
    throw error
  }
}

async function findBinary(log: Log): Promise<string> {
  try {
    // BUSBAR_NATS_URL is for brokers without an embedded server; whoever calls here wants one.
    const env = { ...process.env, BUSBAR_NATS_URL: undefined }
    const server = await ensureNatsServer({ env, progress: (line) => log.info({}, line) })
    return server!.path
  } catch (error) {
    if (error instanceof NatsServerFault)
      throw new BrokerError(error.code, error.detail, { cause: error })
    throw error
  }
}
