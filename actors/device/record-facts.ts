/**
 * What a registration says of a device, as facts; decided and applied in registration.ts. In format
 * 1 of a deployment one fact has the whole record, in format 2 each part that changes has one:
 *
 *   DEVICE_REGISTERED        the record                                    MessagePack
 *   DEVICE_ADDRESSED         what it is, how it is reached, its time zone  version | MessagePack
 *   DEVICE_KEYED             its sealed keys, none when dropped            version | sealed keys
 *   DEVICE_ALERTS_ADDRESSED  parties of its unsolicited messages           version | EUI-64 8 …
 *
 * It is in the inventory from the first DEVICE_REGISTERED or DEVICE_ADDRESSED on, until
 * DEVICE_REMOVED (removal-fact.ts).
 */
import { copyOf } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { eui64Bytes, readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readKind, readTime } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { readVersioned, versioned } from './fact-body.ts'

export type DeviceRegistered = { type: 'DEVICE_REGISTERED'; time: number; recordBytes: Buffer }
/** `recordBytes`: a record without keys and without alertsTo. */
export type DeviceAddressed = { type: 'DEVICE_ADDRESSED'; time: number; recordBytes: Buffer }
export type DeviceKeyed = { type: 'DEVICE_KEYED'; time: number; sealedKeys: Buffer | undefined }
export type DeviceAlertsAddressed = {
  type: 'DEVICE_ALERTS_ADDRESSED'
  time: number
  alertsTo: readonly Eui64[]
}
export type RecordFact = DeviceRegistered | DeviceAddressed | DeviceKeyed | DeviceAlertsAddressed

const types: ReadonlySet<string> = new Set<RecordFact['type']>([
  'DEVICE_REGISTERED',
  'DEVICE_ADDRESSED',
  'DEVICE_KEYED',
  'DEVICE_ALERTS_ADDRESSED',
])
export const isRecordFact = (fact: { type: string }): fact is RecordFact => types.has(fact.type)

/** Its body. */
export function recordBody(fact: RecordFact): Buffer {
  switch (fact.type) {
    case 'DEVICE_REGISTERED':
      return fact.recordBytes
    case 'DEVICE_ADDRESSED':
      return versioned(fact.recordBytes)
    case 'DEVICE_KEYED':
      return versioned(fact.sealedKeys ?? Buffer.alloc(0))
    case 'DEVICE_ALERTS_ADDRESSED':
      return versioned(Buffer.from(fact.alertsTo.join(''), 'latin1'))
  }
}

/**
 * The fact in the envelope at `at`, in memory of its own; undefined when it is another one.
 * @throws BrokerError as `readVersioned`
 */
export function readRecordFact(buffer: Buffer, at: number): RecordFact | undefined {
  const time = readTime(buffer, at)
  switch (readKind(buffer, at)) {
    case Kind.DEVICE_REGISTERED:
      return { type: 'DEVICE_REGISTERED', time, recordBytes: copyOf(readBodyView(buffer, at)) }
    case Kind.DEVICE_ADDRESSED:
      return { type: 'DEVICE_ADDRESSED', time, recordBytes: copyOf(addressedIn(buffer, at)) }
    case Kind.DEVICE_KEYED: {
      const keysView = readVersioned(buffer, at, 'keys of a device')
      const sealedKeys = keysView.length === 0 ? undefined : copyOf(keysView)
      return { type: 'DEVICE_KEYED', time, sealedKeys }
    }
    case Kind.DEVICE_ALERTS_ADDRESSED: {
      const parties = readVersioned(buffer, at, 'addressees of alerts')
      if (parties.length % eui64Bytes !== 0)
        throw new BrokerError('ENVELOPE_MALFORMED', `addressees in ${parties.length} octets`)
      const count = parties.length / eui64Bytes
      const alertsTo = Array.from({ length: count }, (_, i) => readEui64(parties, i * eui64Bytes))
      return { type: 'DEVICE_ALERTS_ADDRESSED', time, alertsTo }
    }
    default:
      return undefined
  }
}

/** The record in a DEVICE_ADDRESSED, without keys and alertsTo; borrowed. */
export const addressedIn = (buffer: Buffer, at: number): Buffer =>
  readVersioned(buffer, at, 'the address of a device')
