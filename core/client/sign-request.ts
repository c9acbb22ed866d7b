/**
 * Signs service requests as a party does: a detached signature over the canonical form of the
 * request. Nothing of the broker is needed for it (core/docs/parties/signatures.md).
 */
import { asBuffer } from '../base/bytes.ts'
import { digest, PrivateKey, signEcdsa } from '../crypto/crypto.ts'
import { canonicalRequest } from '../translate/canonical-request.ts'
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'

/** What a party signs its requests with, as PEM. */
export type SigningFiles = {
  /** A certificate of the party with keyUsage digitalSignature, which the gateway knows. */
  readonly certificatePem: string
  /** Secret: the key of the certificate, on P-256. */
  readonly keyPem: string
}

/** Signs requests with one key; it shows neither key nor certificate when it is printed. */
export class RequestSigner {
  /** SHA-256 of the certificate: 64 hexadecimal digits. */
  readonly certificate: string
  private readonly key: PrivateKey

  /** @throws TypeError when one is not PEM, or the key is not one of P-256 */
  constructor({ certificatePem, keyPem }: SigningFiles) {
    const key = PrivateKey.ofPem(keyPem)
    if (key?.curve !== 'P-256')
      throw new TypeError('the signing key is not the PEM of a private key on P-256')
    const [, base64] =
      /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(
        certificatePem,
      ) ?? []
    if (base64 === undefined) throw new TypeError('the signing certificate is not PEM')
    this.key = key
    this.certificate = digest('sha256', Buffer.from(base64, 'base64')).toString('hex')
  }

  /**
   * `request` with its signature; one that it has already is replaced.
   * @throws TypeError for a request without a RequestID or with `assignCounter`, which no signature
   * would be good for, and for one whose fields are not of their form
   */
  sign(request: ServiceRequest): ServiceRequest {
    const { requestId, assignCounter } = request
    if (assignCounter || requestId === undefined || requestId.counter === 0n)
      throw new TypeError('a request that is signed names its counter')
    const form = canonicalFormOf(request, this.certificate)
    const value = signEcdsa(this.key, form)
    return { ...request, signature: { certificate: this.certificate, value } }
  }
}

/** `request` with its signature: for one request; for many make a RequestSigner once. */
export const signRequest = (request: ServiceRequest, files: SigningFiles): ServiceRequest =>
  new RequestSigner(files).sign(request)

/**
 * The octets that are signed.
 * @param certificate  SHA-256 of the signing certificate: 64 hexadecimal digits in lower case
 * @throws TypeError for a request whose fields are not of their form
 */
export function canonicalFormOf(request: ServiceRequest, certificate: string): Buffer {
  const wire = asBuffer(ServiceRequest.encode(request).finish())
  const form = canonicalRequest(wire, 0, wire.length, certificate)
  if (form === undefined)
    throw new TypeError(
      'an EUI-64, a service reference variant or a time of the request is not one',
    )
  return form
}
