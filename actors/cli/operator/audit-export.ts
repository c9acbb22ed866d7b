/**
 * `busbar audit export`: what the ledger says of a party, a device or a meter point in a period, as
 * JSON lines; no reading and no secret. The last line says what was read: the positions, and where
 * each hash chain ends there, so that the ledger can be held against it later.
 */
import { trimRecordOf } from '../../runtime/recovery/trimmed-history.ts'
import type { Ledger } from '../../../core/ports/ledger.ts'
import type { AuditLine } from './audit-line.ts'
import { LedgerAudit } from './ledger-audit.ts'
import { partitionCountOf, readInOrder } from './ledger-reading.ts'

export type ExportQuery = {
  /** Texts as Busbar prints them; all that are given must fit. */
  party?: string | undefined
  device?: string | undefined
  meterPoint?: string | undefined
  /** UTC ms, `to` left out. */
  fromMs: number
  toMs: number
}

/** @returns the exit code: 1 when the ledger does not hold together, or has forgotten meanwhile */
export async function exportAudit(
  ledger: Ledger,
  query: ExportQuery,
  print: (line: string) => void,
): Promise<number> {
  const trimmed = await trimRecordOf(ledger)
  let lines = 0
  const onLine = (line: AuditLine): void => {
    if (!isWanted(line, query)) return
    lines++
    print(lineJson(line))
  }
  const audit = new LedgerAudit(trimmed, onLine, await partitionCountOf(ledger))
  await readInOrder(ledger, trimmed.through + 1, (message) => audit.read(message))
  const { lastSequence, forgottenThrough, chains, faults } = audit.result()
  const isWhole = (await trimRecordOf(ledger)).through === trimmed.through
  const read = { lines, forgottenThrough, lastSequence, chains, faults, isWhole }
  print(JSON.stringify({ export: read }))
  return faults.length === 0 && isWhole ? 0 : 1
}

function lineJson({ sequence, time, partition, device, requestId, what }: AuditLine): string {
  return JSON.stringify({
    ledgerPosition: sequence,
    time: new Date(time).toISOString(),
    ...(partition !== undefined && { partition }),
    actor: device,
    ...(requestId !== undefined && { requestId }),
    what,
  })
}

export function isWanted(line: AuditLine, query: ExportQuery): boolean {
  const { party, device, meterPoint, fromMs, toMs } = query
  if (line.time < fromMs || line.time >= toMs) return false
  return (
    (party === undefined || isOfParty(line, party)) &&
    (device === undefined || isOfDevice(line, device)) &&
    (meterPoint === undefined || isOfMeterPoint(line, meterPoint))
  )
}

/** The party's own record, requests of it, and what was delivered to it. */
const isOfParty = ({ device, requestId, concerns, what }: AuditLine, party: string): boolean =>
  device === party ||
  requestId?.startsWith(`${party}:`) === true ||
  concerns?.startsWith(`${party}:`) === true ||
  what.includes(` to ${party}`)

const isOfDevice = (line: AuditLine, device: string): boolean =>
  line.device === device ||
  line.requestId?.includes(`:${device}:`) === true ||
  line.actors?.includes(device) === true ||
  line.what.includes(device)

/** Facts of the meter point, and those of devices that name it. */
const isOfMeterPoint = ({ device, what }: AuditLine, point: string): boolean =>
  device === point || what.includes(point)
