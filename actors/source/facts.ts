/**
 * What has happened to a source. Bodies are MessagePack arrays with a version in front and one
 * object, whose members are those of the fact without its type and time.
 */
import { writeFactOf } from '../kind/write-fact.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readKind, readTime } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type {
  FileOutcome,
  FileProgress,
  RefreshCounts,
  SourceFile,
} from '../../core/registration/source-state.ts'
import { packTree, readTree } from '../../core/registration/versioned-tree.ts'

/** A file waits for an earlier one. */
export type SourceFileHeld = { type: 'SOURCE_FILE_HELD'; time: number; file: SourceFile }
/** A file is being applied; again when another process goes on with it. */
export type SourceFileBegun = { type: 'SOURCE_FILE_BEGUN'; time: number; file: SourceFile }
/** What a refresh would change is known. */
export type SourceFileCompared = {
  type: 'SOURCE_FILE_COMPARED'
  time: number
  counts: RefreshCounts
  /** The share of 100 above which it waits for an operator. */
  percentMax: number
  isWaiting: boolean
}
export type SourceFileApproved = { type: 'SOURCE_FILE_APPROVED'; time: number; by: string }
export type SourceFileProgressed = {
  type: 'SOURCE_FILE_PROGRESSED'
  time: number
  progress: FileProgress
}
/** The open file, or one that waits and is rejected, has ended. */
export type SourceFileEnded = {
  type: 'SOURCE_FILE_ENDED'
  time: number
  sequence: number
  outcome: FileOutcome
  progress: FileProgress
  /** Who has rejected it; empty for one that was applied. */
  by: string
}
/** Files up to `through` are not waited for any more. */
export type SourceReleased = { type: 'SOURCE_RELEASED'; time: number; through: number; by: string }

export type SourceFact =
  | SourceFileHeld
  | SourceFileBegun
  | SourceFileCompared
  | SourceFileApproved
  | SourceFileProgressed
  | SourceFileEnded
  | SourceReleased

const typeOfKind: ReadonlyMap<number, SourceFact['type']> = new Map(
  (
    [
      'SOURCE_FILE_HELD',
      'SOURCE_FILE_BEGUN',
      'SOURCE_FILE_COMPARED',
      'SOURCE_FILE_APPROVED',
      'SOURCE_FILE_PROGRESSED',
      'SOURCE_FILE_ENDED',
      'SOURCE_RELEASED',
    ] as const
  ).map((type) => [Kind[type], type]),
)

/** Appends the fact of `source` to a frame of facts. */
export function writeFact(frame: FrameWriter, source: Eui64, fact: SourceFact): void {
  const { type, time, ...members } = fact
  writeFactOf(frame, source, Kind[type], { time }, packTree(members))
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export function readFact(buffer: Buffer, at: number): SourceFact {
  const type = typeOfKind.get(readKind(buffer, at))
  if (type === undefined) throw new BrokerError('FORMAT_VERSION_LATER', 'a fact of a source')
  return readTree(
    readBodyView(buffer, at),
    'a fact of a source',
    ([members]) => ({ type, time: readTime(buffer, at), ...(members as object) }) as SourceFact,
  )
}
