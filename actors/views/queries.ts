/**
 * What operators ask of views: their words in, rows as JSON out, a page at a time. Pure but for the
 * store that is read.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorCodeOf, errorTable, type ErrorCode } from '../../core/base/error-table.ts'
import { readEui64, textOfEui64, parseEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { formatSrv } from '../../core/base/srv.ts'
import { DeviceType } from '../../core/inventory/device-record.ts'
import type { RowStore, StoredRow } from '../../core/ports/rows.ts'
import {
  dayMs,
  standingIn,
  deviceKeyOf,
  deviceOf,
  deviceRange,
  deviceRowIn,
  usageKeyFrom,
  usageRange,
  usageRowIn,
  type DeviceRow,
  type PublicAddress,
  type UsageRow,
} from './rows.ts'

export type InventoryJson = {
  eui64: string
  type: string
  address: PublicAddress
  /** ISO 8601, of its first registration; null when that is not known. */
  since: string | null
  partition: number
  openRequests: number
  /** How its last request ended; null before the first. */
  lastOutcome: { outcome: string; code: string; at: string } | null
  /**
   * Why exchanges fail, until one succeeds: the cause of the last attempt, and the invocation
   * counters where they are the cause.
   */
  fault: {
    code: string
    detail: string
    counterReceived: number | null
    counterExpected: number | null
    at: string
  } | null
}
/**
 * `code` is I99 for requests that were accepted, else what they ended with; `outcome` is its row of
 * the error table.
 */
export type UsageJson = {
  day: string
  party: string
  serviceReferenceVariant: string
  outcome: string
  code: string
  count: number
}
/**
 * Some rows; more may follow behind `next`, to be given as `after`, even when there are none here:
 * so much was looked at.
 */
export type Page<Json> = { rows: Json[]; next: string | null }
export type InventoryQuery = {
  from: Buffer
  to: Buffer
  type: DeviceType | undefined
  isOutcome: ((outcome: number) => boolean) | undefined
  openMin: number
  limit: number
}
export type UsageQuery = { from: Buffer; to: Buffer; party: Eui64 | undefined; limit: number }

const pageRowsDefault = 100

/** Parameters as they came, each taken once; what is left over is a fault. */
class Parameters {
  private readonly given: Map<string, unknown>
  private readonly faults: string[] = []

  constructor(query: unknown) {
    this.given = new Map(Object.entries(query ?? {}))
  }

  /**
   * What `read` makes of the parameter, undefined when it is not given or `read` gives nothing,
   * which is a fault.
   */
  take<Value>(
    name: string,
    mustBe: string,
    read: (text: string) => Value | undefined,
  ): Value | undefined {
    const text = this.given.get(name)
    this.given.delete(name)
    if (text === undefined) return undefined
    const value = typeof text === 'string' ? read(text) : undefined
    if (value === undefined) this.faults.push(`${name} must be ${mustBe}`)
    return value
  }

  count(name: string, max: number): number | undefined {
    return this.take(name, `a whole number from 1 to ${max}`, (text) =>
      /^\d{1,9}$/.test(text) && Number(text) >= 1 && Number(text) <= max ? Number(text) : undefined,
    )
  }

  /** @throws BrokerError VIEW_QUERY_INVALID, naming every fault */
  end(): void {
    for (const name of this.given.keys())
      this.faults.push(`${name.slice(0, 40)} is not a parameter`)
    if (this.faults.length > 0)
      throw new BrokerError('VIEW_QUERY_INVALID', this.faults.slice(0, 10).join('; '))
  }
}

/** @throws BrokerError VIEW_QUERY_INVALID */
export function inventoryQueryOf(query: unknown): InventoryQuery {
  const parameters = new Parameters(query)
  let [from, to] = deviceRange as readonly [Buffer, Buffer]
  const type = parameters.take('type', `one of ${DeviceType.join(', ')}`, (text) =>
    DeviceType.find((known) => known === text),
  )
  const prefix = parameters.take('eui64', 'up to sixteen hexadecimal digits', (text) => {
    const digits = text.replaceAll(/[-:]/g, '')
    return /^[0-9a-fA-F]{1,16}$/.test(digits) ? digits : undefined
  })
  if (prefix !== undefined) {
    from = deviceKeyOf(keyOfDigits(prefix.padEnd(16, '0')))
    to = behind(deviceKeyOf(keyOfDigits(prefix.padEnd(16, 'F'))))
  }
  const isOutcome = parameters.take('outcome', 'a code, such as E20 or DEVICE_SILENT', outcomeIn)
  const openMin = parameters.count('open', limits.deviceQueueMax) ?? 0
  const after = parameters.take('after', 'an EUI-64', eui64In)
  if (after !== undefined) from = later(from, behind(deviceKeyOf(after)))
  const limit = parameters.count('limit', limits.viewsPageRowsMax) ?? pageRowsDefault
  parameters.end()
  return { from, to, type, isOutcome, openMin, limit }
}

/** @throws BrokerError VIEW_QUERY_INVALID */
export function usageQueryOf(query: unknown): UsageQuery {
  const parameters = new Parameters(query)
  let [from, to] = usageRange as readonly [Buffer, Buffer]
  const fromDay = parameters.take('from', 'a day, such as 2026-11-01', dayIn)
  if (fromDay !== undefined) from = usageKeyFrom(fromDay)
  const toDay = parameters.take('to', 'the day behind the last one, such as 2026-12-01', dayIn)
  if (toDay !== undefined) to = usageKeyFrom(toDay)
  const party = parameters.take('party', 'an EUI-64', eui64In)
  const after = parameters.take('after', 'what the page before gave as next', (text) =>
    /^02[0-9a-f]{36}$/.test(text) ? Buffer.from(text, 'hex') : undefined,
  )
  if (after !== undefined) from = later(from, behind(after))
  const limit = parameters.count('limit', limits.viewsPageRowsMax) ?? pageRowsDefault
  parameters.end()
  if (fromDay !== undefined && toDay !== undefined && toDay <= fromDay)
    throw new BrokerError('VIEW_QUERY_INVALID', 'to must be behind from')
  return { from, to, party, limit }
}

export function inventoryPage(
  store: RowStore,
  { from, to, type, isOutcome, openMin, limit }: InventoryQuery,
): Page<InventoryJson> {
  return pageOf(
    store.range(from, to),
    limit,
    ({ key, value }) => {
      const row = deviceRowIn(value)
      if (type !== undefined && row.type !== type) return undefined
      if (row.openRequests < openMin) return undefined
      if (isOutcome !== undefined && (row.outcomeAt === 0 || !isOutcome(row.outcome)))
        return undefined
      return inventoryJsonOf(deviceOf(key), row)
    },
    (key) => textOfEui64(deviceOf(key)),
  )
}

/** @throws BrokerError VIEW_QUERY_INVALID, DEVICE_UNKNOWN */
export function inventoryOf(store: RowStore, eui64: string): InventoryJson {
  const device = eui64In(eui64)
  if (device === undefined)
    throw new BrokerError('VIEW_QUERY_INVALID', 'the path ends with no EUI-64')
  const value = store.get(deviceKeyOf(device))
  if (value === undefined) throw new BrokerError('DEVICE_UNKNOWN', textOfEui64(device))
  return inventoryJsonOf(device, deviceRowIn(value))
}

export function usagePage(
  store: RowStore,
  { from, to, party, limit }: UsageQuery,
): Page<UsageJson> {
  return pageOf(
    store.range(from, to),
    limit,
    (stored) => {
      const row = usageRowIn(stored)
      return party === undefined || row.party === party ? usageJsonOf(row) : undefined
    },
    (key) => key.toString('hex'),
  )
}

/**
 * Times between which usage was not counted; null for the beginning, and for an end that is not
 * known yet.
 */
export const missingIn = (store: RowStore): Array<{ from: string | null; to: string | null }> =>
  standingIn((key) => store.get(key)).missing.map(({ fromMs, toMs }) => ({
    from: timeOf(fromMs),
    to: timeOf(toMs),
  }))

function pageOf<Json>(
  stored: Iterable<StoredRow>,
  limit: number,
  read: (row: StoredRow) => Json | undefined,
  cursorOf: (key: Buffer) => string,
): Page<Json> {
  const rows: Json[] = []
  let lookedAt = 0
  let last: Buffer | undefined
  for (const row of stored) {
    if (last !== undefined && (rows.length === limit || lookedAt === limits.viewsScanRowsMax))
      return { rows, next: cursorOf(last) }
    lookedAt++
    last = row.key
    const json = read(row)
    if (json !== undefined) rows.push(json)
  }
  return { rows, next: null }
}

const inventoryJsonOf = (device: Eui64, row: DeviceRow): InventoryJson => ({
  eui64: textOfEui64(device),
  type: row.type,
  address: row.address,
  since: timeOf(row.since),
  partition: row.partition,
  openRequests: row.openRequests,
  lastOutcome:
    row.outcomeAt === 0
      ? null
      : { ...codesOf(row.outcome), at: new Date(row.outcomeAt).toISOString() },
  fault: faultJsonOf(row),
})

function faultJsonOf({ fault }: DeviceRow): InventoryJson['fault'] {
  if (fault === undefined) return null
  const { code, detail, counterReceived = null, counterExpected = null, time } = fault
  return { code, detail, counterReceived, counterExpected, at: new Date(time).toISOString() }
}

const usageJsonOf = ({ day, party, srv, outcome, count }: UsageRow): UsageJson => ({
  day: new Date(day * dayMs).toISOString().slice(0, 10),
  party: textOfEui64(party),
  serviceReferenceVariant: formatSrv(srv),
  ...codesOf(outcome),
  count,
})

/** Of a row that a newer Busbar has written its number only. */
function codesOf(outcome: number): { outcome: string; code: string } {
  const code = errorCodeOf(outcome)
  if (code === undefined) return { outcome: String(outcome), code: '' }
  return { outcome: code, code: errorTable[code].duis }
}

const timeOf = (ms: number): string | null => (ms === 0 ? null : new Date(ms).toISOString())

const keyOfDigits = (digits: string): Eui64 => readEui64(Buffer.from(digits, 'hex'))

function eui64In(text: string): Eui64 | undefined {
  const octets = parseEui64(text)
  return octets && readEui64(octets)
}

function dayIn(text: string): number | undefined {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN
  // Of the 31st of a shorter month JavaScript makes the 1st of the next.
  const isDay = ms >= 0 && new Date(ms).toISOString().startsWith(text)
  return isDay ? ms / dayMs : undefined
}

function outcomeIn(text: string): ((outcome: number) => boolean) | undefined {
  const rows = Object.entries(errorTable) as Array<[ErrorCode, { id: number; duis: string }]>
  const ids = new Set<number>(
    rows.filter(([code, { duis }]) => code === text || duis === text).map(([, { id }]) => id),
  )
  return ids.size === 0 ? undefined : (outcome) => ids.has(outcome)
}

/** The first key above `key` of as many octets. */
const behind = (key: Buffer): Buffer => Buffer.concat([key, Buffer.of(0)])
const later = (a: Buffer, b: Buffer): Buffer => (a.compare(b) > 0 ? a : b)
