/**
 * The partitions that a host serves: taken by their lease, brought up from store and ledger, reloaded after a doubt, let go when
 * another host has them; and the fence behind which all of them are ours. It decides nothing about messages; the host never serves a partition that is not in here.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64Key } from '../../core/base/eui64.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { takeLease, type LeaseHeld, type LeaseTaken } from '../../core/ledger/lease.ts'
import type { Clock } from '../../core/ports/clock.ts'
import { leaseSubject } from '../../core/ports/lease.ts'
import { tickSubjects, type Ledger, type LedgerMessage } from '../../core/ports/ledger.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Random } from '../../core/ports/random.ts'
import type { PartitionStore } from '../../core/ports/store.ts'
import type { DeviceBehaviour } from '../device/actor.ts'
import type { HostMetrics } from './host-metrics.ts'
import { isStoreDamage, Partition } from './partition.ts'

export type PartitionPorts = {
  hostId: string
  partitionCount: number
  ledger: Ledger
  openStore: (partition: number) => PartitionStore
  clock: Clock
  random: Random
  log: Log
  /** True for an owner that has been silent for too long. */
  mayTakeFrom: (owner: string) => boolean
  /** Awake actors of the whole host. */
  actorsAwakeMax: number
  actorIdleMs: number
  /** What partitions run; the device, unless a test says otherwise. */
  behaviour?: DeviceBehaviour
}

/** Called with each partition that is served from now on, and the devices in it that must be told to resume. */
type OnServed = (partition: Partition, unfinished: readonly Eui64Key[]) => void

/** What makes a partition unreadable for good, its store having been cleared; everything else is tried again. */
const damage = new Set<ErrorCode>([
  'LEDGER_CHAIN_BROKEN',
  'FRAME_MALFORMED',
  'ENVELOPE_MALFORMED',
  'STORE_DAMAGED',
])

/** Wait before the ledger is asked again after it did not answer, or had no room. */
export const ledgerRetryMs = 500

export class OwnedPartitions {
  private readonly ports: PartitionPorts
  private readonly metrics: HostMetrics
  private readonly onServed: OnServed
  private readonly served = new Map<number, Partition>()
  /** Partitions that cannot be read: not served, not tried again. */
  private readonly damaged = new Set<number>()
  /** Their stores have been cleared once in this attempt to bring them up. */
  private readonly cleared = new Set<Partition>()
  /** Ours, and being brought back to what is on disk. */
  private readonly reloading = new Set<number>()
  /** Sequence of the last lease of anybody's; a tick is refused when there is a later one. */
  fence = 0
  private isTaking = false
  private isClosing = false

  constructor(ports: PartitionPorts, metrics: HostMetrics, onServed: OnServed) {
    this.ports = ports
    this.metrics = metrics
    this.onServed = onServed
  }

  get(number: number): Partition | undefined {
    return this.served.get(number)
  }

  values(): Iterable<Partition> {
    return this.served.values()
  }

  get numbers(): number[] {
    return [...this.served.keys()]
  }

  /** Takes every partition that nobody else has. What cannot be taken now is left for the next call. */
  async takeFree(): Promise<void> {
    const { partitionCount, log } = this.ports
    if (this.isTaking || this.served.size + this.damaged.size >= partitionCount) return
    this.isTaking = true
    const taken: Partition[] = []
    try {
      for (let number = 0; number < partitionCount && !this.isClosing; number++) {
        if (this.served.has(number) || this.reloading.has(number) || this.damaged.has(number))
          continue
        const partition = await this.take(number)
        if (partition !== undefined) taken.push(partition)
      }
      await this.bringUp(taken)
    } catch (fault) {
      log.warn({ fault: String(fault) }, 'free partitions could not be taken yet')
      for (const partition of taken)
        if (this.served.get(partition.number) !== partition) await partition.close()
    }
    this.isTaking = false
  }

  /** Takes the lease of a partition; undefined when it belongs to another host. */
  private async take(number: number): Promise<Partition | undefined> {
    const { log, openStore } = this.ports
    const taken = await this.lease(number)
    if (!taken.taken) {
      log.debug({ partition: number, owner: taken.owner }, 'the partition belongs to another host')
      return undefined
    }
    const partition = new Partition({
      number,
      store: openStore(number),
      log,
      actorsAwakeMax: Math.ceil(this.ports.actorsAwakeMax / this.ports.partitionCount),
      actorIdleMs: this.ports.actorIdleMs,
      onParked: () => this.metrics.parked.add(),
      ...(this.ports.behaviour && { behaviour: this.ports.behaviour }),
    })
    partition.leaseSequence = taken.sequence
    return partition
  }

  /** One damaged partition does not stop the others; its devices answer BROKER_PARTITION_UNAVAILABLE. */
  private isDamage(number: number, fault: unknown): boolean {
    if (!(fault instanceof BrokerError && damage.has(fault.code))) return false
    const { code, detail } = fault
    this.ports.log.error({ partition: number, code, detail }, 'the partition cannot be served')
    this.damaged.add(number)
    return true
  }

  private lease(number: number): Promise<LeaseTaken | LeaseHeld> {
    const { ledger, hostId, clock, random, mayTakeFrom } = this.ports
    return takeLease(ledger, number, hostId, { mayTakeFrom, clock, random })
  }

  /** Brings partitions up to date and serves them; those that cannot be read are closed. */
  private async bringUp(partitions: readonly Partition[]): Promise<void> {
    let open = partitions
    // A store that is found damaged on the way is cleared, and its partition read once more.
    while (open.length > 0) open = await this.load(open)
    this.fence = await this.newFence()
    this.metrics.partitions.set(this.served.size)
  }

  /** Folds the ticks into `partitions`, each from its own checkpoint, in one reading. @returns those whose store was found damaged */
  private async load(partitions: readonly Partition[]): Promise<Partition[]> {
    const { ledger } = this.ports
    const last = (await ledger.lastOn(tickSubjects))?.sequence ?? 0
    const loading = new Map<number, Partition>()
    const again: Partition[] = []
    const fail = async (partition: Partition, fault: unknown): Promise<void> => {
      loading.delete(partition.number)
      const wasCleared = this.cleared.has(partition)
      if (isStoreDamage(fault) && !wasCleared) {
        this.cleared.add(partition)
        again.push(partition)
      } else if (this.isDamage(partition.number, fault)) await partition.close()
      else throw fault
    }
    for (const partition of partitions) {
      loading.set(partition.number, partition)
      try {
        await partition.open(last, (sequence) => ledger.at(sequence))
      } catch (fault) {
        await fail(partition, fault)
      }
    }
    const from =
      Math.min(...Array.from(loading.values(), ({ checkpoint }) => checkpoint.sequence)) + 1
    const onTick = async ({ data, sequence }: LedgerMessage): Promise<void> => {
      const frames: Array<[Partition, Buffer]> = []
      try {
        readTickMessage(
          data,
          (number, frame) => {
            const partition = loading.get(number)
            if (partition !== undefined) frames.push([partition, frame])
          },
          undefined,
        )
      } catch (fault) {
        // Whose frames were in it is shown by the chains, which do not hold across it.
        this.ports.log.error(
          { sequence, fault: String(fault) },
          'a tick in the ledger is malformed',
        )
      }
      for (const [partition, frame] of frames) {
        try {
          await partition.replay(frame, sequence)
        } catch (fault) {
          await fail(partition, fault)
        }
      }
    }
    if (loading.size > 0) await ledger.read(tickSubjects, from, onTick)
    for (const partition of loading.values()) {
      try {
        const unfinished = await partition.ready(last)
        this.cleared.delete(partition)
        this.served.set(partition.number, partition)
        this.onServed(partition, unfinished)
      } catch (fault) {
        await fail(partition, fault)
      }
    }
    return again
  }

  /**
   * The sequence behind which no lease has changed, after making sure that ours are among those before it; partitions that have
   * gone to another host are let go. Whatever changes a lease from now on makes our next tick refused.
   */
  private async newFence(): Promise<number> {
    const { ledger, log } = this.ports
    const fence = (await ledger.lastOn('lease.*'))?.sequence ?? 0
    for (const partition of [...this.served.values()]) {
      const lease = await ledger.lastOn(leaseSubject(partition.number))
      if (lease?.sequence === partition.leaseSequence) continue
      log.warn({ partition: partition.number }, 'the partition has gone to another host')
      await this.drop(partition)
    }
    return fence
  }

  /**
   * Brings all partitions back to what is on disk. After a tick of unknown fate a lease is taken anew first: that moves the fence, so
   * the tick, should it still be under way, is refused for ever.
   */
  async reload(isInDoubt: boolean): Promise<void> {
    let ours = [...this.served.values()]
    // Nobody looks into them meanwhile: requests that come are sent back, and come again.
    this.served.clear()
    for (const { number } of ours) this.reloading.add(number)
    for (let isDone = false; !isDone;) {
      try {
        const [first] = ours
        if (isInDoubt && first !== undefined) {
          const taken = await this.lease(first.number)
          if (taken.taken) first.leaseSequence = taken.sequence
        }
        await this.bringUp(ours)
        isDone = true
      } catch (fault) {
        this.served.clear()
        ours = ours.filter((partition) => !partition.isClosed)
        this.ports.log.warn({ fault: String(fault) }, 'the ledger does not answer; trying again')
        await this.pause(ledgerRetryMs)
      }
    }
    this.reloading.clear()
  }

  private async drop(partition: Partition): Promise<void> {
    this.served.delete(partition.number)
    this.metrics.partitions.set(this.served.size)
    await partition.close()
  }

  private pause(ms: number): Promise<void> {
    const { clock } = this.ports
    return new Promise((resolve) => void clock.at(clock.now() + ms, resolve))
  }

  /** Takes nothing more. */
  settleDown(): void {
    this.isClosing = true
  }

  /** Lets go of all; `isSettled` when memory is what is on the ledger, so that it may be saved. */
  async close(isSettled: boolean): Promise<void> {
    this.isClosing = true
    const { log } = this.ports
    for (const partition of this.served.values()) {
      if (isSettled && !partition.isStoreDamaged) {
        await partition
          .save()
          .catch((fault: unknown) =>
            log.error({ fault: String(fault) }, 'the store could not be saved'),
          )
      }
      await partition.close()
    }
    this.served.clear()
  }
}
