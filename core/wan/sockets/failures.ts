/** How an exchange fails, and under which code. */
import { BrokerError } from '../../base/broker-error.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import type { ExchangeFailure } from '../../ports/wan.ts'
import type { WanOptions } from './options.ts'

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

/** What a failure is told to: the pool of links. */
export type FailurePorts = {
  readonly options: Pick<WanOptions, 'log'>
  refusedFrame(code: ErrorCode): void
}

/** Nothing could be said to the device. */
export function cannotAsk(error: BrokerError, { options }: FailurePorts): ExchangeFailure {
  options.log.error({ code: error.code }, 'a device cannot be asked')
  return withCause(unreachable(textOf(error)), error)
}

/** How an exchange ends that has met `error`. */
export function failureOf(error: unknown, ports: FailurePorts): ExchangeFailure {
  if (isOurs(error)) return cannotAsk(error, ports)
  if (error instanceof BrokerError) {
    ports.refusedFrame(error.code)
    return answered(error)
  }
  // A bug of ours: it ends as a wrong answer, so that one device cannot stop the rest, and it is
  // logged.
  ports.options.log.error(
    { stack: error instanceof Error ? error.stack : String(error) },
    'fault in a WAN exchange',
  )
  return invalid(String(error))
}

/** The device has answered with what `error` says. */
export function answered(error: BrokerError): ExchangeFailure {
  const failure = error.code === 'DLMS_ASSOCIATION_REFUSED' ? refused : invalid
  return withCause(failure(textOf(error)), error)
}

const withCause = (
  failure: ExchangeFailure,
  { code, detail = '', counter }: BrokerError,
): ExchangeFailure => ({ ...failure, cause: { code, detail, ...counter } })

export function refused(detail: string): ExchangeFailure {
  return { ok: false, code: 'DEVICE_ASSOCIATION_REFUSED', detail }
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

/**
 * The failure of an exchange under keys, with what is likely behind it: most devices do not say
 * that a key or an invocation counter is the reason why they refuse, close or keep silent.
 */
export function withLikelyCause(
  failure: ExchangeFailure,
  { isServiceSent, isHeard }: { isServiceSent: boolean; isHeard: boolean },
): ExchangeFailure {
  if (isHeard || failure.code === 'DEVICE_UNREACHABLE') return failure
  const { cause = { code: failure.code, detail: failure.detail } } = failure
  const what =
    cause.code === 'DLMS_COUNTER_REPLAYED'
      ? 'its own invocation counter has gone back: it was restarted, or somebody replays its answers (`busbar keys accept-counter`)'
      : isServiceSent
        ? 'check keys and invocation counter'
        : 'at the association: check keys, client and invocation counter'
  return {
    ...failure,
    detail: `${failure.detail}; ${what}`,
    cause: { ...cause, detail: `${cause.detail}; ${what}` },
  }
}
