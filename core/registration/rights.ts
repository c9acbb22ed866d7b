/**
 * Rights: who is registered at a meter point, in which role, in which periods. A meter point sends
 * them to its devices as letters; a device decides by them. Pure.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { Role } from '../catalogue/service-requests.ts'
import type { Eui64 } from '../base/eui64.ts'
import { consentFor, consentIn, packedConsent, type Consent, type ConsentNeed } from './consent.ts'
import { packTree, readTree } from './versioned-tree.ts'

/** Which way energy flows at a meter point. */
export const Direction = ['import', 'export', 'gas'] as const
export type Direction = (typeof Direction)[number]

/** Who holds `role` at a meter point from `fromMs` on, before `toMs`; both UTC ms. */
export type RightsPeriod = {
  readonly role: Role
  /** Market participant id, one to four characters. */
  readonly participant: string
  readonly fromMs: number
  /** Infinity while no end is known. */
  readonly toMs: number
}

/** All that a meter point says of itself to one device. */
export type Rights = {
  /** Number of the link of the device that they are for. */
  readonly link: number
  /** Rises with each change at the meter point. */
  readonly version: number
  readonly direction: Direction
  /** At most `rightsPeriodsMax`, by their beginnings. */
  readonly periods: readonly RightsPeriod[]
  /** Of third parties, that hold or will hold; at most `rightsConsentsMax`. Absent for none. */
  readonly consents?: readonly Consent[]
}

/** A party, as rights know it. */
export type RightsHolder = {
  readonly role: Role
  readonly participant?: string | undefined
  /** Consents name third parties by it. */
  readonly id?: Eui64
}

/** What a device knows of one of its meter points; rights only once it has answered. */
export type LinkedRights = { readonly rights?: Rights | undefined }

/** The answer to: may this party act here now? `no-consent` is the no to a third party. */
export type Entitlement = 'entitled' | 'not-entitled' | 'not-known-yet' | 'no-consent'

/**
 * What the meter points of a device say of `holder` at `atMs`. A load controller is known to the
 * device itself, by its credentials there.
 *
 * A third party holds no registration; `consentAt` looks for its consent.
 *
 * An import supplier is the supplier of the import MPAN; of the export MPAN where no meter point of
 * the device takes energy in (access-control.json, registrationBasis).
 */
export function entitlementOf(
  points: readonly LinkedRights[],
  holder: RightsHolder,
  atMs: number,
): Entitlement {
  if (holder.role === 'LC') return 'entitled'
  let isWhole = true
  let hasImport = false
  let isExporter = false
  for (const { rights } of points) {
    if (rights === undefined) {
      isWhole = false
      continue
    }
    if (rights.direction === 'import') hasImport = true
    for (const period of rights.periods) {
      if (period.participant !== holder.participant || !isIn(period, atMs)) continue
      if (period.role === holder.role) return 'entitled'
      if (holder.role === 'IS' && period.role === 'ES') isExporter = true
    }
  }
  if (!isWhole) return 'not-known-yet'
  return isExporter && !hasImport ? 'entitled' : 'not-entitled'
}

/** A consent that covers a need, and the meter point that it is of. */
export type ConsentFound<Point> = { readonly consent: Consent; readonly point: Point }

/**
 * The consent of the third party `holder` that covers `need` at a meter point of a device, at
 * `atMs`; of several the one that began first.
 */
export function consentAt<Point extends LinkedRights>(
  points: readonly Point[],
  holder: RightsHolder,
  need: ConsentNeed,
  atMs: number,
): ConsentFound<Point> | undefined {
  let found: ConsentFound<Point> | undefined
  if (holder.id === undefined) return undefined
  for (const point of points) {
    const consent = consentFor(point.rights?.consents ?? [], holder.id, need, atMs)
    if (consent === undefined) continue
    if (found === undefined || consent.fromMs < found.consent.fromMs) found = { consent, point }
  }
  return found
}

/** The no to a third party: it is not known yet while a meter point has not answered. */
export const withoutConsent = (points: readonly LinkedRights[]): Entitlement =>
  points.every(({ rights }) => rights !== undefined) ? 'no-consent' : 'not-known-yet'

/**
 * An entry of a log is stamped with the end of its interval, so the one at the very beginning of a
 * period is of the time before: the first one of a period comes so much later at the earliest.
 * Times on the wire are whole seconds.
 */
export const firstEntryMs = 1_000

/** Since when a party is registered without a gap, UTC ms, and where. */
export type Registered<Point> = { readonly sinceMs: number; readonly point: Point }

/**
 * Since when `holder` is registered without a gap at a meter point of a device, at `atMs`: further
 * back it may not read. Of several meter points the earliest; undefined when it is registered at
 * none. An import supplier may be the supplier of the export MPAN, as in `entitlementOf`.
 */
export const registeredAt = <Point extends LinkedRights>(
  points: readonly Point[],
  holder: RightsHolder,
  atMs: number,
): Registered<Point> | undefined =>
  registeredAs(holder.role, points, holder, atMs) ??
  (holder.role === 'IS' ? registeredAs('ES', points, holder, atMs) : undefined)

function registeredAs<Point extends LinkedRights>(
  as: Role,
  points: readonly Point[],
  { participant: own }: RightsHolder,
  atMs: number,
): Registered<Point> | undefined {
  let found: Registered<Point> | undefined
  for (const point of points) {
    const periods = (point.rights?.periods ?? []).filter(
      ({ role, participant }) => participant === own && role === as,
    )
    let start = periods.find((period) => isIn(period, atMs))?.fromMs
    if (start === undefined) continue
    // Periods stand by their beginnings: the one before ends where this one begins, or earlier.
    for (const { fromMs, toMs } of periods.toReversed())
      if (fromMs < start && toMs >= start) start = fromMs
    if (found === undefined || start < found.sinceMs) found = { sinceMs: start, point }
  }
  return found
}

const isIn = ({ fromMs, toMs }: RightsPeriod, atMs: number): boolean =>
  fromMs <= atMs && atMs < toMs

/** When the next period begins or ends after `atMs`; Infinity for never. */
export function nextChangeMs(points: readonly LinkedRights[], atMs: number): number {
  let next = Infinity
  for (const { rights } of points)
    for (const { fromMs, toMs } of [...(rights?.periods ?? []), ...(rights?.consents ?? [])]) {
      if (fromMs > atMs && fromMs < next) next = fromMs
      if (toMs > atMs && toMs < next) next = toMs
    }
  return next
}

/** In octets; an open end. */
const open = 0

/**
 * The octets of a letter with rights, in memory of their own: MessagePack
 * `[version of the octets, link, version, direction, [[role, participant, from, to], …]]`, and
 * a list of consents behind it when there are any.
 */
export const encodeRights = ({ link, version, direction, periods, consents }: Rights): Buffer =>
  packTree(
    link,
    version,
    Direction.indexOf(direction),
    periods.map(({ role, participant, fromMs, toMs }) => [
      Role.indexOf(role),
      participant,
      fromMs,
      toMs === Infinity ? open : toMs,
    ]),
    ...(consents === undefined ? [] : [consents.map(packedConsent)]),
  )

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export const decodeRights = (view: Uint8Array): Rights => readTree(view, 'rights', rightsIn)

function rightsIn([link, version, directionIndex, periods, consents]: unknown[]): Rights {
  const direction = Direction[Number(directionIndex)]
  const isWhole = isCount(link) && isCount(version) && Array.isArray(periods)
  if (!isWhole || direction === undefined || periods.length > limits.rightsPeriodsMax)
    throw malformed()
  const rights = { link, version, direction, periods: periods.map(periodIn) }
  return consents === undefined ? rights : { ...rights, consents: consentsIn(consents) }
}

function consentsIn(packed: unknown): Consent[] {
  if (!Array.isArray(packed) || packed.length > limits.rightsConsentsMax) throw malformed()
  return packed.map(consentIn)
}

function periodIn(entry: unknown): RightsPeriod {
  const [roleIndex, participant, fromMs, toMs] = Array.isArray(entry) ? (entry as unknown[]) : []
  const role = Role[Number(roleIndex)]
  if (role === undefined || typeof participant !== 'string' || !isCount(fromMs) || !isCount(toMs))
    throw malformed()
  return { role, participant, fromMs, toMs: toMs === open ? Infinity : toMs }
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

const malformed = (): BrokerError => new BrokerError('ENVELOPE_MALFORMED', 'rights')
