/**
 * GET from the device's side: one attribute, a list, and the blocks of an answer. [IEC 62056-5-3,
 * GET service]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import {
  ApduTag,
  Conformance,
  DataAccessResult,
  GetRequest,
  GetResponse,
} from '../apdu/constants.ts'
import { lengthBytes, lengthBytesFor, readCount, writeLength } from '../axdr/layout.ts'
import { BlockCutter } from '../transfer/service-blocks.ts'
import {
  allocateService,
  encodeGetRefusal,
  leftOver,
  notSupported,
  selectionOf,
  skipAttribute,
} from './response.ts'
import { descriptorAt, readAttribute, type ServerSession } from './session.ts'

export function receiveGet(session: ServerSession, view: Buffer): Buffer {
  switch (view[1]!) {
    case GetRequest.NORMAL: {
      const end = skipAttribute(view, 3, view.length)
      if (end !== view.length) throw leftOver(end)
      session.transfer = undefined
      const result = readAttribute(session, descriptorAt(view, 3), selectionOf(view, 3, end))
      return encodeGetResult(session, view[2]!, result)
    }
    case GetRequest.NEXT:
      return receiveNext(session, view)
    case GetRequest.WITH_LIST:
      if ((session.conformance & Conformance.MULTIPLE_REFERENCES) === 0) break
      return receiveGetList(session, view)
  }
  return notSupported()
}

function encodeGetResult(
  session: ServerSession,
  invokeId: number,
  result: Buffer | number,
): Buffer {
  if (typeof result === 'number') return encodeGetRefusal(invokeId, result)
  if (4 + result.length <= session.pduBytesMax || !hasBlocks(session)) {
    if (4 + result.length > session.pduBytesMax && !session.takesAnySize)
      return encodeGetRefusal(invokeId, DataAccessResult.OTHER_REASON)
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
  return startBlocks(session, invokeId, result)
}

const hasBlocks = ({ conformance }: ServerSession): boolean =>
  (conformance & Conformance.BLOCK_TRANSFER_WITH_GET) !== 0

function startBlocks(session: ServerSession, invokeId: number, bytes: Buffer): Buffer {
  const cutter = new BlockCutter(bytes)
  session.transfer = { kind: 'get', invokeId, cutter }
  return encodeBlock(session, invokeId, cutter)
}

function encodeBlock(session: ServerSession, invokeId: number, cutter: BlockCutter): Buffer {
  const count = cutter.nextBytes(session.pduBytesMax - 3, 1)
  const apdu = allocateService(
    3 + 1 + BlockCutter.blockBytes(count),
    ApduTag.GET_RESPONSE,
    GetResponse.WITH_DATABLOCK,
    invokeId,
  )
  cutter.write(apdu, 3, count, true)
  if (cutter.isDone) session.transfer = undefined
  return apdu
}

function receiveNext(session: ServerSession, view: Buffer): Buffer {
  if (view.length !== 7) throw leftOver(view.length)
  const { transfer } = session
  const invokeId = view[2]!
  const blockNumber = view.readUInt32BE(3)
  if (
    transfer?.kind === 'get' &&
    transfer.invokeId === invokeId &&
    transfer.cutter.blockNumber === blockNumber
  ) {
    return encodeBlock(session, invokeId, transfer.cutter)
  }
  session.transfer = undefined
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

function receiveGetList(session: ServerSession, view: Buffer): Buffer {
  const count = readCount(view, 3, view.length, 0)
  let at = 3 + lengthBytes(view, 3)
  session.transfer = undefined
  const results: (Buffer | number)[] = []
  let bytes = lengthBytesFor(count)
  for (let i = 0; i < count; i++) {
    const end = skipAttribute(view, at, view.length)
    const result = readAttribute(session, descriptorAt(view, at), selectionOf(view, at, end))
    bytes += typeof result === 'number' ? 2 : 1 + result.length
    if (bytes > limits.transferBytesMax)
      throw new BrokerError('DLMS_SIZE_EXCEEDED', 'a list of values')
    results.push(result)
    at = end
  }
  if (at !== view.length) throw leftOver(at)
  const isWhole = 3 + bytes <= session.pduBytesMax || (!hasBlocks(session) && session.takesAnySize)
  const apdu = isWhole
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
  if (isWhole) return apdu
  if (!hasBlocks(session))
    throw new BrokerError('DLMS_SIZE_EXCEEDED', 'a list of values without blocks')
  return startBlocks(session, view[2]!, apdu.subarray(3))
}
