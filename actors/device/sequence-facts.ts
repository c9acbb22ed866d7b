/** What a device knows of sequences of requests; decided in sequences.ts. */
import type { RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'

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
