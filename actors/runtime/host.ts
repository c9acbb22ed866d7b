/**
 * The host of partitions: one pipeline that turns messages into decisions, decisions into one fenced batch on the ledger
 * (facts of all its partitions and deliveries together), and only then runs the effects.
 *
 *   mailbox ─ pull ─▶ decide ─▶ commit ─▶ effects: acknowledgements, exchanges with devices
 *      ▲                           │
 *      └──── put back, after reloading from disk, when it is not known to be written
 *
 * The pull is the clock: while one batch is on its way to disk the next one gathers in the mailbox. Repeating a message is
 * harmless (requests are known by their RequestID, answers by what is on its way), so every doubt is settled the same
 * way: forget what is in memory, read what is on disk, decide again.
 */
import { tap, type Subscription } from 'rxjs'
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { readKind, readLane, readTarget } from '../../core/envelope/envelope.ts'
import { forEachEnvelope, type FrameWriter } from '../../core/envelope/frame.ts'
import { Kind, offsetOf } from '../../core/envelope/layout.ts'
import { takeLease, type LeaseHeld, type LeaseTaken } from '../../core/ledger/lease.ts'
import { emptyBytes, fnv1a32 } from '../../core/base/bytes.ts'
import { hostSubject, type Bus } from '../../core/ports/bus.ts'
import type { Clock } from '../../core/ports/clock.ts'
import { aliveSubject, leaseSubject } from '../../core/ports/lease.ts'
import type { CommitRefusal, Ledger } from '../../core/ports/ledger.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Metrics } from '../../core/ports/metrics.ts'
import type { Random } from '../../core/ports/random.ts'
import type { PartitionStore } from '../../core/ports/store.ts'
import type { Wan } from '../../core/ports/wan.ts'
import { pullFrom, type PullSource } from '../../core/stream/pull.ts'
import type { DeviceBehaviour } from '../device/actor.ts'
import { resume, wake } from '../device/messages.ts'
import { Exchanges } from './exchanges.ts'
import { hostMetrics, type HostMetrics } from './host-metrics.ts'
import { Mailbox, type Mail } from './mailbox.ts'
import { Partition } from './partition.ts'
import { answer, FrameReplies, replyToOf } from './replies.ts'
import { Tick } from './tick.ts'

export type HostOptions = {
  hostId: string
  partitionCount: number
  ledger: Ledger
  bus: Bus
  openStore: (partition: number) => PartitionStore
  wan: Wan
  clock: Clock
  random: Random
  log: Log
  metrics: Metrics
  /** True for an owner that has been silent for too long. */
  mayTakeFrom: (owner: string) => boolean
  /** Awake actors of the whole host. */
  actorsAwakeMax: number
  actorIdleMs: number
  checkpointIntervalMs: number
  /** What partitions run; the device, unless a test says otherwise. */
  behaviour?: DeviceBehaviour
}

/** What makes a partition's log unreadable for good; everything else is tried again. */
const damage = new Set<ErrorCode>(['LEDGER_CHAIN_BROKEN', 'FRAME_MALFORMED', 'ENVELOPE_MALFORMED'])
/** How often due wakes are looked for. */
const wakeIntervalMs = 100
/** Wait before the ledger is tried again after a refusal. */
const ledgerRetryMs = 500
/** Wait for exchanges under way when the host is closed; what is still out then is sent again by the next owner. */
const drainMsMax = 5_000

export class Host {
  private readonly options: HostOptions
  private readonly mailbox = new Mailbox()
  private readonly partitions = new Map<number, Partition>()
  private readonly exchanges: Exchanges
  private readonly metrics: HostMetrics
  private pipeline: Subscription | undefined
  private served: { close(): Promise<void> } | undefined
  private callOff: (() => void) | undefined
  private isBusy = false
  private isClosing = false
  /** No new requests before this time: the ledger has no room. 0: there is room. */
  private fullUntil = 0
  /** Partitions whose chain does not hold: not served, not tried again. */
  private readonly damaged = new Set<number>()
  private heartbeatAt = 0
  private readonly spareWriters: FrameWriter[] = []
  private isTaking = false

  constructor(options: HostOptions) {
    this.options = options
    this.exchanges = new Exchanges(options.wan, options.clock, options.log)
    this.metrics = hostMetrics(options.metrics)
  }

  /** Partitions served here. */
  get owned(): number[] {
    return [...this.partitions.keys()]
  }

  get isLedgerFull(): boolean {
    return this.fullUntil > 0
  }

  /** Takes every partition that nobody else has, brings it up to date, and serves it. What cannot be taken now is tried again. */
  async start(): Promise<void> {
    const { bus, hostId } = this.options
    await this.takeWhatIsFree()
    const mail: PullSource<Mail> = {
      take: (countMax) => this.mailbox.take(countMax),
      onReady: (ready) => {
        this.mailbox.onReady = ready
      },
    }
    this.pipeline = pullFrom(mail, (mails) => this.gather(mails), { batchMax: limits.tickMessagesMax })
      .pipe(tap((tick) => this.run(tick)))
      .subscribe({
        error: (fault: unknown) => this.options.log.error({ fault: String(fault) }, 'the pipeline has ended'),
      })
    this.served = await bus.serve(hostSubject(hostId), (frame, reply) => this.onFrame(frame, reply))
    this.armWakes()
  }

  private lease(number: number): Promise<LeaseTaken | LeaseHeld> {
    const { ledger, hostId, clock, random, mayTakeFrom } = this.options
    return takeLease(ledger, number, hostId, { mayTakeFrom, clock, random })
  }

  private async takeOver(number: number): Promise<void> {
    const { ledger, log, openStore } = this.options
    const taken = await this.lease(number)
    if (!taken.taken) {
      log.debug({ partition: number, owner: taken.owner }, 'the partition belongs to another host')
      return
    }
    const partition = new Partition({
      number,
      ledger,
      store: openStore(number),
      log,
      actorsAwakeMax: Math.ceil(this.options.actorsAwakeMax / this.options.partitionCount),
      actorIdleMs: this.options.actorIdleMs,
      onParked: () => this.metrics.parked.add(),
      ...(this.options.behaviour && { behaviour: this.options.behaviour }),
    })
    try {
      await this.bringUp(partition, taken.sequence)
    } catch (fault) {
      await partition.close()
      if (!(fault instanceof BrokerError && damage.has(fault.code))) throw fault
      // One damaged partition does not stop the others; its devices answer BROKER_PARTITION_UNAVAILABLE.
      log.error({ partition: number, code: fault.code, detail: fault.detail }, 'the partition cannot be served')
      this.damaged.add(number)
    }
  }

  /** Partitions that nobody serves any more come here. */
  private async takeWhatIsFree(): Promise<void> {
    if (this.isTaking) return
    this.isTaking = true
    for (let number = 0; number < this.options.partitionCount && !this.isClosing; number++) {
      if (this.partitions.has(number) || this.damaged.has(number)) continue
      try {
        await this.takeOver(number)
      } catch (fault) {
        this.options.log.warn({ partition: number, fault: String(fault) }, 'a free partition could not be taken yet')
      }
    }
    this.isTaking = false
  }

  private async bringUp(partition: Partition, leaseSequence: number): Promise<void> {
    partition.leaseSequence = leaseSequence
    await partition.load()
    this.partitions.set(partition.number, partition)
    for (const device of partition.unfinished()) this.mailbox.post({ partition, device, message: resume })
    this.metrics.partitions.set(this.partitions.size)
  }

  // ── in ──

  private onFrame(frame: Buffer, reply: (frame: Uint8Array) => void): void {
    const replies = new FrameReplies(reply)
    const starts: number[] = []
    try {
      forEachEnvelope(frame, 0, (at) => starts.push(at))
    } catch (fault) {
      // From a gateway of ours, so a bug or another version; what it asked for is answered by its time-out.
      this.options.log.error({ fault: String(fault) }, 'a frame from a gateway is malformed')
      starts.length = 0
    }
    for (const at of starts) this.onEnvelope(frame, at, replies)
    replies.close()
  }

  private onEnvelope(buffer: Buffer, at: number, replies: FrameReplies): void {
    replies.expect()
    const asked = { replies, buffer, at }
    const now = this.options.clock.now()
    const refuse = (code: ErrorCode): void =>
      replies.acknowledge(asked, errorId(code), now, now + limits.busyRetryAfterMs)
    const targetAt = at + offsetOf.target
    const number = fnv1a32(buffer, targetAt, targetAt + 8) % this.options.partitionCount
    const partition = this.partitions.get(number)
    if (partition === undefined) return refuse('BROKER_PARTITION_UNAVAILABLE')
    if (this.isClosing) return refuse('BROKER_DRAINING')
    if (now < this.fullUntil && readKind(buffer, at) === Kind.SERVICE_REQUEST) return refuse('BROKER_LEDGER_FULL')
    const message = { type: 'ARRIVED', buffer, at, replyTo: replyToOf(asked) } as const
    const mail = { partition, device: readTarget(buffer, at), message }
    if (!this.mailbox.offer(mail, readLane(buffer, at))) refuse('BROKER_PARTITION_BUSY')
  }

  private armWakes(): void {
    const { clock } = this.options
    this.callOff = clock.at(clock.now() + wakeIntervalMs, () => {
      const now = clock.now()
      // Under load a tick is nearly always under way; time goes on all the same.
      for (const partition of this.partitions.values()) {
        for (const device of partition.due(now)) this.mailbox.post({ partition, device, message: wake })
      }
      this.beat(now)
      if (!this.isBusy) this.betweenTicks(now)
      this.armWakes()
    })
  }

  /** Says that this host is alive, and looks for partitions that have lost theirs. */
  private beat(now: number): void {
    const { bus, hostId, partitionCount } = this.options
    if (now - this.heartbeatAt < limits.aliveIntervalMs) return
    this.heartbeatAt = now
    bus.announce(aliveSubject(hostId), emptyBytes)
    if (this.partitions.size + this.damaged.size < partitionCount) void this.takeWhatIsFree()
  }

  // ── decide, commit, effects ──

  /** Decides and commits; settles with what is to be run now that it is on disk, or undefined when it is not. */
  private async gather(mails: Mail[]): Promise<Tick | undefined> {
    this.isBusy = true
    const startedAt = this.options.clock.now()
    const tick = new Tick(mails, this.spareWriters)
    const left = this.decideAll(tick)
    if (left.length > 0) this.mailbox.putBack(left)
    const { entries, written } = tick.entries(this.partitions.values())
    if (entries.length === 0) return tick
    const committed = await this.options.ledger.commit(entries)
    tick.release()
    if (committed.refused !== undefined) {
      await this.recover(mails.slice(0, mails.length - left.length), committed)
      return undefined
    }
    this.fullUntil = 0
    for (const [index, partition] of written.entries()) partition.committed(committed.firstSequence + index)
    this.metrics.onCommit(tick, entries, this.options.clock.now() - startedAt)
    return tick
  }

  private run(tick: Tick | undefined): void {
    for (const { partition, device, effect } of tick?.effects ?? []) {
      if (effect.type === 'SEND') {
        this.exchanges.start(device, effect, (message) => {
          // Looked up again: the partition may have been given away and come back while the exchange was under way.
          const owner = this.partitions.get(partition.number)
          if (owner !== undefined) this.mailbox.post({ partition: owner, device, message })
        })
      } else answer(effect)
    }
    this.isBusy = false
    this.betweenTicks(this.options.clock.now())
  }

  /** Decides until all is decided or the batch is large enough; returns what is left. */
  private decideAll(tick: Tick): readonly Mail[] {
    const { clock } = this.options
    const { mails } = tick
    const now = clock.now()
    let factBytes = 0
    let frames = 0
    for (let index = 0; index < mails.length; index++) {
      const { partition, device, message } = mails[index]!
      // The partition may have gone to another host since.
      if (this.partitions.get(partition.number) !== partition) {
        this.disown(mails[index]!, now)
        continue
      }
      const before = partition.factBytes
      partition.process(device, message, now, tick)
      factBytes += partition.factBytes - before
      if (before === 0 && partition.factBytes > 0) frames++
      // What is left over is decided next, before everything else.
      const isFull = factBytes + tick.deliveryBytes > limits.tickBytesMax
      if (isFull || frames + tick.deliveryFrames >= limits.ledgerBatchMessagesMax) return mails.slice(index + 1)
    }
    return []
  }

  private disown({ message }: Mail, now: number): void {
    if (message.type !== 'ARRIVED') return
    const notBefore = now + limits.busyRetryAfterMs
    const outcome = errorId('BROKER_PARTITION_UNAVAILABLE')
    answer({ type: 'ACKNOWLEDGE', replyTo: message.replyTo, outcome, time: now, notBefore })
  }

  /** Between two ticks memory is what is on disk: the moment for checkpoints. */
  private betweenTicks(now: number): void {
    let awake = 0
    for (const partition of this.partitions.values()) {
      partition.saveWhenDue(now, this.options.checkpointIntervalMs)
      awake += partition.awakeCount
    }
    this.metrics.awake.set(awake)
    this.metrics.waiting.set(this.mailbox.length)
    this.metrics.exchanges.set(this.exchanges.count)
  }

  // ── when the ledger says no ──

  private async recover(mails: readonly Mail[], refusal: CommitRefusal): Promise<void> {
    const { log, clock } = this.options
    this.metrics.refused(refusal.refused)
    log.warn({ refused: refusal.refused, detail: refusal.detail }, 'a batch was not written; its messages are decided again')
    for (const partition of [...this.partitions.values()]) await this.reload(partition, refusal.refused === 'unknown')
    let again = mails
    if (refusal.refused === 'full' || refusal.refused === 'too-large') {
      const now = clock.now()
      this.fullUntil = now + ledgerRetryMs
      again = mails.filter((mail) => !this.refuseForRoom(mail, now))
      await this.pause(ledgerRetryMs)
    }
    this.mailbox.putBack(again)
  }

  private refuseForRoom({ message }: Mail, now: number): boolean {
    if (message.type !== 'ARRIVED' || readKind(message.buffer, message.at) !== Kind.SERVICE_REQUEST) return false
    const notBefore = now + limits.busyRetryAfterMs
    const outcome = errorId('BROKER_LEDGER_FULL')
    answer({ type: 'ACKNOWLEDGE', replyTo: message.replyTo, outcome, time: now, notBefore })
    return true
  }

  /**
   * Brings a partition back to what is on disk. After a batch of unknown fate the lease is taken anew first, so that
   * this batch, should it still be under way, is refused for ever.
   */
  private async reload(partition: Partition, isInDoubt: boolean): Promise<void> {
    const { ledger, log } = this.options
    const { number } = partition
    for (;;) {
      try {
        let { leaseSequence } = partition
        if (isInDoubt) {
          const taken = await this.lease(number)
          leaseSequence = taken.taken ? taken.sequence : 0
        } else {
          const lease = await ledger.lastOn(leaseSubject(number))
          if (lease?.sequence !== leaseSequence) leaseSequence = 0
        }
        if (leaseSequence === 0) {
          log.warn({ partition: number }, 'the partition has gone to another host')
          return await this.drop(partition)
        }
        this.partitions.delete(number)
        return await this.bringUp(partition, leaseSequence)
      } catch (fault) {
        if (fault instanceof BrokerError && damage.has(fault.code)) {
          log.error({ partition: number, detail: fault.detail }, 'the partition cannot be served')
          this.damaged.add(number)
          return await this.drop(partition)
        }
        log.warn({ partition: number, fault: String(fault) }, 'the ledger does not answer; trying again')
        await this.pause(ledgerRetryMs)
      }
    }
  }

  private async drop(partition: Partition): Promise<void> {
    this.partitions.delete(partition.number)
    this.metrics.partitions.set(this.partitions.size)
    await partition.close()
  }

  private pause(ms: number): Promise<void> {
    const { clock } = this.options
    return new Promise((resolve) => void clock.at(clock.now() + ms, resolve))
  }

  // ── end ──

  /** Takes nothing new, ends what it can, saves, and lets go. */
  async close(): Promise<void> {
    const { clock, log } = this.options
    this.isClosing = true
    const deadline = clock.now() + drainMsMax
    while ((this.exchanges.count > 0 || this.mailbox.length > 0 || this.isBusy) && clock.now() < deadline) {
      await this.pause(20)
    }
    await this.served?.close()
    this.callOff?.()
    this.pipeline?.unsubscribe()
    for (const partition of this.partitions.values()) {
      await partition.save().catch((fault: unknown) => log.error({ fault: String(fault) }, 'the store could not be saved'))
      await partition.close()
    }
    this.partitions.clear()
  }
}
