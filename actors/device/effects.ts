/** What a device wants done. The runtime does it after the facts of the same tick are on disk; deliveries go to disk with them. */
import type { OpenRequest } from './state.ts'
import type { DeviceRecord } from '../../core/catalogue/device-record.ts'
import type { ReplyTo } from './messages.ts'
import type { DeviceFact } from './facts.ts'

/** Answers an envelope from outside. */
export type Acknowledge = {
  type: 'ACKNOWLEDGE'
  replyTo: ReplyTo
  /** Row of the error table. */
  outcome: number
  time: number
  /** With a refusal for want of room: not before this time again; else 0. */
  notBefore: number
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

/** Takes the request to the device. */
export type Send = { type: 'SEND'; request: OpenRequest; record: DeviceRecord }

/** Wakes the actor at `at`, UTC ms, instead of any time asked for before; 0 for never. */
export type WakeAt = { type: 'WAKE_AT'; at: number }

export type DeviceEffect = Acknowledge | ReportStatus | Send | WakeAt

/** The final answer to a request, for its originator. */
export type Deliver = {
  request: OpenRequest
  outcome: number
  attempt: number
  time: number
  bodyBytes: Buffer
}

/** Where `decide` puts what it has decided; in order. */
export type Outbox = { facts: DeviceFact[]; deliveries: Deliver[]; effects: DeviceEffect[] }
