/**
 * A row of the error table as a gRPC status: for whole calls that are refused. What concerns one
 * request of a stream or a batch is an Acknowledgement instead. Details: `CODE: sentence`;
 * trailers: busbar-code, busbar-response-code, retry-after-ms, and grpc-status-details-bin with
 * google.rpc.ErrorInfo, where waiting helps google.rpc.RetryInfo, and where fields of the message
 * are at fault google.rpc.BadRequest.
 */
import { BinaryWriter } from '@bufbuild/protobuf/wire'
import { Metadata, status, type StatusObject } from '@grpc/grpc-js'
import { limits } from '../../base/limits.ts'
import { asBuffer } from '../../base/bytes.ts'
import { errorTable, explain, type ErrorCode } from '../../base/error-table.ts'
import { retryHintMs } from '../../base/retry-hint.ts'
import type { Violation } from '../../base/violation.ts'

export type GrpcRefusal = { code: StatusObject['code']; details: string; metadata: Metadata }

const any = (writer: BinaryWriter, typeName: string, value: Uint8Array): void => {
  writer
    .uint32(26)
    .fork()
    .uint32(10)
    .string(`type.googleapis.com/${typeName}`)
    .uint32(18)
    .bytes(value)
    .join()
}

/**
 * google.rpc.Status with its details. @source googleapis google/rpc/status.proto,
 * error_details.proto
 */
function statusDetails(
  grpcCode: number,
  message: string,
  code: ErrorCode,
  hintMs: number,
  violations: readonly Violation[],
): Buffer {
  const writer = new BinaryWriter().uint32(8).int32(grpcCode).uint32(18).string(message)
  any(
    writer,
    'google.rpc.ErrorInfo',
    new BinaryWriter().uint32(10).string(code).uint32(18).string('busbar').finish(),
  )
  if (hintMs > 0) {
    const delay = new BinaryWriter().uint32(10).fork()
    delay.uint32(8).int64(Math.floor(hintMs / 1000))
    delay.uint32(16).int32((hintMs % 1000) * 1_000_000)
    any(writer, 'google.rpc.RetryInfo', delay.join().finish())
  }
  if (violations.length > 0) {
    const list = new BinaryWriter()
    for (const { field, description } of violations.slice(0, limits.grpcViolationsMax)) {
      list.uint32(10).fork().uint32(10).string(field)
      list.uint32(18).string(description).join()
    }
    any(writer, 'google.rpc.BadRequest', list.finish())
  }
  return asBuffer(writer.finish())
}

/** Codes that concern one field always. */
const fieldOfCode: { readonly [code in ErrorCode]?: string } = {
  DELIVERY_CREDIT_INVALID: 'open_receiver.credit',
  DELIVERY_ACKNOWLEDGEMENT_INVALID: 'acknowledge.delivery_id',
}

function ownViolations(code: ErrorCode, detail: string | undefined): Violation[] {
  const field = fieldOfCode[code]
  return field === undefined ? [] : [{ field, description: detail ?? errorTable[code].meaning }]
}

/** The status of a call that ends with `code`, and the fields of its message that are at fault. */
export function grpcRefusal(
  code: ErrorCode,
  detail?: string,
  violations: readonly Violation[] = ownViolations(code, detail),
): GrpcRefusal {
  const row = errorTable[code]
  const hintMs = retryHintMs(code)
  const metadata = new Metadata()
  metadata.set('busbar-code', code)
  metadata.set('busbar-response-code', row.duis)
  if (hintMs > 0) metadata.set('retry-after-ms', String(hintMs))
  const details = `${code}: ${explain(code, detail?.slice(0, limits.grpcDetailCharactersMax))}`
  metadata.set(
    'grpc-status-details-bin',
    statusDetails(status[row.grpc], details, code, hintMs, violations),
  )
  return { code: status[row.grpc], details, metadata }
}
