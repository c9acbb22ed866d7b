/**
 * How a device answers an AARQ: whom it lets in, on what both agree, and the proofs of high-level
 * security. It has the association's protection, too; server.ts is the machine above. [IEC
 * 62056-5-3, AARE result and diagnostic, ConfirmedServiceError initiateError, 5.3.4 authentication]
 */
import { asBuffer } from '../../base/bytes.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { sameSecret, Secret, SecretKey } from '../../crypto/crypto.ts'
import type { Random } from '../../ports/random.ts'
import {
  ActionResult,
  ApduTag,
  Conformance,
  conformanceShortName,
  conformanceSupported,
  ServiceError,
  StateError,
} from '../apdu/constants.ts'
import {
  ApplicationContext,
  AssociationResult,
  Diagnostic,
  ProviderDiagnostic,
  ReleaseResponseReason,
  type Aarq,
  type ResultDiagnostic,
} from '../apdu/acse.ts'
import { decodeApdu, encodeApdu, type ApduOf } from '../apdu/codec.ts'
import { ConfirmedService, ErrorGroup, InitiateError } from '../apdu/error.ts'
import type { InformationApdu } from '../apdu/information.ts'
import { dlmsVersion, logicalNameVaa } from '../apdu/initiate.ts'
import { decodeValue, encodeValue, Tag } from '../axdr/axdr.ts'
import { contextOf } from '../client/association.ts'
import { associationBaseName } from '../client/short-name.ts'
import {
  challengeBytesFor,
  HlsAuthentication,
  isPassword,
  type MakerProof,
} from '../security/authentication.ts'
import type {
  ProtectionChoice,
  ReceivingWindows,
  SendingCounters,
} from '../security/channel-options.ts'
import { SecurityChannel } from '../security/channel.ts'
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
  systemTitleBytes,
  type Suite,
} from '../security/suite.ts'
import { encodeException } from './response.ts'

/**
 * How a device protects itself under security suites. Kept; counters and windows outlive
 * associations, and belong to the device.
 */
export type ServerSecurity = {
  readonly suite: Suite
  readonly ownTitle: Uint8Array
  readonly keys: SecurityKeys
  readonly counters: SendingCounters
  readonly windows?: ReceivingWindows | undefined
  readonly policy?: SecurityPolicy | undefined
  readonly profile?: SecurityProfile | undefined
  /** True when an association in the clear is refused. */
  readonly isCipheringNeeded?: boolean | undefined
  /**
   * Which RLRQ ends a ciphered association: `any`, when left out, also one in the clear, as clients
   * of several makers send it; `protected` only one that nobody else could have sent; `clear` only
   * one without a ciphered InitiateRequest, as some meters want it.
   */
  readonly releases?: 'any' | 'protected' | 'clear' | undefined
  /** True when the proof of high-level security is not taken under a dedicated key. */
  readonly isProofUnderGlobalKey?: boolean | undefined
}

/** What a device allows; see ServerOptions. */
export type AssociationPolicy = {
  /** Of low-level security, or of the high-level mechanisms 2, 3, 4 and 6. */
  secret?: Uint8Array | undefined
  /** Low when there is a secret and none otherwise, when left out. */
  mechanism?: Mechanism | undefined
  security?: ServerSecurity | undefined
  /** Challenges come from it: needed for high-level security. */
  random?: Random | undefined
  makerProof?: MakerProof | undefined
  /** Largest APDU that the device receives and sends; at most 65,535. */
  apduBytesMax?: number | undefined
  /**
   * What the device agrees to of what a client proposes; everything this codec can, when not given.
   */
  conformance?: number | undefined
  /** Takes associations with short-name referencing, too. */
  hasShortNames?: boolean | undefined
  /** False when associations with logical-name referencing are refused. */
  hasLogicalNames?: boolean | undefined
}

/**
 * The AARE to send, none to a client that wants no answer, and what was agreed: conformance 0 when
 * the association is refused; `refusal` when it is for its protection.
 */
export type AssociationAnswer = {
  aareBytes: Buffer | undefined
  conformance: number
  pduBytesMax: number
  refusal?: BrokerError | undefined
}

// A client that takes less than this would need a block for every few octets.
const pduBytesMin = 32

type Refusal = {
  diagnostic: number
  /** Who refuses: the user when left out. */
  source?: ResultDiagnostic['source']
  initiateError?: number | undefined
}

export class ServerAssociation {
  private readonly policy: AssociationPolicy
  private channel: SecurityChannel | undefined
  /** True under a context with ciphering, whether or not an APDU is protected. */
  isCiphered = false
  isShortName = false
  /** False when the InitiateRequest says that no response is allowed. */
  private isAnswerWanted = true
  /** Why the client's proof was not taken: then the association is over. */
  proofRefusal: BrokerError | undefined
  private proofs: HlsAuthentication | undefined
  /**
   * The InitiateResponse that was given, which the RLRE of a ciphered association holds once more.
   */
  private response: InformationApdu | undefined
  /**
   * True when the InitiateRequest came in the clear under a context with ciphering, as a policy may
   * let it.
   */
  private isOpenedInClear = false
  private readonly challenge: Buffer | undefined
  private readonly mechanism: Mechanism
  private readonly window: CounterWindow

  constructor(policy: AssociationPolicy) {
    const { mechanism, secret, security, random } = policy
    this.policy = policy
    this.mechanism = mechanism ?? (secret === undefined ? Mechanism.NONE : Mechanism.LOW)
    this.challenge =
      this.mechanism >= Mechanism.HIGH
        ? random!.bytes(challengeBytesFor(this.mechanism))
        : undefined
    this.window = security?.windows?.unicast ?? new CounterWindow()
    this.proofs = undefined
    this.response = undefined
    this.proofRefusal = undefined
  }

  /** Octets that protection takes from each APDU at most. */
  get overheadBytes(): number {
    const { suite } = this.policy.security ?? { suite: suites[0] }
    return this.isCiphered ? protectionBytesMax(this.choice, suite) : 0
  }

  /** True until the client has proved who it is. */
  get awaitsProof(): boolean {
    return this.proofs !== undefined
  }

  /** Answers the AARQ that `view` is, once; a malformed one is refused. */
  answer(view: Buffer): AssociationAnswer {
    try {
      const answer = this.answerRequest(decodeApdu(view, { isTolerant: true }) as Aarq)
      return this.isAnswerWanted ? answer : { ...answer, aareBytes: undefined }
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      if (!this.isCiphered) return this.refuse({ diagnostic: Diagnostic.NO_REASON })
      return { ...this.refuse({ diagnostic: Diagnostic.AUTHENTICATION_FAILURE }), refusal: error }
    }
  }

  private answerRequest(aarq: Aarq): AssociationAnswer {
    const { policy } = this
    if (aarq.userInformation === undefined || aarq.applicationContextName === undefined)
      throw new BrokerError('DLMS_VALUE_INVALID', 'AARQ without context or InitiateRequest')
    const { userInformation } = aarq
    if (userInformation.type === 'initiate-request')
      this.isAnswerWanted = userInformation.responseAllowed
    const refusal = this.refusalOf(aarq)
    if (refusal !== undefined) return this.refuse(refusal)
    const initiate = this.readInitiate(aarq)
    this.isAnswerWanted = initiate.responseAllowed
    const { proposedConformance, clientMaxReceivePduSize, proposedDlmsVersionNumber } = initiate
    const conformance =
      proposedConformance & this.conformanceOwn & (policy.conformance ?? this.conformanceOwn)
    const cause =
      proposedDlmsVersionNumber < dlmsVersion
        ? InitiateError.DLMS_VERSION_TOO_LOW
        : conformance === 0
          ? InitiateError.INCOMPATIBLE_CONFORMANCE
          : clientMaxReceivePduSize !== 0 && clientMaxReceivePduSize < pduBytesMin
            ? InitiateError.PDU_SIZE_TOO_SHORT
            : undefined
    if (cause !== undefined)
      return this.refuse({ diagnostic: Diagnostic.NO_REASON, initiateError: cause })
    if (initiate.dedicatedKeyView !== undefined && this.channel !== undefined) {
      const key = SecretKey.of(initiate.dedicatedKeyView)
      if (key === undefined) throw new BrokerError('DLMS_VALUE_INVALID', 'dedicated key')
      this.channel.setDedicatedKey(key)
    }
    if (this.challenge !== undefined) this.startProofs(aarq, this.challenge)
    const apduBytesMax = Math.min(policy.apduBytesMax ?? limits.apduBytesMax, limits.apduBytesMax)
    this.response = {
      type: 'initiate-response',
      negotiatedDlmsVersionNumber: dlmsVersion,
      negotiatedConformance: conformance,
      serverMaxReceivePduSize: apduBytesMax,
      vaaName: this.isShortName ? associationBaseName : logicalNameVaa,
    }
    const aareBytes = this.encodeAnswer(
      AssociationResult.ACCEPTED,
      this.challenge === undefined ? Diagnostic.NULL : Diagnostic.AUTHENTICATION_REQUIRED,
      this.protectInformation(this.response),
    )
    // A client that gives 0 takes APDUs of any size.
    const pduBytesMax = Math.min(clientMaxReceivePduSize || limits.apduBytesMax, apduBytesMax)
    return { aareBytes, conformance, pduBytesMax }
  }

  /** Why the association is refused before its InitiateRequest is looked at, or undefined. */
  private refusalOf(aarq: Aarq): Refusal | undefined {
    const { secret, security } = this.policy
    const { applicationContextName, callingAuthenticationValue, callingApTitleView } = aarq
    this.isCiphered =
      applicationContextName === ApplicationContext.LOGICAL_NAME_CIPHERED ||
      applicationContextName === ApplicationContext.SHORT_NAME_CIPHERED
    this.isShortName =
      applicationContextName === ApplicationContext.SHORT_NAME ||
      applicationContextName === ApplicationContext.SHORT_NAME_CIPHERED
    // Left out, it is version 1, the first bit. [ISO/IEC 15954, AARQ; IEC 62056-5-3,
    // protocol-version]
    const { protocolVersion } = aarq
    if (protocolVersion !== undefined && !protocolVersion.startsWith('1'))
      return {
        source: 'acse-service-provider',
        diagnostic: ProviderDiagnostic.NO_COMMON_ACSE_VERSION,
      }
    const isKnown =
      applicationContextName === contextOf(this.isShortName, this.isCiphered) &&
      (this.isShortName
        ? this.policy.hasShortNames === true
        : this.policy.hasLogicalNames !== false)
    const isWanted = this.isCiphered ? security !== undefined : security?.isCipheringNeeded !== true
    if (!isKnown || !isWanted) return { diagnostic: Diagnostic.CONTEXT_NAME_UNSUPPORTED }
    const mechanism = aarq.mechanismName ?? Mechanism.NONE
    if (mechanism !== this.mechanism) {
      return {
        diagnostic:
          mechanism === Mechanism.NONE
            ? Diagnostic.AUTHENTICATION_REQUIRED
            : Diagnostic.MECHANISM_UNKNOWN,
      }
    }
    const needsTitle = this.isCiphered || mechanism >= Mechanism.HIGH_GMAC
    if (needsTitle && callingApTitleView?.length !== systemTitleBytes)
      return { diagnostic: Diagnostic.CALLING_AP_TITLE_NOT_RECOGNIZED }
    if (mechanism === Mechanism.LOW) {
      const given = callingAuthenticationValue?.valueView
      if (given === undefined || !isPassword(new Secret(asBuffer(secret!)), given))
        return { diagnostic: Diagnostic.AUTHENTICATION_FAILURE }
    }
    if (mechanism >= Mechanism.HIGH) {
      const given = callingAuthenticationValue?.valueView
      if (given === undefined || sameSecret(given, this.challenge!))
        return { diagnostic: Diagnostic.AUTHENTICATION_REQUIRED }
    }
    return undefined
  }

  private get conformanceOwn(): number {
    const services = this.isShortName ? conformanceShortName : conformanceSupported
    return this.isCiphered ? services | Conformance.GENERAL_PROTECTION : services
  }

  private readInitiate({ callingApTitleView, userInformation }: Aarq) {
    let initiate: InformationApdu = userInformation!
    if (this.isCiphered) {
      const { suite, ownTitle, keys, counters, windows, policy, profile } = this.policy.security!
      const { random } = this.policy
      this.channel = new SecurityChannel({
        role: 'server',
        suite,
        ownTitle,
        peerTitle: callingApTitleView,
        keys,
        counters,
        windows: { ...windows, unicast: this.window },
        ...(policy && { policy }),
        ...(profile && { profile }),
        ...(random && { random }),
      })
      const plain = this.channel.unprotect(encodeApdu(initiate))
      this.isOpenedInClear = this.channel.received.protection === 0
      initiate = decodeApdu(plain, { isTolerant: true }) as InformationApdu
    }
    if (initiate.type !== 'initiate-request')
      throw new BrokerError('DLMS_TAG_UNKNOWN', `${initiate.type} in an AARQ`)
    return initiate
  }

  private refuse({ diagnostic, source, initiateError }: Refusal): AssociationAnswer {
    const information: InformationApdu | undefined =
      initiateError === undefined
        ? undefined
        : {
            type: 'confirmed-service-error',
            service: ConfirmedService.INITIATE_ERROR,
            serviceError: { group: ErrorGroup.INITIATE, error: initiateError },
          }
    const aareBytes = this.encodeAnswer(
      AssociationResult.REJECTED_PERMANENT,
      diagnostic,
      information,
      source,
    )
    return { aareBytes, conformance: 0, pduBytesMax: 0 }
  }

  private encodeAnswer(
    result: number,
    diagnostic: number,
    information: InformationApdu | undefined,
    source: ResultDiagnostic['source'] = 'acse-service-user',
  ): Buffer {
    const { security } = this.policy
    const isAccepted = result === AssociationResult.ACCEPTED
    const needsTitle = security !== undefined && isAccepted
    return encodeApdu({
      type: 'aare',
      applicationContextName: contextOf(this.isShortName, this.isCiphered),
      result,
      resultSourceDiagnostic: { source, diagnostic },
      ...(needsTitle && { respondingApTitleView: asBuffer(security.ownTitle) }),
      ...(this.challenge !== undefined &&
        isAccepted && {
          responderAcseRequirements: '1',
          mechanismName: this.mechanism,
          respondingAuthenticationValue: { type: 'charstring', valueView: this.challenge },
        }),
      userInformation: information,
    })
  }

  private protectInformation(information: InformationApdu): InformationApdu {
    if (!this.isCiphered) return information
    return decodeApdu(this.protect(encodeApdu(information))) as InformationApdu
  }

  /**
   * The RLRE to the RLRQ that `view` is: in the clear to one in the clear, protected to one that
   * was. Undefined for one that the policy does not let end the association
   * (`ServerSecurity.releases`). The user-information of both is optional.
   * [IEC 62056-5-3, COSEM-RELEASE, user-information]
   * @throws those of `SecurityChannel.unprotect`, of `decodeApdu`
   */
  release(view: Buffer): Buffer | undefined {
    const { userInformation } = decodeApdu(view, { isTolerant: true }) as ApduOf<'rlrq'>
    const { releases = 'any' } = this.policy.security ?? {}
    const isPlain = userInformation === undefined || userInformation.type === 'initiate-request'
    const isPlainAllowed = !this.isCiphered || this.isOpenedInClear || releases !== 'protected'
    if (!this.isCiphered || isPlain)
      return isPlainAllowed
        ? encodeApdu({ type: 'rlre', reason: ReleaseResponseReason.NORMAL })
        : undefined
    if (releases === 'clear') return undefined
    const channel = this.channel!
    const plain = channel.unprotect(encodeApdu(userInformation))
    const isInClear = channel.received.protection === 0
    if (plain[0] !== ApduTag.INITIATE_REQUEST || (isInClear && !isPlainAllowed)) return undefined
    const information = this.protectInformation(this.response!)
    return encodeApdu({
      type: 'rlre',
      reason: ReleaseResponseReason.NORMAL,
      userInformation: information,
    })
  }

  // ── proofs ──

  private startProofs(
    { callingAuthenticationValue, callingApTitleView }: Aarq,
    challenge: Buffer,
  ): void {
    const { secret, security, makerProof } = this.policy
    this.proofs = new HlsAuthentication({
      mechanism: this.mechanism,
      suite: security?.suite ?? suites[0],
      ownTitle: security?.ownTitle,
      peerTitle: callingApTitleView,
      ownChallenge: challenge,
      peerChallenge: callingAuthenticationValue!.valueView,
      secret: secret && new Secret(secret),
      keys: security?.keys,
      counter: security?.counters.unicast,
      window: this.window,
      makerProof,
    })
  }

  /**
   * Takes the client's proof, the parameter of reply_to_HLS_authentication, and gives ours; a wrong
   * one is refused.
   */
  prove(parameterView: Buffer | undefined): { result: number; value?: Buffer } {
    const proofs = this.proofs!
    try {
      const given = parameterView && decodeValue(parameterView)
      if (given?.tag !== Tag.OCTET_STRING) return { result: ActionResult.TYPE_UNMATCHED }
      proofs.check(given.value)
      this.proofs = undefined
      const value = encodeValue({ tag: Tag.OCTET_STRING, value: proofs.proof() })
      return { result: ActionResult.SUCCESS, value }
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.proofRefusal = error
      return { result: ActionResult.READ_WRITE_DENIED }
    }
  }

  // ── protection ──

  /** What came, in the clear. @throws those of `SecurityChannel.unprotect` */
  unprotect(view: Buffer): Buffer {
    if (!this.isCiphered) return view
    const plain = this.channel!.unprotect(view)
    const { shape } = this.channel!.received
    const isDedicated = shape === Shape.DEDICATED || shape === Shape.GENERAL_DEDICATED
    if (isDedicated && this.awaitsProof && this.policy.security!.isProofUnderGlobalKey === true)
      throw new BrokerError('DLMS_PROTECTION_INSUFFICIENT', 'a proof under the dedicated key')
    return plain
  }

  /**
   * As the request was protected, and by what the policy asks of responses on top: a client that
   * asks for less than it may know gets no less than is to be known of the answer. [IEC 62056-6-2,
   * class 64, security_policy, version 1, bits 5 to 7]
   */
  private get choice(): ProtectionChoice {
    const { shape, protection, signature, generalKey, transactionId } = this.channel!.received
    const must = this.policy.security!.policy?.response ?? 0
    // Nobody answers a broadcast with its key.
    const chosen = (protection | must) & (authenticatedEncrypted | Protection.SIGNED)
    const isCiphered = (chosen & authenticatedEncrypted) !== 0
    return {
      shape: shape === Shape.PLAIN && isCiphered ? Shape.GLOBAL : shape,
      protection: chosen,
      signature: signature === 'none' && (must & Protection.SIGNED) !== 0 ? 'around' : signature,
      generalKey,
      transactionId,
    }
  }

  /**
   * An answer in the shape that the request had; what came in the clear is answered in the clear,
   * where the policy lets it.
   */
  protect(apdu: Buffer): Buffer {
    return this.isCiphered ? this.channel!.protect(apdu, this.choice) : apdu
  }

  /** The exception-response that says why a protected APDU was not taken. */
  exceptionFor(error: BrokerError): Buffer {
    if (error.code !== 'DLMS_COUNTER_REPLAYED')
      return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)
    return encodeApdu({
      type: 'exception-response',
      stateError: StateError.SERVICE_NOT_ALLOWED,
      serviceError: {
        error: ServiceError.INVOCATION_COUNTER_ERROR,
        invocationCounter: Math.min(0xffff_ffff, this.window.last + 1),
      },
    })
  }
}
