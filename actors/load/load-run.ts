/**
 * One load run: warm-up, measured time, then the wait for what is still open. The door carries
 * requests and tells what came back; this decides when the next ones go. Time and pauses come in,
 * so that a test can run it on a simulated clock.
 */
import { limits } from '../../core/base/limits.ts'
import type { LoadPlan, LoadShape } from './load-plan.ts'
import type { LoadReport, LoadTally } from './load-tally.ts'

/** The way to a gateway, and what it hands back. */
export type LoadDoor = {
  /**
   * Submits `count` requests of the plan; the i-th counts its latency from `firstMs + i × stepMs`.
   */
  send(count: number, firstMs: number, stepMs: number): void
  /** Sends nothing more; settles when what was being sent is out. */
  stop(): Promise<void>
  /** Takes no more responses and ends its connections. */
  close(): Promise<void>
  /** Rejects when the gateway cannot be used any more. */
  readonly failed: Promise<never>
}

/** What a door reports to. */
export type LoadEvents = {
  readonly plan: LoadPlan
  readonly tally: LoadTally
  nowMs(): number
  /**
   * A request is over: its response came, or it was rejected `retryAfterMs` before it may be
   * repeated.
   */
  ended(isRejected: boolean, retryAfterMs: number): void
}

export type LoadRunOptions = {
  readonly shape: LoadShape
  readonly warmUpMs: number
  readonly measuredMs: number
  /** How long responses are waited for at the end. */
  readonly drainMs: number
  readonly tally: LoadTally
  nowMs(): number
  /** Runs `action` after `ms`; gives what calls it off. */
  after(ms: number, action: () => void): () => void
  readonly interrupted: Promise<void>
  onProgress(openCount: number, report: LoadReport): void
}

/**
 * Between two looks of an open loop: arrivals that are due by then go together, each with its own
 * scheduled time.
 */
const tickMs = 2
const progressMs = 500

export class LoadRun {
  private readonly options: LoadRunOptions
  private isSending = true
  /** Places of a closed loop that wait after a rejection. */
  private resting = 0
  private isRefillDue = false
  private door: LoadDoor | undefined
  private onDrained: (() => void) | undefined
  private readonly calledOffAtEnd: Array<() => void> = []

  constructor(options: LoadRunOptions) {
    this.options = options
  }

  /**
   * For the door's events: a place is free again, at once or after the wait that the gateway asked
   * for.
   */
  ended(isRejected: boolean, retryAfterMs: number): void {
    if (this.options.shape.kind === 'closed' && isRejected && this.isSending) {
      this.resting++
      const waitMs = Math.max(retryAfterMs, limits.loadRejectionWaitMs)
      this.options.after(waitMs, () => {
        this.resting--
        this.wantRefill()
      })
    } else this.wantRefill()
  }

  /** Settles with the report. Rejects when the gateway fails. The door is closed in both cases. */
  async run(door: LoadDoor): Promise<LoadReport> {
    try {
      return await this.measure(door)
    } finally {
      this.isSending = false
      for (const callOff of this.calledOffAtEnd) callOff()
      await door.stop()
      await door.close()
    }
  }

  private async measure(door: LoadDoor): Promise<LoadReport> {
    const { options } = this
    const { shape, tally, nowMs } = options
    this.door = door
    const startMs = nowMs()
    const measureFromMs = startMs + options.warmUpMs
    const endMs = measureFromMs + options.measuredMs
    tally.measure(measureFromMs, endMs)
    this.calledOffAtEnd.push(
      this.every(progressMs, () => options.onProgress(tally.openCount, tally.report(nowMs()))),
    )
    const stopSending = shape.kind === 'open' ? this.offer(shape.perSecond, startMs) : () => {}
    this.calledOffAtEnd.push(stopSending)
    this.refill()
    const measured = this.pause(endMs - startMs)
    await Promise.race([measured.over, options.interrupted, door.failed]).finally(measured.callOff)
    const measuredUntilMs = nowMs()
    this.isSending = false
    stopSending()
    await door.stop()
    const patience = this.pause(options.drainMs)
    await Promise.race([this.drained(), patience.over, door.failed]).finally(patience.callOff)
    return tally.report(measuredUntilMs)
  }

  private offer(perSecond: number, startMs: number): () => void {
    const stepMs = 1000 / perSecond
    let sent = 0
    return this.every(tickMs, () => {
      const due = Math.floor((this.options.nowMs() - startMs) / stepMs) - sent
      if (due <= 0) return
      this.door!.send(due, startMs + sent * stepMs, stepMs)
      sent += due
    })
  }

  /** What ends within one turn is replaced by one message. */
  private wantRefill(): void {
    if (this.isRefillDue) return
    this.isRefillDue = true
    this.options.after(0, () => {
      this.isRefillDue = false
      this.refill()
    })
  }

  private refill(): void {
    const { shape, tally, nowMs } = this.options
    if (!this.isSending) {
      if (tally.openCount === 0) this.onDrained?.()
      return
    }
    if (shape.kind !== 'closed') return
    const free = shape.inFlight - tally.openCount - this.resting
    if (free > 0) this.door!.send(free, nowMs(), 0)
  }

  private drained(): Promise<void> {
    return new Promise((resolve) => {
      this.onDrained = resolve
      if (this.options.tally.openCount === 0) resolve()
    })
  }

  private pause(ms: number): { over: Promise<void>; callOff: () => void } {
    const { promise: over, resolve } = Promise.withResolvers<void>()
    return { over, callOff: this.options.after(ms, resolve) }
  }

  private every(ms: number, action: () => void): () => void {
    let isOver = false
    let callOff = (): void => {}
    const again = (): void => {
      callOff = this.options.after(ms, () => {
        if (isOver) return
        action()
        again()
      })
    }
    again()
    return () => {
      isOver = true
      callOff()
    }
  }
}
