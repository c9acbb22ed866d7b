/**
 * Cryptography through the door: the only place where keys meet node:crypto. All of it is
 * synchronous and pure but for signing and making keys, which take their chance from the system.
 * Keys are opaque: they never print. It knows algorithms, not DLMS: what is protected how stands in
 * core/dlms/security.
 */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  sign,
  timingSafeEqual,
  verify,
  X509Certificate,
  type CipherGCM,
  type CipherGCMTypes,
  type DecipherGCM,
  type KeyObject,
} from 'node:crypto'
import { assert } from '../base/assert.ts'
import { asBuffer, copyOf, emptyBytes } from '../base/bytes.ts'
import type { Random } from '../ports/random.ts'

/** Octets of the authentication tag. [NIST SP 800-38D 5.2.1.2: t = 96] */
export const tagBytes = 12
/** Octets of an initialization vector. */
export const ivBytes = 12

export type Curve = 'P-256' | 'P-384'
export type HashName = 'md5' | 'sha1' | 'sha256' | 'sha384'

/** What a key shows instead of itself, in JSON, in logs, in the inspector. */
const hidden = '[key]'
const inspectSymbol = Symbol.for('nodejs.util.inspect.custom')

let keyObjectOf: (key: Opaque) => KeyObject

/** Holds a key so that printing it, in whatever way, shows that there is one and nothing more. */
class Opaque {
  readonly #key: KeyObject

  constructor(key: KeyObject) {
    this.#key = key
  }

  toJSON(): string {
    return hidden
  }

  toString(): string {
    return hidden
  }

  [inspectSymbol](): string {
    return hidden
  }

  static {
    keyObjectOf = (key) => key.#key
  }
}

/**
 * Octets that only two know: a password, the secret of an authentication. Copies what it is made
 * of.
 */
export class Secret extends Opaque {
  readonly bytes: number

  constructor(octetsView: Uint8Array) {
    super(createSecretKey(octetsView))
    this.bytes = octetsView.length
  }

  /**
   * The octets themselves, for hashes and additional authenticated data. The caller keeps
   * them secret.
   */
  copyOfOctets(): Buffer {
    return keyObjectOf(this).export()
  }

  equals(other: Secret): boolean {
    return keyObjectOf(this).equals(keyObjectOf(other))
  }
}

/** An AES key of 16, 24 or 32 octets, or an authentication key of that length. */
export class SecretKey extends Secret {
  constructor(octetsView: Uint8Array) {
    assert([16, 24, 32].includes(octetsView.length), 'a secret key has 16, 24 or 32 octets')
    super(octetsView)
  }

  /**
   * The key with these octets, for those that came from outside; undefined when there are too many
   * or too few. Copies.
   */
  static of(octetsView: Uint8Array): SecretKey | undefined {
    return [16, 24, 32].includes(octetsView.length) ? new SecretKey(octetsView) : undefined
  }

  static random(random: Random, bytes: 16 | 32): SecretKey {
    return new SecretKey(random.bytes(bytes))
  }
}

/** A public key as its point: x || y, 64 octets on P-256, 96 on P-384. */
export class PublicKey extends Opaque {
  readonly curve: Curve
  /** x || y. Owned; not to be changed. */
  readonly pointBytes: Buffer

  private constructor(key: KeyObject, curve: Curve, pointBytes: Buffer) {
    super(key)
    this.curve = curve
    this.pointBytes = pointBytes
  }

  /**
   * The key with this point, or undefined when the point is not on the curve. Copies `pointView`.
   */
  static of(curve: Curve, pointView: Uint8Array): PublicKey | undefined {
    const size = fieldBytes(curve)
    if (pointView.length !== 2 * size) return undefined
    const point = copyOf(pointView)
    const [x, y] = [point.subarray(0, size), point.subarray(size)].map((part) =>
      part.toString('base64url'),
    )
    try {
      const jwk = { kty: 'EC', crv: curve, x: x!, y: y! }
      return new PublicKey(createPublicKey({ key: jwk, format: 'jwk' }), curve, point)
    } catch {
      // Not on the curve, or at infinity: the caller names the error.
      return undefined
    }
  }

  static ofKeyObject(key: KeyObject): PublicKey | undefined {
    const { crv, x, y } =
      key.asymmetricKeyType === 'ec' ? key.export({ format: 'jwk' }) : ({} as JsonWebKeyPoint)
    if ((crv !== 'P-256' && crv !== 'P-384') || x === undefined || y === undefined) return undefined
    return PublicKey.of(
      crv,
      Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]),
    )
  }
}
type JsonWebKeyPoint = { crv?: string; x?: string; y?: string }

/** A private key of an elliptic curve, for signatures or key agreement. */
export class PrivateKey extends Opaque {
  readonly curve: Curve
  readonly publicKey: PublicKey

  private constructor(key: KeyObject, curve: Curve, publicKey: PublicKey) {
    super(key)
    this.curve = curve
    this.publicKey = publicKey
  }

  /**
   * The key with this scalar, big-endian, or undefined when it lies outside the curve's order.
   * Copies `scalarView`.
   */
  static of(curve: Curve, scalarView: Uint8Array): PrivateKey | undefined {
    const size = fieldBytes(curve)
    if (scalarView.length !== size) return undefined
    try {
      const pair = createECDH(curve === 'P-256' ? 'prime256v1' : 'secp384r1')
      pair.setPrivateKey(asBuffer(scalarView))
      const publicKey = PublicKey.of(curve, pair.getPublicKey().subarray(1))
      if (publicKey === undefined) return undefined
      const coordinate = (part: Uint8Array): string => asBuffer(part).toString('base64url')
      const jwk = {
        kty: 'EC',
        crv: curve,
        x: coordinate(publicKey.pointBytes.subarray(0, size)),
        y: coordinate(publicKey.pointBytes.subarray(size)),
        d: coordinate(scalarView),
      }
      return new PrivateKey(createPrivateKey({ key: jwk, format: 'jwk' }), curve, publicKey)
    } catch {
      // Zero, or not below the order: the caller names the error.
      return undefined
    }
  }

  /**
   * The key in a PEM text of PKCS #8 or SEC 1, or undefined when it is invalid, or of another
   * curve.
   */
  static ofPem(text: string): PrivateKey | undefined {
    try {
      const { crv, d } = createPrivateKey(text).export({ format: 'jwk' })
      if ((crv !== 'P-256' && crv !== 'P-384') || d === undefined) return undefined
      return PrivateKey.of(crv, Buffer.from(d, 'base64url'))
    } catch {
      // No PEM, enciphered, or of an algorithm that has no such form: the caller names the error.
      return undefined
    }
  }

  /** The scalar, big-endian, for sealing. Whoever takes it keeps it secret. */
  copyOfScalar(): Buffer {
    return Buffer.from(keyObjectOf(this).export({ format: 'jwk' }).d!, 'base64url')
  }

  /** A new key, from the system's randomness. */
  static generate(curve: Curve): PrivateKey {
    const pair = generateKeyPairSync('ec', { namedCurve: curve })
    return new PrivateKey(pair.privateKey, curve, PublicKey.ofKeyObject(pair.publicKey)!)
  }
}

/** Octets of a coordinate: half a point, half a signature, a shared secret. */
export function fieldBytes(curve: Curve): number {
  return curve === 'P-256' ? 32 : 48
}

const gcmNames: Readonly<Record<number, CipherGCMTypes>> = {
  16: 'aes-128-gcm',
  24: 'aes-192-gcm',
  32: 'aes-256-gcm',
}
const gcmOptions = { authTagLength: tagBytes }

/**
 * What one call of AES-GCM runs under. Borrowed for the call; its owner may fill it for the next
 * one.
 */
export type GcmContext = {
  key: SecretKey
  ivView: Uint8Array
  /** Additional authenticated data, in up to two parts, the second behind the first. */
  aad: Uint8Array
  moreAad?: Uint8Array | undefined
}

/**
 * AES-GCM: enciphers `plainView` into `out` at `at`, its tag behind it; returns the offset behind
 * the tag. Additional data are authenticated and not written. [NIST SP 800-38D 7.1]
 */
export function sealGcm(
  { key, ivView, aad, moreAad }: GcmContext,
  plainView: Uint8Array | undefined,
  out: Uint8Array,
  at: number,
): number {
  const cipher = gcmOf(key, ivView)
  cipher.setAAD(aad)
  if (moreAad !== undefined) cipher.setAAD(moreAad)
  let end = at
  if (plainView !== undefined) {
    out.set(cipher.update(plainView), at)
    end += plainView.length
  }
  cipher.final()
  out.set(cipher.getAuthTag(), end)
  return end + tagBytes
}

/**
 * The plaintext of `cipherView` (owned), or undefined when `tagView` does not verify. With
 * `cipherView` undefined only the additional data are authenticated (GMAC), and the plaintext is
 * empty. [NIST SP 800-38D 7.2]
 */
export function openGcm(
  { key, ivView, aad, moreAad }: GcmContext,
  cipherView: Uint8Array | undefined,
  tagView: Uint8Array,
): Buffer | undefined {
  const decipher = createDecipheriv(
    gcmNames[key.bytes]!,
    keyObjectOf(key),
    ivView,
    gcmOptions,
  ) as DecipherGCM
  decipher.setAAD(aad)
  if (moreAad !== undefined) decipher.setAAD(moreAad)
  decipher.setAuthTag(tagView)
  const plain = decipher.update(cipherView ?? emptyBytes)
  try {
    decipher.final()
    return plain
  } catch {
    // The one way in which OpenSSL says that a tag does not verify. What was deciphered is not
    // given away.
    return undefined
  }
}

/**
 * The key stream of AES-GCM without authentication over `view`: enciphers and deciphers alike.
 * Owned.
 */
export function streamGcm(key: SecretKey, ivView: Uint8Array, view: Uint8Array): Buffer {
  return gcmOf(key, ivView).update(view)
}

function gcmOf(key: SecretKey, ivView: Uint8Array): CipherGCM {
  return createCipheriv(gcmNames[key.bytes]!, keyObjectOf(key), ivView, gcmOptions) as CipherGCM
}

/**
 * AES on whole blocks of 16 octets, each by itself, without padding. Owned. For one maker's
 * authentication only.
 */
export function encipherBlocks(key: SecretKey, blocksView: Uint8Array): Buffer {
  const cipher = createCipheriv(`aes-${key.bytes * 8}-ecb`, keyObjectOf(key), null)
  cipher.setAutoPadding(false)
  return Buffer.concat([cipher.update(blocksView), cipher.final()])
}

// [RFC 3394 2.2.3.1]
const wrapIv = Buffer.alloc(8, 0xa6)
const wrapName = (key: SecretKey): string => `id-aes${key.bytes * 8}-wrap`

/** `key` wrapped under `wrappingKey`, 8 octets longer. [RFC 3394 2.2.1] */
export function wrapKey(wrappingKey: SecretKey, key: SecretKey): Buffer {
  const cipher = createCipheriv(wrapName(wrappingKey), keyObjectOf(wrappingKey), wrapIv)
  return Buffer.concat([cipher.update(key.copyOfOctets()), cipher.final()])
}

/**
 * The key in `wrappedView`, or undefined when it was not wrapped under `wrappingKey`. [RFC 3394
 * 2.2.2]
 */
export function unwrapKey(wrappingKey: SecretKey, wrappedView: Uint8Array): SecretKey | undefined {
  if (![24, 32, 40].includes(wrappedView.length)) return undefined
  const decipher = createDecipheriv(wrapName(wrappingKey), keyObjectOf(wrappingKey), wrapIv)
  try {
    return new SecretKey(Buffer.concat([decipher.update(wrappedView), decipher.final()]))
  } catch {
    // The integrity check of RFC 3394 fails.
    return undefined
  }
}

/** Digest of `view`: 16, 20, 32 or 48 octets. Owned. [RFC 1321; FIPS 180-4] */
export function digest(name: HashName, view: Uint8Array): Buffer {
  return hash(name, view, 'buffer')
}

/** HMAC-SHA-256 over `views`, one behind the other: 32 octets. Owned. [RFC 2104; FIPS 180-4] */
export function authenticate(key: Secret, ...views: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('sha256', keyObjectOf(key))
  for (const view of views) hmac.update(view)
  return hmac.digest()
}

const hashOf = (curve: Curve): HashName => (curve === 'P-256' ? 'sha256' : 'sha384')

/** ECDSA over `view` with the hash of the key's curve: r || s. Owned. [FIPS 186-4 6] */
export function signEcdsa(key: PrivateKey, view: Uint8Array): Buffer {
  return sign(hashOf(key.curve), view, { key: keyObjectOf(key), dsaEncoding: 'ieee-p1363' })
}

/** Whether `signatureView` (r || s) is of `view` by the holder of `key`. [FIPS 186-4 6] */
export function verifyEcdsa(key: PublicKey, view: Uint8Array, signatureView: Uint8Array): boolean {
  if (signatureView.length !== 2 * fieldBytes(key.curve)) return false
  return verify(
    hashOf(key.curve),
    view,
    { key: keyObjectOf(key), dsaEncoding: 'ieee-p1363' },
    signatureView,
  )
}

/** The shared secret Z, a coordinate long. Owned. [NIST SP 800-56A 5.7.1.2] */
export function sharedSecret(own: PrivateKey, peer: PublicKey): Buffer {
  assert(own.curve === peer.curve, 'keys of one curve agree')
  return diffieHellman({ privateKey: keyObjectOf(own), publicKey: keyObjectOf(peer) })
}

/** Compares in a time that tells nothing but whether the lengths are the same. */
export function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** What is needed of a certificate. Times in ms since 1970. */
export type CertificateFacts = {
  /** Common name of the subject, as it stands. */
  subjectName: string | undefined
  publicKey: PublicKey | undefined
  validFromMs: number
  validToMs: number
}

/**
 * Reads an X.509 certificate, DER or PEM; undefined when it is invalid. `isIssuedBy` checks issuer
 * and signature. [RFC 5280 4.1]
 */
export function readCertificate(
  view: Uint8Array,
): (CertificateFacts & { isIssuedBy(anchorView: Uint8Array): boolean }) | undefined {
  const certificate = parsed(view)
  if (certificate === undefined) return undefined
  return {
    subjectName: /^CN=(.*)$/m.exec(certificate.subject ?? '')?.[1],
    publicKey: PublicKey.ofKeyObject(certificate.publicKey),
    validFromMs: Date.parse(certificate.validFrom),
    validToMs: Date.parse(certificate.validTo),
    isIssuedBy(anchorView) {
      const anchor = parsed(anchorView)
      return (
        anchor !== undefined &&
        anchor.ca &&
        certificate.checkIssued(anchor) &&
        certificate.verify(anchor.publicKey)
      )
    },
  }
}

function parsed(view: Uint8Array): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(view)
    // Reading the key is what fails on one of a curve that is not known.
    void certificate.publicKey
    return certificate
  } catch {
    return undefined
  }
}
