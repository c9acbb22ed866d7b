/**
 * Why an attempt at a request failed, as facts and the device's state keep it for operators; and
 * its octets. Never a key, a secret or a reading.
 *
 *   code u16 | counter received + 1 u40 | counter expected + 1 u40 | detail, UTF-8       0: absent
 */
import { errorCodeOf, errorId } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import type { ExchangeCause } from '../../core/ports/wan.ts'

export type FailureCause = ExchangeCause

/**
 * The last failure of a device, which no success has followed. `isTold`: a request has ended with
 * it, so that operators were told.
 */
export type DeviceFault = FailureCause & { time: number; isTold: boolean }

const answered: ReadonlySet<number> = new Set([errorId('OK'), errorId('DEVICE_REFUSED')])

/**
 * The fault of a device after a fact of one of its requests; undefined when the device has done
 * what was asked.
 */
export function faultAfter(
  before: DeviceFault | undefined,
  fact: { time: number; outcome: number; cause?: FailureCause | undefined },
  isEnd: boolean,
): DeviceFault | undefined {
  const { cause, time, outcome } = fact
  if (cause === undefined) return answered.has(outcome) ? undefined : before
  const isKnown = before?.code === cause.code && before.isTold
  return { ...cause, time, isTold: isEnd || isKnown }
}

const headBytes = 12

/** Owned. The detail is cut at `causeDetailBytesMax`. */
export function encodeCause(cause: FailureCause): Buffer {
  const { code, detail, counterReceived = -1, counterExpected = -1 } = cause
  const text = shortened(detail)
  const body = Buffer.allocUnsafe(headBytes + text.length)
  body.writeUInt16BE(errorId(code), 0)
  body.writeUIntBE(counterReceived + 1, 2, 5)
  body.writeUIntBE(counterExpected + 1, 7, 5)
  text.copy(body, headBytes)
  return body
}

/** Whole characters of `detail`, as UTF-8. */
function shortened(detail: string): Buffer {
  const text = Buffer.from(detail)
  let end = Math.min(text.length, limits.causeDetailBytesMax)
  while (end < text.length && end > 0 && (text[end]! & 0xc0) === 0x80) end--
  return text.subarray(0, end)
}

/**
 * The cause in `view`, or undefined when it is too short for one. A code of a newer Busbar is told
 * by its number.
 */
export function decodeCause(view: Buffer): FailureCause | undefined {
  if (view.length < headBytes) return undefined
  const id = view.readUInt16BE(0)
  const code = errorCodeOf(id)
  const detail = view.toString('utf8', headBytes)
  const counterReceived = view.readUIntBE(2, 5) - 1
  const counterExpected = view.readUIntBE(7, 5) - 1
  return {
    code: code ?? 'DEVICE_ANSWER_INVALID',
    detail: code === undefined ? `outcome ${id} of a newer Busbar; ${detail}` : detail,
    ...(counterReceived >= 0 && { counterReceived }),
    ...(counterExpected >= 0 && { counterExpected }),
  }
}

/** One line for people: code, detail, and the counters where they are known. */
export function textOfCause({ code, detail, ...counters }: FailureCause): string {
  const counted = textOfCounters(counters)
  return `${code}${detail === '' ? '' : `: ${detail}`}${counted === '' ? '' : ` (${counted})`}`
}

function textOfCounters({
  counterReceived,
  counterExpected,
}: Omit<FailureCause, 'code' | 'detail'>): string {
  return [
    counterReceived !== undefined && `counter received ${counterReceived}`,
    counterExpected !== undefined && `counter expected ${counterExpected}`,
  ]
    .filter((part) => part !== false)
    .join(', ')
}
