/**
 * Registrations over time, against a recount of every item; and what they say of a party at a
 * device.
 */
import fc from 'fast-check'
import t from 'tap'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { isDay } from '../../../core/registration/days.ts'
import { decodeLink, encodeLink } from '../../../core/registration/link-letter.ts'
import {
  isMeterPoint,
  meterPointBytes,
  parseMeterPoint,
  textOfMeterPoint,
} from '../../../core/registration/meter-point.ts'
import {
  decodeMeterPointReport,
  encodeMeterPointReport,
} from '../../../core/registration/meter-point-report.ts'
import { emptyRegister } from '../../../core/registration/consent-register.ts'
import {
  decodeRegistrationChange,
  encodeRegistrationChange,
  registrationChangeOf,
} from '../../../core/registration/registration-change.ts'
import {
  dayStartMs,
  newsIn,
  rightsOf,
  valueAt,
  type KnownItem,
} from '../../../core/registration/registrations.ts'
import {
  decodeRights,
  encodeRights,
  entitlementOf,
  nextChangeMs,
  type Rights,
} from '../../../core/registration/rights.ts'

const now = Date.UTC(2026, 10, 30, 12)
const point = parseMeterPoint('mpan:1234567890126')!
const gasPoint = parseMeterPoint('mprn:0012345678')!

t.test('meter points as text and as octets', async (t) => {
  for (const text of ['mpan:1234567890126', 'mprn:1', 'mprn:0000000001', 'mprn:9999999999']) {
    const octets = parseMeterPoint(text)!
    t.equal(octets.length, meterPointBytes)
    t.equal(textOfMeterPoint(octets), text)
    t.ok(isMeterPoint(octets))
  }
  t.not(parseMeterPoint('mprn:1'), parseMeterPoint('mprn:01'), 'leading zeros count')
  for (const text of ['mpan:0234567890126', 'mpan:123', 'mprn:', 'mprn:12345678901', '1', ''])
    t.equal(parseMeterPoint(text), undefined, text)
})

t.test('a day begins at midnight in London', async (t) => {
  t.equal(dayStartMs(20260115), Date.UTC(2026, 0, 15))
  t.equal(dayStartMs(20260715), Date.UTC(2026, 6, 14, 23), 'an hour earlier in summer')
  t.equal(dayStartMs(20260329, 1) - dayStartMs(20260329), 23 * 3_600_000, 'a day of 23 hours')
  t.equal(dayStartMs(20261025, 1) - dayStartMs(20261025), 25 * 3_600_000, 'a day of 25 hours')
  t.equal(dayStartMs(20261231, 1), Date.UTC(2027, 0, 1))
  t.ok(isDay(20240229))
  for (const day of [20230229, 20261301, 20260100, 0, 2026, Number.NaN, '20260101'])
    t.notOk(isDay(day), String(day))
})

const days = [20260101, 20260301, 20260329, 20260601, 20260901, 20261025, 20261201, 20270101]
const anyItem = fc
  .record({
    item: fc.constantFrom('supplier' as const, 'agent' as const),
    value: fc.constantFrom('AAAA', 'BBBB', 'CC'),
    from: fc.constantFrom(...days),
    to: fc.option(fc.constantFrom(...days), { nil: undefined }),
  })
  .filter(({ from, to }) => to === undefined || to >= from)
const received = (items: Array<Omit<KnownItem, 'receivedAtMs'>>): KnownItem[] =>
  items.map(({ to, ...item }, index) => ({ ...item, ...(to && { to }), receivedAtMs: index }))

t.test('the item received last holds where items overlap', async () => {
  fc.assert(
    fc.property(fc.array(anyItem, { maxLength: 8 }), fc.nat(8), (items, knownAt) => {
      const known = received(items as never)
      for (const day of days)
        for (const atMs of [dayStartMs(day) - 1, dayStartMs(day), dayStartMs(day, 1)]) {
          const holding = known.filter(
            ({ item, from, to, receivedAtMs }) =>
              item === 'supplier' &&
              receivedAtMs <= knownAt &&
              dayStartMs(from) <= atMs &&
              (to === undefined || atMs < dayStartMs(to, 1)),
          )
          const expected = holding.at(-1)?.value
          if (valueAt(known, 'supplier', atMs, knownAt) !== expected) return false
        }
      return true
    }),
  )
})

t.test('what changes nothing is no news', async (t) => {
  fc.assert(
    fc.property(fc.array(anyItem, { maxLength: 6 }), (items) => {
      const known = received(items as never)
      const again = known.map((item) => ({ ...item, receivedAtMs: item.receivedAtMs + 100 }))
      // The last items once more, in their order, say what is known already.
      const news = newsIn(known, again)
      const after = [...known, ...news]
      return days.every(
        (day) =>
          valueAt(after, 'supplier', dayStartMs(day)) ===
          valueAt(known, 'supplier', dayStartMs(day)),
      )
    }),
  )
  const item: KnownItem = { item: 'supplier', value: 'AAAA', from: 20260101, receivedAtMs: 1 }
  t.same(newsIn([item], [{ ...item, receivedAtMs: 2 }]), [])
  t.same(newsIn([item], [{ ...item, from: 20260301 }]), [], 'the same supplier goes on')
  t.equal(newsIn([item], [{ ...item, value: 'BBBB', from: 20260301 }]).length, 1)
})

const periodsOf = (items: Array<Omit<KnownItem, 'receivedAtMs'>>, of = point): Rights => ({
  link: 1,
  version: 1,
  ...rightsOf(of, received(items), now),
})
const supplier = (value: string, from: number, to?: number) =>
  ({ item: 'supplier', value, from, ...(to && { to }) }) as const

t.test('who may: roles by fuel and direction', async (t) => {
  const imports = periodsOf([
    supplier('AAAA', 20260101),
    { item: 'network-operator', value: 'DDDD', from: 20200101 },
    { item: 'agent', value: 'MMMM', from: 20260101 },
  ])
  const may = (points: Rights[], role: string, participant: string): string =>
    entitlementOf(
      points.map((rights) => ({ rights })),
      { role: role as 'IS', participant },
      now,
    )
  t.equal(may([imports], 'IS', 'AAAA'), 'entitled')
  t.equal(may([imports], 'IS', 'BBBB'), 'not-entitled')
  t.equal(may([imports], 'ES', 'AAAA'), 'not-entitled', 'the role counts, too')
  t.equal(may([imports], 'ED', 'DDDD'), 'entitled')
  t.equal(may([imports], 'RSA', 'MMMM'), 'entitled')
  t.equal(may([imports], 'OU', 'AAAA'), 'not-entitled')
  t.equal(may([imports], 'LC', ''), 'entitled', 'the device knows it')
  const exports = periodsOf([
    supplier('EEEE', 20260101),
    { item: 'direction', value: 'E', from: 20260101 },
  ])
  t.equal(may([imports, exports], 'ES', 'EEEE'), 'entitled')
  t.equal(may([imports, exports], 'IS', 'EEEE'), 'not-entitled')
  t.equal(may([exports], 'IS', 'EEEE'), 'entitled', 'no import MPAN: the export supplier is IS')
  const gas = periodsOf(
    [supplier('GGGG', 20260101), { item: 'network-operator', value: 'TTTT', from: 20260101 }],
    gasPoint,
  )
  t.equal(may([gas], 'GS', 'GGGG'), 'entitled')
  t.equal(may([gas], 'GT', 'TTTT'), 'entitled')
  t.equal(may([gas], 'IS', 'GGGG'), 'not-entitled')
  const unknown = [{ rights: imports }, {}]
  const holder = { role: 'IS', participant: 'BBBB' } as const
  t.equal(entitlementOf(unknown, holder, now), 'not-known-yet', 'another point may say yes')
  t.equal(entitlementOf([], holder, now), 'not-entitled')
})

t.test('a change of supplier takes effect at its midnight', async (t) => {
  const rights = periodsOf([supplier('AAAA', 20260101), supplier('BBBB', 20261201)])
  const at = dayStartMs(20261201)
  const may = (participant: string, atMs: number): string =>
    entitlementOf([{ rights }], { role: 'IS', participant }, atMs)
  t.equal(may('AAAA', at - 1), 'entitled')
  t.equal(may('BBBB', at - 1), 'not-entitled')
  t.equal(may('AAAA', at), 'not-entitled')
  t.equal(may('BBBB', at), 'entitled')
  t.equal(nextChangeMs([{ rights }], now), at)
  t.equal(nextChangeMs([{ rights }], at), Infinity)
})

t.test('only the last 13 months and 16 periods are sent', async (t) => {
  const old = rightsOf(point, received([supplier('AAAA', 20240101, 20240601)]), now)
  t.same(old.periods, [])
  const many = Array.from({ length: 28 }, (_, index) =>
    supplier(index % 2 === 0 ? 'AAAA' : 'BBBB', 20261101 + index, 20261101 + index),
  )
  const { periods } = rightsOf(point, received(many), now)
  t.equal(periods.length, limits.rightsPeriodsMax)
  t.equal(periods.at(-1)!.fromMs, dayStartMs(20261128))
  t.ok(encodeRights({ link: 1, version: 1, direction: 'import', periods }).length < 600)
})

t.test('octets are read as they were written, and nothing else is', async (t) => {
  const rights = periodsOf([supplier('AAAA', 20260101), supplier('BBBB', 20261201)])
  t.same(decodeRights(encodeRights(rights)), rights)
  const link = { point, isLinked: true, link: 7 }
  t.same(decodeLink(encodeLink(link)), link)
  const items = received([supplier('AAAA', 20260101, 20260301)])
  const order = { source: 'EELC', sequence: 7, instruction: 12 }
  const report = {
    items,
    links: [{ device: point, link: 3 }],
    version: 9,
    orders: [order],
    register: emptyRegister,
  }
  t.same(decodeMeterPointReport(encodeMeterPointReport(report as never)), report)
  const change = { by: 'ann', order, items: [supplier('AAAA', 20260101)] }
  t.same(decodeRegistrationChange(encodeRegistrationChange(change)), change)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (octets) => {
      for (const decode of [
        decodeRights,
        decodeLink as (octets: Buffer) => unknown,
        decodeMeterPointReport,
        decodeRegistrationChange,
      ])
        try {
          decode(Buffer.from(octets))
        } catch (fault) {
          if (!(fault instanceof BrokerError)) return false
        }
      return true
    }),
  )
  const later = encodeLink(link)
  later[0] = 2
  t.throws(() => decodeLink(later), { code: 'FORMAT_VERSION_LATER' })
})

t.test('a registration that is not valid says why', async (t) => {
  const item = supplier('AAAA', 20260101)
  for (const [json, words] of [
    [{}, /by must/],
    [{ by: 'ann', items: [] }, /items must/],
    [{ by: 'ann', items: [item], more: 1 }, /"more" is not a field/],
    [{ by: 'ann', items: [{ ...item, item: 'x' }] }, /item 1: item must be one of/],
    [{ by: 'ann', items: [{ ...item, value: 'toolong' }] }, /market participant id/],
    [{ by: 'ann', items: [item, { ...item, from: 20260230 }] }, /item 2: from must be a day/],
    [{ by: 'ann', items: [{ ...item, to: 20251231 }] }, /to must be a day, not before from/],
    [{ by: 'ann', items: [{ ...item, item: 'related' }] }, /a meter point/],
    [{ by: 'ann', items: [item], source: 'x y', sequence: 1 }, /source must be/],
    [{ by: 'ann', items: [item], source: 'EELC' }, /sequence and instruction whole/],
    [null, /is an object/],
  ] as const)
    t.throws(() => registrationChangeOf(json, now), {
      code: 'REGISTRATION_MALFORMED',
      message: words,
    })
})
