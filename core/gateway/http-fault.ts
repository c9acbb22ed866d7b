/** Calls over HTTP that are malformed, as answers: what is wrong, and which field it is. */
import type { FastifyError } from 'fastify'
import type { ErrorCode } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import { httpRefusal, type HttpAnswer } from './http-answer.ts'
import { ContentFault, jsonType } from './http-content.ts'
import type { Malformed } from './http-request.ts'
import type { Violation } from './violation.ts'

function codeOf(error: FastifyError): ErrorCode {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'REQUEST_SIZE_EXCEEDED'
  if (error.code === 'FST_ERR_BAD_URL' || error.code === 'FST_ERR_MAX_PARAM_LENGTH')
    return 'REQUEST_PATH_UNKNOWN'
  return (error.statusCode ?? 500) < 500 ? 'REQUEST_JSON_MALFORMED' : 'BROKER_GATEWAY_FAILED'
}

/** `/requests/2/requestId` and the name `counter`, as `requests[2].requestId.counter`. */
function fieldAt(pointer: string, name: unknown): string {
  const names = pointer.split('/').slice(1)
  if (typeof name === 'string') names.push(name.slice(0, 60))
  return names.reduce((path, step) => {
    if (/^\d+$/.test(step) && path !== '') return `${path}[${step}]`
    return path === '' ? step : `${path}.${step}`
  }, '')
}

/** What the schema found. */
function schemaAnswer({ validation, message }: FastifyError): HttpAnswer {
  const first = validation?.[0]
  const unknown = first?.params['additionalProperty']
  const detail =
    typeof unknown === 'string' ? `${message}: ${JSON.stringify(unknown.slice(0, 60))}` : message
  const field = fieldAt(first?.instancePath ?? '', unknown ?? first?.params['missingProperty'])
  const description = typeof unknown === 'string' ? 'is unknown' : (first?.message ?? message)
  const violations: Violation[] = field === '' ? [] : [{ field, description }]
  return httpRefusal('REQUEST_JSON_MALFORMED', detail, violations)
}

/** The answer to a call that failed with `error` before its handler ran, or in it. */
export function faultAnswer(error: FastifyError | ContentFault): HttpAnswer {
  if (error instanceof ContentFault) {
    const { reason, message, violations, statusCode: status, headers } = error
    return { ...httpRefusal(reason, message, violations), status, headers }
  }
  if (error.validation) return schemaAnswer(error)
  const code = codeOf(error)
  const answer = httpRefusal(code, code === 'BROKER_GATEWAY_FAILED' ? undefined : error.message)
  const status = error.statusCode ?? answer.status
  return { ...answer, status, ...(status === 415 && { headers: { 'accept-post': jsonType } }) }
}

/** A request in JSON that has no form in protobuf; `index` is its place in a list. */
export function malformedAnswer({ code, detail, field }: Malformed, index?: number): HttpAnswer {
  const [place, prefix] =
    index === undefined ? ['', ''] : [`requests/${index}: `, `requests[${index}].`]
  return httpRefusal(code, place + detail, [{ field: prefix + field, description: detail }])
}

/** A path that does not have a RequestID where one belongs. */
export const pathIdAnswer = (detail: string): HttpAnswer =>
  httpRefusal('REQUEST_ID_MALFORMED', detail, [{ field: 'id', description: detail }])

/** A list of more requests than one call may have. */
export const tooManyAnswer = (count: number): HttpAnswer =>
  httpRefusal('REQUEST_SIZE_EXCEEDED', `${count} requests`, [
    { field: 'requests', description: `has more than ${limits.requestsPerBatchMax} requests` },
  ])
