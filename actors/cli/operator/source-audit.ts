/** Facts of registration systems and their files, in words for an audit. */
import { readTarget, readTime } from '../../../core/envelope/envelope.ts'
import { textOfSource, type SourceId } from '../../../core/registration/source-id.ts'
import { changedShare, type SourceFile } from '../../../core/registration/source-state.ts'
import { readFact, type SourceFact } from '../../source/facts.ts'
import type { AuditLine } from './audit-line.ts'

/** The fact of a source at `frame[at]`; it stands in the column of the device. */
export function lineOfSource(
  frame: Buffer,
  at: number,
  place: { sequence: number; partition: number },
): AuditLine {
  const fact = readFact(frame, at)
  return {
    ...place,
    time: readTime(frame, at),
    device: textOfSource(readTarget(frame, at) as SourceId),
    requestId: undefined,
    what: `${fact.type} ${meaningOf(fact)}`,
  }
}

function meaningOf(fact: SourceFact): string {
  switch (fact.type) {
    case 'SOURCE_FILE_HELD':
    case 'SOURCE_FILE_BEGUN':
      return textOfFile(fact.file)
    case 'SOURCE_FILE_COMPARED': {
      const share = changedShare(fact.counts).toFixed(2)
      return `changes ${share} % of ${fact.counts.known} meter points${fact.isWaiting ? ', waits' : ''}`
    }
    case 'SOURCE_FILE_APPROVED':
      return `by ${JSON.stringify(fact.by)}`
    case 'SOURCE_FILE_PROGRESSED':
      return `${fact.progress.done} records`
    case 'SOURCE_FILE_ENDED': {
      const { sequence, outcome, progress, by } = fact
      const rejected = progress.rejected > 0 ? `, ${progress.rejected} rejected` : ''
      const who = by === '' ? '' : ` by ${JSON.stringify(by)}`
      return `${sequence} ${outcome}${who}, ${progress.done} records${rejected}`
    }
    case 'SOURCE_RELEASED':
      return `through ${fact.through} by ${JSON.stringify(fact.by)}`
  }
}

const textOfFile = ({ kind, sequence, records, keeper }: SourceFile): string =>
  `${kind} ${sequence} with ${records} records, kept by ${keeper}`
