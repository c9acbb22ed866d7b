/**
 * Acknowledgements, rejections and deliveries as JSON text: proto3 JSON of busbar.v1, and problems
 * (core/http/problem.ts) for what went wrong.
 */
import { Delivery } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import { Unit, type ServiceResponse } from '../../../proto/gen/busbar/v1/service_response.ts'
import { errorCodeOf, errorTable, explain, type ErrorCode } from '../../base/error-table.ts'
import { formatEui64 } from '../../base/eui64.ts'
import { boundsText, explainBounds, readCounterBounds } from '../../envelope/counter-bounds.ts'
import { readCorrelation, readDeadline, readOutcome, readTime } from '../../envelope/envelope.ts'
import { offsetOf } from '../../envelope/layout.ts'
import {
  httpStatusOf,
  occurrenceUri,
  problemHead,
  problemOf,
  statusOf,
  violationsMember,
  type HttpAnswer,
} from '../../http/problem.ts'
import { isNamed } from '../intake/answer.ts'
import type { Violation } from '../../base/violation.ts'

// Outcome parts are the same for every request with that outcome: made once.
const outcomeTexts = new Map<
  number,
  { status: number; isGood: boolean; asAcknowledgement: string; head: string; asError: string }
>()

function outcomeTextsOf(outcome: number): {
  status: number
  isGood: boolean
  asAcknowledgement: string
  head: string
  asError: string
} {
  let texts = outcomeTexts.get(outcome)
  if (texts) return texts
  const code = errorCodeOf(outcome)
  const row = code && errorTable[code]
  const responseCode = JSON.stringify(row?.duis ?? 'E51')
  const name = code ?? `OUTCOME_${outcome}`
  const reason = JSON.stringify(name)
  const status = code ? statusOf(code) : httpStatusOf.INTERNAL
  const sentence = JSON.stringify(code ? explain(code) : 'This outcome is of a newer Busbar.')
  texts = {
    status,
    isGood: row?.grpc === 'OK',
    asAcknowledgement: `"responseCode":${responseCode},"reason":${reason},"message":${sentence}`,
    head: problemHead(name, row?.meaning ?? 'This outcome is of a newer Busbar.', status),
    asError: `"code":${reason},"responseCode":${responseCode},"message":${sentence}`,
  }
  outcomeTexts.set(outcome, texts)
  return texts
}

/** What a refusal because of the counter says besides, as members of the JSON object; else nothing. */
function boundsJson(buffer: Buffer, at: number): string {
  const bounds = readCounterBounds(buffer, at)
  if (bounds === undefined) return ''
  return `,"highestCounter":"${bounds.highest}","counterFloor":"${bounds.floor}"`
}

function correlationJson(buffer: Buffer, at: number): string {
  const correlation = readCorrelation(buffer, at)
  return correlation === 0 ? '' : `,"correlation":${correlation}`
}

const textsWith = (code: ErrorCode, message: string): { asAcknowledgement: string } => ({
  asAcknowledgement: `"responseCode":"${errorTable[code].duis}","reason":"${code}","message":${JSON.stringify(message)}`,
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
  const rest = `${retry}${boundsJson(buffer, at)}${correlationJson(buffer, at)}`
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
  const id = isNamed(buffer, at) ? `,"requestId":${requestIdText(buffer, at)}` : ''
  const retryMs = waitOf(buffer, at)
  const retry = retryMs > 0 ? `,"retryAfterMs":${retryMs}` : ''
  const bounds = readCounterBounds(buffer, at)
  const detail = bounds === undefined ? '' : `"detail":${JSON.stringify(boundsText(bounds))},`
  const code = errorCodeOf(outcome)
  const { violations } = violationsMember(code === undefined ? [] : violationsOf(code))
  const fields = violations === undefined ? '' : `,"violations":${JSON.stringify(violations)}`
  return {
    status: texts.status,
    body: `{${texts.head},${detail}"instance":"${occurrenceUri()}",${texts.asError}${fields}${id}${retry}${boundsJson(buffer, at)}${correlationJson(buffer, at)}}`,
    retryAfterSeconds: Math.ceil(retryMs / 1000),
  }
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
