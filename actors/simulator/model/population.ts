/**
 * Who meter number n is: its kind, identity, habits and secret, all from the seed and the number.
 * Numbers count from 0.
 */
import { formatEui64 } from '../../../core/base/eui64.ts'
import { Mechanism, suites } from '../../../core/dlms/security/index.ts'
import { Stream, draw, drawBelow, drawFraction } from './chance.ts'
import {
  electricityClimate,
  gasClimate,
  gasHabit,
  householdHabits,
  solarClimate,
  solarHabit,
  loadTraits,
  type LoadTraits,
} from './load-curve.ts'
import type { QuirkShare } from '../quirks/quirks.ts'

/**
 * How clients prove themselves to simulated meters unless told otherwise: GMAC, which all suites
 * have.
 */
export const simulatedMechanism: Mechanism = Mechanism.HIGH_GMAC

export type MeterType = 'ESME' | 'GSME' | 'GPF'

/**
 * Shares in [0, 1]. Gas meters and proxies are spread evenly, so that small fleets have them too;
 * the rest is drawn.
 */
export type Population = {
  readonly seed: number
  readonly gasShare: number
  readonly gasProxyShare: number
  /** Of the electricity meters. */
  readonly solarShare: number
  /**
   * Of all: they ask client 1 for a secret (low-level security); the rest talk to the public
   * client.
   */
  readonly secretShare: number
  /** Of all, by suite: under security suites 0, 1 and 2. These have no secret. */
  readonly securityShares?: readonly [number, number, number]
  /**
   * How clients prove themselves to meters under a suite, spread evenly; GMAC alone when left out.
   */
  readonly mechanisms?: readonly Mechanism[]
  /** Of meters that send local times. */
  readonly timeZone?: string
  /** How meters of other makers differ, and how many do. */
  readonly quirkShares?: readonly QuirkShare[]
}

/** Where meters that send local times are. */
export const zoneNameOf = ({ timeZone = 'Europe/Berlin' }: Population): string => timeZone

/** Meters were put in from 2019 to 2022, so each has a full 13 months. */
const firstDayMin = 17_897
const firstDaySpread = 1_400

// Of the numbers below n, this many fall to a share; a little more than nothing makes up for binary
// fractions.
const sharedOut = (n: number, share: number): number => Math.floor(n * share + 1e-9)
const falls = (n: number, share: number): boolean => sharedOut(n + 1, share) > sharedOut(n, share)

/** Gas comes at even distances, and among it the proxies do. */
export function typeOf({ gasShare, gasProxyShare }: Population, number: number): MeterType {
  const share = gasShare + gasProxyShare
  if (share === 0 || !falls(number, share)) return 'ESME'
  return falls(sharedOut(number, share), gasProxyShare / share) ? 'GPF' : 'GSME'
}

/** Seeds everything of one meter. */
export const meterSeed = ({ seed }: Population, number: number): number =>
  draw(seed, Stream.METER, number)

/** What the meter measures: electricity drawn, or gas burnt. */
export function loadOf(type: MeterType, seed: number): LoadTraits {
  const firstDay = firstDayMin + drawBelow(firstDaySpread, seed, Stream.FIRST_DAY, 0)
  // Two draws multiplied give many small and a few large homes: 2.5 to 30 kWh a day, 1 to 8 m³ of
  // gas.
  const spread = drawFraction(seed, Stream.LEVEL, 0) * drawFraction(seed, Stream.LEVEL, 1)
  if (type === 'ESME') {
    const habit = householdHabits[drawBelow(householdHabits.length, seed, Stream.HABIT, 0)]!
    return loadTraits({
      noiseSeed: seed,
      dayAmount: Math.round(2_500 + 27_500 * spread),
      firstDay,
      climate: electricityClimate,
      habit,
    })
  }
  return loadTraits({
    noiseSeed: seed,
    dayAmount: Math.round(1_000 + 7_000 * spread),
    firstDay,
    climate: gasClimate,
    habit: gasHabit,
  })
}

/** What the meter's roof feeds back, or undefined without one. */
export function feedOf(
  { solarShare }: Population,
  type: MeterType,
  seed: number,
  { firstDay }: LoadTraits,
): LoadTraits | undefined {
  if (type !== 'ESME' || drawFraction(seed, Stream.SOLAR, 0) >= solarShare) return undefined
  const dayAmount = 3_000 + drawBelow(7_000, seed, Stream.SOLAR, 1)
  return loadTraits({
    noiseSeed: draw(seed, Stream.SOLAR, 2),
    dayAmount,
    firstDay,
    climate: solarClimate,
    habit: solarHabit,
  })
}

/** `00-DB-10-00` and the number from 1 on. */
export function writeMeterEui64(number: number, out: Buffer): void {
  out.writeUInt32BE(0x00db1000, 0)
  out.writeUInt32BE(number + 1, 4)
}

const euiScratch = Buffer.alloc(8)
export function meterEui64(number: number): string {
  writeMeterEui64(number, euiScratch)
  return formatEui64(euiScratch)
}

/** The security suite of a meter, or undefined without one. */
export function suiteOf({ securityShares }: Population, seed: number): 0 | 1 | 2 | undefined {
  if (securityShares === undefined) return undefined
  let drawn = drawFraction(seed, Stream.SUITE, 0)
  for (const suite of [0, 1, 2] as const) {
    if (drawn < securityShares[suite]) return suite
    drawn -= securityShares[suite]
  }
  return undefined
}

/** True when meters under that suite can have the mechanism: ECDSA needs a curve. */
export const isOfSuite = (mechanism: Mechanism, suite: 0 | 1 | 2): boolean =>
  mechanism !== Mechanism.HIGH_ECDSA || suites[suite].curve !== undefined

/** How clients prove themselves to meter `number` of `suite`. */
export function mechanismOf(
  { mechanisms = [simulatedMechanism] }: Population,
  number: number,
  suite: 0 | 1 | 2 | undefined,
): Mechanism {
  const possible = mechanisms.filter((one) => isOfSuite(one, suite ?? 0))
  return possible[number % possible.length] ?? simulatedMechanism
}

/**
 * Sixteen printable octets that both sides know, for mechanisms that need them. Owned by the
 * caller.
 */
export function proofSecretOf(mechanism: Mechanism, seed: number): Buffer | undefined {
  const needsNone = mechanism === Mechanism.HIGH_GMAC || mechanism === Mechanism.HIGH_ECDSA
  return needsNone || mechanism === Mechanism.NONE ? undefined : secretOctets(seed)
}

/** Of the electricity meters, by seed: those that are paid in advance. */
const prepaidShare = 0.25
export const isPrepaid = (type: MeterType, seed: number): boolean =>
  type === 'ESME' && drawFraction(seed, Stream.PREPAYMENT, 0) < prepaidShare

/** The gas meter that an electricity meter reads over M-Bus: the next number, when that is one. */
export const gasMeterBehind = (population: Population, number: number): number | undefined =>
  typeOf(population, number) === 'ESME' && typeOf(population, number + 1) === 'GSME'
    ? number + 1
    : undefined

/**
 * Sixteen printable octets, or undefined for a meter without low-level security. Owned by the
 * caller.
 */
export function secretOf(population: Population, seed: number): Buffer | undefined {
  const { secretShare } = population
  if (suiteOf(population, seed) !== undefined) return undefined
  if (drawFraction(seed, Stream.SECRET, 0) >= secretShare) return undefined
  return secretOctets(seed)
}

function secretOctets(seed: number): Buffer {
  const octets = Buffer.alloc(8)
  octets.writeInt32BE(draw(seed, Stream.SECRET, 1), 0)
  octets.writeInt32BE(draw(seed, Stream.SECRET, 2), 4)
  return Buffer.from(octets.toString('hex'), 'latin1')
}
