/**
 * Association control: AARQ, AARE, RLRQ, RLRE.
 *
 *   AARQ [60] = protocol-version [80] | application-context-name [A1] | called- and calling-AP-title [A2, A6],
 *     -AE-qualifier [A3, A7], -AP-invocation-id [A4, A8], -AE-invocation-id [A5, A9] | sender-acse-requirements [8A]
 *     | mechanism-name [8B] | calling-authentication-value [AC] | implementation-information [BD] | user-information [BE]
 *   AARE [61] = protocol-version [80] | application-context-name [A1] | result [A2] | result-source-diagnostic [A3]
 *     | responding-AP-title [A4], -AE-qualifier [A5], -AP-invocation-id [A6], -AE-invocation-id [A7]
 *     | responder-acse-requirements [88] | mechanism-name [89] | responding-authentication-value [AA]
 *     | implementation-information [BD] | user-information [BE]
 *   RLRQ [62], RLRE [63] = reason [80] | user-information [BE]
 *   authentication-value = charstring [80] | bitstring [81] | external [A2] | other [A3]
 *   user-information = OCTET STRING, an APDU of the services below
 *
 * [IEC 62056-5-3, ACSE APDUs; ISO/IEC 15953 in BER]. The calling AP-title is the system title, the AE-qualifier a certificate.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { Mechanism } from '../security/suite.ts'
import { bitString, integer, objectIdentifier, rest, tagged, taggedFields } from './ber.ts'
import { nameOf, type Codec, type ValueOf } from './grammar.ts'
import { informationApdu, type InformationApdu } from './information.ts'

/** Last octet of the object identifier 2.16.756.5.8.1.x of an application context. */
export const ApplicationContext = {
  LOGICAL_NAME: 1,
  SHORT_NAME: 2,
  LOGICAL_NAME_CIPHERED: 3,
  SHORT_NAME_CIPHERED: 4,
} as const
/** Octets of a secret of low-level security: far more than any meter takes. */
export const secretBytesMax = 64

/** Result of an AARE. */
export const AssociationResult = {
  ACCEPTED: 0,
  REJECTED_PERMANENT: 1,
  REJECTED_TRANSIENT: 2,
} as const
/** Diagnostic of the ACSE service user in an AARE. */
export const Diagnostic = {
  NULL: 0,
  NO_REASON: 1,
  CONTEXT_NAME_UNSUPPORTED: 2,
  CALLING_AP_TITLE_NOT_RECOGNIZED: 3,
  CALLING_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED: 4,
  CALLING_AE_QUALIFIER_NOT_RECOGNIZED: 5,
  CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED: 6,
  CALLED_AP_TITLE_NOT_RECOGNIZED: 7,
  CALLED_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED: 8,
  CALLED_AE_QUALIFIER_NOT_RECOGNIZED: 9,
  CALLED_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED: 10,
  MECHANISM_UNKNOWN: 11,
  MECHANISM_REQUIRED: 12,
  AUTHENTICATION_FAILURE: 13,
  AUTHENTICATION_REQUIRED: 14,
} as const
/** Diagnostic of the ACSE service provider in an AARE. */
export const ProviderDiagnostic = { NULL: 0, NO_REASON: 1, NO_COMMON_ACSE_VERSION: 2 } as const
/** Why a release is asked for. */
export const ReleaseRequestReason = { NORMAL: 0, URGENT: 1, USER_DEFINED: 30 } as const
/** What comes of it. */
export const ReleaseResponseReason = { NORMAL: 0, NOT_FINISHED: 1, USER_DEFINED: 30 } as const

// Joint-iso-ccitt, country Switzerland, identified organization, DLMS UA.
const contextName = objectIdentifier(Buffer.from('608574050801', 'hex'), (value) =>
  nameOf(ApplicationContext, value),
)
const mechanismName = objectIdentifier(Buffer.from('608574050802', 'hex'), (value) =>
  nameOf(Mechanism, value),
)

const octetStringTag = 0x04
const integerTag = 0x02
const title = tagged(octetStringTag, { ...rest, kind: 'system-title' })
const qualifier = tagged(octetStringTag, rest)
const invocationId = tagged(integerTag, integer(4))
const outcome = integer(1)

const authenticationTags = {
  charstring: 0x80,
  bitstring: 0x81,
  external: 0xa2,
  other: 0xa3,
} as const
/** What proves who one is: a secret, or a challenge. */
export type AuthenticationValue = { type: keyof typeof authenticationTags; valueView: Buffer }

const authenticationValue: Codec<AuthenticationValue> = {
  read(reader) {
    const tag = reader.view[reader.at]
    for (const [type, known] of Object.entries(authenticationTags)) {
      if (known === tag) {
        const valueView = reader.part(type, tagged(known, { ...rest, kind: 'secret' }))
        return { type: type as AuthenticationValue['type'], valueView }
      }
    }
    throw new BrokerError('DLMS_TAG_UNKNOWN', `authentication value ${tag}`)
  },
  write: (out, { type, valueView }) => tagged(authenticationTags[type], rest).write(out, valueView),
}

const diagnosticTags = { 'acse-service-user': 0xa1, 'acse-service-provider': 0xa2 } as const
/** Who refuses or accepts, and why: of Diagnostic or ProviderDiagnostic. */
export type ResultDiagnostic = { source: keyof typeof diagnosticTags; diagnostic: number }

const resultDiagnostic: Codec<ResultDiagnostic> = {
  read(reader) {
    const isProvider = reader.view[reader.at] === diagnosticTags['acse-service-provider']
    const source = isProvider ? 'acse-service-provider' : 'acse-service-user'
    return {
      source,
      diagnostic: tagged(diagnosticTags[source], tagged(integerTag, outcome)).read(reader),
    }
  },
  write: (out, { source, diagnostic }) =>
    tagged(diagnosticTags[source], tagged(integerTag, outcome)).write(out, diagnostic),
  show: ({ source, diagnostic }) =>
    `${source}: ${nameOf(source === 'acse-service-user' ? Diagnostic : ProviderDiagnostic, diagnostic)}`,
}

const userInformation = tagged(octetStringTag, informationApdu)
/**
 * A tolerant reader gives none for what is no APDU: nothing in the end of an association is worth
 * failing on.
 */
const releaseInformation: Codec<InformationApdu | undefined> = {
  read(reader) {
    if (!reader.isTolerant) return userInformation.read(reader)
    try {
      // The declared length is not believed either.
      reader.at += 2
      return informationApdu.read(reader)
    } catch (error) {
      if (error instanceof BrokerError) return undefined
      throw error
    }
  },
  write(out, value) {
    if (value !== undefined) userInformation.write(out, value)
  },
}

export const aarq = taggedFields('aarq', {
  protocolVersion: [0x80, bitString],
  applicationContextName: [0xa1, tagged(0x06, contextName)],
  calledApTitleView: [0xa2, title],
  calledAeQualifierView: [0xa3, qualifier],
  calledApInvocationId: [0xa4, invocationId],
  calledAeInvocationId: [0xa5, invocationId],
  callingApTitleView: [0xa6, title],
  callingAeQualifierView: [0xa7, qualifier],
  callingApInvocationId: [0xa8, invocationId],
  callingAeInvocationId: [0xa9, invocationId],
  senderAcseRequirements: [0x8a, bitString],
  mechanismName: [0x8b, mechanismName],
  callingAuthenticationValue: [0xac, authenticationValue],
  implementationInformationView: [0xbd, rest],
  userInformation: [0xbe, userInformation],
} as const)
export type Aarq = ValueOf<typeof aarq>

export const aare = taggedFields('aare', {
  protocolVersion: [0x80, bitString],
  applicationContextName: [0xa1, tagged(0x06, contextName)],
  result: [0xa2, named(tagged(integerTag, outcome), AssociationResult)],
  resultSourceDiagnostic: [0xa3, resultDiagnostic],
  respondingApTitleView: [0xa4, title],
  respondingAeQualifierView: [0xa5, qualifier],
  respondingApInvocationId: [0xa6, invocationId],
  respondingAeInvocationId: [0xa7, invocationId],
  responderAcseRequirements: [0x88, bitString],
  mechanismName: [0x89, mechanismName],
  respondingAuthenticationValue: [0xaa, authenticationValue],
  implementationInformationView: [0xbd, rest],
  userInformation: [0xbe, userInformation],
} as const)
export type Aare = ValueOf<typeof aare>

export const rlrq = taggedFields(
  'rlrq',
  {
    reason: [0x80, named(outcome, ReleaseRequestReason)],
    userInformation: [0xbe, releaseInformation],
  },
  true,
)

export const rlre = taggedFields(
  'rlre',
  {
    reason: [0x80, named(outcome, ReleaseResponseReason)],
    userInformation: [0xbe, releaseInformation],
  },
  true,
)

function named(codec: Codec<number>, names: Readonly<Record<string, number>>): Codec<number> {
  return { ...codec, show: (value) => nameOf(names, value) }
}
