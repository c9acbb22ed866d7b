/** Facts about requests that wait no more: sequences.ts, future.ts. */
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readOriginator, readTime } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'

/** What a fact about a request has at least; the time is UTC ms. */
export type AboutRequest = { originator: Eui64; counter: RequestCounter; time: number }

/** The predecessor of this request has succeeded: it may be sent from now on. */
export type PredecessorSucceeded = AboutRequest & { type: 'PREDECESSOR_SUCCEEDED' }

/** The execution time of this request has come. */
export type ExecutionTimeCame = AboutRequest & { type: 'EXECUTION_TIME_CAME' }

export const aboutRequestIn = (buffer: Buffer, at: number): AboutRequest => ({
  originator: readOriginator(buffer, at),
  counter: readRequestCounter(buffer, at + offsetOf.counter),
  time: readTime(buffer, at),
})
