/**
 * How a day's energy falls on its 48 half hours: whole-number weights, so that the parts of a day
 * add up exactly. Hourly sketches of the usual GB shapes (family, working couple, retired, night
 * storage; gas heating; sun), made by us.
 */

/** Sub-steps of a half hour at which a boundary may come to lie; see load-curve. */
export const shapeSteps = 64
export const halfHoursPerDay = 48

/** Rising sums of the weights: entry k is the weight before half hour k, entry 48 the whole. */
export type DayShape = { readonly sums: Int32Array; readonly total: number }

function shapeOf(hourly: readonly number[]): DayShape {
  const sums = new Int32Array(halfHoursPerDay + 1)
  for (let hour = 0; hour < 24; hour++) {
    const here = hourly[hour]!
    const next = hourly[(hour + 1) % 24]!
    sums[2 * hour + 1] = sums[2 * hour]! + 2 * here
    sums[2 * hour + 2] = sums[2 * hour + 1]! + here + next
  }
  return { sums, total: sums[halfHoursPerDay]! }
}

const family = shapeOf([
  4, 3, 3, 2, 3, 4, 8, 12, 10, 6, 5, 5, 6, 6, 5, 8, 12, 17, 18, 16, 14, 12, 9, 6,
])
const familyFree = shapeOf([
  5, 4, 3, 3, 3, 3, 4, 7, 11, 13, 12, 12, 13, 12, 10, 10, 12, 15, 16, 15, 13, 12, 10, 7,
])
const couple = shapeOf([
  3, 2, 2, 2, 2, 4, 10, 12, 6, 3, 3, 3, 3, 3, 3, 3, 5, 12, 18, 19, 17, 14, 10, 5,
])
const coupleFree = shapeOf([
  4, 3, 3, 2, 2, 2, 4, 6, 10, 12, 11, 10, 11, 10, 9, 9, 11, 14, 16, 15, 14, 12, 10, 6,
])
const retired = shapeOf([
  3, 3, 3, 3, 3, 4, 7, 10, 11, 10, 10, 11, 13, 11, 9, 9, 11, 14, 13, 11, 10, 9, 6, 4,
])
const storage = shapeOf([
  24, 26, 26, 25, 24, 20, 10, 8, 6, 4, 4, 4, 5, 4, 4, 5, 7, 10, 11, 10, 9, 8, 7, 12,
])
const heating = shapeOf([
  2, 1, 1, 1, 2, 7, 15, 17, 11, 6, 4, 4, 4, 4, 4, 6, 11, 16, 15, 12, 9, 6, 4, 3,
])
const sun = shapeOf([
  0, 0, 0, 0, 0, 1, 3, 7, 12, 17, 21, 23, 24, 23, 21, 17, 12, 7, 3, 1, 0, 0, 0, 0,
])

/** Ways to live: the shape of a working day and of a day off. */
export const households: ReadonlyArray<{ working: DayShape; free: DayShape }> = [
  { working: family, free: familyFree },
  { working: couple, free: coupleFree },
  { working: retired, free: retired },
  { working: storage, free: storage },
]
export const gasHeating = { working: heating, free: heating }
export const solar = { working: sun, free: sun }
