/**
 * What the device rejects of a request for good, as a record in the ledger. Pure, a part of
 * actor.ts. A record changes nothing of the device, however many there are.
 */
import type { Directory } from '../../core/access/directory.ts'
import {
  contentHashOf,
  failedCheckOf,
  isRejection,
  type Rejection,
} from '../../core/access/rejection.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { readEui64 } from '../../core/base/eui64.ts'
import { retryHintMs } from '../../core/base/retry-hint.ts'
import type { Srv } from '../../core/base/srv.ts'
import { formatWithMeterPoints } from '../../core/cluster/format.ts'
import { readBodyType, readOriginator, readSrv } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import { requestBodyView } from '../../core/envelope/signed-request.ts'
import { acknowledge } from '../kind/effects.ts'
import type { Arrived } from '../kind/messages.ts'
import { refuseCounter, type DeviceOutbox } from './effects.ts'
import { boundsOf } from './counter-bounds.ts'
import type { RequestRejected } from './rejection-fact.ts'
import type { DeviceState, Originator } from './state.ts'

/** What a request is rejected with. */
export type Asked = {
  readonly state: DeviceState
  /** A SERVICE_REQUEST. */
  readonly message: Arrived
  /** Of the device, when it knows the party. */
  readonly originator: Originator | undefined
  readonly now: number
  readonly directory: Directory
}

/** Answers a request with `code`, and records that unless the party may come again. */
export function reject(asked: Asked, code: ErrorCode, out: DeviceOutbox): void {
  const { message, originator, now } = asked
  record(asked, code, out)
  if (isOfCounter.has(code)) return refuseCounter(out, message, code, now, boundsOf(originator))
  const waitMs = retryHintMs(code)
  acknowledge(out, message, errorId(code), now, waitMs === 0 ? 0 : now + waitMs)
}

const isOfCounter: ReadonlySet<ErrorCode> = new Set([
  'REQUEST_COUNTER_REUSED',
  'REQUEST_COUNTER_STALE',
  'REQUEST_COUNTER_TOO_HIGH',
])

function record(
  { state, message, now, directory }: Asked,
  code: ErrorCode,
  out: DeviceOutbox,
): void {
  const { buffer, at } = message
  const { format, sequence } = directory
  const links = state.linked?.links ?? []
  if (!isRejection(code) || format < formatWithMeterPoints) return
  const party = readOriginator(buffer, at)
  const srv = readSrv(buffer, at) as Srv
  const outcome = errorId(code)
  const rejection: Rejection = {
    originator: party,
    target: readEui64(buffer, at + offsetOf.target),
    counter: readRequestCounter(buffer, at + offsetOf.counter),
    srv,
    outcome,
    time: now,
    check: failedCheckOf(code),
    contentHash: contentHashOf(srv, readBodyType(buffer, at), requestBodyView(buffer, at)),
    commandVariant: 0,
    directorySequence: sequence,
    rights: links.flatMap(({ point, rights }) =>
      rights === undefined ? [] : [{ point, version: rights.version }],
    ),
  }
  const fact: RequestRejected = { type: 'REQUEST_REJECTED', rejection }
  out.effects.push({
    type: 'RECORD_ONLY',
    fact,
    instead: { party, outcome, isWithinRate: false },
  })
}
