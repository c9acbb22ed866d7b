/**
 * Times of rows in the local time of a zone, and rows that are cut out of what a device has sent.
 */
import t from 'tap'
import { timeZoneOf } from '../../../../core/catalogue/time-zone.ts'
import { encodeValue, Tag, type AxdrValue } from '../../../../core/dlms/axdr/axdr.ts'
import { writeLocalDateTime } from '../../../../core/dlms/axdr/date-time.ts'
import {
  rangeOfLocalTimes,
  readProfile,
  rowsByNumber,
  rowsWithin,
  type Profile,
} from '../../../../core/dlms/cosem/index.ts'

const clock = { classId: 8, instanceId: '0-0:1.0.0.255', attributeId: 2, dataIndex: 0 }
const energy = { classId: 3, instanceId: '1-0:1.8.0.255', attributeId: 2, dataIndex: 0 }
const at = (text: string): number => Date.parse(`${text}Z`)
const octets = (value: Buffer): AxdrValue => ({ tag: Tag.OCTET_STRING, value })

function shown(text: string): Buffer {
  const out = Buffer.alloc(12)
  writeLocalDateTime(out, 0, at(text))
  return out
}

/** A buffer whose clocks are `values`, read with the zone `name`. */
function profileOf(values: readonly AxdrValue[], name?: string): Profile {
  const elements = values.map((value, i): AxdrValue => ({
    tag: Tag.STRUCTURE,
    elements: [value, { tag: Tag.DOUBLE_LONG_UNSIGNED, value: i }],
  }))
  return readProfile(encodeValue({ tag: Tag.ARRAY, elements }), [clock, energy], {
    capturePeriodSeconds: 1_800,
    zone: name === undefined ? undefined : timeZoneOf(name),
  })
}

const isoOf = ({ rows }: Profile): (string | undefined)[] =>
  rows.map(({ utcMs }) => utcMs && new Date(utcMs).toISOString().slice(11, 16)) as string[]

t.test('local times become points in time where the zone is known', async (t) => {
  const values = ['01:30', '02:00', '02:30', '02:00', '02:30', '03:00'].map((text) =>
    octets(shown(`2026-10-25T${text}`)),
  )
  t.same(isoOf(profileOf(values, 'Europe/Berlin')), [
    '23:30',
    '00:00',
    '00:30',
    '01:00',
    '01:30',
    '02:00',
  ])
  const [first] = profileOf(values).rows
  t.match(first, { utcMs: undefined, localMs: at('2026-10-25T01:30') }, 'else they stay local')
})

t.test('times that were left out go on through a change of the clock', async (t) => {
  const nothing: AxdrValue = { tag: Tag.NULL }
  const autumn = [octets(shown('2026-10-25T02:00')), ...Array(3).fill(nothing)]
  const read = profileOf(autumn, 'Europe/Berlin')
  t.same(isoOf(read), ['00:00', '00:30', '01:00', '01:30'])
  t.same(
    read.rows.map(({ cells }) => JSON.stringify(cells[0]!.json).slice(16, 21)),
    ['02:00', '02:30', '02:00', '02:30'],
  )
  const spring = [octets(shown('2026-03-29T01:30')), nothing]
  const [, moved] = profileOf(spring, 'Europe/Berlin').rows
  t.match(moved, { utcMs: at('2026-03-29T01:00'), cells: [{ json: /03:00/ }, {}] })
})

t.test('a clock within another octet-string', async (t) => {
  const inner = shown('2026-07-01T12:00')
  for (const nested of [
    Buffer.concat([Buffer.of(0x09, 12), inner]),
    Buffer.concat([Buffer.of(0x19), inner]),
  ])
    t.same(isoOf(profileOf([octets(nested)], '+01:00')), ['11:00'], nested.toString('hex'))
})

t.test('rows by time, and rows by number', async (t) => {
  const hours = ['00:00', '00:30', '01:00', '01:30', '02:00']
  const values = hours.map((text) => octets(shown(`2026-07-01T${text}`)))
  const utc = profileOf(values, 'UTC')
  const within = rowsWithin(utc, at('2026-07-01T00:30'), at('2026-07-01T01:30'))
  t.same(isoOf(within), ['00:30', '01:00', '01:30'], 'both ends included')
  t.equal(within.cutRows, 2)
  t.match(rowsByNumber(utc, 2, 3), { rows: { length: 2 }, cutRows: 3 })
  t.match(rowsByNumber(utc, 4, 0), { rows: { length: 2 }, cutRows: 3 })
  const local = profileOf(values)
  t.equal(rowsWithin(local, at('2026-06-30T12:00'), at('2026-06-30T14:00')).cutRows, 0, 'may be')
  t.equal(rowsWithin(local, at('2026-06-29T00:00'), at('2026-06-30T09:00')).cutRows, 5, 'cannot')
})

t.test('a range in local time says no deviation', async (t) => {
  const [from, to] = [at('2026-07-01T00:00'), at('2026-07-01T01:00')]
  const range = rangeOfLocalTimes(clock, from, to, timeZoneOf('Europe/Berlin')!)
  t.match(range, {
    type: 'range',
    from: octets(Buffer.from('07ea070103020000008000ff', 'hex')),
    to: octets(Buffer.from('07ea070103030000008000ff', 'hex')),
  })
})
