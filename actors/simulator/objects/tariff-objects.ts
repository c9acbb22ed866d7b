/**
 * Time-of-use tariffs: a calendar (class 20) with its special days (class 11) says which script
 * runs when, the script which mask of registers is active (class 6), and two registers take what
 * flows meanwhile. A new calendar holds from its activation on; what flowed before stays where it
 * was counted. [IEC 62056-6-2, Activity calendar, Special days table, Register activation]
 */
import { ActionResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import type { Json } from '../../../core/dlms/cosem/index.ts'
import { utcMsIn, utcZone } from '../../../core/dlms/axdr/local-time.ts'
import { classObject, type ClassObject } from './class-object.ts'
import { encoded, type SimulatedObject } from './cosem-object.ts'
import { EventCode } from '../model/event-log.ts'
import { dayMs } from '../model/load-curve.ts'
import { register, uint32, Unit } from './measuring-objects.ts'
import type { MeterState } from '../model/meter-state.ts'
import { elementsOf, isOn, numberOf } from './script-objects.ts'

const ratesMax = 2
const specialDaysMax = 64
const tariffScripts = '0-0:10.0.100.255'

const at = (start_time: string, script_selector: number): Json => ({
  start_time,
  script_logical_name: tariffScripts,
  script_selector,
})
const calendar = {
  name: 'TWO-RATE',
  seasons: [{ season_profile_name: 'YEAR', season_start: '*-01-01 00:00:00', week_name: 'WEEK' }],
  weeks: [
    {
      week_profile_name: 'WEEK',
      monday: 1,
      tuesday: 1,
      wednesday: 1,
      thursday: 1,
      friday: 1,
      saturday: 2,
      sunday: 2,
    },
  ],
  days: [
    { day_id: 1, day_schedule: [at('00:00:00', 2), at('07:00:00', 1)] },
    { day_id: 2, day_schedule: [at('00:00:00', 2)] },
  ],
} satisfies Json

const parts = ['calendar_name', 'season_profile', 'week_profile_table', 'day_profile_table']

const activityCalendar: ClassObject = classObject({
  obis: '0-0:13.0.0.255',
  classId: 20,
  attributes: {
    calendar_name_active: calendar.name,
    season_profile_active: calendar.seasons,
    week_profile_table_active: calendar.weeks,
    day_profile_table_active: calendar.days,
    calendar_name_passive: '',
    season_profile_passive: [],
    week_profile_table_passive: [],
    day_profile_table_passive: [],
    activate_passive_calendar_time: '*-*-* *:*:*',
  },
  writable: [...parts.map((part) => `${part}_passive`), 'activate_passive_calendar_time'],
  methods: { activate_passive_calendar: (meter, _zero, nowMs) => activate(meter, nowMs) },
  written(meter, name) {
    if (name !== 'activate_passive_calendar_time') return
    const atMs = utcMsIn(activityCalendar.shown(meter, name), 2, utcZone)
    meter.plan('calendar', atMs, () => void activate(meter, meter.model.clock.now()))
  },
})

function activate(meter: MeterState, nowMs: number): number {
  const amounts = Array.from({ length: ratesMax }, (_, i) => rateAmount(meter, i + 1, nowMs))
  const passive = parts.map((part) => Buffer.from(activityCalendar.shown(meter, `${part}_passive`)))
  parts.forEach((part, i) => activityCalendar.keep(meter, `${part}_active`, passive[i]!))
  meter.record(EventCode.CALENDAR_ACTIVATED, nowMs).rates = { sinceMs: nowMs, amounts }
  counted.delete(meter)
  return ActionResult.SUCCESS
}

const specialDays: ClassObject = classObject({
  obis: '0-0:11.0.0.255',
  classId: 11,
  attributes: { entries: [] },
  writable: ['entries'],
  methods: {
    insert(meter, entry) {
      const others = entriesWithout(meter, elementsOf(entry)[0])
      return keepEntries(meter, [...others, entry])
    },
    delete(meter, index) {
      const others = entriesWithout(meter, index)
      const isThere =
        others.length < elementsOf(decodeValue(specialDays.shown(meter, 'entries'))).length
      return isThere ? keepEntries(meter, others) : ActionResult.OTHER_REASON
    },
  },
  written: (meter) => void counted.delete(meter),
})

const entriesWithout = (meter: MeterState, index: AxdrValue | undefined): AxdrValue[] =>
  elementsOf(decodeValue(specialDays.shown(meter, 'entries'))).filter(
    (entry) => numberOf(elementsOf(entry)[0]) !== numberOf(index),
  )

function keepEntries(meter: MeterState, elements: AxdrValue[]): number {
  if (elements.length > specialDaysMax) return ActionResult.OTHER_REASON
  specialDays.keep(meter, 'entries', encodeValue({ tag: Tag.ARRAY, elements }))
  counted.delete(meter)
  return ActionResult.SUCCESS
}

// ── which rate, and how much ──

type Switch = { ofDayMs: number; rate: number }
type Calendar = {
  seasons: Array<{ start: Buffer; week: string }>
  weeks: Map<string, number[]>
  days: Map<number, Switch[]>
  special: Array<{ date: Buffer; day: number }>
}

const textOf = (value: AxdrValue | undefined): string =>
  value?.tag === Tag.OCTET_STRING ? value.value.toString('latin1') : ''
const octetsOf = (value: AxdrValue | undefined): Buffer =>
  value?.tag === Tag.OCTET_STRING ? value.value : Buffer.alloc(0)

function calendarOf(meter: MeterState): Calendar {
  const rowsOf = (object: ClassObject, name: string): AxdrValue[][] =>
    elementsOf(decodeValue(object.shown(meter, name))).map(elementsOf)
  return {
    seasons: rowsOf(activityCalendar, 'season_profile_active').map(([, start, week]) => ({
      start: octetsOf(start),
      week: textOf(week),
    })),
    weeks: new Map(
      rowsOf(activityCalendar, 'week_profile_table_active').map(([name, ...days]) => [
        textOf(name),
        days.map(numberOf),
      ]),
    ),
    days: new Map(
      rowsOf(activityCalendar, 'day_profile_table_active').map(([id, schedule]) => [
        numberOf(id),
        elementsOf(schedule)
          .map(elementsOf)
          .map(switchOf)
          .toSorted((a, b) => a.ofDayMs - b.ofDayMs),
      ]),
    ),
    special: rowsOf(specialDays, 'entries').map(([, date, day]) => ({
      date: octetsOf(date),
      day: numberOf(day),
    })),
  }
}

function switchOf([time, , selector]: AxdrValue[]): Switch {
  const [hour = 0, minute = 0] = octetsOf(time)
  const rate = numberOf(selector)
  return { ofDayMs: (hour * 60 + minute) * 60_000, rate: rate >= 1 && rate <= ratesMax ? rate : 1 }
}

/** The switches of the day that begins then; rate 1 where the calendar says nothing. */
function switchesOn({ seasons, weeks, days, special }: Calendar, dayStartMs: number): Switch[] {
  const isSpecial = special.find(({ date }) => isOn(date, dayStartMs))
  if (isSpecial !== undefined) return days.get(isSpecial.day) ?? []
  const date = new Date(dayStartMs)
  const ofYear = (date.getUTCMonth() + 1) * 32 + date.getUTCDate()
  const begins = ({ start }: { start: Buffer }): number =>
    (start[2] === 0xff ? 1 : start[2]!) * 32 + (start[3] === 0xff ? 1 : start[3]!)
  const sorted = seasons.toSorted((a, b) => begins(a) - begins(b))
  const season = sorted.findLast((each) => begins(each) <= ofYear) ?? sorted.at(-1)
  const day = weeks.get(season?.week ?? '')?.[(date.getUTCDay() + 6) % 7]
  return days.get(day ?? -1) ?? []
}

/** The rate that is active. */
export function rateAt(meter: MeterState, nowMs: number): number {
  const dayStartMs = Math.floor(nowMs / dayMs) * dayMs
  const switches = switchesOn(calendarOf(meter), dayStartMs)
  return switches.findLast(({ ofDayMs }) => dayStartMs + ofDayMs <= nowMs)?.rate ?? 1
}

/** What flowed at rate 2 between two moments. */
function secondRate(meter: MeterState, of: Calendar, fromMs: number, toMs: number): number {
  let amount = 0
  for (let dayStart = Math.floor(fromMs / dayMs) * dayMs; dayStart < toMs; dayStart += dayMs) {
    const switches = switchesOn(of, dayStart)
    switches.forEach(({ ofDayMs, rate }, i) => {
      if (rate !== 2) return
      const from = Math.max(fromMs, dayStart + ofDayMs)
      const to = Math.min(toMs, dayStart + (switches[i + 1]?.ofDayMs ?? dayMs))
      if (to > from) amount += meter.loadAt(to) - meter.loadAt(from)
    })
  }
  return amount
}

/**
 * What was counted of past days, for meters that were asked: years of days are not gone through
 * again.
 */
const counted = new WeakMap<MeterState, { uptoMs: number; amount: number }>()

/** Wh at a rate up to now. */
function rateAmount(meter: MeterState, rate: number, nowMs: number): number {
  const since = meter.changes?.rates ?? { sinceMs: meter.putInAtMs, amounts: [] }
  const of = calendarOf(meter)
  const todayMs = Math.max(since.sinceMs, Math.floor(nowMs / dayMs) * dayMs)
  let past = counted.get(meter)
  if (past === undefined || past.uptoMs > todayMs) past = { uptoMs: since.sinceMs, amount: 0 }
  past = { uptoMs: todayMs, amount: past.amount + secondRate(meter, of, past.uptoMs, todayMs) }
  counted.set(meter, past)
  const second = past.amount + secondRate(meter, of, todayMs, nowMs)
  const before = since.amounts[rate - 1] ?? 0
  if (rate === 2) return before + second
  return before + meter.loadAt(nowMs) - meter.loadAt(since.sinceMs) - second
}

const nameOfRate = (rate: number): Buffer =>
  encoded((w) => w.octetString(Buffer.from(`RATE${rate}`)))
const rateNames = [nameOfRate(1), nameOfRate(2)]

const rateRegister = (rate: number): SimulatedObject =>
  register(`1-0:1.8.${rate}.255`, 0, Unit.WATT_HOUR, (meter, nowMs) =>
    uint32(rateAmount(meter, rate, nowMs)),
  )

export const tariffObjects: readonly SimulatedObject[] = [
  rateRegister(1),
  rateRegister(2),
  activityCalendar,
  specialDays,
  classObject({
    obis: '0-0:14.0.0.255',
    classId: 6,
    attributes: {
      register_assignment: [1, 2].map((rate) => ({
        class_id: 3,
        logical_name: `1-0:1.8.${rate}.255`,
      })),
      mask_list: [1, 2].map((rate) => ({ mask_name: `RATE${rate}`, index_list: [rate] })),
      // The calendar alone decides it.
      active_mask: (meter, nowMs) => rateNames[rateAt(meter, nowMs) - 1]!,
    },
  }),
  // What the calendar runs: a client may look at it, and not run it.
  classObject({
    obis: tariffScripts,
    classId: 9,
    attributes: {
      scripts: [1, 2].map((rate) => ({
        script_identifier: rate,
        actions: [
          {
            service_id: 'write_attribute',
            class_id: 6,
            logical_name: '0-0:14.0.0.255',
            index: 4,
            parameter: { axdr: 'octet-string', value: Buffer.from(`RATE${rate}`).toString('hex') },
          },
        ],
      })),
    },
  }),
  classObject({
    obis: '0-0:96.14.0.255',
    classId: 1,
    attributes: { value: (meter, nowMs) => rateNames[rateAt(meter, nowMs) - 1]! },
  }),
]
