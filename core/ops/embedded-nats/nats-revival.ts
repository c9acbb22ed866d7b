/**
 * Starts the embedded nats-server again when that is what helps: after a write that failed for want
 * of space a stream stays closed for writes until the server is started again (nats-server 2.14 and
 * newer), with space on the disk or without.
 *
 * Two signs: the disk was exhausted and has room again; or no write was decided for
 * `natsUndecidedMsMax` though the server is connected. Never while the disk has no room: the server
 * would not come up.
 */
import { limits } from '../../base/limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'

export type NatsRevivalOptions = {
  clock: Clock
  log: Log
  /** Of the disk under the server: all of it is used up, so that a write may have failed. */
  isExhausted: () => boolean
  /**
   * How long writes have been undecided, in ms; 0 when the last one was decided, or the server is
   * not connected.
   */
  undecidedMs: () => number
  /** Ends the server and starts it again. */
  restart: (why: string) => void
}

export class NatsRevival {
  private readonly options: NatsRevivalOptions
  private wasExhausted = false
  private restartedAt = -Infinity
  private callOff: () => void = () => {}

  constructor(options: NatsRevivalOptions) {
    this.options = options
  }

  start(): void {
    const { clock } = this.options
    this.callOff = clock.at(clock.now() + limits.natsRevivalLookMs, () => {
      this.look()
      this.start()
    })
  }

  close(): void {
    this.callOff()
  }

  private look(): void {
    const { clock, isExhausted, undecidedMs } = this.options
    if (isExhausted()) {
      this.wasExhausted = true
      return
    }
    if (this.wasExhausted) return this.revive('its disk was full and has room again')
    const waitedMs = undecidedMs()
    const isRecent = clock.elapsedMs() - this.restartedAt < limits.natsRevivalIntervalMs
    if (waitedMs >= limits.natsUndecidedMsMax && !isRecent)
      this.revive(`no write was decided for ${Math.round(waitedMs)} ms`)
  }

  private revive(why: string): void {
    const { clock, log, restart } = this.options
    this.wasExhausted = false
    this.restartedAt = clock.elapsedMs()
    log.warn({ why }, 'nats-server is started again')
    restart(why)
  }
}
