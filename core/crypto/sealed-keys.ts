/**
 * What sealed keys look like from outside: without a key-encryption key it can be told under which
 * one they were sealed and whether two have the same unicast key, and nothing more.
 *
 *   version u8 = 1 | name of the key-encryption key 4 | key mark 16 | nonce 12 | ciphertext | tag 12
 *
 * The key mark is an HMAC under the unicast key itself: invocation counters belong to that key,
 * whatever else it is sealed with and under which key-encryption key. It is all zero when there is
 * no unicast key.
 */
import { asBuffer } from '../base/bytes.ts'
import { ivBytes, tagBytes } from './crypto.ts'

export const sealedVersion = 1
export const kekNameBytes = 4
export const keyMarkBytes = 16
export const sealedNonceAt = 1 + kekNameBytes + keyMarkBytes
export const sealedHeadBytes = sealedNonceAt + ivBytes
/**
 * Two certificates' keys, two private keys, four symmetric ones and a secret, with what stands
 * around them, are under 600 octets.
 */
export const sealedBytesMax = 1_024

export function isSealedKeys(view: Uint8Array): boolean {
  const { length } = view
  return (
    view[0] === sealedVersion && length >= sealedHeadBytes + tagBytes && length <= sealedBytesMax
  )
}

/** Name of the key-encryption key, eight hexadecimal digits. `view` is sealed keys. */
export const kekNameOf = (view: Uint8Array): string =>
  asBuffer(view).toString('hex', 1, 1 + kekNameBytes)

/**
 * The same for the same unicast key of a device, sealed with whatever under whichever key. `view`
 * is sealed keys.
 */
export const keyMarkOf = (view: Uint8Array): string =>
  asBuffer(view).toString('latin1', 1 + kekNameBytes, sealedNonceAt)
