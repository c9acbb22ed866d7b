/** Thresholds files, line by line, and records of thresholds. */
import fc from 'fast-check'
import t from 'tap'
import { decodeCount, encodeCount, QuarantineReason } from '../../../core/access/count-letters.ts'
import { emptyDirectory, withRecord } from '../../../core/access/directory.ts'
import {
  decodePage,
  decodeQuarantine,
  encodePage,
  encodeQuarantine,
  pageActorOf,
  pageOf,
} from '../../../core/access/quarantine-list.ts'
import { readThresholdsFile } from '../../../core/access/thresholds-file.ts'
import {
  allParties,
  decodeThresholds,
  encodeThresholds,
  isCounted,
  LimitedField,
  type ThresholdRecord,
} from '../../../core/access/thresholds.ts'
import type { RequestCounter } from '../../../core/base/counter.ts'
import { limits } from '../../../core/base/limits.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import { BodyType } from '../../../core/translate/body-types.ts'
import { limitedValue } from '../../../core/translate/limited-value.ts'
import { DisplayMessage, ReadPeriod } from '../../../proto/gen/busbar/v1/service_request.ts'
import { deviceKey, supplier, supplierText } from '../../support/envelopes.ts'

const fileOf = (...lines: string[]) =>
  readThresholdsFile(['busbar-thresholds,1,7', ...lines].join('\n'))
const faultsOf = (...lines: string[]): readonly string[] => {
  const file = fileOf(...lines)
  return 'faults' in file ? file.faults : []
}

t.test('a file, with comments and blank lines', async (t) => {
  const file = fileOf(
    '# of the suppliers',
    '',
    `${supplierText}, *, 1h, 800, 1000`,
    `${supplierText},6.11,7d,40,50`,
    '90-B3-D5-1F-30-02-00-00,none',
    '*,*,1d,90000,100000\r',
    'limit,6.11,tolerance_seconds,1,3600',
  )
  if ('faults' in file) return t.fail(file.faults.join())
  t.equal(file.number, 7)
  t.same(file.rules.get(supplier)?.thresholds, [
    { srv: 0, hours: 1, warning: 800, quarantine: 1000 },
    { srv: parseSrv('6.11'), hours: 168, warning: 40, quarantine: 50 },
  ])
  t.same(file.rules.get(allParties), {
    thresholds: [{ srv: 0, hours: 24, warning: 90_000, quarantine: 100_000 }],
    valueLimits: [{ srv: parseSrv('6.11'), field: 'tolerance_seconds', min: 1, max: 3600 }],
  })
  t.equal(file.rules.size, 3)
})

t.test('every fault is named with its line', async (t) => {
  const wrong: Array<[line: string, fault: RegExp]> = [
    ['nobody,*,1h,1,2', /line 2: begins with the EUI-64/],
    ['00-00-00-00-00-00-00-00,*,1h,1,2', /zeros is no party/],
    [`${supplierText},*,1h,1`, /five fields/],
    [`${supplierText},9.9.9,1h,1,2`, /9\.9\.9 is no service reference variant/],
    [`${supplierText},*,32d,1,2`, /at most 31d/],
    [`${supplierText},*,0h,1,2`, /hours or days/],
    [`${supplierText},*,1h,3,2`, /warning comes first/],
    [`${supplierText},*,1h,-1,2`, /whole numbers/],
    [`${supplierText},*,1h,1,1000000001`, /whole numbers/],
    ['limit,6.11,colour,1,2', /the field is one of tolerance_seconds/],
    ['limit,6.11,tolerance_seconds,2,1', /min comes first/],
    ['limit,*,tolerance_seconds,1,2', /no service reference variant/],
  ]
  for (const [line, fault] of wrong) t.match(faultsOf(line)[0], fault, line)
  t.match(faultsOf(`${supplierText},*,1h,1,2`, `${supplierText},*,1h,1,3`)[0], /stands twice/)
  t.match(faultsOf(`${supplierText},*,1h,1,2`, `${supplierText},none`)[0], /none, and thresholds/)
  t.match(faultsOf()[0], /names no party/)
  t.match(readThresholdsFile('busbar-thresholds,2,1'), { faults: [/line 1 must be/] })
  t.match(readThresholdsFile('busbar-thresholds,1,0'), { faults: [/line 1 must be/] })
  const many = Array.from({ length: limits.thresholdsPerPartyMax + 1 }, (_, index) => index + 1)
  t.match(faultsOf(...many.map((hours) => `${supplierText},*,${hours}h,1,2`))[0], /more than 128/)
})

t.test('any text is a file or has faults', async (t) => {
  const word = fc.constantFrom('*', supplierText, 'limit', 'none', '1h', '6.11', '9', ',', '\n', '')
  fc.assert(
    fc.property(fc.array(fc.oneof(word, fc.string()), { maxLength: 30 }), (words) => {
      const file = readThresholdsFile(`busbar-thresholds,1,1\n${words.join(',')}`)
      return 'faults' in file ? file.faults.length > 0 : file.rules.size > 0
    }),
  )
  t.pass()
})

const level = fc.nat(limits.thresholdMax)
const record: fc.Arbitrary<ThresholdRecord> = fc.record({
  file: fc.nat(limits.thresholdsFileNumberMax),
  fileHash: fc.constant('0f'.repeat(32)),
  changedAtMs: fc.nat(2 ** 31),
  by: fc.string({ maxLength: 50 }),
  thresholds: fc.array(
    fc.record({
      srv: fc.constantFrom(0 as const, parseSrv('4.1.1'), parseSrv('6.11')),
      hours: fc.integer({ min: 1, max: limits.thresholdHoursMax }),
      warning: fc.constant(0),
      quarantine: level,
    }),
    { maxLength: limits.thresholdsPerPartyMax },
  ),
  valueLimits: fc.array(
    fc.record({
      srv: fc.constant(parseSrv('6.11')),
      field: fc.constantFrom(...LimitedField),
      min: fc.constant(0),
      max: level,
    }),
    { maxLength: limits.valueLimitsMax },
  ),
})

t.test('a record is read as it was written, and fits the directory', async (t) => {
  fc.assert(
    fc.property(record, (one) => {
      const bytes = encodeThresholds(one)
      t.same(decodeThresholds(bytes), one)
      return bytes.length <= limits.directoryRecordBytesMax
    }),
    { numRuns: 50 },
  )
  const bytes = encodeThresholds(fc.sample(record, { numRuns: 1, seed: 3 })[0]!)
  for (let length = 0; length < bytes.length; length++)
    t.throws(() => decodeThresholds(bytes.subarray(0, length)), { code: 'ENVELOPE_MALFORMED' })
  const later = Buffer.from(bytes)
  later[1] = 2
  t.throws(() => decodeThresholds(later), { code: 'FORMAT_VERSION_LATER' })
  const subject = 'directory.8-90B3D51F30010000'
  const directory = withRecord(emptyDirectory, { subject, sequence: 5, data: bytes })
  t.equal(directory.thresholds?.size, 1)
  t.ok(directory.thresholds?.has(supplier))
})

t.test('letters, pages and reports are read as they were written', async (t) => {
  const letter = {
    word: 'LISTED',
    originator: supplier,
    device: deviceKey(3),
    counter: '\0\0\0\0\0\0\0\u0007' as RequestCounter,
    srv: parseSrv('4.1.1'),
    reason: QuarantineReason.PARTY,
    event: 100_000,
    atMs: 1_700_000_000_000,
  } as const
  t.same(decodeCount(encodeCount(letter)), letter)
  t.same(decodePage(encodePage([letter, letter])), [letter, letter])
  const report = { held: 3, pages: [[0, 2] as const, [7, 1] as const], windows: [[5, 6] as const] }
  t.same(decodeQuarantine(encodeQuarantine(report)), report)
  t.equal(pageOf(1), 0)
  t.equal(pageOf(limits.quarantinePageEntries), 0)
  t.equal(pageOf(limits.quarantinePageEntries + 1), 1)
  const actors = Array.from({ length: 200 }, (_, page) => pageActorOf(supplier, page))
  t.equal(new Set(actors).size, 200)
})

t.test('what counts, and values inside bodies', async (t) => {
  const rules = {
    thresholds: [{ srv: parseSrv('4.1.1'), hours: 1, warning: 0, quarantine: 1 }],
    valueLimits: [],
  }
  t.equal(isCounted(rules, parseSrv('4.1.1')), true)
  t.equal(isCounted(rules, parseSrv('4.2')), false)
  t.equal(isCounted(undefined, parseSrv('4.2')), false)
  const now = Date.UTC(2026, 5, 1)
  const period = ReadPeriod.encode({
    startTime: new Date(now - 2.5 * 86_400_000),
    endTime: new Date(now),
  }).finish()
  const read = (field: LimitedField, type: number, body: Uint8Array): number | undefined =>
    limitedValue(field, type, Buffer.from(body), now)
  t.equal(read('period_days', BodyType.READ_PERIOD, period), 3)
  t.equal(read('tolerance_seconds', BodyType.READ_PERIOD, period), undefined)
  t.equal(read('period_days', BodyType.READ_PERIOD, period.subarray(1)), undefined)
  const text = DisplayMessage.encode({ text: 'Zähler 😀' }).finish()
  t.equal(read('text_characters', BodyType.DISPLAY_MESSAGE, text), 8)
})
