/**
 * The envelopes of protected APDUs: what stands around the octets that only a key opens. Opening
 * them is not done here.
 *
 *   glo-… , ded-… [21 to 58, C8 to D7] = OCTET STRING (security-control, invocation-counter Unsigned32, content)
 *   general-glo-ciphering [DB], general-ded-ciphering [DC] = system-title OCTET STRING, ciphered-service as above
 *   general-ciphering [DD] = transaction-id, originator-system-title, recipient-system-title, date-time, other-information
 *       (OCTET STRING each, empty for none), key-info OPTIONAL, ciphered-service as above
 *     key-info = identified-key [0]: key-id ENUMERATED
 *              | wrapped-key [1]: kek-id ENUMERATED, key-ciphered-data OCTET STRING
 *              | agreed-key [2]: key-parameters OCTET STRING, key-ciphered-data OCTET STRING
 *   general-signing [DF] = the same five OCTET STRINGs, content OCTET STRING (an APDU), signature OCTET STRING
 *   security-control = bits 0 to 3 suite, 4 authentication, 5 encryption, 6 broadcast key, 7 compression
 *   content = the APDU or its ciphertext, then the authentication tag where there is one
 *
 * [IEC 62056-5-3, General-Ciphering, General-Signing, security header]
 */
import { ApduTag } from './constants.ts'
import { cutShort } from '../axdr/layout.ts'
import { KeyId, Protection, securityHeaderBytes, suiteMask } from '../security/suite.ts'
import {
  choice,
  enumerated,
  octetString,
  optional,
  service,
  unsigned32,
  unsigned8,
  type Codec,
  type TypedCodec,
  type ValueOf,
} from './grammar.ts'

const securityControl: Codec<number> = {
  ...unsigned8,
  show: (value) =>
    `suite ${value & suiteMask}` +
    (value & Protection.AUTHENTICATED ? ', authenticated' : '') +
    (value & Protection.ENCRYPTED ? ', encrypted' : '') +
    (value & Protection.BROADCAST_KEY ? ', broadcast key' : '') +
    (value & Protection.COMPRESSED ? ', compressed' : ''),
}

/** Security header and what it protects. */
export type Ciphered = { securityControl: number; invocationCounter: number; contentView: Buffer }

const contentToTheEnd: Codec<Buffer> = {
  kind: 'ciphered',
  read: (reader) => reader.octets(reader.left),
  write: (out, view) => void out.octets(view),
}

const ciphered: Codec<Ciphered> = {
  read(reader) {
    const bytes = reader.length()
    if (bytes > reader.left || bytes < securityHeaderBytes) throw cutShort(reader.at)
    const { end } = reader
    reader.end = reader.at + bytes
    const value = {
      securityControl: reader.part('securityControl', securityControl),
      invocationCounter: reader.part('invocationCounter', unsigned32),
      contentView: reader.part('contentView', contentToTheEnd),
    }
    reader.end = end
    return value
  },
  write(out, value) {
    out.length(securityHeaderBytes + value.contentView.length)
    securityControl.write(out, value.securityControl)
    unsigned32.write(out, value.invocationCounter)
    contentToTheEnd.write(out, value.contentView)
  },
}

/** Those of one service, by the names of their tags. */
type ServiceName<T> = T extends `${'GLO' | 'DED'}_${string}` ? T : never
type Kebab<T extends string> = T extends `${infer A}_${infer B}`
  ? `${Lowercase<A>}-${Kebab<B>}`
  : Lowercase<T>
/** `glo-get-request` to `ded-information-report-request`. */
export type CipheredServiceType = Kebab<ServiceName<keyof typeof ApduTag>>
export type CipheredService = { type: CipheredServiceType; ciphered: Ciphered }

/** Tag and codec of each glo- and ded- APDU. */
export const cipheredServices: readonly (readonly [number, TypedCodec<CipheredService>])[] =
  Object.entries(ApduTag)
    .filter(([name]) => name.startsWith('GLO_') || name.startsWith('DED_'))
    .map(([name, tag]) => {
      const type = name.toLowerCase().replaceAll('_', '-') as CipheredServiceType
      return [tag, service(type, { ciphered })] as const
    })

const title = octetString('system-title')

export const generalGloCiphering = service('general-glo-ciphering', {
  systemTitleView: title,
  ciphered,
})
export const generalDedCiphering = service('general-ded-ciphering', {
  systemTitleView: title,
  ciphered,
})

// In the standard's words; no other key can be identified, and the key-encryption key has a number
// of its own here.
const keyIdNames = {
  GLOBAL_UNICAST_ENCRYPTION_KEY: KeyId.GLOBAL_UNICAST,
  GLOBAL_BROADCAST_ENCRYPTION_KEY: KeyId.GLOBAL_BROADCAST,
}
const kekIdNames = { MASTER_KEY: 0 }

const keyInformation = choice({
  0: ['identified-key', { keyId: enumerated(keyIdNames) }],
  1: ['wrapped-key', { kekId: enumerated(kekIdNames), keyCipheredDataView: octetString() }],
  2: ['agreed-key', { keyParametersView: octetString(), keyCipheredDataView: octetString() }],
})
/** Key-Info of a general-ciphering APDU. */
export type KeyInformation = ValueOf<typeof keyInformation>

const generalHeader = {
  transactionIdView: octetString(),
  originatorSystemTitleView: title,
  recipientSystemTitleView: title,
  dateTimeView: octetString('date-time'),
  otherInformationView: octetString(),
}

export const generalCiphering = service('general-ciphering', {
  ...generalHeader,
  keyInfo: optional(keyInformation),
  ciphered,
})

export const generalSigning = service('general-signing', {
  ...generalHeader,
  contentView: octetString('apdu'),
  signatureView: octetString(),
})
