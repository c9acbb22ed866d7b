/**
 * Keeps the last octets of a ledger for leases, seals, snapshot and trim records. Answers may take
 * the rest of the reserve for what is under way, and would take these too: then a host in doubt
 * could not seal its ticks, would serve nobody, and nothing would ever be forgotten again.
 */
import { recordOfSubject } from '../cluster/directory-subject.ts'
import { partitionOfLetters } from '../cluster/letters-subject.ts'
import { emptyTick } from '../envelope/tick-message.ts'
import {
  ledgerRecordsReserveOf,
  ledgerReserveOf,
  tickSubject,
  type LedgerEntry,
} from '../ports/ledger.ts'

const ticks = tickSubject('')

/** Letters and records of the directory go with a tick, and are refused with it. */
const isBesideTick = (subject: string): boolean =>
  partitionOfLetters(subject) !== undefined || recordOfSubject(subject) !== undefined

export class RecordsReserve {
  /** As of the last look at the stream, and what was written here since; nothing is known at 0. */
  private bytes = 0
  private bytesMax = 0

  look(bytes: number, bytesMax: number): void {
    this.bytes = bytes
    this.bytesMax = bytesMax
  }

  written(bytes: number): void {
    this.bytes += bytes
  }

  /**
   * Nothing is known yet, or the ledger is so full that what other hosts have written since the
   * last look matters.
   */
  get isLookDue(): boolean {
    return this.bytesMax <= 0 || this.bytes + ledgerReserveOf(this.bytesMax) > this.bytesMax
  }

  /** Why `entries` must not be written, or undefined when they may: only ticks are refused. */
  refusal(entries: readonly LedgerEntry[]): string | undefined {
    if (this.bytesMax <= 0) return undefined
    let bytes = 0
    for (const { subject, data } of entries) {
      if (!subject.startsWith(ticks) && !isBesideTick(subject)) return undefined
      bytes += data.length
    }
    // A seal is a tick with nothing in it.
    if (bytes === entries.length * emptyTick.length) return undefined
    const kept = ledgerRecordsReserveOf(this.bytesMax)
    if (this.bytes + bytes + kept <= this.bytesMax) return undefined
    return `${this.bytes} of ${this.bytesMax} octets are used; ${kept} are kept for leases, seals, snapshot and trim records`
  }
}
