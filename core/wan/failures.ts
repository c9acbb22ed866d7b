/** How an exchange fails, and under which code. */
import { BrokerError } from '../base/broker-error.ts'
import type { ErrorCode } from '../base/error-table.ts'
import type { ExchangeFailure } from '../ports/wan.ts'

const oursBeforeAnything: ReadonlySet<ErrorCode> = new Set([
  'DEVICE_RECORD_MALFORMED',
  'DLMS_COUNTER_EXHAUSTED',
  'DLMS_KEY_UNKNOWN',
  'KEYS_ENCRYPTION_KEY_MISSING',
  'KEYS_SEALED_UNREADABLE',
])

/** True for a fault that keeps us from saying anything to the device. */
export const isOurs = (error: unknown): error is BrokerError =>
  error instanceof BrokerError && oursBeforeAnything.has(error.code)

export const textOf = ({ code, detail }: BrokerError): string =>
  detail ? `${code} ${detail}` : code

/** The device has answered with what `error` says. */
export function answered(error: BrokerError): ExchangeFailure {
  return error.code === 'DLMS_ASSOCIATION_REFUSED'
    ? { ok: false, code: 'DEVICE_ASSOCIATION_REFUSED', detail: textOf(error) }
    : invalid(textOf(error))
}

export function silent(detail: string): ExchangeFailure {
  return { ok: false, code: 'DEVICE_SILENT', detail }
}

export function unreachable(detail: string): ExchangeFailure {
  return { ok: false, code: 'DEVICE_UNREACHABLE', detail }
}

export function invalid(detail: string): ExchangeFailure {
  return { ok: false, code: 'DEVICE_ANSWER_INVALID', detail }
}
