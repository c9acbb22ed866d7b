/**
 * `busbar ledger verify|show`: what the ledger says, for people. Headers only: no reading and
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
import { partitionCountOf, readInOrder } from './ledger-reading.ts'

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
  const audit = new LedgerAudit(trimmed, onLine, await partitionCountOf(ledger))
  await readInOrder(ledger, trimmed.through + 1, (message) => audit.read(message))
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
    const { ticks, frames, facts, accepted, ended, open, deliveries, letters, forgottenThrough } =
      result
    if (forgottenThrough > 0)
      print(`ticks up to ${forgottenThrough} were forgotten, snapshots hold what they said`)
    print(
      `${ticks} ticks, ${frames} frames of ${Object.keys(result.chains).length} partitions, ${facts} facts: ` +
        `${accepted} requests accepted, ${ended} ended, ${open} open; ${deliveries} deliveries, ${letters} letters between actors`,
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

/**
 * Of a RequestID, what is written about the request; of an actor, as an EUI-64 or
 * `kind/octets`, the letters that it has sent or is sent, as far as they are not forgotten.
 * @returns 1 when the ledger knows nothing of it
 */
export async function show(ledger: Ledger, id: string, print: Print): Promise<number> {
  const wanted = id.toUpperCase()
  let count = 0
  await auditOf(ledger, (line) => {
    const isConcerned = line.concerns !== undefined && wanted.startsWith(line.concerns)
    const isOfActor = line.actors?.includes(wanted) === true
    if (line.requestId !== wanted && !isConcerned && !isOfActor) return
    // A reset alone is no trace of the request.
    if (!isConcerned) count++
    print(formatLine(line))
  })
  const what = wanted.includes(':') ? 'request' : 'letters of'
  if (count === 0) print(`the ledger knows no ${what} ${wanted}, or has forgotten it`)
  return count === 0 ? 1 : 0
}
