/**
 * Clocks without deviation, in answers, alerts and commands; readings that are not what was
 * expected; rows outside the period.
 */
import t from 'tap'
import { parseSrv } from '../../../core/base/srv.ts'
import { deviceTimeOf, plainTime, type DeviceTime } from '../../../core/catalogue/device-time.ts'
import {
  serviceRequestOf,
  type ServiceRequestRow,
} from '../../../core/catalogue/service-requests.ts'
import { AxdrWriter } from '../../../core/dlms/axdr/axdr.ts'
import { writeCosemDateTime, writeLocalDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { decodeSelection } from '../../../core/dlms/apdu/descriptor.ts'
import { parseObis } from '../../../core/dlms/axdr/obis.ts'
import type { CosemResult } from '../../../core/ports/wan.ts'
import { alertBodyOf } from '../../../core/translate/alert.ts'
import { answerOf, type Answer } from '../../../core/translate/answer.ts'
import { commandOf } from '../../../core/translate/command.ts'
import { DeviceAlert } from '../../../proto/gen/busbar/v1/device_alert.ts'
import { ReadPeriod } from '../../../proto/gen/busbar/v1/service_request.ts'
import { ReadingStatus, ResponseBody } from '../../../proto/gen/busbar/v1/service_response.ts'

const nowMs = Date.UTC(2026, 6, 15, 12)
const noBody = Buffer.alloc(0)
const rowOf = (text: string): ServiceRequestRow => serviceRequestOf(parseSrv(text))!
const address = { host: 'h', port: 4059, logicalDevice: 1, client: 1 }
const berlin = deviceTimeOf({ address, timeZone: 'Europe/Berlin' })
const berlinSent = deviceTimeOf({
  address: { ...address, profile: 'range-without-deviation' },
  timeZone: 'Europe/Berlin',
})
const given = (build: (writer: AxdrWriter) => AxdrWriter): CosemResult => ({
  result: 0,
  value: build(new AxdrWriter()).take(),
})
const done: CosemResult = { result: 0 }
const at = (text: string): number => Date.parse(`${text}Z`)

function local(text: string): Buffer {
  const octets = Buffer.alloc(12)
  writeLocalDateTime(octets, 0, at(text))
  return octets
}

function utc(ms: number): Buffer {
  const octets = Buffer.alloc(12)
  writeCosemDateTime(octets, 0, ms)
  return octets
}

t.test("a zone is the record's, else the profile's", async (t) => {
  t.equal(deviceTimeOf({ address }), plainTime)
  t.equal(berlin.zone?.name, 'Europe/Berlin')
  t.notOk(berlin.isSentLocal)
  t.ok(berlinSent.isSentLocal)
  const inUtc = { ...address, profile: 'clock-in-utc' }
  t.equal(deviceTimeOf({ address: inUtc }).zone?.name, 'UTC')
  t.equal(deviceTimeOf({ address: inUtc, timeZone: '+01:00' }).zone?.name, '+01:00')
  t.equal(deviceTimeOf({ address, timeZone: 'Of/Another_Time' }), plainTime, 'stays local')
})

// ── setting a clock ──

/** 6.11 with what the clock shows then. */
function setClock(
  shown: CosemResult,
  time: DeviceTime = plainTime,
): Answer & { body: ResponseBody } {
  const operations = commandOf(rowOf('6.11'), noBody, nowMs, 'ESME', time)
  const answer = answerOf(
    rowOf('6.11'),
    operations,
    [done, done, done, shown, given((w) => w.uint8(0))],
    time,
  )
  return { ...answer, body: ResponseBody.decode(answer.bodyBytes) }
}

t.test('a clock that is not where it was set: its own reading says so', async (t) => {
  const clock = (octets: Buffer): CosemResult => given((w) => w.octetString(octets))
  const cases: [string, CosemResult, RegExp, DeviceTime?][] = [
    ['behind', clock(utc(nowMs - 90_000)), /^the clock is 90 s behind the time that was set$/],
    [
      'ahead',
      clock(utc(nowMs + 7_200_000)),
      /^the clock is 7200 s ahead of the time that was set$/,
    ],
    ['wildcards', clock(Buffer.alloc(12, 0xff)), /wildcards/],
    [
      'local',
      clock(local('2026-07-15T14:00')),
      /a local time, 2026-07-15T14:00:00: .* no timeZone/,
    ],
    ['another zone', clock(local('2026-07-15T12:00')), /7200 s behind/, berlin],
    ['a number', given((w) => w.uint32(7)), /expected a date-time: what came is another value/],
    ['null', given((w) => w.null()), /another value/],
    ['thirteen octets', clock(Buffer.alloc(13)), /another value/],
  ]
  for (const [what, shown, detail, time] of cases) {
    const { outcome, body } = setClock(shown, time)
    t.equal(outcome, 'DEVICE_REFUSED', what)
    const [, , , reading, last] = body.readings
    t.equal(reading?.status, ReadingStatus.READING_STATUS_UNEXPECTED, what)
    t.match(reading?.statusDetail, detail, what)
    t.equal(last?.status, ReadingStatus.READING_STATUS_GOOD, `${what}: the others are good`)
  }
})

t.test(
  'a clock within another octet-string is understood where nothing else can be meant',
  async (t) => {
    const inner = utc(nowMs + 500)
    const nested = [
      Buffer.concat([Buffer.of(0x09, 12), inner]),
      Buffer.concat([Buffer.of(0x19), inner]),
    ]
    for (const octets of nested) {
      const { outcome, body } = setClock(given((w) => w.octetString(octets)))
      t.equal(outcome, 'OK', octets.toString('hex'))
      t.match(body.readings[3], {
        status: ReadingStatus.READING_STATUS_GOOD,
        statusDetail: '',
        value: { kind: { $case: 'time', value: new Date(nowMs + 500) } },
      })
    }
    t.equal(
      setClock(given((w) => w.octetString(Buffer.concat([Buffer.of(9, 11), inner])))).outcome,
      'DEVICE_REFUSED',
    )
  },
)

t.test('the time is set in local time where the device takes no deviation', async (t) => {
  const [, preset] = commandOf(rowOf('6.11'), noBody, nowMs, 'ESME', berlinSent)
  t.equal(Buffer.from(preset!.value!).toString('hex', 4, 16), '07ea070f030e0000008000ff')
  const shown = setClock(
    given((w) => w.octetString(local('2026-07-15T14:00'))),
    berlinSent,
  )
  t.equal(shown.outcome, 'OK')
})

t.test('a scaler_unit that is none: the value is not scaled, and says so', async (t) => {
  const operations = commandOf(rowOf('4.1.1'), noBody, nowMs, 'ESME')
  const unit = given((w) => w.structure(2).int8(-3).enumeration(30))
  const results = operations.map(({ plan }, index) =>
    plan.template.yields !== 'scaler-unit'
      ? given((w) => w.uint32(7))
      : index === 1
        ? given((w) => w.uint8(1))
        : unit,
  )
  const { outcome, bodyBytes } = answerOf(rowOf('4.1.1'), operations, results)
  const [first, second] = ResponseBody.decode(bodyBytes).readings
  t.equal(outcome, 'DEVICE_REFUSED')
  t.match(first, {
    status: 10,
    scaler: 0,
    statusDetail: /scaler_unit/,
    value: { kind: { value: 7n } },
  })
  t.match(second, { status: 1, scaler: -3 })
})

// ── profiles ──

const period = Buffer.from(
  ReadPeriod.encode({
    startTime: new Date(at('2026-07-15T00:00')),
    endTime: new Date(at('2026-07-15T01:00')),
  }).finish(),
)

/** 4.8.1 with a buffer of these clocks, null where one was left out. */
function readRows(
  clocks: readonly (Buffer | null)[],
  time?: DeviceTime,
): ResponseBody['profiles'][0] {
  const operations = commandOf(rowOf('4.8.1'), period, nowMs, 'ESME', time)
  const results = operations.map(({ plan }) => {
    if (plan.template.yields === 'capture-period') return given((w) => w.uint32(1_800))
    if (plan.template.yields === 'columns')
      return given((w) => {
        w.array(2)
        w.structure(4).uint16(8).octetString(parseObis('0-0:1.0.0.255')).int8(2).uint16(0)
        return w.structure(4).uint16(3).octetString(parseObis('1-0:1.8.0.255')).int8(2).uint16(0)
      })
    if (plan.template.yields !== 'profile') return { result: 4 }
    return given((w) => {
      w.array(clocks.length)
      for (const clock of clocks) {
        w.structure(2)
        if (clock === null) w.null()
        else w.octetString(clock)
        w.uint32(1)
      }
      return w
    })
  })
  const { outcome, bodyBytes, detail } = answerOf(rowOf('4.8.1'), operations, results, time)
  if (outcome !== 'OK') throw new Error(`${outcome} ${detail}`)
  return ResponseBody.decode(bodyBytes).profiles[0]!
}

const timesOf = ({ entries }: ResponseBody['profiles'][0]): (string | undefined)[] =>
  entries.map(
    ({ capturedAt, capturedAtLocal }) => capturedAt?.toISOString().slice(11, 16) ?? capturedAtLocal,
  )

t.test('rows in local time become UTC where the zone is known, and are local else', async (t) => {
  const clocks = ['02:00', '02:30', '03:00'].map((text) => local(`2026-07-15T${text}`))
  const known = readRows(clocks, berlin)
  t.same(timesOf(known), ['00:00', '00:30', '01:00'])
  t.equal(known.rowsOutside, 0)
  const unknown = readRows(clocks)
  t.same(timesOf(unknown), ['2026-07-15T02:00:00', '2026-07-15T02:30:00', '2026-07-15T03:00:00'])
  t.same(timesOf(readRows([clocks[0]!, null], berlin)), ['00:00', '00:30'], 'left out')
  t.same(timesOf(readRows([clocks[0]!, null])), ['2026-07-15T02:00:00', '2026-07-15T02:30:00'])
  t.same(timesOf(readRows(clocks, deviceTimeOf({ address, timeZone: '+02:00' }))), timesOf(known))
  const nested = Buffer.concat([Buffer.of(0x09, 12), clocks[0]!])
  t.same(timesOf(readRows([nested], berlin)), ['00:00'])
})

t.test('a device that ignores the range: rows outside are cut, and counted', async (t) => {
  const all = [-2, -1, 0, 1, 2, 3, 4].map((i) => utc(at('2026-07-15T00:00') + i * 1_800_000))
  const profile = readRows(all)
  t.same(timesOf(profile), ['00:00', '00:30', '01:00'])
  t.equal(profile.rowsOutside, 4)
  const days = [-2, 0, 2].map((i) => local(`2026-07-${15 + i}T00:00`))
  t.equal(readRows(days).rowsOutside, 2, 'outside in every zone')
  t.equal(readRows([Buffer.alloc(12, 0xff), utc(at('2026-07-15T00:00'))]).rowsOutside, 1, 'no time')
})

t.test('bounds of ranges: UTC, or the local time without deviation', async (t) => {
  const boundsOf = (time?: DeviceTime): string[] => {
    const ranged = commandOf(rowOf('4.8.1'), period, nowMs, 'ESME', time).find(
      ({ selection }) => selection,
    )
    const selection = decodeSelection(Buffer.from(ranged!.selection!))
    if (selection.type !== 'range') throw new Error(selection.type)
    return [selection.from, selection.to].map((bound) =>
      (bound as { value: Buffer }).value.toString('hex'),
    )
  }
  t.same(boundsOf(), ['07ea070f0300000000000000', '07ea070f0301000000000000'])
  t.same(boundsOf(berlin), boundsOf(), 'a zone alone changes nothing')
  t.same(boundsOf(berlinSent), ['07ea070f03020000008000ff', '07ea070f03030000008000ff'])
})

// ── alerts ──

const bytesOf = (apduView: Buffer, zone?: DeviceTime['zone']): Buffer =>
  alertBodyOf({ apduView, alarmView: undefined, protection: 0, zone }).bodyBytes

t.test('the time of an alert: UTC where the zone is known, and local else', async (t) => {
  // @source local standard time all the year, as a Kamstrup meter pushes it.
  const apduView = Buffer.from('0f000000000c07e80702020e000aff8000000600000001', 'hex')
  const alert = (zone?: DeviceTime['zone']): DeviceAlert =>
    DeviceAlert.decode(bytesOf(apduView, zone))
  const unknown = alert()
  t.equal(unknown.deviceTime, undefined)
  t.equal(unknown.deviceTimeLocal, '2024-07-02T14:00:10')
  const known = alert(deviceTimeOf({ address, timeZone: 'Etc/GMT-1' }).zone)
  t.same(known.deviceTime, new Date(at('2024-07-02T13:00:10')))
  t.equal(known.deviceTimeLocal, '')
  const withDeviation = Buffer.from(apduView)
  withDeviation.writeInt16BE(-120, 15)
  const told = bytesOf(withDeviation)
  t.same(DeviceAlert.decode(told).deviceTime, new Date(at('2024-07-02T12:00:10')))
  const value = new AxdrWriter().structure(1).take()
  const body = Buffer.concat([value, Buffer.of(0x19), local('2026-07-15T14:00')])
  const inBody = Buffer.concat([Buffer.from('0f0000000000', 'hex'), body])
  const [first] = DeviceAlert.decode(bytesOf(inBody)).values
  t.equal(first?.kind?.$case, 'axdr', 'not UTC')
})
