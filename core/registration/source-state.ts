/**
 * Which file of a source is applied next: sequence numbers without gaps, repeats, files that wait
 * for an earlier one, and a refresh that changes too much. Pure: the source's actor keeps the
 * state.
 */
import { limits } from '../base/limits.ts'
import type { FileHeader } from './file-form.ts'

/** What the source's actor knows of a file; its octets are on the disk of `keeper`. */
export type SourceFile = {
  /** What the sender calls it. */
  readonly file: string
  readonly kind: FileHeader['kind']
  readonly sequence: number
  /** By the clock of the sender, UTC ms. */
  readonly created: number
  readonly records: number
  /** SHA-256 of the file, hexadecimal. */
  readonly digest: string
  /** Whether check digits of MPANs are looked at. */
  readonly checkDigit: boolean
  /** Id of the process that has its octets, and applies it. */
  readonly keeper: string
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

/** How far a file has been applied. */
export type FileProgress = {
  /** Records that are registered or rejected. */
  readonly done: number
  readonly rejected: number
  /** Of those registered: meter points that were changed, and those that were not known. */
  readonly changed: number
  readonly added: number
}

/**
 * - `comparing`: the changes of a refresh are counted.
 * - `waiting`: the refresh changes more than it may without an operator.
 * - `loading`: its records are registered.
 */
export type FileStage = 'comparing' | 'waiting' | 'loading'

/** The file that is being applied; one at a time. */
export type OpenFile = {
  readonly file: SourceFile
  readonly stage: FileStage
  readonly counts?: RefreshCounts
  readonly progress: FileProgress
  /** UTC ms. */
  readonly begunAtMs: number
  /** Of the last note of it, UTC ms. */
  readonly notedAtMs: number
}

/** `rejected`: an operator has rejected it; nothing of it was applied. */
export type FileOutcome = 'applied' | 'rejected'

export type EndedFile = Pick<SourceFile, 'file' | 'kind' | 'sequence' | 'digest' | 'records'> & {
  readonly outcome: FileOutcome
  readonly progress: FileProgress
  readonly endedAtMs: number
  /** Keeps its response file. */
  readonly keeper: string
}

export type SourceState = {
  /** Sequence number of the last file taken; 0 if none was. */
  readonly taken: number
  /** Files that wait for an earlier one, or for the open one, by rising sequence numbers. */
  readonly held: readonly SourceFile[]
  readonly open?: OpenFile
  /** The last ones, in the order of their ends. */
  readonly ended: readonly EndedFile[]
  /** Meter points of the source: those of its last refresh, and those added since. */
  readonly known: number
  /** When the newest file that was applied was created, and applied; UTC ms, 0 for never. */
  readonly createdMs: number
  readonly appliedAtMs: number
  /** When its first file came, UTC ms. */
  readonly sinceMs: number
}

export const newSource: SourceState = {
  taken: 0,
  held: [],
  ended: [],
  known: 0,
  createdMs: 0,
  appliedAtMs: 0,
  sinceMs: 0,
}

export const noProgress: FileProgress = { done: 0, rejected: 0, changed: 0, added: 0 }

/**
 * - `take`: apply the file now.
 * - `hold`: keep the file; an earlier sequence number is missing, or its file is being applied.
 * - `repeat`: the sequence number was taken before, or its file is held.
 * - `full`: as many files wait as may; the source has to send the missing file or a refresh.
 */
export type FileDecision = 'take' | 'hold' | 'repeat' | 'full'

type OfSequence = Pick<SourceFile, 'kind' | 'sequence'>

/**
 * What to do with a file that is not open. An update is taken in sequence only. A refresh does not
 * need the files before it, so it is taken over a gap; with a lower number it is out of date. A
 * file that is held is taken as soon as it may be.
 */
export function nextFile(
  { taken, held, open }: Pick<SourceState, 'taken' | 'held' | 'open'>,
  { kind, sequence }: OfSequence,
): FileDecision {
  if (sequence <= taken || sequence === open?.file.sequence) return 'repeat'
  const isNext = kind === 'refresh' || sequence === taken + 1
  if (isNext && open === undefined) return 'take'
  if (held.some((one) => one.sequence === sequence)) return 'repeat'
  return held.length < limits.registrationFilesHeldMax ? 'hold' : 'full'
}

/** The file among those that wait which may be applied now: the next one, or else a refresh. */
export function nextHeld(
  state: Pick<SourceState, 'taken' | 'held' | 'open'>,
): SourceFile | undefined {
  const fits = state.held.filter((one) => nextFile(state, one) === 'take')
  return fits.find(({ sequence }) => sequence === state.taken + 1) ?? fits.at(-1)
}

/** The files that wait with one more, which replaces one of the same number. */
export function withHeld(held: readonly SourceFile[], file: SourceFile): readonly SourceFile[] {
  return [...held.filter(({ sequence }) => sequence !== file.sequence), file].toSorted(
    (a, b) => a.sequence - b.sequence,
  )
}

/** The files that still wait when `taken` is the last one taken: earlier ones are out of date. */
export function heldBehind(held: readonly SourceFile[], taken: number): readonly SourceFile[] {
  return held.filter(({ sequence }) => sequence > taken)
}

/** The first sequence number that is missing before a file that waits; undefined without any. */
export function missingOf({ taken, held, open }: SourceState): number | undefined {
  const last = Math.max(taken, open?.file.sequence ?? 0)
  if (held.length === 0) return undefined
  let next = last + 1
  for (const { sequence } of held) if (sequence === next) next++
  return next <= held.at(-1)!.sequence ? next : undefined
}

/** Changes by a refresh for each 100 known meter points; 0 at the first refresh of a source. */
export function changedShare({ known, changed, added, missing }: RefreshCounts): number {
  return known === 0 ? 0 : ((changed + added + missing) * 100) / known
}

/** Whether a refresh waits for an operator: it changes more than `percentMax` of what is known. */
export function needsOperator(counts: RefreshCounts, percentMax: number): boolean {
  return changedShare(counts) > percentMax
}
