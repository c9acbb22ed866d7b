/**
 * How one device deviates, as data of its record beside the name of its profile: where it tells its
 * invocation counter, what is proposed to it, the base names of its objects, how its line is
 * opened. JSON and MessagePack have the same fields. Pure.
 */
import { limits } from '../base/limits.ts'
import type { DeviceAddress, DeviceModel } from '../ports/wan.ts'
import { deviceProfileOf, unknownProfilesIn } from '../inventory/device-profiles.ts'

/** The fields of an address that are read here. */
export const modelFields = ['counter', 'conformance', 'shortNames', 'modeE'] as const

// Any instance and any association: 0-b:43.1.e.255. [IEC 62056-6-1, abstract objects]
const counterObis = /^0-\d{1,3}:43\.1\.\d{1,3}\.255$/
const anyObis = /^\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$/
const conformanceText = /^[0-9a-fA-F]{6}$/
const signOnAddress = /^[0-9A-Za-z ]{0,32}$/
const baudRates: readonly unknown[] = [300, 600, 1_200, 2_400, 4_800, 9_600, 19_200]
const invocationCounterMax = 0xffff_ffff

type Raw = Record<string, unknown>
/**
 * `isAny`: the record may come from another version of Busbar, so that names which are not known
 * now are kept.
 */
type Reading = { faults: string[]; isAny: boolean }

const isPlain = (value: unknown): value is Raw =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isAbsent = (value: unknown): value is undefined | null =>
  value === undefined || value === null
const isWhole = (value: unknown, min: number, max: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
/** True for an OBIS code whose groups fit an octet. */
export const isObisCode = (text: string): boolean =>
  anyObis.test(text) && text.split(/\D/).every((group) => Number(group) <= 0xff)

/** An object with some of `known` and nothing else; undefined, with a fault, otherwise. */
function fieldsIn(
  value: unknown,
  known: readonly string[],
  where: string,
  faults: string[],
): Raw | undefined {
  if (!isPlain(value)) {
    faults.push(`${where} must be an object with ${known.join(', ')}`)
    return undefined
  }
  for (const name of Object.keys(value))
    if (!known.includes(name))
      faults.push(`${where}: ${JSON.stringify(name.slice(0, 40))} is not a field`)
  return value
}

/** Reads the fields out of an address. Faults are appended, each naming its field. */
export function readModel(raw: Raw, reading: Reading): DeviceModel {
  const { faults } = reading
  const counter = counterIn(raw['counter'], faults)
  const conformance = conformanceIn(raw['conformance'], faults)
  const shortNames = shortNamesIn(raw['shortNames'], faults)
  const modeE = modeEIn(raw['modeE'], faults)
  if (modeE !== undefined && raw['transport'] !== 'hdlc')
    faults.push('address.modeE needs the transport hdlc')
  return {
    ...(counter && { counter }),
    ...(conformance !== undefined && { conformance }),
    ...(shortNames && { shortNames }),
    ...(modeE && { modeE }),
  }
}

function counterIn(value: unknown, faults: string[]): DeviceModel['counter'] {
  if (isAbsent(value)) return undefined
  const where = 'address.counter'
  const fields = fieldsIn(value, ['obis', 'client', 'initial'], where, faults)
  if (fields === undefined) return undefined
  const { obis, client, initial } = fields
  if (!isAbsent(obis) && !(typeof obis === 'string' && counterObis.test(obis) && isObisCode(obis)))
    faults.push(`${where}.obis must be an invocation counter object, 0-b:43.1.e.255`)
  if (!isAbsent(client) && !isWhole(client, 1, 0xffff))
    faults.push(`${where}.client must be a whole number from 1 to 65535`)
  if (!isAbsent(initial) && !isWhole(initial, 0, invocationCounterMax))
    faults.push(`${where}.initial must be a whole number from 0 to ${invocationCounterMax}`)
  if ([obis, client, initial].every(isAbsent))
    faults.push(`${where} must have obis, client or initial`)
  return {
    ...(typeof obis === 'string' && { obis }),
    ...(typeof client === 'number' && { client }),
    ...(typeof initial === 'number' && { initial }),
  }
}

function conformanceIn(value: unknown, faults: string[]): number | undefined {
  if (isAbsent(value)) return undefined
  if (typeof value === 'string' && conformanceText.test(value)) return Number.parseInt(value, 16)
  faults.push(
    'address.conformance must be six hexadecimal digits, the 24 bits as an AARQ has them: 00 7e 1f is "007e1f"',
  )
  return undefined
}

function shortNamesIn(value: unknown, faults: string[]): DeviceModel['shortNames'] {
  if (isAbsent(value)) return undefined
  const where = 'address.shortNames'
  const entries = isPlain(value) ? Object.entries(value) : []
  const isRight =
    entries.length >= 1 &&
    entries.length <= limits.shortNamesMax &&
    entries.every(([obis, base]) => isObisCode(obis) && isWhole(base, 0, 0xffff))
  if (isRight) return Object.fromEntries(entries) as Record<string, number>
  faults.push(
    `${where} must be an object of 1 to ${limits.shortNamesMax} base names by OBIS code: {"1-0:1.8.0.255": 11000}`,
  )
  return undefined
}

function modeEIn(value: unknown, faults: string[]): DeviceModel['modeE'] {
  if (isAbsent(value)) return undefined
  const where = 'address.modeE'
  const fields = fieldsIn(value, ['deviceAddress', 'baudMax'], where, faults)
  if (fields === undefined) return undefined
  const { deviceAddress, baudMax } = fields
  if (!isAbsent(deviceAddress))
    if (typeof deviceAddress !== 'string' || !signOnAddress.test(deviceAddress))
      faults.push(`${where}.deviceAddress must be up to 32 letters, digits and spaces`)
  if (!isAbsent(baudMax) && !baudRates.includes(baudMax))
    faults.push(`${where}.baudMax must be one of ${baudRates.join(', ')}`)
  return {
    ...(typeof deviceAddress === 'string' && { deviceAddress }),
    ...(typeof baudMax === 'number' && { baudMax }),
  }
}

/**
 * The name of a profile, checked; what it wants of the rest of the record is a fault where it is
 * missing.
 */
export function readProfileName(
  raw: Raw,
  timeZone: string | undefined,
  { faults, isAny }: Reading,
): string | undefined {
  const name = raw['profile']
  if (isAbsent(name)) return undefined
  if (typeof name !== 'string' || name.length === 0 || name.length > limits.profileCharactersMax) {
    faults.push('address.profile must be names of device profiles, joined by +')
    return undefined
  }
  if (isAny) return name
  faults.push(...unknownProfilesIn(name).map((fault) => `address.profile: ${fault}`))
  const profile = deviceProfileOf(name)
  if (profile?.sentTimes === 'local' && (timeZone ?? profile.timeZone) === undefined)
    faults.push(`address.profile: ${name} needs timeZone, in which times are sent`)
  if (profile?.modeE === true && raw['transport'] !== 'hdlc')
    faults.push(`address.profile: ${name} needs the transport hdlc`)
  return name
}

/**
 * The fields in an order that never changes, without what is undefined: of MessagePack, and of JSON
 * where `address` is for people.
 */
export function modelFieldsOf({ counter, conformance, shortNames, modeE }: DeviceModel): Raw {
  return {
    ...(counter && { counter: { ...counter } }),
    ...(conformance !== undefined && {
      conformance: conformance.toString(16).padStart(6, '0'),
    }),
    ...(shortNames && {
      shortNames: Object.fromEntries(Object.entries(shortNames).toSorted(byName)),
    }),
    ...(modeE && { modeE: { ...modeE } }),
  }
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]): number => (a < b ? -1 : 1)

/** True when both addresses say the same of the device's model. */
export function sameModel(a: DeviceAddress, b: DeviceAddress): boolean {
  const [one, other] = [modelFieldsOf(a), modelFieldsOf(b)]
  const names = Object.keys(one)
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => JSON.stringify(one[name]) === JSON.stringify(other[name]))
  )
}
