/**
 * SET from the head-end's side: one attribute, or several in a list, whole or in blocks.
 * [IEC 62056-5-3, SET service]
 */
import { assert } from '../../base/assert.ts'
import { asBuffer } from '../../base/bytes.ts'
import type { CosemOperation } from '../../ports/wan.ts'
import {
  ApduTag,
  Conformance,
  DataAccessResult,
  descriptorBytes,
  SetResponse,
} from '../apdu/constants.ts'
import { lengthBytes, readLength } from '../axdr/layout.ts'
import { BlockCutter } from '../transfer/service-blocks.ts'
import {
  countInRow,
  done,
  takeResults,
  wrongAcknowledgement,
  OperationsService,
  type ClientService,
  type ServiceStep,
  type ServiceTerms,
} from './service.ts'
import {
  encodeSet,
  encodeSetBlock,
  encodeSetFirstBlock,
  encodeSetList,
  encodeSetListFirstBlock,
  listHeadBytes,
  setBytes,
  valueListOf,
} from './request.ts'
import { cutShort, unexpected } from './response.ts'

/**
 * How many SETs from `from` on go in one list. When blocks are agreed to, their values may take any
 * size.
 */
export function countOfSets(
  operations: readonly CosemOperation[],
  from: number,
  { conformance, pduBytesMax }: ServiceTerms,
): number {
  const isInBlocks = (conformance & Conformance.BLOCK_TRANSFER_WITH_SET) !== 0
  return countInRow(
    operations,
    from,
    pduBytesMax - listHeadBytes - 1,
    ({ selection, value }) =>
      descriptorBytes + 1 + (selection?.length ?? 0) + (isInBlocks ? 0 : (value?.length ?? 0)),
  )
}

export class SetService extends OperationsService implements ClientService {
  readonly responseTag = ApduTag.SET_RESPONSE
  private cutter: BlockCutter | undefined = undefined

  start(): Buffer {
    const { operations, from, count } = this
    const { conformance, pduBytesMax, invokeId } = this.terms
    const isInBlocks = (conformance & Conformance.BLOCK_TRANSFER_WITH_SET) !== 0
    if (count > 1) {
      const whole = encodeSetList(invokeId, operations, from, count)
      if (whole.length <= pduBytesMax || !isInBlocks) return whole
      this.cutter = new BlockCutter(valueListOf(operations, from, count))
      return encodeSetListFirstBlock(invokeId, this, this.cutter, pduBytesMax)
    }
    const operation = operations[from]!
    if (setBytes(operation) <= pduBytesMax || !isInBlocks) return encodeSet(invokeId, operation)
    assert(operation.value !== undefined, 'a SET has a value')
    this.cutter = new BlockCutter(asBuffer(operation.value))
    return encodeSetFirstBlock(invokeId, operation, this.cutter, pduBytesMax)
  }

  receive(view: Buffer): ServiceStep {
    const { cutter } = this
    const type = view[1]
    if (type === SetResponse.NORMAL) return this.finish(view[3]!)
    if (this.count > 1 && type === SetResponse.WITH_LIST) return this.finishList(view)
    if (cutter === undefined) throw unexpected(view, 'a SET without blocks')
    let numberAt = 3
    if (this.count > 1 && type === SetResponse.LAST_DATABLOCK_WITH_LIST)
      return this.finishList(view)
    if (type === SetResponse.LAST_DATABLOCK) {
      // Some meters acknowledge every block as if it were the last; a refusal ends the transfer all
      // the same.
      if (cutter.isDone || view[3] !== DataAccessResult.SUCCESS) return this.finish(view[3]!)
      numberAt = 4
    } else if (type !== SetResponse.DATABLOCK) throw unexpected(view, 'a SET')
    if (view.length < numberAt + 4) throw cutShort(view)
    const blockNumber = view.readUInt32BE(numberAt)
    if (blockNumber !== cutter.blockNumber || cutter.isDone)
      throw wrongAcknowledgement(blockNumber, cutter.blockNumber)
    return encodeSetBlock(this.terms.invokeId, cutter, this.terms.pduBytesMax)
  }

  /**
   * One result for all: of a list it is a refusal as a whole, for a single one it is the result.
   */
  private finish(result: number): ServiceStep {
    for (let i = 0; i < this.count; i++) this.results.push({ value: undefined, result })
    return done
  }

  private finishList(view: Buffer): ServiceStep {
    const count = readLength(view, 3)
    const at = 3 + lengthBytes(view, 3)
    if (at + count > view.length) throw cutShort(view)
    const results = Array.from(view.subarray(at, at + count), (result) => ({
      value: undefined,
      result,
    }))
    return takeResults(this.results, results, this.count)
  }
}
