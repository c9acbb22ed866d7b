/** Everything that can happen to a device. */
import type { AlertBody } from '../../core/translate/alert.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { CountersUsed } from '../../core/ports/wan.ts'
import type { ReplyTo } from '../kind/effects.ts'
import type { LetterCame } from '../kind/letters.ts'
import type { Arrived, Next, Resume, Wake } from '../kind/messages.ts'
import type { FailureCause } from './cause.ts'
import type { KeyStep } from './state.ts'

/** The WAN has come back with the request that was sent. */
export type Answered = {
  type: 'ANSWERED'
  originator: Eui64
  counter: RequestCounter
  /** Row of the error table: OK, DEVICE_REFUSED, DEVICE_SILENT … */
  outcome: number
  /** A ResponseBody of busbar.v1. */
  bodyBytes: Buffer
  /** Of an exchange under a security suite; all that it might have used when it does not know. */
  counters?: CountersOf | undefined
  /** Of a failure, and of a refusal of the device. */
  cause?: FailureCause | undefined
}

/** Counters of the set `number`, of the exchange that was sent with `from` and above. */
export type CountersOf = CountersUsed & { number: number; from: number }

/**
 * The WAN has come back with a step of the replacement of keys. Any answer at all, OK or
 * DEVICE_REFUSED, proves the keys it was asked under.
 */
export type KeyStepAnswered = {
  type: 'KEY_STEP_ANSWERED'
  step: KeyStep
  outcome: number
  counters: CountersOf
  cause?: FailureCause | undefined
}

/** New keys were made for the device, whose current ones were the set `number` then. */
export type KeysMade = {
  type: 'KEYS_MADE'
  number: number
  sealedKeys: Buffer
  replyTo: ReplyTo
}

/** The same keys as `before` of the set `number`, sealed under a newer key-encryption key. */
export type KeysSealed = {
  type: 'KEYS_SEALED'
  number: number
  before: Buffer
  sealedKeys: Buffer
}

/** An unsolicited message of the device is opened and translated, or is not to be believed. */
export type PushOpened = {
  type: 'PUSH_OPENED'
  id: RequestCounter
  /** Row of the error table: OK, or why not. */
  outcome: number
  /**
   * The set of keys that opened it, and its invocation counter; none for what was not ciphered, or
   * not under the unicast key.
   */
  opened: { number: number; counter: number } | undefined
  /** When it came in, UTC ms. */
  receivedAt: number
  /**
   * Of each notification in it the fields of a DeviceAlert of busbar.v1, from the third on, and
   * its alert code, 0 for none that is known; one as a rule.
   */
  bodies: readonly AlertBody[]
  replyTo: ReplyTo
}

export type DeviceMessage =
  | Arrived
  | Answered
  | KeyStepAnswered
  | KeysMade
  | KeysSealed
  | PushOpened
  | LetterCame
  | Wake
  | Resume
  | Next
