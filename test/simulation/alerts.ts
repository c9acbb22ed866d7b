/**
 * Meters send alerts, many of them at a time, while everything goes wrong. By the ledger: each push
 * is counted once, a notice has the number of the alerts that were held since the last one, what is
 * delivered was counted, and goes to a party that is registered at the device at that time.
 */
import type { DeviceFact } from '../../actors/device/facts.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { isThrottled } from '../../core/catalogue/alert-codes.ts'
import { encodeApdu } from '../../core/dlms/apdu/codec.ts'
import { encodeValue, Tag } from '../../core/dlms/axdr/axdr.ts'
import { readBodyView, readKind, readTarget, readTime } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import type { DevicePush } from '../../core/ports/wan.ts'
import { DeviceAlert, DeviceAlertKind } from '../../proto/gen/busbar/v1/device_alert.ts'
import { deviceKey } from '../support/envelopes.ts'
import { addressOf, meterCount, partyOf } from './names.ts'
import type { Registrations } from './registrations.ts'
import { isSecured } from './secured-meters.ts'

/** Who gets the alerts of meters without a meter point. */
export const alertedParties: readonly Eui64[] = [1, 2].map((number) => partyOf(number).id)

/** Meters that send in the clear. */
const alertingMeters = Array.from({ length: meterCount }, (_, meter) => meter).filter(
  (meter) => !isSecured(meter),
)
const codes = [0x8183, 0x810d, 0x8f3f]

type Draw = { oneOf<T>(list: readonly T[]): T; between(least: number, most: number): number }

export class Alerts {
  private readonly fault: (what: string) => void
  private readonly registrations: Registrations
  private readonly ids = new Set<string>()
  /** Alerts that the ledger has counted, those of them that are held, and the last notice. */
  private readonly counted = new Map<string, number>()
  private readonly held = new Map<string, number>()
  private readonly notices = new Map<string, number>()
  /** Alerts that a meter knows to be on disk. */
  private readonly confirmed = new Map<string, number>()
  /** Of the tick that is read: what may be delivered, and what was. */
  private readonly passed = new Map<string, number>()
  private readonly told = new Set<string>()
  private readonly delivered = new Map<string, number>()
  private sent = 0
  /** Notices that were written. */
  noticeCount = 0

  constructor(fault: (what: string) => void, registrations: Registrations) {
    this.fault = fault
    this.registrations = registrations
  }

  /** Pushes of one meter with one code, one after another. */
  pushes(draw: Draw): DevicePush[] {
    const meter = draw.oneOf(alertingMeters)
    const code = draw.oneOf(codes)
    return Array.from({ length: draw.between(1, 2 * limits.alertsPassedMax) }, () => ({
      device: deviceKey(meter),
      address: addressOf(meter),
      names: [],
      protection: 0,
      apduBytes: encodeApdu({
        type: 'data-notification',
        longInvokeIdAndPriority: ++this.sent,
        dateTimeView: Buffer.alloc(0),
        valueView: encodeValue({ tag: Tag.LONG_UNSIGNED, value: code }),
      }),
      confirm: () => add(this.confirmed, `${deviceKey(meter)}/${code}`, 1),
    }))
  }

  beginTick(): void {
    this.passed.clear()
    this.told.clear()
    this.delivered.clear()
  }

  readDeviceFact(device: Eui64, fact: DeviceFact): void {
    if (fact.type === 'ALERTS_TAKEN') {
      if (this.ids.has(`${device}/${fact.id}`)) this.fault('a push was counted twice')
      this.ids.add(`${device}/${fact.id}`)
      for (const { code, passed, held } of fact.counts) {
        add(this.counted, `${device}/${code}`, passed + held)
        add(this.held, `${device}/${code}`, held)
        add(this.passed, `${device}/${code}`, passed)
      }
    } else if (fact.type === 'HELD_ALERTS_TOLD') {
      const key = `${device}/${fact.code}`
      const held = this.held.get(key) ?? 0
      if (fact.count !== held) this.fault(`a notice counts ${fact.count} alerts, ${held} were held`)
      const sequence = (this.notices.get(key) ?? 0) + 1
      if (fact.sequence !== sequence) this.fault(`notice ${fact.sequence} comes as ${sequence}`)
      this.notices.set(key, sequence)
      this.held.set(key, 0)
      this.told.add(`${key}/${sequence}/${fact.count}`)
      this.noticeCount++
    } else if (fact.type === 'DEVICE_REMOVED')
      for (const [key, held] of this.held)
        if (held > 0 && key.startsWith(`${device}/`))
          this.fault(`a device is removed while ${held} alerts are held`)
  }

  readDelivery(frame: Buffer, at: number, party: Eui64): void {
    if (readKind(frame, at) !== Kind.ALERT) return
    const device = readTarget(frame, at)
    const isEntitled =
      this.registrations.isRegistered(device, party, readTime(frame, at)) ??
      alertedParties.includes(party)
    if (!isEntitled) this.fault('an alert is delivered to a party without a right to it')
    const alert = DeviceAlert.decode(readBodyView(frame, at))
    const code = Number.parseInt(alert.alertCode, 16)
    const key = `${device}/${code}`
    if (alert.kind === DeviceAlertKind.DEVICE_ALERT_KIND_THROTTLED) {
      const { throttledAlertSequenceId: sequence, throttledAlertCount: count } = alert
      if (!this.told.has(`${key}/${sequence}/${count}`))
        this.fault('a notice is delivered that the device does not know')
    } else if (isThrottled(code)) {
      const count = add(this.delivered, `${key}/${party}`, 1)
      if (count > (this.passed.get(key) ?? 0))
        this.fault('an alert is delivered that was not counted')
    }
  }

  get isHolding(): boolean {
    return [...this.held.values()].some((held) => held > 0)
  }

  /** Once all windows are over. */
  checkTold(): void {
    for (const held of this.held.values())
      if (held > 0) this.fault(`${held} alerts are held that no notice counts`)
    for (const [key, confirmed] of this.confirmed)
      if (isThrottled(Number(key.split('/').at(-1))) && confirmed > (this.counted.get(key) ?? 0))
        this.fault(`${confirmed} alerts were confirmed, ${this.counted.get(key) ?? 0} are counted`)
  }
}

function add(counts: Map<string, number>, key: string, count: number): number {
  const sum = (counts.get(key) ?? 0) + count
  counts.set(key, sum)
  return sum
}
