/** What a device knows of sequences of requests, and the fact of them; decided in sequences.ts. */
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readOriginator, readTime } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'

/** The place of an open request in a sequence of its party at this device. */
export type SequencePlace = {
  /** First of the sequence. */
  readonly isFirst: boolean
  /** Undefined for the first one. */
  readonly preceding: RequestCounter | undefined
  /** This device, which a DCC alert names; undefined without a predecessor. */
  readonly device: Eui64 | undefined
  /** From 1. */
  readonly place: number
  /** The predecessor has not succeeded yet. */
  readonly isWaiting: boolean
}

/** A request of a sequence that has ended. */
export type SequencedEnd = {
  readonly originator: Eui64
  readonly counter: RequestCounter
  readonly preceding: RequestCounter | undefined
  readonly place: number
  /** Row of the error table. */
  readonly outcome: number
}

/** The predecessor of this request has succeeded: it may be sent from now on. */
export type PredecessorSucceeded = {
  type: 'PREDECESSOR_SUCCEEDED'
  originator: Eui64
  counter: RequestCounter
  /** UTC ms. */
  time: number
}

/** The fact in the envelope at `at`. */
export const readSucceeded = (buffer: Buffer, at: number): PredecessorSucceeded => ({
  type: 'PREDECESSOR_SUCCEEDED',
  originator: readOriginator(buffer, at),
  counter: readRequestCounter(buffer, at + offsetOf.counter),
  time: readTime(buffer, at),
})
