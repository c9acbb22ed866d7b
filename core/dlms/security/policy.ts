/**
 * What protection is asked for, and which makers' deviations are let through. Values only; the
 * channel holds peers to them.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { ApduTag } from '../apdu/constants.ts'
import { Protection } from './suite.ts'

/**
 * Bits of `Protection` that every request and every response must have: AUTHENTICATED, ENCRYPTED,
 * SIGNED. More is accepted.
 */
export type SecurityPolicy = { readonly request: number; readonly response: number }

export const noSecurity: SecurityPolicy = { request: 0, response: 0 }

/**
 * The policy that attribute 2 of security setup holds.
 * @throws BrokerError DLMS_VALUE_INVALID for bits or values that the version does not have
 * @source IEC 62056-6-2, class 64: version 0 an enumeration of 0 to 3, version 1 bits 2 to 7
 */
export function securityPolicyOf(version: 0 | 1, value: number): SecurityPolicy {
  if (version === 0) {
    if (!Number.isInteger(value) || value < 0 || value > 3)
      throw new BrokerError('DLMS_VALUE_INVALID', `security policy ${value}`)
    const needed = (value & 3) << 4
    return { request: needed, response: needed }
  }
  if ((value & ~0xfc) !== 0) throw new BrokerError('DLMS_VALUE_INVALID', `security policy ${value}`)
  return { request: neededOf(value >> 2), response: neededOf(value >> 5) }
}

/**
 * Attribute 2 of security setup for `policy`, the other way round. Version 0 has one value for both
 * directions, the stronger.
 */
export function securityPolicyValue(version: 0 | 1, { request, response }: SecurityPolicy): number {
  if (version === 0) return ((request | response) >> 4) & 3
  return (bitsOf(request) << 2) | (bitsOf(response) << 5)
}

function neededOf(bits: number): number {
  return ((bits & 3) << 4) | ((bits & 4) !== 0 ? Protection.SIGNED : 0)
}

function bitsOf(needed: number): number {
  return ((needed >> 4) & 3) | ((needed & Protection.SIGNED) !== 0 ? 4 : 0)
}

/**
 * How a maker's devices deviate. Everything is refused that is not said here.
 *
 * `authenticationOnly`   how APDUs are protected that are authenticated and not encrypted:
 *   `standard`     the tag covers security control, authentication key and plaintext
 *   `apdu-tag`     it covers the APDU's tag in the place of the security control
 *   `enciphered`   the content is enciphered in spite of it; the tag covers security control and authentication key
 * `generalHeader`        whether the tag of a general-ciphering covers its header
 * `agreedKeyCounter`     the counter in the vector with agreed keys: that of the header, or always zero
 * `agreementNonce`       static unified: the transaction id within the key derivation, with its length in front or without
 * `ephemeralSignature`   what is signed with the ephemeral key of an APDU: the key alone, or the scheme's number and the key; on
 *   receipt both are taken
 * `sessionKeyCounters`   counters with wrapped and agreed keys: one running over all of them, or one of each key; then only the
 *   last `limits.sessionKeysMax` keys are guarded against replay, and what comes with older ones is for the transaction id to tell
 */
export type SecurityProfile = {
  readonly authenticationOnly: 'standard' | 'apdu-tag' | 'enciphered'
  readonly generalHeader: 'authenticated' | 'not-authenticated'
  readonly agreedKeyCounter: 'header' | 'zero'
  readonly agreementNonce: 'with-length' | 'without-length'
  readonly ephemeralSignature: 'identified' | 'key-alone'
  readonly sessionKeyCounters: 'running' | 'per-key'
}

export const standardProfile: SecurityProfile = {
  authenticationOnly: 'standard',
  generalHeader: 'authenticated',
  agreedKeyCounter: 'header',
  agreementNonce: 'with-length',
  ephemeralSignature: 'key-alone',
  sessionKeyCounters: 'running',
}

// ACSE, and the blocks of general block transfer, whose content is protected as a whole.
const plainTags: ReadonlySet<number> = new Set([
  ApduTag.AARQ,
  ApduTag.AARE,
  ApduTag.RLRQ,
  ApduTag.RLRE,
  ApduTag.GENERAL_BLOCK_TRANSFER,
])
// They report that ciphering went wrong; below the octets of the longer one.
const faultTags: ReadonlySet<number> = new Set([
  ApduTag.CONFIRMED_SERVICE_ERROR,
  ApduTag.EXCEPTION_RESPONSE,
])
const faultBytesMax = 7

/**
 * Whether `apduView` may come without protection, whatever the policy says. None of these carries
 * what a meter holds.
 */
export function isPlainAllowed(apduView: Uint8Array): boolean {
  const tag = apduView[0]!
  return plainTags.has(tag) || (faultTags.has(tag) && apduView.length <= faultBytesMax)
}
