/**
 * Commands and answers: each served variant, both ways, held against the generated decoder and
 * hand-made A-XDR.
 */
import fc from 'fast-check'
import t from 'tap'
import { Meter } from '../../../actors/simulator/meter.ts'
import { limits } from '../../../core/base/limits.ts'
import { parseSrv } from '../../../core/base/srv.ts'
import type { DeviceType } from '../../../core/inventory/device-record.ts'
import {
  serviceRequestOf,
  serviceRequests,
  type ServiceRequestRow,
} from '../../../core/catalogue/service-requests.ts'
import { AxdrWriter, decodeValue, encodeValue, Tag } from '../../../core/dlms/axdr/axdr.ts'
import { readCosemDateTime, writeCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { formatObis, parseObis } from '../../../core/dlms/axdr/obis.ts'
import type { CosemOperation, CosemResult } from '../../../core/ports/wan.ts'
import { answerOf } from '../../../core/translate/answer.ts'
import { commandOf } from '../../../core/translate/command.ts'
import { BodyType } from '../../../core/translate/body-types.ts'
import { ResponseWriter } from '../../../core/translate/response-writer.ts'
import { statusOf } from '../../../core/translate/reading-status.ts'
import { appendValue } from '../../../core/translate/value.ts'
import {
  DisplayMessage,
  ReadPeriod,
  SynchroniseClock,
} from '../../../proto/gen/busbar/v1/service_request.ts'
import { Reading, ResponseBody, type Value } from '../../../proto/gen/busbar/v1/service_response.ts'

const nowMs = Date.UTC(2026, 10, 23, 12)
const hourMs = 3_600_000
const noBody = Buffer.alloc(0)
const rowOf = (text: string): ServiceRequestRow => serviceRequestOf(parseSrv(text))!
const axdr = (build: (writer: AxdrWriter) => AxdrWriter): Buffer => build(new AxdrWriter()).take()
const given = (build: (writer: AxdrWriter) => AxdrWriter): CosemResult => ({
  result: 0,
  value: axdr(build),
})
const refused = (result: number): CosemResult => ({ result })
const done: CosemResult = { result: 0 }

const dateTime = (utcMs: number): Buffer => {
  const octets = Buffer.alloc(12)
  writeCosemDateTime(octets, 0, utcMs)
  return octets
}
const scalerUnit = (scaler: number, unit: number): CosemResult =>
  given((w) => w.structure(2).int8(scaler).enumeration(unit))

const periodBody = (fromMs: number, toMs: number): Buffer =>
  Buffer.from(ReadPeriod.encode({ startTime: new Date(fromMs), endTime: new Date(toMs) }).finish())
// A body that each body type is content with.
const bodyOf = (bodyType: number): Buffer => {
  if (bodyType === BodyType.DISPLAY_MESSAGE)
    return Buffer.from(DisplayMessage.encode({ text: 'Grüße' }).finish())
  if (bodyType === BodyType.READ_PERIOD) return periodBody(nowMs - 2 * hourMs, nowMs)
  return bodyType === BodyType.SYNCHRONISE_CLOCK
    ? Buffer.from(SynchroniseClock.encode({ toleranceSeconds: 30 }).finish())
    : noBody
}
const command = (
  text: string,
  deviceType: DeviceType = 'ESME',
  body?: Buffer,
): readonly CosemOperation[] => {
  const row = rowOf(text)
  return commandOf(row, body ?? bodyOf(row.bodyType), nowMs, deviceType)
}
// `get 3 1-0:1.8.0.255 2`
const describe = ({ kind, descriptor }: CosemOperation): string => {
  const view = Buffer.from(descriptor)
  return `${kind} ${view.readUInt16BE(0)} ${formatObis(view, 2)} ${view.readInt8(8)}`
}
const answer = (
  text: string,
  results: CosemResult[],
  deviceType: DeviceType = 'ESME',
  body?: Buffer,
) => {
  const { outcome, bodyBytes, detail } = answerOf(
    rowOf(text),
    command(text, deviceType, body),
    results,
  )
  return { outcome, detail, body: ResponseBody.decode(bodyBytes) }
}
const integer = (value: number | bigint): Value => ({
  kind: { $case: 'integer', value: BigInt(value) },
})
const reading = (
  obis: string,
  classId: number,
  attributeId: number,
  rest: Partial<Reading>,
): Reading => ({
  obis,
  classId,
  attributeId,
  isMethod: false,
  status: 1,
  value: undefined,
  scaler: 0,
  unit: 0,
  statusDetail: '',
  ...rest,
})

t.test('4.1.1: registers with scaler and unit', (t) => {
  const operations = command('4.1.1')
  t.same(operations.map(describe), [
    'get 3 1-0:1.8.0.255 2',
    'get 3 1-0:1.8.0.255 3',
    'get 3 1-0:3.8.0.255 2',
    'get 3 1-0:3.8.0.255 3',
  ])
  t.equal(command('4.1.1'), operations, 'the same list each time')
  t.same(operations[0]!.descriptor, Buffer.from('00030100010800ff02', 'hex'))
  const read = answer('4.1.1', [
    given((w) => w.uint32(4_294_967_295)),
    scalerUnit(-3, 30),
    given((w) => w.uint64(2n ** 63n - 1n)),
    scalerUnit(3, 32),
  ])
  t.equal(read.outcome, 'OK')
  t.same(read.body.readings, [
    reading('1-0:1.8.0.255', 3, 2, { value: integer(4_294_967_295), scaler: -3, unit: 30 }),
    reading('1-0:3.8.0.255', 3, 2, { value: integer(2n ** 63n - 1n), scaler: 3, unit: 32 }),
  ])
  t.same(command('4.1.1', 'GSME').map(describe), [
    'get 4 0-1:24.2.1.255 2',
    'get 4 0-1:24.2.1.255 3',
  ])
  t.same(command('4.1.1', 'GPF').map(describe), command('4.1.1', 'GSME').map(describe))
  t.same(
    answer('4.1.1', [given((w) => w.uint32(1234)), scalerUnit(-3, 13)], 'GSME').body.readings,
    [reading('0-1:24.2.1.255', 4, 2, { value: integer(1234), scaler: -3, unit: 13 })],
  )
  t.end()
})

t.test('what optional and mandatory refusals come to', (t) => {
  const value = given((w) => w.uint32(7))
  const lacking = answer('4.1.1', [value, scalerUnit(0, 30), refused(4), refused(4)])
  t.equal(lacking.outcome, 'OK')
  t.equal(lacking.body.readings.length, 1, 'an object that the meter does not have is left out')
  const denied = answer('4.1.1', [value, scalerUnit(0, 30), refused(3), refused(3)])
  t.equal(denied.outcome, 'OK')
  t.same(denied.body.readings[1], reading('1-0:3.8.0.255', 3, 2, { status: 3 }))
  t.equal(denied.body.readings.length, 2)
  const mandatory = answer('4.1.1', [refused(2), scalerUnit(0, 30), value, scalerUnit(0, 32)])
  t.equal(mandatory.outcome, 'DEVICE_REFUSED')
  t.same(mandatory.body.readings, [
    reading('1-0:1.8.0.255', 3, 2, { status: 4 }),
    reading('1-0:3.8.0.255', 3, 2, { value: integer(7), unit: 32 }),
  ])
  const unscaled = answer('4.1.1', [value, refused(1), refused(4), refused(4)])
  t.equal(unscaled.outcome, 'DEVICE_REFUSED', 'a register without its unit is no reading')
  t.same(
    unscaled.body.readings.map(({ attributeId, status }) => [attributeId, status]),
    [
      [2, 1],
      [3, 5],
    ],
  )
  const reset = answer('4.1.1', [
    given((w) => w.null()),
    scalerUnit(0, 30),
    given((w) => w.null()),
    given((w) => w.null()),
  ])
  t.equal(reset.outcome, 'OK')
  t.same(reset.body.readings, [
    reading('1-0:1.8.0.255', 3, 2, { status: 9, unit: 30 }),
    reading('1-0:3.8.0.255', 3, 2, { status: 9 }),
  ])
  t.same([0, 1, 2, 3, 4, 9, 11, 12, 13, 250, 77].map(statusOf), [1, 5, 4, 3, 2, 2, 2, 6, 3, 8, 8])
  t.end()
})

t.test('4.2: export registers', (t) => {
  t.same(command('4.2').map(describe), [
    'get 3 1-0:2.8.0.255 2',
    'get 3 1-0:2.8.0.255 3',
    'get 3 1-0:4.8.0.255 2',
    'get 3 1-0:4.8.0.255 3',
  ])
  const read = answer('4.2', [
    given((w) => w.int32(-5)),
    scalerUnit(2, 30),
    given((w) => w.uint16(9)),
    scalerUnit(0, 32),
  ])
  t.equal(read.outcome, 'OK')
  t.same(
    read.body.readings.map(({ value, scaler }) => [value, scaler]),
    [
      [integer(-5), 2],
      [integer(9), 0],
    ],
  )
  t.end()
})

t.test('3.1: sets the text', (t) => {
  const [set] = command('3.1')
  t.equal(describe(set!), 'set 1 0-0:96.13.0.255 2')
  t.same(
    set!.value,
    axdr((w) => w.octetString(Buffer.from('Grüße'))),
  )
  const long = '🔌'.repeat(116)
  const [setLong] = command(
    '3.1',
    'ESME',
    Buffer.from(DisplayMessage.encode({ text: long }).finish()),
  )
  t.same(
    decodeValue(Buffer.from(setLong!.value!), 0),
    decodeValue(
      axdr((w) => w.octetString(Buffer.from(long))),
      0,
    ),
  )
  const shown = answer('3.1', [done])
  t.equal(shown.outcome, 'OK')
  t.same(shown.body.readings, [reading('0-0:96.13.0.255', 1, 2, {})])
  const wrong = answer('3.1', [refused(12)])
  t.equal(wrong.outcome, 'DEVICE_REFUSED')
  t.same(wrong.body.readings, [reading('0-0:96.13.0.255', 1, 2, { status: 6 })])
  t.throws(() => command('3.1', 'ESME', noBody), { code: 'REQUEST_BODY_MALFORMED' })
  t.end()
})

t.test('6.2.4, 11.2 and 7.4: identity, firmware, supply', (t) => {
  const identity = answer('6.2.4', [
    given((w) => w.octetString(Buffer.from('BSBE000000000001'))),
    given((w) => w.visibleString('E21B1')),
    given((w) => w.octetString(Buffer.of(0, 0xdb, 1))),
  ])
  t.same(
    identity.body.readings.map(({ obis, value }) => [obis, value!.kind]),
    [
      ['0-0:42.0.0.255', { $case: 'text', value: 'BSBE000000000001' }],
      ['0-0:96.1.0.255', { $case: 'text', value: 'E21B1' }],
      ['0-0:96.1.1.255', { $case: 'octets', value: Buffer.of(0, 0xdb, 1) }],
    ],
  )
  t.same(command('11.2').map(describe), ['get 1 1-0:0.2.0.255 2'])
  const firmware = answer('11.2', [given((w) => w.octetString(Buffer.from('BSB-É-4.1.0')))])
  t.same(firmware.body.readings[0]!.value!.kind, { $case: 'text', value: 'BSB-É-4.1.0' })
  t.same(command('7.4').map(describe), ['get 70 0-0:96.3.10.255 3', 'get 70 0-0:96.3.10.255 2'])
  const supply = answer('7.4', [given((w) => w.enumeration(0)), given((w) => w.boolean(false))])
  t.same(
    supply.body.readings.map(({ value }) => value!.kind),
    [
      { $case: 'integer', value: 0n },
      { $case: 'booleanValue', value: false },
    ],
    'zero and false are values',
  )
  t.end()
})

t.test('6.11: sets the clock within its tolerance', (t) => {
  const operations = command('6.11')
  t.same(operations.map(describe), [
    'set 8 0-0:1.0.0.255 9',
    'action 8 0-0:1.0.0.255 5',
    'action 8 0-0:1.0.0.255 4',
    'get 8 0-0:1.0.0.255 2',
    'get 8 0-0:1.0.0.255 4',
  ])
  const times = (parameter: Uint8Array): (number | undefined)[] => {
    const view = Buffer.from(parameter)
    t.equal(view.length, 44)
    t.same(view.subarray(0, 2), Buffer.of(Tag.STRUCTURE, 3))
    return [4, 18, 32].map((at) => readCosemDateTime(view, at))
  }
  t.same(times(operations[1]!.value!), [nowMs, nowMs - 30_000, nowMs + 30_000])
  const [from, to] = times(command('6.11', 'ESME', noBody)[1]!.value!).slice(1)
  t.ok(from! <= 0 && to! > nowMs, 'tolerance 0 is any')
  t.same(operations[2]!.value, Buffer.of(Tag.INTEGER, 0))
  const clock = (ms: number): CosemResult => given((w) => w.octetString(dateTime(ms)))
  const set = answer('6.11', [done, done, done, clock(nowMs + 400), given((w) => w.uint8(0))])
  t.equal(set.outcome, 'OK')
  t.same(
    set.body.readings.map(({ attributeId, isMethod, value }) => [
      attributeId,
      isMethod,
      value?.kind,
    ]),
    [
      [9, false, undefined],
      [5, true, undefined],
      [4, true, undefined],
      [2, false, { $case: 'time', value: new Date(nowMs + 400) }],
      [4, false, { $case: 'integer', value: 0n }],
    ],
  )
  t.equal(
    answer('6.11', [refused(3), done, done, clock(nowMs - 1000), given((w) => w.uint8(0))]).outcome,
    'OK',
    'clock_base is optional',
  )
  for (const off of [-2001, limits.wanExchangeMsMax + 1000, 86_400_000]) {
    t.equal(
      answer('6.11', [done, done, done, clock(nowMs + off), given((w) => w.uint8(0))]).outcome,
      'DEVICE_REFUSED',
      `a meter that says done and is ${off} ms off`,
    )
  }
  t.equal(
    answer('6.11', [
      done,
      done,
      done,
      given((w) => w.octetString(Buffer.alloc(12, 0xff))),
      given((w) => w.uint8(0)),
    ]).outcome,
    'DEVICE_REFUSED',
  )
  const outside = answer('6.11', [
    done,
    done,
    refused(250),
    clock(nowMs - 99_000),
    given((w) => w.uint8(0)),
  ])
  t.equal(outside.outcome, 'DEVICE_REFUSED')
  t.equal(outside.body.readings[2]!.status, 8)
  t.end()
})

type Row = { atMs: number | undefined; status?: number; value: number | undefined }
const buffer = (rows: Row[], withStatus = true): CosemResult =>
  given((w) => {
    w.array(rows.length)
    for (const { atMs, status, value } of rows) {
      w.structure(withStatus ? 3 : 2)
      if (atMs === undefined) w.null()
      else w.octetString(dateTime(atMs))
      if (withStatus) w.uint8(status ?? 0)
      if (value === undefined) w.null()
      else w.uint32(value)
    }
    return w
  })
const objects = (...columns: [number, string, number][]): CosemResult =>
  given((w) => {
    w.array(columns.length)
    for (const [classId, obis, attribute] of columns)
      w.structure(4).uint16(classId).octetString(parseObis(obis)).int8(attribute).uint16(0)
    return w
  })
const clockColumn: [number, string, number] = [8, '0-0:1.0.0.255', 2]
const statusColumn: [number, string, number] = [1, '0-0:96.10.1.255', 2]
const energyColumn: [number, string, number] = [3, '1-0:1.8.0.255', 2]
const usual = objects(clockColumn, statusColumn, energyColumn)
const halfHour = given((w) => w.uint32(1800))

t.test('4.8.1: a profile by range', (t) => {
  const fromMs = nowMs - 2 * hourMs
  const operations = command('4.8.1')
  t.equal(describe(operations[0]!), 'get 7 1-0:99.1.0.255 2')
  const selection = Buffer.from(operations[0]!.selection!)
  t.equal(selection[0], 1, 'access selector')
  const expected = axdr((w) =>
    w
      .structure(4)
      .structure(4)
      .uint16(8)
      .octetString(parseObis('0-0:1.0.0.255'))
      .int8(2)
      .uint16(0)
      .octetString(dateTime(fromMs))
      .octetString(dateTime(nowMs))
      .array(0),
  )
  t.same(selection.subarray(1), expected)
  const rows = [0, 1, 2, 3, 4].map((i) => ({
    atMs: fromMs + i * 1_800_000,
    status: i === 2 ? 0x80 : 0,
    value: 1000 + i,
  }))
  const read = answer('4.8.1', [buffer(rows), usual, halfHour, scalerUnit(0, 30), refused(4)])
  t.equal(read.outcome, 'OK')
  t.same(read.body.readings, [])
  const [profile] = read.body.profiles
  t.equal(profile!.obis, '1-0:99.1.0.255')
  t.equal(profile!.status, 1)
  t.same(profile!.columns, [
    { obis: '1-0:1.8.0.255', classId: 3, attributeId: 2, scaler: 0, unit: 30 },
  ])
  t.same(
    profile!.entries,
    rows.map(({ atMs, status, value }) => ({
      capturedAt: new Date(atMs),
      values: [integer(value)],
      status,
      capturedAtLocal: '',
    })),
  )
  t.same(command('4.8.1', 'GSME').map(describe), [
    'get 7 0-1:24.3.0.255 2',
    'get 7 0-1:24.3.0.255 3',
    'get 7 0-1:24.3.0.255 4',
    'get 4 0-1:24.2.1.255 3',
  ])
  t.end()
})

t.test('profiles as real meters send them', (t) => {
  const fromMs = nowMs - 2 * hourMs
  const step = 1_800_000
  const rest = [halfHour, scalerUnit(-1, 30), refused(4)]
  const entries = (first: CosemResult, columns: CosemResult, others = rest) =>
    answer('4.8.1', [first, columns, ...others]).body.profiles[0]!.entries
  const lying = buffer([
    { atMs: fromMs - 1, value: 1 },
    { atMs: fromMs, value: 2 },
    { atMs: nowMs, value: 3 },
    { atMs: nowMs + 10, value: 4 },
  ])
  t.same(
    entries(lying, usual).map(({ values }) => values[0]),
    [integer(2), integer(3)],
    'rows outside the range are dropped',
  )
  const saving = buffer([
    { atMs: fromMs - step, value: 0 },
    { atMs: undefined, value: 1 },
    { atMs: undefined, value: undefined },
  ])
  t.same(
    entries(saving, usual),
    [
      { capturedAt: new Date(fromMs), values: [integer(1)], status: 0, capturedAtLocal: '' },
      {
        capturedAt: new Date(fromMs + step),
        values: [{ kind: undefined }],
        status: 0,
        capturedAtLocal: '',
      },
    ],
    'null clocks count on from the row before, dropped or not; null values keep their place',
  )
  t.equal(
    answer('4.8.1', [saving, usual, refused(4), ...rest.slice(1)]).outcome,
    'DEVICE_ANSWER_INVALID',
    'null clock without a period',
  )
  t.same(
    entries(buffer([{ atMs: fromMs, value: 5 }], false), refused(4)),
    [{ capturedAt: new Date(fromMs), values: [integer(5)], status: 0, capturedAtLocal: '' }],
    'without capture_objects',
  )
  t.same(
    entries(
      given((w) => w.array(0)),
      usual,
    ),
    [],
  )
  t.same(entries({ result: 0, value: Buffer.of(1, 0, 1, 0) }, usual), [], 'the empty array twice')
  t.same(
    entries(
      {
        result: 0,
        value: Buffer.concat([
          Buffer.of(1, 0),
          buffer([{ atMs: fromMs, value: 5 }]).value!.subarray(2),
        ]),
      },
      usual,
    ),
    [],
    'count 0 and rows nevertheless',
  )
  t.same(
    entries(
      given((w) => w.null()),
      usual,
    ),
    [],
  )
  const unclear = given((w) =>
    w.array(1).structure(3).octetString(Buffer.alloc(12, 0xff)).uint8(0).uint32(1),
  )
  t.same(entries(unclear, usual), [], 'a row at no point in time')
  const bits = given((w) =>
    w.array(1).structure(3).octetString(dateTime(fromMs)).bitString(Buffer.of(0x81), 8).uint32(1),
  )
  t.equal(entries(bits, usual)[0]!.status, 0x81)
  const reordered = given((w) =>
    w.array(1).structure(3).uint32(77).octetString(dateTime(fromMs)).uint8(4),
  )
  t.same(entries(reordered, objects(energyColumn, clockColumn, statusColumn)), [
    { capturedAt: new Date(fromMs), values: [integer(77)], status: 4, capturedAtLocal: '' },
  ])
  const refusedProfile = answer('4.8.1', [refused(3), usual, ...rest])
  t.equal(refusedProfile.outcome, 'DEVICE_REFUSED')
  t.same(refusedProfile.body.profiles, [
    { obis: '1-0:99.1.0.255', status: 3, columns: [], entries: [], rowsOutside: 0 },
  ])
  t.end()
})

t.test('answers that are none', (t) => {
  const value = given((w) => w.uint32(7))
  const unit = scalerUnit(0, 30)
  const invalid = (text: string, results: CosemResult[], why: string): void => {
    const { outcome, body, detail } = answer(text, results)
    t.equal(outcome, 'DEVICE_ANSWER_INVALID', why)
    t.same(body, { readings: [], profiles: [], schedules: [] })
    t.match(detail, text)
  }
  invalid('4.1.1', [value, unit, value], 'too few results')
  invalid('4.1.1', [done, unit, value, unit], 'a read without a value')
  invalid('4.1.1', [{ result: 0, value: Buffer.of(6, 0, 0) }, unit, value, unit], 'cut short')
  invalid(
    '4.1.1',
    [{ result: 0, value: Buffer.of(6, 0, 0, 0, 1, 9) }, unit, value, unit],
    'octets left over',
  )
  invalid('4.1.1', [{ result: 0, value: Buffer.of(99) }, unit, value, unit], 'no such tag')
  invalid('4.1.1', [{ result: 0, value: Buffer.of(Tag.LONG64) }, unit, value, unit], 'a lone tag')
  invalid(
    '4.1.1',
    [{ result: 0, value: Buffer.from('0101'.repeat(40) + '00', 'hex') }, unit, value, unit],
    'nested too deep',
  )
  const rest = [halfHour, unit, refused(4)]
  invalid('4.8.1', [given((w) => w.uint8(1)), usual, ...rest], 'a buffer that is no array')
  invalid(
    '4.8.1',
    [given((w) => w.array(1).uint8(1)), usual, ...rest],
    'a row that is no structure',
  )
  invalid(
    '4.8.1',
    [buffer([{ atMs: nowMs, value: 1 }], false), usual, ...rest],
    'a row with too few columns',
  )
  invalid(
    '4.8.1',
    [buffer([]), given((w) => w.array(1).structure(2).uint8(0).uint8(0)), ...rest],
    'capture objects that are none',
  )
  const rows = buffer([{ atMs: nowMs, value: 1 }])
  invalid(
    '4.8.1',
    [{ result: 0, value: Buffer.concat([rows.value!, Buffer.of(0)]) }, usual, ...rest],
    'octets behind the rows',
  )
  const large = Buffer.alloc(limits.responseBodyBytesMax + 10)
  large.writeUInt32BE(limits.responseBodyBytesMax + 4, 2)
  large[0] = Tag.OCTET_STRING
  large[1] = 0x84
  invalid('11.2', [{ result: 0, value: large }], 'larger than a response may be')
  const float = answer('4.1.1', [
    { result: 0, value: Buffer.from('17043f800000', 'hex') },
    unit,
    { result: 0, value: Buffer.from('18083ff8000000000000', 'hex') },
    unit,
  ])
  t.same(
    float.body.readings.map(({ value }) => value!.kind),
    [
      { $case: 'floating', value: 1 },
      { $case: 'floating', value: 1.5 },
    ],
    'floats with a length octet',
  )
  t.throws(
    () => answerOf(rowOf('4.1.1'), [{ kind: 'get', descriptor: Buffer.alloc(9) }], [value]),
    /commandOf/,
    'operations of other making are a bug',
  )
  t.end()
})

t.test('a year of half hours', (t) => {
  const kept = limits.profileDaysMax * 86_400_000
  const count = limits.profileDaysMax * 48
  const rows = Array.from({ length: count }, (_, i) => ({
    atMs: nowMs - (count - 1 - i) * 1_800_000,
    value: i * 250,
  }))
  const read = answer(
    '4.8.1',
    [buffer(rows), usual, halfHour, scalerUnit(0, 30), refused(4)],
    'ESME',
    periodBody(nowMs - kept, nowMs),
  )
  t.equal(read.outcome, 'OK')
  const { entries } = read.body.profiles[0]!
  t.equal(entries.length, count)
  t.same(entries.at(-1), {
    capturedAt: new Date(nowMs),
    values: [integer((count - 1) * 250)],
    status: 0,
    capturedAtLocal: '',
  })
  t.end()
})

const date = fc.integer({ min: 0, max: 253_402_300_799 }).map((seconds) => seconds * 1000)
const int = (bits: number) =>
  fc.bigInt({ min: -(2n ** BigInt(bits - 1)), max: 2n ** BigInt(bits - 1) - 1n })
const uint = (bits: number) => fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n })
// A value and what it becomes.
const exact = fc.oneof(
  int(8).map((v) => ({
    value: axdr((w) => w.int8(Number(v))),
    kind: { $case: 'integer', value: v },
  })),
  int(16).map((v) => ({
    value: axdr((w) => w.int16(Number(v))),
    kind: { $case: 'integer', value: v },
  })),
  int(32).map((v) => ({
    value: axdr((w) => w.int32(Number(v))),
    kind: { $case: 'integer', value: v },
  })),
  int(64).map((v) => ({ value: axdr((w) => w.int64(v)), kind: { $case: 'integer', value: v } })),
  uint(8).map((v) => ({
    value: axdr((w) => w.uint8(Number(v))),
    kind: { $case: 'integer', value: v },
  })),
  uint(7)
    .filter((v) => v < 100n)
    .map((v) => ({
      value: axdr((w) => w.bcd(Number.parseInt(String(v), 16))),
      kind: { $case: 'integer', value: v },
    })),
  uint(16).map((v) => ({
    value: axdr((w) => w.uint16(Number(v))),
    kind: { $case: 'integer', value: v },
  })),
  uint(32).map((v) => ({
    value: axdr((w) => w.uint32(Number(v))),
    kind: { $case: 'integer', value: v },
  })),
  uint(64).map((v) => ({
    value: axdr((w) => w.uint64(v)),
    kind: { $case: v < 2n ** 63n ? 'integer' : 'unsignedInteger', value: v },
  })),
  fc
    .boolean()
    .map((v) => ({ value: axdr((w) => w.boolean(v)), kind: { $case: 'booleanValue', value: v } })),
  fc
    .double({ noNaN: true })
    .map((v) => ({ value: axdr((w) => w.float64(v)), kind: { $case: 'floating', value: v } })),
  fc.uint8Array({ maxLength: 300 }).map((v) => ({
    value: axdr((w) => w.octetString(Buffer.from(v))),
    kind: { $case: 'octets', value: Buffer.from(v) },
  })),
  fc
    .string({ unit: 'binary', maxLength: 80 })
    .map((v) => ({ value: axdr((w) => w.utf8String(v)), kind: { $case: 'text', value: v } })),
  date.map((v) => ({
    value: Buffer.concat([Buffer.of(Tag.DATE_TIME), dateTime(v)]),
    kind: { $case: 'time', value: new Date(v) },
  })),
)
// Any tree, and then its octets.
const { tree } = fc.letrec((tie) => ({
  leaf: fc.oneof(
    exact.map(({ value }) => value),
    fc.constantFrom(
      Buffer.of(0),
      Buffer.of(255),
      Buffer.from('0dff', 'hex'),
      Buffer.from('1a07ea0b17ff', 'hex'),
      Buffer.from('040caaf0', 'hex'),
    ),
  ),
  many: fc
    .tuple(
      fc.constantFrom(Tag.ARRAY, Tag.STRUCTURE),
      fc.array(tie('tree') as fc.Arbitrary<Buffer>, { maxLength: 4 }),
    )
    .map(([tag, elements]) => Buffer.concat([Buffer.of(tag, elements.length), ...elements])),
  tree: fc.oneof({ depthSize: 'small' }, tie('leaf'), tie('many')) as fc.Arbitrary<Buffer>,
}))

t.test('every exact type keeps its value', (t) => {
  fc.assert(
    fc.property(
      exact,
      fc.integer({ min: -128, max: 127 }),
      fc.nat(255),
      ({ value, kind }, scaler, unit) => {
        const { outcome, body } = answer('4.1.1', [
          { result: 0, value },
          scalerUnit(scaler, unit),
          refused(4),
          refused(4),
        ])
        t.equal(outcome, 'OK')
        t.same(body.readings, [
          reading('1-0:1.8.0.255', 3, 2, {
            value: { kind } as Value,
            scaler,
            unit: unit as Reading['unit'],
          }),
        ])
      },
    ),
    { numRuns: 500 },
  )
  t.end()
})

t.test(
  'values without a form of their own go along as A-XDR; the end of each value is found',
  (t) => {
    const writer = new ResponseWriter()
    fc.assert(
      fc.property(tree, fc.uint8Array({ maxLength: 5 }), (value, behind) => {
        const view = Buffer.concat([Buffer.of(7), value, behind])
        writer.octet(0x32)
        t.equal(appendValue(writer, view, 1, view.length, 'any'), 1 + value.length)
        const { value: decoded } = Reading.decode(writer.take())
        if (value[0] === Tag.STRUCTURE || value[0] === Tag.ARRAY)
          t.same(decoded!.kind, { $case: 'axdr', value })
        t.same(
          encodeValue(decodeValue(value, 0)),
          value,
          'the tree codec agrees that it is a value',
        )
      }),
      { numRuns: 300 },
    )
    t.end()
  },
)

const outcomes = new Set(['OK', 'DEVICE_REFUSED', 'DEVICE_ANSWER_INVALID'])
t.test('whatever a meter sends, to each variant: an outcome, and a body that decodes', (t) => {
  const fc0 = fc.record({
    result: fc.constantFrom(0, 0, 0, 1, 3, 4, 250),
    octets: fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((o) => Buffer.from(o)),
      tree,
    ),
    cut: fc.nat(3),
    hasValue: fc.boolean(),
  })
  const served = serviceRequests.filter(
    ({ isServed, answeredBy }) => isServed && answeredBy === 'device',
  )
  fc.assert(
    fc.property(
      fc.constantFrom(...served),
      fc.infiniteStream(fc0),
      fc.nat(9),
      (row, stream, choice) => {
        const operations = commandOf(
          row,
          bodyOf(row.bodyType),
          nowMs,
          row.deviceTypes[choice % row.deviceTypes.length]!,
        )
        const results = operations.map((): CosemResult => {
          const { result, octets, cut, hasValue } = stream.next().value
          return hasValue
            ? { result, value: octets.subarray(0, Math.max(0, octets.length - cut)) }
            : { result }
        })
        const { outcome, bodyBytes } = answerOf(row, operations, results)
        t.ok(outcomes.has(outcome))
        ResponseBody.decode(bodyBytes)
      },
    ),
    { numRuns: 2000 },
  )
  t.end()
})

t.test('a profile cut at every length, or with any octet changed', (t) => {
  const rows = buffer([
    { atMs: nowMs - hourMs, value: 1 },
    { atMs: nowMs, value: 2 },
  ]).value as Buffer
  const others = [usual, halfHour, scalerUnit(0, 30), refused(4)]
  for (let end = 0; end < rows.length; end++)
    t.equal(
      answer('4.8.1', [{ result: 0, value: rows.subarray(0, end) }, ...others]).outcome,
      'DEVICE_ANSWER_INVALID',
      `cut at ${end}`,
    )
  const columns = usual.value as Buffer
  for (let end = 1; end < columns.length; end++)
    t.equal(
      answer('4.8.1', [
        { result: 0, value: rows },
        { result: 0, value: columns.subarray(0, end) },
        ...others.slice(1),
      ]).outcome,
      'DEVICE_ANSWER_INVALID',
      `columns cut at ${end}`,
    )
  fc.assert(
    fc.property(fc.nat(rows.length - 1), fc.nat(255), (at, octet) => {
      const changed = Buffer.from(rows)
      changed[at] = octet
      const { outcome, body } = answer('4.8.1', [{ result: 0, value: changed }, ...others])
      return (
        outcomes.has(outcome) &&
        body.profiles.every(({ entries }) =>
          entries.every(({ capturedAt, capturedAtLocal }) =>
            // Without a deviation, which one octet can take away, the time is known as local only.
            capturedAt === undefined
              ? capturedAtLocal !== ''
              : capturedAt >= new Date(nowMs - 2 * hourMs) && capturedAt <= new Date(nowMs),
          ),
        )
      )
    }),
    { numRuns: 1000, examples: [[38, 128]] },
  )
  t.end()
})

t.test('every served variant has a command for each of its device types', (t) => {
  for (const row of serviceRequests.filter(
    ({ isServed, answeredBy }) => isServed && answeredBy === 'device',
  )) {
    for (const deviceType of row.deviceTypes) {
      const operations = commandOf(row, bodyOf(row.bodyType), nowMs, deviceType)
      t.ok(operations.length > 0, `${row.text} for ${deviceType}`)
      t.ok(
        operations.every(
          ({ kind, value, descriptor }) =>
            (kind === 'get') === (value === undefined) && descriptor.length === 9,
        ),
      )
      t.equal(
        commandOf(row, bodyOf(row.bodyType), nowMs, deviceType) === operations,
        row.bodyType === 0,
        'constant lists are shared',
      )
    }
  }
  t.equal(
    answerOf(rowOf('11.2'), command('11.2'), [given((w) => w.octetString(Buffer.from('1')))])
      .bodyBytes.length > 0,
    true,
  )
  t.end()
})

t.test('simulated meters carry out every variant that their type takes', (t) => {
  const population = { seed: 7, gasShare: 0.3, gasProxyShare: 0.2, solarShare: 0.5, secretShare: 0 }
  const clock = { now: () => nowMs, elapsedMs: () => nowMs, at: () => () => {} }
  const seen = new Set<string>()
  for (let number = 0; number < 20; number++) {
    const meter = new Meter({ population, clock }, number)
    for (const row of serviceRequests) {
      // The only clock that is off by more than it may be is one that was never set: it takes any
      // time.
      const body = row.bodyType === BodyType.SYNCHRONISE_CLOCK ? noBody : bodyOf(row.bodyType)
      if (!row.isServed || row.answeredBy !== 'device' || !row.deviceTypes.includes(meter.type))
        continue
      const operations = commandOf(row, body, nowMs, meter.type)
      const results = operations.map(({ kind, descriptor, selection, value }): CosemResult => {
        const object = Buffer.from(descriptor)
        if (kind === 'action') return meter.invoke(object, value as Buffer)
        if (kind === 'set') return { result: meter.set(object, undefined, value as Buffer) }
        const got = meter.get(object, selection as Buffer | undefined)
        return typeof got === 'number' ? { result: got } : { result: 0, value: got }
      })
      const { outcome, bodyBytes, detail } = answerOf(row, operations, results)
      t.equal(outcome, 'OK', `${row.text} by a ${meter.type} ${detail ?? ''}`)
      const { readings, profiles } = ResponseBody.decode(bodyBytes)
      t.ok(readings.length + profiles.length > 0)
      for (const { columns, entries } of profiles) {
        t.equal(columns.length, 1, `${row.text}: one column besides clock and status`)
        t.ok(columns[0]!.unit !== 0, `${row.text}: a unit for ${columns[0]!.obis}`)
        t.ok(row.text === '4.17' || entries.length === 5, `${row.text}: both ends of two hours`)
      }
      seen.add(`${row.text} ${meter.type}`)
    }
  }
  // ESME 10; GSME all but 4.2 and 4.17; GPF 4.1.1, 4.17 and 6.2.4.
  t.equal(seen.size, 10 + 8 + 3)
  t.end()
})
