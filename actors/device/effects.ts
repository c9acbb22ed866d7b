/**
 * What a device wants done. The runtime does it after the facts of the same tick are on disk;
 * deliveries go to disk with them.
 */
import type { RequestCounter } from '../../core/base/counter.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import type { DeviceRecord } from '../../core/inventory/device-record.ts'
import type { PushContent } from '../../core/envelope/device-push.ts'
import type { ExchangeSecurity } from '../../core/ports/wan.ts'
import type { CounterBounds, Outbox, ReplyTo } from '../kind/effects.ts'
import type { Tell } from '../kind/letters.ts'
import type { FailureCause } from './cause.ts'
import type { DeviceFact } from './facts.ts'
import type { KeyStep, OpenRequest } from './state.ts'

/**
 * A set of keys for one exchange, and the counters that it may use; without a security suite it
 * uses none.
 */
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
  /** Earlier times that it asks for are not read, UTC ms. */
  readableFromMs?: number | undefined
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
 * Makes new keys for set `number`'s successor, or takes those of `restingKeys`, seals them with the
 * rest of the set, and comes back with KEYS_MADE; or answers with why not.
 */
export type MakeKeys = {
  type: 'MAKE_KEYS'
  number: number
  sealedKeys: Buffer
  restingKeys: Buffer | undefined
  record: DeviceRecord
  replyTo: ReplyTo
}

/**
 * Opens and translates an unsolicited message of the device, under one of the sets of `keys`, and
 * comes back with PUSH_OPENED.
 */
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

/**
 * Tells operators: in the log, and counted. `isKnown`: the same one was told last, so that it is
 * counted only.
 */
export type Alarm = {
  type: 'ALARM'
  code: ErrorCode
  cause?: FailureCause | undefined
  isKnown?: boolean
}

/** Besides answers and WAKE_AT, which every kind of actor has. */
export type DeviceEffect = Send | SendKeyStep | MakeKeys | OpenPush | Alarm

/** Where `decide` puts what it has decided; in order. */
export type DeviceOutbox = Outbox<DeviceFact, DeviceEffect | Tell>

/** As `refuse`, with what is known of the originator's counters. */
export function refuseCounter(
  out: DeviceOutbox,
  { replyTo }: { replyTo: ReplyTo },
  code: ErrorCode,
  time: number,
  { isNeverAccepted, ...bounds }: CounterBounds & { isNeverAccepted?: boolean },
): void {
  const outcome = errorId(code)
  const asked = { type: 'ACKNOWLEDGE', replyTo, outcome, time, notBefore: 0, bounds } as const
  out.effects.push(isNeverAccepted === true ? { ...asked, isNeverAccepted } : asked)
}
