/**
 * Keys at rest: sealed octets that only a vault opens, which has the key-encryption key. Sealed
 * keys may stand in the ledger, in stores and on the bus; opened ones live in memory only, as
 * objects that never print (core/crypto/crypto).
 */
import type { Eui64 } from '../base/eui64.ts'
import type { PrivateKey, PublicKey, Secret, SecretKey } from './crypto.ts'

/**
 * The keys of one device, as associations take them; none is there that the device does not have.
 * [IEC 62056-5-3, 5.3 cryptographic keys]
 */
export type DeviceKeys = {
  /** Global unicast and broadcast encryption keys, authentication key, master key. */
  readonly unicast?: SecretKey | undefined
  readonly broadcast?: SecretKey | undefined
  readonly authentication?: SecretKey | undefined
  readonly master?: SecretKey | undefined
  /** Of low level security, and of the mechanisms that prove a secret (HLS 2 to 4, 6). */
  readonly secret?: Secret | undefined
  /** Ours towards this device, for signatures and key agreement; and the device's. */
  readonly signing?: PrivateKey | undefined
  readonly agreement?: PrivateKey | undefined
  readonly peerSigning?: PublicKey | undefined
  readonly peerAgreement?: PublicKey | undefined
}

export interface KeyVault {
  /**
   * The keys in `sealedView`, which was sealed for `device`. Opened ones are kept for a while, so
   * that asking again is cheap.
   * @throws BrokerError KEYS_SEALED_UNREADABLE for octets that were sealed for another device or
   * under a key that the vault does not have
   */
  open(device: Eui64, sealedView: Uint8Array): DeviceKeys
  /**
   * Seals `keys` for `device`; the same keys give the same octets, so that a record that has not
   * changed stays the same. Owned.
   * @throws BrokerError KEYS_ENCRYPTION_KEY_MISSING when the vault has none
   */
  seal(device: Eui64, keys: DeviceKeys): Buffer
  /**
   * Name of the key-encryption key that seals (sealed-keys.ts), undefined when there is none. Looks
   * for a newer one first.
   */
  currentName(): string | undefined
}
