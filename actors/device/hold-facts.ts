/**
 * The fact that a request is held back, or is not any more; decided and applied in holds.ts. Its
 * body is a MessagePack array with a version in front: phase, event, reason, who released it.
 */
import type { QuarantineReason } from '../../core/access/count-letters.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readOriginator, readTime } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import { packTree, readTree } from '../../core/registration/versioned-tree.ts'

/** Numbers are their places; they stand in ledgers and stores and never change. */
export const HoldPhase = ['free', 'counting', 'quarantined'] as const
export type HoldPhase = (typeof HoldPhase)[number]

/** Why a request is held back. */
export type Hold = {
  readonly phase: Exclude<HoldPhase, 'free'>
  /** Of the quarantine of its party; 0 for none. */
  readonly event: number
  readonly reason: QuarantineReason
}

export type RequestHeld = {
  type: 'REQUEST_HELD'
  originator: Eui64
  counter: RequestCounter
  time: number
  phase: HoldPhase
  event: number
  reason: QuarantineReason
  /** Who released it; empty when nobody did. */
  by: string
}

export const heldBody = ({ phase, event, reason, by }: RequestHeld): Buffer =>
  packTree(HoldPhase.indexOf(phase), event, reason, by)

/**
 * The fact in the envelope at `at`.
 * @throws BrokerError ENVELOPE_MALFORMED, FORMAT_VERSION_LATER
 */
export function readHeld(buffer: Buffer, at: number): RequestHeld {
  const body = readTree(readBodyView(buffer, at), 'a hold of a request', (members) => {
    const [number, event, reason, by] = members as [number, number, QuarantineReason, string]
    const phase = HoldPhase[number]
    if (phase === undefined) throw new BrokerError('ENVELOPE_MALFORMED', 'a hold of a request')
    return { phase, event, reason, by }
  })
  return {
    type: 'REQUEST_HELD',
    originator: readOriginator(buffer, at),
    counter: readRequestCounter(buffer, at + offsetOf.counter),
    time: readTime(buffer, at),
    ...body,
  }
}
