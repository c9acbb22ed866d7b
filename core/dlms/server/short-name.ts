/**
 * Short-name referencing from the device's side: reads and writes of names, which stand for
 * attributes and methods of the same objects; blocks both ways. [IEC 62056-5-3, Read, Write and
 * UnconfirmedWrite services]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { ApduTag, Conformance, DataAccessResult } from '../apdu/constants.ts'
import { decodeApdu, encodeApdu, type ApduOf } from '../apdu/codec.ts'
import type { ReadResult, VariableAccess, WriteResult } from '../apdu/short-name.ts'
import { decodeValue, Tag } from '../axdr/axdr.ts'
import { BlockCutter, BlockGatherer } from '../transfer/service-blocks.ts'
import { notSupported } from './response.ts'
import { parameterOf, readAttribute, writeAttribute, type ServerSession } from './session.ts'

/** What a short name stands for; undefined for nothing. The descriptor has nine octets. */
export type NamedMember = { kind: 'attribute' | 'method'; descriptor: Buffer }
export type MemberOf = (variableName: number) => NamedMember | undefined

type ReadRequest = ApduOf<'read-request'>
type WriteRequest = ApduOf<'write-request' | 'unconfirmed-write-request'>

/** Answers a read-request. */
export function receiveRead(session: ServerSession, memberOf: MemberOf, view: Buffer): Buffer {
  const { specifications } = decodeApdu(view) as ReadRequest
  const { transfer } = session
  session.transfer = undefined
  const [first] = specifications
  if (first?.type === 'block-number-access') {
    if (transfer?.kind !== 'read' || transfer.cutter.blockNumber !== first.blockNumber)
      return encodeRead([
        {
          type: 'data-access-error',
          result:
            transfer?.kind === 'read'
              ? DataAccessResult.DATA_BLOCK_NUMBER_INVALID
              : DataAccessResult.NO_LONG_GET_IN_PROGRESS,
        },
      ])
    session.transfer = transfer
    return nextBlock(session, transfer.cutter)
  }
  if (specifications.length !== 1 && !has(session, Conformance.MULTIPLE_REFERENCES))
    return notSupported()
  const answer = encodeRead(specifications.map((one) => read(session, memberOf, one)))
  if (answer.length <= session.pduBytesMax || session.takesAnySize) return answer
  if (!has(session, Conformance.BLOCK_TRANSFER_WITH_GET))
    return encodeRead(
      specifications.map(() => ({
        type: 'data-access-error',
        result: DataAccessResult.OTHER_REASON,
      })),
    )
  // What goes in blocks is the response without its tag.
  const cutter = new BlockCutter(Buffer.from(answer.subarray(1)))
  session.transfer = { kind: 'read', cutter }
  return nextBlock(session, cutter)
}

const has = ({ conformance }: ServerSession, bit: number): boolean => (conformance & bit) !== 0

const encodeRead = (results: ReadResult[]): Buffer => encodeApdu({ type: 'read-response', results })

function nextBlock(session: ServerSession, cutter: BlockCutter): Buffer {
  // Tag, count, choice, last-block, number, and a length of up to three octets.
  const block = cutter.next(session.pduBytesMax - 9)
  if (cutter.isDone) session.transfer = undefined
  return encodeRead([
    {
      type: 'data-block-result',
      lastBlock: cutter.isDone,
      blockNumber: cutter.blockNumber,
      rawDataView: block,
    },
  ])
}

function read(session: ServerSession, memberOf: MemberOf, one: VariableAccess): ReadResult {
  const refused = (result: number): ReadResult => ({ type: 'data-access-error', result })
  if (one.type !== 'variable-name' && one.type !== 'parameterized-access')
    return refused(DataAccessResult.TYPE_UNMATCHED)
  const isParameterized = one.type === 'parameterized-access'
  if (isParameterized && !has(session, Conformance.PARAMETERIZED_ACCESS))
    return refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
  const member = memberOf(one.variableName)
  if (member === undefined) return refused(DataAccessResult.OBJECT_UNDEFINED)
  if (member.kind === 'method') {
    const parameter = isParameterized ? parameterOf(one.parameterView) : undefined
    const { result, value } = session.objects.invoke(member.descriptor, parameter)
    if (result !== DataAccessResult.SUCCESS) return refused(result)
    return { type: 'data', valueView: value ?? Buffer.of(Tag.NULL) }
  }
  const selection = isParameterized
    ? Buffer.concat([Buffer.of(one.selector), one.parameterView])
    : undefined
  // The bit that was agreed to here is parameterized access.
  const found =
    selection === undefined
      ? readAttribute(session, member.descriptor, undefined)
      : session.objects.get(member.descriptor, selection)
  return typeof found === 'number' ? refused(found) : { type: 'data', valueView: found }
}

/** Answers a write-request. */
export function receiveWrite(session: ServerSession, memberOf: MemberOf, view: Buffer): Buffer {
  const request = decodeApdu(view) as WriteRequest
  const { transfer } = session
  session.transfer = undefined
  const [first] = request.specifications
  if (first?.type !== 'write-data-block-access')
    return encodeWritten(writeAll(session, memberOf, request))
  const refused = (result: number): Buffer => encodeWritten([{ type: 'data-access-error', result }])
  const block = decodeValue(request.dataViews[0] ?? Buffer.of(Tag.NULL))
  if (block.tag !== Tag.OCTET_STRING) return refused(DataAccessResult.TYPE_UNMATCHED)
  if (!has(session, Conformance.BLOCK_TRANSFER_WITH_SET)) return notSupported()
  const gatherer =
    first.blockNumber === 1
      ? new BlockGatherer()
      : transfer?.kind === 'write'
        ? transfer.gatherer
        : undefined
  if (gatherer === undefined) return refused(DataAccessResult.NO_LONG_SET_IN_PROGRESS)
  if (first.blockNumber !== gatherer.blockNumber + 1)
    return refused(DataAccessResult.DATA_BLOCK_NUMBER_INVALID)
  gatherer.append(block.value, 0, block.value.length, first.lastBlock)
  gatherer.blockNumber = first.blockNumber
  if (!first.lastBlock) {
    session.transfer = { kind: 'write', gatherer }
    return encodeWritten([{ type: 'block-number', blockNumber: first.blockNumber }])
  }
  const whole = Buffer.concat([Buffer.of(ApduTag.WRITE_REQUEST), gatherer.take()])
  return encodeWritten(writeAll(session, memberOf, decodeApdu(whole) as WriteRequest))
}

/** Carries out an unconfirmed-write-request; nothing is answered. */
export function receiveUnconfirmedWrite(
  session: ServerSession,
  memberOf: MemberOf,
  view: Buffer,
): void {
  writeAll(session, memberOf, decodeApdu(view) as WriteRequest)
}

const encodeWritten = (results: WriteResult[]): Buffer =>
  encodeApdu({ type: 'write-response', results })

function writeAll(
  session: ServerSession,
  memberOf: MemberOf,
  { specifications, dataViews }: WriteRequest,
): WriteResult[] {
  if (specifications.length !== dataViews.length)
    throw new BrokerError(
      'DLMS_LENGTH_INVALID',
      `${specifications.length} names and ${dataViews.length} values`,
    )
  return specifications.map((one, i): WriteResult => {
    const result = write(session, memberOf, one, dataViews[i]!)
    return result === DataAccessResult.SUCCESS
      ? { type: 'success' }
      : { type: 'data-access-error', result }
  })
}

function write(
  session: ServerSession,
  memberOf: MemberOf,
  one: VariableAccess,
  valueView: Buffer,
): number {
  const isAgreed =
    one.type === 'variable-name' ||
    (one.type === 'parameterized-access' && has(session, Conformance.PARAMETERIZED_ACCESS))
  if (!isAgreed) return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
  const member = memberOf(one.variableName)
  if (member === undefined) return DataAccessResult.OBJECT_UNDEFINED
  if (one.type === 'parameterized-access') {
    if (member.kind === 'method') return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    const selection = Buffer.concat([Buffer.of(one.selector), one.parameterView])
    return session.objects.set(member.descriptor, selection, valueView)
  }
  if (member.kind === 'method')
    return session.objects.invoke(member.descriptor, parameterOf(valueView)).result
  return writeAttribute(session, { descriptor: member.descriptor, selection: undefined }, valueView)
}
