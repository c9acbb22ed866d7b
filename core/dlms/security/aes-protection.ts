/**
 * AES-GCM as DLMS uses it, for one authentication key: what is authenticated, what is enciphered,
 * by the bits of the security control octet. It writes and reads the part of a protected APDU that
 * begins with the security header:
 *
 *   security control | invocation counter u32 | content | tag 12, when authenticated
 *
 *   encrypted                  content enciphered, nothing authenticated
 *   authenticated              content in the clear; authenticated: security control, authentication key, header, content
 *   authenticated, encrypted   content enciphered; authenticated: security control, authentication key, header
 *
 * `header` is that of general-ciphering. The vector is the sender's system title and the counter.
 * [IEC 62056-5-3 ed. 3, 5.3.7.5 and 5.7.2, additional authenticated data]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf } from '../../base/bytes.ts'
import {
  ivBytes,
  openGcm,
  sealGcm,
  streamGcm,
  tagBytes,
  type GcmContext,
  type SecretKey,
} from '../../crypto/crypto.ts'
import type { SecurityProfile } from './policy.ts'
import {
  authenticatedEncrypted,
  Protection,
  securityHeaderBytes,
  systemTitleBytes,
} from './suite.ts'

/** Octets of security header, content and tag for a plaintext of `plainBytes`. */
export function protectedBytes(securityControl: number, plainBytes: number): number {
  const isAuthenticated = (securityControl & Protection.AUTHENTICATED) !== 0
  return securityHeaderBytes + plainBytes + (isAuthenticated ? tagBytes : 0)
}

/** Writes the security header at `at`: security control and invocation counter. */
export function writeSecurityHeader(
  out: Buffer,
  at: number,
  securityControl: number,
  counter: number,
): void {
  out[at] = securityControl
  out.writeUInt32BE(counter, at + 1)
}

/** A vector with room for the counter behind `title`. */
export function vectorOf(title: Uint8Array): Buffer {
  const vector = Buffer.alloc(ivBytes)
  vector.set(title)
  return vector
}

type Deviation = SecurityProfile['authenticationOnly']
const deviations: readonly Deviation[] = ['standard', 'apdu-tag', 'enciphered']

/**
 * What one APDU is protected under: key and vector, and what is authenticated beside its content.
 */
export type Covering = GcmContext & {
  /** The sender's title and a counter. */
  ivView: Buffer
  apduTag: number
  /** Of general-ciphering. */
  header: Uint8Array | undefined
}

function isEnciphered(securityControl: number, deviation: Deviation): boolean {
  return (
    (securityControl & authenticatedEncrypted) === authenticatedEncrypted ||
    deviation === 'enciphered'
  )
}

export class AesProtection {
  /** Security control, authentication key. */
  readonly #aad: Buffer | undefined
  #covering: Covering | undefined
  private readonly deviation: Deviation

  constructor(authenticationKey: SecretKey | undefined, deviation: Deviation = 'standard') {
    this.#aad = authenticationKey && Buffer.concat([Buffer.of(0), authenticationKey.copyOfOctets()])
    this.deviation = deviation
  }

  /**
   * What the next `seal` or `open` runs under: the same object, refilled each time. `vector`
   * holds the sender's title; `counter`, which is the security header's but for one maker's habit,
   * is written behind it.
   */
  covering(
    key: SecretKey,
    vector: Buffer,
    counter: number,
    apduTag: number,
    header?: Uint8Array,
  ): Covering {
    vector.writeUInt32BE(counter, systemTitleBytes)
    const known = this.#covering
    if (known === undefined)
      return (this.#covering = {
        key,
        ivView: vector,
        aad: vector,
        moreAad: header,
        apduTag,
        header,
      })
    known.key = key
    known.ivView = vector
    known.apduTag = apduTag
    known.header = header
    return known
  }

  /**
   * Writes content and tag of `plainView` behind the security header that stands at `at`; returns
   * the offset behind them.
   * @throws BrokerError DLMS_KEY_UNKNOWN when it should be authenticated and there is no
   * authentication key
   */
  seal(covering: Covering, plainView: Uint8Array, out: Buffer, at: number): number {
    const securityControl = out[at]!
    const start = at + securityHeaderBytes
    if ((securityControl & Protection.AUTHENTICATED) === 0) {
      out.set(streamGcm(covering.key, covering.ivView, plainView), start)
      return start + plainView.length
    }
    if (isEnciphered(securityControl, this.deviation)) {
      this.coverEnciphered(covering, securityControl)
      return sealGcm(covering, plainView, out, start)
    }
    out.set(plainView, start)
    this.coverClear(covering, securityControl, plainView, this.deviation)
    return sealGcm(covering, undefined, out, start + plainView.length)
  }

  /**
   * The plaintext of `protectedView`, which begins with the security header: owned when it was
   * enciphered, else a view.
   * @throws BrokerError DLMS_CIPHER_TAG_WRONG, DLMS_LENGTH_INVALID, DLMS_KEY_UNKNOWN
   */
  open(covering: Covering, protectedView: Buffer): Buffer {
    const securityControl = protectedView[0]!
    if ((securityControl & Protection.AUTHENTICATED) === 0)
      return streamGcm(covering.key, covering.ivView, protectedView.subarray(securityHeaderBytes))
    const contentEnd = protectedView.length - tagBytes
    if (contentEnd < securityHeaderBytes)
      throw new BrokerError('DLMS_LENGTH_INVALID', 'no room for an authentication tag')
    const content = protectedView.subarray(securityHeaderBytes, contentEnd)
    const tag = protectedView.subarray(contentEnd)
    const plain = this.openAs(this.deviation, securityControl, covering, content, tag)
    if (plain !== undefined) return plain
    // A device that deviates is refused until its profile says so; which profile that is, is said
    // here.
    const isEncrypted = (securityControl & Protection.ENCRYPTED) !== 0
    const fitting = isEncrypted
      ? undefined
      : deviations.find((other) => this.openAs(other, securityControl, covering, content, tag))
    throw new BrokerError(
      'DLMS_CIPHER_TAG_WRONG',
      fitting && `authenticated only, in the way of authenticationOnly: ${fitting}`,
    )
  }

  /** The plaintext, or undefined when the tag does not fit. */
  private openAs(
    deviation: Deviation,
    securityControl: number,
    covering: Covering,
    content: Buffer,
    tag: Buffer,
  ): Buffer | undefined {
    if (isEnciphered(securityControl, deviation)) {
      this.coverEnciphered(covering, securityControl)
      return openGcm(covering, content, tag)
    }
    this.coverClear(covering, securityControl, content, deviation)
    return openGcm(covering, undefined, tag) && content
  }

  /**
   * Tag of `challengeView` for an authentication pass: 12 octets, owned. @throws BrokerError
   * DLMS_KEY_UNKNOWN
   */
  gmac(
    key: SecretKey,
    vector: Buffer,
    counter: number,
    securityControl: number,
    challengeView: Uint8Array,
  ): Buffer {
    const covering = this.covering(key, vector, counter, 0)
    covering.aad = this.aad(securityControl)
    covering.moreAad = challengeView
    const tag = Buffer.allocUnsafe(tagBytes)
    sealGcm(covering, undefined, tag, 0)
    return tag
  }

  /** Authenticates what stands in front of an enciphered content. */
  private coverEnciphered(covering: Covering, securityControl: number): void {
    covering.aad = this.aad(securityControl)
    covering.moreAad = covering.header
  }

  /** Authenticates a content in the clear, and what stands in front of it. */
  private coverClear(
    covering: Covering,
    securityControl: number,
    content: Uint8Array,
    deviation: Deviation,
  ): void {
    const { header, apduTag } = covering
    const aad = this.aad(deviation === 'apdu-tag' ? apduTag : securityControl)
    covering.aad = header === undefined ? aad : Buffer.concat([aad, header])
    covering.moreAad = content
  }

  private aad(first: number): Buffer {
    if (this.#aad === undefined) throw new BrokerError('DLMS_KEY_UNKNOWN', 'authentication key')
    this.#aad[0] = first
    return this.#aad
  }
}

/**
 * A copy of `titleView`. @throws BrokerError DLMS_SYSTEM_TITLE_WRONG when it has not eight octets
 */
export function copyOfSystemTitle(titleView: Uint8Array): Buffer {
  if (titleView.length !== systemTitleBytes)
    throw new BrokerError('DLMS_SYSTEM_TITLE_WRONG', `${titleView.length} octets`)
  return copyOf(titleView)
}
