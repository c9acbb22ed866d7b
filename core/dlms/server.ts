/**
 * One association of one client with a logical device, from the device's side: a request APDU in, the answer APDU out.
 * Simulated meters are made of it, 50,000 in a process: so the state is four fields, and what is the same for all
 * devices lies in the shared options.
 *
 *   no association ── AARQ, accepted ──▶ associated ── RLRQ ──▶ no association
 *                                        (at most one transfer in blocks; any other request ends it)
 *
 * [IEC 62056-5-3, ACSE and xDLMS services with logical-name referencing]. It answers services without the confirmed bit
 * too, as the meters we know do. Which objects there are is `CosemObjects`'.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { encodeRlre } from './acse.ts'
import {
  ActionRequest,
  ActionResponse,
  ApduTag,
  Conformance,
  DataAccessResult,
  descriptorBytes,
  GetRequest,
  GetResponse,
  ServiceError,
  SetRequest,
  SetResponse,
  StateError,
} from './apdu.ts'
import { lengthBytes, lengthBytesFor, readCount, skipValue, writeLength } from './axdr-layout.ts'
import { BlockCutter, BlockGatherer } from './block-transfer.ts'
import { answerAssociation } from './server-association.ts'
import {
  allocateService,
  encodeException,
  encodeGetRefusal,
  encodeResult,
  leftOver,
  selectionOf,
  skipAttribute,
} from './server-response.ts'

/**
 * The COSEM objects of a logical device. Everything given borrows for the call. Descriptors have nine octets (class-id,
 * OBIS code, attribute-id or method-id); a selection is the selector octet and its parameters; values are A-XDR.
 */
export interface CosemObjects {
  /** The value, not changed by anybody until it has been sent as a whole (blocks are cut from it), or a data-access-result. */
  get(descriptor: Buffer, selection: Buffer | undefined): Buffer | number
  /** A data-access-result, 0 for success. `valueView` is one whole value. */
  set(descriptor: Buffer, selection: Buffer | undefined, valueView: Buffer): number
  /** An action-result, 0 for success, and the value that the method returns, if it does. */
  invoke(
    descriptor: Buffer,
    parameterView: Buffer | undefined,
  ): { result: number; value?: Buffer | undefined }
}

export type ServerOptions = {
  objects: CosemObjects
  /** Low-level security secret; none: association without security. */
  secret?: Uint8Array | undefined
  /** Largest APDU that the device receives and sends; at most 65,535. */
  apduBytesMax?: number | undefined
  /** What the device agrees to of what a client proposes; everything this codec can, when not given. */
  conformance?: number | undefined
}

type Transfer =
  | { kind: 'get'; invokeId: number; cutter: BlockCutter }
  | {
      kind: 'set'
      invokeId: number
      gatherer: BlockGatherer
      descriptor: Buffer
      selection: Buffer | undefined
    }

export class DlmsServer {
  /** Kept as it is: several devices may share one. */
  private readonly options: ServerOptions
  /** Agreed bits; 0 while there is no association. */
  private conformance = 0
  /** What the client receives and we send. */
  private pduBytesMax = 0
  private transfer: Transfer | undefined

  constructor(options: ServerOptions) {
    this.options = options
    this.transfer = undefined
  }

  get isAssociated(): boolean {
    return this.conformance !== 0
  }

  /** Forgets the association: the connection is gone. */
  abort(): void {
    this.conformance = 0
    this.transfer = undefined
  }

  /**
   * Takes one APDU, borrowed for the call, and returns the answer: owned, with spare octets for the wrapper in front.
   * Undefined for nothing at all. What is malformed or not allowed is answered (exception-response, refused AARE), not thrown.
   */
  receive(apduView: Buffer): Buffer | undefined {
    if (apduView.length === 0) return undefined
    try {
      if (apduView.length > (this.options.apduBytesMax ?? limits.apduBytesMax)) {
        return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)
      }
      switch (apduView[0]) {
        case ApduTag.GET_REQUEST:
          return this.refusal(Conformance.GET) ?? this.receiveGet(apduView)
        case ApduTag.SET_REQUEST:
          return this.refusal(Conformance.SET) ?? this.receiveSet(apduView)
        case ApduTag.ACTION_REQUEST:
          return this.refusal(Conformance.ACTION) ?? this.receiveAction(apduView)
        case ApduTag.AARQ:
          return this.receiveAssociation(apduView)
        case ApduTag.RLRQ:
          if (!this.isAssociated)
            return encodeException(
              StateError.SERVICE_NOT_ALLOWED,
              ServiceError.OPERATION_NOT_POSSIBLE,
            )
          this.abort()
          return encodeRlre()
        default:
          return encodeException(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
      }
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.transfer = undefined
      const cause =
        error.code === 'DLMS_SIZE_EXCEEDED' ? ServiceError.PDU_TOO_LONG : ServiceError.OTHER_REASON
      return encodeException(StateError.SERVICE_NOT_ALLOWED, cause)
    }
  }

  private refusal(service: number): Buffer | undefined {
    if ((this.conformance & service) !== 0) return undefined
    const cause = this.isAssociated
      ? ServiceError.SERVICE_NOT_SUPPORTED
      : ServiceError.OPERATION_NOT_POSSIBLE
    return encodeException(StateError.SERVICE_NOT_ALLOWED, cause)
  }

  private receiveAssociation(view: Buffer): Buffer {
    this.abort()
    const { aareBytes, conformance, pduBytesMax } = answerAssociation(view, this.options)
    this.conformance = conformance
    this.pduBytesMax = pduBytesMax
    return aareBytes
  }

  private receiveGet(view: Buffer): Buffer {
    switch (view[1]!) {
      case GetRequest.NORMAL: {
        const end = skipAttribute(view, 3, view.length)
        if (end !== view.length) throw leftOver(end)
        this.transfer = undefined
        return this.encodeGetResult(view[2]!, this.read(view, 3, end))
      }
      case GetRequest.NEXT:
        return this.receiveNext(view)
      case GetRequest.WITH_LIST:
        if ((this.conformance & Conformance.MULTIPLE_REFERENCES) === 0) break
        return this.receiveGetList(view)
    }
    return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
  }

  /** The value of the attribute whose descriptor and selection stand in [at, end), or a data-access-result. */
  private read(view: Buffer, at: number, end: number): Buffer | number {
    const descriptor = view.subarray(at, at + descriptorBytes)
    if (view[at + descriptorBytes] === 0) return this.options.objects.get(descriptor, undefined)
    if ((this.conformance & Conformance.SELECTIVE_ACCESS) === 0)
      return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    return this.options.objects.get(descriptor, view.subarray(at + descriptorBytes + 1, end))
  }

  private encodeGetResult(invokeId: number, result: Buffer | number): Buffer {
    if (typeof result === 'number') return encodeGetRefusal(invokeId, result)
    if (4 + result.length <= this.pduBytesMax) {
      const apdu = allocateService(
        4 + result.length,
        ApduTag.GET_RESPONSE,
        GetResponse.NORMAL,
        invokeId,
      )
      apdu[3] = 0
      result.copy(apdu, 4)
      return apdu
    }
    return (
      this.startBlocks(invokeId, result) ??
      encodeGetRefusal(invokeId, DataAccessResult.OTHER_REASON)
    )
  }

  /** The first block of `bytes`, or undefined when blocks were not agreed to. */
  private startBlocks(invokeId: number, bytes: Buffer): Buffer | undefined {
    if ((this.conformance & Conformance.BLOCK_TRANSFER_WITH_GET) === 0) return undefined
    const cutter = new BlockCutter(bytes)
    this.transfer = { kind: 'get', invokeId, cutter }
    return this.encodeBlock(invokeId, cutter)
  }

  private encodeBlock(invokeId: number, cutter: BlockCutter): Buffer {
    const count = cutter.nextBytes(this.pduBytesMax - 3, 1)
    const apdu = allocateService(
      3 + 1 + BlockCutter.blockBytes(count),
      ApduTag.GET_RESPONSE,
      GetResponse.WITH_DATABLOCK,
      invokeId,
    )
    cutter.write(apdu, 3, count, true)
    if (cutter.isDone) this.transfer = undefined
    return apdu
  }

  private receiveNext(view: Buffer): Buffer {
    if (view.length !== 7) throw leftOver(view.length)
    const { transfer } = this
    const invokeId = view[2]!
    const blockNumber = view.readUInt32BE(3)
    if (
      transfer?.kind === 'get' &&
      transfer.invokeId === invokeId &&
      transfer.cutter.blockNumber === blockNumber
    ) {
      return this.encodeBlock(invokeId, transfer.cutter)
    }
    this.transfer = undefined
    const apdu = allocateService(10, ApduTag.GET_RESPONSE, GetResponse.WITH_DATABLOCK, invokeId)
    apdu[3] = 1
    apdu.writeUInt32BE(blockNumber, 4)
    apdu[8] = 1
    apdu[9] =
      transfer?.kind === 'get'
        ? DataAccessResult.DATA_BLOCK_NUMBER_INVALID
        : DataAccessResult.NO_LONG_GET_IN_PROGRESS
    return apdu
  }

  private receiveGetList(view: Buffer): Buffer {
    const count = readCount(view, 3, view.length, 0)
    let at = 3 + lengthBytes(view, 3)
    this.transfer = undefined
    const results: (Buffer | number)[] = []
    let bytes = lengthBytesFor(count)
    for (let i = 0; i < count; i++) {
      const end = skipAttribute(view, at, view.length)
      const result = this.read(view, at, end)
      bytes += typeof result === 'number' ? 2 : 1 + result.length
      if (bytes > limits.transferBytesMax)
        throw new BrokerError('DLMS_SIZE_EXCEEDED', 'a list of values')
      results.push(result)
      at = end
    }
    if (at !== view.length) throw leftOver(at)
    const fits = 3 + bytes <= this.pduBytesMax
    const apdu = fits
      ? allocateService(3 + bytes, ApduTag.GET_RESPONSE, GetResponse.WITH_LIST, view[2]!)
      : Buffer.allocUnsafe(3 + bytes)
    let to = writeLength(apdu, 3, count)
    for (const result of results) {
      if (typeof result === 'number') {
        apdu[to++] = 1
        apdu[to++] = result
      } else {
        apdu[to++] = 0
        to += result.copy(apdu, to)
      }
    }
    if (fits) return apdu
    const first = this.startBlocks(view[2]!, apdu.subarray(3))
    if (first === undefined)
      throw new BrokerError('DLMS_SIZE_EXCEEDED', 'a list of values without blocks')
    return first
  }

  private receiveSet(view: Buffer): Buffer {
    const invokeId = view[2]!
    const { transfer } = this
    this.transfer = undefined
    switch (view[1]!) {
      case SetRequest.NORMAL: {
        const end = skipAttribute(view, 3, view.length)
        const descriptor = view.subarray(3, 3 + descriptorBytes)
        const result = this.write(descriptor, selectionOf(view, 3, end), view.subarray(end))
        return encodeResult(ApduTag.SET_RESPONSE, SetResponse.NORMAL, invokeId, result)
      }
      case SetRequest.WITH_FIRST_DATABLOCK: {
        if ((this.conformance & Conformance.BLOCK_TRANSFER_WITH_SET) === 0) break
        const end = skipAttribute(view, 3, view.length)
        const selection = selectionOf(view, 3, end)
        return this.receiveSetBlock(view, end, {
          kind: 'set',
          invokeId,
          gatherer: new BlockGatherer(),
          descriptor: Buffer.from(view.subarray(3, 3 + descriptorBytes)),
          selection: selection && Buffer.from(selection),
        })
      }
      case SetRequest.WITH_DATABLOCK:
        if (transfer?.kind === 'set' && transfer.invokeId === invokeId)
          return this.receiveSetBlock(view, 3, transfer)
        return encodeResult(
          ApduTag.SET_RESPONSE,
          SetResponse.NORMAL,
          invokeId,
          DataAccessResult.NO_LONG_SET_IN_PROGRESS,
        )
    }
    return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
  }

  private receiveSetBlock(view: Buffer, at: number, transfer: Transfer & { kind: 'set' }): Buffer {
    if (view.length < at + 6) throw leftOver(view.length)
    const isLast = view[at] !== 0
    const blockNumber = view.readUInt32BE(at + 1)
    let result: number = DataAccessResult.SUCCESS
    if (blockNumber !== transfer.gatherer.blockNumber + 1)
      result = DataAccessResult.DATA_BLOCK_NUMBER_INVALID
    else transfer.gatherer.add(view, at + 5, blockNumber, isLast)
    if (result === DataAccessResult.SUCCESS && !isLast) {
      this.transfer = transfer
      const apdu = allocateService(
        7,
        ApduTag.SET_RESPONSE,
        SetResponse.DATABLOCK,
        transfer.invokeId,
      )
      apdu.writeUInt32BE(blockNumber, 3)
      return apdu
    }
    if (result === DataAccessResult.SUCCESS)
      result = this.write(transfer.descriptor, transfer.selection, transfer.gatherer.take())
    const apdu = allocateService(
      8,
      ApduTag.SET_RESPONSE,
      SetResponse.LAST_DATABLOCK,
      transfer.invokeId,
    )
    apdu[3] = result
    apdu.writeUInt32BE(blockNumber, 4)
    return apdu
  }

  private write(descriptor: Buffer, selection: Buffer | undefined, valueView: Buffer): number {
    if (selection !== undefined && (this.conformance & Conformance.SELECTIVE_ACCESS) === 0)
      return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    const end = skipValue(valueView, 0)
    if (end !== valueView.length) throw leftOver(end)
    return this.options.objects.set(descriptor, selection, valueView)
  }

  private receiveAction(view: Buffer): Buffer {
    if (view[1] !== ActionRequest.NORMAL)
      return encodeException(StateError.SERVICE_NOT_ALLOWED, ServiceError.SERVICE_NOT_SUPPORTED)
    const invokeId = view[2]!
    const at = 3 + descriptorBytes
    if (view.length <= at) throw leftOver(view.length)
    let parameterView: Buffer | undefined
    if (view[at] === 1) {
      const end = skipValue(view, at + 1)
      if (end !== view.length) throw leftOver(end)
      parameterView = view.subarray(at + 1, end)
    } else if (view[at] !== 0 || view.length !== at + 1) throw leftOver(at)
    this.transfer = undefined
    const { result, value } = this.options.objects.invoke(view.subarray(3, at), parameterView)
    // A value too large for any APDU that the client takes: the method has run, and its value is refused.
    const fits = value !== undefined && 6 + value.length <= this.pduBytesMax
    const apduBytes = value === undefined ? 5 : fits ? 6 + value.length : 7
    const apdu = allocateService(
      apduBytes,
      ApduTag.ACTION_RESPONSE,
      ActionResponse.NORMAL,
      invokeId,
    )
    apdu[3] = result
    apdu[4] = value === undefined ? 0 : 1
    if (fits) {
      apdu[5] = 0
      value.copy(apdu, 6)
    } else if (value !== undefined) {
      apdu[5] = 1
      apdu[6] = DataAccessResult.OTHER_REASON
    }
    return apdu
  }
}
