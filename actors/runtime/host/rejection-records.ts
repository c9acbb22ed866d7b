/**
 * Whether this host records a rejection one by one: within the rate, and while the ledger has room.
 * What is not recorded is counted, once its tick is on disk.
 */
import { RejectionGate } from '../../../core/access/rejection-gate.ts'
import { errorCodeOf } from '../../../core/base/error-table.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import type { Counter, Metrics } from '../../../core/ports/metrics.ts'
import type { MayRecord } from '../partition/deciding.ts'
import type { Tick } from '../partition/tick.ts'
import type { HostOptions } from './host-options.ts'
import type { LedgerRoom } from './ledger-room.ts'

export class RejectionRecords {
  private readonly gate = new RejectionGate()
  private readonly clock: Clock
  private readonly room: LedgerRoom
  private readonly count: HostOptions['countRejection']
  private readonly metrics: Metrics
  /** By the id of the error's row. */
  private readonly recorded: Array<Counter | undefined> = []

  constructor(
    { clock, metrics, countRejection }: Pick<HostOptions, 'clock' | 'countRejection' | 'metrics'>,
    room: LedgerRoom,
  ) {
    this.clock = clock
    this.room = room
    this.count = countRejection
    this.metrics = metrics
  }

  readonly mayRecord: MayRecord = ({ party, outcome, isWithinRate }) => {
    if (!this.room.isForRejections()) return false
    if (!isWithinRate && !this.gate.admits(party, outcome, this.clock.elapsedMs())) return false
    this.onRecord(outcome)
    return true
  }

  private onRecord(outcome: number): void {
    const code = errorCodeOf(outcome)
    if (code === undefined) return
    this.recorded[outcome] ??= this.metrics.counter(
      'busbar_rejections_recorded_total',
      'Rejected requests that were written to the ledger one by one',
      { code },
    )
    this.recorded[outcome].add()
  }

  /** `tick` is on disk, or has nothing to write. */
  onTick({ rejections }: Tick): void {
    for (const { party, outcome } of rejections) this.count?.(party, outcome)
  }

  /** A tick was not written: what was admitted comes again. */
  reset(): void {
    this.gate.reset()
  }
}
