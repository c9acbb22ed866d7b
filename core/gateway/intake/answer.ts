/**
 * What came back for a request, an ACKNOWLEDGEMENT or STATUS envelope, as seen by the doors: the
 * message to the party, or the code with which a whole call is refused.
 */
import { emptyBytes } from '../../base/bytes.ts'
import { errorCodeOf, errorId, errorTable, type ErrorCode } from '../../base/error-table.ts'
import { readCorrelation, readOutcome, readTime } from '../../envelope/envelope.ts'
import { offsetOf } from '../../envelope/layout.ts'
import { appendAcknowledgement, appendRefusal } from '../../translate/acknowledgement.ts'
import type { ProtobufWriter } from '../../translate/protobuf.ts'

const wireMalformed = errorId('REQUEST_WIRE_MALFORMED')
const sizeExceeded = errorId('REQUEST_SIZE_EXCEEDED')
const idMalformed = errorId('REQUEST_ID_MALFORMED')
/** A request without a RequestID: nothing is known of it but its correlation. */
const unnamed = {
  hasRequestId: false,
  originator: emptyBytes,
  target: emptyBytes,
  counter: 0n,
} as const

/**
 * False when the gateway could not read the RequestID of what it refused: both EUI-64 are zero
 * then.
 */
export function isNamed(buffer: Buffer, at: number): boolean {
  const outcome = readOutcome(buffer, at)
  if (outcome !== wireMalformed && outcome !== sizeExceeded && outcome !== idMalformed) return true
  const from = at + offsetOf.originator
  return buffer.readUInt32BE(from) !== 0 || buffer.readUInt32BE(from + 4) !== 0
}

/**
 * Appends the Acknowledgement of the envelope at `at` as field 1; without a RequestID if it has
 * none.
 */
export function appendAnswer(writer: ProtobufWriter, buffer: Buffer, at: number): void {
  if (isNamed(buffer, at)) appendAcknowledgement(writer, buffer, at)
  else {
    const code = errorCodeOf(readOutcome(buffer, at))!
    const refused = { ...unnamed, correlation: readCorrelation(buffer, at) }
    appendRefusal(writer, refused, code, readTime(buffer, at))
  }
}

/**
 * The code with which a call about one request is to be refused as a whole, or undefined when the
 * answer is an ordinary message: what is not a request at all, and what may be tried again for want
 * of room or of an owner.
 */
export function callRefusalOf(buffer: Buffer, at: number): ErrorCode | undefined {
  const code = errorCodeOf(readOutcome(buffer, at))
  if (code === undefined) return undefined
  if (code === 'REQUEST_WIRE_MALFORMED' || code === 'REQUEST_SIZE_EXCEEDED') return code
  const { grpc } = errorTable[code]
  return grpc === 'RESOURCE_EXHAUSTED' || grpc === 'UNAVAILABLE' ? code : undefined
}
