/**
 * What a device's actor remembers. Plain data; only `evolve` in actor.ts changes it.
 *
 * The life of one request at its device:
 *
 *                 ┌───────────── ATTEMPT_FAILED ─────────────┐
 *                 ▼                                          │
 *   ACCEPTED ▶ waiting ── its turn, and its time has come ▶ sent ── answered, or attempts used up ▶ ENDED
 *                 └── cancelled, or its deadline has come ──────────────────────────────────────────▲
 *
 * At most one request of a device is sent at a time. Its turn comes by lane, then in order of
 * acceptance; a request that waits for its next attempt holds up its own lane only, so a top-up is
 * never behind a bulk read.
 *
 * Keys: keyring.ts has what is known of them, their counters, and how they are replaced; meanwhile
 * requests wait.
 *
 * Repeats: a device remembers its open requests, the last ended ones whole (ended-requests.ts), and
 * of older ones the RequestIDs (`past`). What it has forgotten lies at or below its originator's
 * `floor` and is rejected, so that no RequestID runs twice. Above the floor counters may come in
 * any order: a party that repeats a request which was rejected for want of room finds it still
 * acceptable (decision 0015).
 */
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { Lane } from '../../core/base/lane.ts'
import type { Srv } from '../../core/base/srv.ts'
import type { DeviceRecord } from '../../core/inventory/device-record.ts'
import type { DeviceStatus } from '../../core/inventory/device-status.ts'
import type { Grant } from '../../core/registration/grant.ts'
import { isRunCounter } from '../../core/schedule/run-counter.ts'
import type { ReportedLink } from '../../core/registration/rights-report.ts'
import type { DeviceFault } from './cause.ts'
import { addEnded, noneEnded, type EndedRequests } from './ended-requests.ts'
import type { Hold } from './hold-facts.ts'
import type { KnownSchedules } from './schedule-facts.ts'
import type { SequencedEnd, SequencePlace } from './sequence-facts.ts'
import { addPast, type PastCounters } from './past-counters.ts'
import { isInDoubt, type Keyring, type KeyStage } from './keyring.ts'
import type { Throttle } from './throttle-facts.ts'

export type OpenRequest = {
  originator: Eui64
  counter: RequestCounter
  lane: Lane
  srv: Srv
  bodyType: number
  /** Of srv and body: tells a repeat from a counter used twice. */
  contentHash: number
  /** UTC ms. */
  acceptedAt: number
  deadline: number
  /** Attempts that have failed. */
  attempt: number
  /** Not to be sent before this time; 0 for at once. */
  nextAttemptAt: number
  /** Row of the error table that the last attempt ended with; 0 before the first. */
  lastOutcome: number
  bodyBytes: Buffer
  /** Left out as a rule: it is held back by anomaly detection (holds.ts). */
  hold?: Hold | undefined
  /** Left out as a rule: it is for a later time, UTC ms (future.ts). */
  future?: { readonly executeAt: number; readonly isWaiting: boolean } | undefined
  /** Left out as a rule: it is the run of a schedule of this device (schedules.ts). */
  run?: { readonly device: Eui64 } | undefined
  /** Left out as a rule: its place in a sequence (sequences.ts). */
  sequence?: SequencePlace | undefined
  /**
   * In memory only, once the host's clock was set (clock-set.ts): its lag when the request came.
   */
  lagMs?: number | undefined
  /** In memory only, while that comes before the deadline: when the request ends, UTC ms. */
  endsBy?: number | undefined
}

/**
 * Counters of one originator: nothing above `highest` was ever accepted; nothing at or below
 * `floor` is remembered. After an operator's reset `highest` counts from there (all zero: nothing
 * yet), and `top` is the highest counter before it: what is above `highest` may be remembered, too.
 */
export type Originator = {
  key: Eui64
  highest: RequestCounter
  floor: RequestCounter | undefined
  top?: RequestCounter
}

/** No counter above this one was ever accepted. */
export const topOf = ({ highest, top }: Originator): RequestCounter =>
  top !== undefined && top > highest ? top : highest

/**
 * An exchange that is to bring the new keys of set `number` to the device, or to prove which it
 * has.
 */
export type KeyStep = { number: number; stage: Exclude<KeyStage, 'RESTING'> }

/** The links of a device, and the highest number that one of them ever had. */
export type DeviceLinks = {
  readonly last: number
  readonly links: readonly ReportedLink[]
  /** By which right the last requests of third parties were accepted, and what was cut. */
  readonly grants?: readonly Grant[]
}

export type DeviceState = EndedRequests & {
  /** Without its keys, which are in the ring. */
  record: DeviceRecord | undefined
  /**
   * When it was first registered or, of one without a record, removed, UTC ms; 0 when that is not
   * known.
   */
  registeredAt: number
  /**
   * In order of acceptance; replaced, never changed: an array that grows in place takes room for
   * sixteen.
   */
  open: readonly OpenRequest[]
  /** The one on its way; not in the ledger: after a restart it is sent again. */
  sent: OpenRequest | undefined
  /** The same of a step of the replacement of its keys; never both. */
  keyStep: KeyStep | undefined
  /**
   * The first counter of what is on its way, by which its answer is told from one to what was sent
   * before a reload.
   */
  sentCountersFrom: number
  keyring: Keyring | undefined
  /**
   * Alerts since then, UTC ms, and the pushes that the last ones were, so that one which is decided
   * again is not delivered again. Not in the store, but for the counted ones while something is
   * counted (throttle-codec.ts): a sleeping device has sent little lately.
   */
  alerts: DeviceAlerts | undefined
  /** Alerts by their codes, and which of them are held (throttle.ts). */
  throttles: readonly Throttle[]
  past: PastCounters
  /** Undefined while no party has schedules of this device. */
  schedules: KnownSchedules | undefined
  /** The last requests of sequences that have ended. */
  sequenced: readonly SequencedEnd[]
  /** Why the last exchange failed, until one succeeds. */
  fault: DeviceFault | undefined
  /** Undefined for the one that a registered device has at first. */
  status: DeviceStatus | undefined
  /** Undefined for a device that never had a meter point. */
  linked: DeviceLinks | undefined
  /** An array: most devices have one or two, and an empty Map takes 200 octets. */
  originators: readonly Originator[]
}

/**
 * Alerts since then, UTC ms: pushes that were delivered, pushes that were taken, and the last ones.
 */
export type DeviceAlerts = {
  readonly since: number
  readonly count: number
  readonly taken: number
  readonly recent: readonly RecentPush[]
}

/** A push that was taken at `time`, and came in at `receivedAt`, both UTC ms. */
export type RecentPush = {
  readonly id: RequestCounter
  readonly time: number
  /** Of one whose alerts are counted. */
  readonly receivedAt?: number
}

const none: readonly never[] = []

export function emptyState(): DeviceState {
  return {
    record: undefined,
    registeredAt: 0,
    open: none,
    sent: undefined,
    keyStep: undefined,
    sentCountersFrom: 0,
    keyring: undefined,
    alerts: undefined,
    throttles: none,
    ended: noneEnded.ended,
    endedParts: noneEnded.endedParts,
    past: none,
    schedules: undefined,
    sequenced: none,
    fault: undefined,
    status: undefined,
    linked: undefined,
    originators: none,
  }
}

/** What is known of the counters of `key`, or undefined. */
export function findOriginator(state: DeviceState, key: Eui64): Originator | undefined {
  for (const originator of state.originators) if (originator.key === key) return originator
  return undefined
}

/** True when something may have been on its way, or waits: to be resumed after a restart. */
export function isUnfinished(state: DeviceState | undefined): boolean {
  return state !== undefined && (state.open.length > 0 || isInDoubt(state.keyring))
}

/**
 * To be called when the `state` of `device` has been read from disk, the ledger's tail included:
 * whatever is open may have been on its way, from here or from another host.
 */
export function loaded(state: DeviceState, device: Eui64): void {
  claimRecord(state, device)
  const { keyring } = state
  if (keyring === undefined) return
  const { current, replacement } = keyring
  if (current !== undefined) current.isUncertain = isUnfinished(state)
  if (replacement !== undefined) replacement.keys.isUncertain = isInDoubt(keyring)
}

/**
 * To be called when the record of `device` has come into memory: its address names the device, so
 * that it need not be copied for each exchange.
 */
export function claimRecord({ record }: DeviceState, device: Eui64): void {
  if (record !== undefined) record.address.device = device
}

export function findOpen(
  state: DeviceState,
  originator: Eui64,
  counter: RequestCounter,
): OpenRequest | undefined {
  for (const request of state.open) {
    if (request.counter === counter && request.originator === originator) return request
  }
  return undefined
}

/**
 * Remembers the end of `request`. When there is no room the oldest ends go to `past`, many at a
 * time.
 */
export function rememberEnded(
  state: DeviceState,
  { originator, counter, contentHash, srv, acceptedAt }: OpenRequest,
  end: { endedAt: number; outcome: number; attempt: number },
): void {
  // Nobody repeats the run of a schedule.
  if (isRunCounter(counter)) return
  const { endedAt, outcome, attempt } = end
  const forgotten = addEnded(state, {
    originator,
    counter,
    contentHash,
    srv,
    acceptedAt,
    endedAt,
    outcome,
    attempt,
  })
  if (forgotten.length === 0) return
  state.past = addPast(state.past, forgotten, endedAt, (key, forgottenCounter) =>
    raiseFloor(state, key, forgottenCounter),
  )
}

function raiseFloor(state: DeviceState, key: Eui64, counter: RequestCounter): void {
  const originator = findOriginator(state, key)
  if (originator === undefined) return
  // Set aside by a reset: it must not block the following ones again.
  if (counter > originator.highest) return
  if (originator.floor === undefined || originator.floor < counter) originator.floor = counter
}
