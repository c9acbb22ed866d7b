/**
 * Rights: who is registered at a meter point, in which role, in which periods. A meter point sends
 * them to its devices as letters; a device decides by them. Pure.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { Role } from '../catalogue/service-requests.ts'
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
}

/** A party, as rights know it. */
export type RightsHolder = { readonly role: Role; readonly participant?: string | undefined }

/** What a device knows of one of its meter points; rights only once it has answered. */
export type LinkedRights = { readonly rights?: Rights | undefined }

/** The answer to: may this party act here now? */
export type Entitlement = 'entitled' | 'not-entitled' | 'not-known-yet'

/**
 * What the meter points of a device say of `holder` at `atMs`. A load controller is known to the
 * device itself, by its credentials there.
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

const isIn = ({ fromMs, toMs }: RightsPeriod, atMs: number): boolean =>
  fromMs <= atMs && atMs < toMs

/** When the next period begins or ends after `atMs`; Infinity for never. */
export function nextChangeMs(points: readonly LinkedRights[], atMs: number): number {
  let next = Infinity
  for (const { rights } of points)
    for (const { fromMs, toMs } of rights?.periods ?? []) {
      if (fromMs > atMs && fromMs < next) next = fromMs
      if (toMs > atMs && toMs < next) next = toMs
    }
  return next
}

/** In octets; an open end. */
const open = 0

/**
 * The octets of a letter with rights, in memory of their own: MessagePack
 * `[version of the octets, link, version, direction, [[role, participant, from, to], …]]`.
 */
export const encodeRights = ({ link, version, direction, periods }: Rights): Buffer =>
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
  )

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED */
export const decodeRights = (view: Uint8Array): Rights => readTree(view, 'rights', rightsIn)

function rightsIn([link, version, directionIndex, periods]: unknown[]): Rights {
  const direction = Direction[Number(directionIndex)]
  const isWhole = isCount(link) && isCount(version) && Array.isArray(periods)
  if (!isWhole || direction === undefined || periods.length > limits.rightsPeriodsMax)
    throw malformed()
  return { link, version, direction, periods: periods.map(periodIn) }
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
