/**
 * Exchanges on their way from a host to a wan process, and their results on the way back:
 * everything that the two say to each other. MessagePack (pack.ts), records with every field at its
 * place:
 *
 *   frame of exchanges  [version, client, list of exchange]
 *     exchange          [number u32, lane u8, address, list of operation, list of keys,
 *                       none or one, from version 5: opaque command or nil]
 *     address           [host, port u16, logicalDevice u16, client u16, secret or nil, transport u8 (0 when left out, else one more than
 *                       its place in Transport), profile ('' when left out), list of security, none or one, device or nil,
 *                       list of model, none or one]
 *     model             [obis of the counter ('' when left out), its client u16 (0), its first value + 1 u64 (0), conformance + 1 u64 (0),
 *                       list of base names [obis, base name u16], list of mode E, none or one: [device address, baudMax u16 (0)]]
 *     security          [suite u8, mechanism u8, protection u8, title of the client, title of the device or nil]
 *     keys              [device, sealed keys, from u64, to u64, received + 1 u64 (2^40 more: the counter is to be read)]
 *     operation         [kind u8, descriptor, selection or nil, value or nil]
 *   frame of results    [version, wanId, list of result]
 *     result            [number u32, outcome u16 (ids of the error table), detail, list of [result u16, value or nil], list of counters,
 *                       list of causes, from version 5: answer to an opaque command or nil]
 *     counters          [next u64, received + 1 u64 (2^40 more: it was read first), expected + 1 u64, 0 when absent]; at most one
 *     cause             [code u16, detail, counter received + 1 u64, counter expected + 1 u64, 0 when there is none]; none or one
 *   receipt             [version, receipt u8]
 *
 * A new field goes to the end of its record, and `version` is raised. Frames are written in version
 * 4, which earlier processes read, unless an opaque command or the answer to one lies in them.
 * These are written in version 5, and a process that does not know it refuses them whole, by name.
 * Keys and secrets are sealed; secrets of records from before they were stand in the clear, so
 * frames stay on the bus and are never logged.
 */
import { limits } from '../../base/limits.ts'
import { errorCodeOf, errorId } from '../../base/error-table.ts'
import { bytesOfEui64, eui64Bytes, readEui64 } from '../../base/eui64.ts'
import { laneCount, type Lane } from '../../base/lane.ts'
import { descriptorBytes } from '../../dlms/apdu/constants.ts'
import { Mechanism, suites } from '../../dlms/security/suite.ts'
import { isHostId } from '../../cluster/lease-record.ts'
import { isSealedKeys } from '../../crypto/sealed-keys.ts'
import {
  Transport,
  type CosemOperation,
  type CosemResult,
  type CountersUsed,
  type DeviceAddress,
  type DeviceModel,
  type DeviceSecurity,
  type ExchangeCause,
  type ExchangeFailure,
  type ExchangeResult,
  type ExchangeSecurity,
  type WanCommand,
} from '../../ports/wan.ts'
import { PackReader, PackWriter } from './pack.ts'

/** Where a wan process takes frames of exchanges. */
export const wanSubject = (wanId: string): string => `wan.${wanId}`
/**
 * Where a host takes frames of results; `client` names one life of it, so that it never hears what
 * was meant for the one before.
 */
export const resultsSubject = (client: string): string => `wan-results.${client}`

export type NumberedExchange = {
  number: number
  lane: Lane
  address: DeviceAddress
  command: WanCommand
  security?: ExchangeSecurity | undefined
}
export type NumberedResult = { number: number; result: ExchangeResult }

/** What became of a frame: taken, or refused whole. */
export const Receipt = { TAKEN: 0, FULL: 1, LEAVING: 2, MALFORMED: 3 } as const
export type Receipt = (typeof Receipt)[keyof typeof Receipt]

const version = 4
/** Of frames with opaque commands, or with answers to them. */
const opaqueVersion = 5
type Version = typeof version | typeof opaqueVersion
const kinds = ['get', 'set', 'action'] as const satisfies CosemOperation['kind'][]
const failures = [
  'DEVICE_UNREACHABLE',
  'DEVICE_SILENT',
  'DEVICE_ANSWER_INVALID',
  'DEVICE_ASSOCIATION_REFUSED',
] as const satisfies ExchangeFailure['code'][]

/** The octets of an exchange in a frame, or a few more. */
export function exchangeBytes(
  address: DeviceAddress,
  { cosem = [], opaque }: WanCommand,
  security?: ExchangeSecurity,
): number {
  const { host, secret, profile } = address
  let bytes = 70 + 3 * (host.length + (profile?.length ?? 0)) + (secret?.length ?? 0)
  if (address.security !== undefined) bytes += 40
  if (address.counter || address.conformance !== undefined || address.modeE) bytes += 100
  if (address.shortNames) bytes += 100 + 32 * Object.keys(address.shortNames).length
  if (security !== undefined) bytes += 50 + security.sealedKeys.length
  bytes += 5 + (opaque?.length ?? 0)
  for (const { descriptor, selection, value } of cosem)
    bytes += 20 + descriptor.length + (selection?.length ?? 0) + (value?.length ?? 0)
  return bytes
}

const textBytesMax = ({ length }: string): number =>
  3 * Math.min(length, limits.wanDetailCharactersMax)

/** The same of a result. */
export function resultBytes(result: ExchangeResult): number {
  const headBytes = result.counters === undefined ? 25 : 55
  if (!result.ok) {
    const { detail, cause } = result
    const causeBytes = cause === undefined ? 0 : 30 + textBytesMax(cause.detail)
    return headBytes + 11 + textBytesMax(detail) + causeBytes
  }
  let bytes = headBytes + 11 + (result.answerBytes?.length ?? 0)
  for (const { value } of result.results) bytes += 10 + (value?.length ?? 0)
  return bytes
}

export function encodeExchanges(client: string, exchanges: readonly NumberedExchange[]): Buffer {
  const hasOpaque = exchanges.some(({ command }) => command.opaque !== undefined)
  const writer = headOf(hasOpaque ? opaqueVersion : version, client, exchanges.length)
  for (const { number, lane, address, command, security } of exchanges) {
    const { cosem = [], opaque } = command
    writer
      .record(hasOpaque ? 6 : 5)
      .uint32(number)
      .uint8(lane)
    writeAddress(writer, address)
    writer.list(cosem.length)
    for (const { kind, descriptor, selection, value } of cosem)
      writer.record(4).uint8(kinds.indexOf(kind)).octets(descriptor).octets(selection).octets(value)
    writeKeys(writer, security)
    if (hasOpaque) writer.octets(opaque)
  }
  return writer.take()
}

function writeKeys(writer: PackWriter, security: ExchangeSecurity | undefined): void {
  writer.list(security === undefined ? 0 : 1)
  if (security === undefined) return
  const { device, sealedKeys, counters } = security
  writer.record(5).octets(bytesOfEui64(device)).octets(sealedKeys)
  writer
    .uint64(counters.from)
    .uint64(counters.to)
    .uint64(counters.received + 1 + (security.isCounterUnknown === true ? counterFlag : 0))
}

function writeAddress(writer: PackWriter, address: DeviceAddress): void {
  const { host, port, logicalDevice, client, secret, transport, profile, security, device } =
    address
  writer.record(10).text(host).uint16(port).uint16(logicalDevice).uint16(client).octets(secret)
  writer.uint8(transport === undefined ? 0 : 1 + Transport.indexOf(transport)).text(profile ?? '')
  writer.list(security === undefined ? 0 : 1)
  if (security !== undefined) {
    const { suite, mechanism, protection, clientTitle, deviceTitle } = security
    writer.record(5).uint8(suite).uint8(mechanism).uint8(protection)
    writer.octets(clientTitle).octets(deviceTitle)
  }
  writer.octets(device && bytesOfEui64(device))
  writeModel(writer, address)
}

function writeModel(writer: PackWriter, address: DeviceAddress): void {
  const { counter, conformance, shortNames, modeE } = address
  const isPlain = !counter && conformance === undefined && !shortNames && !modeE
  writer.list(isPlain ? 0 : 1)
  if (isPlain) return
  const { obis = '', client = 0, initial = -1 } = counter ?? {}
  writer
    .record(6)
    .text(obis)
    .uint16(client)
    .uint64(initial + 1)
  writer.uint64((conformance ?? -1) + 1)
  const names = Object.entries(shortNames ?? {})
  writer.list(names.length)
  for (const [name, base] of names) writer.record(2).text(name).uint16(base)
  writer.list(modeE === undefined ? 0 : 1)
  if (modeE !== undefined)
    writer
      .record(2)
      .text(modeE.deviceAddress ?? '')
      .uint16(modeE.baudMax ?? 0)
}

function modelIn(reader: PackReader): DeviceModel {
  reader.record(6)
  const obis = reader.text()
  const client = reader.uint16()
  const initial = reader.uint64() - 1
  const conformance = reader.uint64() - 1
  const names = listIn(reader, (): [string, number] => {
    reader.record(2)
    return [reader.text(), reader.uint16()]
  })
  const modeE = optionalIn(reader, () => {
    reader.record(2)
    const deviceAddress = reader.text()
    const baudMax = reader.uint16()
    return { ...(deviceAddress !== '' && { deviceAddress }), ...(baudMax > 0 && { baudMax }) }
  })
  const counter = {
    ...(obis !== '' && { obis }),
    ...(client > 0 && { client }),
    ...(initial >= 0 && { initial }),
  }
  return {
    ...(Object.keys(counter).length > 0 && { counter }),
    ...(conformance >= 0 && { conformance }),
    ...(names.length > 0 && { shortNames: Object.fromEntries(names) }),
    ...(modeE && { modeE }),
  }
}

/**
 * Reads a frame of exchanges; octets borrow from it.
 * @throws BrokerError FRAME_MALFORMED
 */
export function decodeExchanges(frameView: Buffer): {
  client: string
  exchanges: NumberedExchange[]
} {
  const reader = new PackReader(frameView)
  const { from: client, isOpaque } = headIn(reader)
  const exchanges = listIn(reader, () => {
    reader.record(isOpaque ? 6 : 5)
    const number = reader.uint32()
    const lane = reader.uint8()
    if (lane >= laneCount) reader.fail()
    const address = addressIn(reader)
    const operations = listIn(reader, operationIn)
    const security = optionalIn(reader, keysIn)
    const opaque = isOpaque ? reader.optionalOctets() : undefined
    if (opaque !== undefined && (opaque.length === 0 || operations.length > 0)) reader.fail()
    const command = opaque === undefined ? { cosem: operations } : { opaque }
    return { number, lane: lane as Lane, address, command, ...(security && { security }) }
  })
  reader.close()
  return { client, exchanges }
}

function addressIn(reader: PackReader): DeviceAddress {
  reader.record(10)
  const host = reader.text()
  const port = reader.uint16()
  const logicalDevice = reader.uint16()
  const client = reader.uint16()
  const secret = reader.optionalOctets()
  const place = reader.uint8()
  const transport = place === 0 ? undefined : (Transport[place - 1] ?? reader.fail())
  const profile = reader.text()
  const security = optionalIn(reader, securityIn)
  const device = reader.optionalOctets()
  if (device !== undefined && device.length !== eui64Bytes) reader.fail()
  const model = optionalIn(reader, modelIn)
  return {
    host,
    port,
    logicalDevice,
    client,
    secret,
    ...(transport && { transport }),
    ...(profile !== '' && { profile }),
    ...(security && { security }),
    ...(device && { device: readEui64(device) }),
    ...model,
  }
}

function securityIn(reader: PackReader): DeviceSecurity {
  reader.record(5)
  const suite = reader.uint8()
  const mechanism = reader.uint8()
  if (suite >= suites.length || mechanism > Mechanism.HIGH_ECDSA) reader.fail()
  const protection = reader.uint8()
  const clientTitle = reader.octets()
  const deviceTitle = reader.optionalOctets()
  return {
    suite: suite as DeviceSecurity['suite'],
    mechanism,
    protection,
    clientTitle,
    ...(deviceTitle && { deviceTitle }),
  }
}

function keysIn(reader: PackReader): ExchangeSecurity {
  reader.record(5)
  const device = reader.octets()
  const sealedKeys = reader.octets()
  if (device.length !== eui64Bytes || !isSealedKeys(sealedKeys)) reader.fail()
  const from = reader.uint64()
  const to = reader.uint64()
  if (to < from) reader.fail()
  const { received, isFlagged } = receivedIn(reader)
  return {
    device: readEui64(device),
    sealedKeys,
    counters: { from, to, received },
    ...(isFlagged && { isCounterUnknown: true }),
  }
}

function operationIn(reader: PackReader): CosemOperation {
  reader.record(4)
  const kind = kinds[reader.uint8()] ?? reader.fail()
  const descriptor = reader.octets()
  if (descriptor.length !== descriptorBytes) reader.fail()
  const selection = reader.optionalOctets()
  const value = reader.optionalOctets()
  return { kind, descriptor, ...(selection && { selection }), ...(value && { value }) }
}

export function encodeResults(wanId: string, results: readonly NumberedResult[]): Buffer {
  const hasOpaque = results.some(({ result }) => answerIn(result) !== undefined)
  const writer = headOf(hasOpaque ? opaqueVersion : version, wanId, results.length)
  for (const { number, result } of results) {
    writer.record(hasOpaque ? 7 : 6).uint32(number)
    if (result.ok) {
      writer.uint16(errorId('OK')).text('').list(result.results.length)
      for (const one of result.results) writer.record(2).uint16(one.result).octets(one.value)
    } else {
      const detail = result.detail.slice(0, limits.wanDetailCharactersMax)
      writer.uint16(errorId(result.code)).text(detail).list(0)
    }
    const { counters } = result
    writer.list(counters === undefined ? 0 : 1)
    if (counters !== undefined)
      writer
        .record(3)
        .uint64(counters.next)
        .uint64(counters.received + 1 + (counters.isRead === true ? counterFlag : 0))
        .uint64((counters.expected ?? -1) + 1)
    const cause = result.ok ? undefined : result.cause
    writer.list(cause === undefined ? 0 : 1)
    if (cause !== undefined)
      writer
        .record(4)
        .uint16(errorId(cause.code))
        .text(cause.detail.slice(0, limits.wanDetailCharactersMax))
        .uint64((cause.counterReceived ?? -1) + 1)
        .uint64((cause.counterExpected ?? -1) + 1)
    if (hasOpaque) writer.octets(answerIn(result))
  }
  return writer.take()
}

const answerIn = (result: ExchangeResult): Uint8Array | undefined =>
  result.ok ? result.answerBytes : undefined

/**
 * Reads a frame of results; values borrow from it.
 * @throws BrokerError FRAME_MALFORMED
 */
export function decodeResults(frameView: Buffer): { wanId: string; results: NumberedResult[] } {
  const reader = new PackReader(frameView)
  const { from: wanId, isOpaque } = headIn(reader)
  const results = listIn(reader, (): NumberedResult => {
    reader.record(isOpaque ? 7 : 6)
    const number = reader.uint32()
    const outcome = errorCodeOf(reader.uint16())
    const detail = reader.text()
    const values = listIn(reader, valueIn)
    const counters = optionalIn(reader, countersIn)
    const cause = optionalIn(reader, causeIn)
    const answerBytes = isOpaque ? reader.optionalOctets() : undefined
    const using = { ...(answerBytes && { answerBytes }), ...(counters && { counters }) }
    if (outcome === 'OK') return { number, result: { ok: true, results: values, ...using } }
    if (answerBytes !== undefined) reader.fail()
    const code = failures.find((failure) => failure === outcome) ?? reader.fail()
    return { number, result: { ok: false, code, detail, ...(cause && { cause }), ...using } }
  })
  reader.close()
  return { wanId, results }
}

function countersIn(reader: PackReader): CountersUsed {
  reader.record(3)
  const next = reader.uint64()
  const { received, isFlagged } = receivedIn(reader)
  const expected = reader.uint64() - 1
  return {
    next,
    received,
    ...(expected >= 0 && { expected }),
    ...(isFlagged && { isRead: true }),
  }
}

/**
 * Added to a received counter, which has 32 bits. A process of a version that does not know it
 * takes it for part of the counter, and believes no answer of the device.
 */
const counterFlag = 2 ** 40

function receivedIn(reader: PackReader): { received: number; isFlagged: boolean } {
  const value = reader.uint64()
  const isFlagged = value >= counterFlag
  return { received: value - 1 - (isFlagged ? counterFlag : 0), isFlagged }
}

function causeIn(reader: PackReader): ExchangeCause {
  reader.record(4)
  const code = errorCodeOf(reader.uint16()) ?? reader.fail()
  const detail = reader.text()
  const counterReceived = reader.uint64() - 1
  const counterExpected = reader.uint64() - 1
  return {
    code,
    detail,
    ...(counterReceived >= 0 && { counterReceived }),
    ...(counterExpected >= 0 && { counterExpected }),
  }
}

function valueIn(reader: PackReader): CosemResult {
  reader.record(2)
  const result = reader.uint16()
  return { value: reader.optionalOctets(), result }
}

export function encodeReceipt(receipt: Receipt): Buffer {
  return new PackWriter().record(2).uint16(version).uint8(receipt).take()
}

/** @throws BrokerError FRAME_MALFORMED */
export function decodeReceipt(view: Buffer): Receipt {
  const reader = new PackReader(view)
  reader.record(2)
  if (reader.uint16() !== version) reader.fail()
  const receipt = reader.uint8()
  if (receipt > Receipt.MALFORMED) reader.fail()
  reader.close()
  return receipt as Receipt
}

function headOf(of: Version, from: string, count: number): PackWriter {
  return new PackWriter().record(3).uint16(of).text(from).list(count)
}

/** Who sent the frame, and whether its records have places for opaque octets. */
function headIn(reader: PackReader): { from: string; isOpaque: boolean } {
  reader.record(3)
  const of = reader.uint16()
  if (of !== version && of !== opaqueVersion) reader.fail()
  const from = reader.text()
  if (!isHostId(from)) reader.fail()
  return { from, isOpaque: of === opaqueVersion }
}

function listIn<T>(reader: PackReader, read: (reader: PackReader) => T): T[] {
  const list: T[] = []
  for (let left = reader.list(); left > 0; left--) list.push(read(reader))
  return list
}

/** Of a list of none or one. */
function optionalIn<T>(reader: PackReader, read: (reader: PackReader) => T): T | undefined {
  const list = listIn(reader, read)
  return list.length > 1 ? reader.fail() : list[0]
}
