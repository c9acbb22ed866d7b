/**
 * HTTP statuses of the error table: the one table from gRPC statuses, and codes for which HTTP has
 * a status of its own. Pure.
 */
import { errorTable, type ErrorCode, type GrpcStatus } from './error-table.ts'

export const httpStatusOfGrpc: Readonly<Record<GrpcStatus, number>> = {
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
export const httpStatusOf = (code: ErrorCode): number =>
  ownStatusOf[code] ?? httpStatusOfGrpc[errorTable[code].grpc]
