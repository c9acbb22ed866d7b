/**
 * Acknowledgements, rejections and deliveries as JSON text: proto3 JSON of busbar.v1, and problems
 * (core/http/problem.ts) for what went wrong.
 */
import { Delivery } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { Unit, type ServiceResponse } from '../../../proto/gen/busbar/v1/service_response.ts'
import { errorCodeOf, errorTable, type ErrorCode } from '../../base/error-table.ts'
import { formatEui64 } from '../../base/eui64.ts'
import { httpStatusOfGrpc } from '../../base/http-status.ts'
import {
  boundsText,
  explainBounds,
  readCounterBounds,
  type CounterBoundsRead,
} from '../../envelope/counter-bounds.ts'
import { readCorrelation, readDeadline, readOutcome, readTime } from '../../envelope/envelope.ts'
import { offsetOf } from '../../envelope/layout.ts'
import {
  problemOf,
  problemOfType,
  problemTypeOf,
  type HttpAnswer,
  type ProblemType,
} from '../../http/problem.ts'
import { isNamed } from '../intake/answer.ts'
import type { Violation } from '../../base/violation.ts'

// What is the same for every request with one outcome is made once.
type OutcomeTexts = { isGood: boolean; asAcknowledgement: string; problem: ProblemType }
const outcomeTexts = new Map<number, OutcomeTexts>()

/** The type of the problem that an outcome of a newer Busbar is. */
const unknownOutcome = (outcome: number): ProblemType => {
  const sentence = 'This outcome is of a newer Busbar.'
  const name = `OUTCOME_${outcome}`
  const status = httpStatusOfGrpc.INTERNAL
  return { name, title: sentence, status, responseCode: 'E51', message: sentence }
}

function outcomeTextsOf(outcome: number): OutcomeTexts {
  let texts = outcomeTexts.get(outcome)
  if (texts) return texts
  const code = errorCodeOf(outcome)
  const problem = code ? problemTypeOf(code) : unknownOutcome(outcome)
  const { name, responseCode, message } = problem
  texts = {
    isGood: code !== undefined && errorTable[code].grpc === 'OK',
    asAcknowledgement: membersOf({ responseCode, reason: name, message }),
    problem,
  }
  outcomeTexts.set(outcome, texts)
  return texts
}

/** The members of an object as JSON, without its braces. */
const membersOf = (members: object): string => JSON.stringify(members).slice(1, -1)

/**
 * What a refusal because of the counter says besides, as members of the JSON object; else nothing.
 */
const boundsJson = (bounds: CounterBoundsRead | undefined): string =>
  bounds === undefined
    ? ''
    : `,"highestCounter":"${bounds.highest}","counterFloor":"${bounds.floor}"`

function correlationJson(buffer: Buffer, at: number): string {
  const correlation = readCorrelation(buffer, at)
  return correlation === 0 ? '' : `,"correlation":${correlation}`
}

const textsWith = (code: ErrorCode, message: string): { asAcknowledgement: string } => ({
  asAcknowledgement: membersOf({ responseCode: errorTable[code].duis, reason: code, message }),
})

const requestIdText = (buffer: Buffer, at: number): string =>
  `{"originator":"${formatEui64(buffer, at + offsetOf.originator)}",` +
  `"target":"${formatEui64(buffer, at + offsetOf.target)}",` +
  `"counter":"${buffer.readBigUInt64BE(at + offsetOf.counter)}"}`

/** The Acknowledgement of the envelope at `at` as proto3 JSON. */
export function acknowledgementJson(buffer: Buffer, at: number): string {
  const outcome = readOutcome(buffer, at)
  const bounds = readCounterBounds(buffer, at)
  const code = bounds && errorCodeOf(outcome)
  const { asAcknowledgement } =
    bounds && code ? textsWith(code, explainBounds(code, bounds)) : outcomeTextsOf(outcome)
  const id = isNamed(buffer, at) ? `"requestId":${requestIdText(buffer, at)},` : ''
  const timeMs = readTime(buffer, at)
  const retryMs = waitOf(buffer, at)
  const retry = retryMs > 0 ? `,"retryAfterMs":${retryMs}` : ''
  const rest = `${retry}${boundsJson(bounds)}${correlationJson(buffer, at)}`
  return `{${id}${asAcknowledgement},"time":"${new Date(timeMs).toISOString()}"${rest}}`
}

/**
 * One request's answer as a whole HTTP answer: its Acknowledgement, or a problem that names the
 * request. `violationsOf` says which fields of the request a rejection is about.
 */
export function httpAnswerOf(
  buffer: Buffer,
  at: number,
  goodStatus: number,
  violationsOf: (code: ErrorCode) => Violation[] = () => [],
): HttpAnswer {
  const outcome = readOutcome(buffer, at)
  const texts = outcomeTextsOf(outcome)
  if (texts.isGood)
    return { status: goodStatus, body: acknowledgementJson(buffer, at), retryAfterSeconds: 0 }
  const bounds = readCounterBounds(buffer, at)
  const code = errorCodeOf(outcome)
  const id = isNamed(buffer, at) ? `,"requestId":${requestIdText(buffer, at)}` : ''
  return problemOfType(texts.problem, {
    detail: bounds && boundsText(bounds),
    violations: code === undefined ? [] : violationsOf(code),
    retryMs: waitOf(buffer, at),
    membersJson: `${id}${boundsJson(bounds)}${correlationJson(buffer, at)}`,
  })
}

/**
 * A rejection of a whole call; `violations` are the fields of its content or parameters that are at
 * fault.
 */
export const httpRefusal = (
  code: ErrorCode,
  detail?: string,
  violations: readonly Violation[] = [],
): HttpAnswer => problemOf(code, { detail, violations })

/** "Not before this time again" as ms from the answer's own time; 0 for none. */
function waitOf(buffer: Buffer, at: number): number {
  const deadlineMs = readDeadline(buffer, at)
  return outcomeTextsOf(readOutcome(buffer, at)).isGood || deadlineMs === 0
    ? 0
    : Math.max(0, deadlineMs - readTime(buffer, at))
}

const unitNames = new Set<number>(Object.values(Unit))

/**
 * Units are an open set, which the generated code cannot name all of: the numbers of the unnamed
 * ones, as proto3 JSON has them.
 */
function withUnits(response: ServiceResponse): unknown {
  const { body } = response
  const bearers = [
    ...(body?.readings ?? []),
    ...(body?.profiles ?? []).flatMap((profile) => profile.columns),
  ]
  const numbers = bearers.map((bearer) => bearer.unit as number)
  for (const bearer of bearers) if (!unitNames.has(bearer.unit)) bearer.unit = Unit.UNIT_UNSPECIFIED
  return numbers
}

type JsonBearer = { unit?: string | number }
type JsonDelivery = {
  response?: { body?: { readings?: JsonBearer[]; profiles?: { columns?: JsonBearer[] }[] } }
}

/** A Delivery as proto3 JSON. `delivery` is changed. */
export function deliveryJson(delivery: Delivery): unknown {
  if (delivery.content?.$case !== 'response') return Delivery.toJSON(delivery)
  const numbers = withUnits(delivery.content.value) as number[]
  const json = Delivery.toJSON(delivery) as JsonDelivery
  const { readings = [], profiles = [] } = json.response?.body ?? {}
  const bearers = [...readings, ...profiles.flatMap((profile) => profile.columns ?? [])]
  bearers.forEach((bearer, i) => {
    if (!unitNames.has(numbers[i]!)) bearer.unit = numbers[i]!
  })
  return json
}
