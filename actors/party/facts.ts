/**
 * What has happened to a party: it is known, and how it stands from then on. And records, which
 * change nothing: what was rejected of it without a device, one by one or counted. Version 1.
 */
import { writeFactOf } from '../kind/write-fact.ts'
import {
  decodePartyRecord,
  encodePartyRecord,
  type PartyRecord,
} from '../../core/access/party-record.ts'
import { readRejection, rejectionBody, type Rejection } from '../../core/access/rejection.ts'
import {
  countedBody,
  readCounted,
  reportIn,
  reportMembers,
  type RejectionCount,
  type ReportName,
} from '../../core/access/rejection-report.ts'
import { bytesOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { numberOfCounter } from '../../core/base/counter.ts'

export type PartyChanged = { type: 'PARTY_CHANGED'; record: PartyRecord }
/** A gateway has rejected a request of the party. */
export type RejectionReported = {
  type: 'REJECTION_REPORTED'
  rejection: Rejection
  report: ReportName
}
/** Rejections of the party; of callers that are not known, under the octets of nobody. */
export type RejectionsCounted = {
  type: 'REJECTIONS_COUNTED'
  count: RejectionCount
  report: ReportName
}
export type PartyFact = PartyChanged | RejectionReported | RejectionsCounted

/** Those that change nothing. */
export const recordKinds: ReadonlySet<number> = new Set([
  Kind.REJECTION_REPORTED,
  Kind.REJECTIONS_COUNTED,
])

/** Appends a fact of `party` to a frame of facts. */
export function writeFact(frame: FrameWriter, party: Eui64, fact: PartyFact): void {
  const { body, ...header } = contentOf(fact)
  writeFactOf(frame, party, Kind[fact.type], header, body)
}

/** Its body, and what its header has besides. */
function contentOf(fact: PartyFact) {
  switch (fact.type) {
    case 'PARTY_CHANGED':
      return { body: encodePartyRecord(fact.record), time: fact.record.changedAtMs }
    case 'REJECTION_REPORTED': {
      const { rejection, report } = fact
      const { originator, counter, srv, outcome, time } = rejection
      return {
        body: rejectionBody(rejection, ...reportMembers(report)),
        originator: bytesOfEui64(originator),
        counter: numberOfCounter(counter),
        ...{ srv, outcome, time },
      }
    }
    case 'REJECTIONS_COUNTED': {
      const { outcome, toMs } = fact.count
      return { body: countedBody(fact.count, fact.report), outcome, time: toMs }
    }
  }
}

/** @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER */
export function readFact(buffer: Buffer, at: number): PartyFact {
  switch (readKind(buffer, at)) {
    case Kind.REJECTION_REPORTED: {
      const { rejection, more } = readRejection(buffer, at)
      return { type: 'REJECTION_REPORTED', rejection, report: reportIn(more) }
    }
    case Kind.REJECTIONS_COUNTED:
      return { type: 'REJECTIONS_COUNTED', ...readCounted(readBodyView(buffer, at)) }
    default:
      return { type: 'PARTY_CHANGED', record: decodePartyRecord(readBodyView(buffer, at)) }
  }
}
