/**
 * One simulated meter: a small plain object, since one process holds 50,000. What it measures is a function of its seed and the
 * time; what is kept is only what was done to it: clock, supply, message, events. It answers COSEM services by descriptor, as the server role
 * of core/dlms asks. Stations 9 and 10 of the path, seen from the other end; associations and sockets are elsewhere.
 */
import type { Clock } from '../../core/ports/clock.ts'
import type { CosemObjects } from '../../core/dlms/server/server.ts'
import { DataAccessResult } from '../../core/dlms/apdu/constants.ts'
import {
  ControlState,
  type ImageReceiver,
  type ProfileBuffer,
} from '../../core/dlms/cosem/index.ts'
import type { Mechanism } from '../../core/dlms/security/index.ts'
import type { Guard } from './objects/association-objects.ts'
import { Stream, drawBelow } from './model/chance.ts'
import type { SimulatedObject } from './objects/cosem-object.ts'
import { doingsMax, type EventCode, type MeterEvent } from './model/event-log.ts'
import { amountAt, dayMs, type LoadTraits } from './model/load-curve.ts'
import { noLink, type Link } from './model/access-link.ts'
import { tableOf } from './objects/meter-objects.ts'
import { counterObisDefault, MeterSecurity } from './model/meter-security.ts'
import type { ObjectTable } from './objects/object-table.ts'
import {
  feedOf,
  gasMeterBehind,
  isPrepaid,
  loadOf,
  mechanismOf,
  meterSeed,
  proofSecretOf,
  secretOf,
  suiteOf,
  typeOf,
  writeMeterEui64,
  type MeterType,
  type Population,
} from './model/population.ts'
import { quirksOf, type Quirks } from './quirks/quirks.ts'

/** Shared by all meters of a fleet. */
export type MeterModel = {
  readonly population: Population
  readonly clock: Clock
  /** Another meter of the fleet. */
  meterOf?(number: number): Meter
  /** Sends a meter's push to where it was told to; settles when that is done. @throws what the way there says */
  send?(meter: Meter, destination: string): Promise<void>
}

/** A time without supply, UTC ms; `untilMs` is Infinity while it lasts. Nothing flows in it. */
export type SupplyGap = { readonly fromMs: number; untilMs: number }

/** Gaps whose place in the profile is remembered; the amounts of older ones stay missing from the registers. */
const supplyGapsMax = 8

/** What was done to a meter; most meters never need one. */
export type MeterDoings = {
  events: MeterEvent[]
  gaps: SupplyGap[]
  forgottenLoad: number
  forgottenFeed: number
  /** A-XDR value of the consumer message. */
  messageBytes: Buffer | undefined
  /** Of preset_adjusting_time. */
  preset: { timeMs: number; fromMs: number; untilMs: number } | undefined
  /** Attributes that clients have set, by number. */
  written?: Map<number, Buffer>
  /** What the meter will do by itself, by what it is for; each calls it off. */
  agenda?: Map<string, () => void>
  secretBytes?: Buffer
  image?: ImageReceiver
  firmware?: string
  /** Of the demand register: where its period began out of turn, and the average that it showed then. */
  demand?: { fromMs: number; lastAverage: number; capturedMs: number }
  /** Since when the highest demand is looked for. */
  highestSinceMs?: number
  /** Amounts by rate up to a change of the calendar. */
  rates?: { sinceMs: number; amounts: number[] }
  payment?: Payment
  /** Of the profile that clients may set up. */
  captured?: ProfileBuffer
}

/** What was paid and for what, since somebody changed it; amounts in hundredths. */
export type Payment = {
  /** Beside what is paid in without anybody asking. */
  addedAmount: number
  /** What had been used up, and the energy then, Wh, when the price was last changed. */
  usedAmount: number
  usedWh: number
  /** A kWh. */
  price: number
  isEmergencySelected: boolean
  lastSequence: number
  token: { octets: Buffer; atMs: number; status: number } | undefined
}

export class Meter implements CosemObjects {
  readonly model: MeterModel
  readonly number: number
  readonly seed: number
  readonly type: MeterType
  readonly load: LoadTraits
  readonly feed: LoadTraits | undefined
  /** The clock's error when it was last set, and when that was (0: never). */
  clockAheadMs: number
  clockSetAtMs = 0
  /** Attribute 9 of the clock: 1 internal crystal. */
  clockBase = 1
  controlState: ControlState = ControlState.CONNECTED
  /** Requests seen while faults are on: the argument of chance for the next one. */
  faultDraws = 0
  doings: MeterDoings | undefined = undefined
  /** Of a meter under a security suite. */
  readonly security: MeterSecurity | undefined
  /** Shared by all meters of its kind. */
  readonly table: ObjectTable

  constructor(model: MeterModel, number: number) {
    this.model = model
    this.number = number
    this.seed = meterSeed(model.population, number)
    this.type = typeOf(model.population, number)
    this.load = loadOf(this.type, this.seed)
    this.feed = feedOf(model.population, this.type, this.seed, this.load)
    const suite = suiteOf(model.population, this.seed)
    this.security =
      suite === undefined
        ? undefined
        : new MeterSecurity(
            model.population.seed,
            this.seed,
            suite,
            titleOf(number),
            model.clock.now(),
            this.quirks,
          )
    this.clockAheadMs = (drawBelow(1601, this.seed, Stream.CLOCK, 0) - 800) * 10
    this.table = tableOf({
      type: this.type,
      guard: this.guard,
      isPrepaid: isPrepaid(this.type, this.seed),
      hasGasMeter: gasMeterBehind(model.population, number) !== undefined,
      counterObis: this.quirks.counterObis ?? counterObisDefault,
    })
  }

  /** The secret of low-level security. */
  get secret(): Buffer | undefined {
    return this.doings?.secretBytes ?? secretOf(this.model.population, this.seed)
  }

  /** How clients prove themselves, under a security suite. */
  get mechanism(): Mechanism {
    const { population } = this.model
    return mechanismOf(population, this.number, suiteOf(population, this.seed))
  }

  /** What clients prove that they know, where the mechanism asks for it. */
  get proofSecret(): Buffer | undefined {
    return proofSecretOf(this.mechanism, this.seed)
  }

  private get guard(): Guard {
    return this.security !== undefined ? 'suite' : this.secret !== undefined ? 'secret' : 'open'
  }

  /** True when not everybody may do everything. */
  get isGuarded(): boolean {
    return this.guard !== 'open'
  }

  /** How it differs from our meters; looked up, so that it costs no memory. */
  get quirks(): Quirks {
    return quirksOf(this.model.population.quirkShares, this.number)
  }

  get isConnected(): boolean {
    return this.controlState === ControlState.CONNECTED
  }

  /** The gas meter that this one reads over M-Bus. */
  get gasMeter(): Meter | undefined {
    const number = gasMeterBehind(this.model.population, this.number)
    if (number === undefined) return undefined
    return this.model.meterOf?.(number) ?? new Meter(this.model, number)
  }

  /** The object, or why there is none for that client. */
  private objectFor(descriptor: Buffer, link: Link): SimulatedObject | number {
    const object = this.table.find(descriptor)
    if (object === undefined || object.isThere?.(link) === false)
      return DataAccessResult.OBJECT_UNDEFINED
    if (object.classId !== ((descriptor[0]! << 8) | descriptor[1]!))
      return DataAccessResult.OBJECT_CLASS_INCONSISTENT
    if (link.role === 'public' && !object.isPublic) return DataAccessResult.READ_WRITE_DENIED
    return object
  }

  get(descriptor: Buffer, selection: Buffer | undefined, link: Link = noLink): Buffer | number {
    const object = this.objectFor(descriptor, link)
    if (typeof object === 'number') return object
    const attribute = descriptor[8]!
    if (attribute === 1)
      return selection === undefined
        ? object.logicalName
        : DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    if (attribute === 0 || attribute > object.attributeMax)
      return DataAccessResult.READ_WRITE_DENIED
    if (selection !== undefined && object.selectors.length === 0)
      return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    return object.read(this, attribute, this.model.clock.now(), selection, link)
  }

  set(
    descriptor: Buffer,
    selection: Buffer | undefined,
    valueView: Buffer,
    link: Link = noLink,
  ): number {
    const object = this.objectFor(descriptor, link)
    if (typeof object === 'number') return object
    if (object.write === undefined || link.role === 'public')
      return DataAccessResult.READ_WRITE_DENIED
    if (selection !== undefined) return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    return object.write(this, descriptor[8]!, valueView, this.model.clock.now())
  }

  invoke(
    descriptor: Buffer,
    parameterView: Buffer | undefined,
    link: Link = noLink,
  ): { result: number; value?: Buffer } {
    const object = this.objectFor(descriptor, link)
    if (typeof object === 'number') return { result: object }
    if (object.invoke === undefined || link.role === 'public')
      return { result: DataAccessResult.READ_WRITE_DENIED }
    const outcome = object.invoke(this, descriptor[8]!, parameterView, this.model.clock.now())
    return typeof outcome === 'number' ? { result: outcome } : outcome
  }

  /** What this meter's clock shows when it is `nowMs`: off by what it was, and drifting a little since it was set. */
  timeAt(nowMs: number): number {
    if (this.clockSetAtMs === 0) return nowMs + this.clockAheadMs
    const driftPpm = drawBelow(17, this.seed, Stream.CLOCK, 1) - 8
    return nowMs + this.clockAheadMs + Math.round(((nowMs - this.clockSetAtMs) * driftPpm) / 1e6)
  }

  /** Sets the clock to `timeMs`. */
  setClock(timeMs: number, nowMs: number, before: EventCode, after: EventCode): void {
    this.record(before, nowMs)
    this.clockAheadMs = timeMs - nowMs
    this.clockSetAtMs = nowMs
    this.record(after, nowMs)
  }

  /** What has flowed in (or been burnt) up to `utcMs`: Wh, or litres. */
  loadAt(utcMs: number): number {
    const { doings } = this
    return doings === undefined
      ? amountAt(this.load, utcMs)
      : lessGaps(this.load, utcMs, amountAt(this.load, utcMs), doings.gaps, doings.forgottenLoad)
  }

  /** What has flowed back up to `utcMs`, Wh. */
  feedAt(utcMs: number): number {
    const { doings, feed } = this
    if (feed === undefined) return 0
    return doings === undefined
      ? amountAt(feed, utcMs)
      : lessGaps(feed, utcMs, amountAt(feed, utcMs), doings.gaps, doings.forgottenFeed)
  }

  /** Takes gaps out of amounts that stand in `amounts[0, count)` for the moments `stamps`. */
  takeOutGaps(stamps: Float64Array, amounts: Float64Array, count: number): void {
    const { doings } = this
    if (doings === undefined || (doings.gaps.length === 0 && doings.forgottenLoad === 0)) return
    for (let i = 0; i < count; i++)
      amounts[i] = lessGaps(this.load, stamps[i]!, amounts[i]!, doings.gaps, doings.forgottenLoad)
  }

  /** UTC ms at which the meter was put in. */
  get putInAtMs(): number {
    return this.load.firstDay * dayMs
  }

  /** Switches the supply; what flows in the time without it is missing for good. */
  switchTo(state: ControlState, nowMs: number, code: EventCode): void {
    const wasConnected = this.isConnected
    this.controlState = state
    const doings = this.record(code, nowMs)
    if (wasConnected === this.isConnected) return
    if (this.isConnected) {
      doings.gaps.at(-1)!.untilMs = nowMs
      return
    }
    doings.gaps.push({ fromMs: nowMs, untilMs: Infinity })
    if (doings.gaps.length <= supplyGapsMax) return
    const { fromMs, untilMs } = doings.gaps.shift()!
    doings.forgottenLoad += amountAt(this.load, untilMs) - amountAt(this.load, fromMs)
    if (this.feed !== undefined)
      doings.forgottenFeed += amountAt(this.feed, untilMs) - amountAt(this.feed, fromMs)
  }

  /** Does `action` at `atMs`, instead of what was to be done for that purpose before; never, when there is no `atMs`. */
  plan(purpose: string, atMs: number | undefined, action: () => void): void {
    if (atMs === undefined && this.doings?.agenda === undefined) return
    const doings = this.doingsOrNew()
    doings.agenda ??= new Map()
    doings.agenda.get(purpose)?.()
    doings.agenda.delete(purpose)
    if (atMs === undefined) return
    const callOff = this.model.clock.at(atMs, () => {
      doings.agenda!.delete(purpose)
      action()
    })
    doings.agenda.set(purpose, callOff)
  }

  /** Does nothing more by itself. */
  callOffPlans(): void {
    for (const callOff of this.doings?.agenda?.values() ?? []) callOff()
    this.doings?.agenda?.clear()
  }

  /** Remembers an event; gives the doings, which exist then. */
  record(code: EventCode, nowMs: number): MeterDoings {
    const doings = this.doingsOrNew()
    doings.events.push({ atMs: nowMs, code })
    if (doings.events.length > doingsMax) doings.events.shift()
    return doings
  }

  doingsOrNew(): MeterDoings {
    this.doings ??= {
      events: [],
      gaps: [],
      forgottenLoad: 0,
      forgottenFeed: 0,
      messageBytes: undefined,
      preset: undefined,
    }
    return this.doings
  }
}

/** The system title of a meter: its EUI-64. */
function titleOf(number: number): Buffer {
  const title = Buffer.alloc(8)
  writeMeterEui64(number, title)
  return title
}

/** `amount` at `utcMs` without what would have flowed in the gaps before. */
function lessGaps(
  traits: LoadTraits,
  utcMs: number,
  amount: number,
  gaps: readonly SupplyGap[],
  forgotten: number,
): number {
  let missing = forgotten
  for (const { fromMs, untilMs } of gaps) {
    if (fromMs < utcMs)
      missing += amountAt(traits, Math.min(untilMs, utcMs)) - amountAt(traits, fromMs)
  }
  return Math.max(0, amount - missing)
}
