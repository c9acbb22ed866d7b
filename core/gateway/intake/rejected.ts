/** What a gateway records of a service request, or of a call, that it rejects by itself. */
import type { Party } from '../../access/parties.ts'
import { contentHashOf, failedCheckOf, isRejection } from '../../access/rejection.ts'
import { unknownParty, type RejectionSink } from '../../access/rejection-sink.ts'
import { readRequestCounter } from '../../base/counter.ts'
import { addressKey } from '../../base/connections-per-address.ts'
import { errorId, type ErrorCode } from '../../base/error-table.ts'
import { readEui64 } from '../../base/eui64.ts'
import type { RequestScan } from '../../translate/scan.ts'

export type Rejected = {
  readonly code: ErrorCode
  /** Who has sent it. */
  readonly party: Party
  /** As far as it was read. */
  readonly scan: RequestScan
  /** Where the offsets of the scan point to; borrowed. */
  readonly view: Buffer
  /** UTC. */
  readonly nowMs: number
}

const counterOctets = Buffer.alloc(8)

/** Records it, or counts it: too many, without a RequestID, or of a party that is gone. */
export function recordRejection(
  sink: RejectionSink | undefined,
  { code, party, scan, view, nowMs }: Rejected,
): void {
  if (sink === undefined || !isRejection(code)) return
  const outcome = errorId(code)
  if (code === 'PARTY_UNKNOWN') return sink.count(unknownParty, outcome)
  if (!scan.hasRequestId || scan.assignsCounter) return sink.count(party.id, outcome)
  if (!sink.mayRecord(party.id, outcome)) return
  counterOctets.writeBigUInt64BE(scan.counter)
  sink.record(party.id, {
    originator: readEui64(scan.originator),
    target: readEui64(scan.target),
    counter: readRequestCounter(counterOctets),
    srv: scan.srv,
    outcome,
    time: nowMs,
    check: failedCheckOf(code),
    contentHash: contentHashOf(
      scan.srv,
      scan.bodyType,
      view.subarray(scan.bodyStart, scan.bodyEnd),
    ),
    commandVariant: scan.commandVariant,
    rights: [],
  })
}

/** Counts a call that names no party, or none that may call; without its party or address. */
export function countCaller(
  sink: RejectionSink | undefined,
  code: ErrorCode,
  address: string | undefined,
): void {
  if (sink === undefined || !isRejection(code)) return
  sink.count(unknownParty, errorId(code), addressKey(address).includes(':') ? 'ipv6' : 'ipv4')
}
