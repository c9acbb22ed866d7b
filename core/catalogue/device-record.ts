/**
 * What the inventory says of a device: its type and how it is reached. Travels as the body of DEVICE_REGISTRATION and
 * DEVICE_REGISTERED, a MessagePack map with these names; operators write it as JSON. This is the one place that reads or
 * writes either form. It knows nothing of life cycles or of who may use the device.
 */
import { Packr } from 'msgpackr'
import { copyOf, emptyBytes, sameBytes } from '../base/bytes.ts'
import { BrokerError } from '../base/broker-error.ts'
import { eui64Key, parseEui64, type Eui64Key } from '../base/eui64.ts'
import type { DeviceAddress } from '../ports/wan.ts'

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

export type DeviceRecord = { type: DeviceType; address: DeviceAddress }

/** A device of an inventory file: who it is and its record. */
export type DeviceEntry = { key: Eui64Key; record: DeviceRecord }

/** Why a record is none: every fault, one sentence each, naming the field. Belongs to DEVICE_RECORD_MALFORMED. */
export type DeviceRecordFault = { faults: string[] }

// A low-level security secret is an octet string of the meter's; 64 octets is more than any meter takes.
const secretBytesMax = 64
const hostCharactersMax = 253

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

function readSecret(value: unknown, faults: string[]): Uint8Array | undefined {
  if (value === undefined || value === null) return undefined
  if (ArrayBuffer.isView(value)) {
    const octets = new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    if (octets.length >= 1 && octets.length <= secretBytesMax) return copyOf(octets)
  } else if (
    typeof value === 'string' &&
    value.length % 2 === 0 &&
    /^[0-9a-fA-F]{2,128}$/.test(value)
  ) {
    return Buffer.from(value, 'hex')
  }
  faults.push(`address.secret must be hexadecimal digits for 1 to ${secretBytesMax} octets`)
  return undefined
}

function readRecord(json: unknown): DeviceRecord | DeviceRecordFault {
  if (!isPlain(json)) return { faults: ['a device record is an object with type and address'] }
  const faults = unknownFields(json, ['type', 'address'], '')
  const type = DeviceType.find((known) => known === json['type'])
  if (type === undefined) faults.push(`type must be one of ${DeviceType.join(', ')}`)
  const raw = json['address']
  if (!isPlain(raw)) {
    faults.push('address must be an object with host, port, logicalDevice and client')
    return { faults }
  }
  faults.push(
    ...unknownFields(raw, ['host', 'port', 'logicalDevice', 'client', 'secret'], 'address: '),
  )
  const host = raw['host']
  const isHost =
    typeof host === 'string' && host.length <= hostCharactersMax && /^[0-9A-Za-z.:_%-]+$/.test(host)
  if (!isHost) faults.push('address.host must be a host name or an IP address')
  const address: DeviceAddress = {
    host: isHost ? host : '',
    port: checkInteger(raw['port'], 1, 65_535, 'address.port', faults),
    logicalDevice: checkInteger(raw['logicalDevice'], 1, 65_535, 'address.logicalDevice', faults),
    client: checkInteger(raw['client'], 1, 65_535, 'address.client', faults),
  }
  const secret = readSecret(raw['secret'], faults)
  if (secret !== undefined) address.secret = secret
  return type === undefined || faults.length > 0 ? { faults } : { type, address }
}

/** Reads a record from parsed JSON, strictly: unknown fields are faults. The secret is hexadecimal text. */
export function deviceRecordOf(json: unknown): DeviceRecord | DeviceRecordFault {
  return readRecord(json)
}

/** Reads `{ "eui64": …, "type": …, "address": … }`, one device of an inventory file or of the operators' interface. */
export function deviceEntryOf(json: unknown): DeviceEntry | DeviceRecordFault {
  if (!isPlain(json)) return { faults: ['a device is an object with eui64, type and address'] }
  const { eui64, ...rest } = json
  const octets = typeof eui64 === 'string' ? parseEui64(eui64) : undefined
  const record = readRecord(rest)
  const faults = 'faults' in record ? record.faults : []
  if (octets === undefined)
    faults.unshift('eui64 must be sixteen hexadecimal digits, bare or with - or : between octets')
  return octets === undefined || 'faults' in record ? { faults } : { key: eui64Key(octets), record }
}

/** The JSON form of an entry, which `deviceEntryOf` reads back. Contains the secret: not for logs. */
export function jsonOfDeviceEntry(eui64: string, record: DeviceRecord): Record<string, unknown> {
  const { secret, ...address } = record.address
  const asHex = secret === undefined ? {} : { secret: Buffer.from(secret).toString('hex') }
  return { eui64, type: record.type, address: { ...address, ...asHex } }
}

/** True when both say the same of a device. */
export function sameDeviceRecord(a: DeviceRecord, b: DeviceRecord): boolean {
  const { host, port, logicalDevice, client, secret } = a.address
  const other = b.address
  return (
    a.type === b.type &&
    host === other.host &&
    port === other.port &&
    logicalDevice === other.logicalDevice &&
    client === other.client &&
    sameBytes(secret ?? emptyBytes, other.secret ?? emptyBytes)
  )
}

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true })

/** The MessagePack form, in memory of its own. */
export function encodeDeviceRecord(record: DeviceRecord): Buffer {
  const { host, port, logicalDevice, client, secret } = record.address
  const address = {
    host,
    port,
    logicalDevice,
    client,
    ...(secret === undefined ? {} : { secret: Buffer.from(secret) }),
  }
  return copyOf(packr.pack({ type: record.type, address }))
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
  const record = readRecord(tree)
  if ('faults' in record) throw new BrokerError('DEVICE_RECORD_MALFORMED', record.faults.join('; '))
  return record
}
