/**
 * Consents of third parties: granted, withdrawn and ended at a meter point, and asked for by its
 * devices at each use. And reads of the past, which are cut to the party's own period.
 */
import fc from 'fast-check'
import t from 'tap'
import { deviceKind } from '../../actors/device/device-kind.ts'
import { wake } from '../../actors/kind/messages.ts'
import { errorCodeOf, errorId } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { Kind } from '../../core/envelope/layout.ts'
import {
  endOfConsent,
  standingOfConsent,
  type ConsentRecord,
} from '../../core/registration/consent-register.ts'
import type { ConsentGrant } from '../../core/registration/consent-change.ts'
import type { MeterPointId } from '../../core/registration/meter-point.ts'
import { dayStartMs } from '../../core/registration/registrations.ts'
import { BodyType } from '../../core/translate/body-types.ts'
import { ReadPeriod } from '../../proto/gen/busbar/v1/service_request.ts'
import {
  deviceKey,
  envelopeOf,
  plainRecord,
  registrationOf,
  supplier,
} from '../support/envelopes.ts'
import { gaining, now, other, points, Town } from '../support/town.ts'

const device = deviceKey(1)
const [mpan, second] = points as [MeterPointId, MeterPointId]
const hourMs = 3_600_000
const dayMs = 24 * hourMs
const profile = (fromMs: number, toMs: number) => ({
  srv: '4.8.1',
  bodyType: BodyType.READ_PERIOD,
  body: Buffer.from(
    ReadPeriod.encode({ startTime: new Date(fromMs), endTime: new Date(toMs) }).finish(),
  ),
})
const daily = (fromMs: number, toMs: number) => ({ ...profile(fromMs, toMs), srv: '4.17' })

function installed(): Town {
  const town = new Town()
  town.install(device, [mpan])
  town.register(mpan)
  town.deliverAll()
  return town
}

/** Facts, effects and outcomes of the device. */
const factsOf = (town: Town, type: string) =>
  town.device(device).facts.filter((fact) => fact.type === type) as any[] // oxlint-disable-line typescript/no-explicit-any
const sendsOf = (town: Town) =>
  town.device(device).effects.filter(({ type }) => type === 'SEND') as any[] // oxlint-disable-line typescript/no-explicit-any
const outcomesOf = (town: Town) =>
  town
    .device(device)
    .deliveries.map((one) => 'outcome' in one && errorCodeOf(one.outcome as number))

t.test(
  'a third party acts by a consent that covers the variant, and the fact names it',
  async (t) => {
    const town = installed()
    const asked = daily(now - hourMs, now)
    t.equal(town.submit(device, 1, other, asked), 'CONSENT_MISSING')
    t.equal(town.grant(mpan, { categories: ['tariff'] }), 'REQUEST_ACCEPTED')
    town.deliverAll()
    t.equal(town.submit(device, 1, other, asked), 'CONSENT_MISSING', 'of another category')
    town.grant(mpan, { id: 'c2', granularity: 'daily' })
    town.deliverAll()
    t.equal(
      town.submit(device, 1, other, profile(now - hourMs, now)),
      'CONSENT_MISSING',
      'too fine',
    )
    t.equal(town.submit(device, 1, other, asked), 'REQUEST_ACCEPTED')
    t.equal(town.submit(device, 1, other, asked), 'REQUEST_ACCEPTED', 'a repeat')
    const version = town.point(mpan).state.version
    t.match(factsOf(town, 'REQUEST_GRANTED'), [
      { originator: other, basis: { point: mpan, version, consent: 'c2' } },
    ])
    t.match(town.device(device).state.linked.grants, [{ originator: other, consent: 'c2' }])
    t.equal(
      town.submit(device, 2, other, { srv: '11.2' }),
      'REQUEST_ACCEPTED',
      'any consent will do',
    )
    t.equal(factsOf(town, 'REQUEST_GRANTED').at(-1)!.basis.consent, 'c1')
    t.equal(town.submit(device, 1), 'REQUEST_ACCEPTED', 'the supplier needs none')
    t.equal(factsOf(town, 'REQUEST_GRANTED').length, 2)
    for (const actor of [...town.devices.values(), ...town.meterPoints.values()]) actor.try()
  },
)

t.test('a consent that is withdrawn ends what waits, and what comes back', async (t) => {
  const town = installed()
  town.grant(mpan)
  town.deliverAll()
  for (const counter of [1, 2])
    t.equal(town.submit(device, counter, other, { srv: '11.2' }), 'REQUEST_ACCEPTED')
  t.equal(town.device(device).state.sent?.originator, other, 'the first is on its way')
  t.equal(town.withdraw(mpan, 'c1'), 'REQUEST_ACCEPTED')
  t.equal(town.withdraw(mpan, 'c1'), 'REQUEST_ACCEPTED', 'once more changes nothing')
  town.deliverAll()
  t.same(outcomesOf(town), ['CONSENT_MISSING'], 'what waits')
  const { counter } = town.device(device).state.sent!
  const bodyBytes = Buffer.from('a reading')
  const answered = {
    type: 'ANSWERED',
    originator: other,
    counter,
    outcome: errorId('OK'),
    bodyBytes,
  }
  town.feed('device', device, answered)
  t.same(outcomesOf(town), ['CONSENT_MISSING', 'CONSENT_MISSING'])
  for (const one of town.device(device).deliveries) t.equal((one as any).bodyBytes.length, 0) // oxlint-disable-line typescript/no-explicit-any
  t.equal(town.submit(device, 3, other, { srv: '11.2' }), 'CONSENT_MISSING')
  t.equal(town.withdraw(mpan, 'c9'), 'CONSENT_UNKNOWN')
  for (const actor of [...town.devices.values(), ...town.meterPoints.values()]) actor.try()
})

t.test('a tenancy that begins ends the consents from before, at its time', async (t) => {
  const town = installed()
  const at = now + hourMs
  town.grant(mpan)
  t.equal(town.tenancy(mpan, at), 'REQUEST_ACCEPTED')
  t.equal(town.grant(mpan, { id: 'next', fromMs: at }), 'REQUEST_ACCEPTED', 'of those who move in')
  town.deliverAll()
  t.equal(town.submit(device, 1, other, { srv: '11.2' }), 'REQUEST_ACCEPTED')
  t.equal(town.submit(device, 2, other, { srv: '11.2' }), 'REQUEST_ACCEPTED')
  t.equal(deviceKind.nextWakeMs(town.device(device).state, now), at)
  const [before] = town.point(mpan).state.register.consents as ConsentRecord[]
  t.equal(endOfConsent(before!, [at]), at)
  t.equal(standingOfConsent(before!, [at], at), 'ended by tenancy')
  town.now = at
  town.feed('device', device, wake)
  t.same(outcomesOf(town), [], 'the next consent holds from then on')
  const earlier = profile(at - 2 * hourMs, at - hourMs)
  t.equal(town.submit(device, 3, other, earlier), 'READ_PERIOD_NOT_OWN', 'of people who moved out')
  t.equal(town.grant(mpan, { id: 'late', fromMs: at - 1 }), 'CONSENT_BEFORE_TENANCY')
  t.equal(town.tenancy(mpan, at), 'REQUEST_ACCEPTED')
  t.equal(town.point(mpan).facts.filter(({ type }) => type === 'TENANCY_CHANGED').length, 1)
})

t.test('a tenancy without a next consent leaves a third party nothing', async (t) => {
  const town = installed()
  town.grant(mpan)
  town.deliverAll()
  for (const counter of [1, 2]) town.submit(device, counter, other, { srv: '11.2' })
  town.tenancy(mpan, now - 1)
  town.deliverAll()
  t.same(outcomesOf(town), ['CONSENT_MISSING'])
  t.equal(town.submit(device, 3, other, { srv: '11.2' }), 'CONSENT_MISSING')
})

t.test('what is not valid is refused, with its code', async (t) => {
  const town = installed()
  t.equal(town.grant(mpan, { purpose: '' }), 'CONSENT_MALFORMED')
  t.equal(town.grant(mpan, { toMs: now - 2 * dayMs }), 'CONSENT_MALFORMED')
  t.equal(town.grant(mpan, { evidence: Buffer.alloc(31) }), 'CONSENT_MALFORMED')
  t.equal(town.tenancy(mpan, -1), 'CONSENT_MALFORMED')
  const body = Buffer.from('rubbish')
  const rubbish = envelopeOf({ kind: Kind.CONSENT_WITHDRAWAL, device: mpan, body })
  t.equal(town.arrive('point', mpan, rubbish), 'CONSENT_MALFORMED')
})

t.test('a consent is known by its id, and a meter point has room for so many', async (t) => {
  const town = installed()
  t.equal(town.grant(mpan), 'REQUEST_ACCEPTED')
  const facts = town.point(mpan).facts.length
  t.equal(town.grant(mpan), 'REQUEST_ACCEPTED')
  t.equal(town.point(mpan).facts.length, facts, 'what changes nothing leaves no fact')
  t.equal(town.grant(mpan, { purpose: 'sale' }), 'CONSENT_ID_USED')
  town.withdraw(mpan, 'c1')
  t.equal(town.grant(mpan), 'REQUEST_ACCEPTED')
  t.ok(town.point(mpan).state.register.consents[0].withdrawal, 'it stays withdrawn')
  for (let index = 0; index < limits.rightsConsentsMax; index++)
    t.equal(town.grant(mpan, { id: `n${index}` }), 'REQUEST_ACCEPTED')
  t.equal(town.grant(mpan, { id: 'more' }), 'CONSENTS_FULL')
  town.withdraw(mpan, 'n0')
  t.equal(town.grant(mpan, { id: 'more' }), 'REQUEST_ACCEPTED')
  town.deliverAll()
  t.ok(town.isSettled())
  const letter = JSON.stringify(town.device(device).facts.at(-1))
  t.notMatch(letter, 'advice', 'no personal data in letters')
  for (let index = 0; index < limits.meterPointConsentsMax; index++) {
    if (town.grant(mpan, { id: `w${index}` }) !== 'REQUEST_ACCEPTED') break
    town.withdraw(mpan, `w${index}`)
  }
  t.equal(town.point(mpan).state.register.consents.length, limits.rightsConsentsMax + 2)
  for (let index = 1; index < limits.rightsConsentsMax; index++) town.withdraw(mpan, `n${index}`)
  for (let index = 0; index < 2 * limits.meterPointConsentsMax; index++) {
    if (town.grant(mpan, { id: `w${index}` }) !== 'REQUEST_ACCEPTED') break
    town.withdraw(mpan, `w${index}`)
  }
  t.equal(town.point(mpan).state.register.consents.length, limits.meterPointConsentsMax)
  t.equal(town.grant(mpan, { id: 'last' }), 'CONSENTS_FULL', 'nothing is forgotten before its time')
  town.now += limits.rightsKeptMs + dayMs
  t.equal(town.grant(mpan, { id: 'last' }), 'REQUEST_ACCEPTED', 'those that ended long ago go')
  t.ok(town.point(mpan).state.register.consents.length < limits.meterPointConsentsMax)
  for (let index = 0; index < limits.tenanciesAheadMax; index++)
    t.equal(town.tenancy(mpan, town.now + index + 1), 'REQUEST_ACCEPTED')
  t.equal(town.tenancy(mpan, town.now + dayMs), 'CONSENTS_FULL')
})

t.test('a party reads its own period: earlier times are left out, or refused', async (t) => {
  const town = installed()
  const start = dayStartMs(20261120)
  town.register(mpan, { items: [{ item: 'supplier', value: 'BBBB', from: 20261120 }] })
  town.deliverAll()
  t.equal(town.submit(device, 1, supplier, profile(now - dayMs, now)), 'PARTY_NOT_REGISTERED')
  const before = profile(start - 5 * dayMs, start)
  t.equal(
    town.submit(device, 1, gaining, before),
    'READ_PERIOD_NOT_OWN',
    'it ends before the own period',
  )
  t.equal(town.submit(device, 1, gaining, profile(start - dayMs, now)), 'REQUEST_ACCEPTED')
  t.equal(sendsOf(town).at(-1).readableFromMs, start + 1000)
  t.match(factsOf(town, 'REQUEST_GRANTED'), [
    { originator: gaining, basis: { point: mpan, readableFromMs: start + 1000 } },
  ])
  t.equal(town.submit(device, 2, gaining, profile(start + hourMs, now)), 'REQUEST_ACCEPTED')
  t.equal(factsOf(town, 'REQUEST_GRANTED').length, 1, 'nothing is left out')
  for (const actor of [...town.devices.values(), ...town.meterPoints.values()]) actor.try()
})

t.test('two periods of one supplier that meet are one', async (t) => {
  const town = installed()
  town.register(mpan, {
    items: [{ item: 'supplier', value: 'BBBB', from: 20261001, to: 20261031 }],
  })
  town.register(mpan, { items: [{ item: 'supplier', value: 'BBBB', from: 20261101 }] })
  town.deliverAll()
  const asked = profile(dayStartMs(20260920), now)
  t.equal(town.submit(device, 1, gaining, asked), 'REQUEST_ACCEPTED')
  t.equal(sendsOf(town).at(-1).readableFromMs, dayStartMs(20261001) + 1000)
})

t.test('a start that is corrected while a request waits cuts it when it is sent', async (t) => {
  const town = installed()
  town.submit(device, 1, supplier)
  const asked = profile(dayStartMs(20260901), dayStartMs(20260902))
  t.equal(town.submit(device, 2, supplier, asked), 'REQUEST_ACCEPTED', 'waits behind the first')
  town.register(mpan, {
    items: [{ item: 'supplier', value: 'BBBB', from: 20260101, to: 20261031 }],
  })
  town.deliverAll()
  t.same(outcomesOf(town), ['READ_PERIOD_NOT_OWN'])
})

t.test('a device without meter points asks for no consent, and cuts nothing', async (t) => {
  const town = new Town()
  town.install(device, [])
  t.equal(town.submit(device, 1, other, profile(now - 300 * dayMs, now)), 'REQUEST_ACCEPTED')
  t.equal(sendsOf(town).at(-1).readableFromMs, undefined)
  t.same(factsOf(town, 'REQUEST_GRANTED'), [])
})

t.test('what a device says by itself goes to a third party with a consent only', async (t) => {
  const town = new Town()
  const record = { ...plainRecord, meterPoints: [mpan], alertsTo: [supplier, other] }
  town.arrive('device', device, registrationOf(device, record))
  town.register(mpan)
  town.deliverAll()
  const opened = (id: string) => ({
    type: 'PUSH_OPENED',
    id: id.padStart(8, '\0'),
    outcome: errorId('OK'),
    opened: undefined,
    receivedAt: town.now,
    bodies: [{ bodyBytes: Buffer.from(id), alertCode: 0 }],
    replyTo: undefined,
  })
  const partiesOf = () => town.device(device).deliveries.map((one) => (one as any).party) // oxlint-disable-line typescript/no-explicit-any
  town.feed('device', device, opened('1'))
  t.same(partiesOf(), [supplier])
  town.grant(mpan)
  town.deliverAll()
  town.feed('device', device, opened('2'))
  t.same(partiesOf(), [supplier, supplier, other])
})

const step = fc.oneof(
  fc.record({
    what: fc.constant('grant'),
    point: fc.nat(1),
    id: fc.nat(3),
    granularity: fc.constantFrom('half-hourly', 'daily'),
    from: fc.constantFrom(now - dayMs, now, now + hourMs),
    to: fc.constantFrom(now + hourMs, now + 2 * hourMs, Infinity),
  }),
  fc.record({ what: fc.constant('withdraw'), point: fc.nat(1), id: fc.nat(3) }),
  fc.record({
    what: fc.constant('tenancy'),
    point: fc.nat(1),
    from: fc.integer({ min: -2, max: 2 }),
  }),
  fc.record({ what: fc.constantFrom('deliver', 'repeat'), which: fc.nat(20) }),
  fc.record({ what: fc.constantFrom('submit', 'answer', 'later', 'refresh') }),
) as fc.Arbitrary<Step>
type Step = {
  what: string
  point: number
  id: number
  which: number
  from: number
  to: number
  granularity: ConsentGrant['granularity']
}

/** An answer of the device to what is on its way. */
function answer(town: Town): void {
  const { sent } = town.device(device).state
  if (sent === undefined) return
  const { originator, counter } = sent
  const came = { outcome: errorId('OK'), bodyBytes: Buffer.from('values') }
  town.feed('device', device, { type: 'ANSWERED', originator, counter, ...came })
}

function take(town: Town, { what, point, id, which, from, to, granularity }: Step): void {
  const at = points[point]!
  if (what === 'grant') town.grant(at, { id: `c${id}`, granularity, fromMs: from, toMs: to })
  else if (what === 'withdraw') town.withdraw(at, `c${id}`)
  else if (what === 'tenancy') town.tenancy(at, now + from * hourMs)
  else if (what === 'submit') town.submit(device, ++counter, other, daily(now - dayMs, now + dayMs))
  else if (what === 'answer') answer(town)
  else if (what === 'later') {
    town.now += hourMs
    town.feed('device', device, wake)
  } else if (what === 'refresh') {
    const body = Buffer.from('ann')
    town.arrive('device', device, envelopeOf({ kind: Kind.RIGHTS_REFRESH, device, body }))
  } else if (town.letters.length > 0) town.deliver(which ?? 0, what === 'repeat')
}
let counter = 0

/** Whether the device sent nothing, and said nothing to a third party, that no consent covers. */
function isRight(town: Town, step: () => void): boolean {
  const { state, effects, deliveries } = town.device(device)
  const [sent, delivered] = [effects.length, deliveries.length]
  step()
  // By what the device itself has received, computed here from its rights.
  const known = (state.linked?.links ?? []).flatMap((link: any) => link.rights?.consents ?? []) // oxlint-disable-line typescript/no-explicit-any
  if (known.some((one: ConsentRecord) => one.fromMs <= town.now && town.now < one.toMs)) return true
  const sends = effects.slice(sent).filter(({ type }) => type === 'SEND')
  return (
    sends.length === 0 &&
    deliveries.slice(delivered).every((one: any) => one.bodyBytes.length === 0)
  ) // oxlint-disable-line typescript/no-explicit-any
}

t.test('no command and no outcome to a third party without a consent', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const town = new Town()
      town.install(device, [mpan, second])
      town.deliverAll()
      for (const one of steps) if (!isRight(town, () => take(town, one))) return false
      for (const point of [mpan, second])
        for (const id of [0, 1, 2, 3]) town.withdraw(point, `c${id}`)
      if (!isRight(town, () => town.deliverAll())) return false
      if (!isRight(town, () => answer(town))) return false
      for (const actor of [...town.devices.values(), ...town.meterPoints.values()]) actor.try()
      return town.isSettled()
    }),
    { numRuns: 500 },
  )
})
