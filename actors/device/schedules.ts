/**
 * Schedules, as far as they are the device's: requests about them (5.1 to 5.3), their runs, and who
 * may have them. The schedules themselves stand in an actor of their own with the same octets
 * (actors/schedule), so that a device that is only waited for is not touched. Pure, a part of
 * actor.ts.
 *
 *   a request of a party ─▶ CREATE, READ, DELETE ─▶ schedules ─▶ ANSWER ─▶ its response
 *   RUN ─▶ accepted, as a request of the party ─▶ state.ts
 *      └─▶ refused: a DCC alert; the schedule goes on
 *   the right is lost ─▶ END ─▶ schedules
 */
import { refusalAtDevice } from '../../core/access/access-control.ts'
import { standingOf, type Directory } from '../../core/access/directory.ts'
import { actorIdOf, ActorKindNumber, kindOfActor, octetsOfActor } from '../../core/base/actor-id.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import { formatWithSchedules } from '../../core/cluster/format.ts'
import { serviceRequestOf } from '../../core/catalogue/service-requests.ts'
import {
  decodeLetter,
  encodeLetter,
  type EndedUse,
  type RemovalReason,
  type Run,
  type ToDevice,
  type ToSchedules,
  type Use,
} from '../../core/schedule/letters.ts'
import { BodyType, isOfSchedules } from '../../core/translate/body-types.ts'
import { failedRunBodyOf } from '../../core/translate/dcc-alert.ts'
import {
  scheduleNumberIn,
  schedulesBodyOf,
  scheduleSpecIn,
} from '../../core/translate/schedule-body.ts'
import type { LetterCame, Tell } from '../kind/letters.ts'
import type { DeviceOutbox } from './effects.ts'
import { end } from './ending.ts'
import { contentHashOfRun } from './facts.ts'
import { entitlementAt, grantedAs } from './grants.ts'
import { countFirst, hasRoom } from './holds.ts'
import { burnt } from './keys.ts'
import type { SchedulesKnown } from './schedule-facts.ts'
import { findOpen, type DeviceState, type OpenRequest } from './state.ts'
import { statusOf } from './status.ts'

/** True for a request that the schedules answer: it is not sent, and waits for their letter. */
export const isForSchedules = ({ bodyType }: Pick<OpenRequest, 'bodyType'>): boolean =>
  isOfSchedules(bodyType)

const tell = (device: Eui64, letter: ToSchedules): Tell => ({
  type: 'TELL',
  to: actorIdOf(ActorKindNumber.SCHEDULE, device),
  bodyBytes: encodeLetter(letter),
})

/**
 * Why a request about schedules is not accepted, beside what holds for every request; undefined
 * when it is, and for all others.
 */
export function refusalOfSchedule(
  state: DeviceState,
  {
    originator: party,
    bodyType,
    bodyBytes,
  }: Pick<OpenRequest, 'originator' | 'bodyType' | 'bodyBytes'>,
  now: number,
  directory: Directory,
): ErrorCode | undefined {
  if (!isOfSchedules(bodyType)) return undefined
  if (directory.format < formatWithSchedules) return 'FORMAT_NOT_RAISED'
  if (bodyType !== BodyType.CREATE_SCHEDULE) return undefined
  const spec = scheduleSpecIn(bodyBytes)
  if (typeof spec === 'string') return spec
  const row = serviceRequestOf(spec.srv)
  const role = directory.parties.get(party)?.role
  if (row === undefined || (role !== undefined && !row.roles.includes(role)))
    return 'PARTY_ROLE_INELIGIBLE'
  return refusalOfUse(state, { party, srv: spec.srv }, now, directory)
}

/** Why a party may not use the device so at present. */
function refusalOfUse(
  state: DeviceState,
  { party, srv }: Use,
  now: number,
  directory: Directory,
): ErrorCode | undefined {
  const row = serviceRequestOf(srv)
  if (state.record === undefined || row === undefined) return 'DEVICE_UNKNOWN'
  const entitlement = entitlementAt(state, { party, srv, directory, atMs: now })
  return refusalAtDevice(row, state.record.type, statusOf(state), entitlement)
}

/** Hands a request on to the schedules of `device`; beside the fact of its acceptance. */
export function tellSchedules(
  { originator: party, counter, bodyType, bodyBytes }: OpenRequest,
  device: Eui64,
  out: DeviceOutbox,
): void {
  const asked = { party, counter }
  if (bodyType === BodyType.CREATE_SCHEDULE) {
    const spec = scheduleSpecIn(bodyBytes)
    if (typeof spec !== 'string') out.effects.push(tell(device, { word: 'CREATE', ...asked, spec }))
    return
  }
  const id = scheduleNumberIn(bodyBytes)
  const word = bodyType === BodyType.READ_SCHEDULES ? 'READ' : 'DELETE'
  if (typeof id === 'number') out.effects.push(tell(device, { word, ...asked, id }))
}

/** A letter of the schedules of the device. */
export function decideFromSchedules(
  state: DeviceState,
  { from, bodyBytes }: LetterCame,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): void {
  if (kindOfActor(from) !== ActorKindNumber.SCHEDULE) return
  const device = octetsOfActor(from)
  const letter = decodeLetter(bodyBytes) as ToDevice
  if (letter.word === 'RUN') return decideRun(state, letter, { device, now, directory }, out)
  out.facts.push(knownOf(device, letter.uses, now))
  if (letter.word !== 'ANSWER') return
  const request = findOpen(state, letter.party, letter.counter)
  if (request === undefined) return
  const { outcome, schedules } = letter
  const isDone = outcome === errorId('OK')
  const body = isDone ? schedulesBodyOf(schedules) : undefined
  end(out, request, now, { outcome, ...(body && { body }), using: burnt(state.keyring) })
}

const knownOf = (device: Eui64, uses: readonly Use[], time: number): SchedulesKnown => ({
  type: 'SCHEDULES_KNOWN',
  time,
  device,
  uses,
})

type Where = { device: Eui64; now: number; directory: Directory }

/** A run is due: it is checked as a request of its party is, and accepted or refused. */
function decideRun(
  state: DeviceState,
  { party: originator, counter, srv, bodyType, bodyBytes, deadline }: Run,
  { device, now, directory }: Where,
  out: DeviceOutbox,
): void {
  const request: OpenRequest = {
    originator,
    counter,
    lane: Lane.BULK,
    srv,
    bodyType,
    contentHash: contentHashOfRun(srv, bodyType, bodyBytes),
    acceptedAt: now,
    deadline,
    attempt: 0,
    nextAttemptAt: 0,
    lastOutcome: 0,
    bodyBytes,
    run: { device },
  }
  const granted = grantedAs(state, request, directory, now)
  const refusal =
    standingOf(directory, originator) ??
    refusalOfUse(state, { party: originator, srv }, now, directory) ??
    (typeof granted === 'string' ? granted : undefined) ??
    (hasRoom(state) ? undefined : 'DEVICE_QUEUE_FULL')
  if (refusal === undefined && typeof granted !== 'string') {
    out.facts.push({ type: 'REQUEST_ACCEPTED', request }, ...granted)
    return countFirst(request, device, directory, now, out)
  }
  const outcome = errorId(refusal ?? 'DEVICE_UNKNOWN')
  out.facts.push({ type: 'SCHEDULED_RUN_REFUSED', originator, counter, time: now, srv, outcome })
  out.deliveries.push({
    party: originator,
    receivedAt: now,
    time: now,
    bodyBytes: failedRunBodyOf(request, device, outcome, now),
    isOfDcc: true,
  })
}

/** Tells the schedules who may not have them any more. True when there was any. */
export function endUses(
  state: DeviceState,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): boolean {
  const { schedules } = state
  if (schedules === undefined || schedules.uses.length === 0) return false
  const ended = schedules.uses.flatMap((use): EndedUse[] => {
    const reason = reasonOf(state, use, now, directory)
    return reason === undefined ? [] : [{ ...use, reason }]
  })
  if (ended.length === 0) return false
  const isEnded = (use: Use): boolean =>
    ended.some((one) => one.party === use.party && one.srv === use.srv)
  const left = schedules.uses.filter((use) => !isEnded(use))
  out.facts.push(knownOf(schedules.device, left, now))
  out.effects.push(tell(schedules.device, { word: 'END', uses: ended }))
  return true
}

/** Why a party may not have such schedules any more; undefined while it may. */
function reasonOf(
  state: DeviceState,
  use: Use,
  now: number,
  directory: Directory,
): RemovalReason | undefined {
  switch (refusalOfUse(state, use, now, directory)) {
    case 'PARTY_NOT_REGISTERED':
      return 'CHANGE_OF_SUPPLIER'
    case 'CONSENT_MISSING':
      return 'END_OF_CONSENT'
    case 'DEVICE_UNKNOWN':
      return 'DECOMMISSIONED'
    case 'DEVICE_STATUS_UNFIT': {
      const status = statusOf(state)
      if (status === 'Suspended') return 'SUSPENDED'
      return status === 'Withdrawn' ? 'WITHDRAWN' : 'DECOMMISSIONED'
    }
    default:
      return undefined
  }
}

/** Applies SCHEDULES_KNOWN. */
export function evolveKnown(state: DeviceState, { device, uses }: SchedulesKnown): void {
  state.schedules = uses.length === 0 ? undefined : { device, uses }
}
