/**
 * `busbar inventory`, `devices list`, `devices show` and `usage`: what views answer at an
 * operators' door, for people and, as one line of JSON, for scripts.
 */
import { textOfCause } from '../../device/cause.ts'
import { formatHostPort } from '../../../core/base/host-port.ts'
import type { ErrorCode } from '../../../core/base/error-table.ts'
import { limits } from '../../../core/base/limits.ts'
import type { InventoryJson, Page, UsageJson } from '../../views/queries.ts'
import { tableOf } from '../table.ts'
import { askDoor } from './ask-door.ts'

type Print = (line: string) => void
type Query = Record<string, string | undefined>
type Missing = Array<{ from: string | null; to: string | null }>
type Lag = { lagTicks: number }

export type DevicesAsked = {
  /** The older name of devices, when left out. */
  path?: '/v1/inventory' | '/v1/devices'
  eui64: string | undefined
  query: Query
  limit: number
}

/** Prints the devices that fit `query`, at most `limit`, or the one of `eui64`. */
export async function inventoryCommand(
  ops: string,
  { path = '/v1/inventory', eui64, query, limit }: DevicesAsked,
  print: Print,
  isJson: boolean,
): Promise<void> {
  const { rows, next, lagTicks } =
    eui64 === undefined
      ? await pages<InventoryJson, object>(ops, path, query, limit)
      : await ask<InventoryJson & Lag>(ops, `${path}/${encodeURIComponent(eui64)}`, {}).then(
          ({ lagTicks: lag, ...row }) => ({ rows: [row], next: null, lagTicks: lag }),
        )
  if (isJson) return print(JSON.stringify({ devices: rows, next, lagTicks }))
  const head = ['device', 'type', 'address', 'since', 'partition', 'open', 'last outcome', 'at']
  const table = rows.map(({ address, lastOutcome: last, ...row }) => [
    row.eui64,
    row.type,
    `${formatHostPort(address.host, address.port)}/${address.logicalDevice}`,
    row.since ?? '-',
    row.partition,
    row.openRequests,
    last === null ? '-' : `${last.code} ${last.outcome}`,
    last?.at ?? '-',
  ])
  for (const line of tableOf([head, ...table])) print(line)
  for (const { eui64: device, fault } of rows)
    if (fault !== null) print(`${device} fails since its last success: ${textOfFault(fault)}`)
  if (next !== null) print(`more: --after ${next}`)
  sayLag(lagTicks, print)
}

/** The cause of the last attempt. */
function textOfFault(fault: NonNullable<InventoryJson['fault']>): string {
  const { code, detail, counterReceived, counterExpected, at } = fault
  const cause = {
    code: code as ErrorCode,
    detail,
    counterReceived: counterReceived ?? undefined,
    counterExpected: counterExpected ?? undefined,
  }
  return `${textOfCause(cause)}, at ${at}`
}

/** Prints all counts that fit `query`. */
export async function usageCommand(
  ops: string,
  query: Query,
  print: Print,
  isJson: boolean,
): Promise<void> {
  type Beside = { missing: Missing }
  const found = await pages<UsageJson, Beside>(ops, '/v1/usage', query, Infinity)
  const { rows, missing, lagTicks } = found
  if (isJson) return print(JSON.stringify({ usage: rows, missing, lagTicks }))
  const table = rows.map(({ day, party, serviceReferenceVariant, code, outcome, count }) => [
    day,
    party,
    serviceReferenceVariant,
    `${code} ${outcome}`,
    count,
  ])
  for (const line of tableOf([['day', 'party', 'srv', 'outcome', 'count'], ...table])) print(line)
  for (const { from, to } of missing)
    print(`NOT COUNTED: from ${from ?? 'the beginning'} to ${to ?? 'now'}, forgotten by the ledger`)
  sayLag(lagTicks, print)
}

function sayLag(lagTicks: number, print: Print): void {
  if (lagTicks > 0) print(`${lagTicks} ticks are not in it yet`)
}

/** Rows of as many pages as it takes, and what else the last of them says. */
async function pages<Row, Beside>(
  ops: string,
  path: string,
  query: Query,
  limit: number,
): Promise<Page<Row> & Beside & Lag> {
  const rows: Row[] = []
  let { after } = query
  for (;;) {
    const left = Math.min(limit - rows.length, limits.viewsPageRowsMax)
    const wanted = { ...query, after, limit: String(left) }
    const page = await ask<Page<Row> & Beside & Lag>(ops, path, wanted)
    rows.push(...page.rows)
    if (page.next === null || rows.length >= limit) return { ...page, rows }
    after = page.next
  }
}

/** @throws OperatorFault when nobody listens there, or no views, or with what the door says */
function ask<Answer>(ops: string, path: string, query: Query): Promise<Answer> {
  const given = Object.entries(query).filter((one): one is [string, string] => one[1] !== undefined)
  const otherwise = `the process at ${ops} has no views: start one with the role views, or name its door with --ops`
  return askDoor(ops, 'GET', `${path}?${new URLSearchParams(given).toString()}`, { otherwise })
}
