/**
 * Alert storms: the first alerts of a device with a code are delivered, the rest is held, and one
 * notice says how many they were; nothing is lost or counted twice.
 */
import fc from 'fast-check'
import t from 'tap'
import { evolve } from '../../actors/device/actor.ts'
import { deviceKind } from '../../actors/device/device-kind.ts'
import type { DeviceFact } from '../../actors/device/facts.ts'
import { emptyState } from '../../actors/device/state.ts'
import { errorCodeOf, errorId } from '../../core/base/error-table.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { alertCodes, isThrottled } from '../../core/catalogue/alert-codes.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { DeviceAlert, DeviceAlertKind } from '../../proto/gen/busbar/v1/device_alert.ts'
import { throughLedger, tryLife } from '../support/actor-trial.ts'
import {
  deviceKey,
  envelopeOf,
  plainRecord,
  registrationOf,
  supplier,
} from '../support/envelopes.ts'
import { directory, now, Town } from '../support/town.ts'

const device = deviceKey(1)
const undervoltage = 0x8006
const joined = 0x8183
const tamper = 0x8f3f
const pushId = '\0\0\0\0\0\0\0\u0001' as RequestCounter
const { alertsPassedMax, alertWindowMs, deviceAlertsMax, deviceAlertsTakenMax } = limits

/** The pushes that a device remembers are not in its store. */
const storedKind: typeof deviceKind = {
  ...deviceKind,
  loaded(state, id) {
    deviceKind.loaded(state, id)
    state.alerts = undefined
  },
}

type Notice = { code: string; sequence: number; count: number; to: Eui64 }

class Storm extends Town {
  private pushes = 0
  /** Alerts by code that were answered for. */
  readonly sent = new Map<number, number>()

  constructor(format = directory.format) {
    super()
    this.arrive('device', device, registrationOf(device, { ...plainRecord, alertsTo: [supplier] }))
    this.format = format
  }
  format: number

  override device(id: Eui64) {
    const actor = super.device(id)
    actor.directory = { ...directory, format: this.format ?? directory.format }
    return actor
  }

  /** @returns the code of the answer */
  push(...codes: number[]): string | undefined {
    const { effects } = this.device(device)
    const before = effects.length
    this.feed('device', device, this.message(++this.pushes, codes))
    const answer = effects.slice(before).find(({ type }) => type === 'ACKNOWLEDGE')
    const code = errorCodeOf((answer as unknown as { outcome: number }).outcome)
    if (code === 'REQUEST_ACCEPTED')
      for (const one of codes) this.sent.set(one, (this.sent.get(one) ?? 0) + 1)
    return code
  }

  message(number: number, codes: readonly number[]) {
    return {
      type: 'PUSH_OPENED',
      id: String(number).padStart(8, '\0'),
      outcome: errorId('OK'),
      opened: undefined,
      receivedAt: this.now,
      bodies: codes.map((alertCode) => ({ bodyBytes: Buffer.of(0x20, 1), alertCode })),
      replyTo: undefined,
    }
  }

  wake(): void {
    this.feed('device', device, { type: 'WAKE' })
  }

  get notices(): Notice[] {
    return this.alerts()
      .filter(({ alert }) => alert.kind === DeviceAlertKind.DEVICE_ALERT_KIND_THROTTLED)
      .map(({ alert, to }) => ({
        code: alert.alertCode,
        sequence: alert.throttledAlertSequenceId,
        count: alert.throttledAlertCount,
        to,
      }))
  }

  get deliveredCount(): number {
    return this.alerts().filter(
      ({ alert }) => alert.kind !== DeviceAlertKind.DEVICE_ALERT_KIND_THROTTLED,
    ).length
  }

  private alerts() {
    return this.device(device).deliveries.map((one) => {
      const { bodyBytes, party } = one as unknown as { bodyBytes: Buffer; party: Eui64 }
      return { alert: DeviceAlert.decode(bodyBytes), to: party }
    })
  }

  wakeAt(): number {
    return deviceKind.nextWakeMs(this.device(device).state, this.now)
  }
}

t.test('the excess of a window is held, and one notice has its number', async (t) => {
  const storm = new Storm()
  for (let i = 0; i < 100; i++) t.equal(storm.push(undervoltage), 'REQUEST_ACCEPTED')
  t.equal(storm.deliveredCount, alertsPassedMax)
  t.equal(storm.wakeAt(), now + alertWindowMs)
  storm.now += alertWindowMs - 1
  storm.wake()
  t.strictSame(storm.notices, [], 'not before the end of the window')
  storm.now += 1
  storm.wake()
  const count = 100 - alertsPassedMax
  const first = { code: '8006', sequence: 1, count, to: supplier }
  t.strictSame(storm.notices, [first])
  t.equal(storm.wakeAt(), 0)
  storm.now += alertWindowMs
  storm.wake()
  t.strictSame(storm.notices, [first], 'once')
  for (let i = 0; i < alertsPassedMax + 2; i++) storm.push(undervoltage)
  storm.now += alertWindowMs
  // The next alert brings it as well, and begins a window.
  storm.push(undervoltage)
  t.strictSame(storm.notices, [first, { ...first, sequence: 2, count: 2 }])
  t.equal(storm.deliveredCount, 2 * alertsPassedMax + 1)
  tryLife(storedKind, device, storm.device(device) as never)
})

t.test(
  'each code has its own window; excluded ones and what has no code are not held',
  async (t) => {
    const storm = new Storm()
    for (let i = 0; i < alertsPassedMax + 5; i++) storm.push(undervoltage, joined, tamper)
    t.equal(storm.deliveredCount, 2 * alertsPassedMax + alertsPassedMax + 5)
    storm.now += alertWindowMs
    storm.wake()
    t.strictSame(
      storm.notices.map(({ code, count }) => [code, count]),
      [
        ['8006', 5],
        ['8183', 5],
      ],
    )
    const ofNever = new Storm()
    for (let i = 0; i < deviceAlertsMax + 5; i++) t.equal(ofNever.push(tamper), 'REQUEST_ACCEPTED')
    t.equal(ofNever.deliveredCount, deviceAlertsMax + 5)
    t.equal(ofNever.push(0), 'DEVICE_ALERTS_EXCEEDED', 'without a code: refused by name')
    t.equal(ofNever.push(undervoltage), 'REQUEST_ACCEPTED', 'with one it is held')
    t.equal(ofNever.deliveredCount, deviceAlertsMax + 5)
  },
)

t.test('more than a device can mean is refused before it is opened', async (t) => {
  const storm = new Storm()
  for (let i = 0; i < deviceAlertsTakenMax; i++) storm.push(undervoltage)
  const push = envelopeOf({ kind: Kind.DEVICE_PUSH, device, body: Buffer.alloc(22) })
  t.equal(storm.arrive('device', device, push), 'DEVICE_ALERTS_EXCEEDED')
  t.equal(storm.push(undervoltage), 'DEVICE_ALERTS_EXCEEDED')
  t.equal(storm.deliveredCount, alertsPassedMax)
})

t.test('a device that is removed has its notices first', async (t) => {
  const storm = new Storm()
  for (let i = 0; i < alertsPassedMax + 3; i++) storm.push(undervoltage)
  const removal = envelopeOf({ kind: Kind.DEVICE_REMOVAL, device, body: Buffer.from('ann') })
  t.equal(storm.arrive('device', device, removal), 'REQUEST_ACCEPTED')
  t.match(storm.notices, [{ count: 3, to: supplier }])
  t.equal(storm.device(device).facts.at(-1)?.type, 'DEVICE_REMOVED')
})

t.test('the same push again is counted once', async (t) => {
  const storm = new Storm()
  for (let i = 0; i < 3 * alertsPassedMax; i++) storm.push(undervoltage)
  storm.feed('device', device, storm.message(3 * alertsPassedMax, [undervoltage]))
  storm.feed('device', device, storm.message(1, [undervoltage]))
  const again = storm.message(2, [undervoltage])
  const actor = storm.device(device)
  actor.state = deviceKind.unpackState(deviceKind.packState(actor.state))
  storm.feed('device', device, again)
  // The process with the connection sends it again, to a host with another clock.
  storm.now += alertWindowMs / 2
  storm.feed('device', device, again)
  storm.now -= alertWindowMs / 2
  storm.now += alertWindowMs
  storm.wake()
  t.match(storm.notices, [{ count: 2 * alertsPassedMax }])
})

t.test('before format 4 nothing is held, and no fact of it is written', async (t) => {
  const storm = new Storm(3)
  for (let i = 0; i < deviceAlertsMax; i++) storm.push(undervoltage)
  t.equal(storm.push(undervoltage), 'DEVICE_ALERTS_EXCEEDED')
  t.equal(storm.deliveredCount, deviceAlertsMax)
  t.notOk(storm.device(device).facts.some(({ type }) => type === 'ALERTS_TAKEN'))
})

t.test('any storm: what was delivered and what was held is what was sent', async () => {
  const codes = [undervoltage, joined, tamper]
  const step = fc.oneof(
    fc.array(fc.constantFrom(...codes), { minLength: 1, maxLength: 8 }),
    fc.integer({ min: -alertWindowMs, max: 2 * alertWindowMs }),
    fc.constant('wake' as const),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const storm = new Storm()
      for (const one of steps)
        if (one === 'wake') storm.wake()
        else if (typeof one === 'number') storm.now += one
        else storm.push(...one)
      storm.now += 100 * alertWindowMs
      storm.wake()
      const sent = [...storm.sent.values()].reduce((sum, count) => sum + count, 0)
      const held = storm.notices.reduce((sum, { count }) => sum + count, 0)
      const actor = storm.device(device)
      tryLife(storedKind, device, actor as never)
      const byCode = Map.groupBy(storm.notices, ({ code }) => code)
      const isNumbered = [...byCode.values()].every((all) =>
        all.every(({ sequence }, index) => sequence === index + 1),
      )
      return storm.deliveredCount + held === sent && isNumbered
    }),
    { numRuns: 100 },
  )
})

t.test('facts and damaged ones', async (t) => {
  const counters = { number: 1, next: 5, received: 4 }
  const counts = [{ code: undervoltage, passed: 1, held: 2 }]
  const facts: DeviceFact[] = [
    { type: 'ALERTS_TAKEN', time: 5, id: pushId, receivedAt: 4, counts, counters },
    { type: 'ALERTS_TAKEN', time: 5, id: pushId, receivedAt: 4, counts },
    { type: 'HELD_ALERTS_TOLD', time: 6, code: joined, sequence: 0xffff_ffff, count: 0xffff_ffff },
  ]
  for (const fact of facts) t.same(throughLedger(deviceKind, device, fact), fact)
  const state = emptyState()
  evolve(state, facts[1]!)
  evolve(state, { type: 'HELD_ALERTS_TOLD', time: 6, code: undervoltage, sequence: 7, count: 2 })
  t.match(state.throttles, [{ code: undervoltage, held: 0, sequence: 7 }])
  for (const kind of [Kind.ALERTS_TAKEN, Kind.HELD_ALERTS_TOLD])
    for (const body of [Buffer.of(1, 0, 0, 0, 0, 0, 0, 200), Buffer.of(1, 0, 1), Buffer.of(0)])
      t.throws(() => deviceKind.readFact(envelopeOf({ kind, device, body }), 0), {
        code: 'ENVELOPE_MALFORMED',
      })
  const later = envelopeOf({ kind: Kind.ALERTS_TAKEN, device, body: Buffer.of(2) })
  t.throws(() => deviceKind.readFact(later, 0), { code: 'FORMAT_VERSION_LATER' })
})

t.test('the exclusion list', async (t) => {
  const always = alertCodes.filter((row) => !row.isThrottled).map(({ text }) => text)
  for (const code of ['8F66', '8F67', '8F35', '8F36', '8F3F', '8F32', '810E'])
    t.ok(always.includes(code), code)
  t.notOk(isThrottled(0))
  t.notOk(isThrottled(tamper))
  t.ok(isThrottled(undervoltage))
})
