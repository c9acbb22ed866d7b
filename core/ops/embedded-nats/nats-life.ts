/**
 * One life of the embedded nats-server: from its start, until it takes connections, to its end.
 * Whether another one follows is for nats-child.ts.
 */
import type { ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { limits } from '../../base/limits.ts'
import { pause, type Clock } from '../../ports/clock.ts'
import { greets } from './embedded-nats.ts'
import { startNatsProcess, type NatsProcess, type NatsProcessOptions } from './nats-process.ts'

/**
 * How a life of the server ended; not started: the system had no descriptors, processes or memory
 * for it.
 */
export type Death = { readonly isStarted: boolean; readonly how: string }

export type NatsLifeOptions = NatsProcessOptions & {
  readonly clock: Clock
  readonly port: number
  readonly serverName: string
  readonly readyMsMax: number
  /** True once the server is to end: one that was being started meanwhile is ended at once. */
  readonly isStopping: () => boolean
}

const messageOf = (fault: unknown): string =>
  fault instanceof Error ? fault.message : String(fault)

export class NatsLife {
  /** The process, while it runs. */
  server: ChildProcess | undefined
  /** True while it takes connections. */
  isUp = false
  /** Settles when it greets, or will not. */
  readonly ready: Promise<boolean>
  /** Settles when it has ended; never rejects. */
  readonly gone: Promise<Death>
  private readonly options: NatsLifeOptions
  private isGone = false

  constructor(options: NatsLifeOptions) {
    this.options = options
    const { log: path } = options.places
    const logStart = existsSync(path) ? statSync(path).size : 0
    const starting = startNatsProcess(options)
    this.gone = starting.then(
      (started) => this.untilExit(started, logStart),
      (fault: unknown): Death => {
        this.isGone = true
        return { isStarted: false, how: `could not be started: ${messageOf(fault)}` }
      },
    )
    this.ready = this.untilReady(starting)
  }

  private untilExit({ server, watchdog }: NatsProcess, logStart: number): Promise<Death> {
    this.server = server
    if (this.options.isStopping()) server.kill('SIGTERM')
    server.on('error', () => {})
    return new Promise((settle) => {
      server.once('exit', (code, signal) => {
        this.isGone = true
        this.server = undefined
        this.isUp = false
        watchdog.dismiss()
        const tail = tailOfLog(this.options.places.log, logStart)
        settle({ isStarted: true, how: `ended with ${signal ?? `code ${code}`} ${tail}`.trim() })
      })
    })
  }

  private async untilReady(starting: Promise<NatsProcess>): Promise<boolean> {
    const { clock, port, serverName, readyMsMax } = this.options
    const started = await starting.catch(() => undefined)
    const untilMs = clock.elapsedMs() + readyMsMax
    while (!this.isGone && clock.elapsedMs() < untilMs) {
      if (await greets(port, serverName)) return (this.isUp = !this.isGone)
      await pause(clock, limits.natsReadyLookMs)
    }
    if (!this.isGone) started?.server.kill('SIGKILL')
    return false
  }
}

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
