/**
 * GET from the head-end's side: one attribute, or several in a list, whose values may come in
 * blocks.
 * [IEC 62056-5-3, GET service]
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { CosemOperation } from '../../ports/wan.ts'
import { ApduTag, DataAccessResult, descriptorBytes, GetResponse } from '../apdu/constants.ts'
import { readLength } from '../axdr/layout.ts'
import { BlockGatherer } from '../transfer/service-blocks.ts'
import {
  countInRow,
  done,
  oneByOne,
  OperationsService,
  takeResults,
  type ClientService,
  type ServiceStep,
} from './service.ts'
import { encodeGet, encodeGetList, encodeGetNext, listHeadBytes } from './request.ts'
import {
  copyOfOctets,
  cutShort,
  readDataResult,
  readResultList,
  refusalResult,
  trimmedTransfer,
  unexpected,
} from './response.ts'

/** How many GETs from `from` on go in one list. */
export function countOfGets(
  operations: readonly CosemOperation[],
  from: number,
  pduBytesMax: number,
): number {
  return countInRow(operations, from, pduBytesMax - listHeadBytes, (operation) =>
    // One with selective access goes alone: its answer is large.
    operation.selection === undefined ? descriptorBytes + 1 : Infinity,
  )
}

export class GetService extends OperationsService implements ClientService {
  readonly responseTag = ApduTag.GET_RESPONSE
  private gatherer: BlockGatherer | undefined = undefined

  start(): Buffer {
    const { operations, from, count } = this
    const { invokeId } = this.terms
    return count > 1
      ? encodeGetList(invokeId, operations, from, count)
      : encodeGet(invokeId, operations[from]!)
  }

  receive(view: Buffer): ServiceStep {
    switch (view[1]!) {
      case GetResponse.NORMAL: {
        if (this.count > 1) return oneByOne
        const result = readDataResult(view, 3)
        // In the middle of a transfer only a refusal can come outside a block.
        if (this.gatherer !== undefined && result.value !== undefined)
          throw unexpected(view, 'a transfer')
        this.results.push(result)
        return done
      }
      case GetResponse.WITH_LIST:
        if (this.count === 1 || this.gatherer !== undefined)
          throw unexpected(view, 'a transfer or of a single GET')
        return this.finishList(copyOfOctets(view, 3, view.length))
      case GetResponse.WITH_DATABLOCK:
        return this.receiveBlock(view)
      default:
        throw unexpected(view, 'a GET')
    }
  }

  private receiveBlock(view: Buffer): ServiceStep {
    if (view.length < 10) throw cutShort(view)
    const isLast = view[3] !== 0
    const blockNumber = view.readUInt32BE(4)
    const choice = view[8]!
    if (choice === 1) {
      if (this.count > 1) return oneByOne
      this.results.push({ value: undefined, result: refusalResult(view[9]!) })
      return done
    }
    if (choice !== 0) throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${choice} at octet 8`)
    const gatherer = (this.gatherer ??= new BlockGatherer())
    gatherer.add(view, 9, blockNumber, isLast)
    if (!isLast) return encodeGetNext(this.terms.invokeId, blockNumber)
    const gathered = gatherer.take()
    if (this.count > 1) return this.finishList(gathered)
    this.results.push({ value: trimmedTransfer(gathered), result: DataAccessResult.SUCCESS })
    return done
  }

  /** Reads a count and as many results from owned octets, on which the values are views. */
  private finishList(bytes: Buffer): ServiceStep {
    const count = readLength(bytes, 0)
    if (count > this.count)
      throw new BrokerError('DLMS_LENGTH_INVALID', `${count} results for ${this.count} operations`)
    return takeResults(this.results, readResultList(bytes, count), this.count)
  }
}
