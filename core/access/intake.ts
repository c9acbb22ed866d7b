/**
 * Everything about a request that can be decided before its device is asked: whether the variant
 * exists, whose the request is, the checks of access control at the door, the deadline.
 * Station 2 of a message's way. Whether the device exists, fits, has room, has time or has seen the
 * RequestID is for the device's actor.
 */
import type { ErrorCode } from '../base/error-table.ts'
import type { Eui64 } from '../base/eui64.ts'
import { limits } from '../base/limits.ts'
import type { Srv } from '../base/srv.ts'
import { serviceRequestOf } from '../catalogue/service-requests.ts'
import { oneDoorOf, refusalAtDoor, type PartyStanding } from './access-control.ts'
import type { Party } from './parties.ts'

/** What intake looks at of a request on the wire; core/translate's RequestScan is one. */
export interface ScannedRequest {
  /** Eight octets. */
  readonly originator: Uint8Array
  readonly srv: Srv
  /** UTC ms, 0 for none. */
  readonly deadlineMs: number
  /** 0 to 9; 0 for none. */
  readonly commandVariant: number
}

function isSame(octets: Uint8Array, key: Eui64): boolean {
  for (let i = 0; i < 8; i++) if (octets[i] !== key.charCodeAt(i)) return false
  return true
}

/**
 * The refusal of a request, or undefined when it may go to its device. The order is that of
 * access-rules.json; the content of the request is checked next, by `checkBody` of core/translate.
 *
 * @param standing  why the party may have nothing done, or undefined
 * @param nowMs  UTC
 */
export function decideIntake(
  party: Party,
  standing: PartyStanding,
  scan: ScannedRequest,
  nowMs: number,
): ErrorCode | undefined {
  const row = serviceRequestOf(scan.srv)
  if (row === undefined) return 'REQUEST_SRV_UNKNOWN'
  if (!isOriginator(party, scan.originator)) return 'PARTY_ORIGINATOR_MISMATCH'
  const { commandVariant } = scan
  const door = oneDoorOf(row, commandVariant)
  const refusal = refusalAtDoor(row, party.role, standing, commandVariant, door)
  if (refusal !== undefined) return refusal
  const { deadlineMs } = scan
  // Whether it has passed is for the device, which knows whether this is a repeat: that one gets
  // its first acknowledgement.
  return deadlineMs > nowMs + limits.requestLifetimeMsMax ? 'REQUEST_DEADLINE_PAST' : undefined
}

/** True when a RequestID read from a Cancel or a status query is the party's own. */
export function isOriginator(party: Party, originator: Uint8Array): boolean {
  return isSame(originator, party.id)
}
