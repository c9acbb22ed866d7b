/**
 * Keys agreed with elliptic curves, and the derivation of a key from a shared secret:
 *
 *   ephemeral unified C(2e,0s)   both send an ephemeral key, signed; within key agreement of the security setup
 *   one-pass C(1e,1s)            the originator sends an ephemeral key, signed, with the APDU that uses the agreed key
 *   static unified C(0e,2s)      nothing is sent; the transaction id makes the agreed key another
 *
 *   key = leftmost octets of hash(00000001 || Z || algorithm id || party U || party V)
 *
 * [NIST SP 800-56A rev. 2, 5.8.1.1 concatenation KDF and 6; IEC 62056-5-3 ed. 3, 5.3.4.6 and annex on key agreement]
 */
import { BrokerError } from '../../base/broker-error.ts'
import {
  digest,
  fieldBytes,
  PublicKey,
  SecretKey,
  sharedSecret,
  signEcdsa,
  verifyEcdsa,
  type Curve,
  type PrivateKey,
} from '../../crypto/crypto.ts'
import { octetStringBytes, writeOctetString } from './general-header.ts'
import type { SecurityProfile } from './policy.ts'
import { KeyId, type Suite } from './suite.ts'

/** key-parameters of an agreed key. @source IEC 62056-5-3 ed. 3, agreed-key information */
export const AgreementScheme = { ONE_PASS: 1, STATIC_UNIFIED: 2 } as const

// 2.16.756.5.8.3.n: AES-GCM-128, AES-GCM-256, AES-WRAP-128, AES-WRAP-256. [IEC 62056-5-3 ed. 3,
// cryptographic algorithm ids]
const algorithmIds = [0, 1, 2, 3].map((n) => Buffer.from([0x60, 0x85, 0x74, 5, 8, 3, n]))

/**
 * The key that Z, `sharedSecretView`, gives: for wrapping when it is to be the master key, else for
 * AES-GCM.
 * @param partyU who began, and party V, the other; with whatever the scheme adds to them
 */
export function deriveKey(
  suite: Suite,
  keyId: KeyId,
  sharedSecretView: Uint8Array,
  partyU: Uint8Array,
  partyV: Uint8Array,
): SecretKey {
  const is256 = suite.keyBytes === 32
  const algorithm = algorithmIds[(keyId === KeyId.MASTER ? 2 : 0) + (is256 ? 1 : 0)]!
  const input = Buffer.concat([Buffer.of(0, 0, 0, 1), sharedSecretView, algorithm, partyU, partyV])
  const hashed = digest(is256 ? 'sha384' : 'sha256', input)
  return new SecretKey(hashed.subarray(0, suite.keyBytes))
}

/**
 * Party V of static unified: the transaction id and the recipient. @source maker's difference: see
 * `SecurityProfile`
 */
export function partyWithNonce(
  transactionId: Uint8Array,
  recipient: Uint8Array,
  nonce: SecurityProfile['agreementNonce'],
): Buffer {
  if (nonce === 'without-length') return Buffer.concat([transactionId, recipient])
  const party = Buffer.allocUnsafe(octetStringBytes(transactionId.length) + recipient.length)
  party.set(recipient, writeOctetString(party, 0, transactionId))
  return party
}

/**
 * The curve of keys to be agreed. @throws BrokerError DLMS_KEY_AGREEMENT_INVALID in suite 0, which
 * has none
 */
export function agreementCurve({ curve, id }: Suite): Curve {
  if (curve === undefined)
    throw new BrokerError('DLMS_KEY_AGREEMENT_INVALID', `suite ${id} has no key agreement`)
  return curve
}

/**
 * Z of two keys.
 * @throws BrokerError DLMS_KEY_AGREEMENT_INVALID when they are not of the suite's curve
 */
export function agreedSecret(suite: Suite, own: PrivateKey, peer: PublicKey): Buffer {
  const curve = agreementCurve(suite)
  if (own.curve !== curve || peer.curve !== curve)
    throw new BrokerError('DLMS_KEY_AGREEMENT_INVALID', `not a key of ${curve}`)
  return sharedSecret(own, peer)
}

/**
 * An ephemeral public key with its signature: point, then r || s. Owned.
 * @param id what it is for: the scheme within an APDU, the key id within key agreement
 */
export function signedEphemeralKey(
  id: number,
  ephemeral: PublicKey,
  signing: PrivateKey,
  what: SecurityProfile['ephemeralSignature'] = 'identified',
): Buffer {
  const point = ephemeral.pointBytes
  const signed = what === 'key-alone' ? point : Buffer.concat([Buffer.of(id), point])
  return Buffer.concat([point, signEcdsa(signing, signed)])
}

/**
 * The ephemeral key of the peer. Its signature may cover the key alone or `id` and the key.
 * @throws BrokerError DLMS_LENGTH_INVALID, DLMS_SIGNATURE_WRONG, DLMS_KEY_AGREEMENT_INVALID when
 * the point is not on the curve
 */
export function openEphemeralKey(
  suite: Suite,
  id: number,
  keyView: Buffer,
  signing: PublicKey,
): PublicKey {
  const curve = agreementCurve(suite)
  const bytes = 2 * fieldBytes(curve)
  if (keyView.length !== 2 * bytes)
    throw new BrokerError('DLMS_LENGTH_INVALID', `ephemeral key of ${keyView.length} octets`)
  const point = keyView.subarray(0, bytes)
  const signature = keyView.subarray(bytes)
  const isSigned =
    verifyEcdsa(signing, Buffer.concat([Buffer.of(id), point]), signature) ||
    verifyEcdsa(signing, point, signature)
  if (!isSigned) throw new BrokerError('DLMS_SIGNATURE_WRONG', 'ephemeral key')
  const key = PublicKey.of(curve, point)
  if (key === undefined)
    throw new BrokerError('DLMS_KEY_AGREEMENT_INVALID', 'the point is not on the curve')
  return key
}

/** System titles of the client, which began the agreement, and of the meter. */
export type AgreeingTitles = { client: Uint8Array; server: Uint8Array }

/**
 * The key that two ephemeral keys agree, C(2e,0s), alike on both sides.
 * @throws BrokerError DLMS_KEY_AGREEMENT_INVALID
 */
export function ephemeralUnifiedKey(
  suite: Suite,
  keyId: KeyId,
  own: PrivateKey,
  peer: PublicKey,
  { client, server }: AgreeingTitles,
): SecretKey {
  return deriveKey(suite, keyId, agreedSecret(suite, own, peer), client, server)
}
