/**
 * The meter point's actor, and the rights that devices have of it: whatever order letters come in,
 * and however often, each device knows in the end what its meter points know.
 */
import fc from 'fast-check'
import t from 'tap'
import { deviceKind } from '../../actors/device/device-kind.ts'
import { wake } from '../../actors/kind/messages.ts'
import { meterPointKind } from '../../actors/meter-point/meter-point-kind.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithMeterPoints } from '../../core/cluster/format.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { decodeNews } from '../../core/registration/meter-point-news.ts'
import type { MeterPointId } from '../../core/registration/meter-point.ts'
import { encodeRegistrationChange } from '../../core/registration/registration-change.ts'
import { dayStartMs } from '../../core/registration/registrations.ts'
import { deviceKey, envelopeOf } from '../support/envelopes.ts'
import { directory, gaining, now, points, Town } from '../support/town.ts'

const device = deviceKey(1)
const [mpan, , mprn] = points as [MeterPointId, MeterPointId, MeterPointId]

t.test(
  'a device with a meter point serves who is registered there, and nobody before',
  async (t) => {
    const town = new Town()
    t.equal(town.install(device, [mpan]), 'REQUEST_ACCEPTED')
    t.equal(town.submit(device, 1), 'RIGHTS_NOT_KNOWN')
    town.deliverAll()
    t.equal(town.submit(device, 1), 'PARTY_NOT_REGISTERED', 'nobody is registered yet')
    t.equal(town.register(mpan), 'REQUEST_ACCEPTED')
    t.equal(town.submit(device, 1), 'PARTY_NOT_REGISTERED', 'the letter is on its way')
    town.deliverAll()
    t.equal(town.submit(device, 1), 'REQUEST_ACCEPTED')
    t.equal(town.submit(device, 1, gaining), 'PARTY_NOT_REGISTERED')
    t.same(town.device(device).state.record.meterPoints, [mpan])
    const facts = town.point(mpan).facts.length
    t.equal(town.register(mpan), 'REQUEST_ACCEPTED')
    t.equal(town.point(mpan).facts.length, facts, 'what changes nothing leaves no fact')
    t.equal(town.letters.length, 0, 'and no letter')
    for (const actor of [...town.devices.values(), ...town.meterPoints.values()]) actor.try()
  },
)

t.test('a change of supplier ends what the losing one has waiting, at its time', async (t) => {
  const town = new Town()
  town.install(device, [mpan])
  town.register(mpan)
  town.deliverAll()
  t.equal(town.submit(device, 1), 'REQUEST_ACCEPTED', 'sent at once')
  t.equal(town.submit(device, 2), 'REQUEST_ACCEPTED', 'waits behind it')
  const change = { item: 'supplier', value: 'BBBB', from: 20261201 } as const
  town.register(mpan, { items: [change] })
  town.deliverAll()
  const { state, deliveries } = town.device(device)
  t.equal(state.open.length, 2, 'not before its time')
  t.equal(deviceKind.nextWakeMs(state, town.now), dayStartMs(20261201), 'it is woken for it')
  t.equal(town.submit(device, 1, gaining), 'PARTY_NOT_REGISTERED')
  town.now = dayStartMs(20261201)
  town.feed('device', device, wake)
  t.same(
    deliveries.map((one) => 'outcome' in one && errorCodeOf(one.outcome)),
    ['PARTY_NOT_REGISTERED'],
    'its party is told',
  )
  t.equal(state.open.length, 1, 'what is on its way ends by itself')
  t.equal(town.submit(device, 3), 'PARTY_NOT_REGISTERED')
  t.equal(town.submit(device, 1, gaining), 'REQUEST_ACCEPTED')
})

t.test('a device without meter points is not asked about registration', async (t) => {
  const town = new Town()
  town.install(device, [])
  t.equal(town.submit(device, 1), 'REQUEST_ACCEPTED')
  town.install(device, [mpan])
  t.equal(town.letters.length, 1)
  town.install(device, [])
  town.deliverAll()
  t.same(town.point(mpan).state.links, [], 'it is unlinked')
  t.equal(town.submit(device, 2), 'REQUEST_ACCEPTED')
})

t.test('a registration that comes late, or twice, changes nothing', async (t) => {
  const town = new Town()
  const of = (sequence: number, instruction: number, value: string) => ({
    order: { source: 'EELC', sequence, instruction },
    items: [{ item: 'supplier', value, from: 20260101 } as const],
  })
  const supplierNow = (): unknown => town.point(mpan).state.items.at(-1)?.value
  for (const [change, expected] of [
    [of(2, 5, 'BBBB'), 'BBBB'],
    [of(2, 5, 'AAAA'), 'BBBB'],
    [of(2, 4, 'AAAA'), 'BBBB'],
    [of(1, 9, 'AAAA'), 'BBBB'],
    [of(2, 6, 'AAAA'), 'AAAA'],
    [of(3, 1, 'BBBB'), 'BBBB'],
  ] as const) {
    t.equal(town.register(mpan, change), 'REQUEST_ACCEPTED')
    t.equal(supplierNow(), expected)
  }
  const other = { ...of(1, 1, 'CCCC'), order: { source: 'operator', sequence: 1, instruction: 0 } }
  town.register(mpan, other)
  t.equal(supplierNow(), 'CCCC', 'each source has its own order')
  town.point(mpan).try()
})

t.test('a letter of an earlier link says nothing', async (t) => {
  const town = new Town()
  town.register(mpan)
  town.install(device, [mpan])
  town.install(device, [])
  town.install(device, [mpan])
  const [link, unlink, again] = town.letters
  t.same(
    [link, unlink, again].map((letter) => letter!.came.bodyBytes.readUInt32BE(2)),
    [1, 1, 2],
  )
  town.deliver(0)
  const answer = town.letters.at(-1)!
  t.equal(answer.to, device)
  town.deliver(town.letters.indexOf(answer))
  t.equal(town.submit(device, 1), 'RIGHTS_NOT_KNOWN', 'an answer to the first link')
  // The second link overtakes the end of the first.
  town.deliver(town.letters.indexOf(again!))
  town.deliver(town.letters.indexOf(unlink!))
  t.match(town.point(mpan).state.links, [{ device, link: 2 }], 'it stays linked')
  town.deliverAll()
  t.equal(town.submit(device, 1), 'REQUEST_ACCEPTED')
})

t.test('a removed device is unlinked; its numbers go on when it comes back', async (t) => {
  const town = new Town()
  town.install(device, [mpan, mprn])
  town.register(mpan)
  town.deliverAll()
  const removal = envelopeOf({ kind: Kind.DEVICE_REMOVAL, device, body: Buffer.from('ann') })
  t.equal(town.arrive('device', device, removal), 'REQUEST_ACCEPTED')
  town.deliverAll()
  t.same(town.point(mpan).state.links, [])
  town.install(device, [mpan])
  town.deliverAll()
  t.match(town.point(mpan).state.links, [{ device, link: 3 }])
  t.ok(town.isSettled())
})

t.test('an earlier format has no meter points', async (t) => {
  const old = { ...directory, format: formatWithMeterPoints - 1 }
  const out = { facts: [], deliveries: [], effects: [] as object[] }
  const body = encodeRegistrationChange({
    by: 'ann',
    order: { source: 'operator', sequence: 1, instruction: 0 },
    items: [{ item: 'supplier', value: 'AAAA', from: 20260101 }],
  })
  const buffer = envelopeOf({ kind: Kind.METER_POINT_REGISTRATION, device: mpan, body })
  const arrived = { type: 'ARRIVED', buffer, at: 0, replyTo: undefined } as const
  meterPointKind.decide(meterPointKind.emptyState(), arrived, now, old, out as never)
  t.match(out.effects, [{ type: 'ACKNOWLEDGE' }])
  t.equal(errorCodeOf((out.effects[0] as { outcome: number }).outcome), 'FORMAT_NOT_RAISED')
  t.same(out.facts, [])
})

t.test(
  'a meter point has room for so many devices; the next is told that nobody may',
  async (t) => {
    const town = new Town()
    town.register(mpan)
    for (let index = 0; index <= limits.meterPointDevicesMax; index++)
      town.install(deviceKey(index), [mpan])
    town.deliverAll()
    t.equal(town.point(mpan).state.links.length, limits.meterPointDevicesMax)
    t.equal(town.submit(deviceKey(0), 1), 'REQUEST_ACCEPTED')
    t.equal(town.submit(deviceKey(limits.meterPointDevicesMax), 1), 'PARTY_NOT_REGISTERED')
  },
)

const step = fc.oneof(
  fc.record({ what: fc.constant('install'), device: fc.nat(2), points: fc.subarray(points) }),
  fc.record({ what: fc.constant('remove'), device: fc.nat(2) }),
  fc.record({ what: fc.constant('refresh'), device: fc.nat(2) }),
  fc.record({
    what: fc.constant('register'),
    point: fc.nat(2),
    value: fc.constantFrom('AAAA', 'BBBB', 'CCCC'),
    from: fc.constantFrom(20260101, 20261115, 20261201),
  }),
  fc.record({ what: fc.constantFrom('deliver', 'repeat'), which: fc.nat(50) }),
) as fc.Arbitrary<{
  what: string
  device: number
  point: number
  points: MeterPointId[]
  value: string
  from: number
  which: number
}>

t.test('order, repeats and gaps of letters do no harm', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.array(fc.nat(50)), (steps, order) => {
      const town = new Town()
      for (const { what, device: index, point, points: given, value, from, which } of steps) {
        const id = deviceKey(index ?? 0)
        if (what === 'install') town.install(id, given.toSorted())
        else if (what === 'remove')
          town.arrive(
            'device',
            id,
            envelopeOf({ kind: Kind.DEVICE_REMOVAL, device: id, body: ann }),
          )
        else if (what === 'refresh')
          town.arrive(
            'device',
            id,
            envelopeOf({ kind: Kind.RIGHTS_REFRESH, device: id, body: ann }),
          )
        else if (what === 'register')
          town.register(points[point]!, { items: [{ item: 'supplier', value, from }] })
        else if (town.letters.length > 0) town.deliver(which, what === 'repeat')
      }
      for (const which of order) if (town.letters.length > 0) town.deliver(which)
      town.deliverAll()
      for (const actor of [...town.devices.values(), ...town.meterPoints.values()]) actor.try()
      return town.isSettled()
    }),
    { numRuns: 300 },
  )
})

const ann = Buffer.from('ann')

t.test('a comparison says what a registration would change, and changes nothing', async (t) => {
  const town = new Town()
  const newsOf = (kind: Kind, value: string): string => {
    const order = { source: 'EELC', sequence: 1, instruction: 1 }
    const items = [{ item: 'supplier', value, from: 20260101 } as const]
    const body = encodeRegistrationChange({ by: 'EELC file 1', order, items })
    const from = town.point(mpan).effects.length
    town.arrive('point', mpan, envelopeOf({ kind, device: mpan, body }))
    const report = town
      .point(mpan)
      .effects.slice(from)
      .find(({ type }) => type === 'REPORT')
    return decodeNews((report as { bodyBytes: Buffer }).bodyBytes)
  }
  t.equal(newsOf(Kind.METER_POINT_COMPARISON, 'AAAA'), 'added')
  t.equal(town.point(mpan).facts.length, 0)
  t.equal(newsOf(Kind.METER_POINT_REGISTRATION, 'AAAA'), 'added')
  t.equal(newsOf(Kind.METER_POINT_COMPARISON, 'AAAA'), 'none')
  t.equal(
    newsOf(Kind.METER_POINT_COMPARISON, 'BBBB'),
    'none',
    'not behind what the source has sent',
  )
  town.register(mpan, { items: [{ item: 'supplier', value: 'BBBB', from: 20260201 }] })
  t.equal(town.point(mpan).facts.length, 2)
  t.throws(() => decodeNews(Buffer.of(2, 0)), { code: 'FORMAT_VERSION_LATER' })
  t.throws(() => decodeNews(Buffer.of(1, 9)), { code: 'ENVELOPE_MALFORMED' })
})
