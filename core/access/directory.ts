/**
 * The directory: what is the same for every actor and is needed everywhere, the parties and the
 * registration systems. It is folded from records in the ledger by every process, each at its own
 * speed, and is replaced as a whole: a reader has an immutable value. An argument of every decision
 * of an actor.
 */
import { ActorKindNumber } from '../base/actor-id.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { readEui64, type Eui64 } from '../base/eui64.ts'
import { formatLatest } from '../cluster/format.ts'
import { directoryInForceSubject, recordOfSubject } from '../cluster/directory-subject.ts'
import { decodeSourceRecord, type SourceRecord } from '../registration/source-report.ts'
import type { Parties, Party } from './parties.ts'
import { decodePartyRecord, type PartyRecord } from './party-record.ts'
import { decodeThresholds, type ThresholdRecord } from './thresholds.ts'

export type Directory = {
  /** Of the last record in it, in the ledger; 0 for an empty directory. */
  readonly sequence: number
  /**
   * What may be written to the ledger, core/cluster/format.ts: every process reads it.
   */
  readonly format: number
  /** A device without meter points takes no request of a party. */
  readonly needsMeterPoints: boolean
  /**
   * False while the parties of the parties file are not all in it: nobody is refused by it until
   * then.
   */
  readonly isInForce: boolean
  /** Those that are not removed, with the suspended ones. */
  readonly parties: Parties
  /** The record of every party that was ever known. */
  readonly records: ReadonlyMap<Eui64, PartyRecord>
  /** The record of every registration system that sent a file. */
  readonly sources: ReadonlyMap<Eui64, SourceRecord>
  /**
   * Thresholds of anomaly detection by party, and those of `allParties`. Left out while nobody ever
   * had any.
   */
  readonly thresholds?: ReadonlyMap<Eui64, ThresholdRecord>
}

/** Of a ledger without records: every party may do everything. */
export const emptyDirectory: Directory = {
  sequence: 0,
  format: 1,
  needsMeterPoints: false,
  isInForce: false,
  parties: new Map(),
  records: new Map(),
  sources: new Map(),
}

/**
 * `directory` with one more message of the ledger. One that is in it already changes nothing.
 * @throws BrokerError FORMAT_VERSION_LATER for a record of a kind or version that is not known
 * here; ENVELOPE_MALFORMED
 */
export function withRecord(
  directory: Directory,
  { subject, sequence, data }: { subject: string; sequence: number; data: Uint8Array },
): Directory {
  if (sequence <= directory.sequence) return directory
  if (subject === directoryInForceSubject) return { ...directory, sequence, isInForce: true }
  const found = recordOfSubject(subject)
  if (found?.kind === ActorKindNumber.SOURCE) {
    const source = decodeSourceRecord(data)
    const sources = new Map(directory.sources).set(readEui64(found.octets), source)
    return { ...directory, sequence, sources }
  }
  if (found?.kind === ActorKindNumber.THRESHOLD) {
    const record = decodeThresholds(data)
    const thresholds = new Map(directory.thresholds).set(readEui64(found.octets), record)
    return { ...directory, sequence, thresholds }
  }
  if (found?.kind !== ActorKindNumber.PARTY)
    throw new BrokerError('FORMAT_VERSION_LATER', `the record ${subject} of the directory`)
  const id = readEui64(found.octets)
  const record = decodePartyRecord(data)
  const records = new Map(directory.records).set(id, record)
  const parties = new Map(directory.parties)
  if (record.status === 'removed') parties.delete(id)
  else parties.set(id, partyOf(id, record))
  return { ...directory, sequence, parties, records }
}

const partyOf = (id: Eui64, { role, name, participant, mustSign, status }: PartyRecord): Party => ({
  id,
  role,
  name,
  ...(participant !== undefined && { participant }),
  ...(mustSign !== undefined && { mustSign }),
  ...(status === 'suspended' && { isSuspended: true }),
})

/** Why `party` may have nothing done, or undefined when it may. */
export function standingOf(
  { isInForce, parties }: Pick<Directory, 'isInForce' | 'parties'>,
  party: Eui64,
): Extract<ErrorCode, 'PARTY_UNKNOWN' | 'PARTY_SUSPENDED'> | undefined {
  if (!isInForce) return undefined
  const known = parties.get(party)
  if (known === undefined) return 'PARTY_UNKNOWN'
  return known.isSuspended === true ? 'PARTY_SUSPENDED' : undefined
}

/** A process's copy of the directory, which follows the ledger. */
export interface LiveDirectory {
  /** Replaced, never changed. */
  readonly current: Directory
  /**
   * True when the copy was known to be the present one less than `directoryLagMsMax` ago.
   */
  readonly isFresh: boolean
  /** Reads what is new when half of that time is over, so that nobody need wait for it. */
  refreshAhead(): void
  /**
   * Reads what is new; settles with false when the ledger does not say: to be asked again then.
   * Never rejects.
   */
  refresh(): Promise<boolean>
  /** Why it is not read further: a later version has written to it, or a record is damaged. */
  readonly trouble: string | undefined
}

/** A directory that never changes. */
export const fixedDirectory = (directory: Directory = emptyDirectory): LiveDirectory => ({
  current: directory,
  isFresh: true,
  refreshAhead: () => undefined,
  refresh: () => Promise.resolve(true),
  trouble: undefined,
})

/** The parties as they are now, for doors. */
export interface PartySource {
  /** What may be written to the ledger, core/cluster/format.ts. */
  readonly format: number
  readonly known: Parties
  /** Calls `listener` at each change, until called off. */
  onChange(listener: () => void): () => void
}

/** Parties that never change. */
export const fixedParties = (known: Parties): PartySource => ({
  format: formatLatest,
  known,
  onChange: () => () => undefined,
})
