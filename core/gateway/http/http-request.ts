/**
 * Requests and RequestIDs as they stand in JSON and in paths, as the wire bytes that all doors hand
 * in.
 */
import { GetRequestStatusRequest } from '../../../proto/gen/busbar/v1/input_gateway.ts'
import { ServiceRequest, type RequestId } from '../../../proto/gen/busbar/v1/service_request.ts'
import { asBuffer } from '../../base/bytes.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { bodyNames, counterFaultOf } from './http-schema.ts'
import { jsonName } from '../../base/violation.ts'

/** Why JSON that the schema has passed is no request; `field` is at fault. */
export type Malformed = { code: ErrorCode; detail: string; field: string }

/**
 * Why a RequestID in JSON has no usable counter, in words. One of a list that has none, or one too
 * many, is refused by itself behind this door: only what has no form in protobuf is a fault of the
 * list.
 */
function requestIdFaultOf(object: Record<string, unknown>, isInList: boolean): string | undefined {
  const id = (object['requestId'] ?? object['request_id'] ?? {}) as Record<string, unknown>
  const { counter } = id
  const fault = counterFaultOf(counter)
  if (fault !== undefined || isInList) return fault
  const isGiven = counter !== undefined && counter !== null && counter !== '' && Number(counter) > 0
  const isAssigned = (object['assignCounter'] ?? object['assign_counter']) === true
  if (isGiven && isAssigned) return 'there is a counter, and assignCounter asks for another one'
  return isGiven || isAssigned ? undefined : 'the counter is missing or 0'
}

const timeText = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):.*?(?:Z|[+-](\d\d):(\d\d))$/

/**
 * Whether a time of the schema's form exists. Date accepts 30 February and 24:00 and means another
 * time [RFC 3339 5.7].
 */
function isTime(text: string): boolean {
  const [, year, month, day, hour, offsetHour, offsetMinute] = timeText.exec(text) ?? []
  if (Number.isNaN(Date.parse(text)) || Number(year) === 0) return false
  const monthDays = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
  return (
    Number(day) <= monthDays &&
    Number(hour) < 24 &&
    Number(offsetHour ?? 0) < 24 &&
    Number(offsetMinute ?? 0) < 60
  )
}

/** The first time of `object` that does not exist, such as 2026-02-30; undefined when all do. */
function timeFaultOf(object: Record<string, unknown>): string | undefined {
  const period = (object['readPeriod'] ?? object['read_period'] ?? {}) as Record<string, unknown>
  const times = [
    ['deadline', object['deadline']],
    ['readPeriod.startTime', period['startTime'] ?? period['start_time']],
    ['readPeriod.endTime', period['endTime'] ?? period['end_time']],
  ] as const
  return times.find(([, time]) => typeof time === 'string' && !isTime(time))?.[0]
}

/**
 * The wire bytes of a ServiceRequest given as JSON that the schema has passed, or what is wrong
 * with it.
 */
export function requestBytesOf(
  object: Record<string, unknown>,
  isInList: boolean,
): Buffer | Malformed {
  const bodies = bodyNames.filter((name) => object[name] !== undefined && object[name] !== null)
  if (bodies.length > 1) {
    const detail = 'a request takes one body at most'
    return { code: 'REQUEST_JSON_MALFORMED', detail, field: jsonName(bodies[1]!) }
  }
  const fault = requestIdFaultOf(object, isInList)
  if (fault !== undefined)
    return { code: 'REQUEST_ID_MALFORMED', detail: fault, field: 'requestId.counter' }
  const before = object['precedingRequestId'] ?? object['preceding_request_id'] ?? {}
  const unreadable = counterFaultOf((before as Record<string, unknown>)['counter'])
  if (unreadable !== undefined) {
    const field = 'precedingRequestId.counter'
    return { code: 'REQUEST_ID_MALFORMED', detail: unreadable, field }
  }
  const field = timeFaultOf(object)
  if (field !== undefined)
    return { code: 'REQUEST_JSON_MALFORMED', detail: 'the time does not exist', field }
  const id = object['requestId'] ?? object['request_id']
  // An empty text is no counter, which the generated code does not know.
  const { counter, ...names } = (id ?? {}) as Record<string, unknown>
  const request = { ...object, requestId: counter === '' ? names : id }
  return asBuffer(ServiceRequest.encode(ServiceRequest.fromJSON(request)).finish())
}

// `originator:target:counter`, where each EUI-64 may itself have colons.
const eui64Text = '(?:[0-9A-Fa-f]{16}|(?:[0-9A-Fa-f]{2}[-:]){7}[0-9A-Fa-f]{2})'
const requestIdText = new RegExp(`^(${eui64Text}):(${eui64Text}):(\\d{1,20})$`)

/** The RequestId of a path; undefined when it has another form. */
export function requestIdOf(text: string): RequestId | undefined {
  const match = requestIdText.exec(text)
  if (!match) return undefined
  const counter = BigInt(match[3]!)
  if (counter > 0xffff_ffff_ffff_ffffn) return undefined
  return { originator: match[1]!, target: match[2]!, counter }
}

/** A GetRequestStatusRequest or CancelRequest, which have the same wire form. */
export function requestIdBytesOf(text: string): Buffer | undefined {
  const requestId = requestIdOf(text)
  return requestId && asBuffer(GetRequestStatusRequest.encode({ requestId }).finish())
}
