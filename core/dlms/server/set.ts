/**
 * SET from the device's side: one attribute or a list, whole or in blocks. [IEC 62056-5-3, SET
 * service]
 */
import {
  ApduTag,
  Conformance,
  DataAccessResult,
  SetRequest,
  SetResponse,
} from '../apdu/constants.ts'
import { lengthBytes, lengthBytesFor, readCount, skipValue, writeLength } from '../axdr/layout.ts'
import { BlockGatherer } from '../transfer/service-blocks.ts'
import {
  allocateService,
  encodeResult,
  leftOver,
  notSupported,
  selectionOf,
  skipAttribute,
} from './response.ts'
import {
  descriptorAt,
  writeAttribute,
  type ServerSession,
  type Target,
  type Transfer,
} from './session.ts'

type SetTransfer = Transfer & { kind: 'set' | 'action-in' }

export function receiveSet(session: ServerSession, view: Buffer): Buffer {
  const invokeId = view[2]!
  const { transfer, conformance } = session
  session.transfer = undefined
  const type = view[1]!
  const isInBlocks =
    type === SetRequest.WITH_FIRST_DATABLOCK || type === SetRequest.WITH_LIST_AND_FIRST_DATABLOCK
  if (isInBlocks && (conformance & Conformance.BLOCK_TRANSFER_WITH_SET) === 0) return notSupported()
  const isList = type === SetRequest.WITH_LIST || type === SetRequest.WITH_LIST_AND_FIRST_DATABLOCK
  if (isList && (conformance & Conformance.MULTIPLE_REFERENCES) === 0) return notSupported()
  switch (type) {
    case SetRequest.NORMAL: {
      const [target, end] = targetAt(view, 3)
      const result = writeAttribute(session, target, view.subarray(end))
      return encodeResult(ApduTag.SET_RESPONSE, SetResponse.NORMAL, invokeId, result)
    }
    case SetRequest.WITH_LIST: {
      const [targets, end] = targetsAt(view, 3)
      const results = writeAll(session, targets, view.subarray(end))
      return encodeResults(SetResponse.WITH_LIST, invokeId, results)
    }
    case SetRequest.WITH_FIRST_DATABLOCK: {
      const [target, end] = targetAt(view, 3)
      return receiveBlock(session, view, end, begun(invokeId, [target], false))
    }
    case SetRequest.WITH_LIST_AND_FIRST_DATABLOCK: {
      const [targets, end] = targetsAt(view, 3)
      return receiveBlock(session, view, end, begun(invokeId, targets, true))
    }
    case SetRequest.WITH_DATABLOCK:
      if (transfer?.kind === 'set' && transfer.invokeId === invokeId)
        return receiveBlock(session, view, 3, transfer)
      return encodeResult(
        ApduTag.SET_RESPONSE,
        SetResponse.NORMAL,
        invokeId,
        DataAccessResult.NO_LONG_SET_IN_PROGRESS,
      )
    default:
      return notSupported()
  }
}

/** The attribute at `at`, borrowed, and the offset behind it. */
function targetAt(view: Buffer, at: number): [Target, number] {
  const end = skipAttribute(view, at, view.length)
  return [{ descriptor: descriptorAt(view, at), selection: selectionOf(view, at, end) }, end]
}

function targetsAt(view: Buffer, countAt: number): [Target[], number] {
  const count = readCount(view, countAt, view.length, 0)
  let at = countAt + lengthBytes(view, countAt)
  const targets: Target[] = []
  for (let i = 0; i < count; i++) {
    const [target, end] = targetAt(view, at)
    targets.push(target)
    at = end
  }
  return [targets, at]
}

/** A transfer that outlives the APDU it began with. */
function begun(invokeId: number, targets: readonly Target[], isList: boolean): SetTransfer {
  return {
    kind: 'set',
    invokeId,
    gatherer: new BlockGatherer(),
    targets: targets.map(({ descriptor, selection }) => ({
      descriptor: Buffer.from(descriptor),
      selection: selection && Buffer.from(selection),
    })),
    isList,
  }
}

function receiveBlock(
  session: ServerSession,
  view: Buffer,
  at: number,
  transfer: SetTransfer,
): Buffer {
  if (view.length < at + 6) throw leftOver(view.length)
  const isLast = view[at] !== 0
  const blockNumber = view.readUInt32BE(at + 1)
  const { gatherer, invokeId, targets, isList } = transfer
  const isInOrder = blockNumber === gatherer.blockNumber + 1
  if (isInOrder) {
    gatherer.add(view, at + 5, blockNumber, isLast)
    if (!isLast) {
      session.transfer = transfer
      const apdu = allocateService(7, ApduTag.SET_RESPONSE, SetResponse.DATABLOCK, invokeId)
      apdu.writeUInt32BE(blockNumber, 3)
      return apdu
    }
  }
  const wrongNumber = DataAccessResult.DATA_BLOCK_NUMBER_INVALID
  if (isList) {
    const results = isInOrder
      ? writeAll(session, targets, gatherer.take())
      : targets.map(() => wrongNumber)
    const listed = encodeResults(SetResponse.LAST_DATABLOCK_WITH_LIST, invokeId, results, 4)
    listed.writeUInt32BE(blockNumber, listed.length - 4)
    return listed
  }
  const result = isInOrder ? writeAttribute(session, targets[0]!, gatherer.take()) : wrongNumber
  const apdu = allocateService(8, ApduTag.SET_RESPONSE, SetResponse.LAST_DATABLOCK, invokeId)
  apdu[3] = result
  apdu.writeUInt32BE(blockNumber, 4)
  return apdu
}

/** Writes the values behind a count, which must be that of `targets`. */
function writeAll(
  session: ServerSession,
  targets: readonly Target[],
  valuesView: Buffer,
): number[] {
  if (readCount(valuesView, 0, valuesView.length, 0) !== targets.length) throw leftOver(0)
  // Every value is looked at before the first is written: a list cut short changes nothing.
  const values: Buffer[] = []
  let at = lengthBytes(valuesView, 0)
  for (let i = 0; i < targets.length; i++) {
    const end = skipValue(valuesView, at)
    values.push(valuesView.subarray(at, end))
    at = end
  }
  if (at !== valuesView.length) throw leftOver(at)
  return targets.map((target, i) => writeAttribute(session, target, values[i]!))
}

function encodeResults(
  type: number,
  invokeId: number,
  results: readonly number[],
  spareBytes = 0,
): Buffer {
  const apdu = allocateService(
    3 + lengthBytesFor(results.length) + results.length + spareBytes,
    ApduTag.SET_RESPONSE,
    type,
    invokeId,
  )
  apdu.set(results, writeLength(apdu, 3, results.length))
  return apdu
}
