/**
 * Suppliers change at meter points while everything goes wrong. By the facts in the ledger: a
 * device accepts nothing of a party that its rights do not name, and in the end every device has
 * the rights that its meter points give, which have every registration that was acknowledged.
 */
import { readFact as readPointFact, type MeterPointFact } from '../../actors/meter-point/facts.ts'
import { registerAfter, type RegisterFact } from '../../actors/meter-point/register.ts'
import type { DeviceFact } from '../../actors/device/facts.ts'
import { askActors, type ActorMailPorts, type Question } from '../../core/bus/actor-mail.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readTarget } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import {
  encodeGrant,
  encodeTenancy,
  encodeWithdrawal,
} from '../../core/registration/consent-change.ts'
import { emptyRegister, type ConsentRegister } from '../../core/registration/consent-register.ts'
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
import { partyOf, thirdParty } from './names.ts'

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
  /** Of the devices that change in the tick that is read, before each change. */
  private readonly linksBefore = new Map<Eui64, Link[][]>()
  private readonly fault: (what: string, request?: string) => void
  /** Meter points whose registration nobody has answered yet. */
  private readonly busy = new Set<MeterPointId>()
  /** The last that was acknowledged for each meter point, and the one that was not. */
  private readonly done = new Map<MeterPointId, RegistrationChange>()
  private readonly unanswered = new Map<MeterPointId, RegistrationChange>()
  private sequence = 0
  private readonly registers = new Map<Eui64, ConsentRegister>()
  /** How many changes of consents were acknowledged for each meter point. */
  private readonly consentSteps = new Map<MeterPointId, number>()
  private readonly changing = new Set<MeterPointId>()

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
    const point = readTarget(frame, at)
    if (isRegisterFact(fact))
      this.registers.set(point, registerAfter(this.registers.get(point) ?? emptyRegister, fact))
    if (fact.type !== 'METER_POINT_REGISTERED') return
    this.items.set(point, [...(this.items.get(point) ?? []), ...fact.items])
  }

  beginTick(): void {
    this.linksBefore.clear()
  }

  readDeviceFact(device: Eui64, fact: DeviceFact): void {
    const { type } = fact
    if (type === 'DEVICE_REMOVED' || type === 'DEVICE_LINKED' || type === 'RIGHTS_RECEIVED') {
      const points = [...(this.links.get(device) ?? [])].map(([, link]) => ({ ...link }))
      this.linksBefore.set(device, [...(this.linksBefore.get(device) ?? []), points])
    }
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
    if (party === thirdParty) {
      if (!this.hasConsent(device)) this.fault('accepted without a consent', request)
      return
    }
    const participant = participantOf(party)
    const isNamed = [...links.values()].some(({ rights }) =>
      rights?.periods.some(
        (period) =>
          period.participant === participant && period.fromMs <= atMs && atMs < period.toMs,
      ),
    )
    if (!isNamed) this.fault('accepted although its party is not registered there', request)
  }

  /**
   * Is `party` registered at a meter point of the device at `atMs`, by what the device knew at some
   * point of the tick that is read? Undefined for a device without meter points.
   */
  isRegistered(device: Eui64, party: Eui64, atMs: number): boolean | undefined {
    const present = [...(this.links.get(device)?.values() ?? [])]
    const known = [present, ...(this.linksBefore.get(device) ?? [])]
    if (known.every((links) => links.length === 0)) return undefined
    return known.some((links) =>
      links.some(({ rights }) =>
        rights?.periods.some(
          ({ participant, fromMs, toMs }) =>
            partyOf(Number(participant.slice(1))).id === party && fromMs <= atMs && atMs < toMs,
        ),
      ),
    )
  }

  /** A device has ended `request` well: its outcome goes to the party. */
  endedWell(request: string, device: Eui64, party: number): void {
    const links = this.links.get(device)
    if (party !== thirdParty || links === undefined || links.size === 0) return
    if (!this.hasConsent(device)) this.fault('an outcome is delivered without a consent', request)
  }

  /** By what the device has received. No consent of a life begins or ends by the clock. */
  private hasConsent(device: Eui64): boolean {
    const { id } = partyOf(thirdParty)
    return [...(this.links.get(device)?.values() ?? [])].some(({ rights }) =>
      rights?.consents?.some(({ party }) => party === id),
    )
  }

  /** The next of: a consent is granted, it is withdrawn, another is granted, a tenancy begins. */
  async changeConsent(index: number, ports: ActorMailPorts): Promise<string | undefined> {
    const point = points[index % points.length]!
    if (this.changing.has(point)) return undefined
    this.changing.add(point)
    const number = this.consentSteps.get(point) ?? 0
    const [refused] = await askActors([questionOf(point, number)], ports)
    this.changing.delete(point)
    if (refused !== undefined) return refused.code
    this.consentSteps.set(point, number + 1)
    return `change ${number} is done`
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
        const expected = rightsOf(
          point,
          this.items.get(point) ?? [],
          nowMs,
          this.registers.get(point),
        )
        if (textOf(rights) !== textOf(expected))
          left.push(`meter ${meter} does not have the rights that its meter point gives`)
      }
    return left
  }
}

const isRegisterFact = (fact: MeterPointFact): fact is RegisterFact =>
  fact.type !== 'METER_POINT_REGISTERED' && fact.type !== 'METER_POINT_LINKED'

/** What is compared of rights. */
const textOf = (rights: Partial<Rights> | undefined): string =>
  JSON.stringify(rights && [rights.direction, rights.periods, rights.consents ?? []])

const dayMs = 86_400_000
/** Before everything that the third party reads. */
const tenancyMs = (round: number): number => Date.UTC(2026, 0, 1) + round * dayMs

/** Round by round: granted, withdrawn, granted again, another tenancy; no clock plays a part. */
function questionOf(target: MeterPointId, number: number): Question {
  const [round, step] = [Math.floor(number / 4), number % 4]
  const by = 'operator'
  if (step === 3) {
    const bodyBytes = encodeTenancy({ startMs: tenancyMs(round + 1), by })
    return { kind: Kind.TENANCY_CHANGE, target, bodyBytes }
  }
  if (step === 1) {
    const bodyBytes = encodeWithdrawal({ id: `c${round}.0`, by, reason: 'asked' })
    return { kind: Kind.CONSENT_WITHDRAWAL, target, bodyBytes }
  }
  const bodyBytes = encodeGrant({
    id: `c${round}.${step}`,
    party: partyOf(thirdParty).id,
    categories: ['consumption'],
    granularity: 'daily',
    purpose: 'advice',
    evidence: Buffer.alloc(32),
    by,
    fromMs: tenancyMs(round),
    toMs: Infinity,
  })
  return { kind: Kind.CONSENT_GRANT, target, bodyBytes }
}

export const participantOf = (number: number): string => `P${number}`
