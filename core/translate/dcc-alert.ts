/**
 * Messages of Busbar itself, as whole DccAlerts of busbar.v1: the body of a DCC_ALERT envelope.
 * They are rare, so the generated code writes them. Pure.
 */
import { DccAlert } from '../../proto/gen/busbar/v1/dcc_alert.ts'
import { alertCodeOf, type CountedRequest, type QuarantineReason } from '../access/count-letters.ts'
import type { Threshold } from '../access/thresholds.ts'
import { asBuffer } from '../base/bytes.ts'
import { numberOfCounter } from '../base/counter.ts'
import { textOfEui64 } from '../base/eui64.ts'
import { formatSrv } from '../base/srv.ts'

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

const bytesOf = (
  alertCode: string,
  content: NonNullable<DccAlert['content']>,
  atMs: number,
): Buffer => asBuffer(DccAlert.encode({ alertCode, time: new Date(atMs), content }).finish())
