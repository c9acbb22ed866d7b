/**
 * The voltage at a meter as a function of its seed and the time: GB low voltage, 230 V −6 % to +10
 * %, lower when the street draws more.
 */
import { Stream, drawBelow, drawFraction } from './chance.ts'
import { halfHoursPerDay } from './day-shape.ts'
import { dayMs } from './load-curve.ts'

/** Average of a half hour (counted since 1970), in tenths of a volt. */
export function averageDecivolts(seed: number, halfHour: number): number {
  const hour = (((halfHour % halfHoursPerDay) + halfHoursPerDay) % halfHoursPerDay) / 2
  const evening = Math.max(0, 1 - Math.abs(hour - 18.5) / 4)
  const morning = Math.max(0, 1 - Math.abs(hour - 7.5) / 2)
  const place = drawBelow(80, seed, Stream.VOLTAGE, -1) - 40
  return (
    Math.round(2415 + place - 45 * evening - 25 * morning) +
    drawBelow(31, seed, Stream.VOLTAGE, halfHour) -
    15
  )
}

/** At a moment: the average with a ripple of its own each second. */
export function momentaryDecivolts(seed: number, utcMs: number, halfHour: number): number {
  return (
    averageDecivolts(seed, halfHour) +
    drawBelow(21, seed, Stream.VOLTAGE, Math.floor(utcMs / 1000), 1) -
    10
  )
}

/**
 * Sags or swells counted since `firstDay`; never falls. A place has between none and `yearlyMax` a
 * year.
 */
export function disturbanceCount(
  seed: number,
  kind: 'sag' | 'swell',
  firstDay: number,
  utcMs: number,
): number {
  const yearlyMax = kind === 'sag' ? 14 : 4
  const days = Math.max(0, utcMs / dayMs - firstDay)
  return Math.floor(
    (days / 365.25) * yearlyMax * drawFraction(seed, Stream.DISTURBANCE, kind === 'sag' ? 0 : 1),
  )
}
