/**
 * Reads a ServiceRequest of busbar.v1 where it stands in the received buffer: header fields into
 * one reusable object, the body left untouched as offsets. Station 3 of a message's way. Nothing is
 * allocated but the counter's bigint. proto3 rules: fields in any order, of repeated fields and
 * oneof members the last one wins (an embedded message that comes twice is replaced, not merged),
 * unknown fields and known ones of another wire type are passed over. What a body says is not read
 * here but in body.ts.
 */
import { emptyBytes } from '../base/bytes.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { parseEui64Into } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { requestCounterMax } from '../base/request-counter.ts'
import { parseSrvAt, type Srv } from '../base/srv.ts'
import { commandVariantMax } from '../access/access-rules.ts'
import type { ScannedRequest } from '../access/intake.ts'
import type { BodyPlace } from './body.ts'
import { bodyTypeMax, bodyTypeMin } from './body-types.ts'
import { ProtobufReader, WireType } from './protobuf.ts'
import { signatureField } from './canonical-request.ts'
import { readTimestamp } from './timestamp.ts'

/** What `lane` says when the party named no priority. */
export const laneUnspecified = 255

const reader = new ProtobufReader(emptyBytes)
const inner = new ProtobufReader(emptyBytes)

/** The header fields of one request; make one and use it again and again. */
export class RequestScan implements ScannedRequest, BodyPlace {
  /** EUI-64 of the party, eight octets; meaningful when `hasRequestId`. */
  readonly originator: Buffer = Buffer.alloc(8)
  /** EUI-64 of the device, eight octets; meaningful when `hasRequestId`. */
  readonly target: Buffer = Buffer.alloc(8)
  counter = 0n
  /** The gateway is to assign the counter. */
  assignsCounter = false
  /** The party's own number, for the acknowledgement; 0 for none. */
  correlation = 0
  /** Command variant, 0 for none; any above 9 is 9, which fits no request. */
  commandVariant = 0
  /** Both EUI-64 were there and well formed: a refusal can name the request. */
  hasRequestId = false
  /** 0 when absent or malformed. */
  srv: Srv = 0 as Srv
  /** UTC ms; 0 for none. A deadline at or before 1970 is 1: present, and past. */
  deadlineMs = 0
  /** A Lane, or `laneUnspecified`. */
  lane: number = laneUnspecified
  /** Field number of the body in its oneof, 0 for none. */
  bodyType = 0
  /** Where the body's content stands in the scanned buffer. */
  bodyStart = 0
  bodyEnd = 0
  /** When it is to be carried out, UTC ms; 0 for none. One at or before 1970 is 1. */
  executeAtMs = 0
  /** The first of a sequence. */
  isFirstInSequence = false
  /** It names a predecessor; the three fields below are of that. */
  hasPreceding = false
  readonly precedingOriginator: Buffer = Buffer.alloc(8)
  readonly precedingTarget: Buffer = Buffer.alloc(8)
  precedingCounter = 0n
  /** Where the RequestSignature stands in the scanned buffer; 0 and 0 for none. */
  signatureStart = 0
  signatureEnd = 0

  reset(): void {
    this.counter = 0n
    this.assignsCounter = false
    this.correlation = 0
    this.commandVariant = 0
    this.hasRequestId = false
    this.srv = 0 as Srv
    this.deadlineMs = 0
    this.lane = laneUnspecified
    this.bodyType = 0
    this.bodyStart = this.bodyEnd = 0
    this.signatureStart = this.signatureEnd = 0
    this.isFirstInSequence = this.hasPreceding = false
    this.executeAtMs = 0
  }
}

let idCounter = 0n
let isIdWhole = false

// RequestId: 1 originator, 2 target, 3 counter, into the two EUI-64 and the variables above.
// False when the wire is malformed.
function readId(
  view: Buffer,
  start: number,
  end: number,
  originator: Buffer,
  target: Buffer,
): boolean {
  let hasOriginator = false
  let hasTarget = false
  let low = 0
  let high = 0
  inner.open(view, start, end)
  while (inner.nextField()) {
    const { field, wireType } = inner
    if (wireType === WireType.LENGTH && (field === 1 || field === 2)) {
      const to = inner.readLength()
      if (inner.isBroken) return false
      if (field === 1) hasOriginator = parseEui64Into(view, inner.at, to, originator, 0)
      else hasTarget = parseEui64Into(view, inner.at, to, target, 0)
      inner.at = to
    } else if (wireType === WireType.VARINT && field === 3) {
      inner.readVarint()
      low = inner.low
      high = inner.high
    } else inner.skip()
  }
  idCounter = high === 0 ? BigInt(low) : (BigInt(high) << 32n) | BigInt(low)
  isIdWhole = hasOriginator && hasTarget
  return !inner.isBroken
}

function readRequestId(view: Buffer, start: number, end: number, scan: RequestScan): boolean {
  const isRead = readId(view, start, end, scan.originator, scan.target)
  scan.counter = idCounter
  scan.hasRequestId = isIdWhole
  return isRead
}

// One that is not whole leaves a counter of 0, which no request has.
function readPrecedingId(view: Buffer, start: number, end: number, scan: RequestScan): boolean {
  const isRead = readId(view, start, end, scan.precedingOriginator, scan.precedingTarget)
  scan.hasPreceding = true
  scan.precedingCounter = isIdWhole && idCounter <= requestCounterMax ? idCounter : 0n
  return isRead
}

const firstField = 10
const precedingField = 11
const executionTimeField = 12
const priorityUrgent = 1
const priorityBulk = 3

/**
 * Scans the ServiceRequest in `view[start, end)` into `scan`; `scan.bodyStart` and `bodyEnd` point
 * into `view`, which is borrowed for as long as they are used. An invalid SRV is left to
 * intake (`srv` 0), as are all rules of content.
 *
 * @returns undefined, or REQUEST_SIZE_EXCEEDED, REQUEST_WIRE_MALFORMED, REQUEST_ID_MALFORMED,
 * REQUEST_COUNTER_TOO_HIGH;
 *   `scan.hasRequestId` then says whether the request can be named in the refusal
 */
export function scanServiceRequest(
  view: Buffer,
  start: number,
  end: number,
  scan: RequestScan,
): ErrorCode | undefined {
  scan.reset()
  const isTooLarge = end - start > limits.requestBytesMax
  reader.open(view, start, end)
  while (reader.nextField()) {
    const { field, wireType } = reader
    if (wireType === WireType.LENGTH) {
      const to = reader.readLength()
      if (reader.isBroken) return 'REQUEST_WIRE_MALFORMED'
      const from = reader.at
      if (field === 1) {
        if (!readRequestId(view, from, to, scan)) return 'REQUEST_WIRE_MALFORMED'
      } else if (field === 2) scan.srv = parseSrvAt(view, from, to)
      else if (field === 3) {
        const deadlineMs = readTimestamp(view, from, to)
        if (deadlineMs === undefined) return 'REQUEST_WIRE_MALFORMED'
        scan.deadlineMs = deadlineMs < 1 ? 1 : deadlineMs
      } else if (field >= bodyTypeMin && field <= bodyTypeMax) {
        scan.bodyType = field
        scan.bodyStart = from
        scan.bodyEnd = to
      } else if (field === precedingField) {
        if (!readPrecedingId(view, from, to, scan)) return 'REQUEST_WIRE_MALFORMED'
      } else if (field === executionTimeField) {
        const executeAtMs = readTimestamp(view, from, to)
        if (executeAtMs === undefined) return 'REQUEST_WIRE_MALFORMED'
        scan.executeAtMs = executeAtMs < 1 ? 1 : executeAtMs
      } else if (field === signatureField) {
        scan.signatureStart = from
        scan.signatureEnd = to
      }
      reader.at = to
    } else if (field === 4 && wireType === WireType.VARINT) {
      reader.readVarint()
      // An enum is an int32; values that this version does not know count as unspecified.
      const { low } = reader
      scan.lane = low >= priorityUrgent && low <= priorityBulk ? low - 1 : laneUnspecified
    } else if (field === firstField && wireType === WireType.VARINT) {
      reader.readVarint()
      scan.isFirstInSequence = (reader.low | reader.high) !== 0
    } else if (field >= 5 && field <= 7 && wireType === WireType.VARINT) {
      reader.readVarint()
      const { low, high } = reader
      if (field === 5) scan.assignsCounter = (low | high) !== 0
      else if (field === 6) scan.correlation = low
      else scan.commandVariant = low > commandVariantMax ? commandVariantMax : low
    } else reader.skip()
  }
  if (reader.isBroken) return 'REQUEST_WIRE_MALFORMED'
  if (isTooLarge) return 'REQUEST_SIZE_EXCEEDED'
  // proto3 cannot tell a counter of 0 from none: neither is a RequestID that stands for ever.
  if (!scan.hasRequestId || (scan.counter === 0n) !== scan.assignsCounter)
    return 'REQUEST_ID_MALFORMED'
  if (scan.hasPreceding && scan.precedingCounter === 0n) return 'REQUEST_ID_MALFORMED'
  return scan.counter > requestCounterMax ? 'REQUEST_COUNTER_TOO_HIGH' : undefined
}

const walker = new ProtobufReader(emptyBytes)

/**
 * Calls `visit` with start and end of each ServiceRequest in a SubmitRequest, SubmitBatchRequest or
 * SubmitStreamRequest, in order: all three hold requests in field 1. The outer message is walked
 * once before the first visit, so that a malformed one is refused whole. `visit` may scan, but must
 * not call this function.
 *
 * @returns undefined, or REQUEST_WIRE_MALFORMED, REQUEST_SIZE_EXCEEDED (more than
 * `requestsPerBatchMax`)
 */
export function forEachRequest(
  messageView: Buffer,
  visit: (start: number, end: number) => void,
): ErrorCode | undefined {
  let count = 0
  walker.open(messageView, 0, messageView.length)
  while (walker.nextField()) {
    if (walker.field === 1 && walker.wireType === WireType.LENGTH) count++
    walker.skip()
  }
  if (walker.isBroken) return 'REQUEST_WIRE_MALFORMED'
  if (count > limits.requestsPerBatchMax) return 'REQUEST_SIZE_EXCEEDED'
  walker.open(messageView, 0, messageView.length)
  while (walker.nextField()) {
    if (walker.field === 1 && walker.wireType === WireType.LENGTH) {
      const to = walker.readLength()
      visit(walker.at, to)
      walker.at = to
    } else walker.skip()
  }
  return undefined
}

/**
 * Scans the RequestId of a CancelRequest or GetRequestStatusRequest in `view[start, end)` (field 1
 * of both) into `scan`; the other fields of `scan` are reset.
 *
 * @returns undefined, or REQUEST_WIRE_MALFORMED, REQUEST_ID_MALFORMED
 */
export function scanRequestId(
  view: Buffer,
  start: number,
  end: number,
  scan: RequestScan,
): ErrorCode | undefined {
  scan.reset()
  reader.open(view, start, end)
  while (reader.nextField()) {
    if (reader.field === 1 && reader.wireType === WireType.LENGTH) {
      const to = reader.readLength()
      if (reader.isBroken || !readRequestId(view, reader.at, to, scan))
        return 'REQUEST_WIRE_MALFORMED'
      reader.at = to
    } else reader.skip()
  }
  if (reader.isBroken) return 'REQUEST_WIRE_MALFORMED'
  return scan.hasRequestId && scan.counter > 0n ? undefined : 'REQUEST_ID_MALFORMED'
}
