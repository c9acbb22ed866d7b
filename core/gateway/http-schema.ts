/**
 * What JSON a party may send, as JSON schemas that fastify compiles: the proto3 JSON mapping of
 * busbar.v1, strictly. Names in lowerCamelCase or as in the proto; null is absent; unknown names
 * are refused, because a misspelt deadline must not be ignored.
 */
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
/** As proto3 JSON has it: decimal text, or a number where a double is exact. */
const uint64: Schema = {
  type: ['string', 'integer'],
  pattern: '^\\d{1,20}$',
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
}
const uint32: Schema = { type: 'integer', nullable: true, minimum: 0, maximum: 0xffff_ffff }

const requestId = message({
  originator: text(40),
  target: text(40),
  // Looked at by `counterFaultOf`, which says what is wrong with it.
  counter: {},
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

/** The names of the body oneof, both spellings: at most one of them may stand in a request. */
export const bodyNames = [
  'displayMessage',
  'display_message',
  'readPeriod',
  'read_period',
  'synchroniseClock',
  'synchronise_clock',
] as const

const serviceRequest = message({
  requestId,
  serviceReferenceVariant: text(20),
  deadline: timestamp,
  priority: { enum: priorities },
  assignCounter: { type: 'boolean', nullable: true },
  correlation: uint32,
  displayMessage: message({ text: text(1_000) }),
  readPeriod: message({ startTime: timestamp, endTime: timestamp }),
  synchroniseClock: message({ toleranceSeconds: uint32 }),
})

/** What is wrong with the counter of a RequestID in JSON, as a sentence; undefined for one above 0 of at most 64 bits, and for none. */
export function counterFaultOf(counter: unknown): string | undefined {
  if (counter === undefined || counter === null || counter === '') return undefined
  if (typeof counter === 'number') {
    if (Number.isSafeInteger(counter)) return counter < 0 ? 'the counter is negative' : undefined
    return Number.isInteger(counter)
      ? 'a counter above 2^53 is rounded as a JSON number: send it as text, in quotation marks'
      : 'the counter is not a whole number'
  }
  if (typeof counter !== 'string') return 'the counter is neither text nor a whole number'
  if (/^-\d+$/.test(counter)) return 'the counter is negative'
  if (!/^\d{1,20}$/.test(counter)) return 'the counter is not a whole number in decimal digits'
  return BigInt(counter) > 0xffff_ffff_ffff_ffffn ? 'the counter is above 64 bits' : undefined
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

/** POST /v1/deliveries/acknowledgements: AcknowledgeDeliveries. */
export const deliveryAcknowledgementSchema: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: { deliveryId: uint64, delivery_id: uint64 },
  anyOf: [{ required: ['deliveryId'] }, { required: ['delivery_id'] }],
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
