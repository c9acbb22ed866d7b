/**
 * `busbar ledger verify|tail|show`: what the ledger says, for people. Headers only: no reading and
 * no secret is ever printed.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { trimRecordOf } from '../../runtime/recovery/trimmed-history.ts'
import type { Ledger } from '../../../core/ports/ledger.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import {
  formatReplicaFault,
  type ReplicaComparison,
  type ReplicaSource,
} from '../../../core/ports/replicas.ts'
import { untrimmed } from '../../../core/ports/snapshot.ts'
import { compareReplicas } from '../../replicas/comparison.ts'
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

/**
 * Compares the servers' copies. Of a single one, only what a reader of it cannot see is told: the
 * audit checks its chains.
 * @throws BrokerError BROKER_LEDGER_UNAVAILABLE
 */
async function compareCopies(
  ledger: Ledger,
  source: ReplicaSource,
): Promise<ReplicaComparison | undefined> {
  const found = await compareReplicas({ ledger, source, clock: systemClock, restMs: 0 })
  if (found === undefined || found.compared.length > 1) return found
  return { ...found, faults: found.faults.filter(({ what }) => what !== 'chain') }
}

/**
 * Reads the ledger as its readers do, which is one replica's copy, then each replica's copy.
 * @returns the exit code: 1 when something does not hold
 */
export async function verify(
  ledger: Ledger,
  print: Print,
  isJson: boolean,
  source?: ReplicaSource,
): Promise<number> {
  const comparison = source && (await compareCopies(ledger, source))
  const result = await auditOf(ledger).catch((fault: unknown) => {
    // A reader on a damaged copy may not get to the end; which copy that is has just been found.
    if ((comparison?.faults.length ?? 0) === 0 || !(fault instanceof BrokerError)) throw fault
    const unread = new LedgerAudit(untrimmed).result()
    return { ...unread, faults: [`the ledger cannot be read to its end: ${fault.detail}`] }
  })
  const { faults: differences = [], moreFaults = 0 } = comparison ?? {}
  const faultCount = result.faults.length + differences.length + moreFaults
  const isWhole = faultCount === 0
  if (isJson) print(JSON.stringify({ ...result, ...(comparison && { replicas: comparison }) }))
  else {
    for (const fault of result.faults) print(`FAULT  ${fault}`)
    if (comparison !== undefined) for (const line of comparisonText(comparison)) print(line)
    const { ticks, frames, facts, accepted, ended, open, deliveries, forgottenThrough } = result
    if (forgottenThrough > 0)
      print(`ticks up to ${forgottenThrough} were forgotten, snapshots hold what they said`)
    print(
      `${ticks} ticks, ${frames} frames of ${Object.keys(result.chains).length} partitions, ${facts} facts: ` +
        `${accepted} requests accepted, ${ended} ended, ${open} open; ${deliveries} deliveries`,
    )
    print(
      isWhole ? 'every hash chain holds' : `${faultCount} faults: ${adviceOf(result, comparison)}`,
    )
  }
  return isWhole ? 0 : 1
}

/** What to do: a copy that is whole repairs the others. */
function adviceOf({ faults }: AuditResult, comparison: ReplicaComparison | undefined): string {
  const damaged = new Set(comparison?.damaged)
  const whole = comparison?.compared.filter((server) => !damaged.has(server)) ?? []
  if (damaged.size > 0 && !damaged.has(undefined) && whole.length > 0)
    return `${whole.join(', ')} ${whole.length === 1 ? 'has' : 'have'} a whole copy; on the servers named, one after the other: stop nats-server, remove the folder jetstream from its store_dir, start it, and verify again`
  return faults.length > 0
    ? 'the partitions named are not served behind them; restore from a backup or a replica'
    : 'restore from a backup'
}

function comparisonText(comparison: ReplicaComparison): string[] {
  const { compared, notCompared, faults, moreFaults, throughSequence } = comparison
  return [
    ...faults.map((fault) => `FAULT  ${formatReplicaFault(fault)}`),
    ...(moreFaults > 0 ? [`FAULT  ${moreFaults} more`] : []),
    `replicas of ${compared.join(', ') || 'no server'} were compared through ${throughSequence}`,
    ...notCompared.map((server) => `the replica of ${server} could not be read`),
  ]
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

/**
 * Prints what is written from `from` on (0: from now on), at most `count` lines; settles then, or
 * when `until` does.
 */
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
