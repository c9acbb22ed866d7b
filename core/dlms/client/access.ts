/**
 * ACCESS from the head-end's side: several operations of any kind in one request, when the meter
 * has agreed to it.
 *
 *   D9 | long-invoke-id-and-priority u32 | date-time, empty | count, specifications | count, data
 *   DA | long-invoke-id-and-priority u32 | date-time | 0, or 1 and specifications | count, data | count, choice and result each
 *
 * A specification is a choice (1 get, 2 set, 3 action, 4 get and 5 set with selection), a
 * descriptor, and the selection.
 * [IEC 62056-5-3, Access-Request, Access-Response]
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { CosemOperation, CosemResult } from '../../ports/wan.ts'
import { AccessChoice, ApduTag, DataAccessResult, descriptorBytes } from '../apdu/constants.ts'
import { lengthBytes, readLength, skipOctets, skipValue } from '../axdr/layout.ts'
import {
  done,
  listOperationsMax,
  OperationsService,
  takeResults,
  type ClientService,
  type ServiceStep,
} from './service.ts'
import { copyOfOctets, cutShort, refusalResult } from './response.ts'
import { allocateApdu } from '../framing/wrapper.ts'

// Tag, long invoke id, an empty date-time, two counts.
const headBytes = 1 + 4 + 1
const confirmedHighPriorityLong = 0xc0

const specificationBytes = ({ selection }: CosemOperation): number =>
  1 + descriptorBytes + (selection?.length ?? 0)

/** How many operations from `from` on go in one request. */
export function countOfAccesses(
  operations: readonly CosemOperation[],
  from: number,
  pduBytesMax: number,
): number {
  let left = pduBytesMax - headBytes - 2
  let end = from
  for (; end < Math.min(operations.length, from + listOperationsMax); end++) {
    left -= specificationBytes(operations[end]!) + (operations[end]!.value?.length ?? 1)
    if (left < 0) break
  }
  return Math.max(1, end - from)
}

function choiceOf({ kind, selection }: CosemOperation): number {
  if (kind === 'action') return AccessChoice.ACTION
  if (kind === 'get')
    return selection === undefined ? AccessChoice.GET : AccessChoice.GET_WITH_SELECTION
  return selection === undefined ? AccessChoice.SET : AccessChoice.SET_WITH_SELECTION
}

export class AccessService extends OperationsService implements ClientService {
  readonly responseTag = ApduTag.ACCESS_RESPONSE

  start(): Buffer {
    const { from, count } = this
    const asked = this.operations.slice(from, from + count)
    let bytes = headBytes + 2
    for (const operation of asked)
      bytes += specificationBytes(operation) + (operation.value?.length ?? 1)
    const apdu = allocateApdu(bytes)
    apdu[0] = ApduTag.ACCESS_REQUEST
    apdu.writeUInt32BE(this.terms.invokeId, 1)
    apdu[1] = confirmedHighPriorityLong
    apdu[5] = 0
    apdu[6] = count
    let at = headBytes + 1
    for (const operation of asked) {
      apdu[at++] = choiceOf(operation)
      apdu.set(operation.descriptor, at)
      at += descriptorBytes
      if (operation.selection !== undefined) {
        apdu.set(operation.selection, at)
        at += operation.selection.length
      }
    }
    apdu[at++] = count
    for (const { value } of asked) {
      if (value === undefined) apdu[at++] = 0
      else {
        apdu.set(value, at)
        at += value.length
      }
    }
    return apdu
  }

  receive(view: Buffer): ServiceStep {
    let at = skipOctets(view, 5)
    if (view[at] === 1) at = skipSpecifications(view, at + 1)
    else if (view[at] === 0) at++
    else throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${view[at]} at octet ${at}`)
    const count = readLength(view, at)
    at += lengthBytes(view, at)
    const values: Buffer[] = []
    for (let i = 0; i < count; i++) {
      const end = skipValue(view, at)
      values.push(copyOfOctets(view, at, end))
      at = end
    }
    const resultCount = readLength(view, at)
    at += lengthBytes(view, at)
    if (at + 2 * resultCount > view.length) throw cutShort(view)
    if (resultCount !== count)
      throw new BrokerError('DLMS_LENGTH_INVALID', `${count} values and ${resultCount} results`)
    const results = values.map((value, i): CosemResult => {
      const choice = view[at + 2 * i]!
      const result = view[at + 2 * i + 1]!
      if (choice < AccessChoice.GET || choice > AccessChoice.ACTION)
        throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${choice} of result ${i}`)
      if (result !== DataAccessResult.SUCCESS)
        return { value: undefined, result: refusalResult(result) }
      // A SET gives nothing back, an ACTION null-data when it gives nothing.
      const isEmpty = choice !== AccessChoice.GET && value.length === 1 && value[0] === 0
      return { value: isEmpty ? undefined : value, result }
    })
    // Some of it may have been done: what is missing is not asked for again.
    while (results.length < this.count)
      results.push({ value: undefined, result: DataAccessResult.OTHER_REASON })
    takeResults(this.results, results, this.count)
    return done
  }
}

function skipSpecifications(view: Buffer, at: number): number {
  const count = readLength(view, at)
  at += lengthBytes(view, at)
  for (let i = 0; i < count; i++) {
    const choice = view[at]
    if (
      choice === undefined ||
      choice < AccessChoice.GET ||
      choice > AccessChoice.SET_WITH_SELECTION
    )
      throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${choice} at octet ${at}`)
    at += 1 + descriptorBytes
    if (choice >= AccessChoice.GET_WITH_SELECTION) at = skipValue(view, at + 1)
  }
  return at
}
