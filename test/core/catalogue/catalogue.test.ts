/** The catalogue's rows, and device records in JSON and MessagePack. */
import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { pack } from 'msgpackr'
import t from 'tap'
import { textOfEui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { Lane } from '../../../core/base/lane.ts'
import { parseSrv, type Srv } from '../../../core/base/srv.ts'
import {
  decodeDeviceRecord,
  deviceEntryOf,
  deviceRecordOf,
  DeviceType,
  encodeDeviceRecord,
  jsonOfDeviceEntry,
  sameDeviceRecord,
  type DeviceRecord,
} from '../../../core/inventory/device-record.ts'
import type { DeviceKeys } from '../../../core/crypto/key-vault.ts'
import { Transport } from '../../../core/ports/wan.ts'
import { p256Certificate, p256Point } from '../../support/certificates.ts'
import { deviceKey } from '../../support/envelopes.ts'
import { clientTitle, meterTitle } from '../../support/security.ts'
import { BodyType } from '../../../core/translate/body-types.ts'
import {
  serviceRequestOf,
  serviceRequests,
  type AnsweredBy,
} from '../../../core/catalogue/service-requests.ts'

t.test('all variants of DUIS 5.4, each once', (t) => {
  t.equal(serviceRequests.length, 129)
  t.equal(serviceRequests.filter(({ isCritical }) => isCritical).length, 37)
  const answeredBy = (part: AnsweredBy): string[] =>
    serviceRequests.filter((row) => row.answeredBy === part).map(({ text }) => text)
  t.equal(answeredBy('device').length, 129 - 16)
  t.same(answeredBy('view'), ['8.2', '12.1'])
  t.same(answeredBy('campaign'), ['11.1', '11.4'])
  t.equal(answeredBy('device-actor').length, 12)
  t.ok(serviceRequests.every((row) => row.answeredBy === 'device' || row.operations.length === 0))
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
      ['3.1', BodyType.DISPLAY_MESSAGE, Lane.NORMAL],
      ['4.1.1', BodyType.NONE, Lane.NORMAL],
      ['4.2', BodyType.NONE, Lane.NORMAL],
      ['4.8.1', BodyType.READ_PERIOD, Lane.BULK],
      ['4.10', BodyType.READ_PERIOD, Lane.BULK],
      ['4.17', BodyType.READ_PERIOD, Lane.BULK],
      ['5.1', BodyType.CREATE_SCHEDULE, Lane.NORMAL],
      ['5.2', BodyType.READ_SCHEDULES, Lane.NORMAL],
      ['5.3', BodyType.DELETE_SCHEDULES, Lane.NORMAL],
      ['6.2.4', BodyType.NONE, Lane.NORMAL],
      ['6.11', BodyType.SYNCHRONISE_CLOCK, Lane.NORMAL],
      ['7.4', BodyType.NONE, Lane.NORMAL],
      ['11.2', BodyType.NONE, Lane.NORMAL],
    ],
  )
  const laneOf = (text: string): number | undefined => serviceRequestOf(parseSrv(text))?.lane
  t.equal(laneOf('2.2'), Lane.URGENT, 'a top-up goes before reads')
  t.equal(laneOf('7.1'), Lane.URGENT)
  for (const row of serviceRequests) {
    const isOverWan = row.answeredBy === 'device'
    if (isOverWan) t.equal(row.isServed, row.operations.length > 0, row.text)
    else t.equal(row.operations.length, 0, row.text)
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
const model = {
  counter: fc.record(
    { obis: fc.constant('0-0:43.1.3.255'), client: fc.constant(48), initial: fc.nat() },
    { requiredKeys: ['obis'], noNullPrototype: true },
  ),
  conformance: fc.nat(0xff_ffff),
  shortNames: fc.dictionary(
    fc.constantFrom('1-0:1.8.0.255', '0-0:1.0.0.255', '1-0:2.8.0.255'),
    fc.nat(0xffff),
    { minKeys: 1, noNullPrototype: true },
  ),
}
const record: fc.Arbitrary<DeviceRecord> = fc
  .record({
    type: fc.constantFrom(...DeviceType),
    host: hostText,
    port: fc.integer({ min: 1, max: 65_535 }),
    logicalDevice: fc.integer({ min: 1, max: 65_535 }),
    client: fc.integer({ min: 1, max: 65_535 }),
    secret: fc.option(fc.uint8Array({ minLength: 1, maxLength: 64 }), { nil: undefined }),
    modeE: fc.option(
      fc.record(
        { deviceAddress: fc.constant('12345678'), baudMax: fc.constant(300) },
        { requiredKeys: [], noNullPrototype: true },
      ),
      { nil: undefined },
    ),
    timeZone: fc.option(fc.constantFrom('Europe/Berlin', '+01:00'), { nil: undefined }),
    alertsTo: fc.option(
      fc
        .uniqueArray(fc.nat(1_000), { minLength: 1, maxLength: limits.alertPartiesMax })
        .map((numbers) => numbers.map(deviceKey).sort()),
      { nil: undefined },
    ),
    beside: fc.record(
      {
        transport: fc.constantFrom(...Transport),
        profile: fc.constantFrom('standard', 'dedicated-key+clear-release'),
        ...model,
        security: fc.record(
          {
            suite: fc.constantFrom(0 as const, 1 as const, 2 as const),
            mechanism: fc.integer({ min: 0, max: 7 }),
            protection: fc.constantFrom(0, 0x10, 0x20, 0x30),
            clientTitle: fc.constant(clientTitle),
            deviceTitle: fc.constant(meterTitle),
          },
          { requiredKeys: ['suite', 'mechanism', 'protection', 'clientTitle'] },
        ),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ type, secret, beside, alertsTo, timeZone, modeE, ...address }) => ({
    type,
    address: {
      ...address,
      ...beside,
      ...(modeE && { modeE, transport: 'hdlc' as const }),
      ...(secret && { secret: Buffer.from(secret) }),
    },
    ...(alertsTo && { alertsTo }),
    ...(timeZone && { timeZone }),
  }))

t.test('how a device deviates: data of its record, checked', async (t) => {
  const address = { host: 'h', port: 4059, logicalDevice: 1, client: 1 }
  const faultsOf = (beside: object, record: object = {}): string[] => {
    const read = deviceRecordOf({ type: 'ESME', address: { ...address, ...beside }, ...record })
    return 'faults' in read ? read.faults : []
  }
  for (const good of [
    { counter: { obis: '0-0:43.1.3.255' } },
    { counter: { obis: '0-2:43.1.8.255', client: 48, initial: 4_096 } },
    { counter: { initial: 0 } },
    { conformance: '007e1f' },
    { shortNames: { '1-0:1.8.0.255': 0x2af8 } },
    { transport: 'hdlc', modeE: {} },
    { transport: 'hdlc', modeE: { deviceAddress: '12345678', baudMax: 300 } },
    { transport: 'hdlc', profile: 'mode-e' },
    { profile: 'dedicated-key+proof-under-global-key+short-names' },
  ])
    t.same(faultsOf(good), [], JSON.stringify(good))
  const wrong: [object, RegExp][] = [
    [{ counter: {} }, /address.counter must have obis, client or initial/],
    [{ counter: 7 }, /address.counter must be an object/],
    [{ counter: { place: 1, initial: 1 } }, /address.counter: "place" is not a field/],
    [{ counter: { obis: '1-0:1.8.0.255' } }, /counter.obis must be an invocation counter object/],
    [{ counter: { obis: '0-999:43.1.0.255' } }, /counter.obis/],
    [{ counter: { client: 0 } }, /counter.client must be a whole number from 1 to 65535/],
    [{ counter: { initial: 2 ** 32 } }, /counter.initial must be a whole number/],
    [{ counter: { initial: -1 } }, /counter.initial/],
    [{ conformance: 0x7e1f }, /address.conformance must be six hexadecimal digits/],
    [{ conformance: '7e1f' }, /address.conformance/],
    [{ shortNames: {} }, /address.shortNames must be an object of 1 to/],
    [{ shortNames: { '1-0:1.8.0.255': 65_536 } }, /address.shortNames/],
    [{ shortNames: { energy: 1 } }, /address.shortNames/],
    [{ modeE: {} }, /address.modeE needs the transport hdlc/],
    [{ profile: 'mode-e' }, /mode-e needs the transport hdlc/],
    [{ transport: 'hdlc', modeE: { baudMax: 1 } }, /modeE.baudMax must be one of 300/],
    [{ transport: 'hdlc', modeE: { deviceAddress: 'a!' } }, /modeE.deviceAddress/],
    [{ profile: 'nobody' }, /address.profile: "nobody" is no device profile; there are standard/],
    [{ profile: 'standard+dedicated_key' }, /"dedicated_key" is no .* mean dedicated-key or/],
    [{ profile: 'no-general-block' }, /did you mean no-general-blocks\?/],
    [{ profile: 'a+b' }, /"a" is no device profile/],
    [{ profile: 'standard+' }, /"" is no device profile/],
    [{ profile: '' }, /address.profile must be names/],
    [{ profile: 'range-without-deviation' }, /needs timeZone/],
  ]
  for (const [beside, fault] of wrong)
    t.match(faultsOf(beside)[0] ?? 'no fault', fault, JSON.stringify(beside))
  t.equal(faultsOf({ profile: 'a+standard+b' }).length, 2, 'each part that is unknown')
  t.same(faultsOf({ profile: 'range-without-deviation' }, { timeZone: 'Europe/Berlin' }), [])
  t.same(faultsOf({ profile: 'range-without-deviation+clock-in-utc' }), [])
  for (const timeZone of ['Mars/Olympus', '', 7, '+1'])
    t.match(faultsOf({}, { timeZone }), [/timeZone must be an IANA name/])
})

t.test('records of a ledger are read though their names are not known any more', async (t) => {
  const stored = {
    type: 'ESME' as const,
    address: { host: 'h', port: 4059, logicalDevice: 1, client: 1, profile: 'of-another-time' },
    timeZone: 'Of/Another_Time',
  }
  t.same(decodeDeviceRecord(encodeDeviceRecord(stored)), stored)
})

t.test('device records keep their fields in MessagePack and JSON', (t) => {
  fc.assert(
    fc.property(record, (each) => {
      t.same(decodeDeviceRecord(encodeDeviceRecord(each)), each)
      const json: unknown = JSON.parse(
        JSON.stringify(jsonOfDeviceEntry('00-DB-00-00-00-00-00-01', each)),
      )
      const entry = deviceEntryOf(json)
      if ('faults' in entry) throw new Error(entry.faults.join())
      t.equal(textOfEui64(entry.key), '00-DB-00-00-00-00-00-01')
      t.same(entry.record, each)
    }),
    { numRuns: 100 },
  )
  t.end()
})

t.test('two records are the same when nothing about them differs', (t) => {
  const same = fc.sample(record, { seed: 1, numRuns: 50 })
  for (const each of same) {
    t.ok(sameDeviceRecord(each, decodeDeviceRecord(encodeDeviceRecord(each))))
    for (const name of Object.keys(each.address)) {
      const address = { ...each.address, [name]: undefined } as never
      t.notOk(sameDeviceRecord(each, { ...each, address }), name)
    }
    const { type, address, alertsTo, timeZone } = each
    const zone = timeZone === undefined ? {} : { timeZone }
    t.equal(sameDeviceRecord(each, { type, address, ...zone }), alertsTo === undefined)
    t.notOk(sameDeviceRecord(each, { ...each, timeZone: 'UTC' }))
    t.notOk(sameDeviceRecord(each, { ...each, alertsTo: [deviceKey(1_001)] }))
  }
  t.end()
})

t.test('keys: hexadecimal digits and PEM, checked against the suite, shown in no fault', (t) => {
  const security = (suite: number): object => ({
    suite,
    mechanism: 5,
    protection: 0x30,
    clientTitle: clientTitle.toString('hex'),
  })
  const entry = (suite: number | undefined, keys: unknown): ReturnType<typeof deviceEntryOf> =>
    deviceEntryOf({
      eui64: '00-DB-00-00-00-00-00-01',
      type: 'ESME',
      address: {
        host: 'h',
        port: 4059,
        logicalDevice: 1,
        client: 1,
        ...(suite !== undefined && { security: security(suite) }),
      },
      keys,
    })
  const keysOf = (suite: number, keys: unknown): DeviceKeys => {
    const read = entry(suite, keys)
    if ('faults' in read) throw new Error(read.faults.join())
    return read.keys!
  }
  const faultsOf = (suite: number | undefined, keys: unknown): string[] => {
    const read = entry(suite, keys)
    return 'faults' in read ? read.faults : []
  }
  const hex = '0f'.repeat(16)
  t.equal(keysOf(0, { unicast: hex, master: hex }).unicast!.copyOfOctets().toString('hex'), hex)
  t.equal(keysOf(2, { unicast: hex + hex }).unicast!.bytes, 32)
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const pem = pair.export({ format: 'pem', type: 'pkcs8' }).toString()
  const signing = keysOf(1, { signing: pem }).signing!
  t.equal(signing.curve, 'P-256')
  t.same(
    keysOf(1, { signing: signing.copyOfScalar().toString('hex') }).signing!.publicKey.pointBytes,
    signing.publicKey.pointBytes,
  )
  const point = signing.publicKey.pointBytes
  t.same(keysOf(1, { peerSigning: point.toString('hex') }).peerSigning!.pointBytes, point)
  const base64 = p256Certificate.toString('base64')
  const peerAgreement = `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`
  t.same(keysOf(1, { peerAgreement }).peerAgreement!.pointBytes, p256Point)
  t.match(faultsOf(undefined, { unicast: hex }), ['keys need address.security'])
  t.match(faultsOf(0, 'x'), ['keys must be an object'])
  for (const [suite, keys] of [
    [0, { unicast: hex + hex }],
    [0, { signing: pem }],
    [2, { signing: pem }],
    [1, { signing: 'not a key 0f0f' }],
    [1, { peerSigning: 'not a certificate 0f0f' }],
    [1, { peerSigning: '0f'.repeat(64) }],
    [0, { guek: hex }],
    [0, { unicast: 7 }],
  ] as const) {
    const faults = faultsOf(suite, keys)
    t.equal(faults.length, 1, JSON.stringify(keys).slice(0, 40))
    t.notMatch(faults.join(), /0f0f|BEGIN/)
  }
  const spoilt = { type: 'ESME', address: { transport: 'x', profile: 'a b', security: 1 } }
  const read = deviceRecordOf(spoilt)
  t.match('faults' in read && read.faults.join(), /transport.*profile.*security/)
  const titles = { security: { suite: 9, mechanism: 9, protection: 1, clientTitle: '00' } }
  const untitled = deviceRecordOf({ ...spoilt, address: { ...spoilt.address, ...titles } })
  t.match(
    'faults' in untitled && untitled.faults.join(),
    /protection.*clientTitle.*suite.*mechanism/,
  )
  t.ok('faults' in deviceRecordOf({ ...spoilt, sealedKeys: 'anything' }))
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
  const party = '90-B3-D5-1F-30-01-00-00'
  const nine = Array.from({ length: 9 }, (_, i) => `90-B3-D5-1F-30-0${i}-00-00`)
  for (const alertsTo of [
    party,
    [],
    ['x'],
    [7],
    [party, party],
    [party, party.toLowerCase()],
    nine,
  ])
    t.match(faultsOf({ ...good, alertsTo }), [/alertsTo must be a list of 1 to 8/])
  t.same(
    deviceRecordOf({ ...good, alertsTo: [party] }),
    deviceRecordOf({ ...good, alertsTo: [party.replaceAll('-', '').toLowerCase()] }),
  )
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
