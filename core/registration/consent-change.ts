/**
 * What operators change in the register of consents of a meter point: bodies of the envelopes
 * CONSENT_GRANT, CONSENT_WITHDRAWAL and TENANCY_CHANGE, and the JSON that becomes them.
 */
import { BrokerError } from '../base/broker-error.ts'
import { parseEui64, readEui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import { ConsentCategory, consentIn, Granularity, isConsentId, packedConsent } from './consent.ts'
import { evidenceBytes, type ConsentRecord, type Withdrawal } from './consent-register.ts'
import type { PackedConsent } from './consent.ts'
import { packTree, readTree } from './versioned-tree.ts'

export type ConsentGrant = Omit<ConsentRecord, 'grantedAtMs' | 'withdrawal'>
export type ConsentWithdrawal = { readonly id: string } & Omit<Withdrawal, 'atMs'>
export type TenancyChange = { readonly startMs: number; readonly by: string }

export const encodeGrant = (grant: ConsentGrant): Buffer =>
  packTree(packedConsent(grant), grant.purpose, grant.evidence, grant.by)

/** @throws BrokerError FORMAT_VERSION_LATER; ENVELOPE_MALFORMED, CONSENT_MALFORMED */
export const decodeGrant = (view: Uint8Array): ConsentGrant =>
  readTree(view, 'a consent', (members) => {
    const [consent, purpose, evidence, by] = members as [PackedConsent, string, Uint8Array, string]
    return checkedGrant({ ...consentIn(consent), purpose, evidence: Buffer.from(evidence), by })
  })

export const encodeWithdrawal = ({ id, by, reason }: ConsentWithdrawal): Buffer =>
  packTree(id, by, reason)

/** @throws BrokerError as `decodeGrant` */
export const decodeWithdrawal = (view: Uint8Array): ConsentWithdrawal =>
  readTree(view, 'the withdrawal of a consent', ([id, by, reason]) =>
    withdrawalOf({ id, by, reason }),
  )

export const encodeTenancy = ({ startMs, by }: TenancyChange): Buffer => packTree(startMs, by)

/** @throws BrokerError as `decodeGrant` */
export const decodeTenancy = (view: Uint8Array): TenancyChange =>
  readTree(view, 'a change of tenancy', ([startMs, by]) => checkedTenancy(startMs, by))

function checkedGrant(grant: ConsentGrant): ConsentGrant {
  const { fromMs, toMs, purpose, evidence, by } = grant
  nameIn(by)
  textIn(purpose, 'purpose', limits.consentPurposeBytesMax)
  if (evidence.length !== evidenceBytes) throw malformed(evidenceWords)
  if (toMs <= fromMs) throw malformed('to must lie behind from')
  return grant
}

const evidenceWords = 'evidence must be a SHA-256, 64 hexadecimal digits'

/**
 * Reads `{ "id", "party", "categories": […], "granularity", "purpose", "evidence", "from", "to",
 * "by" }`, strictly.
 * @throws BrokerError CONSENT_MALFORMED, saying what is wrong
 */
export function grantOf(json: unknown): ConsentGrant {
  const given = objectIn(json, [
    'id',
    'party',
    'categories',
    'granularity',
    'purpose',
    'evidence',
    'from',
    'to',
    'by',
  ])
  const { id, party, purpose, evidence, by } = given
  if (!isConsentId(id)) throw malformed(idWords)
  const octets = typeof party === 'string' ? parseEui64(party) : undefined
  if (octets === undefined) throw malformed('party must be an EUI-64')
  const granularity = Granularity.find((word) => word === given['granularity'])
  if (granularity === undefined)
    throw malformed(`granularity must be one of ${Granularity.join(', ')}`)
  if (typeof evidence !== 'string' || !/^[0-9a-fA-F]{64}$/.test(evidence))
    throw malformed(evidenceWords)
  return checkedGrant({
    id,
    party: readEui64(octets),
    categories: categoriesIn(given['categories']),
    granularity,
    purpose: purpose as string,
    evidence: Buffer.from(evidence, 'hex'),
    by: by as string,
    fromMs: timeIn(given['from'], 'from'),
    toMs: given['to'] === undefined ? Infinity : timeIn(given['to'], 'to'),
  })
}

function categoriesIn(value: unknown): ConsentCategory[] {
  const words: unknown[] = Array.isArray(value) ? value : []
  const isKnown = words.every((word) => (ConsentCategory as readonly unknown[]).includes(word))
  if (words.length === 0 || !isKnown)
    throw malformed(`categories must be a list of ${ConsentCategory.join(', ')}`)
  return ConsentCategory.filter((word) => words.includes(word))
}

/** Reads `{ "id", "reason", "by" }`. @throws BrokerError CONSENT_MALFORMED */
export function withdrawalOf(json: unknown): ConsentWithdrawal {
  const { id, reason, by } = objectIn(json, ['id', 'reason', 'by'])
  if (!isConsentId(id)) throw malformed(idWords)
  return {
    id,
    by: nameIn(by),
    reason: textIn(reason, 'reason', limits.consentPurposeBytesMax),
  }
}

/** Reads `{ "from", "by" }`. @throws BrokerError CONSENT_MALFORMED */
export function tenancyOf(json: unknown): TenancyChange {
  const { from, by } = objectIn(json, ['from', 'by'])
  return checkedTenancy(timeIn(from, 'from'), by)
}

function checkedTenancy(startMs: unknown, by: unknown): TenancyChange {
  if (typeof startMs !== 'number' || !Number.isSafeInteger(startMs) || startMs <= 0)
    throw malformed('from must be a time')
  return { startMs, by: nameIn(by) }
}

const idWords = `id must be 1 to ${limits.consentIdBytesMax} letters, digits, points, - or _`

const nameIn = (value: unknown): string => textIn(value, 'by', limits.operatorNameBytesMax)

function textIn(value: unknown, name: string, bytesMax: number): string {
  if (typeof value !== 'string' || value === '' || Buffer.byteLength(value) > bytesMax)
    throw malformed(`${name} must be a text of 1 to ${bytesMax} octets`)
  return value
}

function timeIn(value: unknown, name: string): number {
  const isTime =
    typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z$/.test(value)
  const ms = isTime ? Date.parse(value) : Number.NaN
  if (!(ms > 0)) throw malformed(`${name} must be a time such as 2026-12-01T00:00:00Z`)
  return ms
}

function objectIn(json: unknown, names: readonly string[]): Record<string, unknown> {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw malformed('an object is expected')
  for (const name of Object.keys(json))
    if (!names.includes(name))
      throw malformed(`${JSON.stringify(name.slice(0, 40))} is not a field`)
  return json as Record<string, unknown>
}

const malformed = (detail: string): BrokerError => new BrokerError('CONSENT_MALFORMED', detail)
