/**
 * What a certificate says of its holder: system title and public key. One step of trust, from an
 * anchor that is given; longer chains and revocation are for who keeps the certificates. [IEC
 * 62056-5-3 ed. 3, 5.3.4.8 certificate profiles: P-256 or P-384, the subject's common name is the
 * system title in hexadecimal]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { readCertificate, type PublicKey } from '../../crypto/crypto.ts'
import { systemTitleBytes } from './suite.ts'

export type Holder = { readonly systemTitle: Buffer; readonly publicKey: PublicKey }

/**
 * The holder of `view`, an X.509 certificate as DER or PEM.
 * @param nowMs ms since 1970, for its validity
 * @param anchorView the certificate of who must have issued it; undefined trusts the source of
 * `view`
 * @throws BrokerError DLMS_CERTIFICATE_INVALID
 */
export function holderOf(view: Uint8Array, nowMs: number, anchorView?: Uint8Array): Holder {
  const refuse = (why: string): BrokerError => new BrokerError('DLMS_CERTIFICATE_INVALID', why)
  const certificate = readCertificate(view)
  if (certificate === undefined) throw refuse('not a certificate')
  const { subjectName = '', publicKey, validFromMs, validToMs } = certificate
  if (!(nowMs >= validFromMs && nowMs <= validToMs)) throw refuse('not valid now')
  if (publicKey === undefined) throw refuse('no key of P-256 or P-384')
  if (anchorView !== undefined && !certificate.isIssuedBy(anchorView)) throw refuse('other issuer')
  if (!/^[0-9a-f]+$/i.test(subjectName) || subjectName.length !== 2 * systemTitleBytes)
    throw refuse('no system title in the common name')
  return { systemTitle: Buffer.from(subjectName, 'hex'), publicKey }
}
