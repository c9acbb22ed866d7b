/**
 * What JSON a party may send, as JSON schemas that fastify compiles: the proto3 JSON mapping of
 * busbar.v1, strictly. Names in lowerCamelCase or as in the proto; null is absent; unknown names
 * are refused, because a misspelt deadline must not be ignored.
 */
import { ScheduleFrequency } from '../../../proto/gen/busbar/v1/schedule.ts'
import { limits } from '../../base/limits.ts'

type Schema = { readonly [key: string]: unknown }

const snake = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const message = (fields: Readonly<Record<string, Schema>>): Schema => ({
  type: 'object',
  nullable: true,
  additionalProperties: false,
  properties: Object.fromEntries(
    Object.entries(fields).flatMap(([name, schema]) => [
      [name, schema],
      [snake(name), schema],
    ]),
  ),
})

const text = (charactersMax: number): Schema => ({
  type: 'string',
  nullable: true,
  maxLength: charactersMax,
})
const timestamp: Schema = {
  type: 'string',
  nullable: true,
  maxLength: 40,
  pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,9})?(Z|[+-]\\d\\d:\\d\\d)$',
}
const uint32: Schema = { type: 'integer', nullable: true, minimum: 0, maximum: 0xffff_ffff }

const requestId = message({
  originator: text(40),
  target: text(40),
  // Looked at by `counterFaultOf`, which says what is wrong with it.
  counter: {
    description: 'A uint64: decimal text, or a whole number below 2^53',
    examples: ['1795000000000000000'],
  },
})

const priorities = [
  'PRIORITY_UNSPECIFIED',
  'PRIORITY_URGENT',
  'PRIORITY_NORMAL',
  'PRIORITY_BULK',
  0,
  1,
  2,
  3,
  null,
]

const frequencies = [
  ...Object.keys(ScheduleFrequency),
  ...Object.values(ScheduleFrequency).filter((number) => number >= 0),
  null,
]
const scheduleNumber: Schema = {
  anyOf: [
    { type: 'integer', nullable: true, minimum: 0, maximum: limits.scheduleIdMax },
    { type: 'string', pattern: String.raw`^\d{1,13}$` },
  ],
}

/** The names of the body oneof, both spellings: at most one of them may stand in a request. */
export const bodyNames = [
  'displayMessage',
  'display_message',
  'readPeriod',
  'read_period',
  'synchroniseClock',
  'synchronise_clock',
  'createSchedule',
  'create_schedule',
  'readSchedules',
  'read_schedules',
  'deleteSchedules',
  'delete_schedules',
] as const

const serviceRequest = message({
  requestId,
  serviceReferenceVariant: text(20),
  deadline: timestamp,
  priority: { enum: priorities },
  assignCounter: { type: 'boolean', nullable: true },
  correlation: uint32,
  commandVariant: uint32,
  firstInSequence: { type: 'boolean', nullable: true },
  precedingRequestId: requestId,
  executionTime: timestamp,
  // Whether it is one is for intake: it is rejected alike at every door.
  signature: message({
    certificate: text(1_000),
    value: { ...text(1_000), pattern: '^[A-Za-z0-9+/_-]*={0,2}$' },
  }),
  displayMessage: message({ text: text(1_000) }),
  readPeriod: message({ startTime: timestamp, endTime: timestamp }),
  synchroniseClock: message({ toleranceSeconds: uint32 }),
  createSchedule: message({
    frequency: { enum: frequencies },
    startDate: text(10),
    endDate: text(10),
    startTime: text(8),
    spreadMinutes: uint32,
    timeZone: text(limits.zoneNameCharactersMax),
    serviceReferenceVariant: text(20),
    logWindow: message({
      startDaysBefore: uint32,
      startTime: text(8),
      endDaysBefore: uint32,
      endTime: text(8),
    }),
  }),
  readSchedules: message({ scheduleId: scheduleNumber }),
  deleteSchedules: message({ scheduleId: scheduleNumber }),
})

/**
 * What is wrong with a uint64 in JSON that a sentence calls `noun`; undefined for one of at most 64
 * bits, and for none. Decimal text, or a number where a double is exact.
 */
function uint64FaultOf(value: unknown, noun: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined
  const isNegative = typeof value === 'string' ? /^-\d+$/.test(value) : Number(value) < 0
  if (isNegative) return `the ${noun} is negative`
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return undefined
    return Number.isInteger(value)
      ? `a ${noun} above 2^53 is rounded as a JSON number: send it as text, in quotation marks`
      : `the ${noun} is not a whole number`
  }
  if (typeof value !== 'string') return `the ${noun} is neither text nor a whole number`
  if (!/^\d{1,20}$/.test(value)) return `the ${noun} is not a whole number in decimal digits`
  return BigInt(value) > 0xffff_ffff_ffff_ffffn ? `the ${noun} is above 64 bits` : undefined
}

/**
 * What is wrong with the counter of a RequestID in JSON, as a sentence; undefined for one above 0
 * of at most 64 bits, and for none.
 */
export const counterFaultOf = (counter: unknown): string | undefined =>
  uint64FaultOf(counter, 'counter')

/**
 * What is wrong with the delivery id of an acknowledgement in JSON, as a sentence; undefined for
 * any number in decimal digits: whether it was sent is for the deliveries.
 */
export function deliveryIdFaultOf(id: unknown): string | undefined {
  if (id === undefined || id === null || id === '') return 'the delivery id is missing'
  return typeof id === 'string' && /^\d{1,20}$/.test(id)
    ? undefined
    : uint64FaultOf(id, 'delivery id')
}

/** POST /v1/service-requests: one ServiceRequest, or a SubmitBatchRequest. */
export const submissionSchema: Schema = {
  type: 'object',
  if: { required: ['requests'] },
  // oxlint-disable-next-line unicorn/no-thenable -- the word is JSON Schema's
  then: {
    type: 'object',
    additionalProperties: false,
    properties: { requests: { type: 'array', items: { ...serviceRequest, nullable: false } } },
  },
  else: { ...serviceRequest, nullable: false },
}

const deliveryId: Schema = {
  description: 'A uint64: decimal text, or a whole number below 2^53',
  examples: ['4097'],
}

/** POST /v1/deliveries/acknowledgements: AcknowledgeDeliveries. */
export const deliveryAcknowledgementSchema: Schema = {
  type: 'object',
  additionalProperties: false,
  // Looked at by `deliveryIdFaultOf`, which says what is wrong with it.
  properties: { deliveryId, delivery_id: deliveryId },
}

/** GET /v1/deliveries */
export const pollSchema: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    max: { type: 'string', pattern: '^\\d{1,6}$' },
    waitMs: { type: 'string', pattern: '^\\d{1,6}$' },
    onlyIfFree: { type: 'string', enum: ['true', 'false'] },
  },
}

/** GET /v1/service-requests/{id}/response */
export const responseQuerySchema: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: { waitMs: { type: 'string', pattern: '^\\d{1,6}$' } },
}
