/**
 * When the counter of a device was read again, so that a device which refuses for another reason is
 * not asked for its counter at every attempt. In memory, of one process: an address is always
 * reached through the same one. Pure.
 */
import type { Eui64 } from '../../base/eui64.ts'
import { limits } from '../../base/limits.ts'

/** `isDue`: the exchange had no time left for the reading, so that the next one begins with it. */
type Reading = { atMs: number; isDue: boolean }

export class CounterReadings {
  /** The oldest first. */
  private readonly last = new Map<Eui64, Reading>()

  /** True unless the last reading, which did not help, was less than `counterRereadMs` ago. */
  mayRead(device: Eui64, nowMs: number): boolean {
    const reading = this.last.get(device)
    return reading === undefined || reading.isDue || nowMs - reading.atMs >= limits.counterRereadMs
  }

  note(device: Eui64, atMs: number): void {
    this.put(device, { atMs, isDue: false })
  }

  /** The next exchange begins with the reading. */
  postpone(device: Eui64): void {
    this.put(device, { atMs: -Infinity, isDue: true })
  }

  /** True once after `postpone`. */
  takeDue(device: Eui64, nowMs: number): boolean {
    if (this.last.get(device)?.isDue !== true) return false
    this.note(device, nowMs)
    return true
  }

  /** An exchange has succeeded. */
  forgive(device: Eui64): void {
    this.last.delete(device)
  }

  private put(device: Eui64, reading: Reading): void {
    this.last.delete(device)
    if (this.last.size >= limits.counterRereadsRememberedMax)
      this.last.delete(this.last.keys().next().value!)
    this.last.set(device, reading)
  }
}
