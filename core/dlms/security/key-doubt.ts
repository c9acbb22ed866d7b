/**
 * What a wrong key looks like under encryption without authentication: no tag refuses the octets,
 * they just make no sense. Says so in the detail of the fault.
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { authenticatedEncrypted, Protection } from './suite.ts'

/** True for what was encrypted and not authenticated. */
export const isUnproved = (protection: number): boolean =>
  (protection & authenticatedEncrypted) === Protection.ENCRYPTED

export const keyProbablyWrong =
  'it was encrypted without authentication: the unicast key is probably wrong'

/** What octets that make no sense are refused with. */
const faultsOfGarbage: ReadonlySet<ErrorCode> = new Set([
  'DLMS_TAG_UNKNOWN',
  'DLMS_LENGTH_INVALID',
  'DLMS_VALUE_INVALID',
  'DLMS_SIZE_EXCEEDED',
  'DLMS_NESTING_EXCEEDED',
  'DLMS_SERVICE_UNEXPECTED',
  'DLMS_INVOKE_ID_WRONG',
])

/**
 * `error` with that detail, when what was received under `protection` may be garbage; else `error`
 * itself.
 */
export function withKeyDoubt(error: unknown, protection: number): unknown {
  if (!(error instanceof BrokerError) || !isUnproved(protection)) return error
  const { code, detail = '' } = error
  if (!faultsOfGarbage.has(code) || detail.includes(keyProbablyWrong)) return error
  return new BrokerError(code, `${detail}; ${keyProbablyWrong}`, { cause: error })
}
