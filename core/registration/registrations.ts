/**
 * What is known of a meter point over time. Each item holds for a period, and says when it was
 * received: so "who was registered at time T, as known at time U" has an answer. Pure.
 *
 * Where two items of a kind overlap, the one that was received later holds: it cuts its period out
 * of the earlier one. An item without an end replaces all that began later.
 */
import { limits } from '../base/limits.ts'
import type { Role } from '../catalogue/service-requests.ts'
import { timeZoneOf } from '../catalogue/time-zone.ts'
import { fuelOf, type MeterPointId } from './meter-point.ts'
import type { ItemKind, RegistrationItem } from './registration-record.ts'
import { consentsToSend, emptyRegister, type ConsentRegister } from './consent-register.ts'
import type { Direction, Rights, RightsPeriod } from './rights.ts'

/** What stands in facts and states is the place in this list. */
export const itemKinds: readonly ItemKind[] = [
  'supplier',
  'network-operator',
  'agent',
  'energisation',
  'profile-class',
  'domestic',
  'direction',
  'related',
]

/** An item as it was received, UTC ms. */
export type KnownItem = RegistrationItem & { readonly receivedAtMs: number }

/** `value` holds from `fromMs` on, before `toMs`; UTC ms, Infinity for an open end. */
export type Period = { readonly value: string; readonly fromMs: number; readonly toMs: number }

/**
 * Days of registration data begin at midnight of this zone: the day of settlement. Confidence: low;
 * the sources give dates without a zone.
 */
const settlementZone = 'Europe/London'
const dayMs = 86_400_000

/** UTC ms at which the day `YYYYMMDD` begins. */
export function dayStartMs(day: number, daysLater = 0): number {
  const [year, month, date] = [Math.trunc(day / 10_000), Math.trunc(day / 100) % 100, day % 100]
  const localMs = Date.UTC(year, month - 1, date) + daysLater * dayMs
  return timeZoneOf(settlementZone)!.utcMsOf(localMs)[0]!
}

const periodOf = ({ value, from, to }: RegistrationItem): Period => ({
  value,
  fromMs: dayStartMs(from),
  toMs: to === undefined ? Infinity : dayStartMs(to, 1),
})

/** The periods of one item, as known at `knownAtMs`, by their beginnings. */
export function periodsOf(
  items: readonly KnownItem[],
  name: ItemKind,
  knownAtMs = Infinity,
): readonly Period[] {
  let periods: Period[] = []
  for (const item of items)
    if (item.item === name && item.receivedAtMs <= knownAtMs)
      periods = withPeriod(periods, periodOf(item))
  return periods.sort((a, b) => a.fromMs - b.fromMs)
}

/** The value that holds at `atMs`, as known at `knownAtMs`. */
export const valueAt = (
  items: readonly KnownItem[],
  name: ItemKind,
  atMs: number,
  knownAtMs = Infinity,
): string | undefined =>
  periodsOf(items, name, knownAtMs).find(({ fromMs, toMs }) => fromMs <= atMs && atMs < toMs)?.value

function withPeriod(periods: readonly Period[], added: Period): Period[] {
  const kept: Period[] = []
  for (const period of periods) {
    const before = { ...period, toMs: Math.min(period.toMs, added.fromMs) }
    if (before.fromMs < before.toMs) kept.push(before)
    const after = { ...period, fromMs: Math.max(period.fromMs, added.toMs) }
    if (after.fromMs < after.toMs) kept.push(after)
  }
  if (added.fromMs < added.toMs) kept.push(added)
  return kept
}

/** Those of `items` that change what is known, in their order. */
export function newsIn(known: readonly KnownItem[], items: readonly KnownItem[]): KnownItem[] {
  const news: KnownItem[] = []
  const courses = new Map<ItemKind, readonly Period[]>()
  for (const item of items) {
    const before = courses.get(item.item) ?? periodsOf(known, item.item)
    const after = withPeriod(before, periodOf(item))
    const isNew = textOf(before) !== textOf(after)
    if (isNew) news.push(item)
    courses.set(item.item, isNew ? after : before)
  }
  return news
}

/** The same for the same course of values: two periods that meet with one value are one. */
function textOf(periods: readonly Period[]): string {
  const sorted = periods.toSorted((a, b) => a.fromMs - b.fromMs)
  let text = ''
  let end = Number.NaN
  let last = ''
  for (const { value, fromMs, toMs } of sorted) {
    if (fromMs !== end || value !== last) text += `|${end}|${value}@${fromMs}`
    end = toMs
    last = value
  }
  return `${text}|${end}`
}

const itemRoles = ['supplier', 'network-operator', 'agent'] as const

function roleOf(name: (typeof itemRoles)[number], direction: Direction): Role {
  if (name === 'agent') return 'RSA'
  const isGas = direction === 'gas'
  if (name === 'network-operator') return isGas ? 'GT' : 'ED'
  if (isGas) return 'GS'
  return direction === 'export' ? 'ES' : 'IS'
}

/**
 * The rights of one meter point at `now`: its last `rightsPeriodsMax` periods that have not ended
 * more than `rightsKeptMs` ago, and its consents that hold or will hold.
 */
export function rightsOf(
  point: MeterPointId,
  items: readonly KnownItem[],
  now: number,
  register: ConsentRegister = emptyRegister,
): Pick<Rights, 'direction' | 'periods' | 'consents'> {
  const isExport = valueAt(items, 'direction', now) === 'E'
  const direction = fuelOf(point) === 'gas' ? 'gas' : isExport ? 'export' : 'import'
  const periods = itemRoles
    .flatMap((name) =>
      periodsOf(items, name).map(({ value, fromMs, toMs }): RightsPeriod => ({
        role: roleOf(name, direction),
        participant: value,
        fromMs,
        toMs,
      })),
    )
    .filter(({ toMs }) => toMs > now - limits.rightsKeptMs)
    .sort((a, b) => a.fromMs - b.fromMs)
  const consents = consentsToSend(register, now)
  return {
    direction,
    periods: periods.slice(-limits.rightsPeriodsMax),
    ...(consents.length > 0 && { consents }),
  }
}
