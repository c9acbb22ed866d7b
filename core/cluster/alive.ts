/**
 * How processes tell each other that they are alive: a short announcement every `aliveIntervalMs`,
 * which nobody keeps. Hosts say it to each other and to gateways; processes with the role wan say
 * it to hosts.
 */
import { limits } from '../base/limits.ts'
import type { Bus } from '../ports/bus.ts'
import type { Clock } from '../ports/clock.ts'
import { isHostId } from './lease-record.ts'

/** Where a host announces that it is alive. */
export const aliveSubject = (hostId: string): string => `alive.${hostId}`
/** The same for a process that carries exchanges to devices. */
export const wanAliveSubject = (wanId: string): string => `wan-alive.${wanId}`

/**
 * Says `text` on `subject` every `aliveIntervalMs`, until called off: the name of who is alive, or
 * more of it. The first time at once.
 */
export function announceAlive(bus: Bus, clock: Clock, subject: string, text: string): () => void {
  const data = Buffer.from(text, 'utf8')
  let callOff = (): void => {}
  const beat = (): void => {
    bus.announce(subject, data)
    callOff = clock.at(clock.now() + limits.aliveIntervalMs, beat)
  }
  beat()
  return () => callOff()
}

/**
 * Who has been heard, and when; all times are the clock's elapsed time, so that a clock that is set
 * makes nobody silent, and nobody heard.
 */
export class Heard {
  private readonly atMs = new Map<string, number>()
  private readonly silenceMsMax: number

  /** A name is alive until nothing was heard of it for `silenceMsMax`. */
  constructor(silenceMsMax: number) {
    this.silenceMsMax = silenceMsMax
  }

  /**
   * Names are the sender's, so their number is bounded: of too many the silent ones go, and a new
   * one is not taken. False then, and for what is no name.
   */
  note(name: string, now: number): boolean {
    if (!isHostId(name)) return false
    if (this.atMs.size >= limits.hostsMax && !this.atMs.has(name)) {
      for (const [other, atMs] of this.atMs)
        if (now - atMs >= this.silenceMsMax) this.atMs.delete(other)
      if (this.atMs.size >= limits.hostsMax) return false
    }
    this.atMs.set(name, now)
    return true
  }

  forget(name: string): void {
    this.atMs.delete(name)
  }

  /** Those alive at `now`, in order of their names. */
  alive(now: number): string[] {
    return Array.from(this.atMs)
      .filter(([, atMs]) => now - atMs < this.silenceMsMax)
      .map(([name]) => name)
      .sort()
  }

  /**
   * True when nothing was heard of `name` since `silenceMsMax` before `now`, nor since `sinceMs`.
   */
  isSilent(name: string, now: number, sinceMs: number): boolean {
    return now - Math.max(this.atMs.get(name) ?? 0, sinceMs) >= this.silenceMsMax
  }
}
