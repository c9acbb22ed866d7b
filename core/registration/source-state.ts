/**
 * Which file of a source is applied next: sequence numbers without gaps, repeats, files that wait
 * for an earlier one, and a refresh that changes too much. Pure: the caller keeps the state.
 */
import { limits } from '../base/limits.ts'
import type { FileHeader } from './file-form.ts'

export type SourceState = {
  /** Sequence number of the last file taken; 0 if none was. */
  readonly taken: number
  /** Sequence numbers of the files that wait, in rising order. */
  readonly held: readonly number[]
}

export const newSource: SourceState = { taken: 0, held: [] }

/**
 * - `take`: apply the file now.
 * - `hold`: keep the file; an earlier sequence number is missing.
 * - `repeat`: the sequence number was taken before, or its file is held.
 * - `full`: as many files wait as may; the source has to send the missing file or a refresh.
 */
export type FileDecision = 'take' | 'hold' | 'repeat' | 'full'

/**
 * What to do with a file. An update is taken in sequence only. A refresh does not need the files
 * before it, so it is taken over a gap; with a lower number it is out of date.
 */
export function nextFile(
  { taken, held }: SourceState,
  { kind, sequence }: Pick<FileHeader, 'kind' | 'sequence'>,
): FileDecision {
  if (sequence <= taken) return 'repeat'
  if (kind === 'refresh' || sequence === taken + 1) return 'take'
  if (held.includes(sequence)) return 'repeat'
  return held.length < limits.registrationFilesHeldMax ? 'hold' : 'full'
}

/** The state after a file was put among those that wait. */
export function withHeld({ taken, held }: SourceState, sequence: number): SourceState {
  return { taken, held: [...held, sequence].toSorted((a, b) => a - b) }
}

/**
 * The state after a file was taken. `next` is the held file to take now; `dropped` are held files
 * that a refresh has made out of date.
 */
export function withTaken(
  { held }: SourceState,
  sequence: number,
): { state: SourceState; next: number | undefined; dropped: readonly number[] } {
  const later = held.filter((one) => one > sequence)
  return {
    state: { taken: sequence, held: later },
    next: later[0] === sequence + 1 ? later[0] : undefined,
    dropped: held.filter((one) => one < sequence),
  }
}

/** What a refresh would do, counted before any of it is applied. */
export type RefreshCounts = {
  /** Meter points of the source before the refresh. */
  readonly known: number
  /** Meter points whose items the refresh changes. */
  readonly changed: number
  /** Meter points of the refresh that were not known. */
  readonly added: number
  /** Known meter points that are not in the refresh. */
  readonly missing: number
}

/** Changes by a refresh for each 100 known meter points; 0 at the first refresh of a source. */
export function changedShare({ known, changed, added, missing }: RefreshCounts): number {
  return known === 0 ? 0 : ((changed + added + missing) * 100) / known
}

/** Whether a refresh waits for an operator: it changes more than `percentMax` of what is known. */
export function needsOperator(counts: RefreshCounts, percentMax: number): boolean {
  return changedShare(counts) > percentMax
}
