/**
 * Partitions that cannot be read, and until when they are not tried again: a replica of the ledger,
 * or a store, may be repaired by then; never for a ledger that has one copy.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import type { ErrorCode } from '../../../core/base/error-table.ts'
import { limits } from '../../../core/base/limits.ts'
import type { PartitionPorts } from './host-options.ts'

/**
 * What makes a partition unreadable for good, its store having been cleared; everything else is
 * tried again.
 */
const damage = new Set<ErrorCode>([
  'LEDGER_CHAIN_BROKEN',
  'FRAME_MALFORMED',
  'ENVELOPE_MALFORMED',
  'STORE_DAMAGED',
  'SNAPSHOT_DAMAGED',
])

export class DamagedPartitions {
  private readonly ports: Pick<PartitionPorts, 'clock' | 'ledger' | 'log'>
  /** Until when, elapsed time. */
  private readonly until = new Map<number, number>()

  constructor(ports: Pick<PartitionPorts, 'clock' | 'ledger' | 'log'>) {
    this.ports = ports
  }

  has(number: number): boolean {
    return this.ports.clock.elapsedMs() < (this.until.get(number) ?? 0)
  }

  /**
   * Takes note of `fault`; false when it is no damage. One damaged partition does not stop the
   * others; its devices answer BROKER_PARTITION_UNAVAILABLE.
   */
  take(number: number, fault: unknown): boolean {
    if (!(fault instanceof BrokerError && damage.has(fault.code))) return false
    const { clock, ledger, log } = this.ports
    const { code, detail } = fault
    log.error({ partition: number, code, detail }, 'the partition cannot be served')
    const isCache = code === 'STORE_DAMAGED' || code === 'SNAPSHOT_DAMAGED'
    const ofLedger = (ledger.replicas ?? 1) > 1 ? limits.ledgerDamageRetryMs : Infinity
    this.until.set(number, clock.elapsedMs() + (isCache ? limits.storeRetryMs : ofLedger))
    return true
  }
}
