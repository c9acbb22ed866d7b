/**
 * What is wrong with the head of a call, before any route or content is looked at: target, version,
 * headers, Host and origin. Pure: the head comes as node:http read it.
 * @source RFC 9110 7.2, 10.1.1; RFC 9112 3.2, 6.1
 */
import type { IncomingHttpHeaders } from 'node:http'
import { limits } from '../base/limits.ts'
import { CallFault } from './problem.ts'
import type { Site } from './site.ts'

export type CallHead = {
  readonly method: string
  /** The target as it was sent. */
  readonly target: string
  readonly version: string
  /** Names and values by turns, as they were sent. */
  readonly rawHeaders: readonly string[]
  /** The same by names in lower case, the first where one stands twice. */
  readonly headers: Readonly<IncomingHttpHeaders>
}

/** What the routes need of a head that is in order. */
export type CheckedHead = {
  /** Path and query, beginning with /; `*` for OPTIONS of the server as a whole. */
  readonly path: string
  /** The origin of another site that the operator allows to call. */
  readonly foreignOrigin: string | undefined
  readonly expectsContinue: boolean
}

/** Headers that mean nothing when they stand twice: which of them counts can only be guessed. */
const singleHeaders = [
  'host',
  'content-type',
  'content-length',
  'x-busbar-party',
  'origin',
  'content-encoding',
  'transfer-encoding',
  'expect',
  'sec-fetch-site',
] as const
type SingleHeader = (typeof singleHeaders)[number]

const malformed = (detail: string): CallFault => new CallFault('REQUEST_HTTP_MALFORMED', { detail })

/**
 * Place in `singleHeaders` by the name as it is written, -1 for others; callers use few spellings.
 */
const placeOf = new Map<string, number>()

function placeIn(name: string): number {
  const known = placeOf.get(name)
  if (known !== undefined) return known
  const place = singleHeaders.indexOf(name.toLowerCase() as SingleHeader)
  if (placeOf.size < limits.httpHeaderSpellingsMax) placeOf.set(name, place)
  return place
}

/** What is wrong with the headers as a whole. */
function headersFault(raw: readonly string[]): CallFault | undefined {
  if (raw.length > 2 * limits.httpHeadersMax)
    return new CallFault('REQUEST_HEADERS_EXCEEDED', { detail: `${raw.length / 2} headers` })
  let seen = 0
  for (let at = 0; at < raw.length; at += 2) {
    const place = placeIn(raw[at]!)
    if (place < 0) continue
    if ((seen & (1 << place)) !== 0)
      return malformed(`the header ${singleHeaders[place]} is there twice`)
    seen |= 1 << place
  }
  return undefined
}

/** Path and authority of a target; an authority only in its absolute form. */
function readTarget({
  method,
  target,
}: CallHead): { path: string; authority?: string } | CallFault {
  if (target.length > limits.httpTargetBytesMax)
    return new CallFault('REQUEST_HEADERS_EXCEEDED', {
      status: 414,
      detail: 'the path is too long',
    })
  if (target.startsWith('/')) return { path: target }
  if (target === '*' && method === 'OPTIONS') return { path: target }
  const [, authority, path] = /^https?:\/\/([^/?#]*)([^#]*)$/i.exec(target) ?? []
  if (authority === undefined) return malformed('the target is not a path')
  return { path: path!.startsWith('/') ? path! : `/${path}`, authority }
}

/** What is wrong with the parameters of a query: one that is there twice, or is not encoded. */
function queryFault(path: string): CallFault | undefined {
  const from = path.indexOf('?')
  if (from < 0) return undefined
  const names = new Set<string>()
  for (const part of path.slice(from + 1).split('&')) {
    if (part === '') continue
    let name: string
    try {
      name = decodeURIComponent(part.replace(/=.*$/s, '').replaceAll('+', ' '))
      decodeURIComponent(part)
    } catch {
      return malformed('the query is not percent-encoded UTF-8')
    }
    if (names.has(name)) {
      const field = name.slice(0, 60)
      return new CallFault('REQUEST_HTTP_MALFORMED', {
        detail: `the parameter ${JSON.stringify(field)} is there twice`,
        violations: [{ field, description: 'is there twice' }],
      })
    }
    names.add(name)
  }
  return undefined
}

function hostFault(
  authority: string | undefined,
  version: string,
  site: Site,
): CallFault | undefined {
  if (authority === undefined)
    // [RFC 9112 3.2] asks for it from HTTP/1.1 on; no browser sends anything older.
    return version === '1.0' ? undefined : malformed('the header host is missing')
  const fault = site.hostFault(authority)
  if (fault === undefined) return undefined
  if (fault === 'malformed') return malformed('the header host is not a host')
  return new CallFault('REQUEST_HOST_UNKNOWN', { detail: authority.slice(0, 100) })
}

/** What a head comes to, or why the call is rejected. */
export function checkHead(head: CallHead, site: Site): CheckedHead | CallFault {
  const twice = headersFault(head.rawHeaders)
  if (twice !== undefined) return twice
  const { headers } = head
  const hasCoding = headers['transfer-encoding'] !== undefined
  if (hasCoding && headers['content-length'] !== undefined)
    return malformed('content-length and transfer-encoding exclude each other')
  if (hasCoding && head.version === '1.0') return malformed('HTTP/1.0 has no transfer-encoding')
  const target = readTarget(head)
  if (target instanceof CallFault) return target
  // The authority of a target in absolute form counts, and Host is not looked at [RFC 9112 3.2.2].
  const { host, origin } = headers
  const authority = target.authority ?? host
  const fault =
    (host === undefined ? hostFault(undefined, head.version, site) : undefined) ??
    hostFault(authority, head.version, site)
  if (fault !== undefined) return fault
  if (!site.isWelcome(origin, headers['sec-fetch-site'] as string | undefined, authority))
    return new CallFault('REQUEST_ORIGIN_REFUSED', { detail: origin?.slice(0, 100) })
  const expectation = headers.expect
  const expectsContinue = expectation?.toLowerCase() === '100-continue'
  if (expectation !== undefined && !expectsContinue)
    return new CallFault('REQUEST_HTTP_MALFORMED', {
      status: 417,
      detail: `the expectation ${JSON.stringify(expectation.slice(0, 60))} is unknown`,
    })
  return (
    queryFault(target.path) ?? {
      path: target.path,
      foreignOrigin: origin !== undefined && site.isForeignOrigin(origin) ? origin : undefined,
      expectsContinue: expectsContinue && head.version !== '1.0',
    }
  )
}
