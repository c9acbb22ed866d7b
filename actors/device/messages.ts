/** Everything that can happen to a device. */
import type { CounterKey } from '../../core/base/counter.ts'
import type { Eui64Key } from '../../core/base/eui64.ts'

/** Names the asker to whom the runtime takes an acknowledgement; the actor only passes it on. */
export type ReplyTo = { readonly brand: 'ReplyTo' } | undefined

/**
 * An envelope from outside: SERVICE_REQUEST, CANCEL, STATUS_QUERY or DEVICE_REGISTRATION at `buffer[at]`, checked before.
 * Borrowed until the tick it is decided in has been committed.
 */
export type Arrived = { type: 'ARRIVED'; buffer: Buffer; at: number; replyTo: ReplyTo }

/** The WAN has come back with the request that was sent. */
export type Answered = {
  type: 'ANSWERED'
  originator: Eui64Key
  counter: CounterKey
  /** Row of the error table: OK, DEVICE_REFUSED, DEVICE_SILENT … */
  outcome: number
  /** A ResponseBody of busbar.v1. */
  bodyBytes: Buffer
}

/** The time that the actor asked for has come. */
export type Wake = { type: 'WAKE' }

/** The partition has just been taken over or reloaded: whatever was on its way is to be sent again. */
export type Resume = { type: 'RESUME' }

/** The facts of the message before have been applied: what now? Follows every message that gave facts. */
export type Next = { type: 'NEXT' }

export type DeviceMessage = Arrived | Answered | Wake | Resume | Next

export const wake: Wake = { type: 'WAKE' }
export const resume: Resume = { type: 'RESUME' }
export const next: Next = { type: 'NEXT' }
