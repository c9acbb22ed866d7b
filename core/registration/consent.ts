/**
 * Consents: what the people at a meter point have allowed a third party (role OU) to do, in which
 * period. The register of a meter point keeps them whole; its devices get what is here, with its
 * rights (rights.ts). Pure.
 *
 * @source ../shared/domain/privacy-and-audit.md: a consent names categories and their granularity
 */
import { BrokerError } from '../base/broker-error.ts'
import { bytesOfEui64, readEui64, type Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'

/** What a consent may be about. A mask of their places in this list stands in octets. */
export const ConsentCategory = [
  'consumption',
  'export',
  'tariff',
  'load-control',
  'home-devices',
] as const
export type ConsentCategory = (typeof ConsentCategory)[number]

/** How closely values may be read; each allows those behind it, too. */
export const Granularity = ['half-hourly', 'daily', 'monthly'] as const
export type Granularity = (typeof Granularity)[number]

/** A consent as devices know it. It holds from `fromMs` on, before `toMs`; both UTC ms. */
export type Consent = {
  /** Unique at its meter point. */
  readonly id: string
  readonly party: Eui64
  readonly categories: readonly ConsentCategory[]
  readonly granularity: Granularity
  readonly fromMs: number
  /** Infinity while no end is known. */
  readonly toMs: number
}

/** What a consent must cover for one service reference variant. */
export type ConsentNeed = {
  /** Undefined: a consent of any category will do. */
  readonly category?: ConsentCategory | undefined
  /** Undefined: the variant gives no values over time. */
  readonly granularity?: Granularity | undefined
}

export const isConsentId = (id: unknown): id is string =>
  typeof id === 'string' && /^[A-Za-z0-9._-]+$/.test(id) && id.length <= limits.consentIdBytesMax

const covers = (consent: Consent, { category, granularity }: ConsentNeed): boolean =>
  (category === undefined || consent.categories.includes(category)) &&
  (granularity === undefined ||
    Granularity.indexOf(consent.granularity) <= Granularity.indexOf(granularity))

const holdsAt = ({ fromMs, toMs }: Consent, atMs: number): boolean => fromMs <= atMs && atMs < toMs

/**
 * The consent of `party` that covers `need` at `atMs`; of several the one that began first, because
 * it lets the party read furthest back.
 */
export function consentFor(
  consents: readonly Consent[],
  party: Eui64,
  need: ConsentNeed,
  atMs: number,
): Consent | undefined {
  let found: Consent | undefined
  for (const consent of consents)
    if (consent.party === party && holdsAt(consent, atMs) && covers(consent, need))
      if (found === undefined || consent.fromMs < found.fromMs) found = consent
  return found
}

/** In octets; an open end. */
const open = 0

/** `[id, party 8, mask of categories, place of the granularity, from, to or 0]` */
export type PackedConsent = [string, Uint8Array, number, number, number, number]

export const packedConsent = (consent: Consent): PackedConsent => [
  consent.id,
  bytesOfEui64(consent.party),
  consent.categories.reduce((mask, word) => mask | (1 << ConsentCategory.indexOf(word)), 0),
  Granularity.indexOf(consent.granularity),
  consent.fromMs,
  consent.toMs === Infinity ? open : consent.toMs,
]

/** @throws BrokerError ENVELOPE_MALFORMED */
export function consentIn(packed: unknown): Consent {
  const [id, party, mask, granularityIndex, fromMs, toMs] = Array.isArray(packed)
    ? (packed as unknown[])
    : []
  const granularity = Granularity[Number(granularityIndex)]
  const isWhole =
    isConsentId(id) &&
    party instanceof Uint8Array &&
    party.length === 8 &&
    typeof mask === 'number' &&
    mask > 0 &&
    mask < 1 << ConsentCategory.length
  if (!isWhole || granularity === undefined || !isTime(fromMs) || !isTime(toMs))
    throw new BrokerError('ENVELOPE_MALFORMED', 'a consent')
  return {
    id,
    party: readEui64(party),
    categories: ConsentCategory.filter((_, index) => (mask & (1 << index)) !== 0),
    granularity,
    fromMs,
    toMs: toMs === open ? Infinity : toMs,
  }
}

const isTime = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
