/**
 * What a party proves its identity with, as every client of ours takes it: the client of the SDK,
 * the command line, the demonstration, the load generator and the benches pass this object on
 * without a look inside. Certificates become further members here, and no caller changes. The
 * gateways' side of the same matter is identity.ts.
 */
import { partyHeader } from './identity.ts'

export type PartyCredentials = {
  /** EUI-64 of the party, sixteen hexadecimal digits in any of its spellings. */
  readonly party: string
}

/**
 * The gRPC metadata entries and HTTP headers, with names in lower case, that carry `credentials`.
 */
export function credentialHeaders({ party }: PartyCredentials): Record<string, string> {
  return { [partyHeader]: party }
}
