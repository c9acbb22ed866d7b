/** The certificates of a party door, which may be replaced while it is open. */
import type { Trust } from './party-check.ts'

/** What a party door shows, and whom it trusts. `serverKeyPem` is secret. */
export type DoorCertificates = {
  readonly caPem: string
  readonly serverPem: string
  readonly serverKeyPem: string
  readonly trust: Trust
  /** Certificates that requests may be signed with, DER, by their SHA-256 in hexadecimal digits. */
  readonly signers: ReadonlyMap<string, Buffer>
}

export interface CertificateSource {
  /** Replaced, never changed. */
  readonly current: DoorCertificates
  /** Calls `listener` after each replacement, until called off. */
  onChange(listener: () => void): () => void
}
