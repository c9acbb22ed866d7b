/**
 * AES-GCM as DLMS uses it, for one authentication key: what is authenticated, what is enciphered, by the bits of the security
 * control octet. It writes and reads the part of a protected APDU that begins with the security header:
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

/** A vector with room for the counter behind `title`. */
export function vectorOf(title: Uint8Array): Buffer {
  const vector = Buffer.alloc(ivBytes)
  vector.set(title)
  return vector
}

type Deviation = SecurityProfile['authenticationOnly']
const deviations: readonly Deviation[] = ['standard', 'apdu-tag', 'enciphered']

type Opening = {
  key: SecretKey
  vector: Buffer
  apduTag: number
  header: Uint8Array | undefined
  content: Buffer
  tag: Buffer
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
  private readonly deviation: Deviation

  constructor(authenticationKey: SecretKey | undefined, deviation: Deviation = 'standard') {
    this.#aad = authenticationKey && Buffer.concat([Buffer.of(0), authenticationKey.copyOfOctets()])
    this.deviation = deviation
  }

  /**
   * Writes header, content and tag of `plainView` at `at`; returns the offset behind them. `vector` holds the sender's title;
   * its last four octets are written here, from `vectorCounter`, which is the header's counter but for one maker's habit.
   * @throws BrokerError DLMS_KEY_UNKNOWN when it should be authenticated and there is no authentication key
   */
  seal(
    key: SecretKey,
    vector: Buffer,
    vectorCounter: number,
    securityControl: number,
    counter: number,
    apduTag: number,
    header: Uint8Array | undefined,
    plainView: Uint8Array,
    out: Buffer,
    at: number,
  ): number {
    vector.writeUInt32BE(vectorCounter, systemTitleBytes)
    out[at] = securityControl
    out.writeUInt32BE(counter, at + 1)
    const start = at + securityHeaderBytes
    if ((securityControl & Protection.AUTHENTICATED) === 0) {
      out.set(streamGcm(key, vector, plainView), start)
      return start + plainView.length
    }
    if (isEnciphered(securityControl, this.deviation))
      return sealGcm(key, vector, this.aad(securityControl), header, plainView, out, start)
    out.set(plainView, start)
    return sealGcm(
      key,
      vector,
      this.clearAad(securityControl, apduTag, header, this.deviation),
      plainView,
      undefined,
      out,
      start + plainView.length,
    )
  }

  /**
   * The plaintext of `protectedView`, which begins with the security header: owned when it was enciphered, else a view.
   * @throws BrokerError DLMS_CIPHER_TAG_WRONG, DLMS_LENGTH_INVALID, DLMS_KEY_UNKNOWN
   */
  open(
    key: SecretKey,
    vector: Buffer,
    vectorCounter: number,
    apduTag: number,
    header: Uint8Array | undefined,
    protectedView: Buffer,
  ): Buffer {
    const securityControl = protectedView[0]!
    vector.writeUInt32BE(vectorCounter, systemTitleBytes)
    if ((securityControl & Protection.AUTHENTICATED) === 0)
      return streamGcm(key, vector, protectedView.subarray(securityHeaderBytes))
    const contentEnd = protectedView.length - tagBytes
    if (contentEnd < securityHeaderBytes)
      throw new BrokerError('DLMS_LENGTH_INVALID', 'no room for an authentication tag')
    const content = protectedView.subarray(securityHeaderBytes, contentEnd)
    const tag = protectedView.subarray(contentEnd)
    const opening = { key, vector, apduTag, header, content, tag }
    const plain = this.openAs(this.deviation, securityControl, opening)
    if (plain !== undefined) return plain
    // A device that deviates is refused until its profile says so; which profile that is, is said here.
    const isEncrypted = (securityControl & Protection.ENCRYPTED) !== 0
    const fitting = isEncrypted
      ? undefined
      : deviations.find((other) => this.openAs(other, securityControl, opening))
    throw new BrokerError(
      'DLMS_CIPHER_TAG_WRONG',
      fitting && `authenticated only, in the way of authenticationOnly: ${fitting}`,
    )
  }

  /** The plaintext, or undefined when the tag does not fit. */
  private openAs(
    deviation: Deviation,
    securityControl: number,
    { key, vector, apduTag, header, content, tag }: Opening,
  ): Buffer | undefined {
    if (isEnciphered(securityControl, deviation))
      return openGcm(key, vector, this.aad(securityControl), header, content, tag)
    const aad = this.clearAad(securityControl, apduTag, header, deviation)
    return openGcm(key, vector, aad, content, undefined, tag) && content
  }

  /** Tag of `challengeView` for an authentication pass: 12 octets, owned. @throws BrokerError DLMS_KEY_UNKNOWN */
  gmac(
    key: SecretKey,
    vector: Buffer,
    counter: number,
    securityControl: number,
    challengeView: Uint8Array,
  ): Buffer {
    vector.writeUInt32BE(counter, systemTitleBytes)
    const tag = Buffer.allocUnsafe(tagBytes)
    sealGcm(key, vector, this.aad(securityControl), challengeView, undefined, tag, 0)
    return tag
  }

  /** What is authenticated in front of a content in the clear. */
  private clearAad(
    securityControl: number,
    apduTag: number,
    header: Uint8Array | undefined,
    deviation: Deviation,
  ): Buffer {
    const aad = this.aad(deviation === 'apdu-tag' ? apduTag : securityControl)
    return header === undefined ? aad : Buffer.concat([aad, header])
  }

  private aad(first: number): Buffer {
    if (this.#aad === undefined) throw new BrokerError('DLMS_KEY_UNKNOWN', 'authentication key')
    this.#aad[0] = first
    return this.#aad
  }
}

/** A copy of `titleView`. @throws BrokerError DLMS_SYSTEM_TITLE_WRONG when it has not eight octets */
export function copyOfSystemTitle(titleView: Uint8Array): Buffer {
  if (titleView.length !== systemTitleBytes)
    throw new BrokerError('DLMS_SYSTEM_TITLE_WRONG', `${titleView.length} octets`)
  return copyOf(titleView)
}
