/**
 * How long a caller waits before it repeats a rejected call: one answer for all doors and hosts.
 * Pure.
 */
import { errorTable, type ErrorCode } from './error-table.ts'
import { limits } from './limits.ts'

/** Where what is short takes longer to come back than a place in a queue. */
const ownHints: { readonly [code in ErrorCode]?: number } = {
  BROKER_DISK_LOW: limits.diskRetryMs,
  BROKER_STORAGE_LOW: limits.diskRetryMs,
  LEDGER_READERS_BUSY: limits.explanationIntervalMs,
  BROKER_LOAD_SHED: limits.shedRetryMs,
  DEVICE_QUEUE_FULL: limits.deviceRetryAfterMs,
}

/** The wait in ms that a rejection with `code` asks for; 0 when a repeat does not help. */
export function retryHintMs(code: ErrorCode): number {
  const row = errorTable[code]
  if (row.retry !== 'later') return 0
  const own = ownHints[code]
  if (own !== undefined) return own
  return row.grpc === 'RESOURCE_EXHAUSTED' ? limits.busyRetryMs : limits.unavailableRetryMs
}
