/**
 * Encodes the client's service requests, each into one buffer with spare octets for the wrapper in
 * front. Descriptors, selections and values come as they are on the wire, so nothing is built but
 * the frame around them.
 * [IEC 62056-5-3, GET-Request, SET-Request, ACTION-Request]
 */
import { assert } from '../../base/assert.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import type { CosemOperation } from '../../ports/wan.ts'
import {
  ActionRequest,
  ApduTag,
  confirmedHighPriority,
  descriptorBytes,
  GetRequest,
  SetRequest,
} from '../apdu/constants.ts'
import { BlockCutter } from '../transfer/service-blocks.ts'
import { allocateApdu } from '../framing/wrapper.ts'

// Tag, type, invoke id and priority.
const serviceHeadBytes = 3
/** Those of a service with a list, its count in one octet. */
export const listHeadBytes: number = serviceHeadBytes + 1

/** Octets of a set-request-normal. */
export function setBytes({ selection, value }: CosemOperation): number {
  return attributeEnd(selection) + (value?.length ?? 0)
}

/**
 * Get-request-normal. @throws BrokerError DLMS_SIZE_EXCEEDED, as all of these, when it is larger
 * than any APDU
 */
export function encodeGet(invokeId: number, { descriptor, selection }: CosemOperation): Buffer {
  const apdu = allocateService(
    attributeEnd(selection),
    ApduTag.GET_REQUEST,
    GetRequest.NORMAL,
    invokeId,
  )
  writeAttribute(apdu, serviceHeadBytes, descriptor, selection)
  return apdu
}

/** Get-request-next: block `blockNumber` has come, the one after it may. */
export function encodeGetNext(invokeId: number, blockNumber: number): Buffer {
  const apdu = allocateService(serviceHeadBytes + 4, ApduTag.GET_REQUEST, GetRequest.NEXT, invokeId)
  apdu.writeUInt32BE(blockNumber, serviceHeadBytes)
  return apdu
}

/**
 * Get-request-with-list of `count` operations from `from` on, none of them with selective access.
 */
export function encodeGetList(
  invokeId: number,
  operations: readonly CosemOperation[],
  from: number,
  count: number,
): Buffer {
  const apdu = allocateService(
    listHeadBytes + count * (descriptorBytes + 1),
    ApduTag.GET_REQUEST,
    GetRequest.WITH_LIST,
    invokeId,
  )
  apdu[serviceHeadBytes] = count
  let at = serviceHeadBytes + 1
  for (let i = from; i < from + count; i++)
    at = writeAttribute(apdu, at, operations[i]!.descriptor, undefined)
  return apdu
}

/** Set-request-normal. */
export function encodeSet(
  invokeId: number,
  { descriptor, selection, value }: CosemOperation,
): Buffer {
  assert(value !== undefined, 'a SET has a value')
  const apdu = allocateService(
    attributeEnd(selection) + value.length,
    ApduTag.SET_REQUEST,
    SetRequest.NORMAL,
    invokeId,
  )
  apdu.set(value, writeAttribute(apdu, serviceHeadBytes, descriptor, selection))
  return apdu
}

/** Set-request-with-first-datablock: as much from `cutter` as an APDU of `pduBytesMax` takes. */
export function encodeSetFirstBlock(
  invokeId: number,
  { descriptor, selection }: CosemOperation,
  cutter: BlockCutter,
  pduBytesMax: number,
): Buffer {
  const at = attributeEnd(selection)
  const count = cutter.nextBytes(pduBytesMax - at, 0)
  const apdu = allocateService(
    at + BlockCutter.blockBytes(count),
    ApduTag.SET_REQUEST,
    SetRequest.WITH_FIRST_DATABLOCK,
    invokeId,
  )
  cutter.write(apdu, writeAttribute(apdu, serviceHeadBytes, descriptor, selection), count, false)
  return apdu
}

/** Set-request-with-datablock: the next block. */
export function encodeSetBlock(invokeId: number, cutter: BlockCutter, pduBytesMax: number): Buffer {
  const count = cutter.nextBytes(pduBytesMax - serviceHeadBytes, 0)
  const apdu = allocateService(
    serviceHeadBytes + BlockCutter.blockBytes(count),
    ApduTag.SET_REQUEST,
    SetRequest.WITH_DATABLOCK,
    invokeId,
  )
  cutter.write(apdu, serviceHeadBytes, count, false)
  return apdu
}

/** Set-request-with-list of `count` operations from `from` on. */
export function encodeSetList(
  invokeId: number,
  operations: readonly CosemOperation[],
  from: number,
  count: number,
): Buffer {
  const values = valueListOf(operations, from, count)
  const apdu = allocateService(
    attributeListEnd(operations, from, count) + values.length,
    ApduTag.SET_REQUEST,
    SetRequest.WITH_LIST,
    invokeId,
  )
  values.copy(apdu, writeAttributeList(apdu, operations, from, count))
  return apdu
}

/** `count` operations from `from` on, which go together. */
export type OperationRun = {
  readonly operations: readonly CosemOperation[]
  readonly from: number
  readonly count: number
}

/**
 * Set-request-with-list-and-first-datablock: the attributes, and as much of their values as fits.
 */
export function encodeSetListFirstBlock(
  invokeId: number,
  { operations, from, count }: OperationRun,
  cutter: BlockCutter,
  pduBytesMax: number,
): Buffer {
  const at = attributeListEnd(operations, from, count)
  const bytes = cutter.nextBytes(pduBytesMax - at, 0)
  const apdu = allocateService(
    at + BlockCutter.blockBytes(bytes),
    ApduTag.SET_REQUEST,
    SetRequest.WITH_LIST_AND_FIRST_DATABLOCK,
    invokeId,
  )
  cutter.write(apdu, writeAttributeList(apdu, operations, from, count), bytes, false)
  return apdu
}

/**
 * A count and the values of `count` operations; null-data where a method has no parameter. Owned.
 */
export function valueListOf(
  operations: readonly CosemOperation[],
  from: number,
  count: number,
): Buffer {
  const parts: Uint8Array[] = [Buffer.of(count)]
  for (let i = from; i < from + count; i++) parts.push(operations[i]!.value ?? nullBytes)
  return Buffer.concat(parts)
}

const nullBytes = Buffer.of(0)

function attributeListEnd(
  operations: readonly CosemOperation[],
  from: number,
  count: number,
): number {
  let at = listHeadBytes
  for (let i = from; i < from + count; i++)
    at += descriptorBytes + 1 + (operations[i]!.selection?.length ?? 0)
  return at
}

function writeAttributeList(
  out: Buffer,
  operations: readonly CosemOperation[],
  from: number,
  count: number,
): number {
  out[serviceHeadBytes] = count
  let at = listHeadBytes
  for (let i = from; i < from + count; i++)
    at = writeAttribute(out, at, operations[i]!.descriptor, operations[i]!.selection)
  return at
}

/** Octets of an action-request-normal. */
export function actionBytes({ value }: CosemOperation): number {
  return attributeEnd(value)
}

/** Action-request-with-list of `count` operations from `from` on. */
export function encodeActionList(
  invokeId: number,
  operations: readonly CosemOperation[],
  from: number,
  count: number,
): Buffer {
  const parameters = valueListOf(operations, from, count)
  const apdu = allocateService(
    listHeadBytes + count * descriptorBytes + parameters.length,
    ApduTag.ACTION_REQUEST,
    ActionRequest.WITH_LIST,
    invokeId,
  )
  apdu[serviceHeadBytes] = count
  let at = listHeadBytes
  for (let i = from; i < from + count; i++, at += descriptorBytes)
    apdu.set(operations[i]!.descriptor, at)
  parameters.copy(apdu, at)
  return apdu
}

/**
 * Action-request-with-first-pblock: as much of the parameter from `cutter` as an APDU of
 * `pduBytesMax` takes.
 */
export function encodeActionFirstBlock(
  invokeId: number,
  { descriptor }: CosemOperation,
  cutter: BlockCutter,
  pduBytesMax: number,
): Buffer {
  const at = serviceHeadBytes + descriptorBytes
  const count = cutter.nextBytes(pduBytesMax - at, 0)
  const apdu = allocateService(
    at + BlockCutter.blockBytes(count),
    ApduTag.ACTION_REQUEST,
    ActionRequest.WITH_FIRST_PBLOCK,
    invokeId,
  )
  apdu.set(descriptor, serviceHeadBytes)
  cutter.write(apdu, at, count, false)
  return apdu
}

/** Action-request-with-pblock: the next block of the parameter. */
export function encodeActionBlock(
  invokeId: number,
  cutter: BlockCutter,
  pduBytesMax: number,
): Buffer {
  const count = cutter.nextBytes(pduBytesMax - serviceHeadBytes, 0)
  const apdu = allocateService(
    serviceHeadBytes + BlockCutter.blockBytes(count),
    ApduTag.ACTION_REQUEST,
    ActionRequest.WITH_PBLOCK,
    invokeId,
  )
  cutter.write(apdu, serviceHeadBytes, count, false)
  return apdu
}

/**
 * Action-request-next-pblock: block `blockNumber` of the returned value has come, the one after it
 * may.
 */
export function encodeActionNext(invokeId: number, blockNumber: number): Buffer {
  const apdu = allocateService(
    serviceHeadBytes + 4,
    ApduTag.ACTION_REQUEST,
    ActionRequest.NEXT_PBLOCK,
    invokeId,
  )
  apdu.writeUInt32BE(blockNumber, serviceHeadBytes)
  return apdu
}

/** Action-request-normal. */
export function encodeAction(invokeId: number, { descriptor, value }: CosemOperation): Buffer {
  const apdu = allocateService(
    attributeEnd(value),
    ApduTag.ACTION_REQUEST,
    ActionRequest.NORMAL,
    invokeId,
  )
  writeAttribute(apdu, serviceHeadBytes, descriptor, value)
  return apdu
}

function attributeEnd(optional: Uint8Array | undefined): number {
  return serviceHeadBytes + descriptorBytes + 1 + (optional?.length ?? 0)
}

/** An APDU with its tag, type, and the octet of invoke id and priority. */
function allocateService(apduBytes: number, tag: number, type: number, invokeId: number): Buffer {
  if (apduBytes > limits.apduBytesMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', `a request of ${apduBytes} octets`)
  const apdu = allocateApdu(apduBytes)
  apdu[0] = tag
  apdu[1] = type
  apdu[2] = confirmedHighPriority | invokeId
  return apdu
}

/** A descriptor, then 0, or 1 and what is optional: selective access, or a method's parameter. */
function writeAttribute(
  out: Buffer,
  at: number,
  descriptor: Uint8Array,
  optional: Uint8Array | undefined,
): number {
  // Nine octets by hand cost less than a call out of JavaScript.
  for (let i = 0; i < descriptorBytes; i++) out[at + i] = descriptor[i]!
  at += descriptorBytes
  if (optional === undefined) {
    out[at] = 0
    return at + 1
  }
  out[at] = 1
  out.set(optional, at + 1)
  return at + 1 + optional.length
}
