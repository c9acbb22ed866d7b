/**
 * gRPC statuses as HTTP/2 headers, and the one format of all of them: a status of grpc-js itself,
 * of the health service or of reflection gets a code of the error table and the details that our
 * own statuses have.
 */
import { status } from '@grpc/grpc-js'
import type { OutgoingHttpHeaders } from 'node:http2'
import type { ErrorCode } from '../../base/error-table.ts'
import { grpcRefusal, type GrpcRefusal } from './refusal.ts'

/**
 * What a library means by a status that has no code of ours. The others are ours from the start.
 */
const codeOfStatus: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [status.UNKNOWN, 'BROKER_GATEWAY_FAILED'],
  [status.INVALID_ARGUMENT, 'REQUEST_WIRE_MALFORMED'],
  [status.DEADLINE_EXCEEDED, 'CALL_DEADLINE_EXCEEDED'],
  [status.NOT_FOUND, 'CALL_NAME_UNKNOWN'],
  [status.RESOURCE_EXHAUSTED, 'REQUEST_SIZE_EXCEEDED'],
  [status.UNIMPLEMENTED, 'CALL_METHOD_UNKNOWN'],
  [status.INTERNAL, 'BROKER_GATEWAY_FAILED'],
])

/** Response headers that come before a status when nothing else has been sent. */
const responseHeaders = { ':status': 200, 'content-type': 'application/grpc+proto' } as const

const refusalHeaders = ({ code, details, metadata }: GrpcRefusal): OutgoingHttpHeaders => ({
  'grpc-status': code,
  'grpc-message': encodeURI(details.toWellFormed()),
  ...metadata.toHttp2Headers(),
})

/** The headers of a response that is a status and nothing else. */
export const refusalResponse = (refusal: GrpcRefusal): OutgoingHttpHeaders => ({
  ...responseHeaders,
  ...refusalHeaders(refusal),
})

/**
 * `headers` with a status in our format. Unchanged when they hold no status, the status is OK, or
 * it has a code already.
 *
 * @param isCompressed  the call has sent compressed octets: then INTERNAL means that they are
 * damaged
 */
export function withDetails(
  headers: OutgoingHttpHeaders,
  isCompressed: boolean,
): OutgoingHttpHeaders {
  const number = Number(headers['grpc-status'] ?? status.OK)
  if (number === status.OK || headers['busbar-code'] !== undefined) return headers
  const isDamaged = isCompressed && number === status.INTERNAL
  const code = isDamaged ? 'REQUEST_WIRE_MALFORMED' : codeOfStatus.get(number)
  if (code === undefined) return headers
  return { ...headers, ...refusalHeaders(grpcRefusal(code, textOf(headers['grpc-message']))) }
}

/** The library's own sentence, for the parentheses of ours. */
function textOf(header: OutgoingHttpHeaders[string]): string | undefined {
  if (typeof header !== 'string') return undefined
  try {
    return decodeURI(header)
  } catch {
    return undefined
  }
}
