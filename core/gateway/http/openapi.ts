/**
 * The HTTP doors of parties as an OpenAPI 3.1 document, made from the routes as they are registered
 * and from the very schemas that check what comes in. A new route says with it what it
 * answers.
 * @source OpenAPI 3.1.1; JSON Schema 2020-12
 */
import type { FastifyInstance, RouteOptions } from 'fastify'
import { partyHeader } from '../../access/identity.ts'
import { errorTable, type ErrorCode } from '../../base/error-table.ts'
import { httpStatusOf } from '../../base/http-status.ts'
import { jsonType, problemType } from '../../http/problem.ts'
import { messageSchemas, type Schema } from './message-schemas.ts'

/** What a route answers, and what it is for. */
export type Operation = {
  readonly id: string
  readonly summary: string
  readonly status: number
  readonly answer: Schema
  /** By status, when a call may be answered in more than one form. */
  readonly otherAnswers?: Readonly<Record<number, Schema>>
  /** With which codes it refuses besides those of the party's header. */
  readonly codes: readonly ErrorCode[]
  /** Descriptions of path and query parameters. */
  readonly parameters?: Readonly<Record<string, string>>
  /** Anybody may call it: no party is named. */
  readonly isOpen?: true
}

declare module 'fastify' {
  interface FastifyContextConfig {
    operation?: Operation
  }
}

const partyCodes: readonly ErrorCode[] = [
  'PARTY_HEADER_MISSING',
  'PARTY_HEADER_MALFORMED',
  'PARTY_HEADER_MISMATCH',
  'PARTY_CERTIFICATE_MISSING',
  'PARTY_CERTIFICATE_INVALID',
  'PARTY_CERTIFICATE_UNTRUSTED',
  'PARTY_CERTIFICATE_EXPIRED',
  'PARTY_CERTIFICATE_NOT_YET_VALID',
  'PARTY_CERTIFICATE_REVOKED',
  'PARTY_CERTIFICATE_UNPINNED',
  'PARTY_CERTIFICATE_ROLE_MISMATCH',
  'PARTY_REVOCATION_UNKNOWN',
  'PARTY_UNKNOWN',
  'PARTY_SUSPENDED',
]
/** Any call may end with these. */
const ownCodes: readonly ErrorCode[] = [
  'REQUEST_HTTP_MALFORMED',
  'REQUEST_ORIGIN_REFUSED',
  'REQUEST_HOST_UNKNOWN',
  'REQUEST_HEADERS_EXCEEDED',
  'REQUEST_TIMED_OUT',
  'BROKER_GATEWAY_BUSY',
  'CONNECTIONS_EXCEEDED',
  'BROKER_GATEWAY_FAILED',
]

const content = (schema: Schema): Schema => ({ [jsonType]: { schema } })
const problemContent: Schema = {
  [problemType]: { schema: { $ref: '#/components/schemas/Problem' } },
}
const header = (description: string, schema: Schema): Schema => ({ description, schema })

const problemSchema: Schema = {
  type: 'object',
  description:
    'Why a call was rejected [RFC 9457]. Programs decide by `code`; the texts are for people.',
  required: ['type', 'title', 'status', 'instance', 'code', 'responseCode', 'message'],
  properties: {
    type: {
      type: 'string',
      format: 'uri-reference',
      description: 'Where this door describes the kind of problem.',
      examples: ['/problems/REQUEST_ID_MALFORMED'],
    },
    title: { type: 'string' },
    status: { type: 'integer', minimum: 400, maximum: 599 },
    instance: {
      type: 'string',
      format: 'uri',
      description: 'This one occurrence; for status 500 it stands in the log of the broker.',
    },
    code: { type: 'string', examples: ['REQUEST_ID_MALFORMED'] },
    responseCode: { type: 'string', pattern: '^[IE]\\d+$' },
    message: { type: 'string' },
    detail: { type: 'string' },
    violations: {
      type: 'array',
      description: 'Fields, parameters or places of the content that are at fault.',
      items: {
        type: 'object',
        required: ['field', 'description'],
        properties: {
          field: { type: 'string', examples: ['requests[2].requestId.counter'] },
          description: { type: 'string' },
        },
      },
    },
    retryAfterMs: { type: 'integer', minimum: 1 },
    requestId: { $ref: '#/components/schemas/RequestId' },
    highestCounter: { type: 'string', pattern: '^\\d{1,20}$' },
    counterFloor: { type: 'string', pattern: '^\\d{1,20}$' },
    correlation: { type: 'integer', minimum: 1, maximum: 2 ** 32 - 1 },
  },
}

/** `nullable` is a word of OpenAPI 3.0 and of the checker; in JSON Schema it is one more type. */
function withoutNullable(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutNullable)
  if (typeof schema !== 'object' || schema === null) return schema
  const { nullable, type, ...others } = schema as Record<string, unknown>
  const rest = Object.entries(others).map(([key, value]) => [key, withoutNullable(value)])
  if (type !== undefined) rest.unshift(['type', nullable === true ? [type, 'null'] : type])
  return Object.fromEntries(rest)
}

function answersOf({ status, answer, otherAnswers, summary }: Operation): Record<string, Schema> {
  const all = Object.entries({ ...otherAnswers, [status]: answer })
  return Object.fromEntries(
    all.map(([code, schema]) => [code, { description: summary, content: content(schema) }]),
  )
}

function refusals(operation: Operation, hasBody: boolean): Record<string, Schema> {
  const codes = [
    ...new Set([...(operation.isOpen ? [] : partyCodes), ...operation.codes, ...ownCodes]),
  ]
  const byStatus = Map.groupBy(codes, httpStatusOf)
  const answers: Record<string, Schema> = {}
  for (const [status, list] of [...byStatus].sort(([a], [b]) => a - b)) {
    const mayRetry = list.some((code) => errorTable[code].retry === 'later')
    answers[status] = {
      description: list.map((code) => `${code}: ${errorTable[code].meaning}`).join('\n\n'),
      ...(mayRetry && { headers: { 'Retry-After': { $ref: '#/components/headers/Retry-After' } } }),
      content: problemContent,
    }
  }
  if (hasBody)
    answers[415] = {
      description: `REQUEST_JSON_MALFORMED: the content is not ${jsonType} in UTF-8, or is compressed.`,
      headers: {
        'Accept-Post': header('The content type that is taken.', { type: 'string' }),
        'Accept-Encoding': header('The content codings that are taken.', { type: 'string' }),
      },
      content: problemContent,
    }
  return answers
}

function parametersOf(
  url: string,
  query: Schema | undefined,
  texts: Record<string, string>,
): Schema[] {
  const path = [...url.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    description: texts[name!],
    schema: { type: 'string' },
  }))
  const properties = (query?.['properties'] ?? {}) as Record<string, Schema>
  const inQuery = Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: false,
    description: texts[name],
    schema: withoutNullable(schema),
  }))
  return [...path, ...inQuery]
}

function operationOf({ url, schema, config }: RouteOptions): Schema {
  const operation = config?.operation
  if (operation === undefined) throw new TypeError(`${url} does not say what it answers`)
  const body = schema?.body as Schema | undefined
  const query = schema?.querystring as Schema | undefined
  const parameters = parametersOf(url, query, { ...operation.parameters })
  return {
    operationId: operation.id,
    summary: operation.summary,
    ...(operation.isOpen && { security: [] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: { required: true, content: content(withoutNullable(body) as Schema) },
    }),
    responses: {
      ...answersOf(operation),
      ...refusals(operation, body !== undefined),
    },
  }
}

const description =
  'Busbar carries service requests of parties to smart meters and their responses back. Messages are the proto3 JSON form of busbar.v1; ' +
  'core/docs/parties describes acknowledgements, repeats and deliveries. Names are accepted in lowerCamelCase and as in the proto files.'

function documentOf(routes: readonly RouteOptions[]): Schema {
  const paths: Record<string, Record<string, Schema>> = {}
  for (const route of routes) {
    const path = (paths[route.url.replace(/:(\w+)/g, '{$1}')] ??= {})
    for (const method of [route.method].flat()) path[method.toLowerCase()] = operationOf(route)
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Busbar',
      version: 'v1',
      description,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ certificate: [] }, { party: [] }],
    paths,
    components: {
      securitySchemes: {
        certificate: {
          type: 'mutualTLS',
          description: 'The certificate of the connection names the calling party.',
        },
        party: {
          type: 'apiKey',
          in: 'header',
          name: partyHeader,
          description:
            'At doors without TLS, EUI-64 of the calling party: sixteen hexadecimal digits, bare or with - or : between octets.',
        },
      },
      headers: {
        'Retry-After': header('Seconds to wait before the call is repeated.', {
          type: 'integer',
          minimum: 1,
        }),
      },
      schemas: {
        ...messageSchemas([
          'Acknowledgement',
          'SubmitBatchResponse',
          'GetRequestStatusResponse',
          'ReceiveResponse',
          'GetResponseResponse',
        ]),
        Problem: problemSchema,
      },
    },
  }
}

/** GET /problems/{code} */
export const describeProblem: Operation = {
  id: 'describeProblem',
  summary: 'What a kind of problem means, and what to do about it.',
  status: 200,
  answer: {
    type: 'object',
    required: ['code', 'title', 'action', 'status', 'responseCode', 'fault', 'retry'],
    properties: {
      code: { type: 'string' },
      title: { type: 'string' },
      action: { type: 'string' },
      status: { type: 'integer' },
      responseCode: { type: 'string' },
      fault: { type: 'string', description: 'Who must act.' },
      retry: { enum: ['never', 'later', 'now'] },
    },
  },
  codes: ['REQUEST_PATH_UNKNOWN'],
  parameters: { code: 'The `code` of a problem' },
  isOpen: true,
}

/**
 * Serves the document of all routes of `server` at GET /openapi.json. Call before the first route
 * is added; a route without an `operation` in its config keeps the server from starting.
 */
export function serveOpenApi(server: FastifyInstance): void {
  const routes: RouteOptions[] = []
  let text: string | undefined
  // HEAD is GET without its content [RFC 9110 9.3.2].
  server.addHook('onRoute', (route) => void (route.method !== 'HEAD' && routes.push(route)))
  server.addHook('onReady', (done) => {
    text = JSON.stringify(documentOf(routes))
    done()
  })
  const operation: Operation = {
    id: 'getOpenApi',
    summary: 'This document.',
    status: 200,
    answer: { type: 'object' },
    codes: [],
    isOpen: true,
  }
  server.get(
    '/openapi.json',
    { exposeHeadRoute: true, config: { operation } },
    (_request, reply) => {
      reply.header('content-type', `${jsonType}; charset=utf-8`).send(text)
    },
  )
}
