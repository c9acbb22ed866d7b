/**
 * What the roles of one broker process share while they start. Holds nothing back: each role says
 * what it takes of it.
 */
import type { BrokerConfig } from '../../core/ops/broker-config.ts'
import type { createMetrics } from '../../core/ops/metrics.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Random } from '../../core/ports/random.ts'

/** Undone in reverse, at a failed start as at the end. */
export type Closers = Array<() => Promise<unknown> | void>

export type StartContext = {
  readonly config: BrokerConfig
  readonly hostId: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: ReturnType<typeof createMetrics>
  readonly closers: Closers
  /** The process cannot go on, and why. */
  readonly fail: (why: string) => void
}
