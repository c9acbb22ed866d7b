/**
 * One association with one logical device, from the head-end's side: COSEM operations in, APDUs out; APDUs in, results
 * out. Between translation and the WAN's connection, which keeps time and owns the socket. States: client-state.ts.
 *
 * Beside it runs a transfer in blocks, when one does (block-transfer.ts).
 * [IEC 62056-5-3, ACSE and xDLMS services with logical-name referencing]. Security comes as a layer around APDUs;
 * notifications are not taken here.
 */
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import type { CosemOperation, CosemResult } from '../ports/wan.ts'
import { encodeAarq, encodeRlrq } from './acse.ts'
import {
  ActionResponse,
  ApduTag,
  Conformance,
  conformanceSupported,
  DataAccessResult,
  descriptorBytes,
  GetResponse,
  invokeIdMask,
  SetResponse,
} from './apdu.ts'
import { readLength } from './axdr-layout.ts'
import { BlockCutter, BlockGatherer } from './block-transfer.ts'
import { readAgreement } from './client-association.ts'
import { clientTransitions, type ClientState, type ClientStep } from './client-state.ts'
import {
  encodeAction,
  encodeGet,
  encodeGetList,
  encodeGetNext,
  encodeSet,
  encodeSetBlock,
  encodeSetFirstBlock,
  getListBytes,
  setBytes,
} from './service-request.ts'
import {
  copyOfOctets,
  cutShort,
  readDataResult,
  readResultList,
  refusalOf,
  refusalResult,
  trimmedTransfer,
  unexpected,
} from './service-response.ts'

// The count of a list in one octet; a list is only a matter of round trips, and these are saved by then.
const listOperationsMax = 127
const noOperations: readonly CosemOperation[] = []

export class DlmsClient {
  private readonly secret: Uint8Array | undefined
  private readonly apduBytesMax: number
  private current: ClientState = 'IDLE'
  private conformance = 0
  /** What the meter can receive. */
  private pduBytesMax: number = limits.apduBytesMax
  private usesLists = false
  private invokeId = 0

  // The exchange: operations before `next` have their results; those in [next, next + count) are with the meter.
  private operations: readonly CosemOperation[] = noOperations
  private next = 0
  private count = 0
  private results: CosemResult[] = []
  private gatherer: BlockGatherer | undefined
  private cutter: BlockCutter | undefined

  /**
   * @param options.secret        low-level security secret, kept; none: association without security
   * @param options.apduBytesMax  what the meter is told that we can receive, at most 65,535
   * @param options.invokeIdLast  the invoke id that a client before this one used last with the same meter: answers to it
   *   that come late are told from answers to us
   */
  constructor(
    options: {
      secret?: Uint8Array | undefined
      apduBytesMax?: number | undefined
      invokeIdLast?: number | undefined
    } = {},
  ) {
    this.secret = options.secret
    this.invokeId = (options.invokeIdLast ?? 0) & invokeIdMask
    this.apduBytesMax = Math.min(options.apduBytesMax ?? limits.apduBytesMax, limits.apduBytesMax)
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

  /**
   * Starts an exchange and returns the first APDU to send: the AARQ, or when associated the first service. Owned, with
   * spare octets for the wrapper in front (`wrapInPlace`). `operations` (at least one) and their octets are kept until the results.
   * @throws BrokerError DLMS_STATE_INVALID in any state but IDLE and ASSOCIATED; DLMS_SIZE_EXCEEDED for a value or
   *   a secret too large to send, which ends the client
   */
  begin(operations: readonly CosemOperation[]): Buffer {
    if (this.current !== 'IDLE' && this.current !== 'ASSOCIATED')
      throw stateInvalid('begin', this.current)
    if (operations.length === 0) throw stateInvalid('begin of nothing', this.current)
    for (const { descriptor } of operations)
      assert(descriptor.length === descriptorBytes, 'a COSEM descriptor has nine octets')
    this.operations = operations
    this.next = 0
    this.count = 0
    this.results = []
    try {
      if (this.current === 'IDLE') {
        this.move('ASSOCIATING')
        return encodeAarq({
          secret: this.secret,
          conformance: conformanceSupported,
          pduBytesMax: this.apduBytesMax,
        })
      }
      this.move('EXCHANGING')
      return this.encodeService()
    } catch (error) {
      this.end()
      throw error
    }
  }

  /**
   * Takes one APDU of the meter, borrowed for the call; values in results are owned by the caller. Every error but
   * DLMS_EXCEPTION ends the association: make a new client after reconnecting.
   *
   * What the meter says to one operation (a data-access-result, an action-result) is a result. An exception-response to
   * SET or ACTION is one too, scope-of-access-violated, when the meter had not agreed to that service.
   *
   * @throws BrokerError DLMS_ASSOCIATION_REFUSED, DLMS_EXCEPTION (after it begin may be called again), and for nonsense
   *   DLMS_SERVICE_UNEXPECTED, DLMS_INVOKE_ID_WRONG, DLMS_BLOCK_NUMBER_WRONG, DLMS_TRANSFER_ABORTED, DLMS_TAG_UNKNOWN,
   *   DLMS_LENGTH_INVALID, DLMS_SIZE_EXCEEDED, DLMS_NESTING_EXCEEDED, DLMS_VALUE_INVALID
   */
  receive(apduView: Buffer): ClientStep {
    try {
      switch (this.current) {
        case 'EXCHANGING':
          return this.receiveService(apduView)
        case 'ASSOCIATING':
          return this.receiveAssociation(apduView)
        case 'RELEASING':
          return this.receiveRelease(apduView)
        default:
          throw unexpected(apduView, this.current)
      }
    } catch (error) {
      if (!(error instanceof BrokerError && error.code === 'DLMS_EXCEPTION')) this.end()
      throw error
    }
  }

  /** RLRQ; the association ends with the step `released`. @throws BrokerError DLMS_STATE_INVALID unless ASSOCIATED */
  release(): Buffer {
    if (this.current !== 'ASSOCIATED') throw stateInvalid('release', this.current)
    this.move('RELEASING')
    return encodeRlrq()
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
    this.current = 'ENDED'
    this.forgetExchange()
  }

  private forgetExchange(): void {
    this.operations = noOperations
    this.results = []
    this.gatherer = undefined
    this.cutter = undefined
  }

  private receiveAssociation(view: Buffer): ClientStep {
    const agreed = readAgreement(view)
    this.conformance = agreed.conformance & conformanceSupported
    this.pduBytesMax = agreed.pduBytesMax
    this.usesLists = (this.conformance & Conformance.MULTIPLE_REFERENCES) !== 0
    this.move('EXCHANGING')
    return { send: this.encodeService() }
  }

  private receiveRelease(view: Buffer): ClientStep {
    // Nothing in an RLRE is worth failing on, and some meters refuse a release although it is one.
    if (view[0] !== ApduTag.RLRE && view[0] !== ApduTag.EXCEPTION_RESPONSE)
      throw unexpected(view, this.current)
    this.move('IDLE')
    this.forgetExchange()
    return { released: true }
  }

  private receiveService(view: Buffer): ClientStep {
    const tag = view[0]
    if (tag === ApduTag.EXCEPTION_RESPONSE || tag === ApduTag.CONFIRMED_SERVICE_ERROR)
      return this.receiveRefusal(view)
    const { kind } = this.operations[this.next]!
    const expected =
      kind === 'get'
        ? ApduTag.GET_RESPONSE
        : kind === 'set'
          ? ApduTag.SET_RESPONSE
          : ApduTag.ACTION_RESPONSE
    if (tag !== expected) throw unexpected(view, this.current)
    if (view.length < 4) throw cutShort(view)
    if ((view[2]! & invokeIdMask) !== this.invokeId) {
      throw new BrokerError(
        'DLMS_INVOKE_ID_WRONG',
        `${view[2]! & invokeIdMask} in place of ${this.invokeId}`,
      )
    }
    if (kind === 'get') return this.receiveGet(view)
    return kind === 'set' ? this.receiveSet(view) : this.receiveAction(view)
  }

  /** An exception-response or confirmed-service-error in answer to a service. */
  private receiveRefusal(view: Buffer): ClientStep {
    if (this.count > 1) return this.withoutList()
    const { kind } = this.operations[this.next]!
    const isAgreed =
      kind === 'get' ||
      (this.conformance & (kind === 'set' ? Conformance.SET : Conformance.ACTION)) !== 0
    if (!isAgreed)
      return this.finish({ value: undefined, result: DataAccessResult.SCOPE_OF_ACCESS_VIOLATED })
    this.forgetExchange()
    this.move('ASSOCIATED')
    throw new BrokerError('DLMS_EXCEPTION', refusalOf(view))
  }

  private receiveGet(view: Buffer): ClientStep {
    switch (view[1]!) {
      case GetResponse.NORMAL: {
        if (this.count > 1) return this.withoutList()
        const result = readDataResult(view, 3)
        // In the middle of a transfer only a refusal can come outside a block.
        if (this.gatherer !== undefined && result.value !== undefined)
          throw unexpected(view, 'a transfer')
        return this.finish(result)
      }
      case GetResponse.WITH_LIST:
        if (this.count === 1 || this.gatherer !== undefined)
          throw unexpected(view, 'a transfer or of a single GET')
        return this.finishList(copyOfOctets(view, 3, view.length))
      case GetResponse.WITH_DATABLOCK:
        return this.receiveBlock(view)
      default:
        throw unexpected(view, this.current)
    }
  }

  private receiveBlock(view: Buffer): ClientStep {
    if (view.length < 10) throw cutShort(view)
    const isLast = view[3] !== 0
    const blockNumber = view.readUInt32BE(4)
    const choice = view[8]!
    if (choice === 1) {
      if (this.count > 1) return this.withoutList()
      return this.finish({ value: undefined, result: refusalResult(view[9]!) })
    }
    if (choice !== 0) throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${choice} at octet 8`)
    const gatherer = (this.gatherer ??= new BlockGatherer())
    gatherer.add(view, 9, blockNumber, isLast)
    if (!isLast) return { send: encodeGetNext(this.invokeId, blockNumber) }
    this.gatherer = undefined
    const gathered = gatherer.take()
    if (this.count > 1) return this.finishList(gathered)
    return this.finish({ value: trimmedTransfer(gathered), result: DataAccessResult.SUCCESS })
  }

  private receiveSet(view: Buffer): ClientStep {
    const { cutter } = this
    const type = view[1]
    if (type === SetResponse.NORMAL) return this.finish({ value: undefined, result: view[3]! })
    if (cutter === undefined) throw unexpected(view, 'a SET without blocks')
    let numberAt = 3
    if (type === SetResponse.LAST_DATABLOCK) {
      // Some meters acknowledge every block as if it were the last; a refusal ends the transfer all the same.
      if (cutter.isDone || view[3] !== DataAccessResult.SUCCESS)
        return this.finish({ value: undefined, result: view[3]! })
      numberAt = 4
    } else if (type !== SetResponse.DATABLOCK) throw unexpected(view, this.current)
    if (view.length < numberAt + 4) throw cutShort(view)
    const blockNumber = view.readUInt32BE(numberAt)
    if (blockNumber !== cutter.blockNumber || cutter.isDone) {
      throw new BrokerError(
        'DLMS_BLOCK_NUMBER_WRONG',
        `acknowledged ${blockNumber}, sent ${cutter.blockNumber}`,
      )
    }
    return { send: encodeSetBlock(this.invokeId, cutter, this.pduBytesMax) }
  }

  private receiveAction(view: Buffer): ClientStep {
    if (view[1] !== ActionResponse.NORMAL) throw unexpected(view, this.current)
    const actionResult = view[3]!
    // The octet that says whether a value follows is left out by some meters.
    if (view.length === 4 || view[4] === 0)
      return this.finish({ value: undefined, result: actionResult })
    if (view[4] !== 1) throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${view[4]} at octet 4`)
    const { value, result } = readDataResult(view, 5)
    return this.finish({
      value,
      result: actionResult === DataAccessResult.SUCCESS ? result : actionResult,
    })
  }

  /** The meter will not have lists: the same operations again, and all later ones, one by one. */
  private withoutList(): ClientStep {
    this.usesLists = false
    this.gatherer = undefined
    return { send: this.encodeService() }
  }

  private finish(result: CosemResult): ClientStep {
    this.results.push(result)
    return this.proceed()
  }

  /** Reads a count and as many results from owned octets, on which the values are views. */
  private finishList(bytes: Buffer): ClientStep {
    const count = readLength(bytes, 0)
    if (count > this.count)
      throw new BrokerError('DLMS_LENGTH_INVALID', `${count} results for ${this.count} operations`)
    if (count < this.count) return this.withoutList()
    const results = readResultList(bytes, count)
    // A list that is cut short is how some meters say that an object is missing.
    if (results === undefined) return this.withoutList()
    for (const result of results) this.results.push(result)
    return this.proceed()
  }

  private proceed(): ClientStep {
    this.next += this.count
    this.gatherer = undefined
    this.cutter = undefined
    if (this.next < this.operations.length) return { send: this.encodeService() }
    const { results } = this
    this.forgetExchange()
    this.move('ASSOCIATED')
    return { results }
  }

  /** Encodes the service for the operation at `next`, or for several GETs in a row. */
  private encodeService(): Buffer {
    const operation = this.operations[this.next]!
    this.invokeId = (this.invokeId + 1) & invokeIdMask
    this.count = 1
    switch (operation.kind) {
      case 'get':
        if (this.usesLists) this.count = this.countOfList()
        return this.count > 1
          ? encodeGetList(this.invokeId, this.operations, this.next, this.count)
          : encodeGet(this.invokeId, operation)
      case 'set':
        return this.encodeSet(operation)
      case 'action':
        return encodeAction(this.invokeId, operation)
    }
  }

  /** How many GETs from `next` on go in one list. */
  private countOfList(): number {
    const { operations, next } = this
    const most = Math.min(operations.length, next + listOperationsMax)
    let end = next
    while (end < most && getListBytes(end + 1 - next) <= this.pduBytesMax) {
      const { kind, selection } = operations[end]!
      if (kind !== 'get' || selection !== undefined) break
      end++
    }
    return Math.max(1, end - next)
  }

  private encodeSet(operation: CosemOperation): Buffer {
    const isWhole = setBytes(operation) <= this.pduBytesMax
    if (isWhole || (this.conformance & Conformance.BLOCK_TRANSFER_WITH_SET) === 0)
      return encodeSet(this.invokeId, operation)
    assert(operation.value !== undefined, 'a SET has a value')
    this.cutter = new BlockCutter(asBuffer(operation.value))
    return encodeSetFirstBlock(this.invokeId, operation, this.cutter, this.pduBytesMax)
  }
}

function stateInvalid(what: string, state: ClientState): BrokerError {
  return new BrokerError('DLMS_STATE_INVALID', `${what} in ${state}`)
}
