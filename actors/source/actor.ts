/**
 * The source: a registration system, and which of its files are applied, in their order. It is told
 * by the process that has a file, and by operators; it never acts by itself. Pure. What operators
 * should see of it enters the directory in the commit of the fact.
 */
import type { Directory } from '../../core/access/directory.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ErrorCode } from '../../core/base/error-table.ts'
import { readEui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithMeterPoints } from '../../core/cluster/format.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import { Kind, offsetOf } from '../../core/envelope/layout.ts'
import {
  decodeSourceChange,
  type OpenedFile,
  type SourceChange,
} from '../../core/registration/source-change.ts'
import { isSource } from '../../core/registration/source-id.ts'
import {
  encodeSourceRecord,
  encodeSourceReport,
  sourceRecordOf,
} from '../../core/registration/source-report.ts'
import {
  heldBehind,
  needsOperator,
  nextFile,
  noProgress,
  withHeld,
  type EndedFile,
  type OpenFile,
  type SourceFile,
  type SourceState,
} from '../../core/registration/source-state.ts'
import { refuse, type Enter, type Outbox } from '../kind/effects.ts'
import { isArrived, type ActorMessage, type Arrived } from '../kind/messages.ts'
import type { SourceFact, SourceFileEnded } from './facts.ts'
import type { SourceBox } from './state.ts'

export type SourceOutbox = Outbox<SourceFact, Enter>

/** Says what a message means; a source never asks to be woken. */
export function decide(
  { source }: SourceBox,
  message: ActorMessage,
  now: number,
  directory: Directory,
  out: SourceOutbox,
): void {
  if (!isArrived(message)) return
  const { buffer, at } = message
  const octets = readEui64(buffer, at + offsetOf.target)
  if (!isSource(octets)) return refuse(out, message, 'SOURCE_UNKNOWN', now)
  if (readKind(buffer, at) === Kind.SOURCE_QUERY)
    return source.sinceMs === 0
      ? refuse(out, message, 'SOURCE_UNKNOWN', now)
      : report(source, message, out)
  if (directory.format < formatWithMeterPoints)
    return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  const change = changeIn(readBodyView(buffer, at))
  if (typeof change === 'string') return refuse(out, message, change, now)
  if (source.sinceMs === 0) {
    if (change.change !== 'open') return refuse(out, message, 'SOURCE_UNKNOWN', now)
    if (directory.sources.size >= limits.sourcesMax)
      return refuse(out, message, 'SOURCE_LIMIT_EXCEEDED', now)
  }
  const fact = factOf(source, change, now)
  if (typeof fact === 'string') return refuse(out, message, fact, now)
  if (fact === undefined) return report(source, message, out)
  const after = stateAfter(source, fact)
  out.facts.push(fact)
  // Progress would be a record of the directory every few seconds; it is asked of the actor.
  if (fact.type !== 'SOURCE_FILE_PROGRESSED')
    out.effects.push({ type: 'ENTER', bodyBytes: encodeSourceRecord(sourceRecordOf(after)) })
  report(after, message, out)
}

function report(source: SourceState, { replyTo }: Arrived, out: SourceOutbox): void {
  const bodyBytes = encodeSourceReport(source)
  out.effects.push({ type: 'REPORT', kind: Kind.SOURCE, replyTo, bodyBytes })
}

function changeIn(body: Buffer): SourceChange | ErrorCode {
  try {
    return decodeSourceChange(body)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return fault.code
  }
}

type Decision = SourceFact | undefined | ErrorCode

/** The fact that `change` leads to, undefined when it changes nothing, or why it is refused. */
function factOf(source: SourceState, change: SourceChange, time: number): Decision {
  switch (change.change) {
    case 'open':
      return opened(source, change.file, time)
    case 'compared': {
      const { counts, percentMax } = change
      const open = openOf(source, change.of)
      if (open === undefined) return closedOf(source, change.of)
      if (open.stage !== 'comparing') return undefined
      const isWaiting = needsOperator(counts, percentMax)
      return { type: 'SOURCE_FILE_COMPARED', time, counts, percentMax, isWaiting }
    }
    case 'progress': {
      const { progress } = change
      const open = openOf(source, change.of)
      if (open === undefined) return closedOf(source, change.of)
      if (open.stage === 'waiting' || progress.done < open.progress.done) return undefined
      return { type: 'SOURCE_FILE_PROGRESSED', time, progress }
    }
    case 'end': {
      const { progress, of } = change
      const open = openOf(source, of)
      if (open === undefined) return closedOf(source, of)
      if (open.stage !== 'loading') return 'SOURCE_FILE_NOT_WAITING'
      return endOf(of.sequence, { outcome: 'applied', progress, time, by: '' })
    }
    default:
      return operated(source, change, time)
  }
}

const endOf = (
  sequence: number,
  end: Pick<SourceFileEnded, 'outcome' | 'progress' | 'time' | 'by'>,
): SourceFileEnded => ({ type: 'SOURCE_FILE_ENDED', sequence, ...end })

/** The open file, if it is the one that is named, and the same process applies it. */
function openOf(
  { open }: SourceState,
  { sequence, digest, keeper }: OpenedFile,
): OpenFile | undefined {
  const file = open?.file
  const isIt = file?.sequence === sequence && file.digest === digest && file.keeper === keeper
  return isIt ? open : undefined
}

/** Of a file that is not open: it has ended, or somebody else goes on with it. */
const closedOf = ({ ended }: SourceState, { sequence, digest }: OpenedFile): Decision =>
  ended.some((one) => one.sequence === sequence && one.digest === digest)
    ? undefined
    : 'SOURCE_BUSY'

function opened(source: SourceState, file: SourceFile, time: number): Decision {
  const { open, held, ended, taken } = source
  const { sequence, digest, keeper } = file
  if (open?.file.sequence === sequence) {
    if (open.file.digest !== digest) return 'SOURCE_FILE_DIFFERENT'
    if (open.file.keeper === keeper) return undefined
    // Its process is at work, or was a moment ago.
    if (time - open.notedAtMs < limits.sourceSilenceMsMax) return 'SOURCE_BUSY'
    return { type: 'SOURCE_FILE_BEGUN', time, file }
  }
  if (sequence <= taken) {
    const known = ended.findLast((one) => one.sequence === sequence)
    return known === undefined || known.digest === digest ? undefined : 'SOURCE_FILE_DIFFERENT'
  }
  const waiting = held.find((one) => one.sequence === sequence)
  if (waiting !== undefined && waiting.digest !== digest) return 'SOURCE_FILE_DIFFERENT'
  switch (nextFile(source, file)) {
    case 'take':
      return { type: 'SOURCE_FILE_BEGUN', time, file }
    case 'full':
      return 'SOURCE_FILES_HELD'
    default:
      // The process that has just got the octets has them for sure.
      return waiting?.keeper === keeper ? undefined : { type: 'SOURCE_FILE_HELD', time, file }
  }
}

function operated(
  source: SourceState,
  change: Extract<SourceChange, { by: string }>,
  time: number,
): Decision {
  const { open, held, taken } = source
  const { by } = change
  if (change.change === 'release') {
    const { through } = change
    if (open !== undefined) return 'SOURCE_BUSY'
    if (through <= taken) return undefined
    // No further than the gap: a file that waits is to be applied, or rejected by name.
    const isGap = held.length > 0 && held.every(({ sequence }) => sequence > through)
    return isGap ? { type: 'SOURCE_RELEASED', time, through, by } : 'SOURCE_FILE_NOT_WAITING'
  }
  const { sequence } = change
  const isOpen = open?.file.sequence === sequence
  if (isOpen && open.stage === 'waiting')
    return change.change === 'approve'
      ? { type: 'SOURCE_FILE_APPROVED', time, by }
      : endOf(sequence, { outcome: 'rejected', progress: noProgress, time, by })
  const isHeld = held.some((one) => one.sequence === sequence)
  return change.change === 'reject' && isHeld
    ? endOf(sequence, { outcome: 'rejected', progress: noProgress, time, by })
    : 'SOURCE_FILE_NOT_WAITING'
}

/** The only place that changes the state. */
export function evolve(box: SourceBox, fact: SourceFact): void {
  box.source = stateAfter(box.source, fact)
}

function stateAfter(before: SourceState, fact: SourceFact): SourceState {
  const { time } = fact
  const source = before.sinceMs === 0 ? { ...before, sinceMs: time } : before
  const { open, held } = source
  switch (fact.type) {
    case 'SOURCE_FILE_HELD':
      return { ...source, held: withHeld(held, fact.file) }
    case 'SOURCE_FILE_BEGUN': {
      const { file } = fact
      const stage = file.kind === 'refresh' ? 'comparing' : 'loading'
      return {
        ...source,
        held: held.filter(({ sequence }) => sequence !== file.sequence),
        open: { file, stage, progress: noProgress, begunAtMs: time, notedAtMs: time },
      }
    }
    case 'SOURCE_RELEASED':
      return { ...source, taken: fact.through, held: heldBehind(held, fact.through) }
    case 'SOURCE_FILE_ENDED':
      return ended(source, fact)
    default:
      // Of an open file; a fact of another one is never written.
      return open === undefined ? source : { ...source, open: openAfter(open, fact) }
  }
}

function openAfter(
  open: OpenFile,
  fact: Extract<
    SourceFact,
    { type: 'SOURCE_FILE_COMPARED' | 'SOURCE_FILE_APPROVED' | 'SOURCE_FILE_PROGRESSED' }
  >,
): OpenFile {
  const noted = { ...open, notedAtMs: fact.time }
  if (fact.type === 'SOURCE_FILE_PROGRESSED') return { ...noted, progress: fact.progress }
  if (fact.type === 'SOURCE_FILE_APPROVED') return { ...noted, stage: 'loading' }
  return { ...noted, counts: fact.counts, stage: fact.isWaiting ? 'waiting' : 'loading' }
}

function ended(source: SourceState, fact: SourceFileEnded): SourceState {
  const { open, ...closed } = source
  const { held, taken } = source
  const { sequence, outcome, progress, time: endedAtMs } = fact
  const isOpen = open?.file.sequence === sequence
  const of = isOpen ? open.file : held.find((one) => one.sequence === sequence)
  if (of === undefined) return source
  const { file, kind, digest, records, keeper, created } = of
  const entry: EndedFile = {
    ...{ file, kind, sequence, digest, records, outcome, progress, endedAtMs, keeper },
  }
  const rest = isOpen ? closed : source
  const list = [...source.ended, entry].slice(-limits.sourceFilesEndedMax)
  // A file that is rejected over a gap leaves the gap: what is missing may still come.
  const isTaken = outcome === 'applied' || sequence === taken + 1
  const last = isTaken ? sequence : taken
  const left = heldBehind(
    held.filter((one) => one.sequence !== sequence),
    last,
  )
  const after = { ...rest, taken: last, held: left, ended: list }
  if (outcome === 'rejected') return after
  const { done, rejected, added } = progress
  const known = kind === 'refresh' ? done - rejected : source.known + added
  return { ...after, known, createdMs: created, appliedAtMs: endedAtMs }
}
