/**
 * Rejections that the ledger has, one by one or counted, in its order and by the page: GET
 * /v1/rejections.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { RejectionCount } from '../../core/access/rejection-report.ts'
import type { Rejection } from '../../core/access/rejection.ts'
import { numberOfCounter } from '../../core/base/counter.ts'
import { errorCodeOf, errorId, errorTable, type ErrorCode } from '../../core/base/error-table.ts'
import { parseEui64, readEui64, textOfEui64, type Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { formatSrv } from '../../core/base/srv.ts'
import { readKind, readOriginator, readTarget } from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { tickSubjects, type Ledger, type LedgerMessage } from '../../core/ports/ledger.ts'
import { trimRecordOf } from '../runtime/recovery/trimmed-history.ts'
import { readFact } from '../device/facts.ts'
import { readFact as readPartyFact } from '../party/facts.ts'
import { expectOnly } from './counters-door.ts'
import { ReportsSeen } from './reports-seen.ts'

export type RejectionQuery = {
  readonly party: Eui64 | undefined
  readonly outcome: number | undefined
  /** UTC ms. */
  readonly fromMs: number
  readonly toMs: number
  readonly limit: number
  /** Nothing at or before this place. */
  readonly after: Place
}

/** Of a fact: its tick, and its number among the rejections there, from 0. */
type Place = { readonly sequence: number; readonly index: number }

export type RejectionJson = {
  /** To be given as `after` for what comes behind it. */
  place: string
  ledgerPosition: number
  /** Who has sent it; absent for callers that are not known. */
  party?: string
  code: string
} & (
  | {
      time: string
      requestId: string
      serviceReferenceVariant: string
      decidedBy: 'gateway' | 'device'
      check: string
      contentHash: string
    }
  | { count: number; from: string; to: string; addressFamily?: string }
)
export type RejectionPage = {
  rejections: RejectionJson[]
  /** Absent behind the last page. */
  next?: string
  forgottenThrough: number
}

const invalid = (detail: string): BrokerError => new BrokerError('VIEW_QUERY_INVALID', detail)
const limitDefault = 100
/** Ticks before a page that are read for reports that stand in them already. */
const repeatTicks = 1_000

/** @throws BrokerError VIEW_QUERY_INVALID */
export function queryIn(query: Record<string, unknown>): RejectionQuery {
  expectOnly(query, ['party', 'code', 'from', 'to', 'limit', 'after'])
  const { party, code, from, to, limit = String(limitDefault), after = '0.0' } = query
  const octets = party === undefined ? undefined : parseEui64(textIn(party))
  if (party !== undefined && octets === undefined) throw invalid('party must be an EUI-64')
  if (code !== undefined && !Object.hasOwn(errorTable, textIn(code)))
    throw invalid('code must be one of core/docs/parties/errors.md')
  const count = Number(textIn(limit))
  if (!Number.isInteger(count) || count < 1 || count > limits.rejectionsPerPageMax)
    throw invalid(`limit must be 1 to ${limits.rejectionsPerPageMax}`)
  const [, sequence, index] = /^(\d{1,15})\.(\d{1,9})$/.exec(textIn(after)) ?? []
  if (sequence === undefined) throw invalid('after must be the next of a page')
  return {
    party: octets && readEui64(octets),
    outcome: code === undefined ? undefined : errorId(code as ErrorCode),
    fromMs: timeIn(from, 'from', -Infinity),
    toMs: timeIn(to, 'to', Infinity),
    limit: count,
    after: { sequence: Number(sequence), index: sequence === '0' ? -1 : Number(index) },
  }
}

const textIn = (value: unknown): string => (typeof value === 'string' ? value : '')

function timeIn(value: unknown, name: string, otherwise: number): number {
  if (value === undefined) return otherwise
  const timeMs = Date.parse(textIn(value))
  if (!Number.isNaN(timeMs)) return timeMs
  throw invalid(`${name} must be a day or a time, such as 2026-11-30 or 2026-11-30T12:00:00Z`)
}

/** Ends the reading: the page is full. */
class Full extends Error {}

export class RejectionList {
  private readonly query: RejectionQuery
  private readonly reports = new ReportsSeen()
  private readonly found: RejectionJson[] = []
  private isFull = false
  private forgottenThrough = 0
  private place: Place = { sequence: 0, index: 0 }

  constructor(query: RejectionQuery) {
    this.query = query
  }

  /** Reads until the page is full, or the ledger's end. */
  async readFrom(ledger: Ledger): Promise<void> {
    const { sequence } = this.query.after
    this.forgottenThrough = (await trimRecordOf(ledger)).through
    const start = Math.max(this.forgottenThrough + 1, sequence - repeatTicks)
    try {
      await ledger.read(tickSubjects, start, (message) => this.read(message))
    } catch (end) {
      if (!(end instanceof Full)) throw end
    }
  }

  /** @throws Full when the page is */
  read({ sequence, data }: LedgerMessage): void {
    let index = 0
    readTickMessage(
      data,
      (_partition, frame) =>
        forEachEnvelope(frame, chainLinkBytes, (at) => {
          if (!kinds.has(readKind(frame, at))) return
          this.place = { sequence, index: index++ }
          this.readFact(frame, at)
        }),
      undefined,
    )
  }

  private readFact(frame: Buffer, at: number): void {
    if (readKind(frame, at) === Kind.REQUEST_REJECTED) {
      const fact = readFact(frame, at)
      if (fact.type === 'REQUEST_REJECTED')
        this.onRejection(readOriginator(frame, at), fact.rejection, 'device')
      return
    }
    const fact = readPartyFact(frame, at)
    if (fact.type === 'PARTY_CHANGED') return
    if (!this.reports.isFirst(fact.report, this.place.sequence)) return
    const party = readTarget(frame, at)
    if (fact.type === 'REJECTION_REPORTED')
      return this.onRejection(party, fact.rejection, 'gateway')
    this.onCount(party, fact.count)
  }

  private onRejection(party: Eui64, rejection: Rejection, decidedBy: 'gateway' | 'device'): void {
    const { time, originator, target, counter, srv, outcome, check, contentHash } = rejection
    this.add({ party, outcome, fromMs: time, toMs: time }, () => ({
      time: new Date(time).toISOString(),
      requestId: `${textOfEui64(originator)}:${textOfEui64(target)}:${numberOfCounter(counter)}`,
      serviceReferenceVariant: formatSrv(srv),
      decidedBy,
      check,
      contentHash: contentHash.toString('hex'),
    }))
  }

  private onCount(party: Eui64, { outcome, caller, fromMs, toMs, count }: RejectionCount): void {
    this.add({ party, outcome, fromMs, toMs: toMs - 1 }, () => ({
      count,
      from: new Date(fromMs).toISOString(),
      to: new Date(toMs).toISOString(),
      ...(caller !== '' && { addressFamily: caller }),
    }))
  }

  /** Adds what is asked for; its texts are made only then. */
  private add(
    known: { party: Eui64; outcome: number; fromMs: number; toMs: number },
    rest: () => object,
  ): void {
    const { query, place } = this
    const { after } = query
    const isBefore =
      place.sequence < after.sequence ||
      (place.sequence === after.sequence && place.index <= after.index)
    if (isBefore || known.toMs < query.fromMs || known.fromMs >= query.toMs) return
    if (query.party !== undefined && query.party !== known.party) return
    if (query.outcome !== undefined && query.outcome !== known.outcome) return
    if (this.found.length >= query.limit) {
      this.isFull = true
      throw new Full()
    }
    const isNobody = known.party === nobody
    this.found.push({
      place: `${place.sequence}.${place.index}`,
      ledgerPosition: place.sequence,
      ...(!isNobody && { party: textOfEui64(known.party) }),
      code: errorCodeOf(known.outcome) ?? String(known.outcome),
      ...rest(),
    } as RejectionJson)
  }

  page(): RejectionPage {
    const { found, isFull, forgottenThrough } = this
    const next = isFull ? found.at(-1)?.place : undefined
    return { rejections: found, ...(next !== undefined && { next }), forgottenThrough }
  }
}

const nobody = '\0'.repeat(8)
const kinds: ReadonlySet<number> = new Set([
  Kind.REQUEST_REJECTED,
  Kind.REJECTION_REPORTED,
  Kind.REJECTIONS_COUNTED,
])
