/** Schedules of one device: the device, the actor of its schedules, and letters between them. */
import fc from 'fast-check'
import t from 'tap'
import { deviceKind } from '../../actors/device/device-kind.ts'
import { scheduleKind } from '../../actors/schedule/schedule-kind.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { parseSrv } from '../../core/base/srv.ts'
import { DeviceStatus } from '../../core/inventory/device-status.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { checkCreateSchedule } from '../../core/translate/schedule-body.ts'
import { BodyType } from '../../core/translate/body-types.ts'
import { DccAlert } from '../../proto/gen/busbar/v1/dcc_alert.ts'
import {
  CreateSchedule,
  DeleteSchedules,
  type Schedule,
} from '../../proto/gen/busbar/v1/schedule.ts'
import { ReadPeriod } from '../../proto/gen/busbar/v1/service_request.ts'
import { ResponseBody } from '../../proto/gen/busbar/v1/service_response.ts'
import { replay, throughStore, tryLife } from '../support/actor-trial.ts'
import { deviceKey, envelopeOf, supplier } from '../support/envelopes.ts'
import { gaining, now as startMs, points, Town } from '../support/town.ts'

const device = deviceKey(1)
const dayMs = 86_400_000
const daily: Partial<CreateSchedule> = {
  frequency: 1,
  startDate: '2026-12-01',
  startTime: '02:00',
  serviceReferenceVariant: '4.8.1',
  logWindow: { startDaysBefore: 1, startTime: '00:00', endDaysBefore: 1, endTime: '24:00' },
}
const firstDueMs = Date.UTC(2026, 11, 1, 2)

class ScheduleTown extends Town {
  private counter = 0

  constructor(meterPoints = points.slice(0, 1)) {
    super()
    this.install(device, meterPoints)
    for (const point of meterPoints) this.register(point)
    this.deliverAll()
  }

  ask(
    srv: '5.1' | '5.2' | '5.3',
    body: Buffer,
    originator: Eui64 = supplier,
  ): { code: string | undefined; outcome: ErrorCode | undefined; schedules: Schedule[] } {
    const bodyType = BodyType.CREATE_SCHEDULE + Number(srv.at(-1)) - 1
    const counter = ++this.counter
    const code = this.submit(device, counter, originator, { srv, bodyType, body })
    this.deliverAll()
    const response = this.responses.findLast(([, one]) => one.request.srv === parseSrv(srv))
    const outcome = response && errorCodeOf(response[1].outcome)
    const schedules =
      response && outcome === 'OK' ? ResponseBody.decode(response[1].bodyBytes).schedules : []
    return { code, outcome, schedules }
  }

  create(change: Partial<CreateSchedule> = {}, originator: Eui64 = supplier) {
    const wire = CreateSchedule.fromPartial({ ...daily, ...change })
    return this.ask('5.1', Buffer.from(CreateSchedule.encode(wire).finish()), originator)
  }

  read(id = 0n, originator: Eui64 = supplier) {
    const wire = DeleteSchedules.fromPartial({ scheduleId: id })
    return this.ask('5.2', Buffer.from(DeleteSchedules.encode(wire).finish()), originator)
  }

  remove(id = 0n, originator: Eui64 = supplier) {
    const wire = DeleteSchedules.fromPartial({ scheduleId: id })
    return this.ask('5.3', Buffer.from(DeleteSchedules.encode(wire).finish()), originator)
  }

  /** Wakes whoever is due at `atMs`, in turns, until nobody is. */
  until(atMs: number): void {
    this.now = atMs
    for (let turn = 0; turn < 200; turn++) {
      const dueMs = scheduleKind.nextWakeMs(this.schedules(device).state, this.now)
      const isDue = dueMs > 0 && dueMs <= this.now
      if (isDue) this.feed('schedules', device, { type: 'WAKE' })
      this.feed('device', device, { type: 'WAKE' })
      if (!isDue && this.letters.length === 0) return
      this.deliverAll()
    }
    throw new Error('it never comes to rest')
  }

  get sent() {
    return this.device(device).state.sent
  }

  answer(code: ErrorCode = 'OK'): void {
    const { originator, counter } = this.sent!
    const outcome = errorId(code)
    this.feed('device', device, {
      type: 'ANSWERED',
      originator,
      counter,
      outcome,
      bodyBytes: Buffer.alloc(0),
    })
    this.deliverAll()
  }

  get responses(): [
    number,
    { request: { srv: number; counter: string }; outcome: number; bodyBytes: Buffer },
  ][] {
    const all: unknown[] = this.device(device).deliveries
    return all.flatMap((one, index) =>
      'request' in (one as object) ? [[index, one as never] as [number, never]] : [],
    )
  }

  /** Outcomes of runs. */
  get runs(): (ErrorCode | undefined)[] {
    return this.responses
      .filter(([, { request }]) => request.counter.charCodeAt(0) >= 0x80)
      .map(([, { outcome }]) => errorCodeOf(outcome))
  }

  get alerts(): DccAlert[] {
    return [this.device(device), this.schedules(device)].flatMap(({ deliveries }) =>
      (deliveries as { isOfDcc?: true; bodyBytes: Buffer }[]).flatMap((one) =>
        one.isOfDcc ? [DccAlert.decode(one.bodyBytes)] : [],
      ),
    )
  }

  status(status: DeviceStatus): void {
    const body = Buffer.concat([Buffer.of(DeviceStatus.indexOf(status)), Buffer.from('ann')])
    this.arrive('device', device, envelopeOf({ kind: Kind.DEVICE_STATUS, device, body }))
    this.until(this.now + 1)
  }

  /** Both actors, from the store or from the ledger. */
  restart(from: 'store' | 'ledger'): void {
    const [one, other] = [this.device(device), this.schedules(device)]
    one.state =
      from === 'store' ? throughStore(deviceKind, one.state) : replay(deviceKind, device, one.facts)
    other.state =
      from === 'store'
        ? throughStore(scheduleKind, other.state)
        : replay(scheduleKind, device, other.facts)
    this.feed('device', device, { type: 'RESUME' })
  }

  tryAll(): void {
    tryLife(deviceKind, device, this.device(device))
    tryLife(scheduleKind, device, this.schedules(device))
  }
}

t.test('created, listed, run every day, deleted', async (t) => {
  const town = new ScheduleTown()
  const created = town.create()
  t.match(created, { code: 'REQUEST_ACCEPTED', outcome: 'OK' })
  t.match(created.schedules, [
    { scheduleId: 1n, definition: { startDate: '2026-12-01' }, nextRunAt: new Date(firstDueMs) },
  ])
  t.equal(town.read().schedules.length, 1)
  t.equal(town.read(0n, gaining).code, 'PARTY_NOT_REGISTERED')
  town.until(firstDueMs - 1)
  t.equal(town.sent, undefined)
  for (let day = 0; day < 3; day++) {
    town.until(firstDueMs + day * dayMs)
    t.match(town.sent, { srv: parseSrv('4.8.1'), lane: 2, run: { device } })
    town.answer()
  }
  t.strictSame(town.runs, ['OK', 'OK', 'OK'])
  t.match(town.remove(1n), { outcome: 'OK', schedules: [{ scheduleId: 1n }] })
  town.until(firstDueMs + 10 * dayMs)
  t.equal(town.sent, undefined)
  t.match(town.remove(1n), { outcome: 'SCHEDULE_UNKNOWN' })
  t.strictSame(town.alerts, [])
  town.tryAll()
})

t.test('a window of a log is counted from the day of the run', async (t) => {
  const town = new ScheduleTown()
  town.create()
  town.until(firstDueMs + 5 * dayMs)
  const { bodyBytes } = town.sent!
  t.match(ReadPeriod.decode(bodyBytes), {
    startTime: new Date(Date.UTC(2026, 11, 5)),
    endTime: new Date(Date.UTC(2026, 11, 6)),
  })
})

t.test('a run that fails: its response, a CommandFailure, and the schedule goes on', async (t) => {
  const town = new ScheduleTown()
  town.create()
  town.until(firstDueMs)
  for (let turn = 0; town.runs.length === 0 && turn < 5_000; turn++) {
    if (town.sent === undefined) town.until(town.now + 60_000)
    else town.answer('DEVICE_UNREACHABLE')
  }
  t.strictSame(town.runs, ['DEVICE_UNREACHABLE'])
  t.match(town.alerts, [
    {
      content: { $case: 'commandFailure', value: { scheduleId: 1n, reason: 'DEVICE_UNREACHABLE' } },
    },
  ])
  town.until(firstDueMs + dayMs)
  town.answer()
  t.strictSame(town.runs, ['DEVICE_UNREACHABLE', 'OK'])
})

t.test('Busbar is stopped: the last run is caught up, those before are reported', async (t) => {
  for (const from of ['store', 'ledger'] as const) {
    const town = new ScheduleTown()
    town.create()
    town.restart(from)
    town.until(firstDueMs + 3.5 * dayMs)
    town.answer()
    t.strictSame(town.runs, ['OK'])
    t.match(town.alerts, [
      {
        content: {
          $case: 'scheduleMisses',
          value: {
            count: 3,
            firstDueAt: new Date(firstDueMs),
            lastDueAt: new Date(firstDueMs + 2 * dayMs),
          },
        },
      },
    ])
    town.tryAll()
  }
})

t.test('clocks are set back and forward: no run is made twice', async (t) => {
  const town = new ScheduleTown()
  town.create()
  town.until(firstDueMs)
  town.answer()
  town.until(firstDueMs - dayMs)
  t.equal(town.sent, undefined)
  town.until(firstDueMs + 1)
  t.equal(town.sent, undefined)
  town.until(firstDueMs + dayMs)
  town.answer()
  t.strictSame(town.runs, ['OK', 'OK'])
})

t.test('a crash between the run and its end: it is sent again, once', async (t) => {
  for (const from of ['store', 'ledger'] as const) {
    const town = new ScheduleTown()
    town.create()
    town.until(firstDueMs)
    town.restart(from)
    town.until(firstDueMs + 1_000)
    town.answer()
    t.strictSame(town.runs, ['OK'])
    t.equal(town.sent, undefined)
  }
})

const reasonOf = (town: ScheduleTown) =>
  town.alerts.flatMap(({ content }) =>
    content?.$case === 'scheduleRemoval' ? [content.value.reason] : [],
  )

t.test('it ends by itself', async (t) => {
  const supplierChanges = new ScheduleTown()
  supplierChanges.create()
  const item = { item: 'supplier', value: 'BBBB', from: 20261205 } as const
  supplierChanges.register(points[0]!, { items: [item] })
  supplierChanges.deliverAll()
  supplierChanges.until(Date.UTC(2026, 11, 4, 12))
  t.strictSame(reasonOf(supplierChanges), [], 'not before its time')
  supplierChanges.until(Date.UTC(2026, 11, 5, 1))
  t.strictSame(reasonOf(supplierChanges), [5], 'at the change, without a run')

  for (const [status, reason] of [
    ['Suspended', 4],
    ['Decommissioned', 2],
    ['Withdrawn', 3],
  ] as const) {
    const town = new ScheduleTown()
    town.create()
    town.status(status)
    t.strictSame(reasonOf(town), [reason], status)
    t.equal(town.schedules(device).state.schedules.length, 0)
  }

  const removed = new ScheduleTown()
  removed.create()
  const body = Buffer.from('ann')
  removed.arrive('device', device, envelopeOf({ kind: Kind.DEVICE_REMOVAL, device, body }))
  removed.until(removed.now + 1)
  t.strictSame(reasonOf(removed), [2], 'removed from the inventory')

  const over = new ScheduleTown()
  over.create({ endDate: '2026-12-02' })
  over.until(firstDueMs)
  over.answer()
  t.strictSame(reasonOf(over), [])
  over.until(firstDueMs + dayMs)
  over.answer()
  t.strictSame(over.runs, ['OK', 'OK'])
  t.strictSame(reasonOf(over), [1])
})

t.test('a run without a right is refused, and told', async (t) => {
  const town = new ScheduleTown()
  town.create()
  // The run is on its way as a letter while the status changes.
  town.now = firstDueMs
  town.feed('schedules', device, { type: 'WAKE' })
  const body = Buffer.concat([Buffer.of(DeviceStatus.indexOf('Suspended')), Buffer.from('ann')])
  town.arrive('device', device, envelopeOf({ kind: Kind.DEVICE_STATUS, device, body }))
  town.deliverAll()
  t.equal(town.sent, undefined)
  const failures = town.alerts.filter(({ content }) => content?.$case === 'commandFailure')
  t.match(failures, [{ content: { value: { scheduleId: 1n, reason: 'DEVICE_STATUS_UNFIT' } } }])
  town.tryAll()
})

t.test('a first day that is past, or far ahead, is refused at the door', async (t) => {
  for (const [startDate, code] of [
    ['2026-11-29', 'SCHEDULE_START_UNFIT'],
    ['2026-11-30', undefined],
    ['2036-12-02', 'SCHEDULE_START_UNFIT'],
  ] as const) {
    const body = CreateSchedule.encode(CreateSchedule.fromPartial({ ...daily, startDate })).finish()
    const view = Buffer.from(body)
    t.equal(checkCreateSchedule(view, 0, view.length, startMs), code, startDate)
  }
})

t.test('what is refused', async (t) => {
  const town = new ScheduleTown()
  const window = daily.logWindow!
  const refused: [Partial<CreateSchedule>, string][] = [
    [{ serviceReferenceVariant: '4.6.2' }, 'REQUEST_SRV_UNSUPPORTED'],
    [{ serviceReferenceVariant: '4.1.1' }, 'SCHEDULE_VARIANT_UNFIT'],
    [
      {
        logWindow: { startDaysBefore: 401, startTime: '00:00', endDaysBefore: 0, endTime: '01:00' },
      },
      'SCHEDULE_BODY_UNFIT',
    ],
    [{ frequency: 0 }, 'SCHEDULE_MALFORMED'],
    [{ startDate: '2026-02-30' }, 'SCHEDULE_MALFORMED'],
    [{ endDate: '2026-11-30' }, 'SCHEDULE_END_UNFIT'],
    [{ logWindow: { ...window, startDaysBefore: 0 } }, 'SCHEDULE_WINDOW_BACKWARDS'],
    [{ timeZone: 'Europe/Nowhere' }, 'SCHEDULE_MALFORMED'],
  ]
  for (const [change, code] of refused) t.equal(town.create(change).code, code)
  for (let count = 0; count < limits.schedulesPerPartyMax; count++)
    t.equal(town.create().outcome, 'OK')
  t.equal(town.create().outcome, 'SCHEDULES_FULL')
  t.equal(town.read().schedules.length, limits.schedulesPerPartyMax)
  town.tryAll()
})

t.test(
  'without a start time runs are spread over the day, at one place for each device',
  async (t) => {
    const town = new ScheduleTown()
    const { schedules } = town.create({ startTime: '' })
    const at = schedules[0]!.nextRunAt!.getTime()
    t.ok(at >= Date.UTC(2026, 11, 1) && at < Date.UTC(2026, 11, 2))
    town.until(at)
    town.answer()
    town.until(at + dayMs - 1)
    t.equal(town.sent, undefined)
    town.until(at + dayMs)
    t.not(town.sent, undefined)
  },
)

t.test('property: whatever comes in between, each due run has one outcome or one miss', (t) => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 3 * dayMs }) }),
    fc.record({ do: fc.constant('back' as const), ms: fc.integer({ min: 1, max: dayMs }) }),
    fc.record({ do: fc.constantFrom('store' as const, 'ledger' as const) }),
    fc.record({ do: fc.constant('fail' as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const town = new ScheduleTown()
      town.create()
      let latestMs = startMs
      const settle = () => {
        for (let turn = 0; town.sent !== undefined && turn < 100; turn++) town.answer()
      }
      for (const one of steps) {
        if (one.do === 'pass') town.until(town.now + one.ms)
        else if (one.do === 'back') town.until(town.now - one.ms)
        else if (one.do !== 'fail') {
          town.restart(one.do)
          town.until(town.now)
        }
        latestMs = Math.max(latestMs, town.now)
        if (one.do !== 'fail') settle()
        else if (town.sent !== undefined) town.answer('DEVICE_REFUSED')
      }
      town.until(Math.max(latestMs, town.now) + 2 * dayMs)
      settle()
      const due = Math.floor((town.now - firstDueMs) / dayMs) + 1
      const missed = town.alerts.reduce(
        (sum, { content }) => sum + (content?.$case === 'scheduleMisses' ? content.value.count : 0),
        0,
      )
      if (town.runs.length + missed !== Math.max(0, due))
        throw new Error(`${due} due, ${town.runs.length} made, ${missed} missed`)
      town.tryAll()
    }),
    { numRuns: 60 },
  )
  t.end()
})
