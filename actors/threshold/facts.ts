/**
 * What has happened to the thresholds of a party: a file has set them, a request was counted, one
 * has left quarantine. Bodies are MessagePack arrays with a version in front.
 */
import { writeFactOf } from '../kind/write-fact.ts'
import {
  decodeCount,
  encodeCount,
  type CountLetter,
  type CountWord,
} from '../../core/access/count-letters.ts'
import {
  decodeThresholds,
  encodeThresholds,
  type ThresholdRecord,
} from '../../core/access/thresholds.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readKind, readTime } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'

export type ThresholdsSet = { type: 'THRESHOLDS_SET'; time: number; record: ThresholdRecord }
/**
 * `counted` says what became of it, by its word: PASSED; QUARANTINED with its event; FULL. One of
 * reason ALL_PARTIES that QUARANTINED or FULL says had passed here at its `atMs` before.
 */
export type RequestCounted = { type: 'REQUEST_COUNTED'; time: number; counted: CountLetter }
/** The request of an event was released or deleted, or has ended. */
export type QuarantineLeft = { type: 'QUARANTINE_LEFT'; time: number; counted: CountLetter }
export type ThresholdFact = ThresholdsSet | RequestCounted | QuarantineLeft

export function writeFact(frame: FrameWriter, party: Eui64, fact: ThresholdFact): void {
  const body =
    fact.type === 'THRESHOLDS_SET' ? encodeThresholds(fact.record) : encodeCount(fact.counted)
  writeFactOf(frame, party, Kind[fact.type], { time: fact.time }, body)
}

const outcomes: ReadonlySet<CountWord> = new Set(['PASSED', 'QUARANTINED', 'FULL'])

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export function readFact(buffer: Buffer, at: number): ThresholdFact {
  const time = readTime(buffer, at)
  const body = readBodyView(buffer, at)
  switch (readKind(buffer, at)) {
    case Kind.THRESHOLDS_SET:
      return { type: 'THRESHOLDS_SET', time, record: decodeThresholds(body) }
    case Kind.QUARANTINE_LEFT:
      return { type: 'QUARANTINE_LEFT', time, counted: decodeCount(body) }
    case Kind.REQUEST_COUNTED: {
      const counted = decodeCount(body)
      if (outcomes.has(counted.word)) return { type: 'REQUEST_COUNTED', time, counted }
      throw new BrokerError('ENVELOPE_MALFORMED', `${counted.word} is no outcome of a count`)
    }
    default:
      throw new BrokerError('ENVELOPE_MALFORMED', 'a fact of thresholds')
  }
}
