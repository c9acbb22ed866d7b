/**
 * Whether a figure that is taken again and again stays flat or grows. Judged is the second half of
 * the samples, when caches and rings have filled up: the Theil–Sen slope (the median of the slopes
 * of all pairs, so that single samples far off do not count) times the length of that half is its
 * growth. A figure grows when this is above its bound and the Mann–Kendall test says that a series
 * without a trend would look so in one of a thousand cases or fewer.
 */

/**
 * How much a figure may grow in the second half: the larger of a share of its level and a number of
 * its own unit.
 */
export type GrowthBound = { readonly share: number; readonly least: number }

export type Judgement = {
  /** Median of the second half. */
  readonly level: number
  readonly growth: number
  readonly allowed: number
  /** Of the Mann–Kendall test: standard deviations above a series without a trend. */
  readonly trend: number
  readonly isFlat: boolean
}

/** One-sided, 0.1 %. */
const trendMax = 3.09
/** With fewer samples even a series that rises all the time does not reach `trendMax`. */
export const judgedSamplesMin = 8

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Of `values` at equal distances, a step. */
export function theilSenSlope(values: readonly number[]): number {
  const slopes: number[] = []
  for (let i = 0; i < values.length; i++)
    for (let j = i + 1; j < values.length; j++) slopes.push((values[j]! - values[i]!) / (j - i))
  return median(slopes)
}

/**
 * @source H. B. Mann, "Nonparametric tests against trend" (1945); variance with ties: M. G.
 * Kendall, "Rank correlation methods"
 */
export function mannKendall(values: readonly number[]): number {
  const { length } = values
  let sum = 0
  for (let i = 0; i < length; i++)
    for (let j = i + 1; j < length; j++) sum += Math.sign(values[j]! - values[i]!)
  const ties = new Map<number, number>()
  for (const value of values) ties.set(value, (ties.get(value) ?? 0) + 1)
  const part = (count: number): number => count * (count - 1) * (2 * count + 5)
  const tied = [...ties.values()].reduce((total, count) => total + part(count), 0)
  const variance = (part(length) - tied) / 18
  return variance === 0 ? 0 : (sum - Math.sign(sum)) / Math.sqrt(variance)
}

/** @param values  in order, at equal distances; at least twice `judgedSamplesMin` */
export function judge(values: readonly number[], { share, least }: GrowthBound): Judgement {
  const judged = values.slice(values.length >> 1)
  if (values.length < 2 * judgedSamplesMin)
    throw new RangeError(`${values.length} samples: ${2 * judgedSamplesMin} are needed`)
  const level = median(judged)
  const growth = theilSenSlope(judged) * (judged.length - 1)
  const allowed = Math.max(share * level, least)
  const trend = mannKendall(judged)
  return { level, growth, allowed, trend, isFlat: growth <= allowed || trend <= trendMax }
}
