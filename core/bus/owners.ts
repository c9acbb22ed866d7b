/**
 * Who owns which partition, for gateways and hosts: the leases as the ledger tells them, and who
 * has been heard lately on the bus. A lease says who may write; a heartbeat says whether it is
 * worth asking. Neither is needed for safety: a frame sent to the wrong host is refused by it, and
 * a take-over too early is settled by the fence.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { aliveSubject, Heard } from '../cluster/alive.ts'
import type { Bus, OwnerDirectory } from '../ports/bus.ts'
import type { Clock } from '../ports/clock.ts'
import { decodeLease, partitionOfLease } from '../cluster/lease-record.ts'
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

export class Owners implements OwnerDirectory {
  readonly partitionCount: number
  private readonly options: OwnersOptions
  private readonly ownerByPartition: Array<string | undefined>
  private readonly heard = new Heard(limits.leaseSilenceMsMax)
  private waiters: Waiter[] = []
  private readonly leaseListeners = new Set<() => void>()
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
    this.startedAtMs = clock.elapsedMs()
    this.closers.push(
      await bus.listen(aliveSubject('*'), (data) =>
        this.heard.note(data.toString('latin1'), clock.elapsedMs()),
      ),
    )
    let nextSequence = 1
    const onLease = (message: { subject: string; sequence: number; data: Buffer }): void => {
      nextSequence = message.sequence + 1
      this.onLease(message.subject, message.data)
      for (const listener of this.leaseListeners) listener()
    }
    await ledger.read('lease.*', 1, onLease)
    this.closers.push(await ledger.follow('lease.*', nextSequence, onLease))
  }

  ownerOf(partition: number): string | undefined {
    return this.ownerByPartition[partition]
  }

  /** Hosts heard within `leaseSilenceMsMax`, in order of their names. */
  get aliveHosts(): string[] {
    return this.heard.alive(this.options.clock.elapsedMs())
  }

  /** Calls `listener` at each lease that changes from now on, once its owner is known here. */
  onLeaseChange(listener: () => void): () => void {
    this.leaseListeners.add(listener)
    return () => void this.leaseListeners.delete(listener)
  }

  /**
   * True when nothing was heard of `hostId` for `leaseSilenceMsMax`, counted from our own start at
   * the earliest.
   */
  isSilent(hostId: string): boolean {
    return this.heard.isSilent(hostId, this.options.clock.elapsedMs(), this.startedAtMs)
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
}
