/**
 * What goes wrong in a life, by kinds. Each kind draws from a stream of its own, so that leaving
 * one out changes no draw of another: this is how the kinds that a failure needs are found.
 */
import { fnv1a32 } from '../../core/base/bytes.ts'
import { seededRandom, type Random } from '../../core/ports/random.ts'

/** Draws from a seed; `stream` keeps one use from echoing in another. */
export class Chance {
  private readonly random: Random

  constructor(seed: number, stream: string) {
    this.random = seededRandom(fnv1a32(Buffer.from(`${stream} ${seed}`)))
  }

  is(probability: number): boolean {
    return this.random.fraction() < probability
  }

  /** Below `count`. */
  pick(count: number): number {
    return Math.floor(this.random.fraction() * count)
  }

  /** A whole number, both ends inclusive. */
  between(least: number, most: number): number {
    return least + this.pick(most - least + 1)
  }

  oneOf<T>(list: readonly T[]): T {
    return list[this.pick(list.length)]!
  }
}

export const faultKinds = [
  'hosts die',
  'hosts are paused',
  'hosts leave',
  'disks are lost, old or damaged',
  'saves fail',
  'clocks jump',
  'frames are lost, late or doubled',
  'hosts are cut off the bus',
  'commits fail',
  'the ledger cannot be read',
  'snapshots and cursors fail',
  'everything is slow',
  'meters vanish',
  'other head-ends use the keys of meters',
  'devices are removed',
  'suppliers change',
  'parties are counted',
  'consents change',
  'requests are sequenced',
  'requests are for a later time',
  'schedules run',
  'meters send alerts',
  'gateways die or are paused',
  'parties stall',
  'the directory is followed slowly',
] as const
export type FaultKind = (typeof faultKinds)[number]

export class Faults {
  /** While false nothing goes wrong, and nothing is drawn but how long things take. */
  areOn = false
  private readonly without: ReadonlySet<FaultKind>
  private readonly streams: ReadonlyMap<FaultKind, Chance>

  constructor(seed: number, without: ReadonlySet<FaultKind>) {
    this.without = without
    this.streams = new Map(faultKinds.map((kind) => [kind, new Chance(seed, kind)]))
  }

  isLeftOut(kind: FaultKind): boolean {
    return this.without.has(kind)
  }

  /** For what belongs to a fault that has struck. */
  of(kind: FaultKind): Chance {
    return this.streams.get(kind)!
  }

  strikes(kind: FaultKind, probability: number): boolean {
    return this.areOn && !this.without.has(kind) && this.of(kind).is(probability)
  }

  /** How long something takes, in ms: a moment as a rule, sometimes seconds. */
  durationMs(): number {
    const kind = 'everything is slow'
    if (this.strikes(kind, 0.03)) return this.of(kind).between(100, 1_500)
    if (this.strikes(kind, 0.004)) return this.of(kind).between(2_000, 8_000)
    return this.of(kind).between(0, 3)
  }

  /** What becomes of a frame on the bus; see SimBusOptions. */
  arrivals(): readonly number[] {
    const kind = 'frames are lost, late or doubled'
    if (!this.strikes(kind, 0.1)) return [0]
    const draw = this.of(kind)
    const delayMs = (): number => draw.between(1, draw.is(0.1) ? 20_000 : 400)
    if (draw.is(0.3)) return []
    return draw.is(0.5) ? [delayMs()] : [0, delayMs()]
  }
}
