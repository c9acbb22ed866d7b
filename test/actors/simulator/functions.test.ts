/**
 * What meters do, beyond measuring: scripts and schedules, limits, demand, calendars and rates,
 * payment, M-Bus, pushes, and billing values that a client sets up.
 */
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { startFleet } from '../../../actors/simulator/network/fleet.ts'
import { bufferForm } from '../../../actors/simulator/objects/captured-profile.ts'
import { EventCode } from '../../../actors/simulator/model/event-log.ts'
import { dayMs, halfHourMs } from '../../../actors/simulator/model/load-curve.ts'
import { Meter } from '../../../actors/simulator/meter.ts'
import { tokenFor } from '../../../actors/simulator/objects/payment-objects.ts'
import { isPrepaid } from '../../../actors/simulator/model/population.ts'
import { ActionResult, DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeApdu } from '../../../core/dlms/apdu/codec.ts'
import { decodeValue, Tag } from '../../../core/dlms/axdr/axdr.ts'
import {
  decodeColumns,
  invokeOperation,
  readAttribute,
  readOperation,
  readProfile,
  writeOperation,
  type Json,
} from '../../../core/dlms/cosem/index.ts'
import type { Selection } from '../../../core/dlms/apdu/descriptor.ts'
import { asBuffer } from '../../../core/base/bytes.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { electricity, meterAt, nowMs, numberOf, read } from '../../support/meters.ts'

type Member = [classId: number, instanceId: string, name: string]

const show = (meter: Meter, [classId, instanceId, name]: Member): Json => {
  const { descriptor } = readOperation({ classId, instanceId }, name)
  const value = meter.get(asBuffer(descriptor), undefined)
  if (typeof value === 'number') throw new Error(`${instanceId} ${name}: ${value}`)
  const { json } = readAttribute({ classId }, descriptor[8]!, value)
  // What the class leaves open says its type, too.
  return json !== null && typeof json === 'object' && 'axdr' in json ? json.value! : json
}
const write = (meter: Meter, [classId, instanceId, name]: Member, json: Json): number => {
  const { descriptor, value } = writeOperation({ classId, instanceId }, name, json)
  return meter.set(asBuffer(descriptor), undefined, asBuffer(value!))
}
const invoke = (meter: Meter, [classId, instanceId, name]: Member, json: Json = 0): number => {
  const { descriptor, value } = invokeOperation({ classId, instanceId }, name, json)
  return meter.invoke(asBuffer(descriptor), asBuffer(value!)).result
}
const codes = (meter: Meter): number[] => (meter.changes?.events ?? []).map(({ code }) => code)

const supply = (name: string): Member => [70, '0-0:96.3.10.255', name]

t.test('the supply switch in its modes, by scripts, by schedules', async (t) => {
  const { meter, clock } = meterAt()
  t.equal(write(meter, supply('control_mode'), 'mode_1'), 0)
  t.equal(invoke(meter, supply('remote_disconnect')), 0)
  t.equal(invoke(meter, supply('remote_reconnect')), 0)
  t.equal(
    show(meter, supply('control_state')),
    'ready_for_reconnection',
    'somebody must press the button',
  )
  t.equal(show(meter, supply('output_state')), false)
  const before = meter.loadAt(clock.now())
  clock.advanceBy(3 * halfHourMs)
  t.equal(meter.loadAt(clock.now()), before, 'nothing flows')
  t.equal(write(meter, supply('control_mode'), 'mode_0'), 0)
  t.equal(
    invoke(meter, supply('remote_disconnect')),
    ActionResult.OTHER_REASON,
    'mode 0 switches nothing',
  )
  t.equal(
    write(meter, supply('control_mode'), { axdr: 'unsigned', value: 2 }),
    DataAccessResult.TYPE_UNMATCHED,
  )
  t.equal(
    write(meter, supply('control_mode'), { axdr: 'enum', value: 9 }),
    DataAccessResult.TYPE_UNMATCHED,
  )

  const other = meterAt().meter
  t.equal(invoke(other, [9, '0-0:10.0.106.255', 'execute'], 1), 0)
  t.notOk(other.isConnected)
  t.equal(invoke(other, [9, '0-0:10.0.106.255', 'execute'], 2), 0)
  t.ok(other.isConnected)
  t.equal(invoke(other, [9, '0-0:10.0.106.255', 'execute'], 3), ActionResult.OTHER_REASON)
  const own = [
    {
      script_identifier: 7,
      actions: [
        {
          service_id: 'execute_method',
          class_id: 9,
          logical_name: '0-0:10.0.106.255',
          index: 1,
          parameter: { axdr: 'long-unsigned', value: 7 },
        },
      ],
    },
  ]
  t.equal(write(other, [9, '0-0:10.0.106.255', 'scripts'], own), 0)
  t.equal(
    invoke(other, [9, '0-0:10.0.106.255', 'execute'], 7),
    ActionResult.SCOPE_OF_ACCESS_VIOLATED,
    'a script that calls itself',
  )

  const { meter: planned, clock: time } = meterAt(Date.UTC(2026, 10, 23, 18))
  const schedule = (name: string): Member => [22, '0-0:15.0.1.255', name]
  t.equal(write(planned, schedule('execution_time'), [{ time: '02:30:00', date: '*-*-last' }]), 0)
  time.advanceTo(Date.UTC(2026, 10, 30, 2, 29))
  t.ok(planned.isConnected)
  time.advanceTo(Date.UTC(2026, 10, 30, 2, 31))
  t.notOk(planned.isConnected, 'on the last day of the month')
  t.equal(invoke(planned, supply('remote_reconnect')), 0)
  time.advanceTo(Date.UTC(2026, 11, 31, 2, 31))
  t.notOk(planned.isConnected, 'and of the next one')
  t.equal(invoke(planned, supply('remote_reconnect')), 0)
  t.equal(write(planned, schedule('execution_time'), []), 0)
  time.advanceTo(Date.UTC(2027, 2, 1))
  t.ok(planned.isConnected, 'never again')
})

t.test('a limit that is exceeded for long enough', async (t) => {
  const { meter, clock } = meterAt()
  const limiter = (name: string): Member => [71, '0-0:17.0.0.255', name]
  t.equal(write(meter, limiter('min_over_threshold_duration'), 600), 0)
  t.ok(Number(show(meter, [3, '1-0:1.7.0.255', 'value'])) > 10)
  t.equal(write(meter, limiter('threshold_normal'), { axdr: 'double-long-unsigned', value: 10 }), 0)
  clock.advanceBy(9 * 60_000)
  t.ok(meter.isConnected)
  clock.advanceBy(2 * 60_000)
  t.notOk(meter.isConnected)
  t.ok(codes(meter).includes(EventCode.LIMITER_EXCEEDED))
  clock.advanceBy(5 * 60_000)
  t.ok(codes(meter).includes(EventCode.LIMITER_PASSED), 'nothing flows any more')
  t.equal(
    write(meter, limiter('threshold_normal'), { axdr: 'long', value: 1 }),
    DataAccessResult.TYPE_UNMATCHED,
  )

  const emergency = {
    emergency_profile_id: 3,
    emergency_activation_time: '2026-11-23 Mon 20:00:00.00 UTC+00:00',
    emergency_duration: 3_600,
  }
  t.equal(write(meter, limiter('emergency_profile'), emergency), 0)
  t.equal(write(meter, limiter('emergency_profile_group_id_list'), [3]), 0)
  t.equal(show(meter, limiter('emergency_profile_active')), false)
  clock.advanceTo(Date.UTC(2026, 10, 23, 20, 30))
  t.equal(show(meter, limiter('emergency_profile_active')), true)
  clock.advanceTo(Date.UTC(2026, 10, 23, 21))
  t.equal(show(meter, limiter('emergency_profile_active')), false)
  meter.callOffPlans()
})

t.test('a register monitor runs scripts when a threshold is passed', async (t) => {
  const { meter, clock } = meterAt()
  const monitor = (name: string): Member => [21, '0-0:16.0.0.255', name]
  const script = (script_selector: number): Json => ({
    script_logical_name: '0-0:10.0.106.255',
    script_selector,
  })
  t.equal(
    write(meter, monitor('monitored_value'), {
      class_id: 3,
      logical_name: '1-0:1.8.0.255',
      attribute_index: 2,
    }),
    0,
  )
  t.equal(write(meter, monitor('actions'), [{ action_up: script(1), action_down: script(0) }]), 0)
  const threshold = meter.loadAt(clock.now()) + 200
  t.equal(
    write(meter, monitor('thresholds'), [{ axdr: 'double-long-unsigned', value: threshold }]),
    0,
  )
  t.equal(
    write(meter, monitor('thresholds'), [{ axdr: 'octet-string', value: '00' }]),
    DataAccessResult.TYPE_UNMATCHED,
  )
  for (let i = 0; i < 24 * 60 && meter.isConnected; i++) clock.advanceBy(60_000)
  t.notOk(meter.isConnected)
  t.ok(Math.abs(meter.loadAt(clock.now()) - threshold) < 200)
  meter.callOffPlans()
})

t.test('demand: the present period, the last one, the highest', async (t) => {
  const { meter, clock } = meterAt()
  const demand = (name: string): Member => [5, '1-0:1.4.0.255', name]
  const fromMs = Math.floor(nowMs / halfHourMs) * halfHourMs
  t.equal(
    show(meter, demand('last_average_value')),
    (meter.loadAt(fromMs) - meter.loadAt(fromMs - halfHourMs)) * 2,
  )
  t.match(show(meter, demand('start_time_current')), /18:00:00/)
  t.equal(invoke(meter, demand('next_period')), 0)
  t.match(show(meter, demand('start_time_current')), /18:07:42/)
  clock.advanceBy(halfHourMs)
  t.match(show(meter, demand('start_time_current')), /18:30:00/, 'then whole half hours again')
  t.equal(invoke(meter, demand('reset')), 0)
  t.equal(show(meter, demand('current_average_value')), 0)
  t.equal(show(meter, demand('last_average_value')), 0)

  const highest = Number(show(meter, [4, '1-0:1.6.0.255', 'value']))
  let expected = 0
  const monthMs = Date.UTC(2026, 10, 1)
  for (let ms = monthMs + halfHourMs; ms <= clock.now(); ms += halfHourMs)
    expected = Math.max(expected, (meter.loadAt(ms) - meter.loadAt(ms - halfHourMs)) * 2)
  t.equal(highest, expected)
  t.equal(invoke(meter, [4, '1-0:1.6.0.255', 'reset']), 0)
  t.equal(show(meter, [4, '1-0:1.6.0.255', 'value']), 0)
})

t.test('rates by calendar, a new calendar, a special day', async (t) => {
  const { meter, clock } = meterAt(Date.UTC(2026, 10, 24, 5, 30))
  const register = (rate: number): number =>
    Number(show(meter, [3, `1-0:1.8.${rate}.255`, 'value']))
  const active = (): Json => show(meter, [6, '0-0:14.0.0.255', 'active_mask'])
  t.equal(register(1) + register(2), register(0))
  t.ok(register(1) > register(2) && register(2) > 0)
  t.equal(active(), 'RATE2')
  const before = [register(1), register(2)]
  clock.advanceTo(Date.UTC(2026, 10, 24, 7))
  t.equal(register(1), before[0], 'the night is not over')
  t.ok(register(2) > before[1]!)
  t.equal(active(), 'RATE1')
  clock.advanceTo(Date.UTC(2026, 10, 24, 12))
  t.ok(register(1) > before[0]!)

  const calendar = (name: string): Member => [20, '0-0:13.0.0.255', name]
  const all = [register(1), register(2)]
  const day = (rate: number): Json => [
    { start_time: '00:00:00', script_logical_name: '0-0:10.0.100.255', script_selector: rate },
  ]
  const weekdays = {
    monday: 1,
    tuesday: 1,
    wednesday: 1,
    thursday: 1,
    friday: 1,
    saturday: 1,
    sunday: 1,
  }
  t.equal(write(meter, calendar('calendar_name_active'), 'NEW'), DataAccessResult.READ_WRITE_DENIED)
  t.equal(write(meter, calendar('calendar_name_passive'), 'NEW'), 0)
  t.equal(
    write(meter, calendar('season_profile_passive'), [
      { season_profile_name: 'S', season_start: '*-01-01 00:00:00', week_name: 'W' },
    ]),
    0,
  )
  t.equal(
    write(meter, calendar('week_profile_table_passive'), [{ week_profile_name: 'W', ...weekdays }]),
    0,
  )
  t.equal(
    write(meter, calendar('day_profile_table_passive'), [
      { day_id: 1, day_schedule: day(2) },
      { day_id: 9, day_schedule: day(1) },
    ]),
    0,
  )
  t.equal(
    write(
      meter,
      calendar('activate_passive_calendar_time'),
      '2026-11-24 Tue 18:00:00.00 UTC+00:00',
    ),
    0,
  )
  t.equal(show(meter, calendar('calendar_name_active')), 'TWO-RATE')
  clock.advanceTo(Date.UTC(2026, 10, 24, 18))
  t.equal(show(meter, calendar('calendar_name_active')), 'NEW')
  t.ok(codes(meter).includes(EventCode.CALENDAR_ACTIVATED))
  const then = [register(1), register(2)]
  t.ok(then[0]! > all[0]! && then[1] === all[1])
  clock.advanceBy(dayMs)
  t.equal(register(1), then[0], 'everything at rate 2 now')
  t.ok(register(2) > then[1]!)
  t.equal(register(1) + register(2), register(0))

  const special = (name: string): Member => [11, '0-0:11.0.0.255', name]
  t.equal(invoke(meter, special('insert'), { index: 1, specialday_date: '*-11-26', day_id: 9 }), 0)
  clock.advanceTo(Date.UTC(2026, 10, 26, 12))
  t.equal(active(), 'RATE1')
  t.equal(invoke(meter, special('delete'), 1), 0)
  t.equal(invoke(meter, special('delete'), 1), ActionResult.OTHER_REASON)
  t.equal(active(), 'RATE2')
})

const prepaid = (): { meter: Meter; clock: SimClock } => {
  const clock = new SimClock(nowMs)
  for (let number = 0; ; number++) {
    const meter = new Meter({ population: electricity, clock }, number)
    if (isPrepaid(meter.type, meter.seed)) return { meter, clock }
  }
}

t.test('paid in advance: credit, tokens, price', async (t) => {
  const { meter, clock } = prepaid()
  const credit = (): number => Number(show(meter, [111, '0-0:19.0.0.255', 'available_credit']))
  const gateway = (name: string): Member => [115, '0-0:19.40.0.255', name]
  const first = credit()
  t.ok(first > 0 && first <= 2_000)
  clock.advanceBy(2 * 3_600_000)
  t.ok(credit() < first || credit() > 1_900, 'it is used up, and filled when nothing is left')
  const enter = (text: string): Json => {
    t.equal(invoke(meter, gateway('enter'), Buffer.from(text, 'latin1').toString('hex')), 0)
    return (show(meter, gateway('token_status')) as { status_code: Json }).status_code
  }
  const before = credit()
  const token = tokenFor(meter, 1_500, 1)
  t.equal(enter(token), 'token_execution_result_OK')
  t.equal(credit(), before + 1_500)
  t.equal(enter(token), 'validation_result_failure', 'a token is good once')
  t.equal(enter(`${tokenFor(meter, 1_500, 2).slice(0, 19)}x`), 'format_failure')
  t.equal(enter(tokenFor(meter, 2_000, 3).replace(/^002/, '003')), 'authentication_failure')
  t.equal(credit(), before + 1_500)

  const token1 = (name: string): Member => [112, '0-0:19.10.0.255', name]
  t.equal(write(meter, supply('control_mode'), 'mode_5'), 0)
  t.equal(invoke(meter, token1('set_amount_to_value'), -100), 0)
  t.notOk(meter.isConnected, 'without credit')
  t.same(show(meter, [111, '0-0:19.0.0.255', 'current_credit_status']), ['out_of_credit'])
  t.equal(invoke(meter, [112, '0-0:19.10.1.255', 'invoke_credit']), 0)
  t.ok(meter.isConnected, 'on emergency credit')
  t.equal(show(meter, [111, '0-0:19.0.0.255', 'current_credit_in_use']), 1)
  t.equal(invoke(meter, token1('update_amount'), 600), 0)
  t.equal(credit(), 1_000)

  const charge = (name: string): Member => [113, '0-0:19.20.0.255', name]
  const paid = Number(show(meter, charge('total_amount_paid')))
  const unit = {
    charge_per_unit_scaling: { commodity_scale: 3, price_scale: 0 },
    commodity_reference: { class_id: 3, logical_name: '1-0:1.8.0.255', attribute_index: 2 },
    charge_table: [{ index: '', charge_per_unit: 1_000 }],
  }
  t.equal(
    invoke(meter, charge('activate_passive_unit_charge')),
    ActionResult.OTHER_REASON,
    'there is none',
  )
  t.equal(write(meter, charge('unit_charge_passive'), unit), 0)
  t.equal(invoke(meter, charge('activate_passive_unit_charge')), 0)
  t.same(show(meter, charge('unit_charge_active')), unit)
  t.equal(show(meter, charge('total_amount_paid')), paid, 'what was paid stays')
  const wh = meter.loadAt(clock.now())
  clock.advanceBy(3_600_000)
  t.equal(show(meter, charge('total_amount_paid')), paid + meter.loadAt(clock.now()) - wh)
})

t.test('a gas meter behind an electricity meter is the gas meter itself', async (t) => {
  const population = { ...electricity, gasShare: 0.5, gasProxyShare: 0 }
  const meters: Meter[] = []
  const model = {
    population,
    clock: new SimClock(nowMs),
    meterOf: (number: number): Meter => (meters[number] ??= new Meter(model, number)),
  }
  const meter = model.meterOf(0)
  t.equal(meter.gasMeter, meters[1])
  const gas = meters[1]!
  t.equal(show(meter, [4, '0-1:24.2.1.255', 'value']), show(gas, [4, '0-1:24.2.1.255', 'value']))
  t.equal(invoke(gas, supply('remote_disconnect')), 0)
  model.clock.advanceBy(dayMs)
  t.equal(show(meter, [4, '0-1:24.2.1.255', 'value']), show(gas, [4, '0-1:24.2.1.255', 'value']))
  t.same(read(meter, 7, '0-1:24.3.0.255', 2), read(gas, 7, '0-1:24.3.0.255', 2))
  t.equal(show(meter, [72, '0-1:24.1.0.255', 'identification_number']), '00000002')
  t.equal(show(meter, [72, '0-1:24.1.0.255', 'manufacturer_id']), 'BSB')
})

t.test('pushes go where the meter was told, with what its list says', async (t) => {
  const got: Buffer[] = []
  const server = createServer((socket) => {
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('end', () => {
      got.push(Buffer.concat(chunks))
      server.emit('push')
      socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const { port } = server.address() as AddressInfo
  const fleet = await startFleet({
    meters: 1,
    seed: 3,
    gasShare: 0,
    gasProxyShare: 0,
    secretShare: 0,
  })
  t.teardown(() => fleet.close())
  const meter = fleet.meter(0)
  const setup = (name: string): Member => [40, '0-0:25.9.0.255', name]
  // The newest version of the class has other fields.
  const invokePush = (): number =>
    meter.invoke(Buffer.from([0, 40, 0, 0, 25, 9, 0, 255, 1]), Buffer.from([15, 0])).result
  t.equal(invokePush(), ActionResult.OTHER_REASON, 'nobody said where to')
  const destination = {
    transport_service: 'TCP',
    destination: `127.0.0.1:${port}`,
    message: 'A_XDR_encoded_xDLMS_APDU',
  }
  t.equal(write(meter, setup('send_destination_and_method'), destination), 0)
  const list = [
    { class_id: 1, logical_name: '0-0:42.0.0.255', attribute_index: 2, data_index: 0 },
    { class_id: 3, logical_name: '1-0:1.8.0.255', attribute_index: 3, data_index: 2 },
    { class_id: 3, logical_name: '1-0:9.9.9.255', attribute_index: 2, data_index: 0 },
  ]
  const written = writeOperation({ classId: 40, version: 0, instanceId: '0-0:25.9.0.255' }, 2, list)
  t.equal(meter.set(asBuffer(written.descriptor), undefined, asBuffer(written.value!)), 0)
  const pushed = once(server, 'push')
  t.equal(invoke(meter, [9, '0-0:10.0.108.255', 'execute'], 1), 0)
  await pushed
  const apdu = decodeApdu(got[0]!.subarray(8))
  if (apdu.type !== 'data-notification') throw new Error(apdu.type)
  t.same(decodeValue(apdu.valueView), {
    tag: Tag.STRUCTURE,
    elements: [
      { tag: Tag.OCTET_STRING, value: Buffer.from('BSBE000000000001') },
      { tag: Tag.ENUM, value: 30 },
      { tag: Tag.NULL },
    ],
  })
})

t.test(
  'a push that does not arrive is tried again, and none leaves outside its window',
  async (t) => {
    const clock = new SimClock(Date.UTC(2026, 10, 23, 18))
    const attempts: string[] = []
    let failures = 2
    const send = async (_meter: Meter, destination: string): Promise<void> => {
      attempts.push(destination)
      if (failures-- > 0) throw new Error('nobody there')
    }
    const meter = new Meter({ population: electricity, clock, send }, 0)
    const setup = (name: string): Member => [40, '0-0:25.9.0.255', name]
    const push = (): number => invoke(meter, setup('push'))
    const destination = {
      transport_service: 'TCP',
      destination: 'hes:4059',
      message: 'A_XDR_encoded_xDLMS_APDU',
    }
    t.equal(write(meter, setup('send_destination_and_method'), destination), 0)
    t.equal(write(meter, setup('repetition_delay'), 30), 0)
    t.equal(push(), 0)
    for (let i = 0; i < 5; i++) {
      // What was rejected is heard of in a later turn.
      await new Promise(setImmediate)
      clock.advanceBy(30_000)
    }
    t.same(attempts, ['hes:4059', 'hes:4059', 'hes:4059'], 'until it arrived')
    const window = { start_time: '*-*-* 20:00:00.00', end_time: '*-*-* 21:00:00.00' }
    t.equal(write(meter, setup('communication_window'), [window]), 0)
    t.equal(push(), ActionResult.TEMPORARY_FAILURE)
    clock.advanceTo(Date.UTC(2026, 10, 23, 20, 30))
    t.equal(push(), 0)
    t.equal(attempts.length, 4)
    t.equal(
      write(meter, setup('send_destination_and_method'), {
        ...destination,
        transport_service: 'SMS',
      }),
      0,
    )
    t.equal(push(), ActionResult.OTHER_REASON, 'meters here have no other way')
  },
)

t.test('billing values: set up, captured, sorted, in every form of buffer', async (t) => {
  const forms = new Set<string>()
  for (let number = 0; number < 24; number++) {
    const { meter, clock } = meterAt(nowMs, electricity, number)
    forms.add(bufferForm(meter))
    const profile = (name: string): Member => [7, '1-0:98.1.0.255', name]
    const rows = (selection?: Selection): number[] => {
      const { descriptor, selection: octets } = readOperation(
        { classId: 7, instanceId: profile('')[1] },
        2,
        selection,
      )
      const value = meter.get(asBuffer(descriptor), octets && asBuffer(octets))
      if (typeof value === 'number') throw new Error(`${value}`)
      const columns = decodeColumns(read(meter, 7, profile('')[1], 3))
      const asked =
        selection?.type === 'range' && selection.columns.length > 0 ? selection.columns : columns
      const { rows: found, notes } = readProfile(value, asked, {
        capturePeriodSeconds: numberOf(read(meter, 7, profile('')[1], 4)),
        sortMethod: numberOf(read(meter, 7, profile('')[1], 5)),
      })
      t.same(notes, [])
      return found.map(({ cells }) => (cells.at(-1)!.json as { value: number }).value)
    }
    t.equal(rows().length, 12, 'the last months')
    t.equal(invoke(meter, profile('capture')), 0)
    t.equal(show(meter, profile('entries_in_use')), 13)
    t.equal(invoke(meter, [9, '0-0:10.0.1.255', 'execute'], 1), 0, 'the script captures, too')
    t.equal(show(meter, profile('entries_in_use')), 13, 'and the oldest goes')

    const clockColumn = {
      class_id: 8,
      logical_name: '0-0:1.0.0.255',
      attribute_index: 2,
      data_index: 0,
    }
    const volts = { class_id: 3, logical_name: '1-0:32.7.0.255', attribute_index: 2, data_index: 0 }
    t.equal(write(meter, profile('capture_objects'), []), DataAccessResult.OTHER_REASON)
    t.equal(write(meter, profile('capture_objects'), [clockColumn, volts]), 0)
    t.equal(show(meter, profile('entries_in_use')), 0, 'what was captured otherwise is gone')
    t.equal(write(meter, profile('profile_entries'), 8), 0)
    t.equal(write(meter, profile('sort_object'), volts), 0)
    t.equal(write(meter, profile('sort_method'), 'largest'), 0)
    t.equal(write(meter, profile('capture_period'), 60), 0)
    for (let minute = 0; minute < 20; minute++) clock.advanceBy(60_000)
    const largest = rows()
    t.same(
      largest,
      largest.toSorted((a, b) => b - a),
    )
    t.equal(largest.length, 8)
    const column = { classId: 3, instanceId: volts.logical_name, attributeId: 2, dataIndex: 0 }
    const bound = (value: number) => ({ tag: Tag.LONG_UNSIGNED, value }) as const
    const [from, to] = [largest[5]!, largest[2]!]
    t.same(
      rows({
        type: 'range',
        restricting: column,
        from: bound(from),
        to: bound(to),
        columns: [column],
      }),
      largest.filter((value) => value >= from && value <= to),
      'a range of voltages',
    )
    t.same(
      rows({ type: 'entry', fromEntry: 2, toEntry: 3, fromColumn: 1, toColumn: 0 }),
      largest.slice(1, 3),
    )
    t.equal(write(meter, profile('sort_method'), 'smallest'), 0)
    for (let minute = 0; minute < 10; minute++) clock.advanceBy(60_000)
    t.same(
      rows(),
      rows().toSorted((a, b) => a - b),
    )
    t.equal(invoke(meter, profile('reset')), 0)
    t.same(rows(), [])
    meter.callOffPlans()
  }
  t.same([...forms].toSorted(), ['compact-array', 'null-data', 'plain'])
})
