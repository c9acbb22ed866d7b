/**
 * An operating fault with its row of the error table. Thrown for malformed input and broken edges;
 * refusals and "not yet" are returned values instead (a throw costs 5 µs, a value 10 ns).
 */
import { errorTable, explain, type ErrorCode, type ErrorRow } from './error-table.ts'

/** An invocation counter that was refused, and the lowest that would have been accepted. */
export type RefusedCounter = { counterReceived: number; counterExpected: number }

export class BrokerError extends Error {
  override name = 'BrokerError'
  readonly code: ErrorCode
  /** What exactly was wrong: an offset, a field, a limit. Never a key or a reading. */
  readonly detail: string | undefined
  /** With DLMS_COUNTER_REPLAYED. */
  readonly counter: RefusedCounter | undefined

  constructor(
    code: ErrorCode,
    detail?: string,
    options?: { cause?: unknown; counter?: RefusedCounter },
  ) {
    super(`${code}: ${explain(code, detail)}`, options)
    this.code = code
    this.detail = detail
    this.counter = options?.counter
  }

  get row(): ErrorRow {
    return errorTable[this.code]
  }
}
