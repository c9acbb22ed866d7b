/** Partitions whose store is open in this host; after they were given away, until it is closed. */
import { Partition } from '../partition/partition.ts'
import type { HostMetrics } from './host-metrics.ts'
import type { PartitionPorts } from './host-options.ts'

export class OpenPartitions {
  private readonly ports: PartitionPorts
  private readonly metrics: HostMetrics
  private readonly numbers = new Set<number>()

  constructor(ports: PartitionPorts, metrics: HostMetrics) {
    this.ports = ports
    this.metrics = metrics
  }

  /** A second one beside it would write to the same store. */
  has(number: number): boolean {
    return this.numbers.has(number)
  }

  /** Opens the store of partition `number`, which must not be open. */
  open(number: number, leaseSequence: number): Partition {
    const { log, openStore, restores, partitionCount, actorsAwakeMax, actorIdleMs } = this.ports
    const store = openStore(number)
    this.numbers.add(number)
    const partition = new Partition({
      number,
      store,
      onClosed: () => this.numbers.delete(number),
      log,
      restores,
      actorsAwakeMax: Math.ceil(actorsAwakeMax / partitionCount),
      actorIdleMs,
      onParked: () => this.metrics.parked.add(),
      kinds: this.ports.actorKinds,
      partitionCount,
      mayRecord: this.ports.mayRecord,
    })
    partition.leaseSequence = leaseSequence
    return partition
  }
}
