/**
 * Whether a certificate that a connection came with is good, and which party it names: profile,
 * issuer, signature, time, revocation, pin, in this order. Pure: the same octets, time and trust
 * give the same answer. Who the party is in the directory is decided in core/access/identity.ts.
 */
import type { ErrorCode } from '../base/error-table.ts'
import type { Eui64 } from '../base/eui64.ts'
import { verifyEcdsa } from '../crypto/crypto.ts'
import { isSigner, parseCertificate, partySubjectOf, type Certificate } from './certificate.ts'
import { DerFault } from './der.ts'
import { KeyUsage } from './profile.ts'
import { parseRevocationList, type RevocationList } from './revocation-list.ts'

export type CertificateRefusalCode = Extract<
  ErrorCode,
  | 'PARTY_CERTIFICATE_MISSING'
  | 'PARTY_CERTIFICATE_INVALID'
  | 'PARTY_CERTIFICATE_UNTRUSTED'
  | 'PARTY_CERTIFICATE_EXPIRED'
  | 'PARTY_CERTIFICATE_NOT_YET_VALID'
  | 'PARTY_CERTIFICATE_REVOKED'
  | 'PARTY_CERTIFICATE_UNPINNED'
  | 'PARTY_REVOCATION_UNKNOWN'
>

/** Why a certificate is refused. `detail` names what is wrong with it, and no secret. */
export type CertificateRefusal = { readonly code: CertificateRefusalCode; readonly detail?: string }

/** A certificate of a party that was good when it was checked. */
export type PartyCertificate = {
  readonly eui64: Eui64
  readonly roleCode: number
  readonly certificate: Certificate
}

/** Keys that a party may have, as `Certificate.keyPin`; a party without an entry may have any. */
export type Pins = ReadonlyMap<Eui64, ReadonlySet<string>>

/** Which authorities count, with the list of each. */
export type Trust = {
  readonly ca: readonly Certificate[]
  readonly crl: readonly RevocationList[]
  readonly pins: Pins
}

/**
 * The trust in authorities `ca` and lists `crl`, each DER.
 * @throws DerFault when one is not an authority, not a list, or a list is of none of them
 */
export function trustOf(
  ca: readonly Buffer[],
  crl: readonly Buffer[],
  pins: Pins = new Map(),
): Trust {
  const authorities = ca.map((der) => parseCertificate(der))
  if (authorities.length === 0) throw new DerFault('there is no certificate of an authority')
  for (const one of authorities)
    if (!isSigner(one)) throw new DerFault('a certificate is not one of an authority')
  const lists = crl.map((der) => parseRevocationList(der))
  for (const list of lists) {
    const issuer = authorities.find(
      ({ subject, subjectKeyId }) =>
        subject.equals(list.issuer) && subjectKeyId.equals(list.authorityKeyId),
    )
    const { view, signature } = list.signed
    if (issuer === undefined || !verifyEcdsa(issuer.publicKey, view, signature))
      throw new DerFault('a revocation list is not signed by an authority of ca.crt')
  }
  return { ca: authorities, crl: lists, pins }
}

/** The party that the certificate `der` names, or why it is refused at `nowMs`. */
export function checkPartyCertificate(
  der: Buffer,
  nowMs: number,
  trust: Trust,
): PartyCertificate | CertificateRefusal {
  let party: PartyCertificate
  try {
    const certificate = parseCertificate(der)
    const { keyUsages, isAuthority } = certificate
    if (isAuthority) throw new DerFault('it is one of an authority')
    if (keyUsages.size !== 1 || !keyUsages.has(KeyUsage.digitalSignature))
      throw new DerFault('keyUsage is not digitalSignature alone')
    party = { ...partySubjectOf(certificate), certificate }
  } catch (fault) {
    if (!(fault instanceof DerFault)) throw fault
    return { code: 'PARTY_CERTIFICATE_INVALID', detail: fault.message }
  }
  if (!isIssued(party.certificate, trust))
    return { code: 'PARTY_CERTIFICATE_UNTRUSTED', detail: 'no authority of this Busbar issued it' }
  return recheckParty(party, nowMs, trust) ?? party
}

/** Whether an authority of `trust` has signed the certificate. */
export function isIssued(certificate: Certificate, trust: Trust): boolean {
  const issuer = issuerOf(certificate, trust)
  const { view, signature } = certificate.signed
  return issuer !== undefined && verifyEcdsa(issuer.publicKey, view, signature)
}

const issuerOf = ({ issuer, authorityKeyId }: Certificate, { ca }: Trust) =>
  ca.find(
    ({ subject, subjectKeyId }) => subject.equals(issuer) && subjectKeyId.equals(authorityKeyId),
  )

/**
 * Why a certificate that was checked before is refused at `nowMs`; undefined when it is still good.
 * Costs no signature, so that all open connections can be looked at often.
 */
export function recheckParty(
  { certificate, eui64 }: PartyCertificate,
  nowMs: number,
  trust: Trust,
): CertificateRefusal | undefined {
  const refusal = recheckCertificate(certificate, nowMs, trust)
  if (refusal !== undefined) return refusal
  const pinned = trust.pins.get(eui64)
  return pinned !== undefined && !pinned.has(certificate.keyPin)
    ? { code: 'PARTY_CERTIFICATE_UNPINNED' }
    : undefined
}

/** As `recheckParty`, without pins: for certificates of anybody. */
export function recheckCertificate(
  certificate: Certificate,
  nowMs: number,
  trust: Trust,
): CertificateRefusal | undefined {
  const issuer = issuerOf(certificate, trust)
  if (issuer === undefined || nowMs < issuer.notBeforeMs || nowMs > issuer.notAfterMs)
    return { code: 'PARTY_CERTIFICATE_UNTRUSTED', detail: 'its authority is not valid now' }
  const { serial, notBeforeMs, notAfterMs } = certificate
  const until = new Date(notAfterMs).toISOString()
  if (nowMs > notAfterMs) return { code: 'PARTY_CERTIFICATE_EXPIRED', detail: `since ${until}` }
  if (nowMs < notBeforeMs)
    return {
      code: 'PARTY_CERTIFICATE_NOT_YET_VALID',
      detail: `from ${new Date(notBeforeMs).toISOString()}`,
    }
  const lists = trust.crl.filter(
    (list) => list.issuer.equals(issuer.subject) && list.authorityKeyId.equals(issuer.subjectKeyId),
  )
  if (lists.some(({ revoked }) => revoked.has(serial)))
    return { code: 'PARTY_CERTIFICATE_REVOKED', detail: `serial ${serial}` }
  if (!lists.some(({ nextUpdateMs }) => nowMs <= nextUpdateMs))
    return { code: 'PARTY_REVOCATION_UNKNOWN' }
  return undefined
}
