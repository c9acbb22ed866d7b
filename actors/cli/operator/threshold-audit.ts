/** Facts of thresholds, and of the lists of quarantines, in words for an audit. */
import type { CountLetter } from '../../../core/access/count-letters.ts'
import { allParties } from '../../../core/access/thresholds.ts'
import { textOfEui64, type Eui64 } from '../../../core/base/eui64.ts'
import { readKind, readTarget, readTime } from '../../../core/envelope/envelope.ts'
import { isInBlock, quarantinePageBlocks, thresholdBlocks } from '../../../core/envelope/layout.ts'
import { readFact as readPageFact } from '../../quarantine-page/facts.ts'
import { readFact } from '../../threshold/facts.ts'
import { requestIdOf, type AuditLine } from './audit-line.ts'

export const isCountFact = (kind: number): boolean =>
  isInBlock(kind, thresholdBlocks.facts) || isInBlock(kind, quarantinePageBlocks.facts)

/** The fact at `frame[at]`, which `isCountFact`. */
export function lineOfCount(
  frame: Buffer,
  at: number,
  place: { sequence: number; partition: number },
): AuditLine {
  const time = readTime(frame, at)
  if (isInBlock(readKind(frame, at), quarantinePageBlocks.facts)) {
    const { type, listed } = readPageFact(frame, at)
    return lineAbout(listed, listed.originator, `${type} ${listed.word}`, { ...place, time })
  }
  const party = readTarget(frame, at)
  const fact = readFact(frame, at)
  if (fact.type !== 'THRESHOLDS_SET') {
    const word = fact.type === 'REQUEST_COUNTED' ? ` ${fact.counted.word}` : ''
    return lineAbout(fact.counted, party, `${fact.type}${word}`, { ...place, time })
  }
  const { file, fileHash, by, thresholds } = fact.record
  const what = `${fact.type} ${thresholds.length} of file ${file}, SHA-256 ${fileHash}, by ${JSON.stringify(by)}`
  return { ...place, time, device: nameOf(party), requestId: undefined, what }
}

const nameOf = (party: Eui64): string => (party === allParties ? 'all parties' : textOfEui64(party))

function lineAbout(
  { originator, device, counter, event }: CountLetter,
  party: Eui64,
  what: string,
  place: { sequence: number; partition: number; time: number },
): AuditLine {
  const requestId = requestIdOf(originator, device, counter)
  const text = event > 0 ? `${what} as event ${event}` : what
  return { ...place, device: nameOf(party), requestId, what: text }
}
