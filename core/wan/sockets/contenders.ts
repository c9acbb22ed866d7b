/**
 * Links under the name of a device that is connected already, on a link that is proven: it has
 * answered a question there. Anybody may say a name, so such a link takes the place of the proven
 * one only when that fails. One waits for each name, the newest. Its notifications are heard
 * meanwhile, because a device may push on a connection of its own; nothing is asked on it. Station
 * 9 of the way of one message.
 */
import { limits } from '../../base/limits.ts'
import type { Endpoint } from './endpoint.ts'
import type { Link } from './link.ts'

type Contender = { link: Link; names: readonly string[]; sinceMs: number }

export class Contenders {
  /** In the order of their arrival. */
  private readonly waiting = new Map<Endpoint, Contender>()

  /** Lets `link` wait behind that of `endpoint`; one that waits already is closed. */
  add(endpoint: Endpoint, link: Link, names: readonly string[], nowMs: number): void {
    this.dismiss(endpoint)
    this.waiting.set(endpoint, { link, names, sinceMs: nowMs })
  }

  /** `link` is gone; true when it was one that waited. */
  forget(endpoint: Endpoint, link: Link): boolean {
    return this.waiting.get(endpoint)?.link === link && this.waiting.delete(endpoint)
  }

  /** The link of `endpoint` has failed: gives what waits behind it. */
  take(endpoint: Endpoint): Contender | undefined {
    const contender = this.waiting.get(endpoint)
    this.waiting.delete(endpoint)
    return contender
  }

  /** The link of `endpoint` is good: what waits behind it and has said nothing is closed. */
  proved(endpoint: Endpoint): void {
    if (this.waiting.get(endpoint)?.link.hasSpoken === false) this.dismiss(endpoint)
  }

  private dismiss(endpoint: Endpoint): void {
    this.take(endpoint)?.link.cut('the device answers on another connection')
  }

  /** Closes those whose time is over. */
  sweep(nowMs: number): void {
    for (const [endpoint, { sinceMs }] of this.waiting) {
      if (nowMs - sinceMs < limits.dialInContenderMsMax) return
      this.dismiss(endpoint)
    }
  }

  close(): void {
    for (const endpoint of this.waiting.keys()) this.dismiss(endpoint)
  }
}
