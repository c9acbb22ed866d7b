/**
 * How the head-end gets in: its AARQ, what a meter's answer means, and the proofs of high-level
 * security. It has the association's protection, too; client.ts is the machine above. Meters word
 * acceptance in several ways.
 *
 *   AARQ  context, our system title, mechanism, secret or challenge, InitiateRequest, ciphered when the context is
 *   AARE  result, the meter's title and challenge, InitiateResponse in whatever shape
 *   reply_to_HLS_authentication (class 15, method 1): our proof there, the meter's back
 *
 * [IEC 62056-5-3, ACSE APDUs, 5.3.4 authentication; IEC 62056-6-2, association LN]
 */
import { assert } from '../../base/assert.ts'
import { asBuffer } from '../../base/bytes.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { Secret, type SecretKey } from '../../crypto/crypto.ts'
import type { Random } from '../../ports/random.ts'
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'
import { ActionResult, ApduTag } from '../apdu/constants.ts'
import {
  ApplicationContext,
  AssociationResult,
  Diagnostic,
  ProviderDiagnostic,
  ReleaseRequestReason,
  secretBytesMax,
  type Aare,
} from '../apdu/acse.ts'
import { decodeApdu, encodeApdu } from '../apdu/codec.ts'
import { InitiateError } from '../apdu/error.ts'
import { nameOf } from '../apdu/grammar.ts'
import type { InformationApdu } from '../apdu/information.ts'
import { dlmsVersion } from '../apdu/initiate.ts'
import { decodeValue, encodeValue, Tag } from '../axdr/axdr.ts'
import {
  challengeBytesFor,
  HlsAuthentication,
  type MakerProof,
} from '../security/authentication.ts'
import type {
  ProtectionChoice,
  ReceivingWindows,
  SendingCounters,
} from '../security/channel-options.ts'
import { SecurityChannel } from '../security/channel.ts'
import { ReceivedProtection } from '../security/channel-options.ts'
import { CounterWindow } from '../security/invocation-counter.ts'
import type { SecurityKeys } from '../security/keys.ts'
import { protectionBytesMax } from '../security/overhead.ts'
import type { SecurityPolicy, SecurityProfile } from '../security/policy.ts'
import {
  authenticatedEncrypted,
  Mechanism,
  Protection,
  Shape,
  suites,
  type Suite,
} from '../security/suite.ts'
import { refusalOf, unexpected } from './response.ts'

/** How a meter is spoken to under security suites. Kept. */
export type ClientSecurity = {
  readonly suite: Suite
  /**
   * System titles, eight octets. The meter's is learnt from its AARE when it is not known; a known
   * one must be the same.
   */
  readonly ownTitle: Uint8Array
  readonly peerTitle?: Uint8Array | undefined
  readonly keys: SecurityKeys
  readonly counters: SendingCounters
  readonly windows?: ReceivingWindows | undefined
  /**
   * How requests are protected: authenticated and encrypted, each service in its own tag, when left
   * out.
   */
  readonly choice?: ProtectionChoice | undefined
  /** What responses must have at least: the same as requests when left out. */
  readonly policy?: SecurityPolicy | undefined
  readonly profile?: SecurityProfile | undefined
  /** True when the RLRQ of a ciphered association goes without a ciphered InitiateRequest. */
  readonly releasesInClear?: boolean | undefined
  /**
   * False for an association in the clear that only proves itself with keys (high-level security
   * with GMAC).
   */
  readonly isCiphered?: boolean | undefined
  /**
   * Given to the meter in the InitiateRequest and used instead of the global one; the choice is
   * then a dedicated shape. It serves one association: counters begin again with each. A function
   * makes one for every association.
   */
  readonly dedicatedKey?: SecretKey | (() => SecretKey) | undefined
  /** Under which key our proof goes where there is a dedicated one: that one when left out. */
  readonly proofKey?: 'dedicated' | 'global' | undefined
}

/** What one needs to get in. */
export type ClientCredentials = {
  /** Low when there is a secret and none otherwise, when left out. */
  readonly mechanism?: Mechanism | undefined
  /** Of low-level security, or of the high-level mechanisms 2, 3, 4 and 6. */
  readonly secret?: Uint8Array | undefined
  readonly security?: ClientSecurity | undefined
  /** Challenges and transaction ids come from it: needed for high-level security. */
  readonly random?: Random | undefined
  /** Of mechanism 2, which the standard leaves to makers. */
  readonly makerProof?: MakerProof | undefined
}

/** Conformance bits and the octets of the largest APDU that the meter receives. */
export type Agreement = { conformance: number; pduBytesMax: number }

// Association LN of the present association 0-0:40.0.0.255, method reply_to_HLS_authentication.
const replyToHls = Buffer.from('000f0000280000ff01', 'hex')

const defaultChoice: ProtectionChoice = {
  shape: Shape.GLOBAL,
  protection: authenticatedEncrypted,
}

export class ClientAssociation {
  private readonly credentials: ClientCredentials
  private readonly mechanism: Mechanism
  private readonly isShortName: boolean
  private channel: SecurityChannel | undefined
  private challenge: Buffer | undefined
  private proofs: HlsAuthentication | undefined
  private readonly window: CounterWindow
  private usedDedicatedKey: SecretKey | undefined

  constructor(credentials: ClientCredentials, isShortName: boolean) {
    const { mechanism, secret, security, random } = credentials
    this.credentials = credentials
    this.isShortName = isShortName
    this.mechanism = mechanism ?? (secret === undefined ? Mechanism.NONE : Mechanism.LOW)
    assert(
      this.mechanism < Mechanism.HIGH || random !== undefined,
      'high-level security needs challenges',
    )
    this.window = security?.windows?.unicast ?? new CounterWindow()
    if (security !== undefined) this.channel = this.newChannel(security)
  }

  /** Octets that protection takes from each APDU at most. */
  get overheadBytes(): number {
    return this.isCiphered ? protectionBytesMax(this.choice, this.credentials.security!.suite) : 0
  }

  /** Of the APDU that `unprotect` opened last. */
  get received(): Readonly<ReceivedProtection> {
    return this.isCiphered ? this.channel!.received : unprotected
  }

  /** True for an association whose APDUs are protected. */
  get isCiphered(): boolean {
    const { security } = this.credentials
    return security !== undefined && security.isCiphered !== false
  }

  private get choice(): ProtectionChoice {
    return this.credentials.security?.choice ?? defaultChoice
  }

  private newChannel(security: ClientSecurity): SecurityChannel {
    const { suite, ownTitle, peerTitle, keys, counters, profile, windows } = security
    const { random } = this.credentials
    const asked = this.choice.protection & (authenticatedEncrypted | Protection.SIGNED)
    return new SecurityChannel({
      role: 'client',
      suite,
      ownTitle,
      peerTitle,
      keys,
      counters,
      windows: { ...windows, unicast: this.window },
      policy: security.policy ?? { request: 0, response: this.isCiphered ? asked : 0 },
      ...(profile && { profile }),
      ...(random && { random }),
    })
  }

  // ── getting in ──

  /**
   * The AARQ. Owned, with spare octets in front.
   * @throws BrokerError DLMS_SIZE_EXCEEDED for a secret of more than 64 octets; DLMS_KEY_UNKNOWN,
   * DLMS_COUNTER_EXHAUSTED
   */
  encodeRequest(proposed: Agreement): Buffer {
    const { mechanism } = this
    const { secret, security, random } = this.credentials
    if (secret !== undefined && secret.length > secretBytesMax)
      throw new BrokerError('DLMS_SIZE_EXCEEDED', `a secret of ${secret.length} octets`)
    this.usedDedicatedKey = this.nextDedicatedKey()
    this.proofs = undefined
    this.challenge =
      mechanism >= Mechanism.HIGH ? random!.bytes(challengeBytesFor(mechanism)) : undefined
    const value = this.challenge ?? (mechanism === Mechanism.LOW ? asBuffer(secret!) : undefined)
    return encodeApdu({
      type: 'aarq',
      applicationContextName: contextOf(this.isShortName, this.isCiphered),
      ...(security !== undefined && { callingApTitleView: asBuffer(security.ownTitle) }),
      ...(value !== undefined && {
        senderAcseRequirements: '1',
        mechanismName: mechanism,
        callingAuthenticationValue: { type: 'charstring', valueView: value },
      }),
      userInformation: this.initiateRequest(proposed),
    })
  }

  private initiateRequest({ conformance, pduBytesMax }: Agreement): InformationApdu {
    const dedicatedKey = this.usedDedicatedKey
    const request = {
      type: 'initiate-request',
      ...(dedicatedKey && { dedicatedKeyView: dedicatedKey.copyOfOctets() }),
      responseAllowed: true,
      proposedDlmsVersionNumber: dlmsVersion,
      proposedConformance: conformance,
      clientMaxReceivePduSize: pduBytesMax,
    } as const
    if (!this.isCiphered) return request
    // The dedicated key comes with it, so it is the global one that protects; and general
    // protection is not agreed to before the answer has come, so it goes in its own tag. [Green
    // Book 9.2.3.3.7.4; IEC 62056-5-3, Conformance, general-protection]
    const shape = this.choice.shape === Shape.GENERAL ? Shape.GENERAL : Shape.GLOBAL
    const protectedBytes = this.channel!.protect(encodeApdu(request), { ...this.choice, shape })
    return decodeApdu(protectedBytes) as InformationApdu
  }

  /** A key that has served an association would be used with the same vectors again. */
  private nextDedicatedKey(): SecretKey | undefined {
    const given = this.credentials.security?.dedicatedKey
    if (given === undefined) return undefined
    if (typeof given !== 'function' && this.usedDedicatedKey === given)
      throw new BrokerError('DLMS_KEY_UNKNOWN', 'a dedicated key for one more association')
    const key = typeof given === 'function' ? given() : given
    this.channel!.setDedicatedKey(key)
    return key
  }

  /**
   * What the meter agrees to. `needsProof` says whether it wants one, and has one to give; then
   * nothing but that may be said to it.
   * @throws BrokerError DLMS_ASSOCIATION_REFUSED, DLMS_SERVICE_UNEXPECTED, those of `decodeApdu`
   * and of `SecurityChannel.unprotect`
   */
  readAnswer(view: Buffer): Agreement {
    const tag = view[0]
    if (tag === ApduTag.EXCEPTION_RESPONSE || tag === ApduTag.CONFIRMED_SERVICE_ERROR)
      throw new BrokerError('DLMS_ASSOCIATION_REFUSED', refusalOf(view))
    if (tag !== ApduTag.AARE) throw unexpected(view, 'ASSOCIATING')
    const aare = decodeApdu(view, { isTolerant: true }) as Aare
    const { result, resultSourceDiagnostic, respondingApTitleView } = aare
    if (result === undefined) throw new BrokerError('DLMS_VALUE_INVALID', 'AARE without result')
    const diagnostic = resultSourceDiagnostic?.diagnostic ?? Diagnostic.NULL
    const isProvider = resultSourceDiagnostic?.source === 'acse-service-provider'
    const diagnostics = isProvider ? ProviderDiagnostic : Diagnostic
    const isHigh = this.mechanism >= Mechanism.HIGH
    // "Authentication required" with "accepted" asks for high-level security, which may not be what
    // we offered.
    if (
      result !== AssociationResult.ACCEPTED ||
      (diagnostic === Diagnostic.AUTHENTICATION_REQUIRED && !isHigh)
    )
      throw new BrokerError(
        'DLMS_ASSOCIATION_REFUSED',
        `result ${result}, diagnostic ${diagnostic}${causeIn(aare.userInformation)}: ${nameOf(AssociationResult, result)}, ${nameOf(diagnostics, diagnostic)}`,
      )
    // Some meters leave their title out, or give none in the clear: the record's has to do then.
    if (respondingApTitleView?.length === 8) this.channel?.setPeerTitle(respondingApTitleView)
    if (isHigh) this.startProofs(aare)
    return this.readInitiate(aare.userInformation)
  }

  private readInitiate(information: InformationApdu | undefined): Agreement {
    if (information === undefined) {
      // Under a suite it is what shows that the meter has the keys: somebody may have taken it
      // away.
      if (this.isCiphered)
        throw new BrokerError('DLMS_PROTECTION_INSUFFICIENT', 'no InitiateResponse')
      // A meter that leaves the InitiateResponse out has agreed to nothing beyond the plain
      // services.
      return { conformance: 0, pduBytesMax: limits.apduBytesMax }
    }
    let initiate = information
    if (this.isCiphered) {
      const plain = this.channel!.unprotect(encodeApdu(information))
      initiate = decodeApdu(plain, { isTolerant: true }) as InformationApdu
    }
    if (initiate.type === 'confirmed-service-error')
      throw new BrokerError('DLMS_ASSOCIATION_REFUSED', causeIn(initiate).slice(2))
    if (initiate.type !== 'initiate-response')
      throw new BrokerError('DLMS_TAG_UNKNOWN', `${initiate.type} in an AARE`)
    const { negotiatedDlmsVersionNumber, negotiatedConformance, serverMaxReceivePduSize } = initiate
    if (negotiatedDlmsVersionNumber !== dlmsVersion)
      throw new BrokerError('DLMS_VALUE_INVALID', `DLMS version ${negotiatedDlmsVersionNumber}`)
    // 0 is no limit.
    return {
      conformance: negotiatedConformance,
      pduBytesMax: serverMaxReceivePduSize || limits.apduBytesMax,
    }
  }

  /**
   * The RLRQ. Owned, with spare octets in front. [IEC 62056-5-3, 5.3, the user-information of a
   * ciphered RLRQ is a ciphered InitiateRequest]
   */
  encodeRelease(proposed: Agreement): Buffer {
    const isPlain = !this.isCiphered || this.credentials.security!.releasesInClear === true
    let userInformation: InformationApdu | undefined
    try {
      if (!isPlain) userInformation = this.initiateRequest(proposed)
    } catch (error) {
      if (!(error instanceof BrokerError && error.code === 'DLMS_COUNTER_EXHAUSTED')) throw error
    }
    return encodeApdu({
      type: 'rlrq',
      reason: ReleaseRequestReason.NORMAL,
      ...(userInformation && { userInformation }),
    })
  }

  // ── proofs ──

  /** True when proofs are to be exchanged before anything else. */
  get needsProof(): boolean {
    return this.proofs !== undefined
  }

  private startProofs({ respondingAuthenticationValue, respondingApTitleView }: Aare): void {
    const { secret, security, makerProof } = this.credentials
    if (respondingAuthenticationValue === undefined)
      throw new BrokerError('DLMS_AUTHENTICATION_FAILED', 'no challenge came')
    this.proofs = new HlsAuthentication({
      mechanism: this.mechanism,
      suite: security?.suite ?? suites[0],
      ownTitle: security?.ownTitle,
      peerTitle: security?.peerTitle ?? respondingApTitleView,
      ownChallenge: this.challenge!,
      peerChallenge: respondingAuthenticationValue.valueView,
      secret: secret && new Secret(secret),
      keys: security?.keys,
      counter: security?.counters.unicast,
      window: this.window,
      makerProof,
    })
  }

  /**
   * The operation that gives our proof and asks for the meter's. @throws BrokerError
   * DLMS_KEY_UNKNOWN, DLMS_COUNTER_EXHAUSTED
   */
  proofOperation(): CosemOperation {
    const value = encodeValue({ tag: Tag.OCTET_STRING, value: this.proofs!.proof() })
    return { kind: 'action', descriptor: replyToHls, value }
  }

  /**
   * Checks the meter's proof. @throws BrokerError DLMS_AUTHENTICATION_FAILED,
   * DLMS_ASSOCIATION_REFUSED when it does not take ours
   */
  checkProof({ result, value }: CosemResult): void {
    if (result !== ActionResult.SUCCESS)
      throw new BrokerError('DLMS_ASSOCIATION_REFUSED', `our proof: action-result ${result}`)
    const given = value && decodeValue(asBuffer(value))
    if (given?.tag !== Tag.OCTET_STRING)
      throw new BrokerError('DLMS_AUTHENTICATION_FAILED', 'no proof came')
    this.proofs!.check(given.value)
    this.proofs = undefined
  }

  // ── protection ──

  /** `apdu` as it goes out. @throws those of `SecurityChannel.protect` */
  protect(apdu: Buffer): Buffer {
    if (!this.isCiphered) return apdu
    const isGlobal = this.needsProof && this.credentials.security!.proofKey === 'global'
    return this.channel!.protect(apdu, isGlobal ? underGlobalKey(this.choice) : this.choice)
  }

  /** What came, in the clear. @throws those of `SecurityChannel.unprotect` */
  unprotect(view: Buffer): Buffer {
    return this.isCiphered ? this.channel!.unprotect(view) : view
  }
}

/** The application context of a way of referencing, ciphered or not. */
export function contextOf(isShortName: boolean, isCiphered: boolean): number {
  if (isShortName)
    return isCiphered ? ApplicationContext.SHORT_NAME_CIPHERED : ApplicationContext.SHORT_NAME
  return isCiphered ? ApplicationContext.LOGICAL_NAME_CIPHERED : ApplicationContext.LOGICAL_NAME
}
const unprotected = new ReceivedProtection()

function underGlobalKey(choice: ProtectionChoice): ProtectionChoice {
  if (choice.shape === Shape.DEDICATED) return { ...choice, shape: Shape.GLOBAL }
  return choice.shape === Shape.GENERAL_DEDICATED
    ? { ...choice, shape: Shape.GENERAL_GLOBAL }
    : choice
}

function causeIn(information: InformationApdu | undefined): string {
  return information?.type === 'confirmed-service-error'
    ? `, initiate error ${information.serviceError.error} ${nameOf(InitiateError, information.serviceError.error)}`
    : ''
}
