/** The place in a sequence that a request on the wire names. Pure. */
import { readRequestCounter } from '../base/counter.ts'
import { readEui64 } from '../base/eui64.ts'
import type { Sequence } from '../envelope/sequenced-request.ts'
import type { RequestScan } from './scan.ts'

const counterOctets = Buffer.alloc(8)

/** That of the request in `scan`, in memory of its own. */
export function sequenceOf(scan: RequestScan): Sequence {
  const isFirst = scan.isFirstInSequence
  if (!scan.hasPreceding) return { isFirst, preceding: undefined }
  counterOctets.writeBigUInt64BE(scan.precedingCounter)
  const preceding = {
    originator: readEui64(scan.precedingOriginator),
    target: readEui64(scan.precedingTarget),
    counter: readRequestCounter(counterOctets, 0),
  }
  return { isFirst, preceding }
}
