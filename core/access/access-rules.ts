/**
 * The rules of access control as data (access-rules.json): the checks in order, command variants,
 * which status of a device allows which variant, what stays switched off. This file reads and
 * checks the data once, when the process starts; access-control.ts decides by it.
 */
import { assert } from '../base/assert.ts'
import { errorTable, type ErrorCode } from '../base/error-table.ts'
import { parseSrv, type Srv } from '../base/srv.ts'
import {
  Role,
  serviceRequestOf,
  serviceRequests,
  type ServiceRequestRow,
} from '../catalogue/service-requests.ts'
import { DeviceStatus } from '../inventory/device-status.ts'
import { DeviceType } from '../inventory/device-record.ts'
import rules from './access-rules.json' with { type: 'json' }

/** The three web services of the GB interface. */
export const Door = ['serviceS', 'serviceD', 'serviceT'] as const
export type Door = (typeof Door)[number]

/** Decides which command variants a service reference variant takes. */
export const RequestKind = ['nonCritical', 'critical', 'nonDevice'] as const
export type RequestKind = (typeof RequestKind)[number]

/** Where a check is made: before requests are read, at a gateway, or by the device's actor. */
export const CheckedBy = ['connection', 'door', 'device', 'not checked yet'] as const
export type CheckedBy = (typeof CheckedBy)[number]

export type AccessCheck = {
  readonly id: string
  readonly by: CheckedBy
  readonly codes: readonly ErrorCode[]
  /** Response code of the GB interface. */
  readonly duis: string
  /** When it passes; a clause. */
  readonly passes: string
  readonly confidence: string
}

export type CommandVariantRow = {
  readonly number: number
  /** Undefined: fits no request. */
  readonly kind: RequestKind | undefined
  readonly door: Door | undefined
  /** The command, or a copy of it, is handed back for delivery on the spot. */
  readonly isLocal: boolean
  readonly asks: string
}

/** Which variants a device status allows. */
export type StatusRow = {
  readonly status: DeviceStatus
  readonly allowed: ReadonlySet<Srv>
  /** Allowed for local delivery only. */
  readonly local: ReadonlySet<Srv>
  /** Allowed where the body, not the RequestID, names the device; for rules of the body. */
  readonly asNamedInBody: ReadonlySet<Srv>
}

export const commandVariantMax = 9

// The words of the data are checked against their lists once, when the process starts.
function oneOf<Word extends string>(words: readonly Word[], text: string): Word {
  assert((words as readonly string[]).includes(text), `access rules: ${text} is not known`)
  return text as Word
}

function srvOf(text: string): Srv {
  const srv = parseSrv(text)
  assert(serviceRequestOf(srv) !== undefined, `access rules: ${text} is not in the catalogue`)
  return srv
}

const srvsOf = (texts: readonly string[]): ReadonlySet<Srv> => new Set(texts.map(srvOf))

/** All checks on the way of a request, in their order. */
export const accessChecks: readonly AccessCheck[] = rules.checks.map((raw) => ({
  ...raw,
  by: oneOf(CheckedBy, raw.by),
  codes: raw.codes.map((code) => oneOf(Object.keys(errorTable) as ErrorCode[], code)),
}))

/** Command variants 1 to 9, in order. */
export const commandVariants: readonly CommandVariantRow[] = rules.commandVariants.map((raw) => ({
  ...raw,
  kind: raw.kind === 'none' ? undefined : oneOf(RequestKind, raw.kind),
  door: raw.door === 'none' ? undefined : oneOf(Door, raw.door),
}))
assert(
  commandVariants.every(({ number }, index) => number === index + 1) &&
    commandVariants.length === commandVariantMax,
  'access rules: command variants are not 1 to 9',
)

/** What a request without a command variant counts as, by its kind. */
export const commandVariantLeftOut: Readonly<Record<RequestKind, number>> =
  rules.commandVariantLeftOut

/** The door that the one door of Busbar counts as, by kind and command variant. */
export function oneDoorFor(kind: RequestKind, commandVariant: number): Door {
  const { countsAs, handsBack } = rules.oneDoor
  const isHandedBack = handsBack.commandVariants.includes(commandVariant)
  return oneOf(Door, isHandedBack ? handsBack.countsAs : countsAs[kind])
}

export function requestKindOf(
  row: Pick<ServiceRequestRow, 'answeredBy' | 'isCritical'>,
): RequestKind {
  if (row.answeredBy !== 'device') return 'nonDevice'
  return row.isCritical ? 'critical' : 'nonCritical'
}

const statusRowOf = (status: DeviceStatus): StatusRow => {
  const raw = rules.statuses.allow.find((one) => one.status === status)
  assert(raw !== undefined, `access rules: nothing for the status ${status}`)
  const inEvery = srvsOf(rules.statuses.inEvery)
  if (raw.all) {
    const except = srvsOf(raw.except ?? [])
    const srvs = serviceRequests.map(({ srv }) => srv)
    const allowed = srvs.filter((srv) => !except.has(srv) || inEvery.has(srv))
    return { status, allowed: new Set(allowed), local: new Set(), asNamedInBody: new Set() }
  }
  return {
    status,
    allowed: new Set([...inEvery, ...srvsOf(raw.variants ?? [])]),
    local: srvsOf(raw.local ?? []),
    asNamedInBody: srvsOf(raw.asNamedInBody ?? []),
  }
}

export const statusRows: ReadonlyMap<DeviceStatus, StatusRow> = new Map(
  DeviceStatus.map((status) => [status, statusRowOf(status)]),
)
/** Device types that have no status. */
export const typesWithoutStatus: ReadonlySet<DeviceType> = new Set(
  rules.statuses.noneOf.map((text) => oneOf(DeviceType, text)),
)

/** Variants for which no device is looked at. */
export const neverWithDevice: ReadonlySet<Srv> = srvsOf(rules.withoutDevice.always)
/** Variants whose target may be something else than a device. */
export const withoutKnownDevice: ReadonlySet<Srv> = srvsOf(rules.withoutDevice.whenTargetUnknown)
/** Variants that any party may send that has the role. */
export const withoutRegistration: ReadonlySet<Srv> = srvsOf(rules.withoutRegistration.variants)

/** Whether devices take commands delivered on the spot, and the roles that may have them. */
export const localDelivery: { readonly isServed: boolean; readonly roles: readonly Role[] } = {
  isServed: rules.localDelivery.isServed,
  roles: rules.localDelivery.roles.map((text) => oneOf(Role, text)),
}

/** Variants that nobody may send, because the sources disagree on who may. */
export const switchedOff: ReadonlySet<Srv> = srvsOf(
  rules.switchedOff.filter(({ isOff }) => isOff).map(({ srv }) => srv),
)

/** What a party with `role` must be to act on a device of `type`; undefined: no such right. */
export function registrationBasisOf(role: Role, type: DeviceType): string | undefined {
  return rules.registration.find((one) => one.role === role && one.devices.includes(type))?.holds
}

/** For which time registration is checked, by kind of request. */
export const registrationTimes: readonly { request: string; checkedFor: string }[] =
  rules.registrationTimes
