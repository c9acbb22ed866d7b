/**
 * Which reports of rejections a reader of the ledger has met: one may be written twice, when its
 * answer was lost, and is taken where it stands first. Repeats follow soon, so the last ones
 * suffice.
 */
import type { ReportName } from '../../core/access/rejection-report.ts'

const rememberedMax = 10_000

export class ReportsSeen {
  private readonly places = new Map<string, number>()

  /** False for a fact of a report that was met in an earlier tick than `sequence`. */
  isFirst({ reporter, number }: ReportName, sequence: number): boolean {
    const key = `${reporter}${number}`
    const place = this.places.get(key)
    if (place !== undefined) return place === sequence
    this.places.set(key, sequence)
    if (this.places.size > rememberedMax) this.places.delete(this.places.keys().next().value!)
    return true
  }
}
