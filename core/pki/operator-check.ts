/**
 * Whether a certificate is one of an operator that is good, and whom it names: profile, issuer,
 * signature, time, revocation, in this order. Certificates of parties and of doors are none, though
 * the same authority issues them. Pure. What the operator may do is in the list of operators.
 * @source profile.ts; RFC 5280 4.2.1.12
 */
import type { ErrorCode } from '../base/error-table.ts'
import { parseCertificate, type Certificate } from './certificate.ts'
import { DerFault } from './der.ts'
import {
  isIssued,
  recheckCertificate,
  type CertificateRefusalCode,
  type Trust,
} from './party-check.ts'
import { KeyUsage, Oid, RoleCode, roleCodeText } from './profile.ts'

export type OperatorRefusal = {
  readonly code: Extract<
    ErrorCode,
    | 'OPERATOR_CERTIFICATE_INVALID'
    | 'OPERATOR_CERTIFICATE_UNTRUSTED'
    | 'OPERATOR_CERTIFICATE_EXPIRED'
    | 'OPERATOR_CERTIFICATE_REVOKED'
  >
  readonly detail: string
}

/** A certificate of an operator; whether it was checked says who made it. */
export type OperatorCertificate = { readonly name: string; readonly certificate: Certificate }

/**
 * The operator that the certificate `der` names; nothing of it is proved.
 * @throws DerFault with what is not in the profile of operators
 */
export function readOperatorCertificate(der: Buffer): OperatorCertificate {
  const certificate = parseCertificate(der)
  const { keyUsages, isAuthority, purposes, subjectFields } = certificate
  const { names, units, uniqueIds } = subjectFields
  if (isAuthority) throw new DerFault('it is one of an authority')
  if (uniqueIds.length > 0) throw new DerFault('it is one of a party')
  if (keyUsages.size !== 1 || !keyUsages.has(KeyUsage.digitalSignature))
    throw new DerFault('keyUsage is not digitalSignature alone')
  // A door has a name in the same place.
  if (purposes.length !== 1 || purposes[0] !== Oid.clientAuth)
    throw new DerFault('its purpose is not that of a client')
  if (units.length !== 1 || units[0] !== roleCodeText(RoleCode.accessControlBroker))
    throw new DerFault('its role code is not that of operators')
  const [name = ''] = names
  if (names.length !== 1 || name === '') throw new DerFault(`${names.length} common names`)
  return { name, certificate }
}

/** The operator that the certificate `der` names, or why it is refused at `nowMs`. */
export function checkOperatorCertificate(
  der: Buffer,
  nowMs: number,
  trust: Trust,
): OperatorCertificate | OperatorRefusal {
  let operator: OperatorCertificate
  try {
    operator = readOperatorCertificate(der)
  } catch (fault) {
    if (!(fault instanceof DerFault)) throw fault
    return { code: 'OPERATOR_CERTIFICATE_INVALID', detail: fault.message }
  }
  const { name, certificate } = operator
  if (!isIssued(certificate, trust))
    return {
      code: 'OPERATOR_CERTIFICATE_UNTRUSTED',
      detail: `${name}: issued by another authority`,
    }
  const refusal = recheckCertificate(certificate, nowMs, trust)
  if (refusal === undefined) return operator
  const detail = `${name}: ${refusal.detail ?? 'the revocation list is out of date'}`
  return { code: codeOf(refusal.code), detail }
}

function codeOf(code: CertificateRefusalCode): OperatorRefusal['code'] {
  switch (code) {
    case 'PARTY_CERTIFICATE_EXPIRED':
    case 'PARTY_CERTIFICATE_NOT_YET_VALID':
      return 'OPERATOR_CERTIFICATE_EXPIRED'
    case 'PARTY_CERTIFICATE_REVOKED':
      return 'OPERATOR_CERTIFICATE_REVOKED'
    default:
      return 'OPERATOR_CERTIFICATE_UNTRUSTED'
  }
}
