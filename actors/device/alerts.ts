/**
 * What a device decides about its unsolicited messages: whether one is to be believed, and who gets
 * it. Pure, a part of actor.ts. It is opened elsewhere (actors/device-effects/pushes.ts), under the
 * keys that are given here, and comes back as PUSH_OPENED.
 */
import type { Directory } from '../../core/access/directory.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { isThrottled } from '../../core/catalogue/alert-codes.ts'
import { formatWithThrottling } from '../../core/cluster/format.ts'
import { decodePush } from '../../core/envelope/device-push.ts'
import { readBodyView, readTime } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import { acknowledge, refuse, type DeliverAlert } from '../kind/effects.ts'
import { type DeviceOutbox } from './effects.ts'
import { recipientsOf } from './alert-recipients.ts'
import type { DeviceAlerted } from './facts.ts'
import { isFreshPush, notedPush, setOf } from './keyring.ts'
import type { Arrived } from '../kind/messages.ts'
import type { PushOpened } from './messages.ts'
import type { DeviceAlerts, DeviceState, RecentPush } from './state.ts'
import { CodeCounter, evolveTaken, tellHeld } from './throttle.ts'
import type { AlertsTaken, CodeCount } from './throttle-facts.ts'

const accepted = errorId('REQUEST_ACCEPTED')

/** Why nothing that the device pushes at `now` is delivered, whatever it says. */
function refusalOf({ record, alerts, linked }: DeviceState, now: number): ErrorCode | undefined {
  if (record === undefined) return 'DEVICE_UNKNOWN'
  const isLinked = linked !== undefined && linked.links.length > 0
  if (record.alertsTo === undefined && !isLinked) return 'DEVICE_ALERT_UNADDRESSED'
  const isRecent = alerts !== undefined && isWithin(alerts.since, now)
  const isOver = isRecent && alerts.taken >= limits.deviceAlertsTakenMax
  return isOver ? 'DEVICE_ALERTS_EXCEEDED' : undefined
}

/** How many pushes the device may still have delivered at `now`. */
const roomOf = ({ alerts }: DeviceState, now: number): number =>
  limits.deviceAlertsMax - (alerts !== undefined && isWithin(alerts.since, now) ? alerts.count : 0)

/** A clock that was put back begins again. */
const isWithin = (since: number, now: number): boolean =>
  now >= since && now - since < limits.deviceAlertsMs

/**
 * What a device says in the same octets later on is another event. What the process with its
 * connection sends again has its time, whatever the clocks of hosts say.
 */
const isSame = ({ time, receivedAt }: RecentPush, cameAt: number, now: number): boolean =>
  receivedAt === cameAt || (now >= time && now - time < limits.deviceAlertRepeatMs)

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
  directory: Directory,
  out: DeviceOutbox,
): void {
  const { id, outcome, opened, receivedAt } = message
  if (errorCodeOf(outcome) !== 'OK') return acknowledge(out, message, outcome, now)
  if (state.alerts?.recent.some((one) => one.id === id && isSame(one, receivedAt, now)))
    return acknowledge(out, message, accepted, now)
  const refusal = refusalOf(state, now)
  if (refusal !== undefined) return refuse(out, message, refusal, now)
  const set = opened && setOf(state.keyring, opened.number)
  if (set !== undefined && !isFreshPush(set, opened!.counter))
    return refuse(out, message, 'DLMS_COUNTER_REPLAYED', now)
  const counters = set && { number: set.number, next: set.next, received: opened!.counter }
  const sorted = sort(state, message, directory, now)
  if (typeof sorted === 'string') return refuse(out, message, sorted, now)
  // What is over is told before the next window begins.
  tellHeld(state, now, directory, out)
  const about = { time: now, id, ...(counters && { counters }) }
  const { counts, deliveries } = sorted
  if (counts.length > 0) out.facts.push({ type: 'ALERTS_TAKEN', ...about, receivedAt, counts })
  else out.facts.push({ type: 'DEVICE_ALERTED', ...about })
  out.deliveries.push(...deliveries)
  acknowledge(out, message, accepted, now)
}

/** What becomes of the alerts of one push: deliveries, and the counts of those with a code. */
type Sorted = { readonly deliveries: DeliverAlert[]; readonly counts: readonly CodeCount[] }

/** Returns why all of the push is refused when nobody gets it, or the device says too much. */
function sort(
  state: DeviceState,
  { bodies, receivedAt }: PushOpened,
  { parties, format }: Directory,
  now: number,
): Sorted | ErrorCode {
  const isCounting = format >= formatWithThrottling
  const isRoom = roomOf(state, now) > 0
  // What has no code goes with what has one in the same push.
  const isFree = isRoom || (isCounting && bodies.some(({ alertCode }) => alertCode !== 0))
  const counter = new CodeCounter(state, now)
  const deliveries: DeliverAlert[] = []
  let isOver = false
  for (const { bodyBytes, alertCode } of bodies) {
    const recipients = recipientsOf(state, alertCode, parties, now)
    if (recipients.length === 0) continue
    const isCounted = isCounting && isThrottled(alertCode)
    if (isCounted && !counter.takes(alertCode, isRoom)) continue
    if (!isFree) isOver = true
    else
      for (const party of recipients) deliveries.push({ party, receivedAt, time: now, bodyBytes })
  }
  const counts = counter.all()
  if (deliveries.length > 0 || counts.length > 0) return { deliveries, counts }
  // Nobody is to get it, or it is not known yet who.
  return isOver ? 'DEVICE_ALERTS_EXCEEDED' : nobodyOf(state)
}

const nobodyOf = ({ linked }: DeviceState): ErrorCode =>
  linked?.links.some(({ rights }) => rights === undefined) === true
    ? 'RIGHTS_NOT_KNOWN'
    : 'DEVICE_ALERT_UNADDRESSED'

/** Applies DEVICE_ALERTED and ALERTS_TAKEN. */
export function alerted(state: DeviceState, fact: DeviceAlerted | AlertsTaken): void {
  const { time, counters } = fact
  notedPush(state.keyring, counters)
  const { since, count, taken, recent } = state.alerts ?? noAlerts
  const isRecent = isWithin(since, time)
  const isDelivered = fact.type === 'DEVICE_ALERTED' || fact.counts.some(({ passed }) => passed > 0)
  state.alerts = {
    since: isRecent ? since : time,
    count: (isRecent ? count : 0) + Number(isDelivered),
    taken: (isRecent ? taken : 0) + 1,
    recent: [...recent, recentOf(fact)].slice(-limits.deviceAlertsRememberedMax),
  }
  if (fact.type === 'ALERTS_TAKEN') evolveTaken(state, fact.counts, time)
}

const recentOf = (fact: DeviceAlerted | AlertsTaken): RecentPush => {
  const { id, time } = fact
  return fact.type === 'ALERTS_TAKEN' ? { id, time, receivedAt: fact.receivedAt } : { id, time }
}

const noAlerts: DeviceAlerts = { since: 0, count: 0, taken: 0, recent: [] }
