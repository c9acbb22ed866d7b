/**
 * What a device decides about its unsolicited messages: whether one is to be believed, and who gets
 * it. Pure, a part of actor.ts. It is opened elsewhere (actors/device-effects/pushes.ts), under the
 * keys that are given here, and comes back as PUSH_OPENED.
 */
import type { Directory } from '../../core/access/directory.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { decodePush } from '../../core/envelope/device-push.ts'
import { readBodyView, readTime } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import { type DeviceOutbox } from './effects.ts'
import { recipientsOf } from './alert-recipients.ts'
import type { DeviceAlerted } from './facts.ts'
import { isFreshPush, notedPush, setOf } from './keyring.ts'
import type { Arrived } from '../kind/messages.ts'
import type { PushOpened } from './messages.ts'
import type { DeviceState } from './state.ts'

const accepted = errorId('REQUEST_ACCEPTED')

/** Why nothing that the device pushes at `now` is delivered, whatever it says. */
function refusalOf({ record, alerts, linked }: DeviceState, now: number): ErrorCode | undefined {
  if (record === undefined) return 'DEVICE_UNKNOWN'
  const isLinked = linked !== undefined && linked.links.length > 0
  if (record.alertsTo === undefined && !isLinked) return 'DEVICE_ALERT_UNADDRESSED'
  const isRecent = alerts !== undefined && isWithin(alerts.since, now)
  return isRecent && alerts.count >= limits.deviceAlertsMax ? 'DEVICE_ALERTS_EXCEEDED' : undefined
}

/** A clock that was put back begins again. */
const isWithin = (since: number, now: number): boolean =>
  now >= since && now - since < limits.deviceAlertsMs

/** What a device says in the same octets later on is another event. */
const isRepeat = (time: number, now: number): boolean =>
  now >= time && now - time < limits.deviceAlertRepeatMs

export function decidePush(
  state: DeviceState,
  message: Arrived,
  now: number,
  out: DeviceOutbox,
): void {
  const { record, keyring } = state
  const { buffer, at, replyTo } = message
  const refusal = refusalOf(state, now)
  if (record === undefined || refusal !== undefined)
    return refuse(out, message, refusal ?? 'DEVICE_UNKNOWN', now)
  const sets = [keyring?.current, keyring?.replacement?.keys].filter((set) => set !== undefined)
  out.effects.push({
    type: 'OPEN_PUSH',
    id: readRequestCounter(buffer, at + offsetOf.counter),
    push: decodePush(readBodyView(buffer, at)),
    receivedAt: readTime(buffer, at),
    record,
    keys: sets.map(({ number, sealedKeys, pushFloor }) => ({ number, sealedKeys, pushFloor })),
    replyTo,
  })
}

export function decideOpened(
  state: DeviceState,
  message: PushOpened,
  now: number,
  { parties }: Directory,
  out: DeviceOutbox,
): void {
  const { id, outcome, opened, receivedAt, bodies } = message
  if (errorCodeOf(outcome) !== 'OK') return acknowledge(out, message, outcome, now)
  if (state.alerts?.recent.some((one) => one.id === id && isRepeat(one.time, now)))
    return acknowledge(out, message, accepted, now)
  const refusal = refusalOf(state, now)
  if (refusal !== undefined) return refuse(out, message, refusal, now)
  const set = opened && setOf(state.keyring, opened.number)
  if (set !== undefined && !isFreshPush(set, opened!.counter))
    return refuse(out, message, 'DLMS_COUNTER_REPLAYED', now)
  const counters = set && { number: set.number, next: set.next, received: opened!.counter }
  const deliveries = bodies.flatMap(({ bodyBytes, alertCode }) =>
    recipientsOf(state, alertCode, parties, now).map((party) => ({
      party,
      receivedAt,
      time: now,
      bodyBytes,
    })),
  )
  // Nobody is to get it, or it is not known yet who.
  if (deliveries.length === 0) return refuse(out, message, nobodyOf(state), now)
  out.facts.push({ type: 'DEVICE_ALERTED', time: now, id, ...(counters && { counters }) })
  out.deliveries.push(...deliveries)
  acknowledge(out, message, accepted, now)
}

const nobodyOf = ({ linked }: DeviceState): ErrorCode =>
  linked?.links.some(({ rights }) => rights === undefined) === true
    ? 'RIGHTS_NOT_KNOWN'
    : 'DEVICE_ALERT_UNADDRESSED'

/** Applies DEVICE_ALERTED. */
export function alerted(state: DeviceState, { time, id, counters }: DeviceAlerted): void {
  notedPush(state.keyring, counters)
  const { since, count, recent } = state.alerts ?? { since: time, count: 0, recent: [] }
  const isRecent = isWithin(since, time)
  state.alerts = {
    since: isRecent ? since : time,
    count: isRecent ? count + 1 : 1,
    recent: [...recent, { id, time }].slice(-limits.deviceAlertsMax),
  }
}
