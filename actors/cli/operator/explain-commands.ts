/** `busbar explain` and `busbar rejections`: why requests were accepted or rejected. */
import type { Command } from 'commander'
import type { ExplanationJson } from '../../broker/explain-door.ts'
import type { ExplainedDecision } from '../../broker/explanation.ts'
import type { RejectionJson, RejectionPage } from '../../broker/rejection-list.ts'
import { addOpsOption, wholeNumber, type Print } from '../shared-options.ts'
import { tableOf } from '../table.ts'
import { askDoor } from './ask-door.ts'

const afterExplain = `
Reads the ledger from its beginning, as far as it is kept: on a large ledger this takes a while. Exit
codes: 0 explained; 1 the ledger says nothing of the request.`

type Options = { ops: string; json: boolean }

export function addExplainCommands(program: Command, { out }: { out: Print }): void {
  addOpsOption(program.command('explain'), "a broker's operators' door")
    .description('why was a request accepted or rejected, and what became of it?')
    .argument('<requestId>', 'originator:target:counter')
    .option('--json', 'one line of JSON', false)
    .addHelpText('after', afterExplain)
    .action(async (requestId: string, { ops, json }: Options) => {
      const path = `/v1/requests/${encodeURIComponent(requestId)}/explanation`
      const answer = await askDoor<ExplanationJson>(ops, 'GET', path)
      if (json) return out(JSON.stringify(answer))
      for (const line of explanationText(answer)) out(line)
    })
  addRejectionsCommand(program, out)
}

type ListOptions = Options & {
  party?: string
  code?: string
  from?: string
  to?: string
  after?: string
  limit?: number
}

function addRejectionsCommand(program: Command, out: Print): void {
  const rejections = program.command('rejections').description('requests that were rejected')
  addOpsOption(rejections.command('list'), "a broker's operators' door")
    .description('rejections in the ledger, oldest first: one by one, or counted by the minute')
    .option('--party <eui64>', 'of this party')
    .option('--code <code>', 'with this code, such as PARTY_NOT_REGISTERED')
    .option('--from <time>', 'not before this day or time, UTC')
    .option('--to <time>', 'before this day or time, UTC')
    .option('--limit <count>', 'so many at most; 100 when left out', wholeNumber)
    .option('--after <place>', 'the next page: what the page before has printed')
    .option('--json', 'one line of JSON', false)
    .action(async ({ ops, json, ...asked }: ListOptions) => {
      const query = new URLSearchParams()
      for (const [name, value] of Object.entries(asked)) query.set(name, String(value))
      const page = await askDoor<RejectionPage>(ops, 'GET', `/v1/rejections?${query}`)
      if (json) return out(JSON.stringify(page))
      for (const line of pageText(page)) out(line)
    })
}

function pageText({ rejections, next, forgottenThrough }: RejectionPage): string[] {
  if (rejections.length === 0) return [`no rejections${forgottenWords(forgottenThrough)}`]
  const rows = rejections.map((one) => [one.ledgerPosition, ...cellsOf(one)])
  const header = ['position', 'time', 'code', 'request']
  const more = next === undefined ? [] : [`more: --after ${next}`]
  return [...tableOf([header, ...rows]), ...more]
}

function cellsOf(one: RejectionJson): string[] {
  if ('requestId' in one) return [one.time, one.code, one.requestId]
  const who = one.party ?? `unknown callers over ${one.addressFamily ?? 'any address'}`
  return [one.from, one.code, `${one.count} of ${who} until ${one.to}`]
}

const forgottenWords = (through: number): string =>
  through === 0 ? '' : `; the ledger has forgotten what stood up to position ${through}`

function explanationText(answer: ExplanationJson): string[] {
  const { requestId, decisions, events, counted, forgottenThrough } = answer
  const lines = [requestId, ...decisions.flatMap((one) => ['', ...decisionText(one)])]
  if (events.length > 0) {
    const rows = events.map(({ time, what, ledgerPosition }) => [
      time,
      `${what} (ledger position ${ledgerPosition})`,
    ])
    lines.push('', 'What became of it:', ...tableOf(rows))
  }
  if (decisions.length === 0 && counted.length > 0) lines.push('', ...countedText(counted))
  if (forgottenThrough > 0)
    lines.push('', `The ledger has forgotten what stood up to position ${forgottenThrough}.`)
  return lines
}

function decisionText(decision: ExplainedDecision): string[] {
  const { result, code, message, decidedBy, decidedAt, ledgerPosition, sentBy } = decision
  const by = decidedBy === 'device' ? "the device's actor" : 'a gateway'
  const what = code === undefined ? result : `${result} with ${code}: ${message}`
  const rows = decision.checks.flatMap(({ id, result: passed, ground, facts }) => [
    [id, passed, ground],
    ...facts.map((fact) => ['', '', `  ${fact.what} (ledger position ${fact.ledgerPosition})`]),
  ])
  return [
    `${decision.serviceReferenceVariant} of ${sentBy}: ${what}`,
    `decided by ${by} at ${decidedAt} (ledger position ${ledgerPosition})`,
    ...tableOf([['check', 'result', 'ground'], ...rows]),
  ]
}

const countsShown = 10

function countedText(counted: ExplanationJson['counted']): string[] {
  const rows = counted
    .slice(-countsShown)
    .map(({ code, count, from, to }) => [from, to, code, `${count} times`])
  return [
    'The ledger has no record of this request by itself. These rejections of its originator were',
    'counted only; the request may be one of them:',
    ...tableOf(rows),
  ]
}
