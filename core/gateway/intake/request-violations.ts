/**
 * Which fields make a request malformed, found again in its bytes after it was rejected: the way in
 * keeps a code alone, so that a good request costs nothing here.
 */
import { emptyBytes } from '../../base/bytes.ts'
import { GetRequestStatusRequest } from '../../../proto/gen/busbar/v1/input_gateway.ts'
import {
  DisplayMessage,
  ReadPeriod,
  RequestId,
  ServiceRequest,
  SynchroniseClock,
} from '../../../proto/gen/busbar/v1/service_request.ts'
import {
  CreateSchedule,
  DeleteSchedules,
  ReadSchedules,
} from '../../../proto/gen/busbar/v1/schedule.ts'
import { errorTable, type ErrorCode } from '../../base/error-table.ts'
import { parseEui64 } from '../../base/eui64.ts'
import { limits } from '../../base/limits.ts'
import { parseSrv } from '../../base/srv.ts'
import { serviceRequestOf } from '../../catalogue/service-requests.ts'
import { BodyType } from '../../translate/body-types.ts'
import { ProtobufReader, WireType } from '../../translate/protobuf.ts'
import { readTimestamp } from '../../translate/timestamp.ts'
import { protoName, type Violation } from '../../base/violation.ts'

const fieldNames: Readonly<Record<number, string>> = {
  1: 'request_id',
  3: 'deadline',
  12: 'execution_time',
  11: 'preceding_request_id',
  [BodyType.DISPLAY_MESSAGE]: 'display_message',
  [BodyType.READ_PERIOD]: 'read_period',
  [BodyType.SYNCHRONISE_CLOCK]: 'synchronise_clock',
  [BodyType.CREATE_SCHEDULE]: 'create_schedule',
  [BodyType.READ_SCHEDULES]: 'read_schedules',
  [BodyType.DELETE_SCHEDULES]: 'delete_schedules',
}
const bodies: Readonly<Record<number, { decode(octets: Uint8Array): unknown }>> = {
  1: RequestId,
  11: RequestId,
  [BodyType.DISPLAY_MESSAGE]: DisplayMessage,
  [BodyType.READ_PERIOD]: ReadPeriod,
  [BodyType.SYNCHRONISE_CLOCK]: SynchroniseClock,
  [BodyType.CREATE_SCHEDULE]: CreateSchedule,
  [BodyType.READ_SCHEDULES]: ReadSchedules,
  [BodyType.DELETE_SCHEDULES]: DeleteSchedules,
}

/** Whether field `number` with the content `octets` can be read. */
function isReadable(number: number, octets: Buffer): boolean {
  if (number === 3 || number === 12) return readTimestamp(octets, 0, octets.length) !== undefined
  try {
    bodies[number]?.decode(octets)
    return true
  } catch {
    return false
  }
}

/**
 * The first field of the message in `view` that is not what its number says; none when the message
 * itself is broken.
 */
function wireViolations(view: Buffer): Violation[] {
  const reader = new ProtobufReader(emptyBytes).open(view, 0, view.length)
  while (reader.nextField()) {
    const { field: number, wireType } = reader
    if (wireType !== WireType.LENGTH) {
      reader.skip()
      continue
    }
    const to = reader.readLength()
    if (reader.isBroken) break
    const field = fieldNames[number]
    if (field !== undefined && !isReadable(number, view.subarray(reader.at, to)))
      return [{ field, description: 'is not encoded as in the published proto files' }]
    reader.at = to
  }
  return []
}

function precedingViolations(id: RequestId | undefined): Violation[] {
  if (id === undefined) return []
  return idViolations(id, false).map(({ field, description }) => ({
    field: field.replace('request_id', 'preceding_request_id'),
    description,
  }))
}

function idViolations(id: RequestId | undefined, assignCounter: boolean): Violation[] {
  if (id === undefined) return [{ field: 'request_id', description: 'is missing' }]
  const found: Violation[] = []
  for (const name of ['originator', 'target'] as const) {
    if (parseEui64(id[name]) !== undefined) continue
    const description =
      id[name] === '' ? 'is missing' : 'is not an EUI-64: sixteen hexadecimal digits'
    found.push({ field: `request_id.${name}`, description })
  }
  if ((id.counter === 0n) !== assignCounter)
    found.push({
      field: 'request_id.counter',
      description: assignCounter
        ? 'is given, and the gateway is asked to assign another one'
        : 'is missing or 0',
    })
  return found
}

function mismatchViolations({ serviceReferenceVariant, body }: ServiceRequest): Violation[] {
  const wanted = serviceRequestOf(parseSrv(serviceReferenceVariant))?.bodyType ?? 0
  if (body !== undefined)
    return [
      {
        field: protoName(body.$case),
        description: `${serviceReferenceVariant} takes ${wanted === 0 ? 'no body' : 'another body'}`,
      },
    ]
  const field = fieldNames[wanted]
  return field === undefined
    ? []
    : [{ field, description: `is missing: ${serviceReferenceVariant} requires it` }]
}

function bodyViolations({ body }: ServiceRequest): Violation[] {
  if (body?.$case === 'displayMessage')
    return [
      { field: 'display_message.text', description: 'must have 1 to 116 characters of UTF-8' },
    ]
  if (body?.$case === 'synchroniseClock')
    return [{ field: 'synchronise_clock.tolerance_seconds', description: 'must be 0 to 86,400' }]
  if (body?.$case !== 'readPeriod') return []
  const missing = (['startTime', 'endTime'] as const).filter((name) => !body.value[name])
  if (missing.length === 0)
    return [{ field: 'read_period', description: 'has a time that does not exist' }]
  return missing.map((name) => ({
    field: `read_period.${protoName(name)}`,
    description: 'is missing',
  }))
}

/** Fields of rejections that concern one field always. */
const fieldOfCode: { readonly [code in ErrorCode]?: string } = {
  REQUEST_COUNTER_TOO_HIGH: 'request_id.counter',
  REQUEST_COMMAND_VARIANT_UNFIT: 'command_variant',
  EXECUTION_TIME_PAST: 'execution_time',
  EXECUTION_TIME_FAR: 'execution_time',
  EXECUTION_TIME_UNFIT: 'execution_time',
  FUTURE_REQUEST_NOT_FOUND: 'execution_time',
  REQUEST_DEADLINE_PAST: 'deadline',
  REQUEST_DOOR_UNFIT: 'command_variant',
  REQUEST_LOCAL_DELIVERY_UNAVAILABLE: 'command_variant',
  REQUEST_SIGNATURE_MISSING: 'signature',
  REQUEST_SIGNATURE_MALFORMED: 'signature',
  REQUEST_SIGNATURE_INVALID: 'signature.value',
  REQUEST_SIGNER_UNKNOWN: 'signature.certificate',
  REQUEST_SIGNER_MISMATCH: 'signature.certificate',
  REQUEST_SIGNER_EXPIRED: 'signature.certificate',
  REQUEST_SIGNER_REVOKED: 'signature.certificate',
  REQUEST_SIGNER_UNTRUSTED: 'signature.certificate',
  SCHEDULE_VARIANT_UNFIT: 'create_schedule.service_reference_variant',
  SCHEDULE_START_UNFIT: 'create_schedule.start_date',
  SCHEDULE_END_UNFIT: 'create_schedule.end_date',
  SCHEDULE_WINDOW_BACKWARDS: 'create_schedule.log_window',
  SCHEDULE_BODY_UNFIT: 'create_schedule.log_window',
  SCHEDULE_MALFORMED: 'create_schedule',
  REQUEST_RANGE_BACKWARDS: 'read_period.end_time',
  REQUEST_RANGE_EXCEEDED: 'read_period',
}

function violationsOf(code: ErrorCode, request: ServiceRequest): Violation[] {
  if (code === 'REQUEST_ID_MALFORMED')
    return [
      ...idViolations(request.requestId, request.assignCounter),
      ...precedingViolations(request.precedingRequestId),
    ]
  if (code === 'REQUEST_BODY_MISMATCH') return mismatchViolations(request)
  if (code === 'REQUEST_BODY_MALFORMED') return bodyViolations(request)
  if (code === 'REQUEST_SRV_UNKNOWN') {
    const description =
      request.serviceReferenceVariant === '' ? 'is missing' : 'is not in the catalogue'
    return [{ field: 'service_reference_variant', description }]
  }
  const field = fieldOfCode[code]
  return field === undefined ? [] : [{ field, description: errorTable[code].meaning }]
}

/** True when all of `view` can be decoded; intake stops at the first fault, of whatever kind. */
export function isServiceRequest(view: Buffer): boolean {
  try {
    ServiceRequest.decode(view)
    return true
  } catch {
    return false
  }
}

/**
 * Why the ServiceRequest with the wire bytes `view` was rejected with `code`; empty when no field
 * is at fault.
 */
export function requestViolations(code: ErrorCode, view: Buffer): Violation[] {
  try {
    return code === 'REQUEST_WIRE_MALFORMED'
      ? wireViolations(view)
      : violationsOf(code, ServiceRequest.decode(view))
  } catch {
    return []
  }
}

/**
 * The same for the messages that hold a RequestID in field 1: GetRequestStatusRequest,
 * CancelRequest, GetResponseRequest.
 */
export function requestIdViolations(code: ErrorCode, view: Buffer): Violation[] {
  try {
    if (code === 'REQUEST_WIRE_MALFORMED') return wireViolations(view)
    if (code !== 'REQUEST_ID_MALFORMED') return []
    return idViolations(GetRequestStatusRequest.decode(view).requestId, false)
  } catch {
    return []
  }
}

/** `violations` with their fields inside of the field `prefix`. */
export const within = (prefix: string, violations: readonly Violation[]): Violation[] =>
  violations.map(({ field, description }) => ({ field: `${prefix}.${field}`, description }))

/** The violation of a batch, or a message of a stream, that has more requests than it may. */
export const tooMany = (code: ErrorCode): Violation[] =>
  code === 'REQUEST_SIZE_EXCEEDED'
    ? [{ field: 'requests', description: `has more than ${limits.requestsPerBatchMax} requests` }]
    : []
