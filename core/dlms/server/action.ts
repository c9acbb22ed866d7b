/**
 * ACTION from the device's side: one method or a list, parameters and returned values whole or in
 * blocks. [IEC 62056-5-3, ACTION service]
 */
import {
  ActionRequest,
  ActionResponse,
  ActionResult,
  ApduTag,
  Conformance,
  DataAccessResult,
  descriptorBytes,
} from '../apdu/constants.ts'
import { lengthBytes, lengthBytesFor, readCount, skipValue, writeLength } from '../axdr/layout.ts'
import { BlockCutter, BlockGatherer } from '../transfer/service-blocks.ts'
import { allocateService, leftOver, notSupported } from './response.ts'
import { descriptorAt, parameterOf, type ServerSession, type Transfer } from './session.ts'

type Returned = { result: number; value?: Buffer | undefined }
type ActionTransfer = Transfer & { kind: 'set' | 'action-in' }

export function receiveAction(session: ServerSession, view: Buffer): Buffer {
  const invokeId = view[2]!
  const { transfer } = session
  session.transfer = undefined
  switch (view[1]!) {
    case ActionRequest.NORMAL: {
      const at = 3 + descriptorBytes
      if (view.length <= at) throw leftOver(view.length)
      let parameterView: Buffer | undefined
      if (view[at] === 1) {
        const end = skipValue(view, at + 1)
        if (end !== view.length) throw leftOver(end)
        parameterView = view.subarray(at + 1, end)
      } else if (view[at] !== 0 || view.length !== at + 1) throw leftOver(at)
      const returned = session.objects.invoke(descriptorAt(view, 3), parameterView)
      return encodeReturned(session, invokeId, returned)
    }
    case ActionRequest.NEXT_PBLOCK: {
      if (view.length !== 7) throw leftOver(view.length)
      if (
        transfer?.kind === 'action-out' &&
        transfer.invokeId === invokeId &&
        transfer.cutter.blockNumber === view.readUInt32BE(3)
      ) {
        session.transfer = transfer
        return encodeBlock(session, invokeId, transfer.cutter)
      }
      return encodeRefusal(
        invokeId,
        transfer?.kind === 'action-out'
          ? ActionResult.LONG_ACTION_ABORTED
          : ActionResult.NO_LONG_ACTION_IN_PROGRESS,
      )
    }
    case ActionRequest.WITH_LIST: {
      if ((session.conformance & Conformance.MULTIPLE_REFERENCES) === 0) return notSupported()
      const [descriptors, end] = descriptorsAt(view, 3)
      return invokeAll(session, invokeId, descriptors, view.subarray(end))
    }
    case ActionRequest.WITH_FIRST_PBLOCK:
      if (!hasBlocks(session)) return notSupported()
      return receiveBlock(
        session,
        view,
        3 + descriptorBytes,
        begun(invokeId, [descriptorAt(view, 3)], false),
      )
    case ActionRequest.WITH_LIST_AND_FIRST_PBLOCK: {
      if (!hasBlocks(session) || (session.conformance & Conformance.MULTIPLE_REFERENCES) === 0)
        return notSupported()
      const [descriptors, end] = descriptorsAt(view, 3)
      return receiveBlock(session, view, end, begun(invokeId, descriptors, true))
    }
    case ActionRequest.WITH_PBLOCK:
      if (transfer?.kind === 'action-in' && transfer.invokeId === invokeId)
        return receiveBlock(session, view, 3, transfer)
      return encodeRefusal(invokeId, ActionResult.NO_LONG_ACTION_IN_PROGRESS)
    default:
      return notSupported()
  }
}

const hasBlocks = ({ conformance }: ServerSession): boolean =>
  (conformance & Conformance.BLOCK_TRANSFER_WITH_ACTION) !== 0

function descriptorsAt(view: Buffer, countAt: number): [Buffer[], number] {
  const count = readCount(view, countAt, view.length, 0)
  let at = countAt + lengthBytes(view, countAt)
  const descriptors: Buffer[] = []
  for (let i = 0; i < count; i++, at += descriptorBytes) descriptors.push(descriptorAt(view, at))
  if (at > view.length) throw leftOver(view.length)
  return [descriptors, at]
}

function begun(invokeId: number, descriptors: readonly Buffer[], isList: boolean): ActionTransfer {
  return {
    kind: 'action-in',
    invokeId,
    gatherer: new BlockGatherer(),
    targets: descriptors.map((descriptor) => ({
      descriptor: Buffer.from(descriptor),
      selection: undefined,
    })),
    isList,
  }
}

function receiveBlock(
  session: ServerSession,
  view: Buffer,
  at: number,
  transfer: ActionTransfer,
): Buffer {
  if (view.length < at + 6) throw leftOver(view.length)
  const isLast = view[at] !== 0
  const blockNumber = view.readUInt32BE(at + 1)
  const { gatherer, invokeId, targets, isList } = transfer
  if (blockNumber !== gatherer.blockNumber + 1)
    return encodeRefusal(invokeId, ActionResult.LONG_ACTION_ABORTED)
  gatherer.add(view, at + 5, blockNumber, isLast)
  if (!isLast) {
    session.transfer = transfer
    const apdu = allocateService(7, ApduTag.ACTION_RESPONSE, ActionResponse.NEXT_PBLOCK, invokeId)
    apdu.writeUInt32BE(blockNumber, 3)
    return apdu
  }
  const bytes = gatherer.take()
  const descriptors = targets.map(({ descriptor }) => descriptor)
  if (isList) return invokeAll(session, invokeId, descriptors, bytes)
  const end = skipValue(bytes, 0)
  if (end !== bytes.length) throw leftOver(end)
  return encodeReturned(session, invokeId, session.objects.invoke(descriptors[0]!, bytes))
}

/** Invokes the methods with the parameters behind a count, which must be as many. */
function invokeAll(
  session: ServerSession,
  invokeId: number,
  descriptors: readonly Buffer[],
  parametersView: Buffer,
): Buffer {
  if (readCount(parametersView, 0, parametersView.length, 0) !== descriptors.length)
    throw leftOver(0)
  // Every parameter is looked at before the first method runs: a list cut short does nothing.
  const parameters: Buffer[] = []
  let at = lengthBytes(parametersView, 0)
  for (let i = 0; i < descriptors.length; i++) {
    const end = skipValue(parametersView, at)
    parameters.push(parametersView.subarray(at, end))
    at = end
  }
  if (at !== parametersView.length) throw leftOver(at)
  const returned = descriptors.map((descriptor, i) =>
    session.objects.invoke(descriptor, parameterOf(parameters[i]!)),
  )
  const count = returned.length
  const front = lengthBytesFor(count)
  const bytes = returned.reduce((sum, one) => sum + returnedBytes(one), front)
  const isWhole = 3 + bytes <= session.pduBytesMax || (session.takesAnySize && !hasBlocks(session))
  if (!isWhole && !hasBlocks(session)) {
    // The methods have run: their results come, and their values are refused.
    const refused = returned.map((one) =>
      one.value === undefined ? one : { result: ActionResult.OTHER_REASON },
    )
    return encodeList(invokeId, refused)
  }
  if (isWhole) return encodeList(invokeId, returned)
  return startBlocks(session, invokeId, encodeList(invokeId, returned).subarray(3))
}

const returnedBytes = ({ value }: Returned): number => (value === undefined ? 2 : 3 + value.length)

function encodeList(invokeId: number, returned: readonly Returned[]): Buffer {
  const bytes = returned.reduce((sum, one) => sum + returnedBytes(one), 0)
  const apdu = allocateService(
    3 + lengthBytesFor(returned.length) + bytes,
    ApduTag.ACTION_RESPONSE,
    ActionResponse.WITH_LIST,
    invokeId,
  )
  let at = writeLength(apdu, 3, returned.length)
  for (const one of returned) at = writeReturned(apdu, at, one)
  return apdu
}

/** action-result, then 0, or 1 and a Get-Data-Result. */
function writeReturned(out: Buffer, at: number, { result, value }: Returned): number {
  out[at] = result
  out[at + 1] = value === undefined ? 0 : 1
  if (value === undefined) return at + 2
  out[at + 2] = 0
  return at + 3 + value.copy(out, at + 3)
}

function encodeReturned(session: ServerSession, invokeId: number, returned: Returned): Buffer {
  const bytes = returnedBytes(returned)
  const isTooLong = 3 + bytes > session.pduBytesMax
  if (isTooLong && !session.takesAnySize && !hasBlocks(session))
    return encodeValueRefused(invokeId, returned.result)
  const apdu = allocateService(3 + bytes, ApduTag.ACTION_RESPONSE, ActionResponse.NORMAL, invokeId)
  writeReturned(apdu, 3, returned)
  return isTooLong && hasBlocks(session) ? startBlocks(session, invokeId, apdu.subarray(3)) : apdu
}

/**
 * A value too large for any APDU that the client takes: the method has run, and its value is
 * refused.
 */
function encodeValueRefused(invokeId: number, result: number): Buffer {
  const apdu = allocateService(7, ApduTag.ACTION_RESPONSE, ActionResponse.NORMAL, invokeId)
  apdu[3] = result
  apdu[4] = 1
  apdu[5] = 1
  apdu[6] = DataAccessResult.OTHER_REASON
  return apdu
}

function encodeRefusal(invokeId: number, result: number): Buffer {
  const apdu = allocateService(5, ApduTag.ACTION_RESPONSE, ActionResponse.NORMAL, invokeId)
  apdu[3] = result
  apdu[4] = 0
  return apdu
}

function startBlocks(session: ServerSession, invokeId: number, bytes: Buffer): Buffer {
  const cutter = new BlockCutter(bytes)
  session.transfer = { kind: 'action-out', invokeId, cutter }
  return encodeBlock(session, invokeId, cutter)
}

function encodeBlock(session: ServerSession, invokeId: number, cutter: BlockCutter): Buffer {
  const count = cutter.nextBytes(session.pduBytesMax - 3, 0)
  const apdu = allocateService(
    3 + BlockCutter.blockBytes(count),
    ApduTag.ACTION_RESPONSE,
    ActionResponse.WITH_PBLOCK,
    invokeId,
  )
  cutter.write(apdu, 3, count, false)
  if (cutter.isDone) session.transfer = undefined
  return apdu
}
