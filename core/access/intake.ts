/**
 * Everything about a request that can be decided before its device is asked: whose it is, whether
 * the variant exists and is served, whether the role may send it, whether its deadline is in order.
 * Station 2 of a message's way. Whether the device exists, fits, has room, has time or has seen the
 * RequestID is for the device's actor.
 */
import type { ErrorCode } from '../base/error-table.ts'
import type { Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import type { Srv } from '../base/srv.ts'
import { serviceRequestOf } from '../catalogue/service-requests.ts'
import type { Party } from './parties.ts'

/** What intake looks at of a request on the wire; core/translate's RequestScan is one. */
export interface ScannedRequest {
  /** Eight octets. */
  readonly originator: Uint8Array
  readonly srv: Srv
  /** UTC ms, 0 for none. */
  readonly deadlineMs: number
}

function isSame(octets: Uint8Array, key: Eui64): boolean {
  for (let i = 0; i < 8; i++) if (octets[i] !== key.charCodeAt(i)) return false
  return true
}

/**
 * The refusal of a request, or undefined when it may go to its device. The order is that of the GB
 * interface: sender, variant, role; its content is checked next, by `checkBody` of core/translate.
 *
 * @param nowMs  UTC
 */
export function decideIntake(
  party: Party,
  scan: ScannedRequest,
  nowMs: number,
): ErrorCode | undefined {
  if (!isOriginator(party, scan.originator)) return 'PARTY_ORIGINATOR_MISMATCH'
  const row = serviceRequestOf(scan.srv)
  if (row === undefined) return 'REQUEST_SRV_UNKNOWN'
  // What nobody can have is said before who may not: no party is sent to look for another role in
  // vain.
  if (!row.isServed) return 'REQUEST_SRV_UNSUPPORTED'
  if (!row.roles.includes(party.role)) return 'PARTY_ROLE_INELIGIBLE'
  const { deadlineMs } = scan
  // Whether it has passed is for the device, which knows whether this is a repeat: that one gets
  // its first acknowledgement.
  return deadlineMs > nowMs + limits.requestLifetimeMsMax ? 'REQUEST_DEADLINE_PAST' : undefined
}

/** True when a RequestID read from a Cancel or a status query is the party's own. */
export function isOriginator(party: Party, originator: Uint8Array): boolean {
  return isSame(originator, party.id)
}
