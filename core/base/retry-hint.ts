/** How long a caller waits before it repeats a rejected call: one answer for all doors. Pure. */
import { errorTable, type ErrorCode } from './error-table.ts'
import { limits } from './limits.ts'

/** The wait in ms that a rejection with `code` asks for; 0 when a repeat does not help. */
export function retryHintMs(code: ErrorCode): number {
  const row = errorTable[code]
  if (row.retry !== 'later') return 0
  return row.grpc === 'RESOURCE_EXHAUSTED' ? limits.busyRetryMs : limits.unavailableRetryMs
}
