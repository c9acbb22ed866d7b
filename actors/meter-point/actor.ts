/**
 * The meter point: who is registered there, over time, and which devices measure it. It tells each
 * of its devices who may act there, by letters: `decide` of a device looks at nothing else. Pure.
 */
import type { Directory } from '../../core/access/directory.ts'
import { actorIdOf, ActorKindNumber, kindOfActor, octetsOfActor } from '../../core/base/actor-id.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorId } from '../../core/base/error-table.ts'
import { readEui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithMeterPoints } from '../../core/cluster/format.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import { Kind, offsetOf } from '../../core/envelope/layout.ts'
import { decodeLink } from '../../core/registration/link-letter.ts'
import { isMeterPoint, type MeterPointId } from '../../core/registration/meter-point.ts'
import { encodeMeterPointReport } from '../../core/registration/meter-point-report.ts'
import {
  decodeRegistrationChange,
  isBehind,
  type RegistrationChange,
} from '../../core/registration/registration-change.ts'
import { encodeNews } from '../../core/registration/meter-point-news.ts'
import { newsIn, rightsOf, type KnownItem } from '../../core/registration/registrations.ts'
import { encodeRights } from '../../core/registration/rights.ts'
import { acknowledge, refuse, type Outbox } from '../kind/effects.ts'
import { isLetter, type LetterCame, type Tell } from '../kind/letters.ts'
import { isArrived, type ActorMessage, type Arrived } from '../kind/messages.ts'
import type { MeterPointFact } from './facts.ts'
import { registerAfter, registerFact } from './register.ts'
import { emptyState, type DeviceLink, type MeterPointState } from './state.ts'

export type MeterPointOutbox = Outbox<MeterPointFact, Tell>

/**
 * Says what a message means. A meter point never asks to be woken: its periods hold by themselves.
 */
export function decide(
  state: MeterPointState,
  message: ActorMessage,
  now: number,
  directory: Directory,
  out: MeterPointOutbox,
): void {
  if (isLetter(message)) return decideLink(state, message, now, out)
  if (!isArrived(message)) return
  const point = pointIn(message)
  if (point === undefined) return refuse(out, message, 'REGISTRATION_MALFORMED', now)
  const kind = readKind(message.buffer, message.at)
  if (kind === Kind.METER_POINT_QUERY) return decideQuery(state, message, out)
  if (directory.format < formatWithMeterPoints)
    return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  if (kind === Kind.METER_POINT_REGISTRATION || kind === Kind.METER_POINT_COMPARISON)
    return decideRegistration(state, point, message, now, out)
  decideRegister(state, point, message, now, out)
}

function pointIn({ buffer, at }: Arrived): MeterPointId | undefined {
  const octets = readEui64(buffer, at + offsetOf.target)
  return isMeterPoint(octets) ? octets : undefined
}

function decideQuery(state: MeterPointState, { replyTo }: Arrived, out: MeterPointOutbox): void {
  const bodyBytes = encodeMeterPointReport(state)
  out.effects.push({ type: 'REPORT', kind: Kind.METER_POINT, replyTo, bodyBytes })
}

/** Registers items, or only says what that would change. */
function decideRegistration(
  state: MeterPointState,
  point: MeterPointId,
  message: Arrived,
  now: number,
  out: MeterPointOutbox,
): void {
  const change = changeIn(readBodyView(message.buffer, message.at))
  if (change === undefined) return refuse(out, message, 'REGISTRATION_MALFORMED', now)
  const { by, order } = change
  const last = state.orders.find(({ source }) => source === order.source)
  const isLate = last !== undefined && !isBehind(order, last)
  const given = change.items.map((item) => ({ ...item, receivedAtMs: now }))
  const items = isLate ? [] : newsIn(state.items, given)
  // What changes nothing leaves no fact and no letter; a comparison never does.
  if (items.length > 0 && readKind(message.buffer, message.at) !== Kind.METER_POINT_COMPARISON) {
    out.facts.push({ type: 'METER_POINT_REGISTERED', time: now, by, order, items })
    tellAll(point, { ...state, items: withItems(state.items, items) }, now, out)
  }
  const news = items.length === 0 ? 'none' : state.items.length === 0 ? 'added' : 'changed'
  const { replyTo } = message
  out.effects.push({
    type: 'REPORT',
    kind: Kind.METER_POINT_NEWS,
    replyTo,
    bodyBytes: encodeNews(news),
  })
}

function changeIn(view: Buffer): RegistrationChange | undefined {
  try {
    return decodeRegistrationChange(view)
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return undefined
  }
}

/** A device says that it is linked to this meter point, or not any more. */
function decideLink(
  state: MeterPointState,
  { from, bodyBytes }: LetterCame,
  now: number,
  out: MeterPointOutbox,
): void {
  if (kindOfActor(from) !== ActorKindNumber.DEVICE) return
  const { point, link, isLinked: isWanted } = decodeLink(bodyBytes)
  const device = octetsOfActor(from)
  const known = state.links.find((one) => one.device === device)
  // Of a link that the device has given up meanwhile, or never had here.
  if (known === undefined ? !isWanted : link < known.link) return
  const hasRoom = known !== undefined || state.links.length < limits.meterPointDevicesMax
  const isLinked = isWanted && hasRoom
  out.facts.push({ type: 'METER_POINT_LINKED', time: now, link: { device, link }, isLinked })
  if (!isWanted) return
  // One for which there is no room is told that nobody has rights.
  const after = hasRoom ? state : { ...emptyState(), version: state.version }
  out.effects.push(tellOf(point, after, { device, link }, now))
}

/** Tells every linked device what it may go by after the fact that is being decided. */
function tellAll(
  point: MeterPointId,
  after: MeterPointState,
  now: number,
  out: MeterPointOutbox,
): void {
  for (const link of after.links) out.effects.push(tellOf(point, after, link, now))
}

/**
 * The letter with the rights of `after`, which is the state after the fact that is being decided
 * but for its version.
 */
function tellOf(
  point: MeterPointId,
  { items, register, version }: MeterPointState,
  { device, link }: DeviceLink,
  now: number,
): Tell {
  const rights = { link, version: version + 1, ...rightsOf(point, items, now, register) }
  return {
    type: 'TELL',
    to: actorIdOf(ActorKindNumber.DEVICE, device),
    bodyBytes: encodeRights(rights),
  }
}

/** An operator grants or withdraws a consent, or says that a tenancy begins. */
function decideRegister(
  state: MeterPointState,
  point: MeterPointId,
  message: Arrived,
  now: number,
  out: MeterPointOutbox,
): void {
  const fact = registerFact(state, message, now)
  if (typeof fact === 'string') return refuse(out, message, fact, now)
  // Nothing to do for what is known already.
  if (fact !== undefined) {
    out.facts.push(fact)
    tellAll(point, { ...state, register: registerAfter(state.register, fact) }, now, out)
  }
  acknowledge(out, message, errorId('REQUEST_ACCEPTED'), now)
}

/** The only place that changes the state. */
export function evolve(state: MeterPointState, fact: MeterPointFact): void {
  state.version++
  if (fact.type === 'METER_POINT_REGISTERED') {
    state.items = withItems(state.items, fact.items)
    const others = state.orders.filter(({ source }) => source !== fact.order.source)
    state.orders = [...others, fact.order].slice(-limits.meterPointSourcesMax)
    return
  }
  if (fact.type !== 'METER_POINT_LINKED') {
    state.register = registerAfter(state.register, fact)
    return
  }
  const { link, isLinked } = fact
  const others = state.links.filter(({ device }) => device !== link.device)
  state.links = isLinked ? [...others, link] : others
}

/** The oldest go when there is no room: a later one of the same kind has mostly replaced them. */
const withItems = (known: readonly KnownItem[], items: readonly KnownItem[]): KnownItem[] =>
  [...known, ...items].slice(-limits.meterPointItemsMax)
