/**
 * The party: how it stands with this Busbar, which operators change. Pure: `decide` says what has
 * happened, `evolve` alone changes the state. Each change enters the directory in the same commit,
 * so that every host and gateway learns of it.
 */
import type { Directory } from '../../core/access/directory.ts'
import { decodePartyChange, type PartyChange } from '../../core/access/party-change.ts'
import { encodePartyRecord, type PartyRecord } from '../../core/access/party-record.ts'
import { decodeRejectionReport } from '../../core/access/rejection-report.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithMeterPoints, formatWithParties } from '../../core/cluster/format.ts'
import { readBodyView, readKind, readTarget } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { acknowledge, refuse, type Enter, type Outbox } from '../kind/effects.ts'
import { isArrived, type ActorMessage, type Arrived } from '../kind/messages.ts'
import type { PartyFact } from './facts.ts'
import type { PartyState } from './state.ts'

export type PartyOutbox = Outbox<PartyFact, Enter>

const accepted = errorId('REQUEST_ACCEPTED')

/**
 * Says what a PARTY_CHANGE or a REJECTIONS_REPORT means; a party has no other messages, and never
 * asks to be woken.
 */
export function decide(
  state: PartyState,
  message: ActorMessage,
  now: number,
  directory: Directory,
  out: PartyOutbox,
): void {
  if (!isArrived(message)) return
  if (readKind(message.buffer, message.at) === Kind.REJECTIONS_REPORT)
    return decideReport(message, now, directory, out)
  decideChange(state, message, now, directory, out)
}

function decideChange(
  { record }: PartyState,
  message: Arrived,
  now: number,
  directory: Directory,
  out: PartyOutbox,
): void {
  if (directory.format < formatWithParties) return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  const change = changeIn(readBodyView(message.buffer, message.at))
  if (typeof change === 'string') return refuse(out, message, change, now)
  if (record === undefined && directory.records.size >= limits.partiesMax)
    return refuse(out, message, 'PARTY_LIMIT_EXCEEDED', now)
  if (('participant' in change || 'mustSign' in change) && directory.format < formatWithMeterPoints)
    return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  const after = recordAfter(record, change, now)
  if (typeof after === 'string') return refuse(out, message, after, now)
  if (after !== record) {
    out.facts.push({ type: 'PARTY_CHANGED', record: after })
    out.effects.push({ type: 'ENTER', bodyBytes: encodePartyRecord(after) })
  }
  acknowledge(out, message, accepted, now)
}

/** Records what was rejected without a device. It changes nothing of the party. */
function decideReport(
  message: Arrived,
  now: number,
  { format }: Directory,
  out: PartyOutbox,
): void {
  if (format < formatWithMeterPoints) return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  const { buffer, at } = message
  const party = readTarget(buffer, at)
  const { rejections, counts, ...report } = decodeRejectionReport(readBodyView(buffer, at))
  for (const rejection of rejections) {
    const { outcome } = rejection
    const fact: PartyFact = { type: 'REJECTION_REPORTED', rejection, report }
    out.effects.push({
      type: 'RECORD_ONLY',
      fact,
      instead: { party, outcome, isWithinRate: true },
    })
  }
  for (const count of counts) {
    const fact: PartyFact = { type: 'REJECTIONS_COUNTED', count, report }
    out.effects.push({ type: 'RECORD_ONLY', fact })
  }
  acknowledge(out, message, accepted, now)
}

function changeIn(body: Buffer): PartyChange | ErrorCode {
  try {
    return decodePartyChange(body)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return fault.code
  }
}

/** The record that `change` leads to: `record` itself when nothing changes, or why not. */
function recordAfter(
  record: PartyRecord | undefined,
  change: PartyChange,
  now: number,
): PartyRecord | ErrorCode {
  const { by } = change
  const { revision = 0 } = record ?? {}
  if (change.change === 'import' && record !== undefined) return record
  const next = { revision: revision + 1, changedAtMs: now, by }
  if (change.change === 'import' || change.change === 'add') {
    const { role, name, participant } = change
    const isKnown = record !== undefined && record.status !== 'removed'
    const isSame =
      record?.role === role && record.name === name && record.participant === participant
    if (isKnown && isSame) return record
    if (change.revision !== revision) return 'PARTY_CHANGED_MEANWHILE'
    const named = { role, name, ...(participant !== undefined && { participant }) }
    // Another role or name, or its return, does not let it send without signatures.
    const { mustSign } = record ?? {}
    const kept = mustSign !== undefined && { mustSign }
    return { ...next, status: isKnown ? record.status : 'active', ...named, ...kept }
  }
  if (record === undefined) return 'PARTY_UNKNOWN'
  if (change.change === 'require-signatures') return signing(record, change, next)
  const status = statusAfter[change.change]
  if (record.status === status) return record
  if (record.status === 'removed') return 'PARTY_UNKNOWN'
  if (change.revision !== revision) return 'PARTY_CHANGED_MEANWHILE'
  return { ...record, ...next, status }
}

function signing(
  record: PartyRecord,
  change: Extract<PartyChange, { change: 'require-signatures' }>,
  next: Pick<PartyRecord, 'revision' | 'changedAtMs' | 'by'>,
): PartyRecord | ErrorCode {
  const { mustSign: before = [], ...rest } = record
  const wanted = change.mustSign.toSorted()
  if (before.join() === wanted.join()) return record
  if (record.status === 'removed') return 'PARTY_UNKNOWN'
  if (change.revision !== record.revision) return 'PARTY_CHANGED_MEANWHILE'
  return { ...rest, ...next, ...(wanted.length > 0 && { mustSign: wanted }) }
}

const statusAfter = { suspend: 'suspended', resume: 'active', remove: 'removed' } as const

/** Records change nothing. */
export function evolve(state: PartyState, fact: PartyFact): void {
  if (fact.type === 'PARTY_CHANGED') state.record = fact.record
}
