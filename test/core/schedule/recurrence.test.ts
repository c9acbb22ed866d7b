/** When schedules run: against a brute-force enumeration of the calendar, day by day. */
import fc from 'fast-check'
import { Temporal } from 'temporal-polyfill'
import t from 'tap'
import type { Eui64 } from '../../../core/base/eui64.ts'
import { periodOfRun } from '../../../core/schedule/log-window.ts'
import { dayMs, dueOf, dueRuns, nextRun, spreadOffset } from '../../../core/schedule/recurrence.ts'
import {
  counterOfRun,
  isRunCounter,
  runOfCounter,
  scheduleOfCounter,
} from '../../../core/schedule/run-counter.ts'
import { Frequency, type ScheduleSpec, type When } from '../../../core/schedule/schedule.ts'
import { numberOfCounter } from '../../../core/base/counter.ts'
import { requestCounterMax } from '../../../core/base/request-counter.ts'
import { parseSrv } from '../../../core/base/srv.ts'

const day = (text: string): number => Date.parse(`${text}T00:00:00Z`) / dayMs
const ms = (text: string): number => Date.parse(text)
const iso = (utcMs: number | undefined): string | undefined =>
  utcMs === undefined ? undefined : new Date(utcMs).toISOString().slice(0, 16)
const hours = (count: number): number => count * 3_600_000

const when = (some: Partial<When>): When => ({
  frequency: 'DAILY',
  startDay: day('2026-01-01'),
  spreadMs: 0,
  startMs: 0,
  timeZone: '',
  ...some,
})

const monthsOf: Readonly<Partial<Record<Frequency, number>>> = {
  MONTHLY: 1,
  QUARTERLY: 3,
  HALF_YEARLY: 6,
  YEARLY: 12,
}

/** Every run up to a day, found by asking of each day whether it is one. */
function bruteForce(schedule: When, untilDay: number): number[] {
  const { frequency, startDay, endDay = untilDay, startMs = 0, timeZone } = schedule
  const start = Temporal.PlainDate.from('1970-01-01').add({ days: startDay })
  const found: number[] = []
  for (let at = startDay; at <= Math.min(endDay, untilDay); at++) {
    const date = Temporal.PlainDate.from('1970-01-01').add({ days: at })
    const apart = (date.year - start.year) * 12 + date.month - start.month
    const step = monthsOf[frequency]
    const isRun =
      step === undefined
        ? (at - startDay) % (frequency === 'DAILY' ? 1 : 7) === 0
        : apart % step === 0 && date.day === Math.min(start.day, date.daysInMonth)
    if (!isRun) continue
    const time = Temporal.PlainTime.from('00:00').add({ milliseconds: startMs })
    const zoned = date.toPlainDateTime(time).toZonedDateTime(timeZone || 'UTC', {
      disambiguation: 'compatible',
    })
    if (zoned.epochMilliseconds !== found.at(-1)) found.push(zoned.epochMilliseconds)
  }
  return found
}

function byNextRun(schedule: When, untilMs: number): number[] {
  const found: number[] = []
  let number: number | undefined = 0
  for (;;) {
    const dueMs: number | undefined = number === undefined ? undefined : dueOf(schedule, 0, number)
    if (dueMs === undefined || dueMs > untilMs) return found
    found.push(dueMs)
    number = nextRun(schedule, 0, number! + 1, dueMs)
  }
}

const zones = ['', 'Europe/London', 'America/New_York', 'Pacific/Apia', 'Australia/Lord_Howe']
const schedules = fc.record({
  frequency: fc.constantFrom(...Frequency),
  startDay: fc.integer({ min: day('2010-01-01'), max: day('2031-12-31') }),
  endDay: fc.option(fc.integer({ min: day('2011-06-01'), max: day('2034-01-01') }), {
    nil: undefined,
  }),
  startMs: fc.integer({ min: 0, max: 86_399 }).map((seconds) => seconds * 1_000),
  spreadMs: fc.constant(0),
  timeZone: fc.constantFrom(...zones),
})

t.test('runs are those of the calendar, and strictly rise', async (t) => {
  fc.assert(
    fc.property(schedules, (schedule) => {
      const untilDay = schedule.startDay + 3 * 366
      const expected = bruteForce(schedule, untilDay)
      const found = byNextRun(schedule, expected.at(-1) ?? schedule.startDay * dayMs)
      t.same(found, expected)
      for (let i = 1; i < found.length; i++)
        if (found[i]! <= found[i - 1]!) t.fail(`${found[i]} after ${found[i - 1]}`)
    }),
    { numRuns: 60 },
  )
})

t.test('the next run after any time is the first of the enumeration behind it', async (t) => {
  const cases = fc.tuple(schedules, fc.integer({ min: -5, max: 1_200 }), fc.integer({ min: 0 }))
  fc.assert(
    fc.property(cases, ([schedule, days, odd]) => {
      const afterMs = (schedule.startDay + days) * dayMs + (odd % dayMs)
      const expected = bruteForce(schedule, schedule.startDay + days + 800).find(
        (one) => one > afterMs,
      )
      const number = nextRun(schedule, 0, 0, afterMs)
      t.equal(number === undefined ? undefined : dueOf(schedule, 0, number), expected)
    }),
    { numRuns: 60 },
  )
})

t.test('month ends and leap days', async (t) => {
  const monthly = when({ frequency: 'MONTHLY', startDay: day('2027-10-31') })
  t.same(
    [0, 1, 2, 3, 4, 5].map((number) => iso(dueOf(monthly, 0, number))?.slice(0, 10)),
    ['2027-10-31', '2027-11-30', '2027-12-31', '2028-01-31', '2028-02-29', '2028-03-31'],
  )
  const yearly = when({ frequency: 'YEARLY', startDay: day('2028-02-29') })
  t.same(
    [0, 1, 4].map((number) => iso(dueOf(yearly, 0, number))?.slice(0, 10)),
    ['2028-02-29', '2029-02-28', '2032-02-29'],
  )
})

t.test('both edges of daylight saving', async (t) => {
  const london = { timeZone: 'Europe/London', startMs: hours(1.5) }
  // 01:00 to 02:00 is left out on 29 March 2026.
  const spring = when({ ...london, startDay: day('2026-03-28') })
  t.same(
    [0, 1, 2].map((number) => iso(dueOf(spring, 0, number))),
    ['2026-03-28T01:30', '2026-03-29T01:30', '2026-03-30T00:30'],
  )
  // 01:00 to 02:00 comes twice on 25 October 2026: the first one counts.
  const autumn = when({ ...london, startDay: day('2026-10-24') })
  t.same(
    [0, 1, 2].map((number) => iso(dueOf(autumn, 0, number))),
    ['2026-10-24T00:30', '2026-10-25T00:30', '2026-10-26T01:30'],
  )
  const utc = when({ startMs: hours(1.5), startDay: day('2026-03-28') })
  t.equal(iso(dueOf(utc, 0, 1)), '2026-03-29T01:30', 'without a zone nothing moves')
})

t.test(
  'missed runs: the last one is caught up within a day, all others are reported',
  async (t) => {
    const daily = when({ startMs: hours(2), startDay: day('2026-01-01') })
    const at = (text: string, from = 0): ReturnType<typeof dueRuns> =>
      dueRuns(daily, 0, from, { now: ms(text), catchUpMs: dayMs })
    t.same(at('2026-01-01T01:59:59Z'), {
      run: undefined,
      missed: undefined,
      next: { number: 0, dueMs: ms('2026-01-01T02:00Z') },
    })
    t.same(at('2026-01-01T02:00:00Z').run?.number, 0)
    const late = at('2026-01-05T12:00:00Z', 1)
    t.same(late.run, { number: 4, dueMs: ms('2026-01-05T02:00Z') })
    t.same(late.missed, {
      count: 3,
      firstMs: ms('2026-01-02T02:00Z'),
      lastMs: ms('2026-01-04T02:00Z'),
    })
    t.equal(late.next?.number, 5)
    const ended = dueRuns({ ...daily, endDay: day('2026-01-03') }, 0, 1, {
      now: ms('2026-03-01T00:00Z'),
      catchUpMs: dayMs,
    })
    t.same([ended.run, ended.missed?.count, ended.next], [undefined, 2, undefined])
  },
)

t.test('each run is made, or missed, once, however time goes', async (t) => {
  const nows = fc.array(fc.integer({ min: -40, max: 400 }), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(schedules, nows, (schedule, days) => {
      let from = 0
      let handled = 0
      let isOver = false
      for (const one of days) {
        if (isOver) break
        const now = (schedule.startDay + one) * dayMs
        const due = dueRuns(schedule, 0, from, { now, catchUpMs: 2 * dayMs })
        handled += (due.missed?.count ?? 0) + (due.run === undefined ? 0 : 1)
        if (due.next !== undefined) from = due.next.number
        isOver = due.next === undefined
        if (!isOver) t.equal(handled, from)
      }
    }),
    { numRuns: 200 },
  )
})

t.test('runs without a start time are spread over the day, evenly and for good', async (t) => {
  const spread = when({ startMs: undefined })
  const counts = Array.from({ length: 24 }, () => 0)
  for (let i = 0; i < 24_000; i++) {
    const octets = Buffer.alloc(8)
    octets.writeUInt32BE(i, 4)
    const device = octets.toString('latin1') as Eui64
    const offset = spreadOffset(spread, device, 'partyone' as Eui64, 1)
    t.equal(offset, spreadOffset(spread, device, 'partyone' as Eui64, 1))
    counts[Math.floor(offset / hours(1))]!++
  }
  t.ok(Math.min(...counts) > 850 && Math.max(...counts) < 1_150, counts.join(' '))
  const quarter = when({ startMs: hours(2), spreadMs: hours(0.25) })
  const offset = spreadOffset(quarter, 'deviceon' as Eui64, 'partyone' as Eui64, 7)
  t.ok(offset >= 0 && offset < hours(0.25))
  t.equal(spreadOffset(when({}), 'deviceon' as Eui64, 'partyone' as Eui64, 7), 0)
})

t.test('the window of a run is counted from its day', async (t) => {
  const spec: ScheduleSpec = {
    ...when({ startMs: hours(4), startDay: day('2026-03-28'), timeZone: 'Europe/London' }),
    srv: parseSrv('4.8.1'),
    window: { fromOffset: -1, fromMs: 0, toOffset: -1, toMs: hours(24) - 1_000 },
  }
  const period = periodOfRun(spec, 2, dueOf(spec, 0, 2)!)!
  t.same(
    [period.fromMs, period.toMs].map(iso),
    ['2026-03-29T00:00', '2026-03-29T22:59'],
    'the day of the change has 23 hours',
  )
  t.equal(periodOfRun({ ...spec, window: undefined }, 2, 0), undefined)
})

t.test('counters of runs are above those of parties, and say which run it is', async (t) => {
  const some = fc.tuple(fc.integer({ min: 1, max: 1e12 }), fc.integer({ min: 0, max: 2 ** 23 - 1 }))
  fc.assert(
    fc.property(some, ([id, run]) => {
      const counter = counterOfRun(id, run)
      const number = numberOfCounter(counter)
      t.ok(isRunCounter(counter) && number > requestCounterMax)
      t.same([scheduleOfCounter(number), runOfCounter(number)], [id, run])
    }),
  )
  t.equal(scheduleOfCounter(requestCounterMax), 0)
})
