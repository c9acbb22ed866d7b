/**
 * Exchanges on their way from a host to a wan process, and their results on the way back: everything that the two say to each other.
 * MessagePack (pack.ts), records with every field at its place:
 *
 *   frame of exchanges  [version, client, list of exchange]
 *     exchange          [number u32, lane u8, address, list of operation]
 *     address           [host, port u16, logicalDevice u16, client u16, secret or nil]
 *     operation         [kind u8, descriptor, selection or nil, value or nil]
 *   frame of results    [version, wanId, list of result]
 *     result            [number u32, outcome u16 (ids of the error table), detail, list of [result u16, value or nil]]
 *   receipt             [version, receipt u8]
 *
 * A new field goes to the end of its record, and `version` is raised: processes of two versions refuse each other's frames, by name.
 * Frames hold the secrets of devices: they stay on the bus and are never logged.
 */
import { errorCodeOf, errorId } from '../base/error-table.ts'
import { laneCount, type Lane } from '../base/lane.ts'
import { descriptorBytes } from '../dlms/apdu.ts'
import { isHostId } from '../ports/lease.ts'
import type {
  CosemOperation,
  CosemResult,
  DeviceAddress,
  ExchangeFailure,
  ExchangeResult,
} from '../ports/wan.ts'
import { PackReader, PackWriter } from './pack.ts'

/** Where a wan process takes frames of exchanges. */
export const wanSubject = (wanId: string): string => `wan.${wanId}`
/** Where a host takes frames of results; `client` names one life of it, so that it never hears what was meant for the one before. */
export const resultsSubject = (client: string): string => `wan-results.${client}`

export type NumberedExchange = {
  number: number
  lane: Lane
  address: DeviceAddress
  operations: readonly CosemOperation[]
}
export type NumberedResult = { number: number; result: ExchangeResult }

/** What became of a frame: taken, or refused whole. */
export const Receipt = { TAKEN: 0, FULL: 1, LEAVING: 2, MALFORMED: 3 } as const
export type Receipt = (typeof Receipt)[keyof typeof Receipt]

const version = 1
const kinds = ['get', 'set', 'action'] as const satisfies CosemOperation['kind'][]
const failures = [
  'DEVICE_UNREACHABLE',
  'DEVICE_SILENT',
  'DEVICE_ANSWER_INVALID',
  'DEVICE_ASSOCIATION_REFUSED',
] as const satisfies ExchangeFailure['code'][]
const detailCharactersMax = 500

/** The octets of an exchange in a frame, or a few more. */
export function exchangeBytes(
  address: DeviceAddress,
  operations: readonly CosemOperation[],
): number {
  let bytes = 40 + 3 * address.host.length + (address.secret?.length ?? 0)
  for (const { descriptor, selection, value } of operations)
    bytes += 20 + descriptor.length + (selection?.length ?? 0) + (value?.length ?? 0)
  return bytes
}

/** The same of a result. */
export function resultBytes(result: ExchangeResult): number {
  if (!result.ok) return 20 + 3 * Math.min(result.detail.length, detailCharactersMax)
  let bytes = 20
  for (const { value } of result.results) bytes += 10 + (value?.length ?? 0)
  return bytes
}

export function encodeExchanges(client: string, exchanges: readonly NumberedExchange[]): Buffer {
  const writer = headOf(client, exchanges.length)
  for (const { number, lane, address, operations } of exchanges) {
    writer.record(4).uint32(number).uint8(lane)
    const { host, port, logicalDevice, client: clientPort, secret } = address
    writer.record(5).text(host).uint16(port).uint16(logicalDevice).uint16(clientPort).octets(secret)
    writer.list(operations.length)
    for (const { kind, descriptor, selection, value } of operations)
      writer.record(4).uint8(kinds.indexOf(kind)).octets(descriptor).octets(selection).octets(value)
  }
  return writer.take()
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
  const client = headIn(reader)
  const exchanges = listIn(reader, () => {
    reader.record(4)
    const number = reader.uint32()
    const lane = reader.uint8()
    if (lane >= laneCount) reader.fail()
    const address = addressIn(reader)
    return { number, lane: lane as Lane, address, operations: listIn(reader, operationIn) }
  })
  reader.close()
  return { client, exchanges }
}

function addressIn(reader: PackReader): DeviceAddress {
  reader.record(5)
  const host = reader.text()
  const port = reader.uint16()
  const logicalDevice = reader.uint16()
  const client = reader.uint16()
  return { host, port, logicalDevice, client, secret: reader.optionalOctets() }
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
  const writer = headOf(wanId, results.length)
  for (const { number, result } of results) {
    writer.record(4).uint32(number)
    if (result.ok) {
      writer.uint16(errorId('OK')).text('').list(result.results.length)
      for (const one of result.results) writer.record(2).uint16(one.result).octets(one.value)
    } else {
      const detail = result.detail.slice(0, detailCharactersMax)
      writer.uint16(errorId(result.code)).text(detail).list(0)
    }
  }
  return writer.take()
}

/**
 * Reads a frame of results; values borrow from it.
 * @throws BrokerError FRAME_MALFORMED
 */
export function decodeResults(frameView: Buffer): { wanId: string; results: NumberedResult[] } {
  const reader = new PackReader(frameView)
  const wanId = headIn(reader)
  const results = listIn(reader, (): NumberedResult => {
    reader.record(4)
    const number = reader.uint32()
    const outcome = errorCodeOf(reader.uint16())
    const detail = reader.text()
    const values = listIn(reader, valueIn)
    if (outcome === 'OK') return { number, result: { ok: true, results: values } }
    const code = failures.find((failure) => failure === outcome) ?? reader.fail()
    return { number, result: { ok: false, code, detail } }
  })
  reader.close()
  return { wanId, results }
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

function headOf(from: string, count: number): PackWriter {
  return new PackWriter().record(3).uint16(version).text(from).list(count)
}

/** Who sent the frame. */
function headIn(reader: PackReader): string {
  reader.record(3)
  if (reader.uint16() !== version) reader.fail()
  const from = reader.text()
  if (!isHostId(from)) reader.fail()
  return from
}

function listIn<T>(reader: PackReader, read: (reader: PackReader) => T): T[] {
  const list: T[] = []
  for (let left = reader.list(); left > 0; left--) list.push(read(reader))
  return list
}
