/**
 * Names and numbers of DLMS/COSEM security: suites, mechanisms of authentication, the security
 * control octet, shapes of protected APDUs, key ids.
 *
 *   security control   bits 0 to 3 suite | 4 authenticated | 5 encrypted | 6 broadcast key | 7 compressed
 *   security header    security control, invocation counter u32
 *
 * [IEC 62056-5-3 ed. 3, 5.3.7 security suites, 5.7.2 protection with AES-GCM; ASN.1 module for the tags]
 */
import type { Curve } from '../../crypto/crypto.ts'
import { ApduTag } from '../apdu/constants.ts'

/**
 * A security suite: what its keys and its curve are. @source IEC 62056-5-3 ed. 3, table of security
 * suites
 */
export type Suite = {
  readonly id: 0 | 1 | 2
  /** Octets of encryption, authentication and master keys. */
  readonly keyBytes: 16 | 32
  /** Curve of signatures and key agreement; suite 0 has neither. */
  readonly curve: Curve | undefined
}

export const suites: readonly [Suite, Suite, Suite] = [
  { id: 0, keyBytes: 16, curve: undefined },
  { id: 1, keyBytes: 16, curve: 'P-256' },
  { id: 2, keyBytes: 32, curve: 'P-384' },
]

/**
 * Authentication mechanisms: the last octet of the object identifier 2.16.756.5.8.2.x.
 * @source IEC 62056-5-3 ed. 3, COSEM authentication mechanism names
 */
export const Mechanism = {
  NONE: 0,
  LOW: 1,
  HIGH: 2,
  HIGH_MD5: 3,
  HIGH_SHA1: 4,
  HIGH_GMAC: 5,
  HIGH_SHA256: 6,
  HIGH_ECDSA: 7,
} as const
export type Mechanism = (typeof Mechanism)[keyof typeof Mechanism]

/**
 * Bits of the security control octet. `SIGNED` is not one of them: it stands beside them where
 * protection is asked for.
 */
export const Protection = {
  AUTHENTICATED: 0x10,
  ENCRYPTED: 0x20,
  BROADCAST_KEY: 0x40,
  COMPRESSED: 0x80,
  SIGNED: 0x100,
} as const
/** Authenticated and encrypted. */
export const authenticatedEncrypted = Protection.AUTHENTICATED | Protection.ENCRYPTED
export const suiteMask = 0x0f

/** Security control and invocation counter. */
export const securityHeaderBytes = 5
export const systemTitleBytes = 8

/** Tags of APDUs that carry any other in protected form. */
export const GeneralTag = {
  GLOBAL: ApduTag.GENERAL_GLO_CIPHERING,
  DEDICATED: ApduTag.GENERAL_DED_CIPHERING,
  CIPHERING: ApduTag.GENERAL_CIPHERING,
  SIGNING: ApduTag.GENERAL_SIGNING,
} as const

/** How an APDU was, or is to be, protected. */
export const Shape = {
  PLAIN: 0,
  /** glo-get-request and the like: the tag says the service, the key is the global one. */
  GLOBAL: 1,
  /** ded-get-request and the like, with the dedicated key. */
  DEDICATED: 2,
  GENERAL_GLOBAL: 3,
  GENERAL_DEDICATED: 4,
  /** general-ciphering: the APDU says which key. */
  GENERAL: 5,
} as const
export type Shape = (typeof Shape)[keyof typeof Shape]

// Plain tag → glo tag, ded tag. [IEC 62056-5-3, ASN.1 module: SN services and initiate +32 and +64,
// LN services +8 and +16]
const globalOf = new Uint8Array(256)
const dedicatedOf = new Uint8Array(256)
// Protected tag → plain tag and shape.
const plainOf = new Uint8Array(256)
const shapeOf = new Uint8Array(256)
for (const plain of [1, 5, 6, 8, 12, 13, 14, 22, 24]) pair(plain, plain + 32, plain + 64)
for (const plain of [0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc7]) pair(plain, plain + 8, plain + 16)
shapeOf[GeneralTag.GLOBAL] = Shape.GENERAL_GLOBAL
shapeOf[GeneralTag.DEDICATED] = Shape.GENERAL_DEDICATED
shapeOf[GeneralTag.CIPHERING] = Shape.GENERAL

function pair(plain: number, global: number, dedicated: number): void {
  globalOf[plain] = global
  dedicatedOf[plain] = dedicated
  plainOf[global] = plain
  plainOf[dedicated] = plain
  shapeOf[global] = Shape.GLOBAL
  shapeOf[dedicated] = Shape.DEDICATED
}

/**
 * The shape that an APDU with this first octet has; `Shape.PLAIN` for all that are not ciphered.
 */
export function shapeOfTag(tag: number): Shape {
  return shapeOf[tag] as Shape
}

/** The first octet of what a service-specific `tag` protects; 0 for all other tags. */
export function plainTagOf(tag: number): number {
  return plainOf[tag]!
}

/**
 * The tag of `plainTag` in a service-specific shape; 0 when it has none, as access-request has not.
 */
export function protectedTagOf(plainTag: number, shape: Shape): number {
  return shape === Shape.GLOBAL ? globalOf[plainTag]! : dedicatedOf[plainTag]!
}

/** Ids of keys in key transfer and key agreement. @source IEC 62056-6-2, class 64, key_id */
export const KeyId = {
  GLOBAL_UNICAST: 0,
  GLOBAL_BROADCAST: 1,
  AUTHENTICATION: 2,
  MASTER: 3,
} as const
export type KeyId = (typeof KeyId)[keyof typeof KeyId]
