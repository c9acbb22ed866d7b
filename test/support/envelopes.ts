/** Envelopes for tests, as a gateway would make them. */
import { parseEui64, readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import { parseSrv, type Srv } from '../../core/base/srv.ts'
import { encodeDeviceRecord, type DeviceRecord } from '../../core/inventory/device-record.ts'
import { writeEnvelope, type Header } from '../../core/envelope/envelope.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'

export const supplierText = '90-B3-D5-1F-30-01-00-00'
export const supplier: Eui64 = readEui64(parseEui64(supplierText)!)

/** The key of a device of tests, by number. */
export function deviceKey(index: number): Eui64 {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(0x00db0000, 0)
  bytes.writeUInt32BE(index, 4)
  return readEui64(bytes)
}

export type Wanted = {
  kind?: Kind
  srv?: string
  lane?: Lane
  originator?: Eui64
  device?: Eui64
  counter?: number | bigint
  deadline?: number
  time?: number
  bodyType?: number
  body?: Buffer
  correlation?: number
}

export function envelopeOf(wanted: Wanted): Buffer {
  const body = wanted.body ?? Buffer.alloc(0)
  const header: Header = {
    kind: wanted.kind ?? Kind.SERVICE_REQUEST,
    lane: wanted.lane ?? Lane.NORMAL,
    srv: wanted.srv === undefined ? parseSrv('4.1.1') : (parseSrv(wanted.srv) as Srv),
    outcome: 0,
    bodyType: wanted.bodyType ?? 0,
    attempt: 0,
    originator: Buffer.from(wanted.originator ?? supplier, 'latin1'),
    target: Buffer.from(wanted.device ?? deviceKey(1), 'latin1'),
    counter: BigInt(wanted.counter ?? 1),
    time: wanted.time ?? 0,
    deadline: wanted.deadline ?? 0,
    correlation: wanted.correlation ?? 0,
  }
  const buffer = Buffer.alloc(headerBytes + body.length)
  writeEnvelope(buffer, 0, header, body)
  return buffer
}

export const plainRecord: DeviceRecord = {
  type: 'ESME',
  address: { host: '127.0.0.1', port: 4059, logicalDevice: 1, client: 16 },
}

export function registrationOf(
  device: Eui64,
  record: DeviceRecord = plainRecord,
  correlation = 0,
): Buffer {
  return envelopeOf({
    kind: Kind.DEVICE_REGISTRATION,
    device,
    body: encodeDeviceRecord(record),
    correlation,
  })
}
