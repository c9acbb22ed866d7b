/**
 * An operating fault with its row of the error table. Thrown for malformed input and broken edges; refusals and
 * "not yet" are returned values instead (a throw costs 5 µs, a value 10 ns).
 */
import { errorTable, explain, type ErrorCode, type ErrorRow } from './error-table.ts'

export class BrokerError extends Error {
  override name = 'BrokerError'
  readonly code: ErrorCode
  /** What exactly was wrong: an offset, a field, a limit. Never a key or a reading. */
  readonly detail: string | undefined

  constructor(code: ErrorCode, detail?: string, options?: { cause?: unknown }) {
    super(`${code}: ${explain(code, detail)}`, options)
    this.code = code
    this.detail = detail
  }

  get row(): ErrorRow {
    return errorTable[this.code]
  }
}
