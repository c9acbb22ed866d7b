/**
 * Messages of Busbar itself, as whole DccAlerts of busbar.v1: the body of a DCC_ALERT envelope.
 * They are rare, so the generated code writes them. Pure.
 */
import { DccAlert, type ScheduleRemovalReason } from '../../proto/gen/busbar/v1/dcc_alert.ts'
import { alertCodeOf, type CountedRequest, type QuarantineReason } from '../access/count-letters.ts'
import type { Threshold } from '../access/thresholds.ts'
import { asBuffer } from '../base/bytes.ts'
import { numberOfCounter, type RequestCounter } from '../base/counter.ts'
import { errorCodeOf, errorTable } from '../base/error-table.ts'
import { textOfEui64, type Eui64 } from '../base/eui64.ts'
import { formatSrv, type Srv } from '../base/srv.ts'
import scheduleCodes from '../schedule/alert-codes.json' with { type: 'json' }
import { RemovalReason } from '../schedule/letters.ts'
import { scheduleOfCounter } from '../schedule/run-counter.ts'

/** A request is in quarantine as `event`, counted from 1 for its party. Owned. */
export function quarantinedBodyOf(
  { originator, device, counter, srv }: CountedRequest,
  event: number,
  reason: QuarantineReason,
  atMs: number,
): Buffer {
  const requestId = {
    originator: textOfEui64(originator),
    target: textOfEui64(device),
    counter: numberOfCounter(counter),
  }
  const value = {
    requestId,
    serviceReferenceVariant: formatSrv(srv),
    quarantineEventNumber: BigInt(event),
    reason,
  }
  const content = { $case: 'quarantinedRequest', value } as const
  return bytesOf(alertCodeOf[reason] ?? '', content, atMs)
}

/** A party has reached the warning of a threshold. Owned. */
export function warningBodyOf(
  { srv, hours, warning, quarantine }: Threshold,
  passed: number,
  atMs: number,
): Buffer {
  const value = {
    serviceReferenceVariant: srv === 0 ? '' : formatSrv(srv),
    windowHours: hours,
    passed,
    warningThreshold: warning,
    quarantineThreshold: quarantine,
  }
  return bytesOf('', { $case: 'thresholdWarning', value }, atMs)
}

/** A request that has ended because of its predecessor in a sequence. */
export type SequenceFailed = {
  readonly request: {
    readonly originator: Eui64
    readonly counter: RequestCounter
    readonly srv: Srv
  }
  readonly device: Eui64
  readonly preceding: RequestCounter
  readonly reason: string
  readonly precedingReason: string
}

/** A request has ended because of its predecessor. Owned. */
export function sequenceFailedBodyOf(
  { request, device, preceding, reason, precedingReason }: SequenceFailed,
  alertCode: string,
  atMs: number,
): Buffer {
  const originator = textOfEui64(request.originator)
  const idOf = (counter: RequestCounter) => ({
    originator,
    target: textOfEui64(device),
    counter: numberOfCounter(counter),
  })
  const value = {
    requestId: idOf(request.counter),
    serviceReferenceVariant: formatSrv(request.srv),
    precedingRequestId: idOf(preceding),
    reason,
    precedingReason,
  }
  return bytesOf(alertCode, { $case: 'sequencedRequestFailure', value }, atMs)
}

const { failedRun, removal, misses } = scheduleCodes
const failedRunCodes: Readonly<Record<string, string>> = failedRun

/** The run of a schedule has failed. Owned. */
export function failedRunBodyOf(
  { originator, counter }: { originator: Eui64; counter: RequestCounter },
  device: Eui64,
  outcome: number,
  atMs: number,
): Buffer {
  const number = numberOfCounter(counter)
  const code = errorCodeOf(outcome)
  const target = textOfEui64(device)
  const value = {
    requestId: { originator: textOfEui64(originator), target, counter: number },
    scheduleId: BigInt(scheduleOfCounter(number)),
    device: target,
    reason: code ?? `OUTCOME_${outcome}`,
  }
  const alertCode = failedRunCodes[code === undefined ? '' : errorTable[code].duis]
  return bytesOf(alertCode ?? failedRun.other, { $case: 'commandFailure', value }, atMs)
}

/** A schedule has ended by itself. Owned. */
export function removalBodyOf(
  device: Eui64,
  id: number,
  reason: RemovalReason,
  atMs: number,
): Buffer {
  const number = (RemovalReason.indexOf(reason) + 1) as ScheduleRemovalReason
  const value = { device: textOfEui64(device), scheduleId: BigInt(id), reason: number }
  return bytesOf(removal[reason], { $case: 'scheduleRemoval', value }, atMs)
}

/** Runs of a schedule were missed. Owned. */
export function missesBodyOf(
  device: Eui64,
  id: number,
  { count, firstMs, lastMs }: { count: number; firstMs: number; lastMs: number },
  atMs: number,
): Buffer {
  const value = {
    device: textOfEui64(device),
    scheduleId: BigInt(id),
    count,
    firstDueAt: new Date(firstMs),
    lastDueAt: new Date(lastMs),
  }
  return bytesOf(misses, { $case: 'scheduleMisses', value }, atMs)
}

const bytesOf = (
  alertCode: string,
  content: NonNullable<DccAlert['content']>,
  atMs: number,
): Buffer => asBuffer(DccAlert.encode({ alertCode, time: new Date(atMs), content }).finish())
