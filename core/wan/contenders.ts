/**
 * Connections under the name of a device that is connected already, on a connection that is proven:
 * it has answered a question there. Anybody may say a name, so such a connection takes the place of
 * the proven one only when that fails. One waits for each name, the newest; nothing is read from it
 * meanwhile. Station 9 of the way of one message.
 */
import type { Socket } from 'node:net'
import { limits } from '../base/limits.ts'
import type { Announcement } from './dial-in.ts'
import type { Endpoint } from './endpoint.ts'

type Contender = { socket: Socket; announcement: Announcement; sinceMs: number; forget: () => void }

export class Contenders {
  /** In the order of their arrival. */
  private readonly waiting = new Map<Endpoint, Contender>()

  get count(): number {
    return this.waiting.size
  }

  /** Lets the connection wait behind that of `endpoint`; one that waits already is closed. */
  add(endpoint: Endpoint, socket: Socket, announcement: Announcement, nowMs: number): void {
    this.dismiss(endpoint)
    const onClose = (): void => {
      if (this.waiting.get(endpoint)?.socket === socket) this.waiting.delete(endpoint)
    }
    const forget = (): void => {
      this.waiting.delete(endpoint)
      socket.off('close', onClose)
    }
    socket.pause()
    socket.once('close', onClose)
    this.waiting.set(endpoint, { socket, announcement, sinceMs: nowMs, forget })
  }

  /**
   * The connection of `endpoint` has failed: gives what waits behind it, which is the caller's from
   * here on.
   */
  take(endpoint: Endpoint): { socket: Socket; announcement: Announcement } | undefined {
    const contender = this.waiting.get(endpoint)
    contender?.forget()
    return contender
  }

  /** The connection of `endpoint` is good: what waits behind it is closed. */
  dismiss(endpoint: Endpoint): void {
    this.take(endpoint)?.socket.destroy()
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
