/**
 * Effects that the runtime itself carries out for every kind of actor, deliveries, and the outbox
 * that `decide` fills. Effects run after the facts of the same tick are on disk; deliveries go to
 * disk with them.
 */
import { emptyList } from '../../core/base/empty-list.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { Lane } from '../../core/base/lane.ts'
import type { Srv } from '../../core/base/srv.ts'
import type { Kind } from '../../core/envelope/layout.ts'

/** Who asked, and takes the answer. */
export interface Asker {
  answer(answer: Answer): void
}

/** Where an answer goes; undefined for nobody. An actor only passes it on. */
export type ReplyTo = Asker | undefined

/** Highest accepted counter and floor of an originator; eight octets of 0 for none. */
export type CounterBounds = { highest: RequestCounter; floor: RequestCounter }

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
  /** 1 waiting, 2 sent, 3 ended, 4 in quarantine. */
  state: 1 | 2 | 3 | 4 | 6 | 7
  /** 0xffff while it has not ended. */
  outcome: number
  attempt: number
  acceptedAt: number
  endedAt: number
  deadline: number
}

/** Answers a question with an envelope of this kind. */
export type Report = { type: 'REPORT'; kind: Kind; replyTo: ReplyTo; bodyBytes: Buffer }

/** Wakes the actor at `at`, UTC ms, instead of any time asked for before; 0 for never. */
export type WakeAt = { type: 'WAKE_AT'; at: number }

/**
 * Replaces the record of this actor in the directory (core/access/directory.ts), in the commit of
 * the tick; only beside a fact. At most `directoryRecordBytesMax`.
 */
export type Enter = { type: 'ENTER'; bodyBytes: Buffer }

/**
 * Writes `fact`, which changes no state and need not be applied by a replay: the kind names it in
 * `recordKinds`. It is in the commit of the tick. When the host has no room for it, it is left out
 * and counted as a rejection of `party` with `outcome` instead.
 */
export type RecordOnly = {
  type: 'RECORD_ONLY'
  fact: ActorFact
  /** Left out for a count, which is always written. */
  instead?: {
    party: Eui64
    outcome: number
    /** False when nobody has looked yet whether there are too many of them. */
    isWithinRate: boolean
  }
}

export type Answer = Acknowledge | ReportStatus | Report
/** What an effect of any kind of actor has for the runtime. */
export type ActorEffect = { readonly type: string }
/** What a fact of any kind of actor has for the runtime. */
export type ActorFact = { readonly type: string }

/** What a response says of the request that it ends. */
export type EndedRequest = {
  readonly originator: Eui64
  readonly counter: RequestCounter
  readonly lane: Lane
  readonly srv: Srv
  readonly acceptedAt: number
}

/** The final answer to a request, for its originator. */
export type DeliverResponse = {
  request: EndedRequest
  outcome: number
  attempt: number
  time: number
  bodyBytes: Buffer
  /** The body is no ResponseBody but the sentence that says why the request failed, UTF-8. */
  isCause?: boolean
}

/** What a device has sent by itself, or what Busbar says, for one party. */
export type DeliverAlert = {
  party: Eui64
  receivedAt: number
  time: number
  bodyBytes: Buffer
  /** It says this as Busbar: the body is a whole DccAlert. */
  isOfDcc?: true
}

export type Deliver = DeliverResponse | DeliverAlert

export const isWakeAt = (effect: ActorEffect): effect is WakeAt => effect.type === 'WAKE_AT'
export const isEnter = (effect: ActorEffect): effect is Enter => effect.type === 'ENTER'
export const isRecordOnly = (effect: ActorEffect): effect is RecordOnly =>
  effect.type === 'RECORD_ONLY'
const answers: ReadonlySet<string> = new Set(['ACKNOWLEDGE', 'REPORT_STATUS', 'REPORT'])
export const isAnswer = (effect: ActorEffect): effect is Answer => answers.has(effect.type)

/** Where `decide` puts what it has decided; in order. */
export type Outbox<Fact = ActorFact, Effect = ActorEffect> = {
  facts: Fact[]
  deliveries: Deliver[]
  effects: Array<Effect | Answer | WakeAt | RecordOnly>
  /** How often the ledger was restored; the same for the life of a process. */
  readonly restores?: number
}

/** Empties the three lists, which keep their memory. */
export function emptyOutbox({ facts, deliveries, effects }: Outbox): void {
  emptyList(facts)
  emptyList(deliveries)
  emptyList(effects)
}

/** What `acknowledge` and `refuse` put their answer into. */
type Answers = { effects: { push(effect: Acknowledge): unknown } }

/** Answers an envelope with a row of the error table. */
export function acknowledge(
  out: Answers,
  { replyTo }: { replyTo: ReplyTo },
  outcome: number,
  time: number,
  notBefore = 0,
): void {
  out.effects.push({ type: 'ACKNOWLEDGE', replyTo, outcome, time, notBefore })
}

export function refuse(
  out: Answers,
  message: { replyTo: ReplyTo },
  code: ErrorCode,
  now: number,
): void {
  acknowledge(out, message, errorId(code), now)
}
