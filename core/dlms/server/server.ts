/**
 * One association of one client with a logical device, from the device's side: a request APDU in,
 * the answer APDU out. Simulated meters are made of it, 50,000 in a process: so the state is four
 * fields, and what is the same for all devices lies in the shared options.
 *
 *   no association ── AARQ, accepted ──▶ associated ── RLRQ ──▶ no association
 *                                        (at most one transfer in blocks; any other request ends it)
 *
 * [IEC 62056-5-3, ACSE and xDLMS services with logical-name referencing]. It answers services without the confirmed bit
 * too, as the meters we know do. Which objects there are is `CosemObjects`'.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import {
  ApduTag,
  Conformance,
  DataAccessResult,
  descriptorBytes,
  ServiceError,
  StateError,
} from '../apdu/constants.ts'
import { ReleaseResponseReason } from '../apdu/acse.ts'
import { encodeApdu } from '../apdu/codec.ts'
import { GeneralBlocks } from '../transfer/general-blocks.ts'
import { Shape, shapeOfTag } from '../security/index.ts'
import { receiveAccess } from './access.ts'
import { receiveAction } from './action.ts'
import { ServerAssociation, type AssociationPolicy } from './association.ts'
import { receiveGet } from './get.ts'
import { encodeException } from './response.ts'
import type { CosemObjects, ServerSession, Transfer } from './session.ts'
import { receiveSet } from './set.ts'
import { receiveRead, receiveUnconfirmedWrite, receiveWrite, type MemberOf } from './short-name.ts'
import { replyToHlsName } from '../client/short-name.ts'

export type { CosemObjects } from './session.ts'

export type ServerOptions = Omit<AssociationPolicy, 'hasShortNames'> & {
  objects: CosemObjects
  /** What short names stand for; with it associations by short name are taken, too. */
  memberOf?: MemberOf | undefined
  /** General blocks that the device takes at once. */
  generalBlockWindow?: number | undefined
  /** Told of each protected APDU and each proof that was not taken, and why: to be counted. */
  onRefused?: ((error: BrokerError) => void) | undefined
}

/**
 * Association LN of the present association, method reply_to_HLS_authentication; the fifth octet of
 * its name is anybody's.
 */
const isReplyToHls = (descriptor: Buffer): boolean =>
  descriptor.length === descriptorBytes &&
  descriptor.readUInt16BE(0) === 15 &&
  descriptor.subarray(2, 6).equals(presentAssociation) &&
  descriptor[8] === 1
const noDescriptor = Buffer.alloc(descriptorBytes)
const presentAssociation = Buffer.of(0, 0, 40, 0)

export class DlmsServer implements ServerSession {
  /** Kept as it is: several devices may share one. */
  private readonly options: ServerOptions
  /** Agreed bits; 0 while there is no association. */
  conformance = 0
  /** What the client receives and we send. */
  agreedBytesMax = 0
  transfer: Transfer | undefined
  private blocks: GeneralBlocks | undefined
  private association: ServerAssociation | undefined

  constructor(options: ServerOptions) {
    this.options = options
    this.transfer = undefined
    this.blocks = undefined
    this.association = undefined
  }

  /** What an answer may have before it is protected. */
  get pduBytesMax(): number {
    return Math.max(1, this.agreedBytesMax - (this.association?.overheadBytes ?? 0))
  }

  get objects(): CosemObjects {
    return this.options.objects
  }

  get takesAnySize(): boolean {
    return (this.conformance & Conformance.GENERAL_BLOCK_TRANSFER) !== 0
  }

  get isAssociated(): boolean {
    return this.conformance !== 0
  }

  /** Forgets the association: the connection is gone. */
  abort(): void {
    this.conformance = 0
    this.transfer = undefined
    this.blocks = undefined
    this.association = undefined
  }

  /**
   * Takes one APDU, borrowed for the call, and returns the answer: owned, with spare octets for the
   * wrapper in front; `more` gives what is to be sent behind it. Undefined for nothing at all. What
   * is malformed or not allowed is answered (exception-response, refused AARE), not thrown.
   */
  receive(apduView: Buffer): Buffer | undefined {
    if (apduView.length === 0) return undefined
    try {
      if (apduView.length > (this.options.apduBytesMax ?? limits.apduBytesMax)) {
        return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)
      }
      if (apduView[0] === ApduTag.GENERAL_BLOCK_TRANSFER)
        return this.refusal(Conformance.GENERAL_BLOCK_TRANSFER) ?? this.receiveBlock(apduView)
      if (apduView[0] === ApduTag.AARQ) return this.receiveAssociation(apduView)
      // A client that asks again has given up what was on its way.
      this.blocks?.reset()
      const answer = this.answerProtected(apduView)
      if (answer === undefined) return undefined
      return answer.length > this.agreedBytesMax && this.takesAnySize
        ? this.inBlocks(answer)
        : answer
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.transfer = undefined
      this.blocks?.reset()
      return exceptionFor(error)
    }
  }

  /** What is to be sent behind the answer that was given last; undefined when that was all. */
  more(): Buffer | undefined {
    return this.blocks?.more()
  }

  private receiveBlock(view: Buffer): Buffer | undefined {
    const step = this.generalBlocks().receive(view)
    if (step === undefined) return undefined
    if ('send' in step) return step.send
    const answer = this.answerWhole(step.apdu)
    return answer && this.inBlocks(answer)
  }

  /** As `answer`; a fault in what was gathered is answered in blocks, too. */
  private answerWhole(view: Buffer): Buffer | undefined {
    try {
      return this.answerProtected(view)
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.transfer = undefined
      return exceptionFor(error)
    }
  }

  private inBlocks(answer: Buffer): Buffer {
    return this.generalBlocks().send(answer, this.agreedBytesMax)
  }

  private generalBlocks(): GeneralBlocks {
    return (this.blocks ??= new GeneralBlocks(this.options.generalBlockWindow ?? 1, true))
  }

  /** Takes the protection off, answers, and puts it on again. */
  private answerProtected(view: Buffer): Buffer | undefined {
    const { association } = this
    if (association === undefined) return this.answerConfirmed(view)
    let plain: Buffer
    try {
      if (view[0] === ApduTag.RLRQ) return this.release(association, view)
      plain = association.unprotect(view)
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.options.onRefused?.(error)
      return association.exceptionFor(error)
    }
    const answer = association.awaitsProof
      ? this.answerProof(association, plain)
      : this.answerConfirmed(plain)
    const { proofRefusal } = association
    if (proofRefusal !== undefined) {
      // Nobody gets a second try with the same challenge.
      this.abort()
      this.options.onRefused?.(proofRefusal)
    }
    // Exceptions go in the clear, as meters send them: they have no ciphered form of their own, and
    // tell nothing of what a meter holds.
    return answer === undefined || answer[0] === ApduTag.EXCEPTION_RESPONSE
      ? answer
      : association.protect(answer)
  }

  private release(association: ServerAssociation, view: Buffer): Buffer {
    const rlre = association.release(view)
    if (rlre === undefined)
      return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
    this.abort()
    return rlre
  }

  /** The answer, or undefined to what wants none: an unconfirmed write. */
  private answerConfirmed(view: Buffer): Buffer | undefined {
    const { memberOf } = this.options
    if (memberOf === undefined || view[0] !== ApduTag.UNCONFIRMED_WRITE_REQUEST)
      return this.answer(view)
    if ((this.conformance & Conformance.UNCONFIRMED_WRITE) !== 0)
      receiveUnconfirmedWrite(this, memberOf, view)
    return undefined
  }

  /** Before the client has proved who it is, nothing else is answered. */
  private answerProof(association: ServerAssociation, view: Buffer): Buffer {
    const isRead = association.isShortName && view[0] === ApduTag.READ_REQUEST
    if (!isRead && (view[0] !== ApduTag.ACTION_REQUEST || !isReplyToHls(view.subarray(3, 12))))
      return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
    const proving: CosemObjects = {
      get: () => DataAccessResult.READ_WRITE_DENIED,
      set: () => DataAccessResult.READ_WRITE_DENIED,
      invoke: (_descriptor, parameterView) => association.prove(parameterView),
    }
    const { conformance, pduBytesMax, takesAnySize } = this
    const session = {
      objects: proving,
      conformance,
      pduBytesMax,
      takesAnySize,
      transfer: undefined,
    }
    if (!isRead) return receiveAction(session, view)
    const proofName: MemberOf = (variableName) =>
      variableName === replyToHlsName ? { kind: 'method', descriptor: noDescriptor } : undefined
    const reading = { ...session, conformance: conformance | Conformance.PARAMETERIZED_ACCESS }
    return receiveRead(reading, proofName, view)
  }

  private answer(view: Buffer): Buffer {
    switch (view[0]) {
      case ApduTag.GET_REQUEST:
        return this.refusal(Conformance.GET) ?? receiveGet(this, view)
      case ApduTag.SET_REQUEST:
        return this.refusal(Conformance.SET) ?? receiveSet(this, view)
      case ApduTag.ACTION_REQUEST:
        return this.refusal(Conformance.ACTION) ?? receiveAction(this, view)
      case ApduTag.ACCESS_REQUEST:
        return this.refusal(Conformance.ACCESS) ?? receiveAccess(this, view)
      case ApduTag.READ_REQUEST:
        return this.refusal(Conformance.READ) ?? receiveRead(this, this.options.memberOf!, view)
      case ApduTag.WRITE_REQUEST:
        return this.refusal(Conformance.WRITE) ?? receiveWrite(this, this.options.memberOf!, view)
      case ApduTag.RLRQ:
        if (!this.isAssociated)
          return encodeException(
            StateError.SERVICE_NOT_ALLOWED,
            ServiceError.OPERATION_NOT_POSSIBLE,
          )
        this.abort()
        return encodeApdu({ type: 'rlre', reason: ReleaseResponseReason.NORMAL })
      default:
        // Ciphered, with nothing to open it with.
        return !this.isAssociated && view.length > 0 && shapeOfTag(view[0]!) !== Shape.PLAIN
          ? encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE)
          : encodeException(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
    }
  }

  private refusal(service: number): Buffer | undefined {
    if ((this.conformance & service) !== 0) return undefined
    const cause = this.isAssociated
      ? ServiceError.SERVICE_NOT_SUPPORTED
      : ServiceError.OPERATION_NOT_POSSIBLE
    return encodeException(StateError.SERVICE_NOT_ALLOWED, cause)
  }

  private receiveAssociation(view: Buffer): Buffer | undefined {
    this.abort()
    const association = new ServerAssociation(
      this.options.memberOf === undefined ? this.options : { ...this.options, hasShortNames: true },
    )
    const { aareBytes, conformance, pduBytesMax, refusal } = association.answer(view)
    if (refusal !== undefined) this.options.onRefused?.(refusal)
    this.conformance = conformance
    this.agreedBytesMax = pduBytesMax
    // One without security has nothing to remember.
    if (conformance !== 0 && (association.isCiphered || association.awaitsProof))
      this.association = association
    return aareBytes
  }
}

function exceptionFor(error: BrokerError): Buffer {
  const isTooLong = error.code === 'DLMS_SIZE_EXCEEDED'
  const cause = isTooLong ? ServiceError.PDU_TOO_LONG : ServiceError.OTHER_REASON
  return encodeException(StateError.SERVICE_NOT_ALLOWED, cause)
}
