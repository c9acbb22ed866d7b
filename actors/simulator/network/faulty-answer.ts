/**
 * Wrong answers, as APDUs and frames, for the faults that need one. Pure; the connection decides
 * what to send and when. [IEC 62056-5-3, Get-Response-With-Datablock, Exception-Response, AARE]
 */
import { ApduTag, GetRequest, GetResponse } from '../../../core/dlms/apdu/constants.ts'
import { allocateApdu } from '../../../core/dlms/framing/wrapper.ts'
import { Stream, draw, drawBelow } from '../model/chance.ts'

/** Data octets of each block that never ends. */
const endlessBlockBytes = 1_000
const garbageBytesMax = 200

const isService = (tag: number | undefined): boolean =>
  tag === ApduTag.GET_REQUEST || tag === ApduTag.SET_REQUEST || tag === ApduTag.ACTION_REQUEST

/** True for a get-request-next: the client has swallowed a block and asks for another. */
export const isGetNext = (requestView: Buffer): boolean =>
  requestView[0] === ApduTag.GET_REQUEST && requestView[1] === GetRequest.NEXT

/** True for a request that starts an answer with a value in it. */
export const isFirstGet = (requestView: Buffer): boolean =>
  requestView[0] === ApduTag.GET_REQUEST && requestView[1] !== GetRequest.NEXT

/** The next block of an answer that never ends. `requestView` is the get-request it answers. */
export function endlessBlock(requestView: Buffer, blockNumber: number): Buffer {
  const apdu = allocateApdu(12 + endlessBlockBytes)
  apdu.fill(0)
  apdu[0] = ApduTag.GET_RESPONSE
  apdu[1] = GetResponse.WITH_DATABLOCK
  apdu[2] = requestView[2] ?? 0
  apdu.writeUInt32BE(blockNumber, 4)
  apdu[9] = 0x82
  apdu.writeUInt16BE(endlessBlockBytes, 10)
  // An array of 65,535 nulls, which no number of blocks fills as promised.
  if (blockNumber === 1) apdu.set([0x01, 0x82, 0xff, 0xff], 12)
  return apdu
}

/** Answers with the next invoke id; undefined when there is none in `answer`. Changes `answer`. */
export function withWrongInvokeId(answer: Buffer): Buffer | undefined {
  if (
    answer[0] !== ApduTag.GET_RESPONSE &&
    answer[0] !== ApduTag.SET_RESPONSE &&
    answer[0] !== ApduTag.ACTION_RESPONSE
  )
    return undefined
  answer[2] = (answer[2]! & 0xf0) | ((answer[2]! + 1) & 0x0f)
  return answer
}

/**
 * Answers with a block number that is 5 too high; a plain answer is put into a block for it.
 * Undefined when `answer` is not to a GET, or an error.
 */
export function withWrongBlockNumber(answer: Buffer): Buffer | undefined {
  if (answer[0] !== ApduTag.GET_RESPONSE) return undefined
  if (answer[1] === GetResponse.WITH_DATABLOCK) {
    answer.writeUInt32BE((answer.readUInt32BE(4) + 5) >>> 0, 4)
    return answer
  }
  // The data of a normal answer stand behind the choice octet, those of a list behind the invoke
  // id.
  const from = answer[1] === GetResponse.WITH_LIST ? 3 : 4
  if (from === 4 && answer[3] !== 0) return undefined
  const rawBytes = answer.length - from
  const apdu = allocateApdu(12 + rawBytes)
  apdu[0] = ApduTag.GET_RESPONSE
  apdu[1] = GetResponse.WITH_DATABLOCK
  apdu[2] = answer[2]!
  apdu[3] = 1
  apdu.writeUInt32BE(6, 4)
  apdu[8] = 0
  apdu[9] = 0x82
  apdu.writeUInt16BE(rawBytes, 10)
  answer.copy(apdu, 12, from)
  return apdu
}

/**
 * State-error service-not-allowed, service-error other-reason; undefined when `requestView` is no
 * service.
 */
export function exceptionTo(requestView: Buffer): Buffer | undefined {
  if (!isService(requestView[0])) return undefined
  const apdu = allocateApdu(3)
  apdu.set([ApduTag.EXCEPTION_RESPONSE, 1, 3])
  return apdu
}

// LN context, rejected-permanent, diagnostic of the acse-service-user: no reason given.
const refusal = Buffer.from('6117a109060760857405080101a203020101a305a103020101', 'hex')

/** An AARE that refuses; undefined when `requestView` is no AARQ. */
export function refusalOf(requestView: Buffer): Buffer | undefined {
  if (requestView[0] !== ApduTag.AARQ) return undefined
  const apdu = allocateApdu(refusal.length)
  refusal.copy(apdu)
  return apdu
}

/** Octets that mean nothing; the same for the same arguments. */
export function garbage(seed: number, requestIndex: number): Buffer {
  const count = 1 + drawBelow(garbageBytesMax, seed, Stream.GARBAGE, requestIndex, 0)
  const apdu = allocateApdu(count)
  for (let i = 0; i < count; i++) apdu[i] = draw(seed, Stream.GARBAGE, requestIndex, i + 1)
  return apdu
}

/** The same, and no wrapper frame: the first octet is not that of a version. */
export function noise(seed: number, requestIndex: number): Buffer {
  const octets = garbage(seed, requestIndex)
  octets[0] = octets[0]! | 0x40
  return octets
}
