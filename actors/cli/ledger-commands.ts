/** `busbar ledger verify|tail|show`: what the ledger says, for people. Headers only: no reading and no secret is ever printed. */
import { trimRecordOf } from '../runtime/past.ts'
import type { Ledger } from '../../core/ports/ledger.ts'
import { untrimmed } from '../../core/ports/snapshot.ts'
import { LedgerAudit, type AuditLine, type AuditResult } from './ledger-audit.ts'

type Print = (line: string) => void

export const formatLine = ({
  sequence,
  time,
  partition,
  device,
  requestId,
  what,
}: AuditLine): string =>
  `${sequence}  ${new Date(time).toISOString()}  ${partition ?? '-'}  ${requestId ?? device}  ${what}`

/** Reads all ticks; those that are forgotten meanwhile make it begin again. */
export async function auditOf(
  ledger: Ledger,
  onLine?: (line: AuditLine) => void,
): Promise<AuditResult> {
  const trimmed = await trimRecordOf(ledger)
  const audit = new LedgerAudit(trimmed, onLine)
  await ledger.read('log.*', trimmed.through + 1, (message) => audit.read(message))
  const { through } = await trimRecordOf(ledger)
  // Forgotten while it was read, the chains seem broken.
  return through === trimmed.through ? audit.result() : auditOf(ledger, onLine)
}

/** @returns the exit code: 1 when something does not hold */
export async function verify(ledger: Ledger, print: Print, isJson: boolean): Promise<number> {
  const result = await auditOf(ledger)
  if (isJson) print(JSON.stringify(result))
  else {
    for (const fault of result.faults) print(`FAULT  ${fault}`)
    const { ticks, frames, facts, accepted, ended, open, deliveries, forgottenThrough } = result
    if (forgottenThrough > 0)
      print(`ticks up to ${forgottenThrough} were forgotten, snapshots hold what they said`)
    print(
      `${ticks} ticks, ${frames} frames of ${Object.keys(result.chains).length} partitions, ${facts} facts: ` +
        `${accepted} requests accepted, ${ended} ended, ${open} open; ${deliveries} deliveries`,
    )
    print(
      result.faults.length === 0
        ? 'every hash chain holds'
        : `${result.faults.length} faults: the partitions named are not served behind them; restore from a backup or a replica`,
    )
  }
  return result.faults.length === 0 ? 0 : 1
}

/** @returns 1 when the ledger knows nothing of `requestId` */
export async function show(ledger: Ledger, requestId: string, print: Print): Promise<number> {
  const wanted = requestId.toUpperCase()
  let count = 0
  await auditOf(ledger, (line) => {
    const isConcerned = line.concerns !== undefined && wanted.startsWith(line.concerns)
    if (line.requestId !== wanted && !isConcerned) return
    // A reset alone is no trace of the request.
    if (!isConcerned) count++
    print(formatLine(line))
  })
  if (count === 0) print(`the ledger knows no request ${wanted}, or has forgotten it`)
  return count === 0 ? 1 : 0
}

/** Prints what is written from `from` on (0: from now on), at most `count` lines; settles then, or when `until` does. */
export async function tail(
  ledger: Ledger,
  {
    from,
    count,
    print,
    until,
  }: { from: number; count: number; print: Print; until: Promise<unknown> },
): Promise<void> {
  const start = from > 0 ? from : ((await ledger.lastOn('log.*'))?.sequence ?? 0) + 1
  let left = count
  const { promise: enough, resolve } = Promise.withResolvers<void>()
  const audit = new LedgerAudit(untrimmed, (line) => {
    if (left-- > 0) print(formatLine(line))
    if (left <= 0) resolve()
  })
  const follower = await ledger.follow('log.*', start, (message) => audit.readLines(message))
  await Promise.race([until, enough])
  await follower.close()
}
