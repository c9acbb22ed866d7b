/**
 * ACTION from the head-end's side: one method, or several in a list, parameters and returned values
 * whole or in blocks.
 *
 * What a response brings is, for each method: action-result, then 0, or 1 and a Get-Data-Result.
 * Some meters leave out the second octet; in blocks some bring the value alone. [IEC 62056-5-3,
 * ACTION service, Action-Response-With-Optional-Data]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { asBuffer } from '../../base/bytes.ts'
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'
import {
  ActionResponse,
  ActionResult,
  ApduTag,
  Conformance,
  descriptorBytes,
} from '../apdu/constants.ts'
import { lengthBytes, readLength, skipValue } from '../axdr/layout.ts'
import { BlockCutter, BlockGatherer } from '../transfer/service-blocks.ts'
import {
  countInRow,
  done,
  wrongAcknowledgement,
  OperationsService,
  type ClientService,
  type ServiceStep,
  type ServiceTerms,
} from './service.ts'
import {
  actionBytes,
  encodeAction,
  encodeActionBlock,
  encodeActionFirstBlock,
  encodeActionList,
  encodeActionNext,
  listHeadBytes,
} from './request.ts'
import { cutShort, readDataResult, refusalResult, unexpected } from './response.ts'

/** How many ACTIONs from `from` on go in one list. */
export function countOfActions(
  operations: readonly CosemOperation[],
  from: number,
  { pduBytesMax }: ServiceTerms,
): number {
  return countInRow(
    operations,
    from,
    pduBytesMax - listHeadBytes - 1,
    // A method without a parameter is given null-data.
    ({ value }) => descriptorBytes + (value?.length ?? 1),
  )
}

export class ActionService extends OperationsService implements ClientService {
  readonly responseTag = ApduTag.ACTION_RESPONSE
  private cutter: BlockCutter | undefined = undefined
  private gatherer: BlockGatherer | undefined = undefined

  start(): Buffer {
    const { operations, from, count } = this
    const { conformance, pduBytesMax, invokeId } = this.terms
    if (count > 1) return encodeActionList(invokeId, operations, from, count)
    const operation = operations[from]!
    const isWhole = actionBytes(operation) <= pduBytesMax
    if (isWhole || (conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION) === 0)
      return encodeAction(invokeId, operation)
    this.cutter = new BlockCutter(asBuffer(operation.value!))
    return encodeActionFirstBlock(invokeId, operation, this.cutter, pduBytesMax)
  }

  receive(view: Buffer): ServiceStep {
    switch (view[1]) {
      case ActionResponse.NORMAL: {
        const [result] = readActionResult(view, 3, view.length)
        for (let i = 0; i < this.count; i++) this.results.push(result)
        return done
      }
      case ActionResponse.WITH_LIST:
        if (this.count === 1) throw unexpected(view, 'a single ACTION')
        return this.finishList(view, 3)
      case ActionResponse.NEXT_PBLOCK: {
        const { cutter } = this
        if (cutter === undefined) throw unexpected(view, 'an ACTION without blocks')
        if (view.length < 7) throw cutShort(view)
        const blockNumber = view.readUInt32BE(3)
        if (blockNumber !== cutter.blockNumber || cutter.isDone)
          throw wrongAcknowledgement(blockNumber, cutter.blockNumber)
        return encodeActionBlock(this.terms.invokeId, cutter, this.terms.pduBytesMax)
      }
      case ActionResponse.WITH_PBLOCK: {
        if (view.length < 9) throw cutShort(view)
        const isLast = view[3] !== 0
        const blockNumber = view.readUInt32BE(4)
        const gatherer = (this.gatherer ??= new BlockGatherer())
        gatherer.add(view, 8, blockNumber, isLast)
        return isLast
          ? this.finishBlocks(gatherer.take())
          : encodeActionNext(this.terms.invokeId, blockNumber)
      }
      default:
        throw unexpected(view, 'an ACTION')
    }
  }

  private finishBlocks(bytes: Buffer): ServiceStep {
    if (this.count > 1) return this.finishList(bytes, 0)
    this.results.push(
      isValueAlone(bytes) ? succeeded(bytes) : readActionResult(bytes, 0, bytes.length)[0],
    )
    return done
  }

  private finishList(view: Buffer, countAt: number): ServiceStep {
    const count = readLength(view, countAt)
    if (count > this.count)
      throw new BrokerError('DLMS_LENGTH_INVALID', `${count} results for ${this.count} operations`)
    let at = countAt + lengthBytes(view, countAt)
    // Whether the second octet is there is the same for all: without it there are as many octets as
    // results.
    const isPlain = view.length - at === count
    for (let i = 0; i < this.count; i++) {
      if (i >= count || at >= view.length) {
        // The methods have run: what is missing is not asked for again.
        this.results.push({ value: undefined, result: ActionResult.OTHER_REASON })
        continue
      }
      const [result, end] = readActionResult(view, at, isPlain ? at + 1 : view.length)
      this.results.push(result)
      at = end
    }
    return done
  }
}

const succeeded = (value: Buffer): CosemResult => ({ value, result: ActionResult.SUCCESS })

/**
 * True for octets that are one value as a whole and could not be an action-result with what follows
 * it.
 */
function isValueAlone(bytes: Buffer): boolean {
  try {
    if (readActionResult(bytes, 0, bytes.length)[1] === bytes.length) return false
  } catch {
    // Not an action-result.
  }
  try {
    return skipValue(bytes, 0) === bytes.length
  } catch {
    return false
  }
}

/** The result at `at`, and the offset behind it. A value is copied. */
function readActionResult(view: Buffer, at: number, end: number): [CosemResult, number] {
  if (at >= end) throw cutShort(view)
  const actionResult = view[at]!
  const next = at + 1
  if (next >= end) return [{ value: undefined, result: actionResult }, next]
  if (view[next] === 0) return [{ value: undefined, result: actionResult }, next + 1]
  if (view[next] !== 1)
    throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${view[next]} at octet ${next}`)
  if (view[next + 1] === 1 && next + 2 < end) {
    const result =
      actionResult === ActionResult.SUCCESS ? refusalResult(view[next + 2]!) : actionResult
    return [{ value: undefined, result }, next + 3]
  }
  const { value } = readDataResult(view, next + 1)
  return [{ value, result: actionResult }, skipValue(view, next + 2)]
}
