/**
 * Simulated meters without sockets: load curves as properties, profiles against registers, every object by descriptor, hostile
 * selections and parameters. Faults' words and choice too, since they are pure.
 */
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { DataAccessResult } from '../../../core/dlms/apdu.ts'
import { AxdrWriter, decodeValue, skipValue, Tag, type AxdrValue } from '../../../core/dlms/axdr.ts'
import { readCosemDateTime, writeCosemDateTime } from '../../../core/dlms/date-time.ts'
import { formatObis, parseObis } from '../../../core/dlms/obis.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { doingsMax, EventCode } from '../../../actors/simulator/event-log.ts'
import { FaultBoard, faultKinds, formatFault, makeFault, parseFaults, type FaultKind } from '../../../actors/simulator/faults.ts'
import {
  amountAt,
  amountBeforeHalfHour,
  dayMs,
  fillDays,
  fillHalfHours,
  halfHourMs,
  halfHourOf,
  type LoadTraits,
} from '../../../actors/simulator/load-curve.ts'
import { Meter } from '../../../actors/simulator/meter.ts'
import { feedOf, loadOf, meterEui64, secretOf, typeOf, type Population } from '../../../actors/simulator/population.ts'
import { PublicObjects } from '../../../actors/simulator/public-objects.ts'

const nowMs = Date.UTC(2026, 10, 23, 18, 7, 42)
const electricity: Population = { seed: 7, gasShare: 0, gasProxyShare: 0, solarShare: 1, secretShare: 0 }
const gas: Population = { ...electricity, gasShare: 1 }

const descriptor = (classId: number, obis: string, attribute: number): Buffer =>
  Buffer.concat([Buffer.from([classId >> 8, classId & 255]), parseObis(obis), Buffer.from([attribute])])

function meterAt(atMs = nowMs, population = electricity, number = 0): { meter: Meter; clock: SimClock } {
  const clock = new SimClock(atMs)
  return { meter: new Meter({ population, clock }, number), clock }
}

function read(meter: Meter, classId: number, obis: string, attribute: number, selection?: Buffer): Buffer {
  const value = meter.get(descriptor(classId, obis, attribute), selection)
  if (typeof value === 'number') throw new Error(`${obis} attribute ${attribute}: ${value}`)
  return value
}

const dateTimeBytes = (utcMs: number): Buffer => {
  const bytes = Buffer.alloc(12)
  writeCosemDateTime(bytes, 0, utcMs)
  return bytes
}

const clockObject = (w: AxdrWriter, obis = '0-0:1.0.0.255'): AxdrWriter =>
  w.structure(4).uint16(8).octetString(parseObis(obis)).int8(2).uint16(0)

function byRange(fromMs: number, toMs: number, columns: ReadonlyArray<[number, string, number]> = []): Buffer {
  const w = new AxdrWriter().octet(1).structure(4)
  clockObject(w).dateTime(dateTimeBytes(fromMs)).dateTime(dateTimeBytes(toMs)).array(columns.length)
  for (const [classId, obis, attribute] of columns) w.structure(4).uint16(classId).octetString(parseObis(obis)).int8(attribute).uint16(0)
  return w.take()
}

const byEntry = (from: number, to: number, fromColumn = 1, toColumn = 0): Buffer =>
  new AxdrWriter().octet(2).structure(4).uint32(from).uint32(to).uint16(fromColumn).uint16(toColumn).take()

function elementsOf(value: AxdrValue): AxdrValue[] {
  if (value.tag !== Tag.ARRAY && value.tag !== Tag.STRUCTURE) throw new Error(`tag ${value.tag}`)
  return value.elements
}
function simpleOf(value: AxdrValue): number | bigint | string | boolean | Buffer {
  if (!('value' in value)) throw new Error(`tag ${value.tag}`)
  return value.value
}

type Row = { atMs: number; status: number; value: number }
/** Rows with clock, status and one value; without status when `cells` is 2. */
function rowsOf(bytes: Buffer, cells = 3): Row[] {
  if (skipValue(bytes, 0) !== bytes.length) throw new Error('octets left over')
  return elementsOf(decodeValue(bytes, 0)).map((row) => {
    const values = elementsOf(row).map(simpleOf)
    if (values.length !== cells) throw new Error(`${values.length} cells`)
    const atMs = readCosemDateTime(values[0] as Buffer, 0)
    return { atMs: atMs ?? NaN, status: cells === 3 ? (values[1] as number) : 0, value: values.at(-1) as number }
  })
}
const numberOf = (bytes: Buffer): number => Number(simpleOf(decodeValue(bytes, 0)))

const traits: fc.Arbitrary<LoadTraits> = fc
  .record({ seed: fc.integer(), isGas: fc.boolean(), isFeed: fc.boolean() })
  .map(({ seed, isGas, isFeed }) => {
    const load = loadOf(isGas ? 'GSME' : 'ESME', seed)
    return (isFeed ? feedOf(electricity, 'ESME', seed, load) : undefined) ?? load
  })
const halfHours = fc.integer({ min: halfHourOf(Date.UTC(2018, 0)), max: halfHourOf(Date.UTC(2035, 0)) })

t.test('a load curve', async (t) => {
  fc.assert(
    fc.property(traits, halfHours, fc.integer({ min: 1, max: 500 }), (load, first, count) => {
      const amounts = new Float64Array(count + 1)
      fillHalfHours(load, first, count + 1, amounts)
      let sum = 0
      for (let i = 0; i < count; i++) {
        const part = amounts[i + 1]! - amounts[i]!
        if (!Number.isInteger(part) || part < 0) return false
        if (amounts[i] !== amountBeforeHalfHour(load, first + i) || amounts[i] !== amountAt(load, (first + i) * halfHourMs)) return false
        sum += part
      }
      return sum === amountAt(load, (first + count) * halfHourMs) - amountAt(load, first * halfHourMs)
    }),
  )
  t.pass('register differences are the sums of the half hours, in whole units, none below 0')

  fc.assert(
    fc.property(traits, halfHours, fc.array(fc.integer({ min: 0, max: 3 * halfHourMs }), { maxLength: 20 }), (load, first, steps) => {
      let last = amountAt(load, first * halfHourMs)
      let atMs = first * halfHourMs
      for (const step of steps) {
        atMs += step
        const amount = amountAt(load, atMs)
        if (amount < last || !Number.isInteger(amount)) return false
        last = amount
      }
      return true
    }),
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
  t.equal(amountAt(feed, midnight + 3 * 3_600_000), amountAt(feed, midnight), 'and nothing at night')
  const noon = amountAt(feed, midnight + 12.5 * 3_600_000) - amountAt(feed, midnight + 11.5 * 3_600_000)
  t.ok(noon > 0, 'but at noon')
  const tuesdayNoon = Array.from({ length: 8 }, (_, week) => {
    const atMs = Date.UTC(2025, 2, 4, 12) + week * 7 * dayMs
    return amountAt(load, atMs + halfHourMs) - amountAt(load, atMs)
  })
  t.ok(new Set(tuesdayNoon).size > 4, 'no two weeks are the same')
  t.not(amountAt(loadOf('ESME', 2), nowMs), amountAt(load, nowMs), 'nor two meters')
})

t.test('who a meter is', async (t) => {
  const mixed: Population = { seed: 3, gasShare: 0.2, gasProxyShare: 0.05, solarShare: 0.3, secretShare: 0.25 }
  const count = { ESME: 0, GSME: 0, GPF: 0 }
  const euis = new Set<string>()
  let secrets = 0
  for (let number = 0; number < 1_000; number++) {
    count[typeOf(mixed, number)]++
    euis.add(meterEui64(number))
    if (secretOf(mixed, new Meter({ population: mixed, clock: new SimClock() }, number).seed)) secrets++
  }
  t.same(count, { ESME: 750, GSME: 200, GPF: 50 })
  t.equal(euis.size, 1_000)
  t.ok(secrets > 180 && secrets < 320, `${secrets} of 1,000 have a secret`)
  t.equal(meterEui64(0), '00-DB-10-00-00-00-00-01')
  t.match(secretOf({ ...mixed, secretShare: 1 }, 5)!.toString('latin1'), /^[0-9a-f]{16}$/)
})

t.test('the half-hour profile and the register are one', async (t) => {
  const { meter, clock } = meterAt()
  const rows = rowsOf(read(meter, 7, '1-0:99.1.0.255', 2))
  t.equal(rows.length, limits.profileDaysMax * 48, 'more than 13 months')
  t.equal(rows.length, numberOf(read(meter, 7, '1-0:99.1.0.255', 7)), 'as entries_in_use says')
  t.equal(rows.at(-1)!.atMs, Date.UTC(2026, 10, 23, 18), 'the newest is the half hour that ended last')
  t.ok(rows.every(({ atMs }, i) => atMs === rows[0]!.atMs + i * halfHourMs), 'without a gap')
  t.ok(rows.every(({ value }, i) => i === 0 || value >= rows[i - 1]!.value), 'cumulative')
  const firstMs = rows[0]!.atMs
  for (const index of [0, 1, 4711, 9_999, rows.length - 1]) {
    const then = meterAt(firstMs + index * halfHourMs)
    t.equal(numberOf(read(then.meter, 3, '1-0:1.8.0.255', 2)), rows[index]!.value, `row ${index} is what the register showed then`)
  }
  clock.advanceBy(6 * 3_600_000)
  t.equal(rowsOf(read(meter, 7, '1-0:99.1.0.255', 2, byRange(nowMs, nowMs + dayMs))).length, 12, 'twelve more after six hours')
  t.ok(rows.some(({ status }) => status & 0x80), 'power cuts show in the status')

  const columns = elementsOf(decodeValue(read(meter, 7, '1-0:99.1.0.255', 3), 0)).map((column) => {
    const [classId, obis, attribute] = elementsOf(column).map(simpleOf)
    return `${classId} ${formatObis(obis as Buffer)} ${attribute}`
  })
  t.same(columns, ['8 0-0:1.0.0.255 2', '1 0-0:96.10.1.255 2', '3 1-0:1.8.0.255 2'])
  t.equal(numberOf(read(meter, 7, '1-0:99.1.0.255', 4)), 1_800)
  t.equal(numberOf(read(meter, 7, '1-0:99.1.0.255', 8)), 19_200)
  t.same(elementsOf(decodeValue(read(meter, 3, '1-0:1.8.0.255', 3), 0)).map(simpleOf), [0, 30], 'Wh, exactly')
})

t.test('other profiles', async (t) => {
  const { meter } = meterAt()
  const days = rowsOf(read(meter, 7, '1-0:99.2.0.255', 2))
  t.equal(days.length, 731)
  t.equal(days.at(-1)!.atMs, Date.UTC(2026, 10, 23))
  t.equal(days.at(-1)!.value, amountAt(meter.load, Date.UTC(2026, 10, 23)))
  const volts = rowsOf(read(meter, 7, '1-0:99.14.0.255', 2))
  t.equal(volts.length, 4_320)
  t.ok(volts.every(({ value }) => value > 2_160 && value < 2_530), 'within 230 V −6 % to +10 %')
  const now = numberOf(read(meter, 3, '1-0:32.7.0.255', 2))
  t.ok(Math.abs(now - volts.at(-1)!.value) < 80)
  t.equal(volts.at(-1)!.value, numberOf(read(meter, 3, '1-0:32.24.0.255', 2)), 'the last average is the register')
  t.ok(numberOf(read(meter, 1, '1-0:32.32.0.255', 2)) >= 0)
  const events = rowsOf(read(meter, 7, '0-0:99.98.0.255', 2), 2)
  t.ok(events.length > 4 && events.every(({ atMs }, i) => i === 0 || atMs >= events[i - 1]!.atMs))

  const burner = meterAt(nowMs, gas).meter
  const litres = rowsOf(read(burner, 7, '0-1:24.3.0.255', 2, byRange(nowMs - dayMs, nowMs)))
  t.equal(litres.length, 48)
  t.equal(litres.at(-1)!.value, amountAt(burner.load, Date.UTC(2026, 10, 23, 18)))
  t.ok(numberOf(read(burner, 4, '0-1:24.2.1.255', 2)) >= litres.at(-1)!.value)
  t.same(elementsOf(decodeValue(read(burner, 4, '0-1:24.2.1.255', 3), 0)).map(simpleOf), [-3, 13], 'litres')
  t.equal(burner.get(descriptor(3, '1-0:1.8.0.255', 2), undefined), DataAccessResult.OBJECT_UNDEFINED)
  t.equal(meter.get(descriptor(4, '0-1:24.2.1.255', 2), undefined), DataAccessResult.OBJECT_UNDEFINED)
  t.equal(rowsOf(read(meterAt(Date.UTC(2001, 0)).meter, 7, '1-0:99.1.0.255', 2)).length, 0, 'nothing before it was put in')
})

t.test('selective access', async (t) => {
  const { meter } = meterAt()
  const obis = '1-0:99.1.0.255'
  const all = rowsOf(read(meter, 7, obis, 2))
  const firstMs = all[0]!.atMs
  fc.assert(
    fc.property(fc.integer({ min: -100_000_000, max: 3_000_000_000 }), fc.integer({ min: 0, max: 40 * halfHourMs }), (offset, length) => {
      // Date-times have hundredths.
      const fromMs = Math.floor((firstMs + offset) / 10) * 10
      const toMs = fromMs + Math.floor(length / 10) * 10
      const expected = all.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs)
      t.same(rowsOf(read(meter, 7, obis, 2, byRange(fromMs, toMs))), expected)
    }),
    { numRuns: 60 },
  )
  const chosen = read(meter, 7, obis, 2, byRange(nowMs - dayMs, nowMs, [[3, '1-0:1.8.0.255', 2]]))
  t.same(elementsOf(decodeValue(chosen, 0)).map((row) => elementsOf(row).map(simpleOf)), all.slice(-48).map(({ value }) => [value]))
  t.same(rowsOf(read(meter, 7, obis, 2, byEntry(2, 4))), all.slice(1, 4), 'entries count from 1, the oldest')
  t.same(rowsOf(read(meter, 7, obis, 2, byEntry(all.length, 0))), all.slice(-1))
  t.same(rowsOf(read(meter, 7, obis, 2, byEntry(all.length + 1, 0))), [], 'behind the last there are none')
  const clocks = read(meter, 7, obis, 2, byEntry(1, 1, 3, 3))
  t.same(elementsOf(decodeValue(clocks, 0)).map((row) => elementsOf(row).map(simpleOf)), [[all[0]!.value]])

  const open = new AxdrWriter().octet(1).structure(4)
  clockObject(open).dateTime(Buffer.alloc(12, 0xff)).dateTime(dateTimeBytes(firstMs)).array(0)
  t.same(rowsOf(read(meter, 7, obis, 2, open.take())), all.slice(0, 1), 'a from that names no time is no bound')

  const bad = (selection: Buffer, what: string, result: number): void => void t.equal(meter.get(descriptor(7, obis, 2), selection), result, what)
  const { TYPE_UNMATCHED, SCOPE_OF_ACCESS_VIOLATED } = DataAccessResult
  bad(byRange(nowMs, nowMs - 1_000), 'backwards', SCOPE_OF_ACCESS_VIOLATED)
  bad(byRange(nowMs, nowMs, [[3, '1-0:2.8.0.255', 2]]), 'a column that is not there', SCOPE_OF_ACCESS_VIOLATED)
  bad(byEntry(0, 3), 'entry 0', SCOPE_OF_ACCESS_VIOLATED)
  bad(byEntry(1, 3, 4, 4), 'a column too far', SCOPE_OF_ACCESS_VIOLATED)
  bad(byEntry(5, 3), 'entries backwards', SCOPE_OF_ACCESS_VIOLATED)
  bad(Buffer.concat([byEntry(1, 3), Buffer.alloc(1)]), 'left over', TYPE_UNMATCHED)
  bad(Buffer.concat([Buffer.from([3]), byEntry(1, 3).subarray(1)]), 'selector 3', SCOPE_OF_ACCESS_VIOLATED)
  const byEnergy = new AxdrWriter().octet(1).structure(4).structure(4).uint16(3).octetString(parseObis('1-0:1.8.0.255')).int8(2).uint16(0)
  bad(byEnergy.uint32(1).uint32(2).array(0).take(), 'a range of energy', TYPE_UNMATCHED)
  const whole = byRange(nowMs - dayMs, nowMs, [[3, '1-0:1.8.0.255', 2]])
  for (let cut = 0; cut < whole.length; cut++) {
    if (typeof meter.get(descriptor(7, obis, 2), whole.subarray(0, cut)) !== 'number') t.fail(`cut at ${cut}`)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat({ max: 59 }), (noise, at) => {
      const changed = Buffer.from(whole)
      changed.set(noise.subarray(0, Math.min(noise.length, changed.length - Math.min(at, changed.length))), Math.min(at, changed.length))
      for (const selection of [Buffer.from(noise), changed]) {
        const result = meter.get(descriptor(7, obis, 2), selection)
        if (typeof result !== 'number' && skipValue(result, 0) !== result.length) return false
      }
      return true
    }),
  )
  t.equal(meter.get(descriptor(3, '1-0:1.8.0.255', 2), whole), SCOPE_OF_ACCESS_VIOLATED, 'registers have no selection')
})

t.test('every object of the list can be read, and nothing else', async (t) => {
  for (const population of [electricity, gas]) {
    const { meter } = meterAt(nowMs, population)
    const list = elementsOf(decodeValue(read(meter, 15, '0-0:40.0.0.255', 2), 0))
    t.ok(list.length > 10)
    const names = new Set<string>()
    for (const entry of list) {
      const [classId, , obis, rights] = elementsOf(entry)
      const name = formatObis(simpleOf(obis!) as Buffer)
      names.add(name)
      const [attributes, methods] = elementsOf(rights!)
      for (const attribute of elementsOf(attributes!)) {
        const id = Number(simpleOf(elementsOf(attribute)[0]!))
        const value = read(meter, Number(simpleOf(classId!)), name, id)
        if (id === 1) t.same(simpleOf(decodeValue(value, 0)), parseObis(name))
        else if (skipValue(value, 0) !== value.length) t.fail(`${name} ${id}`)
      }
      const past = descriptor(Number(simpleOf(classId!)), name, elementsOf(attributes!).length + 1)
      t.equal(meter.get(past, undefined), DataAccessResult.READ_WRITE_DENIED, `${name} ends there`)
      t.equal(meter.get(descriptor(9, name, 1), undefined), DataAccessResult.OBJECT_CLASS_INCONSISTENT)
      t.same(meter.invoke(descriptor(9, name, 1), undefined), { result: DataAccessResult.OBJECT_CLASS_INCONSISTENT })
      t.equal(meter.set(descriptor(9, name, 1), undefined, Buffer.from([0])), DataAccessResult.OBJECT_CLASS_INCONSISTENT)
      for (const method of elementsOf(methods!)) {
        const [id, mode] = elementsOf(method).map(simpleOf)
        if (mode === 0) t.same(meter.invoke(descriptor(Number(simpleOf(classId!)), name, Number(id)), Buffer.from([15, 0])), { result: 3 })
      }
    }
    t.equal(names.size, list.length, 'each once')
  }
  const { meter } = meterAt()
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 9, maxLength: 9 }), fc.uint8Array({ maxLength: 40 }), (octets, parameter) => {
      const any = Buffer.from(octets)
      const got = meter.get(any, undefined)
      const set = meter.set(any, undefined, Buffer.from(parameter))
      const { result } = meter.invoke(any, Buffer.from(parameter))
      return (typeof got === 'number' || got.length > 0) && Number.isInteger(set) && Number.isInteger(result)
    }),
  )
  t.equal(meter.get(Buffer.from([0, 3, 17, 0, 1, 8, 0, 255, 2]), undefined), DataAccessResult.OBJECT_UNDEFINED, 'medium 17 is not medium 1')
  t.equal(meter.get(descriptor(3, '1-0:1.8.0.1', 2), undefined), DataAccessResult.OBJECT_UNDEFINED, 'no billing periods')
})

t.test('identity, message, public client', async (t) => {
  const { meter } = meterAt()
  const textOf = (obis: string): string => (simpleOf(decodeValue(read(meter, 1, obis, 2), 0)) as Buffer).toString('latin1')
  t.equal(textOf('0-0:42.0.0.255'), 'BSBE000000000001')
  t.equal(textOf('0-0:96.1.0.255'), 'E21B000000001')
  t.equal(textOf('0-0:96.1.1.255'), '00-DB-10-00-00-00-00-01')
  t.match(textOf('1-0:0.2.0.255'), /^BSB-E-4\.\d\.\d$/)

  const message = descriptor(1, '0-0:96.13.0.255', 2)
  t.equal(textOf('0-0:96.13.0.255'), '')
  const octets = new AxdrWriter().octetString(Buffer.from('Kauft Öl')).take()
  t.equal(meter.set(message, undefined, octets), DataAccessResult.SUCCESS)
  octets.fill(0)
  t.equal(Buffer.from(textOf('0-0:96.13.0.255'), 'latin1').toString(), 'Kauft Öl', 'kept in memory of its own')
  t.equal(meter.set(message, undefined, new AxdrWriter().octetString(Buffer.alloc(465)).take()), DataAccessResult.TYPE_UNMATCHED)
  t.equal(meter.set(message, undefined, new AxdrWriter().uint32(1).take()), DataAccessResult.TYPE_UNMATCHED)
  t.equal(meter.set(descriptor(3, '1-0:1.8.0.255', 2), undefined, new AxdrWriter().uint32(1).take()), DataAccessResult.READ_WRITE_DENIED)
  t.equal(meter.set(descriptor(3, '1-0:9.9.9.255', 2), undefined, Buffer.from([0])), DataAccessResult.OBJECT_UNDEFINED)

  const seen = new PublicObjects(meter)
  t.type(seen.get(descriptor(8, '0-0:1.0.0.255', 2), undefined), Buffer)
  t.type(seen.get(descriptor(1, '0-0:42.0.0.255', 2), undefined), Buffer)
  t.equal(seen.get(descriptor(3, '1-0:1.8.0.255', 2), undefined), DataAccessResult.READ_WRITE_DENIED)
  t.equal(seen.set(), DataAccessResult.READ_WRITE_DENIED)
  t.same(seen.invoke(), { result: DataAccessResult.READ_WRITE_DENIED })
})

t.test('the clock', async (t) => {
  const { meter, clock } = meterAt()
  const timeOf = (): number => readCosemDateTime(read(meter, 8, '0-0:1.0.0.255', 2), 2)!
  const method = (id: number): Buffer => descriptor(8, '0-0:1.0.0.255', id)
  const zero = new AxdrWriter().int8(0).take()
  const preset = (timeMs: number, fromMs: number, toMs: number): Buffer =>
    new AxdrWriter().structure(3).dateTime(dateTimeBytes(timeMs)).dateTime(dateTimeBytes(fromMs)).dateTime(dateTimeBytes(toMs)).take()
  t.ok(Math.abs(timeOf() - nowMs) <= 8_000, 'off by a few seconds at first')

  t.same(meter.invoke(method(4), zero), { result: DataAccessResult.OTHER_REASON }, 'nothing is preset')
  const wrongMs = nowMs + 5 * dayMs
  t.same(meter.invoke(method(5), preset(wrongMs, nowMs - 60_000, nowMs + 60_000)), { result: 0 })
  t.same(meter.invoke(method(4), zero), { result: 0 })
  t.equal(timeOf(), wrongMs, 'it shows what was preset')
  clock.advanceBy(3_600_000)
  t.ok(Math.abs(timeOf() - wrongMs - 3_600_000) <= 40, 'and goes on from there, with a little drift')
  const rightMs = clock.now()
  t.same(meter.invoke(method(5), preset(rightMs, rightMs - 60_000, rightMs + 60_000)), { result: 0 })
  t.same(meter.invoke(method(4), zero), { result: DataAccessResult.OTHER_REASON }, 'its own time lies outside the interval')
  t.same(meter.invoke(method(6), new AxdrWriter().int16(900).take()), { result: 0 })
  t.same(meter.invoke(method(6), new AxdrWriter().int16(901).take()), { result: DataAccessResult.OTHER_REASON })
  t.ok(Math.abs(timeOf() - wrongMs - 4_500_000) <= 40)
  t.equal(meter.set(method(2), undefined, new AxdrWriter().dateTime(dateTimeBytes(rightMs)).take()), 0)
  t.equal(timeOf(), rightMs)
  const quarters = [[1, 900_000], [2, 1_800_000], [3, 60_000]] as const
  for (const [id, stepMs] of quarters) {
    t.same(meter.invoke(method(id), zero), { result: 0 })
    t.equal(timeOf() % stepMs, 0)
  }
  t.equal(meter.set(method(9), undefined, new AxdrWriter().enumeration(4).take()), 0)
  t.equal(numberOf(read(meter, 8, '0-0:1.0.0.255', 9)), 4)
  t.equal(meter.set(method(9), undefined, new AxdrWriter().enumeration(6).take()), DataAccessResult.OTHER_REASON)
  t.equal(meter.set(method(3), undefined, new AxdrWriter().int16(0).take()), DataAccessResult.READ_WRITE_DENIED)
  t.equal(meter.set(method(2), undefined, Buffer.from([9, 12, 0])), DataAccessResult.TYPE_UNMATCHED)
  t.equal(meter.set(method(2), undefined, Buffer.concat([Buffer.from([9, 12]), Buffer.alloc(12, 0xff)])), DataAccessResult.OTHER_REASON)
  t.same(meter.invoke(method(5), zero), { result: DataAccessResult.TYPE_UNMATCHED })
  t.same(meter.invoke(method(5), undefined), { result: DataAccessResult.TYPE_UNMATCHED })
  t.same(meter.invoke(method(7), zero), { result: DataAccessResult.READ_WRITE_DENIED })
  const codes = rowsOf(read(meter, 7, '0-0:99.98.0.255', 2, byRange(nowMs, nowMs + dayMs)), 2).map(({ value }) => value)
  t.ok(codes.includes(EventCode.CLOCK_BEFORE) && codes.includes(EventCode.CLOCK_AFTER), 'and says so in its log')
  t.same(meterAt().meter.timeAt(nowMs), new Meter(meter.model, 0).timeAt(nowMs), 'another meter of the same number starts alike')
})

t.test('the supply', async (t) => {
  const { meter, clock } = meterAt(nowMs - 8 * dayMs)
  const zero = new AxdrWriter().int8(0).take()
  const state = (attribute: number): number => numberOf(read(meter, 70, '0-0:96.3.10.255', attribute))
  const invoke = (id: number): unknown => meter.invoke(descriptor(70, '0-0:96.3.10.255', id), zero)
  const register = (): number => numberOf(read(meter, 3, '1-0:1.8.0.255', 2))
  t.same([state(2), state(3)], [1, 1])
  for (let i = 0; i < 12; i++) {
    const before = register()
    t.same(invoke(1), { result: 0 })
    t.same(invoke(1), { result: 0 }, 'off stays off')
    t.same([state(2), state(3)], [0, 0])
    clock.advanceBy(10 * 3_600_000)
    t.equal(register(), before, 'nothing flows while it is off')
    t.same(invoke(2), { result: 0 })
    t.same(invoke(2), { result: 0 })
    t.same([state(2), state(3)], [1, 1])
    clock.advanceBy(5 * 3_600_000)
    t.ok(register() > before, 'and again afterwards')
  }
  const endMs = Math.floor(clock.now() / halfHourMs) * halfHourMs
  const rows = rowsOf(read(meter, 7, '1-0:99.1.0.255', 2, byRange(endMs - 4 * dayMs, endMs)))
  t.ok(rows.every(({ value }, i) => i === 0 || value >= rows[i - 1]!.value), 'the profile never falls')
  const flat = rows.filter(({ value }, i) => i > 0 && value === rows[i - 1]!.value).length
  t.ok(flat > 100, 'and is flat where the supply was off')
  t.ok(register() - rows.at(-1)!.value < 5_000 && register() >= rows.at(-1)!.value, 'and ends at the register')
  t.equal(numberOf(read(meter, 3, '1-0:2.8.0.255', 2)), meter.feedAt(clock.now()))
  const { events } = meter.doings!
  t.equal(events.length, 24)
  for (let i = 0; i < 20; i++) invoke(1 + (i % 2))
  t.equal(events.length, doingsMax, 'the log is bounded')
  t.same(meter.invoke(descriptor(70, '0-0:96.3.10.255', 1), new AxdrWriter().int8(1).take()), { result: DataAccessResult.TYPE_UNMATCHED })
  t.same(meter.invoke(descriptor(70, '0-0:96.3.10.255', 3), zero), { result: DataAccessResult.READ_WRITE_DENIED })
  t.same(meter.invoke(descriptor(70, '0-0:96.3.11.255', 1), zero), { result: DataAccessResult.OBJECT_UNDEFINED })
})

t.test('faults in words', async (t) => {
  t.same(parseFaults('slow=200ms:5%, silent@1%,drop'), [
    makeFault('slow', { delayMs: 200, requestShare: 0.05 }),
    makeFault('silent', { meterShare: 0.01 }),
    makeFault('drop'),
  ])
  t.same(parseFaults('slow=2s')[0]!.delayMs, 2_000)
  t.same(parseFaults(' '), [])
  fc.assert(
    fc.property(
      fc.constantFrom(...(Object.keys(faultKinds) as FaultKind[])),
      fc.integer({ min: 0, max: 5_000 }),
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 100 }),
      (kind, delayMs, requests, meters) => {
        const fault = makeFault(kind, { requestShare: requests / 100, meterShare: meters / 100, ...(kind === 'slow' && { delayMs }) })
        const [again] = parseFaults(formatFault(fault))
        return again?.kind === kind && again.delayMs === fault.delayMs && Math.abs(again.requestShare - fault.requestShare) < 1e-9
      },
    ),
  )
  for (const wrong of ['sloow', 'slow=5h', 'silent=3ms', 'drop:0%', 'drop:101%', 'slow=9999s', 'constructor']) {
    t.throws(() => parseFaults(wrong), { code: 'CONFIG_INVALID' }, wrong)
  }
})

t.test('whom faults hit', async (t) => {
  const hits = (board: FaultBoard): string => {
    let text = ''
    for (let meter = 0; meter < 40; meter++) for (let i = 0; i < 25; i++) text += board.choose(meter, meter * 77, i)?.kind[0] ?? '.'
    return text
  }
  const board = new FaultBoard(5)
  t.notOk(board.isOn)
  t.equal(hits(board), '.'.repeat(1_000))
  board.set('all', parseFaults('drop:10%'))
  t.ok(board.isOn)
  const some = hits(board)
  const count = some.replaceAll('.', '').length
  t.ok(count > 60 && count < 140, `${count} of 1,000 at 10 %`)
  const twin = new FaultBoard(5)
  twin.set('all', parseFaults('drop:10%'))
  t.equal(hits(twin), some, 'the same seed hits the same')
  const other = new FaultBoard(6)
  other.set('all', parseFaults('drop:10%'))
  t.not(hits(other), some)
  board.set('all', parseFaults('silent@50%'))
  const rows = hits(board).match(/.{25}/g)!
  t.ok(rows.every((row) => new Set(row).size === 1), 'a share of meters is all or nothing for each')
  t.ok(rows.filter((row) => row[0] === 's').length > 10)
  board.set(3, parseFaults('drop'))
  t.equal(board.choose(3, 231, 0)?.kind, 'drop', "a meter's own faults stand instead")
  board.set(3, [])
  board.set('all', [])
  t.notOk(board.isOn)
})
