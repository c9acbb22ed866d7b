/**
 * What protection adds to an APDU at most, so that services know how much fits. [IEC 62056-5-3,
 * ASN.1 module, General-Ciphering]
 */
import { tagBytes } from '../../crypto/crypto.ts'
import type { ProtectionChoice } from './channel-options.ts'
import { GeneralKey } from './general-ciphering.ts'
import { securityHeaderBytes, Shape, systemTitleBytes, type Suite } from './suite.ts'

// Tag of the APDU, and the length of what is protected.
const frontBytes = 1 + 3
const titleBytes = 1 + systemTitleBytes

/** Octets that `choice` adds at most. */
export function protectionBytesMax(choice: ProtectionChoice, suite: Suite): number {
  const { shape, signature = 'none' } = choice
  const cipheredBytes =
    shape === Shape.PLAIN
      ? 0
      : frontBytes + securityHeaderBytes + tagBytes + headerBytes(choice, suite)
  return cipheredBytes + (signature === 'none' ? 0 : signatureBytes(choice, suite))
}

function headerBytes(choice: ProtectionChoice, suite: Suite): number {
  switch (choice.shape) {
    case Shape.GENERAL_GLOBAL:
    case Shape.GENERAL_DEDICATED:
      return titleBytes
    case Shape.GENERAL:
      return generalBytes(choice) + keyBytes(choice.generalKey ?? GeneralKey.UNICAST, suite)
    default:
      return 0
  }
}

/** Transaction id, two titles, date-time and other information, the last two empty. */
const generalBytes = ({ transactionId }: ProtectionChoice): number =>
  1 + (transactionId?.length ?? 0) + 2 * titleBytes + 2

// Present, choice, key id or parameters, length of up to three octets.
const keyFrontBytes = 1 + 1 + 2 + 3

function keyBytes(key: GeneralKey, suite: Suite): number {
  switch (key) {
    case GeneralKey.UNICAST:
    case GeneralKey.BROADCAST:
      return keyFrontBytes
    case GeneralKey.WRAPPED:
      // One block more than the key. [RFC 3394]
      return keyFrontBytes + suite.keyBytes + 8
    default:
      // An ephemeral key and its signature.
      return keyFrontBytes + 2 * pointBytes(suite)
  }
}

const signatureBytes = (choice: ProtectionChoice, suite: Suite): number =>
  frontBytes + generalBytes(choice) + 3 + pointBytes(suite)

/** Of a point, and of a signature. */
const pointBytes = ({ curve }: Suite): number => (curve === 'P-384' ? 96 : 64)
