/**
 * ACCESS from the device's side; the layout stands in client-access.ts. [IEC 62056-5-3,
 * Access-Request, Access-Response]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import {
  AccessChoice,
  ApduTag,
  Conformance,
  DataAccessResult,
  descriptorBytes,
} from '../apdu/constants.ts'
import {
  lengthBytes,
  lengthBytesFor,
  readCount,
  skipOctets,
  skipValue,
  writeLength,
} from '../axdr/layout.ts'
import { leftOver } from './response.ts'
import {
  descriptorAt,
  parameterOf,
  readAttribute,
  writeAttribute,
  type ServerSession,
} from './session.ts'
import { allocateApdu } from '../framing/wrapper.ts'

type Asked = { choice: number; descriptor: Buffer; selection: Buffer | undefined }
/**
 * Of the first octet of the long invoke id and priority, bits 28 and 29. [IEC 62056-5-3,
 * Long-Invoke-Id-And-Priority]
 */
const selfDescriptive = 0x10
const breakOnError = 0x20

type Given = { choice: number; value: Buffer | undefined; result: number }

export function receiveAccess(session: ServerSession, view: Buffer): Buffer {
  if (view.length < 8) throw leftOver(view.length)
  let at = skipOctets(view, 5)
  const specificationsStart = at
  const [asked, behind] = specificationsAt(view, at)
  at = behind
  const repeated =
    (view[1]! & selfDescriptive) === 0 ? undefined : view.subarray(specificationsStart, behind)
  if (readCount(view, at, view.length, 0) !== asked.length) throw leftOver(at)
  at += lengthBytes(view, at)
  const values: Buffer[] = []
  for (let i = 0; i < asked.length; i++) {
    const end = skipValue(view, at)
    values.push(view.subarray(at, end))
    at = end
  }
  if (at !== view.length) throw leftOver(at)
  session.transfer = undefined
  const given: Given[] = []
  let isBroken = false
  for (const [i, one] of asked.entries()) {
    const done: Given = isBroken ? notCarriedOut(one) : carryOut(session, one, values[i]!)
    given.push(done)
    isBroken ||= (view[1]! & breakOnError) !== 0 && done.result !== DataAccessResult.SUCCESS
  }
  const apdu = encode(view, repeated, given)
  if (apdu.length <= session.pduBytesMax || session.takesAnySize) return apdu
  // What has been written is written: the results come, and the values are refused.
  const refused = given.map(({ choice, value, result }) => ({
    choice,
    value: undefined,
    result: value === undefined ? result : DataAccessResult.OTHER_REASON,
  }))
  return encode(view, repeated, refused)
}

function specificationsAt(view: Buffer, countAt: number): [Asked[], number] {
  const count = readCount(view, countAt, view.length, 0)
  let at = countAt + lengthBytes(view, countAt)
  const asked: Asked[] = []
  for (let i = 0; i < count; i++) {
    const choice = view[at]
    if (
      choice === undefined ||
      choice < AccessChoice.GET ||
      choice > AccessChoice.SET_WITH_SELECTION
    )
      throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${choice} at octet ${at}`)
    const descriptor = descriptorAt(view, at + 1)
    const end = at + 1 + descriptorBytes
    const hasSelection = choice >= AccessChoice.GET_WITH_SELECTION
    at = hasSelection ? skipValue(view, end + 1) : end
    if (at > view.length) throw leftOver(view.length)
    asked.push({ choice, descriptor, selection: hasSelection ? view.subarray(end, at) : undefined })
  }
  return [asked, at]
}

/** Each operation has its result: those behind the one that failed are neither done nor refused. */
function notCarriedOut({ choice }: Asked): Given {
  const kind =
    choice === AccessChoice.GET_WITH_SELECTION
      ? AccessChoice.GET
      : choice === AccessChoice.SET_WITH_SELECTION
        ? AccessChoice.SET
        : choice
  return { choice: kind, value: undefined, result: DataAccessResult.OTHER_REASON }
}

function carryOut(session: ServerSession, { choice, ...target }: Asked, value: Buffer): Given {
  const { descriptor, selection } = target
  const { conformance } = session
  const none = (kind: number, result: number): Given => ({ choice: kind, value: undefined, result })
  switch (choice) {
    case AccessChoice.GET:
    case AccessChoice.GET_WITH_SELECTION: {
      if ((conformance & Conformance.GET) === 0)
        return none(AccessChoice.GET, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
      const read = readAttribute(session, descriptor, selection)
      return typeof read === 'number'
        ? none(AccessChoice.GET, read)
        : { choice: AccessChoice.GET, value: read, result: DataAccessResult.SUCCESS }
    }
    case AccessChoice.ACTION: {
      if ((conformance & Conformance.ACTION) === 0)
        return none(AccessChoice.ACTION, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
      const invoked = session.objects.invoke(descriptor, parameterOf(value))
      return { choice, value: invoked.value, result: invoked.result }
    }
    default:
      if ((conformance & Conformance.SET) === 0)
        return none(AccessChoice.SET, DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
      return none(AccessChoice.SET, writeAttribute(session, target, value))
  }
}

/** `repeated`: the count and the specifications of a request that asks for them. */
function encode(request: Buffer, repeated: Buffer | undefined, given: readonly Given[]): Buffer {
  const countBytes = lengthBytesFor(given.length)
  let bytes = 1 + 4 + 1 + 1 + (repeated?.length ?? 0) + 2 * countBytes
  for (const { value } of given) bytes += (value?.length ?? 1) + 2
  if (bytes > limits.transferBytesMax)
    throw new BrokerError('DLMS_SIZE_EXCEEDED', 'a list of values')
  const apdu = allocateApdu(bytes)
  apdu[0] = ApduTag.ACCESS_RESPONSE
  request.copy(apdu, 1, 1, 5)
  // No date-time.
  apdu[5] = 0
  apdu[6] = repeated === undefined ? 0 : 1
  const specificationsEnd = 7 + (repeated?.copy(apdu, 7) ?? 0)
  let at = writeLength(apdu, specificationsEnd, given.length)
  for (const { value } of given) {
    if (value === undefined) apdu[at++] = 0
    else at += value.copy(apdu, at)
  }
  at = writeLength(apdu, at, given.length)
  for (const { choice, result } of given) {
    apdu[at++] = choice
    apdu[at++] = result
  }
  return apdu
}
