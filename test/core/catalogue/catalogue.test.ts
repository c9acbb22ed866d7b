/** The catalogue's rows, and device records in JSON and MessagePack. */
import fc from 'fast-check'
import { pack } from 'msgpackr'
import t from 'tap'
import { formatEui64Key } from '../../../core/base/eui64.ts'
import { Lane } from '../../../core/base/lane.ts'
import { parseSrv, type Srv } from '../../../core/base/srv.ts'
import {
  decodeDeviceRecord,
  deviceEntryOf,
  deviceRecordOf,
  DeviceType,
  encodeDeviceRecord,
  jsonOfDeviceEntry,
  type DeviceRecord,
} from '../../../core/catalogue/device-record.ts'
import { serviceRequestOf, serviceRequests } from '../../../core/catalogue/service-requests.ts'

t.test('all variants of DUIS 5.4, each once', (t) => {
  t.equal(serviceRequests.length, 129)
  t.equal(serviceRequests.filter(({ isCritical }) => isCritical).length, 37)
  t.equal(serviceRequests.filter(({ isOverWan }) => !isOverWan).length, 16)
  for (const row of serviceRequests) {
    t.equal(serviceRequestOf(parseSrv(row.text)), row, row.text)
    t.ok(row.name.length > 0)
    t.ok(row.deviceTypes.length > 0, `${row.text} has device types`)
  }
  t.equal(serviceRequestOf(0 as Srv), undefined)
  t.equal(serviceRequestOf(parseSrv('99.9.9')), undefined)
  t.end()
})

t.test('the served ones, with body and lane', (t) => {
  t.same(
    serviceRequests
      .filter(({ isServed }) => isServed)
      .map(({ text, bodyType, lane }) => [text, bodyType, lane]),
    [
      ['3.1', 16, Lane.NORMAL],
      ['4.1.1', 0, Lane.NORMAL],
      ['4.2', 0, Lane.NORMAL],
      ['4.8.1', 17, Lane.BULK],
      ['4.10', 17, Lane.BULK],
      ['4.17', 17, Lane.BULK],
      ['6.2.4', 0, Lane.NORMAL],
      ['6.11', 18, Lane.NORMAL],
      ['7.4', 0, Lane.NORMAL],
      ['11.2', 0, Lane.NORMAL],
    ],
  )
  const laneOf = (text: string): number | undefined => serviceRequestOf(parseSrv(text))?.lane
  t.equal(laneOf('2.2'), Lane.URGENT, 'a top-up goes before reads')
  t.equal(laneOf('7.1'), Lane.URGENT)
  for (const row of serviceRequests) {
    t.equal(row.isServed, row.operations.length > 0, row.text)
    for (const operation of row.operations) {
      t.ok(
        operation.deviceTypes.every((type) => row.deviceTypes.includes(type)),
        `${row.text}: only to devices that take it`,
      )
      t.equal(
        operation.kind === 'get',
        operation.value === undefined,
        `${row.text}: what is written has a value`,
      )
    }
    // Every register reading has its scaler_unit beside it.
    for (const { classId, obis, yields, index } of row.operations) {
      if (yields !== 'reading' || index !== 2 || (classId !== 3 && classId !== 4)) continue
      t.ok(
        row.operations.some(
          (other) =>
            other.yields === 'scaler-unit' && other.classId === classId && other.obis === obis,
        ),
        `${row.text}: unit of ${obis}`,
      )
    }
  }
  t.end()
})

const hostText = fc.constantFrom('127.0.0.1', '::1', 'meter-7.example')
const record: fc.Arbitrary<DeviceRecord> = fc
  .record({
    type: fc.constantFrom(...DeviceType),
    host: hostText,
    port: fc.integer({ min: 1, max: 65_535 }),
    logicalDevice: fc.integer({ min: 1, max: 65_535 }),
    client: fc.integer({ min: 1, max: 65_535 }),
    secret: fc.option(fc.uint8Array({ minLength: 1, maxLength: 64 }), { nil: undefined }),
  })
  .map(({ type, secret, ...address }) => ({
    type,
    address: secret === undefined ? address : { ...address, secret: Buffer.from(secret) },
  }))

t.test('device records keep their fields in MessagePack and JSON', (t) => {
  fc.assert(
    fc.property(record, (each) => {
      t.same(decodeDeviceRecord(encodeDeviceRecord(each)), each)
      const json: unknown = JSON.parse(
        JSON.stringify(jsonOfDeviceEntry('00-DB-00-00-00-00-00-01', each)),
      )
      const entry = deviceEntryOf(json)
      if ('faults' in entry) throw new Error(entry.faults.join())
      t.equal(formatEui64Key(entry.key), '00-DB-00-00-00-00-00-01')
      t.same(entry.record, each)
    }),
    { numRuns: 100 },
  )
  t.end()
})

t.test('a record with faults lists all of them', (t) => {
  const good = { type: 'ESME', address: { host: 'h', port: 4059, logicalDevice: 1, client: 16 } }
  t.same(deviceRecordOf(good), good)
  t.same(deviceRecordOf({ ...good, address: { ...good.address, secret: '31323334' } }), {
    ...good,
    address: { ...good.address, secret: Buffer.from('1234') },
  })
  const faultsOf = (json: unknown): string[] => {
    const record = deviceRecordOf(json)
    return 'faults' in record ? record.faults : []
  }
  t.equal(faultsOf(null).length, 1)
  t.equal(faultsOf([]).length, 1)
  t.equal(faultsOf({ type: 'METER' }).length, 2)
  t.equal(
    faultsOf({
      type: 'METER',
      extra: 1,
      address: { host: 'a b', port: 0, logicalDevice: 65_536, client: 1.5, secret: 'xyz', more: 1 },
    }).length,
    8,
  )
  t.match(faultsOf({ ...good, address: { ...good.address, port: '4059' } }), [
    'address.port must be a whole number from 1 to 65535',
  ])
  const entry = deviceEntryOf({ eui64: 'nothing', type: 'ESME' })
  t.equal('faults' in entry && entry.faults.length, 2)
  t.ok('faults' in deviceEntryOf(7))
  t.end()
})

t.test('octets that are no record: DEVICE_RECORD_MALFORMED, never anything else', (t) => {
  const whole = encodeDeviceRecord({
    type: 'ESME',
    address: {
      host: 'meter',
      port: 4059,
      logicalDevice: 1,
      client: 1,
      secret: Buffer.from('secret'),
    },
  })
  for (let end = 0; end < whole.length; end++)
    t.throws(
      () => decodeDeviceRecord(whole.subarray(0, end)),
      { code: 'DEVICE_RECORD_MALFORMED' },
      `cut at ${end}`,
    )
  for (const tree of [
    1,
    null,
    [],
    {},
    { type: 'ESME' },
    { type: 'ESME', address: 'x' },
    new Date(),
  ])
    t.throws(() => decodeDeviceRecord(pack(tree)), { code: 'DEVICE_RECORD_MALFORMED' })
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (octets) => {
      try {
        decodeDeviceRecord(octets)
      } catch (error) {
        return (error as { code?: unknown }).code === 'DEVICE_RECORD_MALFORMED'
      }
      return true
    }),
    { numRuns: 2000 },
  )
  t.end()
})
