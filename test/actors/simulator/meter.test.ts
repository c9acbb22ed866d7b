/**
 * Simulated meters without sockets: every object by descriptor, identity, clock, supply, faults in
 * words; hostile descriptors and parameters.
 */
import fc from 'fast-check'
import t from 'tap'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { AxdrWriter, decodeValue, skipValue } from '../../../core/dlms/axdr/axdr.ts'
import { readCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { formatObis, parseObis } from '../../../core/dlms/axdr/obis.ts'
import { eventsMax, EventCode } from '../../../actors/simulator/model/event-log.ts'
import { dayMs, halfHourMs } from '../../../actors/simulator/model/load-curve.ts'
import {
  FaultBoard,
  faultKinds,
  formatFault,
  makeFault,
  parseFaults,
  type FaultKind,
} from '../../../actors/simulator/network/faults.ts'
import { Meter } from '../../../actors/simulator/meter.ts'
import { noLink } from '../../../actors/simulator/model/access-link.ts'
import {
  nowMs,
  electricity,
  gas,
  descriptor,
  meterAt,
  read,
  dateTimeBytes,
  byRange,
  elementsOf,
  simpleOf,
  rowsOf,
  numberOf,
} from '../../support/meters.ts'

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
        const [id, mode] = elementsOf(attribute).slice(0, 2).map(simpleOf).map(Number) as [
          number,
          number,
        ]
        if (mode === 0) continue
        const value = read(meter, Number(simpleOf(classId!)), name, id)
        if (id === 1) t.same(simpleOf(decodeValue(value, 0)), parseObis(name))
        else if (skipValue(value, 0) !== value.length) t.fail(`${name} ${id}`)
      }
      const past = descriptor(Number(simpleOf(classId!)), name, elementsOf(attributes!).length + 1)
      t.equal(meter.get(past, undefined), DataAccessResult.READ_WRITE_DENIED, `${name} ends there`)
      t.equal(
        meter.get(descriptor(99, name, 1), undefined),
        DataAccessResult.OBJECT_CLASS_INCONSISTENT,
      )
      t.same(meter.invoke(descriptor(99, name, 1), undefined), {
        result: DataAccessResult.OBJECT_CLASS_INCONSISTENT,
      })
      t.equal(
        meter.set(descriptor(99, name, 1), undefined, Buffer.from([0])),
        DataAccessResult.OBJECT_CLASS_INCONSISTENT,
      )
      for (const method of elementsOf(methods!)) {
        const [id, mode] = elementsOf(method).map(simpleOf)
        if (mode === 0)
          t.same(
            meter.invoke(
              descriptor(Number(simpleOf(classId!)), name, Number(id)),
              Buffer.from([15, 0]),
            ),
            { result: 3 },
          )
      }
    }
    t.equal(names.size, list.length, 'each once')
  }
  const { meter } = meterAt()
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 9, maxLength: 9 }),
      fc.uint8Array({ maxLength: 40 }),
      (octets, parameter) => {
        const any = Buffer.from(octets)
        const got = meter.get(any, undefined)
        const set = meter.set(any, undefined, Buffer.from(parameter))
        const { result } = meter.invoke(any, Buffer.from(parameter))
        return (
          (typeof got === 'number' || got.length > 0) &&
          Number.isInteger(set) &&
          Number.isInteger(result)
        )
      },
    ),
  )
  t.equal(
    meter.get(Buffer.from([0, 3, 17, 0, 1, 8, 0, 255, 2]), undefined),
    DataAccessResult.OBJECT_UNDEFINED,
    'medium 17 is not medium 1',
  )
  t.equal(
    meter.get(descriptor(3, '1-0:1.8.0.1', 2), undefined),
    DataAccessResult.OBJECT_UNDEFINED,
    'no billing periods',
  )
})

t.test('identity, message, public client', async (t) => {
  const { meter } = meterAt()
  const textOf = (obis: string): string =>
    (simpleOf(decodeValue(read(meter, 1, obis, 2), 0)) as Buffer).toString('latin1')
  t.equal(textOf('0-0:42.0.0.255'), 'BSBE000000000001')
  t.equal(textOf('0-0:96.1.0.255'), 'E21B000000001')
  t.equal(textOf('0-0:96.1.1.255'), '00-DB-10-00-00-00-00-01')
  t.match(textOf('1-0:0.2.0.255'), /^BSB-E-4\.\d\.\d$/)

  const message = descriptor(1, '0-0:96.13.0.255', 2)
  t.equal(textOf('0-0:96.13.0.255'), '')
  const octets = new AxdrWriter().octetString(Buffer.from('Kauft Öl')).take()
  t.equal(meter.set(message, undefined, octets), DataAccessResult.SUCCESS)
  octets.fill(0)
  t.equal(
    Buffer.from(textOf('0-0:96.13.0.255'), 'latin1').toString(),
    'Kauft Öl',
    'kept in memory of its own',
  )
  t.equal(
    meter.set(message, undefined, new AxdrWriter().octetString(Buffer.alloc(465)).take()),
    DataAccessResult.TYPE_UNMATCHED,
  )
  t.equal(
    meter.set(message, undefined, new AxdrWriter().uint32(1).take()),
    DataAccessResult.TYPE_UNMATCHED,
  )
  t.equal(
    meter.set(descriptor(3, '1-0:1.8.0.255', 2), undefined, new AxdrWriter().uint32(1).take()),
    DataAccessResult.READ_WRITE_DENIED,
  )
  t.equal(
    meter.set(descriptor(3, '1-0:9.9.9.255', 2), undefined, Buffer.from([0])),
    DataAccessResult.OBJECT_UNDEFINED,
  )

  const asPublic = { ...noLink, client: 16, role: 'public' } as const
  t.type(meter.get(descriptor(8, '0-0:1.0.0.255', 2), undefined, asPublic), Buffer)
  t.type(meter.get(descriptor(1, '0-0:42.0.0.255', 2), undefined, asPublic), Buffer)
  const { READ_WRITE_DENIED } = DataAccessResult
  t.equal(meter.get(descriptor(3, '1-0:1.8.0.255', 2), undefined, asPublic), READ_WRITE_DENIED)
  const time = Buffer.concat([Buffer.from([9, 12]), dateTimeBytes(nowMs)])
  t.equal(
    meter.set(descriptor(8, '0-0:1.0.0.255', 2), undefined, time, asPublic),
    READ_WRITE_DENIED,
  )
  t.same(meter.invoke(descriptor(8, '0-0:1.0.0.255', 1), Buffer.from([15, 0]), asPublic), {
    result: READ_WRITE_DENIED,
  })
})

t.test('the clock', async (t) => {
  const { meter, clock } = meterAt()
  const timeOf = (): number => readCosemDateTime(read(meter, 8, '0-0:1.0.0.255', 2), 2)!
  const method = (id: number): Buffer => descriptor(8, '0-0:1.0.0.255', id)
  const zero = new AxdrWriter().int8(0).take()
  const preset = (timeMs: number, fromMs: number, toMs: number): Buffer =>
    new AxdrWriter()
      .structure(3)
      .dateTime(dateTimeBytes(timeMs))
      .dateTime(dateTimeBytes(fromMs))
      .dateTime(dateTimeBytes(toMs))
      .take()
  t.ok(Math.abs(timeOf() - nowMs) <= 8_000, 'off by a few seconds at first')

  t.same(
    meter.invoke(method(4), zero),
    { result: DataAccessResult.OTHER_REASON },
    'nothing is preset',
  )
  const wrongMs = nowMs + 5 * dayMs
  t.same(meter.invoke(method(5), preset(wrongMs, nowMs - 60_000, nowMs + 60_000)), { result: 0 })
  t.same(meter.invoke(method(4), zero), { result: 0 })
  t.equal(timeOf(), wrongMs, 'it shows what was preset')
  clock.advanceBy(3_600_000)
  t.ok(
    Math.abs(timeOf() - wrongMs - 3_600_000) <= 40,
    'and goes on from there, with a little drift',
  )
  const rightMs = clock.now()
  t.same(meter.invoke(method(5), preset(rightMs, rightMs - 60_000, rightMs + 60_000)), {
    result: 0,
  })
  t.same(
    meter.invoke(method(4), zero),
    { result: DataAccessResult.OTHER_REASON },
    'its own time lies outside the interval',
  )
  t.same(meter.invoke(method(6), new AxdrWriter().int16(900).take()), { result: 0 })
  t.same(meter.invoke(method(6), new AxdrWriter().int16(901).take()), {
    result: DataAccessResult.OTHER_REASON,
  })
  t.ok(Math.abs(timeOf() - wrongMs - 4_500_000) <= 40)
  t.equal(
    meter.set(method(2), undefined, new AxdrWriter().dateTime(dateTimeBytes(rightMs)).take()),
    0,
  )
  t.equal(timeOf(), rightMs)
  const quarters = [
    [1, 900_000],
    [2, 1_800_000],
    [3, 60_000],
  ] as const
  for (const [id, stepMs] of quarters) {
    t.same(meter.invoke(method(id), zero), { result: 0 })
    t.equal(timeOf() % stepMs, 0)
  }
  t.equal(meter.set(method(9), undefined, new AxdrWriter().enumeration(4).take()), 0)
  t.equal(numberOf(read(meter, 8, '0-0:1.0.0.255', 9)), 4)
  t.equal(
    meter.set(method(9), undefined, new AxdrWriter().enumeration(6).take()),
    DataAccessResult.OTHER_REASON,
  )
  t.equal(
    meter.set(method(3), undefined, new AxdrWriter().int16(0).take()),
    DataAccessResult.READ_WRITE_DENIED,
  )
  t.equal(meter.set(method(2), undefined, Buffer.from([9, 12, 0])), DataAccessResult.TYPE_UNMATCHED)
  t.equal(
    meter.set(method(2), undefined, Buffer.concat([Buffer.from([9, 12]), Buffer.alloc(12, 0xff)])),
    DataAccessResult.OTHER_REASON,
  )
  t.same(meter.invoke(method(5), zero), { result: DataAccessResult.TYPE_UNMATCHED })
  t.same(meter.invoke(method(5), undefined), { result: DataAccessResult.TYPE_UNMATCHED })
  t.same(meter.invoke(method(7), zero), { result: DataAccessResult.READ_WRITE_DENIED })
  const codes = rowsOf(read(meter, 7, '0-0:99.98.0.255', 2, byRange(nowMs, nowMs + dayMs)), 2).map(
    ({ value }) => value,
  )
  t.ok(
    codes.includes(EventCode.CLOCK_BEFORE) && codes.includes(EventCode.CLOCK_AFTER),
    'and says so in its log',
  )
  t.same(
    meterAt().meter.timeAt(nowMs),
    new Meter(meter.model, 0).timeAt(nowMs),
    'another meter of the same number starts alike',
  )
})

t.test('the supply', async (t) => {
  const { meter, clock } = meterAt(nowMs - 8 * dayMs)
  const zero = new AxdrWriter().int8(0).take()
  const state = (attribute: number): number =>
    numberOf(read(meter, 70, '0-0:96.3.10.255', attribute))
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
  t.ok(
    rows.every(({ value }, i) => i === 0 || value >= rows[i - 1]!.value),
    'the profile never falls',
  )
  const flat = rows.filter(({ value }, i) => i > 0 && value === rows[i - 1]!.value).length
  t.ok(flat > 100, 'and is flat where the supply was off')
  t.ok(
    register() - rows.at(-1)!.value < 5_000 && register() >= rows.at(-1)!.value,
    'and ends at the register',
  )
  t.equal(numberOf(read(meter, 3, '1-0:2.8.0.255', 2)), meter.feedAt(clock.now()))
  const { events } = meter.changes!
  t.equal(events.length, 24)
  for (let i = 0; i < 20; i++) invoke(1 + (i % 2))
  t.equal(events.length, eventsMax, 'the log is bounded')
  t.same(meter.invoke(descriptor(70, '0-0:96.3.10.255', 1), new AxdrWriter().int8(1).take()), {
    result: DataAccessResult.TYPE_UNMATCHED,
  })
  t.same(meter.invoke(descriptor(70, '0-0:96.3.10.255', 3), zero), {
    result: DataAccessResult.READ_WRITE_DENIED,
  })
  t.same(meter.invoke(descriptor(70, '0-0:96.3.11.255', 1), zero), {
    result: DataAccessResult.OBJECT_UNDEFINED,
  })
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
        const fault = makeFault(kind, {
          requestShare: requests / 100,
          meterShare: meters / 100,
          ...(kind === 'slow' && { delayMs }),
        })
        const [again] = parseFaults(formatFault(fault))
        return (
          again?.kind === kind &&
          again.delayMs === fault.delayMs &&
          Math.abs(again.requestShare - fault.requestShare) < 1e-9
        )
      },
    ),
  )
  for (const wrong of [
    'sloow',
    'slow=5h',
    'silent=3ms',
    'drop:0%',
    'drop:101%',
    'slow=9999s',
    'constructor',
  ]) {
    t.throws(() => parseFaults(wrong), { code: 'CONFIG_INVALID' }, wrong)
  }
})

t.test('whom faults hit', async (t) => {
  const hits = (board: FaultBoard): string => {
    let text = ''
    for (let meter = 0; meter < 40; meter++)
      for (let i = 0; i < 25; i++) text += board.choose(meter, meter * 77, i)?.kind[0] ?? '.'
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
  t.ok(
    rows.every((row) => new Set(row).size === 1),
    'a share of meters is all or nothing for each',
  )
  t.ok(rows.filter((row) => row[0] === 's').length > 10)
  board.set(3, parseFaults('drop'))
  t.equal(board.choose(3, 231, 0)?.kind, 'drop', "a meter's own faults stand instead")
  board.set(3, [])
  board.set('all', [])
  t.notOk(board.isOn)
})
