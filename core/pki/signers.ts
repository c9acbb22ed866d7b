/**
 * Certificates that requests may be signed with, as a gateway has them: known by their SHA-256,
 * checked like those of connections when they are first used, and looked at again for each request.
 * Follows the certificate files: a renewal, a revocation or a new authority counts at once.
 */
import type { ErrorCode } from '../base/error-table.ts'
import type { Eui64 } from '../base/eui64.ts'
import type { CertificateSource, DoorCertificates } from './certificate-source.ts'
import {
  checkPartyCertificate,
  recheckParty,
  type CertificateRefusal,
  type PartyCertificate,
} from './party-check.ts'

export type SignerRefusal = Extract<
  ErrorCode,
  | 'REQUEST_SIGNER_UNKNOWN'
  | 'REQUEST_SIGNER_MISMATCH'
  | 'REQUEST_SIGNER_EXPIRED'
  | 'REQUEST_SIGNER_REVOKED'
  | 'REQUEST_SIGNER_UNTRUSTED'
>

const refusalOf = ({ code }: CertificateRefusal): SignerRefusal => {
  switch (code) {
    case 'PARTY_CERTIFICATE_EXPIRED':
    case 'PARTY_CERTIFICATE_NOT_YET_VALID':
      return 'REQUEST_SIGNER_EXPIRED'
    case 'PARTY_CERTIFICATE_REVOKED':
      return 'REQUEST_SIGNER_REVOKED'
    default:
      return 'REQUEST_SIGNER_UNTRUSTED'
  }
}

export class Signers {
  private readonly source: CertificateSource | undefined
  /** What `checked` was checked against. */
  private files: DoorCertificates | undefined
  private readonly checked = new Map<string, PartyCertificate>()

  /** Without `source` no certificate is known. */
  constructor(source: CertificateSource | undefined) {
    this.source = source
  }

  /**
   * The public key, x || y, of the certificate of `party` with this SHA-256, or why it does not
   * count at `nowMs`.
   * @param thumbprint  64 hexadecimal digits in lower case
   */
  keyOf(thumbprint: string, party: Eui64, nowMs: number): Buffer | SignerRefusal {
    const files = this.source?.current
    if (files !== this.files) {
      this.files = files
      this.checked.clear()
    }
    const der = files?.signers.get(thumbprint)
    if (files === undefined || der === undefined) return 'REQUEST_SIGNER_UNKNOWN'
    let signer = this.checked.get(thumbprint)
    if (signer === undefined) {
      const found = checkPartyCertificate(der, nowMs, files.trust)
      if ('code' in found) return refusalOf(found)
      this.checked.set(thumbprint, (signer = found))
    }
    const refusal = recheckParty(signer, nowMs, files.trust)
    if (refusal !== undefined) return refusalOf(refusal)
    return signer.eui64 === party
      ? signer.certificate.publicKey.pointBytes
      : 'REQUEST_SIGNER_MISMATCH'
  }
}
