/**
 * What a registration writes: the whole record in format 1 of a deployment, only the parts that
 * have changed in format 2; and both give the same state.
 */
import fc from 'fast-check'
import t from 'tap'
import { readFact, writeFact, type DeviceFact } from '../../actors/device/facts.ts'
import { packState } from '../../actors/device/state-codec.ts'
import { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, Kind } from '../../core/envelope/layout.ts'
import { decodeDeviceRecord, type DeviceRecord } from '../../core/inventory/device-record.ts'
import { DeviceLife, lifeDevice } from '../support/device-life.ts'
import { deviceKey, envelopeOf, plainRecord, registrationOf } from '../support/envelopes.ts'
import { otherKeys, securedRecord, suite0Keys, vault } from '../support/keys.ts'

const [one, two] = [deviceKey(71), deviceKey(72)]
const firstKeys = vault.seal(lifeDevice, suite0Keys)
const { address: secured } = securedRecord(lifeDevice)
const record: DeviceRecord = { type: 'ESME', address: secured, sealedKeys: firstKeys }

/** The facts of a registration. */
function registered(life: DeviceLife, wanted: DeviceRecord): DeviceFact[] {
  const before = life.facts.length
  const buffer = registrationOf(lifeDevice, wanted)
  life.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
  return life.facts.slice(before)
}
const typesOf = (facts: readonly DeviceFact[]): string[] => facts.map(({ type }) => type)

function lifeOf(format: number): DeviceLife {
  const life = new DeviceLife()
  life.format = format
  const by = Buffer.from('ann')
  const buffer = envelopeOf({ kind: Kind.DEVICE_REMOVAL, device: lifeDevice, body: by })
  life.feed({ type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
  return life
}

t.test('format 2: only what has changed is written', async (t) => {
  const life = lifeOf(2)
  const all = registered(life, { ...record, alertsTo: [one] })
  t.same(typesOf(all), ['DEVICE_ADDRESSED', 'DEVICE_KEYED', 'DEVICE_ALERTS_ADDRESSED'])
  t.equal(life.state.registeredAt, life.now)
  life.now += 1_000
  t.same(registered(life, { ...record, alertsTo: [one] }), [], 'the same once more')
  const moved = { ...record, address: { ...secured, host: '10.0.0.9' } }
  const [address, ...others] = registered(life, { ...moved, alertsTo: [one] })
  t.same(others, [])
  if (address?.type !== 'DEVICE_ADDRESSED') throw new Error('no address')
  t.notOk(address.recordBytes.includes(firstKeys), 'no keys')
  t.same(Object.keys(decodeDeviceRecord(address.recordBytes)), ['type', 'address'])
  t.match(life.state.record, { address: { host: '10.0.0.9' }, alertsTo: [one] })
  t.equal(life.state.registeredAt, life.now - 1_000, 'registered since then')
  t.match(registered(life, { ...moved, alertsTo: [one, two] }), [
    { type: 'DEVICE_ALERTS_ADDRESSED', alertsTo: [one, two] },
  ])
  t.match(registered(life, moved), [{ type: 'DEVICE_ALERTS_ADDRESSED', alertsTo: [] }])
  t.equal(life.state.record?.alertsTo, undefined)
  t.match(typesOf(registered(life, { ...moved, timeZone: 'Europe/Berlin' })), ['DEVICE_ADDRESSED'])
  const keys = vault.seal(lifeDevice, otherKeys(9))
  t.match(registered(life, { ...moved, timeZone: 'Europe/Berlin', sealedKeys: keys }), [
    { type: 'DEVICE_KEYED', sealedKeys: keys },
  ])
  t.ok(life.state.keyring?.current?.sealedKeys.equals(keys))
  t.match(registered(life, plainRecord), [
    { type: 'DEVICE_ADDRESSED' },
    { type: 'DEVICE_KEYED', sealedKeys: undefined },
  ])
  t.equal(life.state.keyring?.current, undefined)
})

t.test('format 1: one fact has the whole record, as earlier versions read it', async (t) => {
  const life = lifeOf(1)
  t.same(typesOf(registered(life, record)), ['DEVICE_REGISTERED'])
  t.same(registered(life, record), [])
  const [fact] = registered(life, { ...record, alertsTo: [one] })
  if (fact?.type !== 'DEVICE_REGISTERED') throw new Error('no record')
  t.match(decodeDeviceRecord(fact.recordBytes), { ...record, alertsTo: [one] })
})

const anyRecord: fc.Arbitrary<DeviceRecord> = fc
  .record({
    type: fc.constantFrom('ESME', 'GSME'),
    port: fc.integer({ min: 1, max: 3 }),
    alertsTo: fc.constantFrom(undefined, [one], [one, two]),
    timeZone: fc.constantFrom(undefined, '+01:00'),
    isSecured: fc.boolean(),
    keys: fc.constantFrom(undefined, firstKeys, vault.seal(lifeDevice, otherKeys(3))),
  })
  .map(({ type, port, alertsTo, timeZone, isSecured, keys }) => ({
    type,
    address: { ...(isSecured ? secured : plainRecord.address), port },
    ...(keys && { sealedKeys: keys }),
    ...(alertsTo && { alertsTo }),
    ...(timeZone && { timeZone }),
  })) as fc.Arbitrary<DeviceRecord>

t.test('any registrations give the same state in both formats, also mixed and read back', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ wanted: anyRecord, format: fc.constantFrom(1, 2) }), { maxLength: 8 }),
      (steps) => {
        const whole = lifeOf(1)
        const mixed = lifeOf(1)
        for (const { wanted, format } of steps) {
          whole.now = mixed.now = mixed.now + 1_000
          mixed.format = format
          registered(whole, wanted)
          registered(mixed, wanted)
          if (!packState(whole.state).equals(packState(mixed.state))) return false
        }
        const before = packState(mixed.state)
        mixed.restart('ledger')
        return packState(mixed.state).equals(before)
      },
    ),
  )
  t.end()
})

t.test('facts keep what they say; later versions of them are told from damage', async (t) => {
  const facts: DeviceFact[] = [
    { type: 'DEVICE_ADDRESSED', time: 1, recordBytes: Buffer.from('any') },
    { type: 'DEVICE_KEYED', time: 2, sealedKeys: firstKeys },
    { type: 'DEVICE_KEYED', time: 3, sealedKeys: undefined },
    { type: 'DEVICE_ALERTS_ADDRESSED', time: 4, alertsTo: [one, two] },
    { type: 'DEVICE_ALERTS_ADDRESSED', time: 5, alertsTo: [] },
  ]
  for (const fact of facts) {
    const frame = new FrameWriter()
    writeFact(frame, lifeDevice, fact)
    const octets = frame.take()
    t.same(readFact(octets, 0), fact)
    octets[headerBytes] = 2
    t.throws(() => readFact(octets, 0), { code: 'FORMAT_VERSION_LATER' })
    octets[headerBytes] = 0
    t.throws(() => readFact(octets, 0), { code: 'ENVELOPE_MALFORMED' })
  }
  const odd = envelopeOf({ kind: Kind.DEVICE_ALERTS_ADDRESSED, body: Buffer.of(1, 7, 7) })
  t.throws(() => readFact(odd, 0), { code: 'ENVELOPE_MALFORMED' })
})
