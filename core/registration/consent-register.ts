/**
 * The register of consents of one meter point, with the changes of tenancy there. Pure.
 *
 *   granted ── its end comes ──────────────────────▶ expired
 *      ├────── an operator withdraws it ───────────▶ withdrawn
 *      └────── another tenancy begins behind it ───▶ ended by the change of tenancy
 *
 * Which of these it is follows from the record, the tenancies and the time: there is no fact of an
 * expiry. Only a consent that holds, or will hold, travels to devices, with its end as it is known.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { consentIn, packedConsent, type Consent, type PackedConsent } from './consent.ts'

/** A consent as the register has it. */
export type ConsentRecord = Consent & {
  /** What the data is used for, in words. */
  readonly purpose: string
  /** SHA-256 of what proves it, 32 octets; the proof itself stays with the party. */
  readonly evidence: Buffer
  /** Who recorded it. */
  readonly by: string
  readonly grantedAtMs: number
  readonly withdrawal?: Withdrawal | undefined
}

export type Withdrawal = {
  readonly atMs: number
  readonly by: string
  readonly reason: string
}

export type ConsentRegister = {
  /** In the order in which they were granted. */
  readonly consents: readonly ConsentRecord[]
  /** When tenancies begin, UTC ms, rising. */
  readonly tenancies: readonly number[]
}

const none: readonly never[] = []
export const emptyRegister: ConsentRegister = { consents: none, tenancies: none }

export const ConsentStanding = ['granted', 'withdrawn', 'expired', 'ended by tenancy'] as const
export type ConsentStanding = (typeof ConsentStanding)[number]

/** When the tenancy ends in which a consent begins; Infinity while that is not known. */
const tenancyEndOf = ({ fromMs }: Consent, tenancies: readonly number[]): number =>
  tenancies.find((startMs) => startMs > fromMs) ?? Infinity

/** When a consent stops to hold, by all that is known; Infinity for an open end. */
export const endOfConsent = (consent: ConsentRecord, tenancies: readonly number[]): number =>
  Math.min(consent.toMs, tenancyEndOf(consent, tenancies), consent.withdrawal?.atMs ?? Infinity)

export function standingOfConsent(
  consent: ConsentRecord,
  tenancies: readonly number[],
  atMs: number,
): ConsentStanding {
  const endMs = endOfConsent(consent, tenancies)
  if (consent.withdrawal === undefined && atMs < endMs) return 'granted'
  if (consent.withdrawal?.atMs === endMs) return 'withdrawn'
  return consent.toMs === endMs ? 'expired' : 'ended by tenancy'
}

/** The start of the tenancy at `atMs`; 0 when none is known. */
export const tenancyStartMs = ({ tenancies }: ConsentRegister, atMs: number): number =>
  tenancies.findLast((startMs) => startMs <= atMs) ?? 0

/** What a register sends to devices at `now`: nothing that was withdrawn or is over. */
export const consentsToSend = (
  { consents, tenancies }: ConsentRegister,
  now: number,
): readonly Consent[] =>
  consents
    .filter((one) => standingOfConsent(one, tenancies, now) === 'granted')
    .map((one) => ({
      id: one.id,
      party: one.party,
      categories: one.categories,
      granularity: one.granularity,
      fromMs: one.fromMs,
      toMs: endOfConsent(one, tenancies),
    }))
    .slice(-limits.rightsConsentsMax)

/** The register with `record`, without those that ended `rightsKeptMs` before, if it is full. */
export function withConsent(register: ConsentRegister, record: ConsentRecord): ConsentRegister {
  const { consents, tenancies } = register
  const oldestKeptMs = record.grantedAtMs - limits.rightsKeptMs
  const isFull = consents.length >= limits.meterPointConsentsMax
  const kept = isFull
    ? consents.filter((one) => endOfConsent(one, tenancies) > oldestKeptMs)
    : consents
  return { consents: [...kept, record], tenancies }
}

export const withWithdrawal = (
  { consents, tenancies }: ConsentRegister,
  id: string,
  withdrawal: Withdrawal,
): ConsentRegister => ({
  consents: consents.map((one) => (one.id === id ? { ...one, withdrawal } : one)),
  tenancies,
})

/** Of the tenancies that have begun, only the last ones are of use: they end consents. */
export const withTenancy = (
  { consents, tenancies }: ConsentRegister,
  startMs: number,
): ConsentRegister => ({
  consents,
  tenancies: [...tenancies, startMs].sort((a, b) => a - b).slice(-limits.meterPointTenanciesMax),
})

/** `[consent, purpose, evidence 32, by, granted, [withdrawn, by, reason] or nil]` */
export type PackedConsentRecord = [
  PackedConsent,
  string,
  Uint8Array,
  string,
  number,
  [number, string, string] | null,
]

export const packedConsentRecord = (record: ConsentRecord): PackedConsentRecord => {
  const { purpose, evidence, by, grantedAtMs, withdrawal } = record
  const withdrawn = withdrawal && ([withdrawal.atMs, withdrawal.by, withdrawal.reason] as const)
  return [
    packedConsent(record),
    purpose,
    evidence,
    by,
    grantedAtMs,
    withdrawn === undefined ? null : [...withdrawn],
  ]
}

/** @throws BrokerError ENVELOPE_MALFORMED */
export function consentRecordIn(packed: PackedConsentRecord): ConsentRecord {
  const [consent, purpose, evidence, by, grantedAtMs, withdrawn] = packed
  if (evidence.length !== evidenceBytes) throw new BrokerError('ENVELOPE_MALFORMED', 'evidence')
  return {
    ...consentIn(consent),
    purpose,
    evidence: Buffer.from(evidence),
    by,
    grantedAtMs,
    ...(withdrawn && {
      withdrawal: { atMs: withdrawn[0], by: withdrawn[1], reason: withdrawn[2] },
    }),
  }
}

/** Of a SHA-256. */
export const evidenceBytes = 32
