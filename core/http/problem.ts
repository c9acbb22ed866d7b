/**
 * The one form of every error of an HTTP door: of a route, of the checks in front of the routes, of
 * the framework and of the HTTP parser. Text only: knows no sockets.
 *
 * Besides the members of the RFC: `code` and `responseCode` of the error table, `message` for
 * people (what happened and what to do), `violations` and `retryAfterMs`. Programs decide by
 * `code`.
 * @source RFC 9457 (problem details); the types are described at GET /problems/{code} of each door
 */
import { errorTable, explain, type ErrorCode } from '../base/error-table.ts'
import { httpStatusOf } from '../base/http-status.ts'
import { retryHintMs } from '../base/retry-hint.ts'
import { jsonName, type Violation } from '../base/violation.ts'
import { systemRandom } from '../ports/random.ts'

export const jsonType = 'application/json'
export const octetsType = 'application/octet-stream'
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

/**
 * What every problem of one name has in common: a code of the error table, or an outcome of a newer
 * Busbar.
 */
export type ProblemType = {
  readonly name: string
  readonly title: string
  readonly status: number
  readonly responseCode: string
  /** What happened and what to do, for people. */
  readonly message: string
}

const types = new Map<ErrorCode, ProblemType>()

/** The type of the problems with `code`; made once. */
export function problemTypeOf(code: ErrorCode): ProblemType {
  let type = types.get(code)
  if (type === undefined) {
    const { meaning: title, duis: responseCode } = errorTable[code]
    type = { name: code, title, status: httpStatusOf(code), responseCode, message: explain(code) }
    types.set(code, type)
  }
  return type
}

export type ProblemParts = {
  /** What exactly is wrong with this call. */
  readonly detail?: string | undefined
  /** Fields of the content, or parameters, that are at fault, by either of their names. */
  readonly violations?: readonly Violation[]
  /** Instead of the one of the code. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Before the call is repeated, ms; instead of the hint of the code. 0 for no hint. */
  readonly retryMs?: number
  /** Further members of the problem. */
  readonly members?: Readonly<Record<string, unknown>>
  /** The same as JSON text, each behind a comma. */
  readonly membersJson?: string
}

/** Violations by the names of JSON, as a member that may be absent. */
const violationsMember = (
  violations: readonly Violation[],
): { violations?: readonly Violation[] } =>
  violations.length === 0
    ? {}
    : { violations: violations.map((one) => ({ ...one, field: jsonName(one.field) })) }

/** The answer to a call that is rejected as a whole. */
export const problemOf = (code: ErrorCode, parts: ProblemParts = {}): HttpAnswer =>
  problemOfType(problemTypeOf(code), { retryMs: retryHintMs(code), ...parts })

/** The same for any type of problem. */
export function problemOfType(type: ProblemType, parts: ProblemParts): HttpAnswer {
  const { detail, violations = [], status = type.status, headers } = parts
  const { retryMs = 0, members, membersJson = '' } = parts
  const own = {
    type: `${problemsPath}/${type.name}`,
    title: type.title,
    status,
    ...(detail !== undefined && { detail }),
    instance: occurrenceUri(),
    code: type.name,
    responseCode: type.responseCode,
    message: type.message,
    ...violationsMember(violations),
    ...(retryMs > 0 && { retryAfterMs: retryMs }),
    ...members,
  }
  return {
    status,
    body: `${JSON.stringify(own).slice(0, -1)}${membersJson}}`,
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
  const status = httpStatusOf(code as ErrorCode)
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
