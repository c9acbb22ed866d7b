/**
 * Access control: who may send what to which device, for all 129 variants. Pure; the rules are data
 * (access-rules.json). Two entry points are for the hot path and allocate nothing: `refusalAtDoor`
 * at a gateway (station 2 of a message's way) and `refusalAtDevice` in the device's actor.
 * `decideAccess` asks the same checks at once and returns the grounds; it is for `busbar access`.
 */
import type { ErrorCode } from '../base/error-table.ts'
import type { Srv } from '../base/srv.ts'
import type { Role, ServiceRequestRow } from '../catalogue/service-requests.ts'
import type { DeviceType } from '../inventory/device-record.ts'
import type { DeviceStatus } from '../inventory/device-status.ts'
import type { ConsentNeed } from '../registration/consent.ts'
import type { Entitlement } from '../registration/rights.ts'
import { consentNeedOf } from './consent-rules.ts'
import {
  accessChecks,
  commandVariantLeftOut,
  commandVariantMax,
  commandVariants,
  Door,
  localDelivery,
  neverWithDevice,
  oneDoorFor,
  registrationBasisOf,
  RequestKind,
  requestKindOf,
  statusRows,
  switchedOff,
  typesWithoutStatus,
  withoutKnownDevice,
  withoutRegistration,
} from './access-rules.ts'

/** Why a party may have nothing done; undefined when it may. `standingOf` returns it. */
export type PartyStanding = Extract<ErrorCode, 'PARTY_UNKNOWN' | 'PARTY_SUSPENDED'> | undefined

/** What is looked at of a row of the catalogue. */
export type AccessRow = Pick<
  ServiceRequestRow,
  'srv' | 'text' | 'roles' | 'deviceTypes' | 'isCritical' | 'answeredBy' | 'isServed'
>

export type AccessQuestion = {
  readonly row: AccessRow
  readonly role: Role
  readonly standing: PartyStanding
  /** 1 to 9; 0 when the request names none. */
  readonly commandVariant: number
  readonly door: Door
  /** Undefined when the target is not in the inventory. */
  readonly deviceType: DeviceType | undefined
  /** Not looked at when the target is not in the inventory. */
  readonly status: DeviceStatus
  /** `not-asked`: the device has no meter point. */
  readonly registration: Entitlement | 'not-asked'
  /** Of a third party, for the ground: the consent that covers the request, and its meter point. */
  readonly consent?: { readonly id: string; readonly meterPoint: string } | undefined
  /** For the ground: the first time that the party may read. */
  readonly readableFrom?: string | undefined
}

export type CheckResult = {
  /** Of access-rules.json. */
  readonly id: string
  readonly result: 'passed' | 'failed' | 'not asked'
  /** The fact that decided, in words. */
  readonly ground: string
}

export type AccessDecision = {
  readonly result: 'granted' | 'refused' | 'unknown yet'
  /** Absent when granted; RIGHTS_NOT_KNOWN when unknown yet. */
  readonly code?: ErrorCode
  readonly checks: readonly CheckResult[]
}

// ── command variant and door ──

type VariantFault = Extract<
  ErrorCode,
  'REQUEST_DOOR_UNFIT' | 'REQUEST_COMMAND_VARIANT_UNFIT' | 'REQUEST_LOCAL_DELIVERY_UNAVAILABLE'
>

/** Doors that take requests of `kind` with one command variant or another. */
const takes = (door: Door, kind: RequestKind): boolean =>
  commandVariants.some((one) => one.kind === kind && one.door === door)

/**
 * The door comes first: it is known before the request is read. A command variant that does not fit
 * the kind is a fault of the command variant, at a door that takes the kind.
 */
function variantFault(
  kind: RequestKind,
  door: Door,
  commandVariant: number,
): VariantFault | undefined {
  const asked = commandVariants[(commandVariant || commandVariantLeftOut[kind]) - 1]!
  const fits = asked.kind === kind
  if (!takes(door, kind) || (fits && asked.door !== door)) return 'REQUEST_DOOR_UNFIT'
  if (!fits) return 'REQUEST_COMMAND_VARIANT_UNFIT'
  if (asked.isLocal && !localDelivery.isServed) return 'REQUEST_LOCAL_DELIVERY_UNAVAILABLE'
  return undefined
}

// Looked up for each request: by kind, door and command variant.
const variantFaults = RequestKind.map((kind) =>
  Door.map((door) =>
    Array.from({ length: commandVariantMax + 1 }, (_, number) => variantFault(kind, door, number)),
  ),
)
const isLocalVariant = [false, ...commandVariants.map(({ isLocal }) => isLocal)]
const kindIndexOf = (row: AccessRow): number => RequestKind.indexOf(requestKindOf(row))
const doorIndexOf = { serviceS: 0, serviceD: 1, serviceT: 2 } as const satisfies Record<
  Door,
  number
>

const oneDoors = RequestKind.map((kind) =>
  Array.from({ length: commandVariantMax + 1 }, (_, number) => oneDoorFor(kind, number)),
)

/**
 * Which of the three web services the one door of Busbar counts as for a request.
 * @param commandVariant  0 to 9
 */
export function oneDoorOf(row: AccessRow, commandVariant: number): Door {
  return oneDoors[kindIndexOf(row)]![commandVariant]!
}

/**
 * Why a party may not send a request, whatever its device; undefined when it may.
 *
 * A variant that is not served is rejected last, and its device is never asked: what the device
 * would say changes nothing for the party.
 *
 * @param commandVariant  0 to 9, 0 for none
 */
export function refusalAtDoor(
  row: AccessRow,
  role: Role,
  standing: PartyStanding,
  commandVariant: number,
  door: Door,
): ErrorCode | undefined {
  if (standing === 'PARTY_UNKNOWN') return standing
  if (!mayRoleSend(row, role)) return 'PARTY_ROLE_INELIGIBLE'
  if (standing !== undefined) return standing
  const fault = variantFaults[kindIndexOf(row)]![doorIndexOf[door]]![commandVariant]
  if (fault !== undefined) return fault
  if (isLocalVariant[commandVariant] && !localDelivery.roles.includes(role))
    return 'REQUEST_LOCAL_DELIVERY_UNAVAILABLE'
  return row.isServed ? undefined : 'REQUEST_SRV_UNSUPPORTED'
}

/** Whether `role` may send a variant; nobody may while it is switched off. */
export const mayRoleSend = (
  { srv, roles }: Pick<AccessRow, 'srv' | 'roles'>,
  role: Role,
): boolean => roles.includes(role) && !switchedOff.has(srv)

// ── device ──

/**
 * Why a device does not take a request of a party; undefined when it does. `refusalAtDoor` has
 * passed before.
 *
 * @param type  undefined when the target is not in the inventory; status is not looked at then
 * @param isLocal  the command is to be delivered on the spot, not over the WAN
 */
export function refusalAtDevice(
  row: Pick<AccessRow, 'srv' | 'deviceTypes'>,
  type: DeviceType | undefined,
  status: DeviceStatus,
  registration: Entitlement,
  isLocal = false,
): ErrorCode | undefined {
  const { srv } = row
  if (neverWithDevice.has(srv)) return undefined
  if (type === undefined) return withoutKnownDevice.has(srv) ? undefined : 'DEVICE_UNKNOWN'
  if (!doesStatusAllow(srv, type, status, isLocal)) return 'DEVICE_STATUS_UNFIT'
  if (!row.deviceTypes.includes(type)) return 'DEVICE_TYPE_UNFIT'
  if (registration === 'entitled' || withoutRegistration.has(srv)) return undefined
  if (registration === 'not-known-yet') return 'RIGHTS_NOT_KNOWN'
  return registration === 'no-consent' ? 'CONSENT_MISSING' : 'PARTY_NOT_REGISTERED'
}

function doesStatusAllow(
  srv: Srv,
  type: DeviceType,
  status: DeviceStatus,
  isLocal: boolean,
): boolean {
  if (typesWithoutStatus.has(type)) return true
  const row = statusRows.get(status)!
  return row.allowed.has(srv) || (isLocal && row.local.has(srv))
}

// ── all checks with their grounds ──

/** The fact that one check looks at, in words. */
const grounds: Readonly<Record<string, (question: AccessQuestion) => string>> = {
  party: ({ role, standing }) =>
    standing === 'PARTY_UNKNOWN' ? 'the party is not known' : `a known party with the role ${role}`,
  roleSrv: ({ row, role }) => {
    if (switchedOff.has(row.srv)) return `${row.text} is switched off for all roles`
    return `${row.text} is for ${row.roles.join(', ') || 'nobody'}; the role is ${role}`
  },
  userStatus: ({ standing }) =>
    standing === 'PARTY_SUSPENDED' ? 'the party is suspended' : 'the party is active',
  endpoint: ({ row, door }) => `a ${kindWords[requestKindOf(row)]} request at the door ${door}`,
  variant: (question) =>
    `command variant ${variantWords(question)} for a ${kindWords[requestKindOf(question.row)]} request`,
  local: (question) =>
    isLocalVariant[question.commandVariant] === true
      ? `command variant ${question.commandVariant} asks for local delivery, which ${
          localDelivery.isServed ? `is for ${localDelivery.roles.join(', ')}` : 'is not served yet'
        }`
      : 'local delivery is not asked for',
  served: ({ row }) => `${row.text} is ${row.isServed ? 'served' : 'not served yet'}`,
  device: ({ deviceType }) =>
    deviceType === undefined ? 'the target is not in the inventory' : 'the device is known',
  status: ({ deviceType, status }) =>
    deviceType !== undefined && typesWithoutStatus.has(deviceType)
      ? `devices of type ${deviceType} have no status`
      : `the status of the device is ${status}`,
  type: ({ row, deviceType }) =>
    `${row.text} is for ${row.deviceTypes.join(', ')}; the type is ${deviceType}`,
  registration: (question) => registrationGround(question),
}

const kindWords: Readonly<Record<RequestKind, string>> = {
  nonCritical: 'non-critical',
  critical: 'critical',
  nonDevice: 'non-device',
}

const variantWords = ({ row, commandVariant }: AccessQuestion): string =>
  commandVariant === 0
    ? `none, which counts as ${commandVariantLeftOut[requestKindOf(row)]},`
    : String(commandVariant)

/** What a consent must be about, in words. */
function needWords({ category, granularity }: ConsentNeed): string {
  if (category === undefined) return 'a consent of any category'
  return `a consent for ${category}${granularity === undefined ? '' : `, ${granularity}`}`
}

function consentGround({ row, registration, consent, readableFrom }: AccessQuestion): string {
  const need = `${row.text} needs ${needWords(consentNeedOf(row.srv))}`
  if (registration === 'entitled') {
    const reads = readableFrom === undefined ? '' : `, reads from ${readableFrom} on`
    return `consent ${consent?.id} of ${consent?.meterPoint}${reads}; ${need}`
  }
  return `${registration === 'no-consent' ? 'no consent' : 'not known yet'}; ${need}`
}

function registrationGround(question: AccessQuestion): string {
  const { row, role, deviceType, registration, readableFrom } = question
  if (withoutRegistration.has(row.srv)) return `${row.text} needs no registration`
  if (role === 'OU') return consentGround(question)
  const basis = deviceType && registrationBasisOf(role, deviceType)
  const needed = `${role} at a ${deviceType} must be: ${basis ?? 'nothing gives this right'}`
  const reads = readableFrom === undefined ? '' : `, reads from ${readableFrom} on`
  if (registration === 'entitled') return `registered${reads}; ${needed}`
  const answer = registration === 'not-entitled' ? 'not registered' : 'not known yet'
  return `${answer}; ${needed}`
}

/** The checks that `decideAccess` asks, in the order of the rules. */
const asked = accessChecks.filter(({ id }) => grounds[id] !== undefined)

const needsNoDevice = ({ row, deviceType }: AccessQuestion): boolean =>
  neverWithDevice.has(row.srv) || (deviceType === undefined && withoutKnownDevice.has(row.srv))

/** Every check with its result and ground; agrees with the two entry points of the hot path. */
export function decideAccess(question: AccessQuestion): AccessDecision {
  const { row, role, standing, commandVariant, door, deviceType, status, registration } = question
  const isLocal = isLocalVariant[commandVariant] === true
  const isOpen = registration === 'not-asked'
  const code =
    refusalAtDoor(row, role, standing, commandVariant, door) ??
    refusalAtDevice(row, deviceType, status, isOpen ? 'entitled' : registration, isLocal)
  const failedAt =
    code === undefined ? asked.length : asked.findIndex((one) => one.codes.includes(code))
  const isWithoutDevice = needsNoDevice(question)
  const checks = asked.map(({ id, by }, index): CheckResult => {
    if (index > failedAt) return { id, result: 'not asked', ground: 'an earlier check has decided' }
    if (by === 'device' && isWithoutDevice)
      return { id, result: 'not asked', ground: `${row.text} needs no device` }
    if (id === 'registration' && isOpen)
      return {
        id,
        result: 'not asked',
        ground: 'the device has no meter point: any party may use it',
      }
    const result = index < failedAt ? 'passed' : 'failed'
    return { id, result, ground: grounds[id]!(question) }
  })
  if (code === undefined) return { result: 'granted', checks }
  return { result: code === 'RIGHTS_NOT_KNOWN' ? 'unknown yet' : 'refused', code, checks }
}
