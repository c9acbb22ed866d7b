/**
 * Who owns which partition, for gateways and hosts: the leases as the ledger tells them, and who
 * has been heard lately on the bus. A lease says who may write; a heartbeat says whether it is
 * worth asking. Neither is needed for safety: a frame sent to the wrong host is refused by it, and
 * a take-over too early is settled by the fence.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import type { Bus, OwnerDirectory } from '../ports/bus.ts'
import type { Clock } from '../ports/clock.ts'
import { aliveSubject, decodeLease, isHostId, partitionOfLease } from '../ports/lease.ts'
import type { Ledger } from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'

export type OwnersOptions = {
  ledger: Ledger
  bus: Bus
  clock: Clock
  log: Log
  partitionCount: number
}

type Waiter = { partition: number; was: string | undefined; done: () => void }

/**
 * Says every `aliveIntervalMs` that `hostId` is alive, until called off. The first time at once.
 */
export function announceAlive(bus: Bus, clock: Clock, hostId: string): () => void {
  const data = Buffer.from(hostId, 'latin1')
  let callOff = (): void => {}
  const beat = (): void => {
    bus.announce(aliveSubject(hostId), data)
    callOff = clock.at(clock.now() + limits.aliveIntervalMs, beat)
  }
  beat()
  return () => callOff()
}

export class Owners implements OwnerDirectory {
  readonly partitionCount: number
  private readonly options: OwnersOptions
  private readonly ownerByPartition: Array<string | undefined>
  private readonly heardAtMs = new Map<string, number>()
  private waiters: Waiter[] = []
  private readonly leaseListeners = new Set<(sequence: number) => void>()
  private closers: Array<{ close(): Promise<void> }> = []
  private startedAtMs = 0

  constructor(options: OwnersOptions) {
    this.options = options
    this.partitionCount = options.partitionCount
    this.ownerByPartition = Array.from({ length: options.partitionCount })
  }

  /**
   * Settles when every lease recorded until now is known. @throws BrokerError
   * BROKER_LEDGER_UNAVAILABLE
   */
  async start(): Promise<void> {
    const { ledger, bus, clock } = this.options
    this.startedAtMs = clock.now()
    this.closers.push(await bus.listen('alive.*', (data) => this.onAlive(data.toString('latin1'))))
    let nextSequence = 1
    const onLease = (message: { subject: string; sequence: number; data: Buffer }): void => {
      nextSequence = message.sequence + 1
      this.onLease(message.subject, message.data)
      for (const listener of this.leaseListeners) listener(message.sequence)
    }
    await ledger.read('lease.*', 1, onLease)
    this.closers.push(await ledger.follow('lease.*', nextSequence, onLease))
  }

  ownerOf(partition: number): string | undefined {
    return this.ownerByPartition[partition]
  }

  /** Hosts heard within `leaseSilenceMsMax`, in order of their names. */
  get aliveHosts(): string[] {
    const since = this.options.clock.now() - limits.leaseSilenceMsMax
    return Array.from(this.heardAtMs)
      .filter(([, atMs]) => atMs > since)
      .map(([hostId]) => hostId)
      .sort()
  }

  /** Calls `listener` with the sequence of each lease that changes from now on, once its owner is known here. */
  onLeaseChange(listener: (sequence: number) => void): () => void {
    this.leaseListeners.add(listener)
    return () => void this.leaseListeners.delete(listener)
  }

  /**
   * True when nothing was heard of `hostId` for `leaseSilenceMsMax`, counted from our own start at
   * the earliest.
   */
  isSilent(hostId: string): boolean {
    const { clock } = this.options
    return (
      clock.now() - Math.max(this.heardAtMs.get(hostId) ?? 0, this.startedAtMs) >=
      limits.leaseSilenceMsMax
    )
  }

  changed(partition: number, was: string | undefined, timeoutMs: number): Promise<void> {
    if (this.ownerByPartition[partition] !== was) return Promise.resolve()
    const { clock } = this.options
    return new Promise((resolve) => {
      const waiter: Waiter = {
        partition,
        was,
        done: () => {
          callOff()
          this.waiters = this.waiters.filter((other) => other !== waiter)
          resolve()
        },
      }
      const callOff = clock.at(clock.now() + timeoutMs, () => waiter.done())
      this.waiters.push(waiter)
    })
  }

  async close(): Promise<void> {
    const { closers } = this
    this.closers = []
    for (const waiter of [...this.waiters]) waiter.done()
    await Promise.all(closers.map((closer) => closer.close()))
  }

  private onLease(subject: string, data: Buffer): void {
    const partition = partitionOfLease(subject)
    if (partition < 0 || partition >= this.partitionCount) return
    try {
      this.ownerByPartition[partition] = decodeLease(data).hostId
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      this.options.log.error(
        { subject, code: fault.code },
        'a lease record is malformed; the owner is unknown',
      )
      this.ownerByPartition[partition] = undefined
    }
    for (const waiter of [...this.waiters]) {
      if (waiter.partition === partition && this.ownerByPartition[partition] !== waiter.was)
        waiter.done()
    }
  }

  private onAlive(hostId: string): void {
    if (!isHostId(hostId)) return
    const now = this.options.clock.now()
    // Names are the sender's, so their number is bounded: of too many the silent ones go, and a new one is not taken for a host.
    if (this.heardAtMs.size >= limits.hostsMax && !this.heardAtMs.has(hostId)) {
      for (const [other, atMs] of this.heardAtMs)
        if (now - atMs >= limits.leaseSilenceMsMax) this.heardAtMs.delete(other)
      if (this.heardAtMs.size >= limits.hostsMax) return
    }
    this.heardAtMs.set(hostId, now)
  }
}
