/**
 * The one door for identity: which party is speaking. Station 2 of a message's way. The certificate
 * of the connection names the party; a door without TLS goes by a header. Nothing else looks at
 * either.
 */
import { limits } from '../base/limits.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { readEui64, parseEui64 } from '../base/eui64.ts'
import type { CertificateRefusal, PartyCertificate } from '../pki/party-check.ts'
import { roleCodeOf } from '../pki/profile.ts'
import type { Parties, Party } from './parties.ts'

/** The gRPC metadata entry and HTTP header that names a party. */
export const partyHeader = 'x-busbar-party'

export type IdentityRefusal =
  | Extract<
      ErrorCode,
      | 'PARTY_HEADER_MISSING'
      | 'PARTY_HEADER_MALFORMED'
      | 'PARTY_HEADER_MISMATCH'
      | 'PARTY_CERTIFICATE_ROLE_MISMATCH'
      | 'PARTY_UNKNOWN'
      | 'PARTY_SUSPENDED'
    >
  | CertificateRefusal['code']

/** What a connection over TLS came with. */
export type ConnectionCertificate = PartyCertificate | CertificateRefusal

// A known header text costs one look-up in a Map. Only texts of known parties are kept (three ways
// to write each, and mixed case), and never more than `limits.partyTextsRememberedMax`, so that
// callers cannot make it grow.
const caches = new WeakMap<Parties, Map<string, Party>>()

function look(
  headerText: string,
  parties: Parties,
  cache: Map<string, Party>,
): Party | IdentityRefusal {
  const octets = parseEui64(headerText.trim())
  if (octets === undefined) return 'PARTY_HEADER_MALFORMED'
  const party = parties.get(readEui64(octets))
  if (party === undefined) return 'PARTY_UNKNOWN'
  if (party.isSuspended === true) return 'PARTY_SUSPENDED'
  if (cache.size < limits.partyTextsRememberedMax) cache.set(headerText, party)
  return party
}

/**
 * The party that a call comes from, or why it is refused.
 * @param headerValue  the header's text as received, undefined when there is none
 * @param certificate  what the connection came with; undefined at a door without TLS
 */
export function identify(
  headerValue: string | undefined,
  parties: Parties,
  certificate?: ConnectionCertificate,
): Party | IdentityRefusal {
  if (certificate !== undefined) return certified(headerValue, parties, certificate)
  if (headerValue === undefined || headerValue === '') return 'PARTY_HEADER_MISSING'
  let cache = caches.get(parties)
  if (cache === undefined) caches.set(parties, (cache = new Map()))
  return cache.get(headerValue) ?? look(headerValue, parties, cache)
}

/** The certificate decides; a header may repeat what it says. */
function certified(
  headerValue: string | undefined,
  parties: Parties,
  certificate: ConnectionCertificate,
): Party | IdentityRefusal {
  if ('code' in certificate) return certificate.code
  const { eui64, roleCode } = certificate
  if (headerValue !== undefined && headerValue !== '') {
    const octets = parseEui64(headerValue.trim())
    if (octets === undefined) return 'PARTY_HEADER_MALFORMED'
    if (readEui64(octets) !== eui64) return 'PARTY_HEADER_MISMATCH'
  }
  const party = parties.get(eui64)
  if (party === undefined) return 'PARTY_UNKNOWN'
  if (roleCodeOf[party.role] !== roleCode) return 'PARTY_CERTIFICATE_ROLE_MISMATCH'
  return party.isSuspended === true ? 'PARTY_SUSPENDED' : party
}

/** What to say beside the code of a refusal: what is wrong with the certificate. */
export const detailOf = (
  code: ErrorCode,
  certificate: ConnectionCertificate | undefined,
): string | undefined =>
  certificate !== undefined && 'code' in certificate && certificate.code === code
    ? certificate.detail
    : undefined
