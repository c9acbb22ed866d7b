/**
 * What a party proves its identity with, as every client of ours takes it: the client of the SDK,
 * the command line, the demonstration, the load generator and the benches pass this object on
 * without a look inside. The gateways' side of the same matter is identity.ts.
 */
import { partyHeader } from './identity.ts'

/** A party's certificate and private key, and the authorities of the gateway, as PEM. */
export type PartyCertificateFiles = {
  readonly caPem: string
  readonly certificatePem: string
  /** Secret. */
  readonly keyPem: string
}

export type PartyCredentials = {
  /** EUI-64 of the party, sixteen hexadecimal digits in any of its spellings. */
  readonly party: string
  /** Connects over TLS with this certificate; without it a header names the party. */
  readonly tls?: PartyCertificateFiles | undefined
}

/**
 * The gRPC metadata entries and HTTP headers, with names in lower case, that carry `credentials`.
 * Over TLS there are none: the connection says who it is.
 */
export function credentialHeaders({ party, tls }: PartyCredentials): Record<string, string> {
  return tls === undefined ? { [partyHeader]: party } : {}
}
