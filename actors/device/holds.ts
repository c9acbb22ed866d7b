/**
 * Requests that are held back, because anomaly detection counts what their party sends. Pure, a
 * part of actor.ts.
 *
 *   accepted ─▶ counting ── PASSED, a letter ──────────────────────────▶ waiting for its turn
 *                  ├─────── QUARANTINED ─▶ in quarantine ── released ──▶ at the end of its lane
 *                  └─────── FULL ─▶ ended        └── deleted, or its deadline has come ─▶ ended
 *
 * While a request is counted, later ones of the same party and lane wait behind it, so that they
 * keep their order; those of other parties do not. What is in quarantine holds up nothing.
 */
import {
  decodeCount,
  encodeCount,
  QuarantineReason,
  type CountLetter,
} from '../../core/access/count-letters.ts'
import type { Directory } from '../../core/access/directory.ts'
import { QuarantineAction } from '../../core/access/quarantine-list.ts'
import { allParties, isCounted } from '../../core/access/thresholds.ts'
import { actorIdOf, ActorKindNumber, kindOfActor } from '../../core/base/actor-id.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { errorId } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { readBodyView, readOriginator } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import { quarantinedBodyOf } from '../../core/translate/dcc-alert.ts'
import { isOutsideLimits } from '../../core/translate/limited-value.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import type { LetterCame } from '../kind/letters.ts'
import type { Arrived } from '../kind/messages.ts'
import type { DeviceOutbox } from './effects.ts'
import { end } from './ending.ts'
import { findEnded } from './ended-requests.ts'
import type { RequestHeld } from './hold-facts.ts'
import { burnt } from './keys.ts'
import { tellLeft } from './quarantine-letters.ts'
import { findOpen, type DeviceState, type OpenRequest } from './state.ts'

/**
 * Whether `request` of this device is to be counted before it goes on. When it is, the fact that it
 * is held, and the letter; beside the fact of its acceptance.
 */
export function countFirst(
  request: OpenRequest,
  device: Eui64,
  { thresholds }: Directory,
  now: number,
  out: DeviceOutbox,
): void {
  if (thresholds === undefined) return
  const { originator, srv, bodyType, bodyBytes, counter } = request
  const overAll = thresholds.get(allParties)
  const isOutside =
    overAll !== undefined &&
    overAll.valueLimits.length > 0 &&
    isOutsideLimits(overAll.valueLimits, srv, bodyType, bodyBytes, now)
  const isCountedHere = isOutside || isCounted(thresholds.get(originator), srv)
  if (!isCountedHere && !isCounted(overAll, srv)) return
  out.facts.push({ ...heldOf(request, now), phase: 'counting' })
  out.effects.push({
    type: 'TELL',
    // Those of the party are asked first; it has an actor for them in any case.
    to: actorIdOf(ActorKindNumber.THRESHOLD, originator),
    bodyBytes: encodeCount({
      word: 'COUNT',
      originator,
      device,
      counter,
      srv,
      reason: isOutside ? QuarantineReason.VALUE : QuarantineReason.NONE,
      event: 0,
      atMs: 0,
    }),
  })
}

const heldOf = (
  { originator, counter }: Pick<OpenRequest, 'originator' | 'counter'>,
  now: number,
): RequestHeld => ({
  type: 'REQUEST_HELD',
  originator,
  counter,
  time: now,
  phase: 'free',
  event: 0,
  reason: QuarantineReason.NONE,
  by: '',
})

/** Thresholds have answered. */
export function decideCounted(
  state: DeviceState,
  { from, bodyBytes }: LetterCame,
  now: number,
  out: DeviceOutbox,
): void {
  if (kindOfActor(from) !== ActorKindNumber.THRESHOLD) return
  const letter = decodeCount(bodyBytes)
  const { originator, counter } = letter
  const found = findOpen(state, originator, counter)
  const request = found?.hold?.phase === 'counting' ? found : undefined
  if (letter.word === 'QUARANTINED') return quarantined(state, request, letter, now, out)
  if (request === undefined) return
  if (letter.word === 'PASSED') out.facts.push(heldOf(request, now))
  else if (letter.word === 'FULL')
    end(out, request, now, { outcome: errorId('QUARANTINE_FULL'), using: burnt(state.keyring) })
}

function quarantined(
  state: DeviceState,
  request: OpenRequest | undefined,
  letter: CountLetter,
  now: number,
  out: DeviceOutbox,
): void {
  const { originator, counter, event, reason } = letter
  const isRoom = quarantinedCount(state) < limits.quarantinedPerDeviceMax
  if (request !== undefined && isRoom) {
    out.facts.push({ ...heldOf(request, now), phase: 'quarantined', event, reason })
    out.deliveries.push({
      party: originator,
      receivedAt: now,
      time: now,
      bodyBytes: quarantinedBodyOf(letter, event, reason, now),
      isOfDcc: true,
    })
    return
  }
  // It has ended meanwhile, or the device has no room: the list forgets it.
  if (request === undefined) out.facts.push(heldOf({ originator, counter }, now))
  else end(out, request, now, { outcome: errorId('QUARANTINE_FULL'), using: burnt(state.keyring) })
  out.effects.push(tellLeft(letter, event))
}

const quarantinedCount = ({ open }: DeviceState): number =>
  open.reduce((count, { hold }) => count + Number(hold?.phase === 'quarantined'), 0)

/** True when one more request may wait; what is in quarantine takes no one's place. */
export const hasRoom = (state: DeviceState): boolean =>
  state.open.length < limits.deviceQueueMax ||
  state.open.length - quarantinedCount(state) < limits.deviceQueueMax

/** An envelope QUARANTINE_ACTION of a party or an operator. */
export function decideQuarantineAction(
  state: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  const { buffer, at } = message
  const body = readBodyView(buffer, at)
  const isRelease = body[0] === QuarantineAction.RELEASE
  const by = body.toString('utf8', 1)
  const isKnown = isRelease || body[0] === QuarantineAction.DELETE
  if (!isKnown || body.length > limits.operatorNameBytesMax + 1)
    return refuse(out, message, 'ENVELOPE_MALFORMED', now)
  const originator = readOriginator(buffer, at)
  const counter = readRequestCounter(buffer, at + offsetOf.counter)
  const request = findOpen(state, originator, counter)
  const accepted = errorId('REQUEST_ACCEPTED')
  const deleted = errorId('REQUEST_DELETED_FROM_QUARANTINE')
  if (request?.hold?.phase !== 'quarantined') {
    // What was done already, and is asked for again because its answer was lost.
    const isDone = isRelease
      ? request !== undefined && request.hold === undefined
      : findEnded(state, originator, counter)?.outcome === deleted
    return isDone
      ? acknowledge(out, message, accepted, now)
      : refuse(out, message, 'REQUEST_NOT_IN_QUARANTINE', now)
  }
  if (isRelease) {
    const { event, reason } = request.hold
    out.facts.push({ ...heldOf(request, now), event, reason, by })
    out.effects.push(tellLeft(request, event))
  } else end(out, request, now, { outcome: deleted, using: burnt(state.keyring) })
  acknowledge(out, message, accepted, now)
}

/** Applies REQUEST_HELD; one about a request that is not open changes nothing. */
export function evolveHold(
  state: DeviceState,
  { originator, counter, phase, event, reason }: RequestHeld,
): void {
  const request = findOpen(state, originator, counter)
  if (request === undefined) return
  if (phase !== 'free') {
    request.hold = { phase, event, reason }
    return
  }
  const isReleased = request.hold?.phase === 'quarantined'
  request.hold = undefined
  if (isReleased) state.open = [...state.open.filter((one) => one !== request), request]
}
