/** What a device wants done. The runtime does it after the facts of the same tick are on disk; deliveries go to disk with them. */
import type { RequestCounter } from '../../core/base/counter.ts'
import { emptyList } from '../../core/base/empty-list.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { DeviceRecord } from '../../core/inventory/device-record.ts'
import type { PushContent } from '../../core/envelope/device-push.ts'
import type { ExchangeSecurity } from '../../core/ports/wan.ts'
import type { FailureCause } from './cause.ts'
import type { Arrived, ReplyTo } from './messages.ts'
import type { DeviceFact } from './facts.ts'
import type { CounterBounds } from './counter-bounds.ts'
import type { KeyStep, OpenRequest } from './state.ts'

/** Answers an envelope from outside. */
export type Acknowledge = {
  type: 'ACKNOWLEDGE'
  replyTo: ReplyTo
  /** Row of the error table. */
  outcome: number
  time: number
  /** With a refusal for want of room: not before this time again; else 0. */
  notBefore: number
  /** With a refusal because of the counter. */
  bounds?: CounterBounds
  /** With REQUEST_NOT_FOUND: no request with this RequestID was ever accepted. */
  isNeverAccepted?: boolean
}

export type ReportStatus = {
  type: 'REPORT_STATUS'
  replyTo: ReplyTo
  srv: number
  /** 1 waiting, 2 sent, 3 ended. */
  state: 1 | 2 | 3
  /** 0xffff while it has not ended. */
  outcome: number
  attempt: number
  acceptedAt: number
  endedAt: number
  deadline: number
}

/** Reports counters of parties, see counters-reset.ts. */
export type ReportCounters = { type: 'REPORT_COUNTERS'; replyTo: ReplyTo; bodyBytes: Buffer }

/** A set of keys for one exchange, and the counters that it may use; without a security suite it uses none. */
export type SendKeys = {
  number: number
  sealedKeys: Buffer
  counters: ExchangeSecurity['counters']
  /** They may have been used before the ledger was restored: the device has to tell its counter. */
  isCounterUnknown?: boolean | undefined
}

/** Takes the request to the device. */
export type Send = {
  type: 'SEND'
  request: OpenRequest
  record: DeviceRecord
  keys: SendKeys | undefined
}

/** Carries out a step of the replacement of keys, under `keys`. */
export type SendKeyStep = {
  type: 'SEND_KEY_STEP'
  step: KeyStep
  record: DeviceRecord
  keys: SendKeys
  newSealedKeys: Buffer
}

/**
 * Makes new keys for set `number`'s successor, or takes those of `restingKeys`, seals them with the rest of the set, and comes back with
 * KEYS_MADE; or answers with why not.
 */
export type MakeKeys = {
  type: 'MAKE_KEYS'
  number: number
  sealedKeys: Buffer
  restingKeys: Buffer | undefined
  record: DeviceRecord
  replyTo: ReplyTo
}

/** Opens and translates what the device has said unasked, under one of the sets of `keys`, and comes back with PUSH_OPENED. */
export type OpenPush = {
  type: 'OPEN_PUSH'
  /** Names this push among all. */
  id: RequestCounter
  push: PushContent
  /** UTC ms. */
  receivedAt: number
  record: DeviceRecord
  /** In the order in which they are tried. Nothing at or below `pushFloor` is fresh. */
  keys: ReadonlyArray<{ number: number; sealedKeys: Buffer; pushFloor: number }>
  replyTo: ReplyTo
}

/** Tells operators: in the log, and counted. `isKnown`: the same one was told last, so that it is counted only. */
export type Alarm = {
  type: 'ALARM'
  code: ErrorCode
  cause?: FailureCause | undefined
  isKnown?: boolean
}

/** Wakes the actor at `at`, UTC ms, instead of any time asked for before; 0 for never. */
export type WakeAt = { type: 'WAKE_AT'; at: number }

export type DeviceEffect =
  | Acknowledge
  | ReportStatus
  | ReportCounters
  | Send
  | SendKeyStep
  | MakeKeys
  | OpenPush
  | Alarm
  | WakeAt

/** The final answer to a request, for its originator. */
export type DeliverResponse = {
  request: OpenRequest
  outcome: number
  attempt: number
  time: number
  bodyBytes: Buffer
  /** Instead of a body. */
  cause?: FailureCause | undefined
}

/** What the device has said unasked, for one party. */
export type DeliverAlert = {
  party: Eui64
  receivedAt: number
  time: number
  bodyBytes: Buffer
}

export type Deliver = DeliverResponse | DeliverAlert

/** Where `decide` puts what it has decided; in order. */
export type Outbox = {
  facts: DeviceFact[]
  deliveries: Deliver[]
  effects: DeviceEffect[]
  /** How often the ledger was restored; the same for the life of a process. */
  readonly restores?: number
}

/** Empties the three lists, which keep their memory. */
export function emptyOutbox({ facts, deliveries, effects }: Outbox): void {
  emptyList(facts)
  emptyList(deliveries)
  emptyList(effects)
}

/** Answers `message` with a row of the error table. */
export function acknowledge(
  out: Outbox,
  { replyTo }: Pick<Arrived, 'replyTo'>,
  outcome: number,
  time: number,
  notBefore = 0,
): void {
  out.effects.push({ type: 'ACKNOWLEDGE', replyTo, outcome, time, notBefore })
}

export function refuse(
  out: Outbox,
  message: Pick<Arrived, 'replyTo'>,
  code: ErrorCode,
  now: number,
): void {
  acknowledge(out, message, errorId(code), now)
}

/** As `refuse`, with what is known of the originator's counters. */
export function refuseCounter(
  out: Outbox,
  { replyTo }: Pick<Arrived, 'replyTo'>,
  code: ErrorCode,
  time: number,
  bounds: CounterBounds,
  isNeverAccepted = false,
): void {
  const outcome = errorId(code)
  out.effects.push({
    type: 'ACKNOWLEDGE',
    replyTo,
    outcome,
    time,
    notBefore: 0,
    bounds,
    ...(isNeverAccepted && { isNeverAccepted }),
  })
}
