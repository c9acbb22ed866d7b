/**
 * Proofs that each side knows the secret, passes 3 and 4 of high level security, both roles; and
 * the password of low level security. The client proves first, f(StoC), then the server, f(CtoS).
 * StoC is the server's challenge to the client, CtoS the client's.
 *
 *   2 maker's own   whatever the maker says
 *   3 MD5, 4 SHA-1  hash(challenge || secret)
 *   5 GMAC          security control || counter || tag over security control, authentication key, challenge
 *   6 SHA-256       hash(secret || title of who proves || title of the other || challenge to who proves || challenge to the other)
 *   7 ECDSA         signature over the same without the secret
 *
 * [IEC 62056-5-3 ed. 3, 5.3.4 entity authentication; table of HLS mechanisms]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf } from '../../base/bytes.ts'
import {
  digest,
  encipherBlocks,
  sameSecret,
  SecretKey,
  signEcdsa,
  tagBytes,
  verifyEcdsa,
  type Secret,
} from '../../crypto/crypto.ts'
import { AesProtection, vectorOf } from './aes-protection.ts'
import type { CounterSource, CounterWindow } from './invocation-counter.ts'
import { needed, type SecurityKeys } from './keys.ts'
import { Mechanism, Protection, securityHeaderBytes, type Suite } from './suite.ts'

/** Octets of a challenge. @source IEC 62056-5-3 ed. 3, 5.3.4.2.3 */
export const challengeBytesMin = 8
export const challengeBytesMax = 64
/**
 * Octets of ours: what makers take for granted, and for ECDSA the least that the standard has.
 * @source Green Book, HLS authentication mechanisms
 */
export const challengeBytesFor = (mechanism: Mechanism): number =>
  mechanism === Mechanism.HIGH_ECDSA ? 32 : 16

/** What a maker's own mechanism makes of a challenge; owned. */
export type MakerProof = (secret: Secret, challengeView: Uint8Array) => Buffer

/** What proofs are made of; each mechanism asks for its own. */
export type HlsOptions = {
  readonly mechanism: Mechanism
  readonly suite: Suite
  /** Eight octets each; not needed for mechanisms 2 to 4. */
  readonly ownTitle?: Uint8Array | undefined
  readonly peerTitle?: Uint8Array | undefined
  /** The challenge that we sent, and that which we were sent. Copied. */
  readonly ownChallenge: Uint8Array
  readonly peerChallenge: Uint8Array
  readonly secret?: Secret | undefined
  readonly keys?: SecurityKeys | undefined
  /** Of the unicast key, for mechanism 5: proofs use its counters too. */
  readonly counter?: CounterSource | undefined
  readonly window?: CounterWindow | undefined
  /** For mechanism 2. */
  readonly makerProof?: MakerProof | undefined
}

/**
 * The two proofs of one association. Which side it is on shows only in whose titles and challenges
 * are ours.
 */
export class HlsAuthentication {
  private readonly options: HlsOptions
  private readonly ownChallenge: Buffer
  private readonly peerChallenge: Buffer
  private aes: AesProtection | undefined = undefined

  /**
   * @throws BrokerError DLMS_VALUE_INVALID for a challenge that is too short or too long;
   * DLMS_CHALLENGE_REFLECTED when the peer's is
   *   ours: it could have us answer our own question
   */
  constructor(options: HlsOptions) {
    const { peerTitle } = options
    // The title is a view on an APDU, whose octets are gone when the proof comes.
    this.options = peerTitle === undefined ? options : { ...options, peerTitle: copyOf(peerTitle) }
    this.ownChallenge = copyOf(options.ownChallenge)
    this.peerChallenge = copyOf(options.peerChallenge)
    for (const { length } of [this.ownChallenge, this.peerChallenge])
      if (length < challengeBytesMin || length > challengeBytesMax)
        throw new BrokerError('DLMS_VALUE_INVALID', `challenge of ${length} octets`)
    if (sameSecret(this.ownChallenge, this.peerChallenge))
      throw new BrokerError('DLMS_CHALLENGE_REFLECTED')
  }

  /**
   * Our proof: f of the peer's challenge. Owned.
   * @throws BrokerError DLMS_KEY_UNKNOWN, DLMS_COUNTER_EXHAUSTED
   */
  proof(): Buffer {
    const { mechanism, keys = {}, counter, ownTitle } = this.options
    switch (mechanism) {
      case Mechanism.HIGH_GMAC: {
        const title = needed(ownTitle, 'own system title')
        return this.gmacProof(title, needed(counter, 'counter').take(), this.peerChallenge)
      }
      case Mechanism.HIGH_ECDSA:
        return signEcdsa(needed(keys.signing, 'private key for signatures'), this.ownStatement())
      default:
        return this.secretProof(this.peerChallenge, () => this.ownStatement())
    }
  }

  /**
   * Checks the peer's proof: f of our challenge.
   * @throws BrokerError DLMS_AUTHENTICATION_FAILED, DLMS_KEY_UNKNOWN
   */
  check(proofView: Buffer): void {
    if (!this.isProof(proofView)) throw new BrokerError('DLMS_AUTHENTICATION_FAILED')
  }

  private isProof(proofView: Buffer): boolean {
    const { mechanism, keys = {}, window } = this.options
    switch (mechanism) {
      case Mechanism.HIGH_GMAC: {
        if (proofView.length !== securityHeaderBytes + tagBytes) return false
        const counter = proofView.readUInt32BE(1)
        const title = needed(this.options.peerTitle, "the peer's system title")
        if (!sameSecret(this.gmacProof(title, counter, this.ownChallenge), proofView)) return false
        // The challenge is new, so no old proof fits it. The counter may be below that of the APDU
        // around it, which was sealed later.
        if (window?.isFresh(counter)) window.remember(counter)
        return true
      }
      case Mechanism.HIGH_ECDSA: {
        const key = needed(keys.peerSigning, 'public key of the peer for signatures')
        return verifyEcdsa(key, this.peerStatement(), proofView)
      }
      default:
        return sameSecret(
          this.secretProof(this.ownChallenge, () => this.peerStatement()),
          proofView,
        )
    }
  }

  private secretProof(challenge: Buffer, statement: () => Buffer): Buffer {
    const { mechanism, makerProof } = this.options
    const secret = needed(this.options.secret, 'secret')
    switch (mechanism) {
      case Mechanism.HIGH:
        return needed(makerProof, "the maker's mechanism")(secret, challenge)
      case Mechanism.HIGH_MD5:
        return digest('md5', Buffer.concat([challenge, secret.copyOfOctets()]))
      case Mechanism.HIGH_SHA1:
        return digest('sha1', Buffer.concat([challenge, secret.copyOfOctets()]))
      case Mechanism.HIGH_SHA256:
        return digest('sha256', Buffer.concat([secret.copyOfOctets(), statement()]))
      default:
        throw new BrokerError('DLMS_VALUE_INVALID', `mechanism ${mechanism} has no proofs`)
    }
  }

  private gmacProof(title: Uint8Array, counter: number, challenge: Buffer): Buffer {
    const { keys = {}, suite } = this.options
    const securityControl = Protection.AUTHENTICATED | suite.id
    const header = Buffer.allocUnsafe(securityHeaderBytes)
    header[0] = securityControl
    header.writeUInt32BE(counter, 1)
    this.aes ??= new AesProtection(keys.authentication)
    const tag = this.aes.gmac(
      needed(keys.unicast, 'unicast key'),
      vectorOf(title),
      counter,
      securityControl,
      challenge,
    )
    return Buffer.concat([header, tag])
  }

  /** What we prove, and what the peer proves, in mechanisms 6 and 7. */
  private ownStatement(): Buffer {
    const { ownTitle, peerTitle } = this.titles()
    return Buffer.concat([ownTitle, peerTitle, this.peerChallenge, this.ownChallenge])
  }

  private peerStatement(): Buffer {
    const { ownTitle, peerTitle } = this.titles()
    return Buffer.concat([peerTitle, ownTitle, this.ownChallenge, this.peerChallenge])
  }

  private titles(): { ownTitle: Uint8Array; peerTitle: Uint8Array } {
    const { ownTitle, peerTitle } = this.options
    return {
      ownTitle: needed(ownTitle, 'own system title'),
      peerTitle: needed(peerTitle, "the peer's system title"),
    }
  }
}

/** Octets of a key or a block of AES-128. */
const blockBytes = 16

/**
 * A maker's mechanism 2 that several have: AES-128 under the secret over the challenge, block by
 * block, both filled up with zeros.
 * @throws BrokerError DLMS_VALUE_INVALID for a secret of more than 16 octets
 * @source conversations of those makers' meters; the standard leaves mechanism 2 to them
 */
export const blockCipherProof: MakerProof = (secret, challengeView) => {
  if (secret.bytes > blockBytes)
    throw new BrokerError('DLMS_VALUE_INVALID', `secret of ${secret.bytes} octets`)
  const key = Buffer.alloc(blockBytes)
  key.set(secret.copyOfOctets())
  const blocks = Buffer.alloc(Math.ceil(challengeView.length / blockBytes) * blockBytes)
  blocks.set(challengeView)
  return encipherBlocks(new SecretKey(key), blocks)
}

/**
 * Whether `passwordView` is the password of low level security, in a time that tells neither how
 * much of it fits nor how long it is.
 */
export function isPassword(expected: Secret, passwordView: Uint8Array): boolean {
  return sameSecret(digest('sha256', expected.copyOfOctets()), digest('sha256', passwordView))
}
