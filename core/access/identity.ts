/**
 * The one door for identity: which party is speaking. Station 2 of a message's way. For now a
 * header names the party; certificates will come in behind this same function, and nothing else
 * looks at headers.
 */
import { limits } from '../base/limits.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { readEui64, parseEui64 } from '../base/eui64.ts'
import type { Parties, Party } from './parties.ts'

/** The gRPC metadata entry and HTTP header that names a party. */
export const partyHeader = 'x-busbar-party'

export type IdentityRefusal = Extract<
  ErrorCode,
  'PARTY_HEADER_MISSING' | 'PARTY_HEADER_MALFORMED' | 'PARTY_UNKNOWN' | 'PARTY_SUSPENDED'
>

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
 */
export function identify(
  headerValue: string | undefined,
  parties: Parties,
): Party | IdentityRefusal {
  if (headerValue === undefined || headerValue === '') return 'PARTY_HEADER_MISSING'
  let cache = caches.get(parties)
  if (cache === undefined) caches.set(parties, (cache = new Map()))
  return cache.get(headerValue) ?? look(headerValue, parties, cache)
}
