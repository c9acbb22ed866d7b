/**
 * What a route threw, the checker of schemas found or the framework rejected, as a problem. The
 * text of an error that is not of the table stays in the log.
 */
import type { FastifyError } from 'fastify'
import { BrokerError } from '../base/broker-error.ts'
import type { ErrorCode } from '../base/error-table.ts'
import type { Violation } from '../base/violation.ts'
import { CallFault, problemOf, type HttpAnswer } from './problem.ts'

function codeOf(error: FastifyError): ErrorCode {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'REQUEST_SIZE_EXCEEDED'
  if (error.code === 'FST_ERR_BAD_URL' || error.code === 'FST_ERR_MAX_PARAM_LENGTH')
    return 'REQUEST_PATH_UNKNOWN'
  return (error.statusCode ?? 500) < 500 ? 'REQUEST_HTTP_MALFORMED' : 'BROKER_GATEWAY_FAILED'
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
  return problemOf('REQUEST_JSON_MALFORMED', { detail, violations })
}

/** The answer to a call that failed with `error` before its handler ran, or in it. */
export function faultAnswer(error: unknown): HttpAnswer {
  if (error instanceof CallFault) return problemOf(error.code, error.parts)
  if (error instanceof BrokerError) return problemOf(error.code, { detail: error.detail })
  if (!(error instanceof Error)) return problemOf('BROKER_GATEWAY_FAILED')
  const fault = error as FastifyError
  if (fault.validation) return schemaAnswer(fault)
  const code = codeOf(fault)
  if (code === 'BROKER_GATEWAY_FAILED') return problemOf(code)
  const { statusCode } = fault
  return problemOf(code, {
    detail: fault.message,
    ...(statusCode !== undefined && { status: statusCode }),
  })
}
