/** Load curves as properties, and who a meter is: pure functions of seed, number and time. */
import fc from 'fast-check'
import t from 'tap'
import { SimClock } from '../../../../core/ports/sim/clock.ts'
import {
  amountAt,
  amountBeforeHalfHour,
  dayMs,
  fillDays,
  fillHalfHours,
  halfHourMs,
  halfHourOf,
  type LoadTraits,
} from '../../../../actors/simulator/model/load-curve.ts'
import { Meter } from '../../../../actors/simulator/meter.ts'
import {
  feedOf,
  loadOf,
  meterEui64,
  secretOf,
  typeOf,
  type Population,
} from '../../../../actors/simulator/model/population.ts'
import { nowMs, electricity } from '../../../support/meters.ts'

const traits: fc.Arbitrary<LoadTraits> = fc
  .record({ seed: fc.integer(), isGas: fc.boolean(), isFeed: fc.boolean() })
  .map(({ seed, isGas, isFeed }) => {
    const load = loadOf(isGas ? 'GSME' : 'ESME', seed)
    return (isFeed ? feedOf(electricity, 'ESME', seed, load) : undefined) ?? load
  })
const halfHours = fc.integer({
  min: halfHourOf(Date.UTC(2018, 0)),
  max: halfHourOf(Date.UTC(2035, 0)),
})

t.test('a load curve', async (t) => {
  fc.assert(
    fc.property(traits, halfHours, fc.integer({ min: 1, max: 500 }), (load, first, count) => {
      const amounts = new Float64Array(count + 1)
      fillHalfHours(load, first, count + 1, amounts)
      let sum = 0
      for (let i = 0; i < count; i++) {
        const part = amounts[i + 1]! - amounts[i]!
        if (!Number.isInteger(part) || part < 0) return false
        if (
          amounts[i] !== amountBeforeHalfHour(load, first + i) ||
          amounts[i] !== amountAt(load, (first + i) * halfHourMs)
        )
          return false
        sum += part
      }
      return (
        sum === amountAt(load, (first + count) * halfHourMs) - amountAt(load, first * halfHourMs)
      )
    }),
  )
  t.pass('register differences are the sums of the half hours, in whole units, none below 0')

  fc.assert(
    fc.property(
      traits,
      halfHours,
      fc.array(fc.integer({ min: 0, max: 3 * halfHourMs }), { maxLength: 20 }),
      (load, first, steps) => {
        let last = amountAt(load, first * halfHourMs)
        let atMs = first * halfHourMs
        for (const step of steps) {
          atMs += step
          const amount = amountAt(load, atMs)
          if (amount < last || !Number.isInteger(amount)) return false
          last = amount
        }
        return true
      },
    ),
  )
  t.pass('a register never falls, at any moment')

  fc.assert(
    fc.property(traits, (load) => {
      const years = 2
      const from = load.firstDay + 400
      const days = new Float64Array(Math.round(years * 365.25) + 1)
      fillDays(load, from, days.length, days)
      const average = (days.at(-1)! - days[0]!) / (days.length - 1)
      return Math.abs(average / load.dayAmount - 1) < 0.02
    }),
  )
  t.pass('over whole years the average day is the one that was promised')

  const monthOf = (load: LoadTraits, month: number): number =>
    amountAt(load, Date.UTC(2025, month + 1)) - amountAt(load, Date.UTC(2025, month))
  const load = loadOf('ESME', 1)
  const feed = feedOf(electricity, 'ESME', 1, load)!
  const burnt = loadOf('GSME', 1)
  t.ok(monthOf(load, 0) > 1.2 * monthOf(load, 6), 'more is drawn in January than in July')
  t.ok(monthOf(burnt, 0) > 4 * monthOf(burnt, 6), 'much more gas is burnt')
  t.ok(monthOf(feed, 5) > 3 * monthOf(feed, 11), 'the roof gives more in June than in December')
  const midnight = Date.UTC(2025, 5, 10)
  t.equal(
    amountAt(feed, midnight + 3 * 3_600_000),
    amountAt(feed, midnight),
    'and nothing at night',
  )
  const noon =
    amountAt(feed, midnight + 12.5 * 3_600_000) - amountAt(feed, midnight + 11.5 * 3_600_000)
  t.ok(noon > 0, 'but at noon')
  const tuesdayNoon = Array.from({ length: 8 }, (_, week) => {
    const atMs = Date.UTC(2025, 2, 4, 12) + week * 7 * dayMs
    return amountAt(load, atMs + halfHourMs) - amountAt(load, atMs)
  })
  t.ok(new Set(tuesdayNoon).size > 4, 'no two weeks are the same')
  t.not(amountAt(loadOf('ESME', 2), nowMs), amountAt(load, nowMs), 'nor two meters')
})

t.test('who a meter is', async (t) => {
  const mixed: Population = {
    seed: 3,
    gasShare: 0.2,
    gasProxyShare: 0.05,
    solarShare: 0.3,
    secretShare: 0.25,
  }
  const count = { ESME: 0, GSME: 0, GPF: 0 }
  const euis = new Set<string>()
  let secrets = 0
  for (let number = 0; number < 1_000; number++) {
    count[typeOf(mixed, number)]++
    euis.add(meterEui64(number))
    if (secretOf(mixed, new Meter({ population: mixed, clock: new SimClock() }, number).seed))
      secrets++
  }
  t.same(count, { ESME: 750, GSME: 200, GPF: 50 })
  t.equal(euis.size, 1_000)
  t.ok(secrets > 180 && secrets < 320, `${secrets} of 1,000 have a secret`)
  t.equal(meterEui64(0), '00-DB-10-00-00-00-00-01')
  t.match(secretOf({ ...mixed, secretShare: 1 }, 5)!.toString('latin1'), /^[0-9a-f]{16}$/)
})
