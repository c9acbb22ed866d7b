/**
 * `busbar thresholds load|show` and `busbar quarantine list|release|delete`, at the operators' door
 * of a broker. Parties release and delete at their own doors.
 */
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { ApprovalJson, WaitingAnswer } from '../../broker/approvals-door.ts'
import type {
  LoadedJson,
  QuarantineJson,
  ResolvedJson,
  ThresholdsJson,
} from '../../broker/threshold-door.ts'
import { limits } from '../../../core/base/limits.ts'
import { OperatorFault } from '../operator-fault.ts'
import { addOpsOption, type Print, whoIsHere } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { waitingSentence } from './approvals-commands.ts'
import { askDoor } from './ask-door.ts'

type Options = { ops: string; json: boolean; by?: string }

const fileHelp = `
A thresholds file is text, one line a row. The first line has the number of the file, which rises
with each; the file replaces what the parties that it names had before:

  busbar-thresholds,1,42
  90-B3-D5-1F-30-01-00-00,*,1h,800,1000      party, variant or *, window, warning, quarantine
  90-B3-D5-1F-30-01-00-00,6.11,1d,40,50
  90-B3-D5-1F-30-02-00-00,none               no thresholds any more
  *,*,1d,90000,100000                        over all parties
  limit,6.11,tolerance_seconds,1,3600        variant, value in the body, least, most

Windows are hours (1h) or days (1d) and follow one another from 1970-01-01 UTC. The excess over the
quarantine threshold goes to quarantine, see \`busbar quarantine --help\`.`

const quarantineHelp = `
A request in quarantine waits at its device until it is released or deleted, at most until its
deadline. A released request is not counted again; it goes to the end of its lane. The party does
the same at its own doors: ReleaseQuarantined and DeleteQuarantined, or over HTTP
POST /v1/service-requests/{id}/quarantine/release and /delete.`

export function addThresholdCommands(program: Command, { out }: { out: Print }): void {
  const thresholds = program
    .command('thresholds')
    .description('how much parties may send before the excess goes to quarantine')
    .addHelpText('after', fileHelp)
  addLoad(thresholds, out)
  addShow(thresholds, out)
  const quarantine = program
    .command('quarantine')
    .description('requests that anomaly detection holds back')
    .addHelpText('after', quarantineHelp)
  addList(quarantine, out)
  addAction(quarantine, 'release', 'let requests go on to their devices', out)
  addAction(quarantine, 'delete', 'end requests in quarantine', out)
}

const opsText = "a broker's operators' door"

function addLoad(thresholds: Command, out: Print): void {
  addOpsOption(thresholds.command('load'), opsText)
    .description('load a thresholds file')
    .argument('<file>', 'thresholds file')
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .option('--json', 'one line of JSON', false)
    .action(async (path: string, { ops, json, by }: Options) => {
      const file = await readFile(path, 'utf8').catch((cause: unknown) => {
        throw new OperatorFault(`${path} cannot be read: ${String(cause)}`, { cause })
      })
      const body = { file, by: by ?? whoIsHere() }
      const loaded = await askDoor<LoadedJson>(ops, 'POST', '/v1/thresholds', { body })
      if (json) return out(JSON.stringify(loaded))
      out(`file ${loaded.file} is loaded, SHA-256 ${loaded.sha256}`)
      for (const party of loaded.parties) out(`  ${party === '*' ? 'all parties' : party}`)
    })
}

function addShow(thresholds: Command, out: Print): void {
  addOpsOption(thresholds.command('show'), opsText)
    .description('thresholds, and what has passed in the open window of each')
    .option('--party <eui64>', 'of this party alone; * for those over all parties')
    .option('--json', 'one line of JSON', false)
    .action(async ({ ops, json, party }: Options & { party?: string }) => {
      const query = party === undefined ? '' : `?${new URLSearchParams({ party })}`
      const answer = await askDoor<ThresholdsJson>(ops, 'GET', `/v1/thresholds${query}`)
      if (json) return out(JSON.stringify(answer))
      printThresholds(answer, out)
    })
}

function printThresholds({ thresholds, valueLimits }: ThresholdsJson, out: Print): void {
  const rows = thresholds.map((one) => [
    one.party,
    one.variant,
    `${one.hours}h`,
    one.windowFrom,
    String(one.passed),
    String(one.warning),
    String(one.quarantine),
  ])
  const heads = ['party', 'variant', 'window', 'from', 'passed', 'warning', 'quarantine']
  if (rows.length === 0 && valueLimits.length === 0) out('no thresholds are set')
  if (rows.length > 0) for (const line of tableOf([heads, ...rows])) out(line)
  for (const { variant, field, min, max } of valueLimits)
    out(`${variant} ${field}: ${min} to ${max}`)
}

function addList(quarantine: Command, out: Print): void {
  addOpsOption(quarantine.command('list'), opsText)
    .description('what a party has in quarantine')
    .argument('<eui64>', 'party')
    .option('--json', 'one line of JSON', false)
    .action(async (party: string, { ops, json }: Options) => {
      const { held, requests } = await allOf(party, ops)
      if (json) return out(JSON.stringify({ party, held, requests }))
      const rows = requests.map(({ event, requestId, variant, alertCode, at }) => [
        String(event),
        requestId,
        variant,
        alertCode,
        at,
      ])
      if (rows.length === 0) return out('nothing is in quarantine')
      for (const line of tableOf([['event', 'RequestID', 'variant', 'alert', 'since'], ...rows]))
        out(line)
    })
}

/** All pages of the list. */
async function allOf(
  party: string,
  ops: string,
): Promise<Pick<QuarantineJson, 'held' | 'requests'>> {
  const path = `/v1/parties/${encodeURIComponent(party)}/quarantine`
  const first = await askDoor<QuarantineJson>(ops, 'GET', path)
  const requests = [...first.requests]
  for (const page of first.pages.slice(1))
    requests.push(...(await askDoor<QuarantineJson>(ops, 'GET', `${path}?page=${page}`)).requests)
  return { held: first.held, requests }
}

type ActionOptions = Options & { party?: string; event?: string[] }

function addAction(
  quarantine: Command,
  word: 'release' | 'delete',
  text: string,
  out: Print,
): void {
  addOpsOption(quarantine.command(word), opsText)
    .description(text)
    .argument('[requestIds...]', 'RequestIDs: originator:target:counter')
    .option('--party <eui64>', 'all that this party has in quarantine, or the events named')
    .option('--event <number...>', 'events of the quarantine of --party')
    .option('--by <name>', 'who does it, for the ledger; the user of this machine when left out')
    .option('--json', 'one line of JSON', false)
    .action(async (ids: string[], options: ActionOptions) => {
      const { ops, json, by = whoIsHere() } = options
      const requestIds = [...ids, ...(await namedBy(options))]
      if (requestIds.length === 0) throw new OperatorFault('no request in quarantine is named')
      const done: ResolvedJson = { done: [], refused: [] }
      const waiting: ApprovalJson[] = []
      // As many as one approval may hold, where the broker wants one.
      for (let from = 0; from < requestIds.length; from += limits.approvalRequestsMax) {
        const body = { requestIds: requestIds.slice(from, from + limits.approvalRequestsMax), by }
        const path = `/v1/quarantine/${word}`
        const some = await askDoor<ResolvedJson | WaitingAnswer>(ops, 'POST', path, { body })
        if ('approval' in some) {
          waiting.push(some.approval)
          continue
        }
        done.done.push(...some.done)
        done.refused.push(...some.refused)
      }
      if (json) out(JSON.stringify(waiting.length > 0 ? { approvals: waiting } : done))
      else {
        for (const one of waiting) out(waitingSentence(one))
        if (waiting.length === 0) out(`${done.done.length} ${word}d`)
        for (const { requestId, code } of done.refused) out(`${requestId}  ${code}`)
      }
      if (done.refused.length > 0) process.exitCode = 1
    })
}

/** The RequestIDs of `--party`, of its events `--event` when some are named. */
async function namedBy({ ops, party, event }: ActionOptions): Promise<string[]> {
  if (party === undefined) {
    if (event !== undefined) throw new OperatorFault('--event needs --party')
    return []
  }
  const { requests } = await allOf(party, ops)
  const wanted = event && new Set(event)
  return requests
    .filter((one) => wanted?.has(String(one.event)) ?? true)
    .map(({ requestId }) => requestId)
}
