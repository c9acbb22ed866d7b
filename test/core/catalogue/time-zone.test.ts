/**
 * Zones of devices by name, both ends of daylight saving, and what a date-time without deviation
 * means by them.
 */
import t from 'tap'
import { timeZoneOf } from '../../../core/catalogue/time-zone.ts'
import { writeCosemDateTime, writeLocalDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { LocalTimes, utcMsIn } from '../../../core/dlms/axdr/local-time.ts'

const at = (text: string): number => Date.parse(`${text}Z`)
const iso = (utcMs: number | undefined): string | undefined =>
  utcMs === undefined ? undefined : new Date(utcMs).toISOString().slice(0, 16)

/** A local time, without deviation. */
function shown(text: string, status = 0xff): Buffer {
  const octets = Buffer.alloc(12)
  writeLocalDateTime(octets, 0, at(text))
  octets[11] = status
  return octets
}

t.test('names', async (t) => {
  for (const name of ['Europe/Berlin', 'Etc/GMT-1', '+01:00', '-03:30', 'UTC', 'Asia/Kolkata'])
    t.equal(timeZoneOf(name)?.name, name)
  for (const name of [
    '',
    'Mars/Olympus',
    '+1:00',
    '+25:00',
    'Z',
    'local',
    '../etc',
    'x'.repeat(80),
  ])
    t.equal(timeZoneOf(name), undefined, name)
  t.equal(timeZoneOf('Europe/Berlin'), timeZoneOf('Europe/Berlin'), 'made once')
})

t.test('a zone with daylight saving, at both of its ends', async (t) => {
  const berlin = timeZoneOf('Europe/Berlin')!
  const utc = (local: string): (string | undefined)[] => berlin.utcMsOf(at(local)).map(iso)
  t.same(utc('2026-01-15T12:00'), ['2026-01-15T11:00'])
  t.same(utc('2026-07-15T12:00'), ['2026-07-15T10:00'])
  t.same(utc('2026-03-29T01:59'), ['2026-03-29T00:59'])
  t.same(utc('2026-03-29T02:30'), ['2026-03-29T01:30'], 'left out: not moved yet')
  t.same(utc('2026-03-29T03:00'), ['2026-03-29T01:00'])
  t.same(utc('2026-10-25T01:59'), ['2026-10-24T23:59'])
  t.same(utc('2026-10-25T02:00'), ['2026-10-25T00:00', '2026-10-25T01:00'])
  t.same(utc('2026-10-25T02:59'), ['2026-10-25T00:59', '2026-10-25T01:59'])
  t.same(utc('2026-10-25T03:00'), ['2026-10-25T02:00'])
  for (let utcMs = at('2026-03-28T00:00'); utcMs < at('2026-11-01T00:00'); utcMs += 1_800_000)
    if (!berlin.utcMsOf(berlin.localMsOf(utcMs)).includes(utcMs)) t.fail(`${iso(utcMs)}`)
})

t.test('standard time all the year', async (t) => {
  for (const name of ['+01:00', 'Etc/GMT-1'])
    for (const text of ['2026-01-15T12:00', '2026-07-15T12:00', '2026-10-25T02:30'])
      t.same(timeZoneOf(name)!.utcMsOf(at(text)), [at(text) - 3_600_000], name)
  t.equal(
    iso(timeZoneOf('Australia/Lord_Howe')!.localMsOf(at('2026-12-01T00:00'))),
    '2026-12-01T11:00',
  )
})

t.test('the local times that a range takes in', async (t) => {
  const berlin = timeZoneOf('Europe/Berlin')!
  const range = (from: string, to: string): (string | undefined)[] => {
    const { fromLocalMs, toLocalMs } = berlin.localRangeOf(at(from), at(to))
    return [iso(fromLocalMs), iso(toLocalMs)]
  }
  t.same(range('2026-07-01T00:00', '2026-07-02T00:00'), ['2026-07-01T02:00', '2026-07-02T02:00'])
  // Between the two are 02:45 of the first hour and 02:00 of the second one.
  t.same(range('2026-10-25T00:30', '2026-10-25T01:30'), ['2026-10-25T02:00', '2026-10-25T02:59'])
  t.same(range('2026-10-24T22:00', '2026-10-25T23:00'), ['2026-10-25T00:00', '2026-10-26T00:00'])
  t.same(range('2026-03-29T00:30', '2026-03-29T01:30'), ['2026-03-29T01:30', '2026-03-29T03:30'])
})

t.test('a date-time without deviation', async (t) => {
  const berlin = timeZoneOf('Europe/Berlin')
  t.equal(utcMsIn(shown('2026-02-02T14:00'), 0, undefined), undefined, 'nobody knows')
  t.equal(iso(utcMsIn(shown('2026-02-02T14:00'), 0, berlin)), '2026-02-02T13:00')
  const [twice, hasBit, isClear] = ['2026-10-25T02:30', 0x80, 0] as const
  t.equal(iso(utcMsIn(shown(twice, hasBit), 0, berlin)), '2026-10-25T00:30')
  t.equal(iso(utcMsIn(shown(twice, isClear), 0, berlin)), '2026-10-25T01:30')
  t.equal(iso(utcMsIn(shown(twice), 0, berlin)), '2026-10-25T00:30', 'not specified')
  const deviated = Buffer.alloc(12)
  writeCosemDateTime(deviated, 0, at('2026-07-01T12:00'), -120)
  t.equal(iso(utcMsIn(deviated, 0, berlin)), '2026-07-01T12:00', 'the deviation is believed')
  t.equal(utcMsIn(Buffer.from('ffffffffffffffffff8000ff', 'hex'), 0, berlin), undefined)
})

t.test('date-times in a row keep their order through the hour that is shown twice', async (t) => {
  const zone = timeZoneOf('Europe/Berlin')
  const hours = ['01:30', '02:00', '02:30', '02:00', '02:30', '03:00']
  const utc = ['23:30', '00:00', '00:30', '01:00', '01:30', '02:00']
  const read = (texts: string[], status: (index: number) => number): (string | undefined)[] => {
    const times = new LocalTimes(zone)
    return texts.map((text, i) =>
      iso(times.utcMsAt(shown(`2026-10-25T${text}`, status(i)), 0))?.slice(11),
    )
  }
  t.same(
    read(hours, () => 0xff),
    utc,
    'no status',
  )
  t.same(
    read(hours, () => 0),
    utc,
    'a status without the bit',
  )
  t.same(
    read(hours, (i) => (i < 3 ? 0x80 : 0)),
    utc,
    'with the bit',
  )
  t.same(
    read(['01:30', '02:30'], (i) => (i < 1 ? 0x80 : 0)),
    ['23:30', '01:30'],
    'and a gap',
  )
  t.same(
    read(hours.toReversed(), () => 0xff),
    utc.toReversed(),
    'newest first',
  )
  t.same(
    read(hours.toReversed(), () => 0),
    utc.toReversed(),
  )
  const times = new LocalTimes(zone)
  t.equal(times.step(1), undefined, 'behind nothing')
  t.equal(iso(times.utcMsAt(shown('2026-10-25T02:30', 0x80), 0)), '2026-10-25T00:30')
  t.equal(iso(times.step(3_600_000)), '2026-10-25T01:30', 'one period on')
})
