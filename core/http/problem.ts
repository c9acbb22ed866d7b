/**
 * The one form of every error of an HTTP door: of a route, of the checks in front of the routes, of
 * the framework and of the HTTP parser. Text only: knows no sockets.
 *
 * Besides the members of the RFC: `code` and `responseCode` of the error table, `message` for
 * people (what happened and what to do), `violations` and `retryAfterMs`. Programs decide by
 * `code`.
 * @source RFC 9457 (problem details); the types are described at GET /problems/{code} of each door
 */
import { errorTable, explain, type ErrorCode, type GrpcStatus } from '../base/error-table.ts'
import { retryHintMs } from '../base/retry-hint.ts'
import { jsonName, type Violation } from '../base/violation.ts'
import { systemRandom } from '../ports/random.ts'

export const jsonType = 'application/json'
/** With the charset that clients of old look for. */
export const jsonContent = `${jsonType}; charset=utf-8`
export const problemType = 'application/problem+json'

/** Where a door describes its problems; `type` of each is a path below it. */
export const problemsPath = '/problems'

/** An answer as a whole; `body` is a problem where `status` is 400 or above, else JSON. */
export type HttpAnswer = {
  readonly status: number
  readonly body: string
  /** 0 for no hint. */
  readonly retryAfterSeconds: number
  readonly headers?: Readonly<Record<string, string>>
}

/** HTTP statuses of the error table's gRPC statuses. */
export const httpStatusOf: Readonly<Record<GrpcStatus, number>> = {
  OK: 200,
  INVALID_ARGUMENT: 400,
  OUT_OF_RANGE: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  ABORTED: 409,
  FAILED_PRECONDITION: 409,
  RESOURCE_EXHAUSTED: 429,
  INTERNAL: 500,
  UNIMPLEMENTED: 501,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
}

/** HTTP has statuses of its own for these, which gRPC lacks. */
const ownStatusOf: { readonly [code in ErrorCode]?: number } = {
  REQUEST_SIZE_EXCEEDED: 413,
  RESPONSE_NOT_KEPT: 410,
  REQUEST_METHOD_UNSUPPORTED: 405,
  REQUEST_HOST_UNKNOWN: 421,
  REQUEST_HEADERS_EXCEEDED: 431,
  REQUEST_TIMED_OUT: 408,
}

/** The HTTP status of a rejection with `code`. */
export const statusOf = (code: ErrorCode): number =>
  ownStatusOf[code] ?? httpStatusOf[errorTable[code].grpc]

const mark = systemRandom.bytes(10).toString('hex')
let occurrences = 0

/**
 * A URI for one occurrence of a problem, which no other occurrence has.
 * @source RFC 9562, version 8
 */
export function occurrenceUri(): string {
  occurrences = (occurrences + 1) % 0x1_0000_0000
  const count = occurrences.toString(16).padStart(8, '0')
  return `urn:uuid:${mark.slice(0, 8)}-${mark.slice(8, 12)}-8${mark.slice(12, 15)}-8${mark.slice(15, 18)}-0000${count}`
}

// What is the same for every problem of a code and a status is made once.
const heads = new Map<string, string>()

/** `"type":…,"title":…,"status":…` of a problem; `name` is its code, also one of a newer Busbar. */
export function problemHead(name: string, title: string, status: number): string {
  const key = `${name} ${status}`
  let head = heads.get(key)
  if (head === undefined) {
    head = `"type":"${problemsPath}/${name}","title":${JSON.stringify(title)},"status":${status}`
    heads.set(key, head)
  }
  return head
}

export type ProblemParts = {
  /** What exactly is wrong with this call. */
  readonly detail?: string | undefined
  /** Fields of the content, or parameters, that are at fault, by either of their names. */
  readonly violations?: readonly Violation[]
  /** Instead of the one of the code. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Further members of the problem. */
  readonly members?: Readonly<Record<string, unknown>>
}

/** Violations by the names of JSON, as a member that may be absent. */
export const violationsMember = (
  violations: readonly Violation[],
): { violations?: readonly Violation[] } =>
  violations.length === 0
    ? {}
    : { violations: violations.map((one) => ({ ...one, field: jsonName(one.field) })) }

/** The answer to a call that is rejected as a whole. */
export function problemOf(code: ErrorCode, parts: ProblemParts = {}): HttpAnswer {
  const { detail, violations = [], status = statusOf(code), headers, members } = parts
  const row = errorTable[code]
  const retryMs = retryHintMs(code)
  const own = {
    ...(detail !== undefined && { detail }),
    instance: occurrenceUri(),
    code,
    responseCode: row.duis,
    message: explain(code),
    ...violationsMember(violations),
    ...(retryMs > 0 && { retryAfterMs: retryMs }),
    ...members,
  }
  return {
    status,
    body: `{${problemHead(code, row.meaning, status)},${JSON.stringify(own).slice(1)}`,
    retryAfterSeconds: Math.ceil(retryMs / 1000),
    // A client that is not identified is to be told how it can be [RFC 9110 11.6.1].
    ...((headers !== undefined || status === 401) && {
      headers: { ...(status === 401 && { 'www-authenticate': challenge }), ...headers },
    }),
  }
}

const challenge = 'Busbar header="x-busbar-party"'

/** The description of a type of problem; undefined for a code that there is not. */
export function problemDescription(code: string): string | undefined {
  if (!Object.hasOwn(errorTable, code)) return undefined
  const { meaning, action, duis, fault, retry } = errorTable[code as ErrorCode]
  const status = statusOf(code as ErrorCode)
  return JSON.stringify({ code, title: meaning, action, status, responseCode: duis, fault, retry })
}

/** The headers of `answer`, its content type and length included, by names in lower case. */
export function headersOf({
  status,
  body,
  retryAfterSeconds,
  headers,
}: HttpAnswer): Record<string, string> {
  return {
    'content-type': status < 400 ? jsonContent : problemType,
    'content-length': String(Buffer.byteLength(body)),
    ...(retryAfterSeconds > 0 && { 'retry-after': String(retryAfterSeconds) }),
    ...headers,
  }
}

/**
 * Why a call is rejected before its route runs; thrown, or handed to the framework, as an error.
 */
export class CallFault extends Error {
  readonly code: ErrorCode
  readonly parts: ProblemParts

  constructor(code: ErrorCode, parts: ProblemParts = {}) {
    super(parts.detail ?? code)
    this.code = code
    this.parts = parts
  }
}
