/**
 * The key-info of general-ciphering, and the key that it stands for:
 *
 *   01 00 key id                            a global key that both have: 0 unicast, 1 broadcast
 *   01 01 00 wrapped key octet string       a new key, wrapped under the master key
 *   01 02 parameters, data octet strings    an agreed key: 01 one-pass, 02 static unified
 *   00                                      none: the global unicast key
 *
 * Keys that come with APDUs are remembered with their counters, a few of them, so that none of
 * those is replayed.
 * [IEC 62056-5-3 ed. 3, ASN.1 module, Key-Info; 5.3.4.6 key agreement, 5.3.5 key transport]
 */
import { emptyBytes } from '../../base/bytes.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { digest, PrivateKey, SecretKey, unwrapKey, wrapKey } from '../../crypto/crypto.ts'
import type { Random } from '../../ports/random.ts'
import { endOf, octetStringBytes, octetStringView, writeOctetString } from './general-header.ts'
import { CounterWindow } from './invocation-counter.ts'
import {
  agreedSecret,
  agreementCurve,
  AgreementScheme,
  deriveKey,
  openEphemeralKey,
  partyWithNonce,
  signedEphemeralKey,
} from './key-agreement.ts'
import { needed, type SecurityKeys } from './keys.ts'
import type { SecurityProfile } from './policy.ts'
import { KeyId, type Suite } from './suite.ts'

/** Which key a general-ciphering uses. */
export const GeneralKey = {
  UNICAST: 0,
  BROADCAST: 1,
  WRAPPED: 2,
  ONE_PASS: 3,
  STATIC_UNIFIED: 4,
} as const
export type GeneralKey = (typeof GeneralKey)[keyof typeof GeneralKey]

/** Choices of Key-Info. */
const KeyInfo = { IDENTIFIED: 0, WRAPPED: 1, AGREED: 2 } as const

/**
 * A key-info as it stands in an APDU: `keyDataView` what is wrapped, or sent for an agreement.
 * `end` is the offset behind it.
 */
export type KeyInfoView = {
  readonly key: GeneralKey
  readonly keyDataView: Buffer | undefined
  readonly end: number
}

/**
 * Reads the key-info at `at`.
 * @throws BrokerError DLMS_LENGTH_INVALID, DLMS_VALUE_INVALID, DLMS_KEY_AGREEMENT_INVALID for a
 * scheme that is not known
 */
export function readKeyInfo(view: Buffer, at: number): KeyInfoView {
  const octetAt = (offset: number): number => {
    const octet = view[offset]
    if (octet === undefined)
      throw new BrokerError('DLMS_LENGTH_INVALID', `cut short at octet ${offset}`)
    return octet
  }
  const isPresent = octetAt(at)
  if (isPresent === 0) return { key: GeneralKey.UNICAST, keyDataView: undefined, end: at + 1 }
  const choice = octetAt(at + 1)
  const first = octetAt(at + 2)
  if (
    isPresent !== 1 ||
    choice > KeyInfo.AGREED ||
    (choice !== KeyInfo.AGREED && first > 1 - choice)
  )
    throw new BrokerError('DLMS_VALUE_INVALID', `key information at octet ${at}`)
  if (choice === KeyInfo.IDENTIFIED)
    return { key: first as GeneralKey, keyDataView: undefined, end: at + 3 }
  if (choice === KeyInfo.WRAPPED) {
    const keyDataView = octetStringView(view, at + 3)
    return { key: GeneralKey.WRAPPED, keyDataView, end: endOf(view, keyDataView) }
  }
  const parameters = octetStringView(view, at + 2)
  const keyDataView = octetStringView(view, endOf(view, parameters))
  const scheme = parameters.length === 1 ? parameters[0] : undefined
  if (scheme !== AgreementScheme.ONE_PASS && scheme !== AgreementScheme.STATIC_UNIFIED)
    throw new BrokerError('DLMS_KEY_AGREEMENT_INVALID', 'the scheme is not known')
  const key = scheme === AgreementScheme.ONE_PASS ? GeneralKey.ONE_PASS : GeneralKey.STATIC_UNIFIED
  return { key, keyDataView, end: endOf(view, keyDataView) }
}

/** Octets of the key-info that `writeKeyInfo` writes. */
export function keyInfoBytes(key: GeneralKey, keyData: Uint8Array): number {
  if (key <= GeneralKey.BROADCAST) return 3
  return (key === GeneralKey.WRAPPED ? 3 : 4) + octetStringBytes(keyData.length)
}

/** Writes a key-info at `at`; returns the offset behind it. */
export function writeKeyInfo(
  out: Uint8Array,
  at: number,
  key: GeneralKey,
  keyData: Uint8Array,
): number {
  out[at] = 1
  if (key <= GeneralKey.BROADCAST) {
    out[at + 1] = KeyInfo.IDENTIFIED
    out[at + 2] = key
    return at + 3
  }
  if (key === GeneralKey.WRAPPED) {
    out[at + 1] = KeyInfo.WRAPPED
    out[at + 2] = 0
    return writeOctetString(out, at + 3, keyData)
  }
  out[at + 1] = KeyInfo.AGREED
  out[at + 2] = 1
  out[at + 3] =
    key === GeneralKey.ONE_PASS ? AgreementScheme.ONE_PASS : AgreementScheme.STATIC_UNIFIED
  return writeOctetString(out, at + 4, keyData)
}

/**
 * A key that came with APDUs, and the counters that came with it. `name` is what it is remembered
 * by.
 */
export type SessionKey = {
  readonly name: string
  readonly key: SecretKey
  readonly window: CounterWindow
}

/** Makes and remembers the keys of one association that are wrapped or agreed. */
export class SessionKeys {
  private readonly suite: Suite
  private readonly keys: SecurityKeys
  private readonly profile: SecurityProfile
  private readonly random: Random | undefined
  // In the order of their coming: the first is the oldest.
  private readonly received = new Map<string, SessionKey>()
  private readonly runningWindow: CounterWindow

  /**
   * @param window which counters were received with keys of earlier APDUs, when one runs over all
   * of them
   */
  constructor(
    suite: Suite,
    keys: SecurityKeys,
    profile: SecurityProfile,
    random: Random | undefined,
    window: CounterWindow,
  ) {
    this.suite = suite
    this.keys = keys
    this.profile = profile
    this.random = random
    this.runningWindow = window
  }

  /**
   * A key to send with: `keyData` goes with it. New each time, but for static unified.
   * @throws BrokerError DLMS_KEY_UNKNOWN, DLMS_KEY_AGREEMENT_INVALID
   */
  toSend(
    key: GeneralKey,
    transactionId: Uint8Array,
    originator: Uint8Array,
    recipient: Uint8Array,
  ): { key: SecretKey; keyData: Buffer } {
    const { suite, keys, profile } = this
    if (key === GeneralKey.WRAPPED) {
      const made = SecretKey.random(needed(this.random, 'randomness'), suite.keyBytes)
      return { key: made, keyData: wrapKey(needed(keys.master, 'master key'), made) }
    }
    const peer = needed(keys.peerAgreement, 'public key of the peer for agreement')
    if (key === GeneralKey.ONE_PASS) {
      const ephemeral = PrivateKey.generate(agreementCurve(suite))
      const keyData = signedEphemeralKey(
        AgreementScheme.ONE_PASS,
        ephemeral.publicKey,
        needed(keys.signing, 'private key for signatures'),
        profile.ephemeralSignature,
      )
      const secret = agreedSecret(suite, ephemeral, peer)
      const agreed = deriveKey(suite, KeyId.GLOBAL_UNICAST, secret, originator, recipient)
      return { key: agreed, keyData }
    }
    const own = needed(keys.agreement, 'private key for agreement')
    const party = partyWithNonce(transactionId, recipient, profile.agreementNonce)
    const secret = agreedSecret(suite, own, peer)
    return {
      key: deriveKey(suite, KeyId.GLOBAL_UNICAST, secret, originator, party),
      keyData: emptyBytes,
    }
  }

  /**
   * The key of a key-info received; remembered only when `remember` is called for it, after the
   * APDU has been verified.
   * @throws BrokerError DLMS_KEY_UNKNOWN, DLMS_KEY_WRAP_WRONG, DLMS_SIGNATURE_WRONG,
   * DLMS_KEY_AGREEMENT_INVALID
   */
  forReceived(
    { key, keyDataView = emptyBytes }: KeyInfoView,
    transactionId: Buffer,
    originator: Uint8Array,
    recipient: Uint8Array,
  ): SessionKey {
    const told = key === GeneralKey.STATIC_UNIFIED ? transactionId : keyDataView
    // A digest, because what is told may be long and be remembered for long; a key agreed without a
    // recipient is another.
    const name = `${key}:${recipient.length}:${digest('sha256', told).toString('latin1')}`
    const known = this.received.get(name)
    if (known !== undefined) return known
    const made = this.keyOf(key, keyDataView, transactionId, originator, recipient)
    const isRunning = this.profile.sessionKeyCounters === 'running'
    return { name, key: made, window: isRunning ? this.runningWindow : new CounterWindow() }
  }

  remember(key: SessionKey): void {
    if (this.received.has(key.name)) return
    if (this.received.size >= limits.sessionKeysMax) {
      const [oldest] = this.received.keys()
      this.received.delete(oldest!)
    }
    this.received.set(key.name, key)
  }

  private keyOf(
    key: GeneralKey,
    keyDataView: Buffer,
    transactionId: Uint8Array,
    originator: Uint8Array,
    recipient: Uint8Array,
  ): SecretKey {
    const { suite, keys, profile } = this
    if (key === GeneralKey.WRAPPED) {
      const unwrapped = unwrapKey(needed(keys.master, 'master key'), keyDataView)
      if (unwrapped?.bytes !== suite.keyBytes) throw new BrokerError('DLMS_KEY_WRAP_WRONG')
      return unwrapped
    }
    const own = needed(keys.agreement, 'private key for agreement')
    if (key === GeneralKey.ONE_PASS) {
      const signing = needed(keys.peerSigning, 'public key of the peer for signatures')
      const ephemeral = openEphemeralKey(suite, AgreementScheme.ONE_PASS, keyDataView, signing)
      const secret = agreedSecret(suite, own, ephemeral)
      return deriveKey(suite, KeyId.GLOBAL_UNICAST, secret, originator, recipient)
    }
    if (keyDataView.length !== 0)
      throw new BrokerError('DLMS_KEY_AGREEMENT_INVALID', 'static unified sends no key')
    const peer = needed(keys.peerAgreement, 'public key of the peer for agreement')
    const party = partyWithNonce(transactionId, recipient, profile.agreementNonce)
    return deriveKey(suite, KeyId.GLOBAL_UNICAST, agreedSecret(suite, own, peer), originator, party)
  }
}
