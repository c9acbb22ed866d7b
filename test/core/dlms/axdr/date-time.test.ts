/**
 * COSEM date-time and OBIS codes: golden octets, round trips against the platform's own calendar.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  cosemDateTimeBytes,
  deviationUnspecified,
  readClockStatus,
  readCosemDateTime,
  readDeviation,
  writeCosemDateTime,
} from '../../../../core/dlms/axdr/date-time.ts'
import { formatObis, parseObis } from '../../../../core/dlms/axdr/obis.ts'
import { outcomeOf } from '../../../support/dlms.ts'

const hex = (text: string): Buffer => Buffer.from(text, 'hex')

t.test('points in time', (t) => {
  const golden: [string, string][] = [
    ['07e40101ff00030000ff8800', '2019-12-31T22:03:00.000Z'],
    ['07e40106ff00030000ffc400', '2020-01-05T23:03:00.000Z'],
    ['07ea0b17010b332000000000', '2026-11-23T11:51:32.000Z'],
    ['07e90a0204150000ff000000', '2025-10-02T21:00:00.000Z'],
    ['07ea0b170100000000ffc480', '2026-11-22T23:00:00.000Z'],
    ['07e8021d04173b3b63003c00', '2024-03-01T00:59:59.990Z'],
  ]
  for (const [octets, text] of golden)
    t.equal(readCosemDateTime(hex(octets), 0), Date.parse(text), octets)
  t.equal(readDeviation(hex('07ea0b170100000000ffc480'), 0), -60)
  t.equal(readDeviation(hex('07e2020cff00000000800000'), 0), deviationUnspecified)
  t.equal(readClockStatus(hex('07ea0b170100000000ffc480'), 0), 0x80)
  t.end()
})

t.test('what is no point in time', (t) => {
  const none = [
    'ffff0101ff00000000000000', // any year
    '07eaff01ff00000000000000', // any month
    '07eafe01ff00000000000000', // daylight saving begins
    '07ea01ffff00000000000000', // any day
    '07ea01feff00000000000000', // last day
    '07e2020cff00000000800000', // local time of nobody knows where
    '07ea0101ffff000000000000', // any hour
    '07ea0101ff00ff0000000000',
    '07ea0101ff0000ff00000000',
    '07ea0101ff00000064000000', // 100 hundredths
    '07ea021eff00000000800000', // 30 February
    '07e9021dff00000000800000', // 29 February of 2025
    '076c021dff00000000800000', // and of 1900
    '07ea041fff00000000000000',
    '07ea0100ff00000000000000',
    '07ea0001ff00000000000000',
    '07ea0101ff18000000000000', // 24 o'clock
    '000000000000000000000000',
    'ffffffffffffffffffffffff',
  ]
  for (const octets of none) t.equal(readCosemDateTime(hex(octets), 0), undefined, octets)
  t.throws(() => readCosemDateTime(Buffer.alloc(12), 1), { code: 'DLMS_LENGTH_INVALID' })
  t.end()
})

t.test('written as the platform reads a calendar, and read back', (t) => {
  const times = fc.integer({
    min: Date.parse('0001-01-02T00:00:00Z'),
    max: Date.parse('9999-12-30T00:00:00Z'),
  })
  fc.assert(
    fc.property(
      times,
      fc.integer({ min: -720, max: 840 }),
      fc.nat(255),
      (utcMs, deviation, status) => {
        const out = Buffer.alloc(cosemDateTimeBytes + 2)
        t.equal(writeCosemDateTime(out, 1, utcMs, deviation, status), 1 + cosemDateTimeBytes)
        const local = new Date(utcMs - deviation * 60_000)
        const expected = [
          local.getUTCFullYear() >> 8,
          local.getUTCFullYear() & 255,
          local.getUTCMonth() + 1,
          local.getUTCDate(),
          local.getUTCDay() || 7,
          local.getUTCHours(),
          local.getUTCMinutes(),
          local.getUTCSeconds(),
          Math.floor(local.getUTCMilliseconds() / 10),
          (deviation >> 8) & 255,
          deviation & 255,
          status,
        ]
        t.same([...out.subarray(1, 13)], expected)
        t.equal(readCosemDateTime(out, 1), Math.floor(utcMs / 10) * 10)
      },
    ),
    { numRuns: 500 },
  )
  t.end()
})

t.test('any twelve octets give a time or none', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 14 }), (octets) => {
      const outcome = outcomeOf(() => readCosemDateTime(octets, 0))
      if (octets.length < 12) t.equal(outcome.code, 'DLMS_LENGTH_INVALID')
      else
        t.ok(
          outcome.code === undefined &&
            (outcome.value === undefined || Number.isSafeInteger(outcome.value)),
        )
    }),
  )
  t.end()
})

t.test('OBIS codes', (t) => {
  t.same(parseObis('1-0:1.8.0.255'), hex('0100010800ff'))
  t.same(parseObis('1.0.1.8.0.255'), hex('0100010800ff'))
  t.same(parseObis('1-0:99.1.0*255'), hex('0100630100ff'))
  t.equal(formatObis(hex('aa0100010800ff'), 1), '1-0:1.8.0.255')
  for (const bad of [
    '',
    '1-0:1.8.0',
    '1-0:1.8.0.256',
    '1-0:1.8.0.-1',
    '1-0:1.8.0.255 ',
    'a-0:1.8.0.255',
    '1-0:1.8.0.0255',
  ]) {
    t.throws(() => parseObis(bad), { code: 'DLMS_VALUE_INVALID' }, bad)
  }
  t.throws(() => formatObis(hex('0100010800'), 0), { code: 'DLMS_LENGTH_INVALID' })
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (octets) =>
      parseObis(formatObis(octets, 0)).equals(octets),
    ),
  )
  t.end()
})
