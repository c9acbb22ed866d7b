/**
 * Answers that the gateway gives of its own, as ACKNOWLEDGEMENT envelopes like those of a host, so
 * that doors know one kind of answer only.
 */
import { errorId, type ErrorCode } from '../../base/error-table.ts'
import { eui64Bytes } from '../../base/eui64.ts'
import { Lane } from '../../base/lane.ts'
import { retryHintMs } from '../../base/retry-hint.ts'
import type { Srv } from '../../base/srv.ts'
import { readCounter, writeHeader, type Header } from '../../envelope/envelope.ts'
import { headerBytes, Kind, offsetOf } from '../../envelope/layout.ts'
import type { RequestScan } from '../../translate/scan.ts'

/** The RequestID of a refusal whose RequestID could not be read. */
const nobody = Buffer.alloc(eui64Bytes)

/** A header for the caller to fill; nothing in it means anything yet. */
export function blankHeader(): Header {
  return {
    kind: Kind.SERVICE_REQUEST,
    lane: Lane.NORMAL,
    srv: 0 as Srv,
    outcome: 0,
    bodyType: 0,
    attempt: 0,
    originator: nobody,
    target: nobody,
    counter: 0n,
    time: 0,
    deadline: 0,
    correlation: 0,
  }
}

/** One buffer, written again for each answer: what is returned is borrowed until the next one. */
export class OwnAnswer {
  private readonly view = Buffer.alloc(headerBytes)
  private readonly header = blankHeader()

  /** About the request in `scan`; without a RequestID when the scan has none. */
  toScan(code: ErrorCode, scan: RequestScan, nowMs: number): Buffer {
    const { header } = this
    header.srv = scan.srv
    header.originator = scan.hasRequestId ? scan.originator : nobody
    header.target = scan.hasRequestId ? scan.target : nobody
    header.counter = scan.hasRequestId ? scan.counter : 0n
    header.correlation = scan.correlation
    return this.write(code, nowMs)
  }

  /** About the request in the envelope at `at`. */
  toEnvelope(code: ErrorCode, buffer: Buffer, at: number, nowMs: number): Buffer {
    const { header } = this
    const originatorAt = at + offsetOf.originator
    const targetAt = at + offsetOf.target
    header.srv = 0 as Srv
    header.originator = buffer.subarray(originatorAt, originatorAt + eui64Bytes)
    header.target = buffer.subarray(targetAt, targetAt + eui64Bytes)
    header.counter = readCounter(buffer, at)
    header.correlation = 0
    return this.write(code, nowMs)
  }

  private write(code: ErrorCode, nowMs: number): Buffer {
    const { header } = this
    const hintMs = retryHintMs(code)
    header.kind = Kind.ACKNOWLEDGEMENT
    header.outcome = errorId(code)
    header.time = nowMs
    header.deadline = hintMs === 0 ? 0 : nowMs + hintMs
    writeHeader(this.view, 0, header, 0)
    return this.view
  }
}
