/**
 * State of one simulated meter, and the measurements that follow from it. The amounts are a
 * function of seed and time; only what was written or done to the meter is stored: clock, supply,
 * message, events. It knows no COSEM object: the objects read and change it, and meter.ts finds the
 * object for a service.
 */
import type { Clock } from '../../../core/ports/clock.ts'
import {
  ControlState,
  type ImageReceiver,
  type ProfileBuffer,
} from '../../../core/dlms/cosem/index.ts'
import type { CosemObjects } from '../../../core/dlms/server/server.ts'
import type { Mechanism } from '../../../core/dlms/security/index.ts'
import { quirksOf, type Quirks } from '../quirks/quirks.ts'
import type { Guard } from './access-guard.ts'
import type { Link, Role } from './access-link.ts'
import { Stream, drawBelow } from './chance.ts'
import { eventsMax, type EventCode, type MeterEvent } from './event-log.ts'
import { amountAt, dayMs, type LoadTraits } from './load-curve.ts'
import { MeterSecurity } from './meter-security.ts'
import {
  feedOf,
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
} from './population.ts'

/** Shared by all meters of a fleet. */
export type MeterModel = {
  readonly population: Population
  readonly clock: Clock
  /** Another meter of the fleet. */
  meterOf?(number: number): MeterState
  /**
   * Sends a meter's push to where it was told to; settles when that is done. @throws what the way
   * there says
   */
  send?(meter: MeterState, destination: string): Promise<void>
}

/** A time without supply, UTC ms; `untilMs` is Infinity while it lasts. Nothing flows in it. */
export type SupplyGap = { readonly fromMs: number; untilMs: number }

/**
 * Gaps whose place in the profile is remembered; the amounts of older ones stay missing from the
 * registers.
 */
const supplyGapsMax = 8

/** What clients wrote to a meter and did to it; undefined for most meters. */
export type MeterChanges = {
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
  /**
   * Of the demand register: where its period began out of turn, and the average that it showed
   * then.
   */
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

/** Object lists of the meter's kind, as association objects show them. */
export interface ObjectLists {
  list(role: Role, link: Link): Buffer
  /** Part of the list, or a data-access-result. */
  selectedList(role: Role, link: Link, selection: Buffer): Buffer | number
  shortNameList(role: Role): Buffer
}

export abstract class MeterState implements CosemObjects {
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
  changes: MeterChanges | undefined = undefined
  /** Of a meter under a security suite. */
  readonly security: MeterSecurity | undefined
  /** Shared by all meters of its kind. */
  abstract readonly table: ObjectLists

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
        : new MeterSecurity({
            fleetSeed: model.population.seed,
            meterSeed: this.seed,
            suite,
            title: titleOf(number),
            startMs: model.clock.now(),
            quirks: this.quirks,
          })
    this.clockAheadMs = (drawBelow(1601, this.seed, Stream.CLOCK, 0) - 800) * 10
  }

  abstract get(descriptor: Buffer, selection: Buffer | undefined, link?: Link): Buffer | number
  abstract set(
    descriptor: Buffer,
    selection: Buffer | undefined,
    valueView: Buffer,
    link?: Link,
  ): number
  abstract invoke(
    descriptor: Buffer,
    parameterView: Buffer | undefined,
    link?: Link,
  ): { result: number; value?: Buffer }
  /** The gas meter that this one reads over M-Bus. */
  abstract get gasMeter(): MeterState | undefined

  /** The secret of low-level security. */
  get secret(): Buffer | undefined {
    return this.changes?.secretBytes ?? secretOf(this.model.population, this.seed)
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

  get guard(): Guard {
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

  /**
   * What this meter's clock shows when it is `nowMs`: off by what it was, and drifting a little
   * since it was set.
   */
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
    const { changes } = this
    return changes === undefined
      ? amountAt(this.load, utcMs)
      : lessGaps(this.load, utcMs, amountAt(this.load, utcMs), changes.gaps, changes.forgottenLoad)
  }

  /** What has flowed back up to `utcMs`, Wh. */
  feedAt(utcMs: number): number {
    const { changes, feed } = this
    if (feed === undefined) return 0
    return changes === undefined
      ? amountAt(feed, utcMs)
      : lessGaps(feed, utcMs, amountAt(feed, utcMs), changes.gaps, changes.forgottenFeed)
  }

  /** Takes gaps out of amounts that stand in `amounts[0, count)` for the moments `stamps`. */
  takeOutGaps(stamps: Float64Array, amounts: Float64Array, count: number): void {
    const { changes } = this
    if (changes === undefined || (changes.gaps.length === 0 && changes.forgottenLoad === 0)) return
    for (let i = 0; i < count; i++)
      amounts[i] = lessGaps(this.load, stamps[i]!, amounts[i]!, changes.gaps, changes.forgottenLoad)
  }

  /** UTC ms at which the meter was put in. */
  get putInAtMs(): number {
    return this.load.firstDay * dayMs
  }

  /** Switches the supply; what flows in the time without it is missing for good. */
  switchTo(state: ControlState, nowMs: number, code: EventCode): void {
    const wasConnected = this.isConnected
    this.controlState = state
    const changes = this.record(code, nowMs)
    if (wasConnected === this.isConnected) return
    if (this.isConnected) {
      changes.gaps.at(-1)!.untilMs = nowMs
      return
    }
    changes.gaps.push({ fromMs: nowMs, untilMs: Infinity })
    if (changes.gaps.length <= supplyGapsMax) return
    const { fromMs, untilMs } = changes.gaps.shift()!
    changes.forgottenLoad += amountAt(this.load, untilMs) - amountAt(this.load, fromMs)
    if (this.feed !== undefined)
      changes.forgottenFeed += amountAt(this.feed, untilMs) - amountAt(this.feed, fromMs)
  }

  /**
   * Does `action` at `atMs`, instead of what was to be done for that purpose before; never, when
   * there is no `atMs`.
   */
  plan(purpose: string, atMs: number | undefined, action: () => void): void {
    if (atMs === undefined && this.changes?.agenda === undefined) return
    const changes = this.changesOrNew()
    changes.agenda ??= new Map()
    changes.agenda.get(purpose)?.()
    changes.agenda.delete(purpose)
    if (atMs === undefined) return
    const callOff = this.model.clock.at(atMs, () => {
      changes.agenda!.delete(purpose)
      action()
    })
    changes.agenda.set(purpose, callOff)
  }

  /** Does nothing more by itself. */
  callOffPlans(): void {
    for (const callOff of this.changes?.agenda?.values() ?? []) callOff()
    this.changes?.agenda?.clear()
  }

  /** Records an event; returns the changes, which exist from then on. */
  record(code: EventCode, nowMs: number): MeterChanges {
    const changes = this.changesOrNew()
    changes.events.push({ atMs: nowMs, code })
    if (changes.events.length > eventsMax) changes.events.shift()
    return changes
  }

  changesOrNew(): MeterChanges {
    this.changes ??= {
      events: [],
      gaps: [],
      forgottenLoad: 0,
      forgottenFeed: 0,
      messageBytes: undefined,
      preset: undefined,
    }
    return this.changes
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
