/**
 * How far one party has acknowledged its deliveries: the id of the last one. Written behind,
 * coalesced, one write at a time and not more often than every `cursorWriteMs`: what a crash
 * forgets is delivered again, which the contract allows.
 */
import { decodeCursor, encodeCursor } from '../../envelope/delivery-id.ts'
import { limits } from '../../base/limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { CursorStore } from '../../ports/ledger.ts'
import type { Log } from '../../ports/log.ts'

export class DeliveryCursor {
  /** The last acknowledged delivery id; 0 when there is none. */
  acknowledged = 0
  private written = 0
  private writing: Promise<void> | undefined
  private disarm: (() => void) | undefined
  private readonly store: Pick<CursorStore, 'get' | 'put'>
  private readonly name: string
  private readonly clock: Clock
  private readonly log: Log

  constructor(store: Pick<CursorStore, 'get' | 'put'>, name: string, clock: Clock, log: Log) {
    this.store = store
    this.name = name
    this.clock = clock
    this.log = log
  }

  /**
   * Catches up with what this or another gateway has written; never goes back. Rejects when the
   * store does.
   */
  async load(): Promise<void> {
    const id = decodeCursor(await this.store.get(this.name))
    if (id > this.acknowledged) this.acknowledged = id
    if (id > this.written) this.written = id
  }

  /**
   * Notes that `deliveryId` and all before it are done with, and sees to it that this is written
   * soon.
   */
  acknowledge(deliveryId: number): void {
    if (deliveryId <= this.acknowledged) return
    this.acknowledged = deliveryId
    this.disarm ??= this.clock.at(this.clock.now() + limits.cursorWriteMs, () => {
      this.disarm = undefined
      void this.settle()
    })
  }

  /**
   * Settles when everything acknowledged so far is on disk, or the store has failed (logged; the
   * next one tries again). True if it is.
   */
  async settle(): Promise<boolean> {
    this.disarm?.()
    this.disarm = undefined
    const goal = this.acknowledged
    while (this.written < goal) {
      this.writing ??= this.write()
      const before = this.written
      await this.writing
      if (this.written === before) return false
    }
    return true
  }

  private async write(): Promise<void> {
    const id = this.acknowledged
    try {
      await this.store.put(this.name, encodeCursor(id))
      if (id > this.written) this.written = id
    } catch (error) {
      this.log.warn(
        { cursor: this.name, reason: String(error) },
        'a delivery cursor was not written',
      )
    }
    this.writing = undefined
  }
}
