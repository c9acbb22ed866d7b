/** Where a gateway puts what it has rejected, on its way to the actors of the parties. */
import type { Eui64 } from '../base/eui64.ts'
import type { Rejection } from './rejection.ts'
import type { Caller } from './rejection-report.ts'

/** Nothing here waits, throws or grows without bound. */
export interface RejectionSink {
  /** True when the next rejection of `party` is to be recorded; otherwise it has been counted. */
  mayRecord(party: Eui64, outcome: number): boolean
  record(party: Eui64, rejection: Omit<Rejection, 'directorySequence'>): void
  /** Counts a rejection, of a party or of a caller that nobody knows. */
  count(party: Eui64, outcome: number, caller?: Caller): void
}

/** The octets under which callers are counted that are not known. */
export const unknownParty = '\0'.repeat(8) as Eui64
