/**
 * The partitions that a host serves: taken by their lease, brought up from store and ledger,
 * reloaded after a doubt, let go when another host has them; and the fence behind which all of them
 * are ours. It decides nothing about messages; the host never serves a partition that is not in
 * here.
 */
import { pause } from '../../../core/ports/clock.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import {
  sealOwnTicks,
  takeLease,
  type LeaseHeld,
  type LeaseTaken,
} from '../../../core/ledger/lease.ts'
import type { Prepared } from '../../../core/cluster/handover-offer.ts'
import { decodeLease, encodeLease, leaseSubject } from '../../../core/cluster/lease-record.ts'
import { tickSubject } from '../../../core/ports/ledger.ts'
import { shareOf } from './balance.ts'
import { DamagedPartitions } from './damaged-partitions.ts'
import { OpenPartitions } from './open-partitions.ts'
import type { Hold, PartitionPorts } from './host-options.ts'
import type { HostMetrics } from './host-metrics.ts'
import { isLaterVersion } from '../../../core/envelope/version.ts'
import { Loader } from '../recovery/loader.ts'
import type { Partition } from '../partition/partition.ts'

const sealAttemptsMax = 5
/** Wait before the ledger is asked again after it did not answer, or had no room. */
export const ledgerRetryMs = 500

export class OwnedPartitions {
  private readonly ports: PartitionPorts
  private readonly onServed: (numbers: number[]) => void
  private readonly hold: Hold
  private readonly loader: Loader
  private readonly served = new Map<number, Partition>()
  private readonly damaged: DamagedPartitions
  /** Ours, and being brought back to what is on disk. */
  readonly reloading = new Set<number>()
  /** Ours, and being brought up to date to be served. */
  private readonly rising = new Set<Partition>()
  private readonly opened: OpenPartitions
  /**
   * Offered to us and ready: the nonces by which their leases are known as given to this life of
   * ours.
   */
  private readonly promised = new Map<number, string>()
  /**
   * Sequence of our last tick, or of the last seal on our ticks; a tick is refused when there is a
   * later one.
   */
  fence = 0
  /** A lease has changed since: perhaps one of ours, and our ticks are sealed. */
  isFenceStale = false
  /** Why nothing is served: a later version has written to the ledger. */
  laterVersion: string | undefined
  private isTaking = false
  private isClosing = false

  /** `onServed` gets those that are served from now on, or were read again. */
  constructor(
    ports: PartitionPorts,
    metrics: HostMetrics,
    onServed: (numbers: number[]) => void,
    hold: Hold,
  ) {
    this.ports = ports
    this.onServed = onServed
    this.hold = hold
    this.damaged = new DamagedPartitions(ports)
    this.opened = new OpenPartitions(ports, metrics)
    this.loader = new Loader(ports, (number, fault) => this.damaged.take(number, fault))
  }

  get(number: number): Partition | undefined {
    return this.served.get(number)
  }

  values(): Iterable<Partition> {
    return this.served.values()
  }

  get awakeCount(): number {
    return [...this.served.values()].reduce((total, { awakeCount }) => total + awakeCount, 0)
  }

  get numbers(): number[] {
    return [...this.served.keys()]
  }

  /**
   * Takes every partition that nobody else has, up to our share while there are others. What cannot
   * be taken now is left for the next call. Leases are taken between two ticks, so that none of
   * ours is refused for them; reading up goes on beside the ticks.
   */
  async takeFree(): Promise<void> {
    const { log } = this.ports
    if (this.isTaking) return
    const free = this.free()
    if (free.length === 0) return
    await this.taking(async (taken) => {
      try {
        await this.hold(async () => {
          for (const number of free) {
            if (this.isClosing) break
            const partition = await this.take(number)
            if (partition === undefined) continue
            taken.push(partition)
            this.rising.add(partition)
          }
          if (taken.length > 0) await this.renewFence()
        })
      } catch (fault) {
        // Those that were taken are ours all the same.
        log.warn({ fault: String(fault) }, 'free partitions could not be taken yet')
      }
    })
  }

  /** Runs `take`, which gathers partitions whose lease is ours, and serves them. */
  private async taking(take: (taken: Partition[]) => Promise<void>): Promise<void> {
    this.isTaking = true
    const taken: Partition[] = []
    try {
      await take(taken)
      if (taken.length > 0) {
        const loaded = await this.bringUp(taken)
        await this.hold(async () => {
          if (!this.isClosing) await this.serve(loaded)
        })
      }
    } catch (fault) {
      this.ports.log.warn({ fault: String(fault) }, 'partitions could not be brought up yet')
    }
    for (const partition of taken) {
      const { number } = partition
      if (this.served.get(number) !== partition && !this.reloading.has(number))
        await partition.close()
    }
    for (const partition of taken) this.rising.delete(partition)
    this.isTaking = false
  }

  /** It cannot be opened now: a second one beside it would write to the same store. */
  private isHere(number: number): boolean {
    return this.opened.has(number) || this.reloading.has(number)
  }

  /** Partitions that may be ours for the asking. */
  private free(): number[] {
    const { partitionCount, peers, hostId, mayTakeFrom } = this.ports
    const free: number[] = []
    const hosts = new Set([hostId, ...(peers?.aliveHosts ?? [])])
    let room = shareOf(partitionCount, hosts.size) - this.served.size - this.reloading.size
    for (let number = 0; number < partitionCount; number++) {
      if (this.isHere(number) || this.damaged.has(number)) continue
      const owner = peers?.ownerOf(number)
      if (owner === hostId || peers === undefined) free.push(number)
      else if ((owner === undefined || mayTakeFrom(owner)) && room-- > 0) free.push(number)
    }
    return free
  }

  /** Takes the lease of a partition; undefined when it belongs to another host. */
  private async take(number: number): Promise<Partition | undefined> {
    const taken = await this.lease(number)
    if (!taken.taken) {
      this.ports.log.debug(
        { partition: number, owner: taken.owner },
        'the partition belongs to another host',
      )
      return undefined
    }
    return this.opened.open(number, taken.sequence)
  }

  // ── hand-over: a partition goes from one live host to another ──

  /**
   * Brings the stores of `numbers`, which another host serves, up to date. Those that are ready are
   * promised: their leases, when they come with the nonce returned here, are ours without our
   * writing anything.
   */
  async warm(numbers: readonly number[]): Promise<Prepared[]> {
    const ours = numbers.filter(
      (number) =>
        number < this.ports.partitionCount &&
        !this.isClosing &&
        !this.isHere(number) &&
        !this.damaged.has(number),
    )
    if (this.isTaking || ours.length === 0) return []
    const partitions: Partition[] = []
    const ready: Partition[] = []
    try {
      for (const number of ours) partitions.push(this.opened.open(number, 0))
      await this.loader.load(partitions, (partition) => ready.push(partition), 0)
    } catch (fault) {
      this.ports.log.warn({ fault: String(fault) }, 'offered partitions could not be brought up')
    }
    for (const partition of partitions) {
      if (ready.includes(partition)) await partition.save().catch(() => undefined)
      await partition.close()
    }
    return ready.map(({ number }) => {
      const nonce = this.ports.random.bytes(9).toString('base64url')
      this.promised.set(number, nonce)
      return { partition: number, nonce }
    })
  }

  /** Serves what was promised and has been given since. */
  async adopt(): Promise<void> {
    const { ledger, peers, hostId } = this.ports
    if (this.isTaking || this.isClosing) return
    // One that is offered once more, or was given away just now, has its store open:
    // takeFree takes it afterwards.
    const given = [...this.promised.keys()].filter(
      (number) => peers?.ownerOf(number) === hostId && !this.isHere(number),
    )
    if (given.length === 0) return
    await this.taking(async (taken) => {
      for (const number of given) {
        const found = await ledger.lastOn(leaseSubject(number))
        const nonce = this.promised.get(number)
        this.promised.delete(number)
        // Not the one that was promised: left to takeFree, which writes a lease of our own.
        if (found === undefined || decodeLease(found.data).nonce !== nonce) continue
        const partition = this.opened.open(number, found.sequence)
        taken.push(partition)
        this.rising.add(partition)
      }
      if (taken.length > 0) await this.hold(() => this.renewFence())
    })
  }

  /**
   * Gives `prepared` to `target`: stops serving them, saves, and writes all their leases in one
   * commit. Whatever becomes of that, they are not served here until the ledger says that they are
   * ours. Must run between two ticks.
   */
  async give(target: string, prepared: readonly Prepared[]): Promise<void> {
    const { ledger, clock, log } = this.ports
    const leaving: Array<Prepared & { served: Partition }> = []
    for (const one of prepared) {
      const served = this.served.get(one.partition)
      if (served !== undefined) leaving.push({ ...one, served })
    }
    if (leaving.length === 0) return
    for (const { served } of leaving) this.served.delete(served.number)
    const takenAtMs = clock.now()
    const outcome = await ledger.commit(
      leaving.map(({ partition, nonce, served }) => {
        const subject = leaseSubject(partition)
        const data = encodeLease({ hostId: target, takenAtMs, nonce })
        return { subject, data, expect: { subject, sequence: served.leaseSequence } }
      }),
    )
    for (const { served } of leaving)
      await served.save().then(
        () => served.close(),
        () => served.close(),
      )
    if (outcome.refused === undefined) {
      log.info({ target, partitions: leaving.length }, 'partitions were given to another host')
      this.isFenceStale = true
    } else
      log.warn({ target, ...outcome }, 'partitions could not be given away; their leases decide')
    await this.refreshFence()
  }

  /** A lease has changed: whether it is one of ours is looked up before the next tick. */
  onLeaseChange(): void {
    this.isFenceStale = true
  }

  /**
   * Lets go of what another host has taken. Must run between two ticks. When the ledger does not
   * answer, the next tick finds out.
   */
  async refreshFence(): Promise<void> {
    if (!this.isFenceStale) return
    try {
      this.isFenceStale = false
      if (await this.dropLost()) await this.renewFence()
    } catch (fault) {
      this.isFenceStale = true
      this.ports.log.warn({ fault: String(fault) }, 'the leases could not be looked up')
    }
  }

  /**
   * Seals our ticks once more, between two of them, when the ledger may forget the last of them,
   * everything up to `through`: a host that has written nothing for long would be refused its next
   * tick, and would read all its partitions again.
   */
  renewForgotten(through: number): void {
    if (this.fence > through || this.served.size === 0) return
    const renew = async (): Promise<void> => {
      if (this.fence <= through && this.served.size > 0) await this.renewFence()
    }
    this.hold(renew).catch((fault: unknown) =>
      this.ports.log.warn({ fault: String(fault) }, 'the fence could not be renewed'),
    )
  }

  /**
   * True when the ledger says, and said it soon, that nobody has sealed our ticks behind the fence.
   */
  async isFenceCurrent(): Promise<boolean> {
    const { ledger, clock, log, hostId } = this.ports
    const askedAt = clock.elapsedMs()
    try {
      const last = await ledger.lastOn(tickSubject(hostId))
      return last?.sequence === this.fence && clock.elapsedMs() - askedAt < limits.leaseSilenceMsMax
    } catch (fault) {
      log.warn({ fault: String(fault) }, 'the fence could not be read')
      return false
    }
  }

  private lease(number: number): Promise<LeaseTaken | LeaseHeld> {
    const { ledger, hostId, clock, random, mayTakeFrom } = this.ports
    return takeLease(ledger, number, hostId, { mayTakeFrom, clock, random })
  }

  /**
   * Brings partitions, which the fence speaks for, up to date; those that cannot be read are
   * closed.
   */
  private async bringUp(partitions: readonly Partition[]): Promise<Partition[]> {
    const loaded: Partition[] = []
    try {
      await this.loader.load(
        partitions.filter(({ isClosed }) => !isClosed),
        (partition) => loaded.push(partition),
        this.fence,
      )
      this.laterVersion = undefined
    } catch (fault) {
      if (isLaterVersion(fault)) this.laterVersion = fault.message
      throw fault
    }
    return loaded
  }

  /**
   * Serves those of `loaded` whose leases are still ours: while they were read they were not looked
   * after. Must run between two ticks, so that none is written for them before.
   */
  private async serve(loaded: readonly Partition[]): Promise<void> {
    await this.dropLost()
    for (const partition of loaded) {
      if (partition.isClosed) continue
      this.rising.delete(partition)
      this.served.set(partition.number, partition)
    }
    this.onServed(loaded.map(({ number }) => number))
  }

  /**
   * Moves the fence to a seal of our own behind everything that was written for our partitions;
   * those that have gone to another host are let go. A host that takes one from now on seals our
   * ticks behind it, and the next one is refused. Must run between two ticks.
   */
  private async renewFence(): Promise<void> {
    const { ledger, hostId } = this.ports
    for (let attempt = 0; attempt < sealAttemptsMax; attempt++) {
      const sealed = await sealOwnTicks(ledger, hostId, this.held())
      if (sealed !== 'fence') {
        this.fence = sealed
        return
      }
      await this.dropLost()
    }
    throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'the leases change too fast')
  }

  /** Those that the fence speaks for. */
  private held(): Partition[] {
    return [...this.served.values(), ...this.rising].filter(({ isClosed }) => !isClosed)
  }

  /** Lets go of the partitions whose lease is a later one than ours; true when there were any. */
  private async dropLost(): Promise<boolean> {
    const { ledger, log } = this.ports
    const ours = this.held()
    const leases = await Promise.all(ours.map(({ number }) => ledger.lastOn(leaseSubject(number))))
    let isAnyLost = false
    for (const [index, partition] of ours.entries()) {
      // An earlier one is told by a server that lags.
      if ((leases[index]?.sequence ?? 0) <= partition.leaseSequence) continue
      log.warn({ partition: partition.number }, 'the partition has gone to another host')
      isAnyLost = true
      this.rising.delete(partition)
      await this.drop(partition)
    }
    return isAnyLost
  }

  /**
   * Brings all partitions back to what is on disk. After a tick of unknown fate, or behind a
   * foreign seal, the fence is renewed first: should the tick still be under way, it is refused for
   * ever.
   */
  async reload(isInDoubt: boolean): Promise<void> {
    const before = [...this.served.values()]
    let ours = before
    // Nobody looks into them meanwhile: requests that come are sent back, and come again.
    this.served.clear()
    for (const { number } of ours) this.reloading.add(number)
    for (let isDone = false; !isDone;) {
      try {
        for (const partition of ours) this.rising.add(partition)
        if (isInDoubt) await this.renewFence()
        await this.serve(await this.bringUp(ours))
        isDone = true
      } catch (fault) {
        this.served.clear()
        ours = ours.filter((partition) => !partition.isClosed)
        // The stores are closed next: the next owner reads the ledger.
        if (this.isClosing) break
        this.ports.log.warn({ fault: String(fault) }, 'the ledger does not answer; trying again')
        await pause(this.ports.clock, ledgerRetryMs)
      }
    }
    for (const partition of before) this.rising.delete(partition)
    this.reloading.clear()
  }

  /** Waits for the stores of partitions that are far behind. */
  async catchUp(lastSequence: number): Promise<void> {
    const behind = [...this.served.values()].filter((partition) => partition.isFarBehind)
    await Promise.all(
      behind.map((partition) => partition.saveAndSleep(this.ports.clock, lastSequence)),
    )
  }

  private async drop(partition: Partition): Promise<void> {
    if (this.served.get(partition.number) === partition) this.served.delete(partition.number)
    await partition.close()
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
