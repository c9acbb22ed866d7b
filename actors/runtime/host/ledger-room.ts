/**
 * How much room the ledger has for something new. The last tenth of it is kept for what must always
 * be written: answers, leases, seals, snapshot and trim records. What is under way will need room
 * as well: each exchange counts with what one answer has taken of late.
 */
import { limits } from '../../../core/base/limits.ts'
import { ledgerReserveOf } from '../../../core/ports/ledger.ts'

/** Answers over which the mean size of an answer is taken, about. */
const meanOver = 64

export class LedgerRoom {
  private looked = { bytes: 0, bytesMax: 0 }
  /** Written here since the last look. */
  private writtenBytes = 0
  /**
   * The ledger has refused for want of room: nothing new before this elapsed time. 0: it has not.
   */
  fullUntil = 0
  private outcomeBytes: number = limits.ledgerOutcomeBytes

  /** As of the last look. */
  get usage(): { bytes: number; bytesMax: number } {
    return this.looked
  }

  /** The ledger was looked at. */
  look(usage: { bytes: number; bytesMax: number }): void {
    this.looked = usage
    this.writtenBytes = 0
  }

  /** A tick of `bytes` was written, with so many deliveries. */
  onTick(bytes: number, deliveryCount: number): void {
    this.writtenBytes += bytes
    if (deliveryCount === 0) return
    // A tick that accepts requests beside its answers makes them look larger, never smaller.
    const weight = deliveryCount / (deliveryCount + meanOver)
    this.outcomeBytes += (bytes / deliveryCount - this.outcomeBytes) * weight
  }

  /**
   * True when there is room for something new, with `underWayCount` answers still to be written.
   * Without a time, a ledger that has refused is full until something is written again.
   */
  isForNew(underWayCount: number, elapsedMs = 0): boolean {
    if (elapsedMs < this.fullUntil) return false
    const { bytes, bytesMax } = this.looked
    if (bytesMax === 0) return true
    const owedBytes = underWayCount * this.outcomeBytes
    // What is owed may use the reserve, as far as that goes.
    const keptBytes = Math.max(ledgerReserveOf(bytesMax), owedBytes)
    return bytes + this.writtenBytes + keptBytes <= bytesMax
  }

  /** True when there is so much room that rejections are recorded one by one. */
  isForRejections(): boolean {
    const { bytes, bytesMax } = this.looked
    if (bytesMax === 0) return true
    const keptBytes = (bytesMax * limits.rejectionRoomPercent) / 100
    return this.fullUntil === 0 && bytes + this.writtenBytes + keptBytes <= bytesMax
  }
}
