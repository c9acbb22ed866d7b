/** The keys of one association, from its opener. Unused keys may be missing. */
import { BrokerError } from '../../base/broker-error.ts'
import type { PrivateKey, PublicKey, SecretKey } from '../../crypto/crypto.ts'

export type SecurityKeys = {
  /** Global unicast encryption key. */
  readonly unicast?: SecretKey | undefined
  /** Global broadcast encryption key. */
  readonly broadcast?: SecretKey | undefined
  /** Authentication key, for all of them. */
  readonly authentication?: SecretKey | undefined
  /** Master key (KEK): unwraps keys that come with APDUs. */
  readonly master?: SecretKey | undefined
  /** Ours for signatures and for key agreement. */
  readonly signing?: PrivateKey | undefined
  readonly agreement?: PrivateKey | undefined
  /** The peer's, from its certificates. */
  readonly peerSigning?: PublicKey | undefined
  readonly peerAgreement?: PublicKey | undefined
}

/** `key`, or the error that names what is missing. @throws BrokerError DLMS_KEY_UNKNOWN */
export function needed<T>(key: T | undefined, name: string): T {
  if (key === undefined) throw new BrokerError('DLMS_KEY_UNKNOWN', name)
  return key
}
