/**
 * The meter points of a device, and what follows from them: who may use it. Pure, a part of
 * actor.ts.
 *
 *   registered with meter points ── LINK, a letter ──▶ meter point
 *   not known yet ◀── no answer yet        known ◀── RIGHTS, a letter ── meter point
 *
 * Each link has a number that rises; rights of an earlier number, or of a version that is not above
 * the known one, say nothing. So order, repeats and gaps of letters do no harm.
 */
import { isOfSchedules } from '../../core/translate/body-types.ts'
import { refusalAtDevice } from '../../core/access/access-control.ts'
import type { Directory } from '../../core/access/directory.ts'
import { actorIdOf, ActorKindNumber, kindOfActor, octetsOfActor } from '../../core/base/actor-id.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { serviceRequestOf, type ServiceRequestRow } from '../../core/catalogue/service-requests.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { encodeLink } from '../../core/registration/link-letter.ts'
import type { MeterPointId } from '../../core/registration/meter-point.ts'
import { encodeRightsReport, type ReportedLink } from '../../core/registration/rights-report.ts'
import { decodeRights } from '../../core/registration/rights.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import type { LetterCame, Tell } from '../kind/letters.ts'
import type { Arrived } from '../kind/messages.ts'
import type { DeviceOutbox } from './effects.ts'
import { end } from './ending.ts'
import { cutOf, entitlementAt, isConsentGone, type Use } from './grants.ts'
import { burnt } from './keys.ts'
import type { LinksFact, NumberedPoint } from './links-facts.ts'
import { statusOf } from './status.ts'
import type { DeviceState, OpenRequest } from './state.ts'

const tellOf = (point: MeterPointId, link: number, isLinked: boolean): Tell => ({
  type: 'TELL',
  to: actorIdOf(ActorKindNumber.METER_POINT, point),
  bodyBytes: encodeLink({ point, link, isLinked }),
})

/** The device is registered with these meter points. */
export function decideLinks(
  state: DeviceState,
  points: readonly MeterPointId[],
  now: number,
  out: DeviceOutbox,
): void {
  const { links = [], last = 0 } = state.linked ?? {}
  const isSame =
    points.length === links.length && links.every(({ point }) => points.includes(point))
  if (isSame) return
  let next = last
  const numbered = points.map(
    (point) => links.find((one) => one.point === point) ?? { point, link: ++next },
  )
  const wanted = numbered.map(({ point, link }) => ({ point, link }))
  out.facts.push({ type: 'DEVICE_LINKED', time: now, points: wanted })
  for (const { point, link } of wanted) if (link > last) out.effects.push(tellOf(point, link, true))
  for (const { point, link } of links)
    if (!points.includes(point)) out.effects.push(tellOf(point, link, false))
}

/** The device goes: its meter points are told. Beside the fact of that. */
export function tellGone({ linked }: DeviceState, out: DeviceOutbox): void {
  for (const { point, link } of linked?.links ?? []) out.effects.push(tellOf(point, link, false))
}

/** Answers an envelope RIGHTS_QUERY. */
export function decideRightsQuery(
  state: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  if (state.record === undefined) return refuse(out, message, 'DEVICE_UNKNOWN', now)
  const { links = [], grants = [] } = state.linked ?? {}
  const bodyBytes = encodeRightsReport({
    links,
    grants,
    status: statusOf(state),
    type: state.record.type,
  })
  out.effects.push({ type: 'REPORT', kind: Kind.RIGHTS, replyTo: message.replyTo, bodyBytes })
}

/** An envelope RIGHTS_REFRESH: asks every meter point again, under new numbers. */
export function decideRefresh(
  { record, linked }: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  if (record === undefined) return refuse(out, message, 'DEVICE_UNKNOWN', now)
  if (linked !== undefined && linked.links.length > 0) {
    const points = linked.links.map(({ point }, index) => ({
      point,
      link: linked.last + index + 1,
    }))
    out.facts.push({ type: 'DEVICE_LINKED', time: now, points })
    for (const { point, link } of points) out.effects.push(tellOf(point, link, true))
  }
  acknowledge(out, message, errorId('REQUEST_ACCEPTED'), now)
}

/** A meter point has answered, or has changed. */
export function decideRights(
  { linked }: DeviceState,
  { from, bodyBytes }: LetterCame,
  now: number,
  out: DeviceOutbox,
): void {
  if (kindOfActor(from) !== ActorKindNumber.METER_POINT) return
  const rights = decodeRights(bodyBytes)
  const point = octetsOfActor(from) as MeterPointId
  const known = linked?.links.find((one) => one.point === point && one.link === rights.link)
  if (known === undefined || rights.version <= (known.rights?.version ?? 0)) return
  out.facts.push({ type: 'RIGHTS_RECEIVED', time: now, point, rights })
}

/**
 * Ends the requests that may not be carried out any more: of parties that have lost their
 * registration or consent, and those that the status of the device does not allow. What is on its
 * way may end by itself; its outcome goes to its sender. True when any has ended.
 */
export function endUnentitled(
  state: DeviceState,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): boolean {
  const { linked, status, record } = state
  const isOpenToAll = linked === undefined && !directory.needsMeterPoints
  if ((isOpenToAll && status === undefined) || record === undefined) return false
  let hasEnded = false
  for (const request of state.open) {
    const row = serviceRequestOf(request.srv)
    if (request === state.sent || row === undefined || isOfSchedules(request.bodyType)) continue
    const refusal = refusalNow(state, request, row, now, directory)
    if (refusal === undefined) continue
    end(out, request, now, { outcome: errorId(refusal), using: burnt(state.keyring) })
    hasEnded = true
  }
  return hasEnded
}

/** Why `request`, which was accepted, may not be sent now. */
function refusalNow(
  state: DeviceState,
  request: OpenRequest,
  row: ServiceRequestRow,
  now: number,
  directory: Directory,
): ErrorCode | undefined {
  const use: Use = { party: request.originator, srv: request.srv, directory, atMs: now }
  const entitlement = entitlementAt(state, use)
  const refusal = refusalAtDevice(row, state.record?.type, statusOf(state), entitlement)
  // It had the right when it was accepted; for a third party nothing is done on such a guess.
  if (refusal !== undefined && (refusal !== 'RIGHTS_NOT_KNOWN' || isConsentGone(state, use)))
    return refusal
  const cut = cutOf(state, request, directory, now)
  return typeof cut === 'string' ? cut : undefined
}

/**
 * Asked again, a meter point's last rights hold until it answers; its versions count from there.
 */
function linkAfter(asked: NumberedPoint, links: readonly ReportedLink[]): ReportedLink {
  const rights = links.find(({ point }) => point === asked.point)?.rights
  return rights === undefined ? asked : { ...asked, rights }
}

/** Applies a fact about links. */
export function evolveLinks(state: DeviceState, fact: LinksFact): void {
  const { last = 0, links = [] } = state.linked ?? {}
  if (fact.type === 'RIGHTS_RECEIVED') {
    const { point, rights } = fact
    const after = links.map((one) => (one.point === point ? { ...one, rights } : one))
    state.linked = { ...state.linked, last, links: after }
    return
  }
  const { points } = fact
  state.linked = {
    ...state.linked,
    last: points.reduce((highest, { link }) => Math.max(highest, link), last),
    links: points.map((one) => linkAfter(one, links)),
  }
  if (state.record === undefined) return
  state.record = { ...state.record, meterPoints: points.map(({ point }) => point) }
  if (points.length === 0) delete state.record.meterPoints
}
