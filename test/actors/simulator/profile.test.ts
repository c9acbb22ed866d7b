/** Profiles against registers, whole and in part, and hostile selections. */
import fc from 'fast-check'
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { AxdrWriter, decodeValue, skipValue } from '../../../core/dlms/axdr/axdr.ts'
import { formatObis, parseObis } from '../../../core/dlms/axdr/obis.ts'
import { amountAt, dayMs, halfHourMs } from '../../../actors/simulator/model/load-curve.ts'
import {
  nowMs,
  gas,
  descriptor,
  meterAt,
  read,
  dateTimeBytes,
  clockObject,
  byRange,
  byEntry,
  elementsOf,
  simpleOf,
  rowsOf,
  numberOf,
} from '../../support/meters.ts'

t.test('the half-hour profile and the register are one', async (t) => {
  const { meter, clock } = meterAt()
  const rows = rowsOf(read(meter, 7, '1-0:99.1.0.255', 2))
  t.equal(rows.length, limits.profileDaysMax * 48, 'more than 13 months')
  t.equal(rows.length, numberOf(read(meter, 7, '1-0:99.1.0.255', 7)), 'as entries_in_use says')
  t.equal(
    rows.at(-1)!.atMs,
    Date.UTC(2026, 10, 23, 18),
    'the newest is the half hour that ended last',
  )
  t.ok(
    rows.every(({ atMs }, i) => atMs === rows[0]!.atMs + i * halfHourMs),
    'without a gap',
  )
  t.ok(
    rows.every(({ value }, i) => i === 0 || value >= rows[i - 1]!.value),
    'cumulative',
  )
  const firstMs = rows[0]!.atMs
  for (const index of [0, 1, 4711, 9_999, rows.length - 1]) {
    const then = meterAt(firstMs + index * halfHourMs)
    t.equal(
      numberOf(read(then.meter, 3, '1-0:1.8.0.255', 2)),
      rows[index]!.value,
      `row ${index} is what the register showed then`,
    )
  }
  clock.advanceBy(6 * 3_600_000)
  t.equal(
    rowsOf(read(meter, 7, '1-0:99.1.0.255', 2, byRange(nowMs, nowMs + dayMs))).length,
    12,
    'twelve more after six hours',
  )
  t.ok(
    rows.some(({ status }) => status & 0x80),
    'power cuts show in the status',
  )

  const columns = elementsOf(decodeValue(read(meter, 7, '1-0:99.1.0.255', 3), 0)).map((column) => {
    const [classId, obis, attribute] = elementsOf(column).map(simpleOf)
    return `${classId} ${formatObis(obis as Buffer)} ${attribute}`
  })
  t.same(columns, ['8 0-0:1.0.0.255 2', '1 0-0:96.10.1.255 2', '3 1-0:1.8.0.255 2'])
  t.equal(numberOf(read(meter, 7, '1-0:99.1.0.255', 4)), 1_800)
  t.equal(numberOf(read(meter, 7, '1-0:99.1.0.255', 8)), 19_200)
  t.same(
    elementsOf(decodeValue(read(meter, 3, '1-0:1.8.0.255', 3), 0)).map(simpleOf),
    [0, 30],
    'Wh, exactly',
  )
})

t.test('other profiles', async (t) => {
  const { meter } = meterAt()
  const days = rowsOf(read(meter, 7, '1-0:99.2.0.255', 2))
  t.equal(days.length, 731)
  t.equal(days.at(-1)!.atMs, Date.UTC(2026, 10, 23))
  t.equal(days.at(-1)!.value, amountAt(meter.load, Date.UTC(2026, 10, 23)))
  const volts = rowsOf(read(meter, 7, '1-0:99.14.0.255', 2))
  t.equal(volts.length, 4_320)
  t.ok(
    volts.every(({ value }) => value > 2_160 && value < 2_530),
    'within 230 V −6 % to +10 %',
  )
  const now = numberOf(read(meter, 3, '1-0:32.7.0.255', 2))
  t.ok(Math.abs(now - volts.at(-1)!.value) < 80)
  t.equal(
    volts.at(-1)!.value,
    numberOf(read(meter, 3, '1-0:32.24.0.255', 2)),
    'the last average is the register',
  )
  t.ok(numberOf(read(meter, 1, '1-0:32.32.0.255', 2)) >= 0)
  const events = rowsOf(read(meter, 7, '0-0:99.98.0.255', 2), 2)
  t.ok(events.length > 4 && events.every(({ atMs }, i) => i === 0 || atMs >= events[i - 1]!.atMs))

  const burner = meterAt(nowMs, gas).meter
  const litres = rowsOf(read(burner, 7, '0-1:24.3.0.255', 2, byRange(nowMs - dayMs, nowMs)))
  t.equal(litres.length, 48)
  t.equal(litres.at(-1)!.value, amountAt(burner.load, Date.UTC(2026, 10, 23, 18)))
  t.ok(numberOf(read(burner, 4, '0-1:24.2.1.255', 2)) >= litres.at(-1)!.value)
  t.same(
    elementsOf(decodeValue(read(burner, 4, '0-1:24.2.1.255', 3), 0)).map(simpleOf),
    [-3, 13],
    'litres',
  )
  t.equal(
    burner.get(descriptor(3, '1-0:1.8.0.255', 2), undefined),
    DataAccessResult.OBJECT_UNDEFINED,
  )
  t.equal(
    meter.get(descriptor(4, '0-1:24.2.1.255', 2), undefined),
    DataAccessResult.OBJECT_UNDEFINED,
  )
  t.equal(
    rowsOf(read(meterAt(Date.UTC(2001, 0)).meter, 7, '1-0:99.1.0.255', 2)).length,
    0,
    'nothing before it was put in',
  )
})

t.test('selective access', async (t) => {
  const { meter } = meterAt()
  const obis = '1-0:99.1.0.255'
  const all = rowsOf(read(meter, 7, obis, 2))
  const firstMs = all[0]!.atMs
  fc.assert(
    fc.property(
      fc.integer({ min: -100_000_000, max: 3_000_000_000 }),
      fc.integer({ min: 0, max: 40 * halfHourMs }),
      (offset, length) => {
        // Date-times have hundredths.
        const fromMs = Math.floor((firstMs + offset) / 10) * 10
        const toMs = fromMs + Math.floor(length / 10) * 10
        const expected = all.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs)
        t.same(rowsOf(read(meter, 7, obis, 2, byRange(fromMs, toMs))), expected)
      },
    ),
    { numRuns: 60 },
  )
  const chosen = read(meter, 7, obis, 2, byRange(nowMs - dayMs, nowMs, [[3, '1-0:1.8.0.255', 2]]))
  t.same(
    elementsOf(decodeValue(chosen, 0)).map((row) => elementsOf(row).map(simpleOf)),
    all.slice(-48).map(({ value }) => [value]),
  )
  t.same(
    rowsOf(read(meter, 7, obis, 2, byEntry(2, 4))),
    all.slice(1, 4),
    'entries count from 1, the oldest',
  )
  t.same(rowsOf(read(meter, 7, obis, 2, byEntry(all.length, 0))), all.slice(-1))
  t.same(
    rowsOf(read(meter, 7, obis, 2, byEntry(all.length + 1, 0))),
    [],
    'behind the last there are none',
  )
  const clocks = read(meter, 7, obis, 2, byEntry(1, 1, 3, 3))
  t.same(
    elementsOf(decodeValue(clocks, 0)).map((row) => elementsOf(row).map(simpleOf)),
    [[all[0]!.value]],
  )

  const open = new AxdrWriter().octet(1).structure(4)
  clockObject(open).dateTime(Buffer.alloc(12, 0xff)).dateTime(dateTimeBytes(firstMs)).array(0)
  t.same(
    rowsOf(read(meter, 7, obis, 2, open.take())),
    all.slice(0, 1),
    'a from that names no time is no bound',
  )

  // Dates whose time of day is open: both days as a whole.
  const dayOf = (atMs: number): Buffer => Buffer.from(dateTimeBytes(atMs)).fill(0xff, 5, 9)
  const days = new AxdrWriter().octet(1).structure(4)
  const midnightMs = Math.floor(nowMs / dayMs) * dayMs
  clockObject(days)
    .dateTime(dayOf(midnightMs - 3 * dayMs))
    .dateTime(dayOf(midnightMs - 2 * dayMs))
    .array(0)
  t.same(
    rowsOf(read(meter, 7, obis, 2, days.take())),
    all.filter(({ atMs }) => atMs >= midnightMs - 3 * dayMs && atMs < midnightMs - dayMs),
    'a date with an open time of day',
  )

  const bad = (selection: Buffer, what: string, result: number): void =>
    void t.equal(meter.get(descriptor(7, obis, 2), selection), result, what)
  const { TYPE_UNMATCHED, SCOPE_OF_ACCESS_VIOLATED } = DataAccessResult
  bad(byRange(nowMs, nowMs - 1_000), 'backwards', SCOPE_OF_ACCESS_VIOLATED)
  bad(
    byRange(nowMs, nowMs, [[3, '1-0:2.8.0.255', 2]]),
    'a column that is not there',
    SCOPE_OF_ACCESS_VIOLATED,
  )
  bad(byEntry(0, 3), 'entry 0', SCOPE_OF_ACCESS_VIOLATED)
  bad(byEntry(1, 3, 4, 4), 'a column too far', SCOPE_OF_ACCESS_VIOLATED)
  bad(byEntry(5, 3), 'entries backwards', SCOPE_OF_ACCESS_VIOLATED)
  bad(Buffer.concat([byEntry(1, 3), Buffer.alloc(1)]), 'left over', TYPE_UNMATCHED)
  bad(
    Buffer.concat([Buffer.from([3]), byEntry(1, 3).subarray(1)]),
    'selector 3',
    SCOPE_OF_ACCESS_VIOLATED,
  )
  const byEnergy = new AxdrWriter()
    .octet(1)
    .structure(4)
    .structure(4)
    .uint16(3)
    .octetString(parseObis('1-0:1.8.0.255'))
    .int8(2)
    .uint16(0)
  const ofEnergy = Buffer.from(byEnergy.uint32(all[5]!.value).uint32(all[9]!.value).array(0).take())
  t.same(rowsOf(read(meter, 7, obis, 2, ofEnergy)), all.slice(5, 10), 'a range of energy')
  const whole = byRange(nowMs - dayMs, nowMs, [[3, '1-0:1.8.0.255', 2]])
  for (let cut = 0; cut < whole.length; cut++) {
    if (typeof meter.get(descriptor(7, obis, 2), whole.subarray(0, cut)) !== 'number')
      t.fail(`cut at ${cut}`)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat({ max: 59 }), (noise, at) => {
      const changed = Buffer.from(whole)
      changed.set(
        noise.subarray(0, Math.min(noise.length, changed.length - Math.min(at, changed.length))),
        Math.min(at, changed.length),
      )
      for (const selection of [Buffer.from(noise), changed]) {
        const result = meter.get(descriptor(7, obis, 2), selection)
        if (typeof result !== 'number' && skipValue(result, 0) !== result.length) return false
      }
      return true
    }),
  )
  t.equal(
    meter.get(descriptor(3, '1-0:1.8.0.255', 2), whole),
    SCOPE_OF_ACCESS_VIOLATED,
    'registers have no selection',
  )
})
