/**
 * What the HTTP doors of parties take as the content of a request: JSON in UTF-8, without a content
 * coding. Anything else is rejected with 415 and the header that says what is taken [RFC 9110
 * 15.5.16; Linked Data Platform 7.1 for Accept-Post].
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ErrorCode } from '../base/error-table.ts'
import { parseJson, type JsonFault } from './json-body.ts'
import type { Violation } from './violation.ts'

export const jsonType = 'application/json'

/** Why a call is rejected before its handler runs. */
export class ContentFault extends Error {
  readonly statusCode: number
  readonly reason: ErrorCode
  readonly violations: readonly Violation[]
  readonly headers: Readonly<Record<string, string>>

  constructor(
    statusCode: number,
    reason: ErrorCode,
    detail: string,
    {
      violations = [],
      headers = {},
    }: { violations?: readonly Violation[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail)
    this.statusCode = statusCode
    this.reason = reason
    this.violations = violations
    this.headers = headers
  }
}

const typeFault = (detail: string): ContentFault =>
  new ContentFault(415, 'REQUEST_JSON_MALFORMED', detail, { headers: { 'accept-post': jsonType } })

/** The charset parameter of a media type, in lower case; undefined when it is absent. */
const charsetOf = (mediaType: string): string | undefined =>
  /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(mediaType)?.[1]?.toLowerCase()

/** gRPC rejects the same values with the same codes. */
function codeOf({ field, isOfValue }: JsonFault): ErrorCode {
  if (!isOfValue || field === undefined) return 'REQUEST_JSON_MALFORMED'
  if (/(^|\.)requestId\.\w+$/.test(field)) return 'REQUEST_ID_MALFORMED'
  return /(^|\.)displayMessage\.text$/.test(field)
    ? 'REQUEST_BODY_MALFORMED'
    : 'REQUEST_JSON_MALFORMED'
}

function jsonFault(fault: JsonFault): ContentFault {
  const { detail, field } = fault
  return new ContentFault(
    400,
    codeOf(fault),
    field === undefined ? detail : `${field}: ${detail}`,
    field === undefined ? {} : { violations: [{ field, description: detail }] },
  )
}

/**
 * Whether nobody looks at the content: a path is unknown whatever comes with it, and clients that name a content type
 * for every call name it for a DELETE without content, too.
 */
const isOfNoUse = ({ is404, method }: FastifyRequest, octets: Buffer): boolean =>
  is404 || (octets.length === 0 && method !== 'POST')

/** Makes `server` take JSON and nothing else; faults reach its error handler as ContentFault. */
export function takeJsonOnly(server: FastifyInstance): void {
  server.removeAllContentTypeParsers()
  server.addHook('onRequest', (request, _reply, done) => {
    const codings = (request.headers['content-encoding'] ?? '').split(',')
    const isPlain = codings.every((coding) => /^\s*(identity)?\s*$/i.test(coding))
    if (isPlain || request.is404) return done()
    done(
      new ContentFault(415, 'REQUEST_JSON_MALFORMED', 'the body must not be compressed', {
        headers: { 'accept-encoding': 'identity' },
      }),
    )
  })
  server.addContentTypeParser(
    jsonType,
    { parseAs: 'buffer' },
    (request, octets: Buffer, done: (error: Error | null, value?: unknown) => void) => {
      if (isOfNoUse(request, octets)) return done(null, undefined)
      const charset = charsetOf(request.headers['content-type'] ?? '')
      if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8')
        return done(typeFault('the body must be in UTF-8'))
      const parsed = parseJson(octets)
      if ('detail' in parsed) done(jsonFault(parsed))
      else done(null, parsed.value)
    },
  )
  server.addContentTypeParser('*', { parseAs: 'buffer' }, (request, octets: Buffer, done) => {
    if (isOfNoUse(request, octets)) return done(null, undefined)
    const type = request.headers['content-type']
    done(
      typeFault(
        type === undefined
          ? `the body needs the header content-type: ${jsonType}`
          : `the body must be ${jsonType}, not ${type.slice(0, 60)}`,
      ),
    )
  })
}
