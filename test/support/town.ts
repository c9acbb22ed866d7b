/**
 * Devices, their schedules and meter points with the letters between them, for tests; nothing else
 * runs.
 */
import { deviceKind } from '../../actors/device/device-kind.ts'
import { isTell, type LetterCame } from '../../actors/kind/letters.ts'
import { meterPointKind } from '../../actors/meter-point/meter-point-kind.ts'
import { scheduleKind } from '../../actors/schedule/schedule-kind.ts'
import { emptyDirectory, type Directory } from '../../core/access/directory.ts'
import {
  actorIdOf,
  ActorKindNumber,
  kindOfActor,
  octetsOfActor,
  type ActorId,
} from '../../core/base/actor-id.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { formatLatest } from '../../core/cluster/format.ts'
import type { Role } from '../../core/catalogue/service-requests.ts'
import { Kind } from '../../core/envelope/layout.ts'
import {
  encodeGrant,
  encodeTenancy,
  encodeWithdrawal,
  type ConsentGrant,
} from '../../core/registration/consent-change.ts'
import { ConsentCategory } from '../../core/registration/consent.ts'
import { parseMeterPoint, type MeterPointId } from '../../core/registration/meter-point.ts'
import {
  encodeRegistrationChange,
  type RegistrationChange,
} from '../../core/registration/registration-change.ts'
import type { Rights } from '../../core/registration/rights.ts'
import { rightsOf } from '../../core/registration/registrations.ts'
import { ActorTrial } from './actor-trial.ts'
import { envelopeOf, plainRecord, registrationOf, supplier, type Wanted } from './envelopes.ts'

/** The time at which a town begins. */
export const now = Date.UTC(2026, 10, 30, 12)
export const gaining = `${supplier.slice(0, 7)}\u0001` as Eui64
const party = (id: Eui64, participant: string, role: Role = 'IS') =>
  [id, { id, role, name: participant, participant }] as const
/** A third party. */
export const other = `${supplier.slice(0, 7)}\u0002` as Eui64
export const directory: Directory = {
  ...emptyDirectory,
  format: formatLatest,
  isInForce: true,
  parties: new Map([party(supplier, 'AAAA'), party(gaining, 'BBBB'), party(other, 'OTHR', 'OU')]),
}
export const points = ['mpan:1234567890126', 'mpan:2000000000015', 'mprn:77'].map((text) =>
  parseMeterPoint(text)!,
)

/** Of everything, from a day before on, to the third party. */
const anyGrant: ConsentGrant = {
  id: 'c1',
  party: other,
  categories: [...ConsentCategory],
  granularity: 'half-hourly',
  purpose: 'advice',
  evidence: Buffer.alloc(32, 7),
  by: 'ann',
  fromMs: now - 86_400_000,
  toMs: Infinity,
}

const numbers = {
  device: ActorKindNumber.DEVICE,
  point: ActorKindNumber.METER_POINT,
  schedules: ActorKindNumber.SCHEDULE,
} as const
type Dweller = keyof typeof numbers

type Letter = { to: ActorId; came: LetterCame }

/** Devices and meter points, and the letters between them that have not come yet. */
export class Town {
  readonly devices = new Map<Eui64, ActorTrial<any, any, any, any>>() // oxlint-disable-line typescript/no-explicit-any
  readonly meterPoints = new Map<Eui64, ActorTrial<any, any, any, any>>() // oxlint-disable-line typescript/no-explicit-any
  readonly schedulesOf = new Map<Eui64, ActorTrial<any, any, any, any>>() // oxlint-disable-line typescript/no-explicit-any
  letters: Letter[] = []
  private sequence = 0
  now = now
  private readonly told = new Map<unknown, number>()

  device(id: Eui64) {
    return this.actor(this.devices, deviceKind, id)
  }

  schedules(id: Eui64) {
    return this.actor(this.schedulesOf, scheduleKind, id)
  }

  point(id: Eui64) {
    return this.actor(this.meterPoints, meterPointKind, id)
  }

  // oxlint-disable-next-line typescript/no-explicit-any
  private actor(all: Map<Eui64, ActorTrial<any, any, any, any>>, kind: any, id: Eui64) {
    const known = all.get(id) ?? new ActorTrial(kind, id)
    known.directory = directory
    all.set(id, known)
    return known
  }

  feed(kind: Dweller, id: Eui64, message: object): void {
    const actor = this[kind](id)
    actor.feed(message as never, this.now)
    const from = actorIdOf(numbers[kind], id)
    const told = this.told.get(actor) ?? 0
    for (const effect of actor.effects.slice(told))
      if (isTell(effect)) this.letters.push({ to: effect.to, came: cameOf(from, effect.bodyBytes) })
    this.told.set(actor, actor.effects.length)
  }

  arrive(kind: Dweller, id: Eui64, buffer: Buffer): string | undefined {
    const actor = this[kind](id)
    const from = actor.effects.length
    this.feed(kind, id, { type: 'ARRIVED', buffer, at: 0, replyTo: undefined })
    const answers = actor.effects.slice(from)
    // A meter point answers a registration with what it has changed.
    if (answers.some(({ type }) => type === 'REPORT')) return 'REQUEST_ACCEPTED'
    const answer = answers.find(({ type }) => type === 'ACKNOWLEDGE')
    return answer && errorCodeOf((answer as { outcome: number }).outcome)
  }

  deliver(index: number, isKept = false): void {
    const letter = this.letters[index % this.letters.length]!
    if (!isKept) this.letters = this.letters.filter((one) => one !== letter)
    const kind = kindOfActor(letter.to)
    const [name] = Object.entries(numbers).find(([, number]) => number === kind)!
    this.feed(name as Dweller, octetsOfActor(letter.to), letter.came)
  }

  deliverAll(): void {
    while (this.letters.length > 0) this.deliver(0)
  }

  register(point: MeterPointId, change: Partial<RegistrationChange> = {}): string | undefined {
    const items = change.items ?? [{ item: 'supplier', value: 'AAAA', from: 20260101 } as const]
    const order = change.order ?? { source: 'operator', sequence: ++this.sequence, instruction: 0 }
    const body = encodeRegistrationChange({ by: 'ann', order, items })
    return this.arrive(
      'point',
      point,
      envelopeOf({ kind: Kind.METER_POINT_REGISTRATION, device: point, body }),
    )
  }

  install(device: Eui64, meterPoints: readonly MeterPointId[]): string | undefined {
    const record = { ...plainRecord, ...(meterPoints.length > 0 && { meterPoints }) }
    return this.arrive('device', device, registrationOf(device, record))
  }

  submit(
    device: Eui64,
    counter: number,
    originator: Eui64 = supplier,
    more: Wanted = {},
  ): string | undefined {
    const deadline = this.now + 86_400_000
    const wanted = { originator, device, counter, deadline, ...more }
    return this.arrive('device', device, envelopeOf(wanted))
  }

  /** An operator grants a consent to the third party, or withdraws one, or a tenancy begins. */
  grant(point: MeterPointId, grant: Partial<ConsentGrant> = {}): string | undefined {
    return this.change(point, Kind.CONSENT_GRANT, encodeGrant({ ...anyGrant, ...grant }))
  }

  withdraw(point: MeterPointId, id: string): string | undefined {
    const body = encodeWithdrawal({ id, by: 'ann', reason: 'asked' })
    return this.change(point, Kind.CONSENT_WITHDRAWAL, body)
  }

  tenancy(point: MeterPointId, startMs: number): string | undefined {
    return this.change(point, Kind.TENANCY_CHANGE, encodeTenancy({ startMs, by: 'ann' }))
  }

  private change(point: MeterPointId, kind: Kind, body: Buffer): string | undefined {
    return this.arrive('point', point, envelopeOf({ kind, device: point, body }))
  }

  /** Each link of each device has what its meter point has. */
  isSettled(): boolean {
    for (const device of this.devices.values())
      for (const { point, rights } of device.state.linked?.links ?? []) {
        const { items, register } = this.point(point).state
        const expected = rightsOf(point, items, this.now, register)
        if (textOf(rights) !== textOf(expected)) return false
      }
    return true
  }
}

/** What is compared of rights. */
const textOf = (rights: Pick<Rights, 'direction' | 'periods' | 'consents'> | undefined): string =>
  JSON.stringify(rights && [rights.direction, rights.periods, rights.consents ?? []])

const place = { sequence: 1, index: 0 } as never
const cameOf = (from: ActorId, bodyBytes: Buffer): LetterCame => ({
  type: 'LETTER',
  from,
  place,
  previous: place,
  hops: 0,
  bodyBytes,
})
