/**
 * The certificate profile of parties, as GB's smart-metering key infrastructure has it: names of
 * what stands in a certificate, and which role code belongs to which user role. Data only.
 * @source SEC appendix M and its certificate policies; RFC 5280
 */
import type { Role } from '../catalogue/service-requests.ts'

export const Oid = {
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  commonName: '2.5.4.3',
  organizationalUnit: '2.5.4.11',
  uniqueIdentifier: '2.5.4.45',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  certificatePolicies: '2.5.29.32',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/**
 * The policy in certificates of an authority of `busbar pki init`: a placeholder, as in the
 * vectors. The arcs of GB's infrastructure belong to its own authorities.
 */
export const placeholderPolicy = '1.3.6.1.4.1.99999.1.2.1.4'

/** Bits of keyUsage, most significant first. */
export const KeyUsage = {
  digitalSignature: 0,
  keyAgreement: 4,
  keyCertSign: 5,
  crlSign: 6,
} as const

/** Role codes, as they stand in the organizational unit. */
export const RoleCode = {
  supplier: 0x02,
  networkOperator: 0x03,
  accessControlBroker: 0x04,
  issuingAuthority: 0x07,
  loadController: 0x08,
  otherUser: 0x7f,
  xmlSign: 0x87,
} as const

/** The role code of each user role's certificates. */
export const roleCodeOf: Readonly<Record<Role, number>> = {
  IS: RoleCode.supplier,
  ES: RoleCode.supplier,
  GS: RoleCode.supplier,
  RSA: RoleCode.otherUser,
  ED: RoleCode.networkOperator,
  GT: RoleCode.networkOperator,
  OU: RoleCode.otherUser,
  LC: RoleCode.loadController,
}

/** Two hexadecimal digits: `02`. */
export const roleCodeText = (code: number): string =>
  code.toString(16).toUpperCase().padStart(2, '0')
