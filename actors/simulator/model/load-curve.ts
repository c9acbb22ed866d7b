/**
 * The load curve of a meter: how much has flowed up to any moment, in whole units (Wh, or litres of
 * gas), as a pure function of the meter's traits and the time. The register is primary and the half
 * hours are its differences, so register and profile agree to the unit and any moment costs the
 * same, however far it is from the first day.
 *
 * The trick is to bend time instead of adding up random loads: the amount before a day is dayAmount
 * × season(week(day) + noise), where each of these runs forward only and its slope is the factor
 * wanted (winter against summer, weekend against weekday, one day against the next). Nested, their
 * slopes multiply. Within a day the amount falls on the half hours by a day shape whose boundaries
 * are moved to and fro a little, which makes each half hour differ from the same one of other days.
 * UTC throughout, as GB meters.
 */
import { Stream, draw, drawFraction } from './chance.ts'
import {
  gasHeating,
  halfHoursPerDay,
  households,
  shapeSteps,
  solar,
  type DayShape,
} from './day-shape.ts'

export const dayMs = 86_400_000
export const halfHourMs = 1_800_000

/** The half hour that `utcMs` lies in, counted since 1970. */
export const halfHourOf = (utcMs: number): number => Math.floor(utcMs / halfHourMs)

/** What flows, and by whose habits; made by `loadTraits`. */
export type LoadTraits = LoadHabits & {
  /**
   * What the curve had come to on its first day, which is taken off again: the register stood at 0
   * then.
   */
  readonly startAmount: number
}
export type LoadHabits = {
  /** Seeds the noise of this curve alone. */
  readonly noiseSeed: number
  /** Average a day: Wh, or litres of gas. */
  readonly dayAmount: number
  /** Days since 1970 at which the register stood at 0. */
  readonly firstDay: number
  readonly climate: Climate
  readonly habit: Habit
}

/**
 * How the days of a year differ. `swing` in [0, 1): midwinter is 1 + swing, midsummer 1 − swing; or
 * the other way round.
 */
export type Climate = {
  readonly swing: number
  readonly peakDay: number
  readonly noise: number
  readonly weekly: boolean
}
export type Habit = { readonly working: DayShape; readonly free: DayShape }

export const electricityClimate: Climate = { swing: 0.22, peakDay: 12, noise: 0.35, weekly: true }
export const gasClimate: Climate = { swing: 0.85, peakDay: 20, noise: 0.3, weekly: true }
export const solarClimate: Climate = { swing: 0.78, peakDay: 172, noise: 0.8, weekly: false }
export const householdHabits: readonly Habit[] = households
export const gasHabit: Habit = gasHeating
export const solarHabit: Habit = solar

const yearDays = 365.2425
const seasonFactor = yearDays / (2 * Math.PI)

// 1 January 1970 was a Thursday; weekends take a little more. The week's weights add up to 7.
const weekendWeight = 1.125
const weekdayWeight = (7 - 2 * weekendWeight) / 5
const weekSums = (() => {
  const sums = new Float64Array(7)
  for (let i = 1; i < 7; i++)
    sums[i] = sums[i - 1]! + (isFree(i - 1) ? weekendWeight : weekdayWeight)
  return sums
})()

/** True on Saturdays and Sundays. */
function isFree(day: number): boolean {
  const weekday = day % 7
  return weekday === 2 || weekday === 3
}

/**
 * Bends the day number; rises by more than 0 from each day to the next because `noise` is below
 * every day's weight.
 */
function bentDay({ noiseSeed, climate }: LoadHabits, day: number): number {
  const even = climate.weekly ? day - (day % 7) + weekSums[day % 7]! : day
  const noisy = even + climate.noise * drawFraction(noiseSeed, Stream.DAY, day)
  return noisy + climate.swing * seasonFactor * Math.sin((noisy - climate.peakDay) / seasonFactor)
}

export function loadTraits(habits: LoadHabits): LoadTraits {
  return { ...habits, startAmount: Math.floor(habits.dayAmount * bentDay(habits, habits.firstDay)) }
}

/** The amount that had flowed when `day` began; 0 up to the first day. Whole, never falls. */
export function amountBeforeDay(traits: LoadTraits, day: number): number {
  if (day <= traits.firstDay) return 0
  return Math.floor(traits.dayAmount * bentDay(traits, day)) - traits.startAmount
}

/**
 * The part of a day's `dayTotal` that flows before its half hour `k` (0 to 48). Whole, never falls.
 */
function partBefore(
  traits: LoadTraits,
  shape: DayShape,
  day: number,
  k: number,
  dayTotal: number,
): number {
  if (k === 0) return 0
  if (k === halfHoursPerDay) return dayTotal
  // A boundary moves by up to 24 of its 64 steps either way, so neighbours keep their order.
  const chance = draw(traits.noiseSeed, Stream.HALF_HOUR, day, k)
  const moved = k * shapeSteps + (chance & 31) + ((chance >>> 8) & 15) - 24
  const whole = Math.trunc(moved / shapeSteps)
  const below = shape.sums[whole]!
  const weight =
    below * shapeSteps + (shape.sums[whole + 1]! - below) * (moved - whole * shapeSteps)
  // Exact: both factors are whole and their product stays far below 2^53.
  return Math.floor((dayTotal * weight) / (shape.total * shapeSteps))
}

const shapeOn = (traits: LoadTraits, day: number): DayShape =>
  isFree(day) ? traits.habit.free : traits.habit.working

/**
 * The amount that had flowed when half hour `halfHour` (counted since 1970) began. Whole, never
 * falls.
 */
export function amountBeforeHalfHour(traits: LoadTraits, halfHour: number): number {
  const day = Math.floor(halfHour / halfHoursPerDay)
  if (day < traits.firstDay) return 0
  const before = amountBeforeDay(traits, day)
  const k = halfHour - day * halfHoursPerDay
  return k === 0
    ? before
    : before +
        partBefore(traits, shapeOn(traits, day), day, k, amountBeforeDay(traits, day + 1) - before)
}

/** The amount that had flowed at `utcMs`: even within a half hour. Whole, never falls. */
export function amountAt(traits: LoadTraits, utcMs: number): number {
  const halfHour = halfHourOf(utcMs)
  const day = Math.floor(halfHour / halfHoursPerDay)
  if (day < traits.firstDay) return 0
  const before = amountBeforeDay(traits, day)
  const dayTotal = amountBeforeDay(traits, day + 1) - before
  const shape = shapeOn(traits, day)
  const k = halfHour - day * halfHoursPerDay
  const from = partBefore(traits, shape, day, k, dayTotal)
  const to = partBefore(traits, shape, day, k + 1, dayTotal)
  return before + from + Math.floor(((to - from) * (utcMs - halfHour * halfHourMs)) / halfHourMs)
}

/**
 * Writes `amountBeforeHalfHour` of `count` half hours from `first` on into `out`: a day's totals
 * are worked out once.
 */
export function fillHalfHours(
  traits: LoadTraits,
  first: number,
  count: number,
  out: Float64Array,
): void {
  let at = 0
  for (let day = Math.floor(first / halfHoursPerDay); at < count; day++) {
    const before = amountBeforeDay(traits, day)
    const dayTotal = amountBeforeDay(traits, day + 1) - before
    const shape = shapeOn(traits, day)
    for (let k = first + at - day * halfHoursPerDay; k < halfHoursPerDay && at < count; k++) {
      out[at++] = before + partBefore(traits, shape, day, k, dayTotal)
    }
  }
}

/** The same for days. */
export function fillDays(
  traits: LoadTraits,
  first: number,
  count: number,
  out: Float64Array,
): void {
  for (let at = 0; at < count; at++) out[at] = amountBeforeDay(traits, first + at)
}
