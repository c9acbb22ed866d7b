/**
 * Suppliers change at meter points while everything goes wrong. By the facts in the ledger: a
 * device accepts nothing of a party that its rights do not name, and in the end every device has
 * the rights that its meter points give, which have every registration that was acknowledged.
 */
import { readFact as readPointFact } from '../../actors/meter-point/facts.ts'
import type { DeviceFact } from '../../actors/device/facts.ts'
import { askActors, type ActorMailPorts } from '../../core/bus/actor-mail.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readTarget } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { parseMeterPoint, type MeterPointId } from '../../core/registration/meter-point.ts'
import {
  encodeRegistrationChange,
  type RegistrationChange,
} from '../../core/registration/registration-change.ts'
import type { RegistrationItem } from '../../core/registration/registration-record.ts'
import {
  dayStartMs,
  rightsOf,
  valueAt,
  type KnownItem,
} from '../../core/registration/registrations.ts'
import type { Rights } from '../../core/registration/rights.ts'
import { deviceKey } from '../support/envelopes.ts'

/** Meters with a meter point: one that is removed now and then, and one with keys. */
export const linkedMeters: readonly number[] = [2, 5]
/** Both have the first, and one the second. */
const points = ['mpan:1000000000003', 'mpan:2000000000015'].map((text) => parseMeterPoint(text)!)
export const meterPointsOf = (meter: number): MeterPointId[] =>
  meter === linkedMeters[0] ? points.slice(0, 1) : points

/** A day before all of a life. */
const firstDay = 20270101

type Link = { link: number; rights?: Rights }

export class Registrations {
  private readonly items = new Map<Eui64, KnownItem[]>()
  private readonly links = new Map<Eui64, Map<MeterPointId, Link>>()
  private readonly fault: (what: string, request?: string) => void
  /** Meter points whose registration nobody has answered yet. */
  private readonly busy = new Set<MeterPointId>()
  /** The last that was acknowledged for each meter point, and the one that was not. */
  private readonly done = new Map<MeterPointId, RegistrationChange>()
  private readonly unanswered = new Map<MeterPointId, RegistrationChange>()
  private sequence = 0

  constructor(fault: (what: string, request?: string) => void) {
    this.fault = fault
  }

  /** Another supplier, from some day before this life on. */
  async change(index: number, number: number, ports: ActorMailPorts): Promise<string | undefined> {
    const point = points[index % points.length]!
    if (this.busy.has(point)) return undefined
    this.busy.add(point)
    // One that nobody has answered is repeated before the next, as a source does it.
    const wanted = this.unanswered.get(point) ?? this.nextChange(number)
    this.unanswered.set(point, wanted)
    const bodyBytes = encodeRegistrationChange(wanted)
    const question = { kind: Kind.METER_POINT_REGISTRATION, target: point, bodyBytes }
    const [refused] = await askActors([question], ports)
    this.busy.delete(point)
    if (refused !== undefined) return refused.code
    this.unanswered.delete(point)
    this.done.set(point, wanted)
    return 'is done'
  }

  private nextChange(number: number): RegistrationChange {
    const order = { source: 'registry', sequence: ++this.sequence, instruction: 1 }
    const from = firstDay + (this.sequence % 13)
    const items = [{ item: 'supplier', value: participantOf(number), from } as const]
    return { by: 'registration', order, items }
  }

  readPointFact(frame: Buffer, at: number): void {
    const fact = readPointFact(frame, at)
    if (fact.type !== 'METER_POINT_REGISTERED') return
    const point = readTarget(frame, at)
    this.items.set(point, [...(this.items.get(point) ?? []), ...fact.items])
  }

  readDeviceFact(device: Eui64, fact: DeviceFact): void {
    if (fact.type === 'DEVICE_REMOVED') this.links.delete(device)
    else if (fact.type === 'DEVICE_LINKED') {
      const before = this.links.get(device)
      const after = fact.points.map(({ point, link }): [MeterPointId, Link] => {
        const known = before?.get(point)
        return [point, known?.rights ? { link, rights: known.rights } : { link }]
      })
      this.links.set(device, new Map(after))
    } else if (fact.type === 'RIGHTS_RECEIVED') {
      const known = this.links.get(device)?.get(fact.point)
      if (known?.link !== fact.rights.link) this.fault('rights of a link that the device has not')
      else known.rights = fact.rights
    }
  }

  /** A device has accepted `request` of a party at `atMs`, by its own clock. */
  accepted(request: string, device: Eui64, party: number, atMs: number): void {
    const links = this.links.get(device)
    if (links === undefined || links.size === 0) return
    const participant = participantOf(party)
    const isNamed = [...links.values()].some(({ rights }) =>
      rights?.periods.some(
        (period) =>
          period.participant === participant && period.fromMs <= atMs && atMs < period.toMs,
      ),
    )
    if (!isNamed) this.fault('accepted although its party is not registered there', request)
  }

  /** What is still to be done before all is at rest. */
  left(nowMs: number): string[] {
    const left = points
      .filter((point) => this.busy.has(point))
      .map(() => 'a registration is under way')
    for (const [point, { items }] of this.done) {
      if (this.unanswered.has(point)) continue
      const [{ value, from }] = items as [RegistrationItem]
      if (valueAt(this.items.get(point) ?? [], 'supplier', dayStartMs(from)) !== value)
        left.push('a registration was acknowledged, and is not in the ledger')
    }
    for (const meter of linkedMeters)
      for (const [point, { rights }] of this.links.get(deviceKey(meter)) ?? []) {
        const { direction, periods } = rightsOf(point, this.items.get(point) ?? [], nowMs)
        const expected = JSON.stringify([direction, periods])
        if (JSON.stringify(rights && [rights.direction, rights.periods]) !== expected)
          left.push(`meter ${meter} does not have the rights that its meter point gives`)
      }
    return left
  }
}

export const participantOf = (number: number): string => `P${number}`
