/**
 * What the inventory says of a device: its type, how it is reached, how it is secured, and its
 * keys, sealed. Travels as the body of DEVICE_REGISTRATION and DEVICE_REGISTERED, a MessagePack map
 * with these names; operators write it as JSON, keys in the clear (device-keys.ts), which are
 * sealed before anything is written. This is the one place that reads or writes either form. It
 * knows nothing of life cycles or of who may use the device.
 */
import { Packr } from 'msgpackr'
import { asBuffer, copyOf, sameBytes } from '../base/bytes.ts'
import { BrokerError } from '../base/broker-error.ts'
import { readEui64, textOfEui64, parseEui64, type Eui64 } from '../base/eui64.ts'
import { bareHost } from '../base/host-port.ts'
import { limits } from '../base/limits.ts'
import { authenticatedEncrypted, Mechanism, Protection } from '../dlms/security/suite.ts'
import type { DeviceKeys } from '../crypto/key-vault.ts'
import { isSealedKeys } from '../crypto/sealed-keys.ts'
import { Transport, type DeviceAddress, type DeviceSecurity } from '../ports/wan.ts'
import {
  parseMeterPoint,
  meterPointWords,
  textOfMeterPoint,
  type MeterPointId,
} from '../registration/meter-point.ts'
import { deviceKeysOf } from './device-keys.ts'
import {
  modelFields,
  modelFieldsOf,
  readModel,
  readProfileName,
  sameModel,
} from '../catalogue/device-model.ts'
import { timeZoneOf, timeZoneWords } from '../catalogue/time-zone.ts'

export const DeviceType = [
  'ESME',
  'GSME',
  'GPF',
  'CHF',
  'HCALCS',
  'PPMID',
  'IHD',
  'CAD',
  'SAPC',
] as const
export type DeviceType = (typeof DeviceType)[number]

export type DeviceRecord = {
  type: DeviceType
  /**
   * Its secret is there in what operators write, and in records of ledgers from before keys were
   * sealed.
   */
  address: DeviceAddress
  /**
   * Keys and secret, as a vault has sealed them. Left out by a registration under a suite, the
   * device keeps those that it has.
   */
  sealedKeys?: Buffer
  /** Parties that get its unsolicited messages; nobody when left out. Rising, each once. */
  alertsTo?: readonly Eui64[]
  /**
   * Where it measures: who may use it follows from who is registered there. Left out, registration
   * is not asked about. Rising, each once.
   */
  meterPoints?: readonly MeterPointId[]
  /**
   * Of its clock, for a device that sends no deviation: an IANA name or an offset (time-zone.ts).
   */
  timeZone?: string
}

/** A device of an inventory file: who it is, its record, and its keys, not sealed yet. */
export type DeviceEntry = { key: Eui64; record: DeviceRecord; keys?: DeviceKeys }

/**
 * Why a record is invalid: every fault, one sentence each, naming the field. Belongs to
 * DEVICE_RECORD_MALFORMED.
 */
export type DeviceRecordFault = { faults: string[] }

const titleBytes = 8
const { AUTHENTICATED, ENCRYPTED } = Protection
const protections: readonly unknown[] = [0, AUTHENTICATED, ENCRYPTED, authenticatedEncrypted]
const addressFields = [
  'host',
  'port',
  'logicalDevice',
  'client',
  'secret',
  'transport',
  'profile',
  'security',
  ...modelFields,
]

const recordFields = ['type', 'address', 'sealedKeys', 'alertsTo', 'meterPoints', 'timeZone']

function isPlain(json: unknown): json is Record<string, unknown> {
  return (
    typeof json === 'object' && json !== null && !Array.isArray(json) && !ArrayBuffer.isView(json)
  )
}

function unknownFields(
  json: Record<string, unknown>,
  known: readonly string[],
  where: string,
): string[] {
  return Object.keys(json)
    .filter((name) => !known.includes(name))
    .map((name) => `${where}${JSON.stringify(name.slice(0, 40))} is not a field`)
}

function checkInteger(
  value: unknown,
  min: number,
  max: number,
  where: string,
  faults: string[],
): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max)
    return value
  faults.push(`${where} must be a whole number from ${min} to ${max}`)
  return min
}

/** From hexadecimal digits, or octets, which are copied. */
function readOctets(
  value: unknown,
  min: number,
  max: number,
  where: string,
  faults: string[],
): Buffer | undefined {
  if (value === undefined || value === null) return undefined
  let octets: Buffer | undefined
  if (ArrayBuffer.isView(value))
    octets = copyOf(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
  else if (typeof value === 'string' && /^([0-9a-fA-F]{2})+$/.test(value))
    octets = Buffer.from(value, 'hex')
  if (octets !== undefined && octets.length >= min && octets.length <= max) return octets
  const count = min === max ? min : `${min} to ${max}`
  faults.push(`${where} must be hexadecimal digits for ${count} octets`)
  return undefined
}

function readSecurity(raw: unknown, faults: string[]): DeviceSecurity | undefined {
  if (raw === undefined || raw === null) return undefined
  const where = 'address.security'
  if (!isPlain(raw)) {
    faults.push(`${where} must be an object with suite, mechanism, protection and clientTitle`)
    return undefined
  }
  const known = ['suite', 'mechanism', 'protection', 'clientTitle', 'deviceTitle']
  faults.push(...unknownFields(raw, known, `${where}: `))
  const { protection } = raw
  if (!protections.includes(protection))
    faults.push(`${where}.protection must be 0, 16 authenticated, 32 encrypted, or 48 both`)
  const title = (name: string): Buffer | undefined =>
    readOctets(raw[name], titleBytes, titleBytes, `${where}.${name}`, faults)
  const clientTitle = title('clientTitle')
  if (clientTitle === undefined) faults.push(`${where}.clientTitle is missing`)
  const deviceTitle = title('deviceTitle')
  return {
    suite: checkInteger(raw['suite'], 0, 2, `${where}.suite`, faults) as 0 | 1 | 2,
    mechanism: checkInteger(
      raw['mechanism'],
      Mechanism.NONE,
      Mechanism.HIGH_ECDSA,
      `${where}.mechanism`,
      faults,
    ),
    protection: protection as number,
    clientTitle: clientTitle ?? Buffer.alloc(titleBytes),
    ...(deviceTitle && { deviceTitle }),
  }
}

/** Of both forms: texts. */
function readAlertsTo(raw: unknown, faults: string[]): Eui64[] | undefined {
  if (raw === undefined || raw === null) return undefined
  const count = limits.alertPartiesMax
  const octets = Array.isArray(raw)
    ? raw.map((one: unknown) => (typeof one === 'string' ? parseEui64(one) : undefined))
    : []
  const keys = new Set(octets.map((one) => one && readEui64(one)))
  const isWhole = keys.size === octets.length && !keys.has(undefined)
  if (isWhole && keys.size >= 1 && keys.size <= count) return ([...keys] as Eui64[]).sort()
  faults.push(`alertsTo must be a list of 1 to ${count} EUI-64 of parties, each once`)
  return undefined
}

/** Of both forms: texts. */
function readMeterPoints(raw: unknown, faults: string[]): MeterPointId[] | undefined {
  if (raw === undefined || raw === null) return undefined
  const count = limits.deviceMeterPointsMax
  const points = Array.isArray(raw)
    ? raw.map((one: unknown) => (typeof one === 'string' ? parseMeterPoint(one) : undefined))
    : []
  const each = new Set(points)
  const isWhole = each.size === points.length && !each.has(undefined)
  if (isWhole && each.size >= 1 && each.size <= count) return ([...each] as MeterPointId[]).sort()
  faults.push(`meterPoints must be a list of 1 to ${count}, each once: ${meterPointWords}`)
  return undefined
}

function readTimeZone(raw: unknown, isAny: boolean, faults: string[]): string | undefined {
  if (raw === undefined || raw === null) return undefined
  if (typeof raw === 'string' && (isAny || timeZoneOf(raw) !== undefined)) return raw
  faults.push(`timeZone must be ${timeZoneWords}`)
  return undefined
}

/**
 * `isAny`: of a ledger, where names may stand that another version of Busbar, or of its time zones,
 * knew.
 */
function readRecord(json: unknown, isAny: boolean): DeviceRecord | DeviceRecordFault {
  if (!isPlain(json)) return { faults: ['a device record is an object with type and address'] }
  const faults = unknownFields(json, recordFields, '')
  const type = DeviceType.find((known) => known === json['type'])
  if (type === undefined) faults.push(`type must be one of ${DeviceType.join(', ')}`)
  const raw = json['address']
  if (!isPlain(raw)) {
    faults.push('address must be an object with host, port, logicalDevice and client')
    return { faults }
  }
  faults.push(...unknownFields(raw, addressFields, 'address: '))
  // In brackets, as an IPv6 address stands in front of a port.
  const host = typeof raw['host'] === 'string' ? bareHost(raw['host']) : undefined
  const isHost =
    typeof host === 'string' &&
    host.length <= limits.hostCharactersMax &&
    /^[0-9A-Za-z.:_%-]+$/.test(host)
  if (!isHost) faults.push('address.host must be a host name or an IP address')
  const address: DeviceAddress = {
    host: isHost ? host : '',
    port: checkInteger(raw['port'], 1, 65_535, 'address.port', faults),
    logicalDevice: checkInteger(raw['logicalDevice'], 1, 65_535, 'address.logicalDevice', faults),
    client: checkInteger(raw['client'], 1, 65_535, 'address.client', faults),
  }
  const secret = readOctets(raw['secret'], 1, limits.deviceSecretBytesMax, 'address.secret', faults)
  if (secret !== undefined) address.secret = secret
  const { transport } = raw
  if (transport !== undefined && transport !== null) {
    const found = Transport.find((one) => one === transport)
    if (found !== undefined) address.transport = found
    else faults.push(`address.transport must be one of ${Transport.join(', ')}`)
  }
  const timeZone = readTimeZone(json['timeZone'], isAny, faults)
  const profile = readProfileName(raw, timeZone, { faults, isAny })
  if (profile !== undefined) address.profile = profile
  const security = readSecurity(raw['security'], faults)
  if (security !== undefined) address.security = security
  Object.assign(address, readModel(raw, { faults, isAny }))
  const sealed = json['sealedKeys']
  const sealedKeys = Buffer.isBuffer(sealed) && isSealedKeys(sealed) ? copyOf(sealed) : undefined
  if (sealed !== undefined && sealedKeys === undefined) faults.push('sealedKeys are not a field')
  const alertsTo = readAlertsTo(json['alertsTo'], faults)
  const meterPoints = readMeterPoints(json['meterPoints'], faults)
  if (type === undefined || faults.length > 0) return { faults }
  return {
    type,
    address,
    ...(sealedKeys && { sealedKeys }),
    ...(alertsTo && { alertsTo }),
    ...(meterPoints && { meterPoints }),
    ...(timeZone && { timeZone }),
  }
}

/**
 * Reads a record from parsed JSON, strictly: unknown fields are faults. Secret and titles are
 * hexadecimal text.
 */
export function deviceRecordOf(json: unknown): DeviceRecord | DeviceRecordFault {
  return readRecord(json, false)
}

/**
 * Reads `{ "eui64": …, "type": …, "address": …, "keys": … }`, one device of an inventory file or of
 * the operators' interface. Faults name fields and show nothing of keys.
 */
export function deviceEntryOf(json: unknown): DeviceEntry | DeviceRecordFault {
  if (!isPlain(json)) return { faults: ['a device is an object with eui64, type and address'] }
  const { eui64, keys: rawKeys, ...rest } = json
  const octets = typeof eui64 === 'string' ? parseEui64(eui64) : undefined
  const record = readRecord(rest, false)
  const faults = 'faults' in record ? record.faults : []
  if (octets === undefined)
    faults.unshift('eui64 must be sixteen hexadecimal digits, bare or with - or : between octets')
  const security = 'faults' in record ? undefined : record.address.security
  const keys = rawKeys === undefined ? undefined : deviceKeysOf(rawKeys, security?.suite, faults)
  if (octets === undefined || 'faults' in record || faults.length > 0) return { faults }
  return { key: readEui64(octets), record, ...(keys && { keys }) }
}

/**
 * The JSON form of an entry without its keys, which `deviceEntryOf` reads back. Contains the
 * secret: not for logs.
 */
export function jsonOfDeviceEntry(eui64: string, record: DeviceRecord): Record<string, unknown> {
  const address = withHex(addressFieldsOf(record.address)) as Record<string, unknown>
  return { eui64, type: record.type, address, ...lastFieldsOf(record) }
}

const lastFieldsOf = ({
  alertsTo,
  meterPoints,
  timeZone,
}: DeviceRecord): { alertsTo?: string[]; meterPoints?: string[]; timeZone?: string } => ({
  ...(alertsTo && { alertsTo: alertsTo.map(textOfEui64) }),
  ...(meterPoints && { meterPoints: meterPoints.map(textOfMeterPoint) }),
  ...(timeZone && { timeZone }),
})

/** Octets as hexadecimal text, however deep they stand. */
function withHex(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('hex')
  if (!isPlain(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withHex(one)]))
}

/**
 * Without what is undefined, in an order that never changes: the same record gives the same octets.
 */
function addressFieldsOf(address: DeviceAddress): Record<string, unknown> {
  const { host, port, logicalDevice, client, secret, transport, profile, security } = address
  return {
    host,
    port,
    logicalDevice,
    client,
    ...(secret && { secret: asBuffer(secret) }),
    ...(transport && { transport }),
    ...(profile && { profile }),
    ...(security && { security: securityFieldsOf(security) }),
    ...modelFieldsOf(address),
  }
}

function securityFieldsOf(security: DeviceSecurity): Record<string, unknown> {
  const { suite, mechanism, protection, clientTitle, deviceTitle } = security
  return {
    suite,
    mechanism,
    protection,
    clientTitle: asBuffer(clientTitle),
    ...(deviceTitle && { deviceTitle: asBuffer(deviceTitle) }),
  }
}

/** True when both say the same of a device, but for its sealed keys. */
export const sameDeviceRecord = (a: DeviceRecord, b: DeviceRecord): boolean =>
  sameDescription(a, b) && sameAlertsTo(a, b) && sameMeterPoints(a, b)

type AlertsTo = Pick<DeviceRecord, 'alertsTo'>
/** True when the same parties get the unsolicited messages. */
export const sameAlertsTo = (a: AlertsTo, b: AlertsTo): boolean =>
  (a.alertsTo ?? []).join('') === (b.alertsTo ?? []).join('')

type MeterPoints = Pick<DeviceRecord, 'meterPoints'>
/** True when they measure at the same meter points. */
export const sameMeterPoints = (a: MeterPoints, b: MeterPoints): boolean =>
  (a.meterPoints ?? []).join('') === (b.meterPoints ?? []).join('')

/** True when both say the same of what a device is, how it is reached, and its time zone. */
export function sameDescription(a: DeviceRecord, b: DeviceRecord): boolean {
  const { host, port, logicalDevice, client, secret, transport, profile, security } = a.address
  const other = b.address
  return (
    a.type === b.type &&
    host === other.host &&
    port === other.port &&
    logicalDevice === other.logicalDevice &&
    client === other.client &&
    sameBytes(secret, other.secret) &&
    transport === other.transport &&
    profile === other.profile &&
    sameSecurity(security, other.security) &&
    sameModel(a.address, other) &&
    a.timeZone === b.timeZone
  )
}

/** True when both say the same of a device's security. */
export function sameSecurity(
  a: DeviceSecurity | undefined,
  b: DeviceSecurity | undefined,
): boolean {
  if (a === undefined || b === undefined) return a === b
  return (
    a.suite === b.suite &&
    a.mechanism === b.mechanism &&
    a.protection === b.protection &&
    sameBytes(a.clientTitle, b.clientTitle) &&
    sameBytes(a.deviceTitle, b.deviceTitle)
  )
}

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true })

/** The MessagePack form, in memory of its own. */
export function encodeDeviceRecord(record: DeviceRecord): Buffer {
  const { type, address, sealedKeys } = record
  const fields = {
    type,
    address: addressFieldsOf(address),
    ...(sealedKeys && { sealedKeys }),
    ...lastFieldsOf(record),
  }
  return copyOf(packr.pack(fields))
}

/**
 * Reads the MessagePack form; the record owns its memory.
 * @throws BrokerError DEVICE_RECORD_MALFORMED
 */
export function decodeDeviceRecord(view: Uint8Array): DeviceRecord {
  let tree: unknown
  try {
    tree = packr.unpack(view)
  } catch (cause) {
    throw new BrokerError('DEVICE_RECORD_MALFORMED', 'not MessagePack', { cause })
  }
  const record = readRecord(tree, true)
  if ('faults' in record) throw new BrokerError('DEVICE_RECORD_MALFORMED', record.faults.join('; '))
  return record
}
