/**
 * What the thresholds of a party remember, or those over all parties: how much has passed in the
 * present window of each, and how many requests are in quarantine.
 *
 *   COUNT ─▶ below every threshold ── passed + 1 ─▶ PASSED
 *         └▶ over one of them ─▶ event + 1 ─▶ LISTED on a page ─▶ QUARANTINED ─▶ LEFT ─▶ UNLISTED
 *
 * The window of a threshold only moves on: a clock that is set back counts in the window that is
 * open.
 */
import type { ThresholdRecord } from '../../core/access/thresholds.ts'

/** Of one threshold. */
export type Count = {
  /** Number of the open window. */
  window: number
  /** Requests that have passed in it. */
  passed: number
  /** The last window in which the party was warned; -1 for none. */
  warned: number
}

export type ThresholdState = {
  record: ThresholdRecord | undefined
  /** Of the thresholds in `record`, in its order. */
  counts: readonly Count[]
  /** Number of the last event of the quarantine. */
  lastEvent: number
  /** Requests in quarantine. */
  held: number
  /** On which pages they stand: page to how many. */
  pages: ReadonlyMap<number, number>
}

const noPages: ReadonlyMap<number, number> = new Map()

export const emptyState = (): ThresholdState => ({
  record: undefined,
  counts: [],
  lastEvent: 0,
  held: 0,
  pages: noPages,
})
