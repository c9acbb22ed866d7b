/**
 * One association with one logical device, from the head-end's side: COSEM operations in, APDUs
 * out; APDUs in, results out. Between translation and the WAN's connection, which keeps time and
 * owns the socket. States: client-state.ts.
 *
 * Beside it runs a transfer in blocks, when one does (block-transfer.ts). [IEC 62056-5-3, ACSE and
 * xDLMS services with logical-name referencing]. Security comes as a layer around APDUs;
 * notifications that come between are passed on as they are.
 */
import { assert } from '../../base/assert.ts'
import { copyOf } from '../../base/bytes.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'
import {
  ApduTag,
  Conformance,
  conformanceShortName,
  conformanceSupported,
  DataAccessResult,
  descriptorBytes,
  invokeIdMask,
} from '../apdu/constants.ts'
import { ActionService } from './action.ts'
import { ClientAssociation, type Agreement } from './association.ts'
import { done, oneByOne, type ClientService, type ServiceTerms } from './service.ts'
import { serviceFor } from './service-choice.ts'
import { opaqueApdu } from './opaque.ts'
import type { ClientOptions } from './options.ts'
import { whole, withoutSelections } from './selection.ts'
import { listingService, namesIn, proofService, type ShortNameBook } from './short-name.ts'
import { clientTransitions, stateInvalid, type ClientState, type ClientStep } from './state.ts'
import { GeneralBlocks } from '../transfer/general-blocks.ts'
import {
  cutShort,
  expectedCounterIn,
  invokeIdIn,
  isNotAssociated,
  isNotification,
  isNotSupported,
  isOfAnother,
  isReleaseAnswer,
  refusalOf,
  unexpected,
} from './response.ts'
import type { ReceivedProtection } from '../security/channel-options.ts'
import { withKeyDoubt } from '../security/key-doubt.ts'

/**
 * General blocks that we take at once; each is at most an APDU, so this is memory, and an
 * acknowledgement saved.
 */
const generalBlockWindowDefault = 8
const noOperations: readonly CosemOperation[] = []

export type { ClientOptions } from './options.ts'

export class DlmsClient {
  private readonly options: ClientOptions
  private readonly apduBytesMax: number
  private readonly association: ClientAssociation
  private readonly blocks: GeneralBlocks
  private current: ClientState = 'IDLE'
  private conformance = 0
  /** What the meter can receive. */
  private pduBytesMax: number = limits.apduBytesMax
  private usesLists = false
  private invokeId = 0
  private counterExpected: number | undefined

  // The exchange: what was given, and what is carried out of it; operations before `next` have
  // their results; `service` carries out those that come then.
  private given: readonly CosemOperation[] = noOperations
  private operations: readonly CosemOperation[] = noOperations
  private next = 0
  private results: CosemResult[] = []
  private service: ClientService | undefined
  /** In place of operations: one APDU that goes out as it is. */
  private opaque: Uint8Array | undefined
  /**
   * True until the meter has answered to a reused association, which it may have dropped silently.
   */
  private mayHaveForgotten = false
  /** Short names that are being read from the object list, and where it comes to. */
  private listing: { book: ShortNameBook; results: CosemResult[] } | undefined

  /** @param options  kept, and shared between clients of one kind of meter */
  constructor(options: ClientOptions = {}) {
    this.options = options
    this.invokeId = (options.invokeIdLast ?? 0) & invokeIdMask
    this.apduBytesMax = Math.min(options.apduBytesMax ?? limits.apduBytesMax, limits.apduBytesMax)
    this.association = new ClientAssociation(options, options.shortNames !== undefined)
    this.blocks = new GeneralBlocks(options.generalBlockWindow ?? generalBlockWindowDefault, false)
  }

  get state(): ClientState {
    return this.current
  }

  /** The invoke id of the last service sent. */
  get invokeIdLast(): number {
    return this.invokeId
  }

  /** What the meter agreed to: conformance bits, and the octets of the largest APDU it receives. */
  get negotiated(): { conformance: number; pduBytesMax: number } {
    return { conformance: this.conformance, pduBytesMax: this.pduBytesMax }
  }

  /** What the protection of the APDU that was received last was. */
  get received(): Readonly<ReceivedProtection> {
    return this.association.received
  }

  /**
   * The invocation counter that the meter said it expects, when it refused ours in this exchange.
   * Not authenticated.
   */
  get expectedCounter(): number | undefined {
    return this.counterExpected
  }

  /** True when there is an association that should be released before the connection goes. */
  get isReleasable(): boolean {
    return this.current === 'ASSOCIATED' && this.options.isPreEstablished !== true
  }

  /**
   * Starts an exchange and returns the first APDU to send: the AARQ, or when associated the first
   * service. Owned, with spare octets for the wrapper in front (`wrapInPlace`); `more` gives what
   * is to be sent behind it. `operations` (at least one) and their octets are kept until the
   * results.
   * @throws BrokerError DLMS_STATE_INVALID in any state but IDLE and ASSOCIATED; DLMS_SIZE_EXCEEDED
   * for a value or
   *   a secret too large to send, which ends the client
   */
  begin(operations: readonly CosemOperation[]): Buffer {
    for (const { descriptor } of operations)
      assert(descriptor.length === descriptorBytes, 'a COSEM descriptor has nine octets')
    return this.beginWith(operations, undefined)
  }

  /**
   * As `begin`, for one APDU that goes to the meter as it is. The APDU that comes next is the
   * answer, whatever it says, unless it is a notification in the clear.
   * @throws BrokerError as `begin`; DLMS_SIZE_EXCEEDED for more octets than the meter receives
   */
  beginOpaque(apduView: Uint8Array): Buffer {
    assert(!this.association.isCiphered, 'an opaque command goes without protection of ours')
    return this.beginWith(noOperations, apduView)
  }

  private beginWith(operations: readonly CosemOperation[], opaque: Uint8Array | undefined): Buffer {
    if (this.current !== 'IDLE' && this.current !== 'ASSOCIATED')
      throw stateInvalid('begin', this.current)
    if ((opaque ?? operations).length === 0) throw stateInvalid('begin of nothing', this.current)
    this.given = this.operations = operations
    this.opaque = opaque
    this.next = 0
    this.results = []
    this.counterExpected = undefined
    this.mayHaveForgotten = this.isReleasable
    try {
      if (this.current === 'IDLE' && this.options.isPreEstablished === true)
        this.agree(this.proposed)
      else if (this.current === 'IDLE') return this.associate()
      this.move('EXCHANGING')
      return this.startService()
    } catch (error) {
      this.end()
      throw error
    }
  }

  /** General blocks of the answer under way that have come: grows while it makes progress. */
  get blocksReceived(): number {
    return this.blocks.blocksReceived
  }

  /**
   * What is to be sent behind the APDU that was given last, before anything else comes; undefined
   * when that was all.
   */
  more(): Buffer | undefined {
    return this.blocks.more()
  }

  /**
   * What to send when no answer has come in time although a part of it, or of the acknowledgement
   * of a part, may have been lost: only general blocks can be asked for again. Undefined when there
   * is nothing that repeating would mend.
   * @throws BrokerError DLMS_TRANSFER_ABORTED, which ends the client, when it was repeated too
   * often
   */
  remind(): Buffer | undefined {
    try {
      return this.blocks.remind()
    } catch (error) {
      this.end()
      throw error
    }
  }

  /**
   * Takes one APDU of the meter, borrowed for the call; values in results are owned by the caller.
   * Every error but DLMS_EXCEPTION ends the association: make a new client after reconnecting.
   *
   * What the meter says to one operation (a data-access-result, an action-result) is a result. An
   * exception-response to SET or ACTION is one too, scope-of-access-violated, when the meter had
   * not agreed to that service. When a reused association is rejected on the first service of an
   * exchange, it is made again, once: meters silently drop associations.
   *
   * @throws BrokerError DLMS_ASSOCIATION_REFUSED, DLMS_EXCEPTION (after it begin may be called
   * again), and for nonsense
   *   DLMS_SERVICE_UNEXPECTED, DLMS_INVOKE_ID_WRONG, DLMS_BLOCK_NUMBER_WRONG, DLMS_TRANSFER_ABORTED, DLMS_TAG_UNKNOWN,
   *   DLMS_LENGTH_INVALID, DLMS_SIZE_EXCEEDED, DLMS_NESTING_EXCEEDED, DLMS_VALUE_INVALID
   */
  receive(apduView: Buffer): ClientStep {
    this.counterExpected = expectedCounterIn(apduView) ?? this.counterExpected
    if (this.current === 'ASSOCIATING' && isNotification(apduView))
      return { push: copyOf(apduView) }
    try {
      switch (this.current) {
        case 'EXCHANGING':
        case 'AUTHENTICATING':
          if (this.current === 'EXCHANGING' && this.opaque !== undefined)
            return this.receiveOpaque(apduView)
          return apduView[0] === ApduTag.GENERAL_BLOCK_TRANSFER
            ? this.receiveBlock(apduView)
            : this.receiveService(this.association.unprotect(apduView))
        case 'ASSOCIATING':
          return this.receiveAssociation(apduView)
        case 'RELEASING':
          return this.receiveRelease(apduView)
        default:
          throw unexpected(apduView, this.current)
      }
    } catch (error) {
      if (this.options.isUnordered === true && isOfAnother(error)) return waiting
      if (!(error instanceof BrokerError && error.code === 'DLMS_EXCEPTION')) this.end()
      throw withKeyDoubt(error, this.received.protection)
    }
  }

  /**
   * A notification in the clear, when that is what came while nothing was asked: borrowed, or owned
   * when it was encrypted. It changes nothing. Undefined when it is something else, or there is no
   * association.
   * @throws those of `SecurityChannel.unprotect`
   */
  openUnasked(apduView: Buffer): Buffer | undefined {
    if (this.current !== 'ASSOCIATED') return undefined
    const plain = this.association.unprotect(apduView)
    return isNotification(plain) ? plain : undefined
  }

  /**
   * RLRQ; the association ends with the step `released`. Under protection it takes one more
   * counter, or goes as plaintext when none is left.
   * @throws BrokerError DLMS_STATE_INVALID unless `isReleasable`
   */
  release(): Buffer {
    if (!this.isReleasable) throw stateInvalid('release', this.current)
    this.move('RELEASING')
    return this.association.encodeRelease(this.proposed)
  }

  /** Forgets association and exchange, in any state: the connection is gone. */
  abort(): void {
    this.end()
  }

  private move(to: ClientState): void {
    assert(
      clientTransitions[this.current].includes(to),
      `a client goes from ${this.current} to ${to}`,
    )
    this.current = to
  }

  private end(): void {
    if (this.current !== 'ENDED') this.move('ENDED')
    this.forgetExchange()
  }

  private forgetExchange(): void {
    this.given = this.operations = noOperations
    this.results = []
    this.service = this.listing = this.opaque = undefined
    this.blocks.reset()
  }

  private get proposed(): Agreement {
    const { conformanceWithout = 0 } = this.options
    const { conformance = this.conformanceOwn & ~conformanceWithout } = this.options
    return { conformance, pduBytesMax: this.apduBytesMax }
  }

  private agree({ conformance, pduBytesMax }: Agreement): void {
    this.conformance = conformance & this.conformanceOwn
    this.pduBytesMax = pduBytesMax
    this.usesLists = (this.conformance & Conformance.MULTIPLE_REFERENCES) !== 0
  }

  private associate(): Buffer {
    this.move('ASSOCIATING')
    this.blocks.reset()
    return this.association.encodeRequest(this.proposed)
  }

  private receiveAssociation(view: Buffer): ClientStep {
    this.agree(this.association.readAnswer(view))
    if (this.association.needsProof) {
      this.move('AUTHENTICATING')
      const operation = this.association.proofOperation()
      const terms = this.nextTerms()
      return {
        send: this.start(
          this.isShortName
            ? proofService(terms, operation, this.results)
            : new ActionService(terms, [operation], 0, 1, this.results),
        ),
      }
    }
    this.move('EXCHANGING')
    return { send: this.startService() }
  }

  /** The meter's proof has come. */
  private authenticated(): ClientStep {
    this.association.checkProof(this.results.pop()!)
    this.move('EXCHANGING')
    return { send: this.startService() }
  }

  private receiveRelease(view: Buffer): ClientStep {
    // Nothing in an RLRE is worth failing on.
    if (!isReleaseAnswer(view)) throw unexpected(view, this.current)
    this.move('IDLE')
    this.forgetExchange()
    return { released: true }
  }

  private receiveOpaque(view: Buffer): ClientStep {
    if (isNotification(view)) return { push: copyOf(view) }
    this.forgetExchange()
    this.move('ASSOCIATED')
    return { answerBytes: copyOf(view) }
  }

  private receiveBlock(view: Buffer): ClientStep {
    const step = this.blocks.receive(view)
    if (step === undefined) return waiting
    return 'apdu' in step ? this.receiveService(this.association.unprotect(step.apdu)) : step
  }

  private receiveService(view: Buffer): ClientStep {
    const tag = view[0]
    if (tag === ApduTag.EXCEPTION_RESPONSE || tag === ApduTag.CONFIRMED_SERVICE_ERROR)
      return this.receiveRefusal(view)
    if (isNotification(view)) return { push: copyOf(view) }
    this.mayHaveForgotten = false
    const service = this.service!
    if (tag !== service.responseTag) throw unexpected(view, this.current)
    if (!this.isShortName) this.checkInvokeId(view)
    const step = service.receive(view)
    if (step === oneByOne) return this.withoutList()
    if (step !== done) return { send: this.sendable(step) }
    if (this.listing !== undefined) return this.listed(this.listing)
    return this.current === 'AUTHENTICATING' ? this.authenticated() : this.proceed(service.count)
  }

  /**
   * The object list has come. @throws BrokerError those of `ShortNameBook.learn`,
   * DLMS_VALUE_INVALID when it was refused
   */
  private listed({ book, results }: { book: ShortNameBook; results: CosemResult[] }): ClientStep {
    this.listing = undefined
    book.learn(namesIn(results))
    return { send: this.startService() }
  }

  /** Short-name services have none. */
  private checkInvokeId(view: Buffer): void {
    if (view.length < 4) throw cutShort(view)
    const id = invokeIdIn(view)
    if (id !== this.invokeId)
      throw new BrokerError('DLMS_INVOKE_ID_WRONG', `${id} in place of ${this.invokeId}`)
  }

  /** An exception-response or confirmed-service-error in answer to a service. */
  private receiveRefusal(view: Buffer): ClientStep {
    if (this.current === 'AUTHENTICATING')
      throw new BrokerError('DLMS_ASSOCIATION_REFUSED', `our proof: ${refusalOf(view)}`)
    if (this.mayHaveForgotten && isNotAssociated(view, this.isShortName)) {
      this.mayHaveForgotten = false
      return { send: this.associate() }
    }
    if (this.listing !== undefined) throw new BrokerError('DLMS_EXCEPTION', refusalOf(view))
    const { kind } = this.operations[this.next]!
    // A list of methods may have been carried out in part, unless the meter says that it does not
    // know lists.
    if (this.service!.count > 1 && (kind === 'get' || kind === 'set' || isNotSupported(view)))
      return this.withoutList()
    const isAgreed =
      kind === 'get' ||
      this.isShortName ||
      (this.conformance & (kind === 'set' ? Conformance.SET : Conformance.ACTION)) !== 0
    if (!isAgreed) {
      this.results.push({ value: undefined, result: DataAccessResult.SCOPE_OF_ACCESS_VIOLATED })
      return this.proceed(1)
    }
    this.forgetExchange()
    this.move('ASSOCIATED')
    throw new BrokerError('DLMS_EXCEPTION', refusalOf(view))
  }

  /** The meter will not have lists: the same operations again, and all later ones, one by one. */
  private withoutList(): ClientStep {
    this.usesLists = false
    return { send: this.startService() }
  }

  private proceed(count: number): ClientStep {
    this.next += count
    if (this.next < this.operations.length) return { send: this.startService() }
    const results = whole(this.results, this.given, this.operations)
    this.forgetExchange()
    this.move('ASSOCIATED')
    return { results }
  }

  /** The first APDU for the operation at `next`, or for several in a row. */
  private startService(): Buffer {
    if (this.opaque !== undefined)
      return opaqueApdu(this.opaque, Math.min(this.pduBytesMax, this.apduBytesMax))
    const { shortNames } = this.options
    if (typeof shortNames === 'object' && !shortNames.isComplete) {
      this.listing = { book: shortNames, results: [] }
      return this.start(listingService(this.nextTerms(), this.listing.results))
    }
    if (this.next === 0)
      this.operations = withoutSelections(
        this.given,
        this.options.selections ?? 'given',
        this.takesSelections,
      )
    const { operations, next, results, usesLists } = this
    const progress = { operations, next, results, usesLists }
    return this.start(serviceFor(this.nextTerms(), progress, this.options))
  }

  private start(service: ClientService): Buffer {
    this.service = service
    return this.sendable(service.start())
  }

  /** For a service that begins: it has an invoke id of its own. */
  private nextTerms(): ServiceTerms {
    this.invokeId = (this.invokeId + 1) & invokeIdMask
    return {
      conformance: this.conformance,
      pduBytesMax: Math.max(1, this.pduBytesMax - this.association.overheadBytes),
      invokeId: this.invokeId,
    }
  }

  private get isShortName(): boolean {
    return this.options.shortNames !== undefined
  }

  private get takesSelections(): boolean {
    const { PARAMETERIZED_ACCESS, SELECTIVE_ACCESS } = Conformance
    return (this.conformance & (this.isShortName ? PARAMETERIZED_ACCESS : SELECTIVE_ACCESS)) !== 0
  }

  private get conformanceOwn(): number {
    const services = this.isShortName ? conformanceShortName : conformanceSupported
    return this.association.isCiphered ? services | Conformance.GENERAL_PROTECTION : services
  }

  /** Protected, and the first general block of it when it takes several. */
  private sendable(plain: Buffer): Buffer {
    const apdu = this.association.protect(plain)
    const isAgreed = (this.conformance & Conformance.GENERAL_BLOCK_TRANSFER) !== 0
    const isNeeded = apdu.length > this.pduBytesMax || this.options.prefersGeneralBlocks === true
    // A question of its own in the clear of blocks: the meter's numbers begin again.
    this.blocks.reset()
    return isAgreed && isNeeded ? this.blocks.send(apdu, this.pduBytesMax) : apdu
  }
}

const waiting: ClientStep = { wait: true }
