/**
 * Reads results out of responses, for the client: a value is walked over and copied once, and what
 * real meters add or leave out is put right here. [IEC 62056-5-3, Get-Data-Result,
 * ExceptionResponse, ConfirmedServiceError]
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import type { CosemResult } from '../../ports/wan.ts'
import {
  ApduTag,
  DataAccessResult,
  invokeIdMask,
  ServiceError,
  StateError,
} from '../apdu/constants.ts'
import { ErrorGroup, nameOfServiceError } from '../apdu/error.ts'
import { nameOf } from '../apdu/grammar.ts'
import { lengthBytes, skipValue, Tag } from '../axdr/layout.ts'

/**
 * Get-Data-Result at `at`: choice 0 and a value, which is copied, or choice 1 and a
 * data-access-result.
 */
export function readDataResult(view: Buffer, at: number): CosemResult {
  if (at + 1 >= view.length)
    throw new BrokerError('DLMS_LENGTH_INVALID', `result cut short at octet ${view.length}`)
  const choice = view[at]!
  if (choice === 1) return { value: undefined, result: refusalResult(view[at + 1]!) }
  if (choice !== 0) throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${choice} at octet ${at}`)
  return { value: copyOfValue(view, at + 1), result: DataAccessResult.SUCCESS }
}

/** "Success" where a refusal stands would pass for a value that is not there. */
export function refusalResult(result: number): number {
  return result === DataAccessResult.SUCCESS ? DataAccessResult.OTHER_REASON : result
}

/**
 * The value at `at`, copied; octets behind it are left out. A float with a length octet, as one
 * maker sends it, gets rid of that octet: it is told by exactly one octet too many.
 */
function copyOfValue(view: Buffer, at: number): Buffer {
  const end = skipValue(view, at)
  const tag = view[at]!
  if (
    end === view.length - 1 &&
    (tag === Tag.FLOAT32 || tag === Tag.FLOAT64) &&
    view[at + 1] === end - at - 1
  ) {
    const bytes = copyOfOctets(view, at + 1, view.length)
    bytes[0] = tag
    return bytes
  }
  return copyOfOctets(view, at, end)
}

/** The octets [start, end), copied; owned. */
export function copyOfOctets(view: Buffer, start: number, end: number): Buffer {
  // From the pool: results live until the response is made, a moment later.
  const bytes = Buffer.allocUnsafe(end - start)
  view.copy(bytes, 0, start, end)
  return bytes
}

/**
 * The value that was gathered, without octets behind it: an empty profile may come once a block,
 * rows behind a count of 0.
 */
export function trimmedTransfer(gathered: Buffer): Buffer {
  let end: number
  try {
    end = skipValue(gathered, 0)
  } catch (cause) {
    if (!(cause instanceof BrokerError && cause.code === 'DLMS_LENGTH_INVALID')) throw cause
    throw new BrokerError('DLMS_TRANSFER_ABORTED', `after ${gathered.length} octets`, { cause })
  }
  return end === gathered.length ? gathered : gathered.subarray(0, end)
}

/**
 * The invoke id of a response; a long one has its low bits three octets on. [IEC 62056-5-3,
 * Long-Invoke-Id-And-Priority]
 */
export const invokeIdIn = (view: Buffer): number =>
  (view[view[0] === ApduTag.ACCESS_RESPONSE ? 4 : 2] ?? 0) & invokeIdMask

/** What an exception-response or a confirmed-service-error says, for logs. */
export function refusalOf(view: Buffer): string {
  return view[0] === ApduTag.EXCEPTION_RESPONSE
    ? `exception, state ${view[1]}, service ${view[2]}: ${nameOf(StateError, view[1]!)}, ${nameOf(ServiceError, view[2]!)}`
    : `confirmed service error, service ${view[1]}, group ${view[2]}, error ${view[3]}: ${nameOfServiceError(view[2]!, view[3]!)}`
}

/** Exception-response with the choice invocation-counter-error, which carries a u32. */
export const expectedCounterIn = (view: Buffer): number | undefined =>
  view[0] === ApduTag.EXCEPTION_RESPONSE &&
  view[2] === ServiceError.INVOCATION_COUNTER_ERROR &&
  view.length >= 7
    ? view.readUInt32BE(3)
    : undefined

/**
 * True for an exception-response by which nothing was carried out: the service is not known, or too
 * long.
 */
export function isNotSupported(view: Buffer): boolean {
  return (
    view[0] === ApduTag.EXCEPTION_RESPONSE &&
    (view[1] === StateError.SERVICE_UNKNOWN ||
      view[2] === ServiceError.SERVICE_NOT_SUPPORTED ||
      view[2] === ServiceError.PDU_TOO_LONG)
  )
}

// application-reference: application-reference-invalid. [IEC 62056-5-3, ServiceError]
const referenceInvalid = 3

/**
 * True for what one gets outside of an association; other errors say what else is wrong, or that
 * the service is not known.
 */
export function isNotAssociated(view: Buffer, isShortName: boolean): boolean {
  const [tag, state, error, code] = view
  if (isShortName && tag === ApduTag.CONFIRMED_SERVICE_ERROR)
    return error === ErrorGroup.APPLICATION_REFERENCE && code === referenceInvalid
  return (
    tag === ApduTag.EXCEPTION_RESPONSE &&
    state === StateError.SERVICE_NOT_ALLOWED &&
    (error === ServiceError.OPERATION_NOT_POSSIBLE || error === ServiceError.OTHER_REASON)
  )
}

/**
 * `count` results, behind the count that `bytes` begins with; values are views on `bytes`, which
 * the caller owns and hands over. Undefined when it ends before the last result does.
 * @throws BrokerError DLMS_TAG_UNKNOWN, DLMS_NESTING_EXCEEDED, DLMS_SIZE_EXCEEDED
 */
export function readResultList(bytes: Buffer, count: number): CosemResult[] | undefined {
  const results: CosemResult[] = []
  let at = lengthBytes(bytes, 0)
  try {
    for (let i = 0; i < count; i++) {
      if (at + 1 >= bytes.length) return undefined
      const choice = bytes[at]!
      if (choice === 0) {
        const end = skipValue(bytes, at + 1)
        results.push({ value: bytes.subarray(at + 1, end), result: DataAccessResult.SUCCESS })
        at = end
      } else if (choice === 1) {
        results.push({ value: undefined, result: refusalResult(bytes[at + 1]!) })
        at += 2
      } else throw new BrokerError('DLMS_TAG_UNKNOWN', `choice ${choice} of result ${i}`)
    }
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'DLMS_LENGTH_INVALID') return undefined
    throw error
  }
  return results
}

/** The APDU ends before what must be in it. */
export function cutShort(view: Buffer): BrokerError {
  return new BrokerError('DLMS_LENGTH_INVALID', `APDU ${view[0]} cut short at octet ${view.length}`)
}

/** The APDU must not come `where` we are. */
export function unexpected(view: Buffer, where: string): BrokerError {
  return new BrokerError('DLMS_SERVICE_UNEXPECTED', `APDU ${view[0]}, type ${view[1]} in ${where}`)
}

/**
 * Faults of an APDU that belongs to another question, or came before; they are found before
 * anything of it but its counter is used.
 */
const faultsOfOthers: ReadonlySet<ErrorCode> = new Set([
  'DLMS_BLOCK_NUMBER_WRONG',
  'DLMS_COUNTER_REPLAYED',
  'DLMS_INVOKE_ID_WRONG',
  'DLMS_SERVICE_UNEXPECTED',
])
export const isOfAnother = (error: unknown): boolean =>
  error instanceof BrokerError && faultsOfOthers.has(error.code)

/** True for what answers an RLRQ: some meters refuse a release although it is one. */
export const isReleaseAnswer = ([tag]: Buffer): boolean =>
  tag === ApduTag.RLRE || tag === ApduTag.EXCEPTION_RESPONSE

/** True for a notification in the clear. */
export const isNotification = ([tag]: Buffer): boolean =>
  tag === ApduTag.DATA_NOTIFICATION ||
  tag === ApduTag.EVENT_NOTIFICATION ||
  tag === ApduTag.INFORMATION_REPORT_REQUEST
