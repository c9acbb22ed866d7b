/**
 * The host of partitions: one pipeline that turns messages into decisions, decisions into one
 * fenced message on the ledger (facts of all its partitions and deliveries together), and only then
 * runs the effects.
 *
 *   mailbox ─ pull ─▶ decide ─▶ commit ─▶ effects: acknowledgements, exchanges with devices
 *      ▲                           │
 *      └──── put back, after reloading from disk, when it is not known to be written
 *
 * The pull is the clock: while one tick is on its way to disk the next one gathers in the mailbox.
 * Repeating a message is harmless (requests are known by their RequestID, answers by what is on its
 * way), so every doubt is settled the same way: forget what is in memory, read what is on disk,
 * decide again (owned-partitions.ts).
 */
import { tap, type Subscription } from 'rxjs'
import { fixedDirectory, type LiveDirectory } from '../../../core/access/directory.ts'
import { partitionAt } from '../../../core/envelope/partition.ts'
import type { ErrorCode } from '../../../core/base/error-table.ts'
import { actorIdOf, ActorKindNumber, kindOfActor } from '../../../core/base/actor-id.ts'
import { limits } from '../../../core/base/limits.ts'
import { envelopeEnd, readKind, readTarget } from '../../../core/envelope/envelope.ts'
import { forEachEnvelope, type FrameWriter } from '../../../core/envelope/frame.ts'
import { headerBytes, offsetOf } from '../../../core/envelope/layout.ts'
import { aliveSubject, announceAlive } from '../../../core/cluster/alive.ts'
import { hostSubject, pushSubject } from '../../../core/ports/bus.ts'
import {
  encodeHostStatus,
  statusSubject,
  type HostStatus,
} from '../../../core/cluster/process-status.ts'
import { pause } from '../../../core/ports/clock.ts'
import { tickSubject, type CommitRefusal } from '../../../core/ports/ledger.ts'
import { pullFrom, type PullSource } from '../../../core/stream/pull.ts'
import { ClockLag } from './clock-lag.ts'
import { Handover } from './handover.ts'
import type { HostOptions } from './host-options.ts'
import { forgetReplaced } from './replaced-records.ts'
import { Admission } from './admission.ts'
import { hostGauges, hostMetrics, lettersTrouble, type HostMetrics } from './host-metrics.ts'
import { LedgerRoom } from './ledger-room.ts'
import { LetterReader } from './letter-reader.ts'
import type { Mail } from '../partition/mail-queue.ts'
import { Mailbox } from '../partition/mailbox.ts'
import { ledgerRetryMs, OwnedPartitions } from './owned-partitions.ts'
import { isStoreDamage } from '../recovery/opening.ts'
import type { Partition } from '../partition/partition.ts'
import { OwnMessages } from './own-messages.ts'
import { expectPush } from './push-frames.ts'
import { letterboxId } from '../../kind/letterbox.ts'
import { Asked, FrameReplies, refuse } from '../../kind/replies.ts'
import { smallerMails } from './smaller-mails.ts'
import { effectPortsOf, HostedKinds } from './kind-effects.ts'
import { RejectionRecords } from './rejection-records.ts'
import { Snapshots } from '../recovery/snapshots.ts'
import { Tick } from '../partition/tick.ts'

/** How often due wakes are looked for. */
const wakeIntervalMs = 100
/** Wait at the close for exchanges under way; the next owner sends the rest again. */
const drainMsMax = 5_000

type Reply = (frame: Uint8Array) => void

export class Host {
  private readonly options: HostOptions
  private readonly mailbox = new Mailbox()
  private readonly partitions: OwnedPartitions
  private readonly hosted: HostedKinds
  private readonly ownMessages: OwnMessages
  private readonly letters: LetterReader
  private readonly directory: LiveDirectory
  private readonly metrics: HostMetrics
  private readonly admission: Admission
  private pipeline: Subscription | undefined
  private readonly served: { close(): Promise<void> }[] = []
  private callOff: (() => void) | undefined
  private fallSilent: (() => void) | undefined
  private isBusy = false
  private isClosing = false
  private hasFailed = false
  /** Fewer after a tick that was too large for the ledger, until one is written again. */
  private mailsPerTickMax: number = limits.tickMessagesMax
  /** What is to be done between two ticks, and its doing; the next tick waits for it. */
  private readonly held: Array<() => Promise<void>> = []
  private holding: Promise<void> | undefined
  private lookedAroundAt = 0
  private readonly handover: Handover
  private readonly snapshots: Snapshots
  private tickStartedAt = 0
  private readonly clockLag: ClockLag
  private statuses: { close(): Promise<void> } | undefined
  /** Sequence of our last tick. */
  private lastSequence = 0
  private readonly ledgerRoom = new LedgerRoom()
  private readonly rejections: RejectionRecords
  private readonly spareWriters: FrameWriter[] = []

  constructor(options: HostOptions) {
    this.options = options
    this.directory = options.directory ?? fixedDirectory()
    this.clockLag = new ClockLag(options)
    this.metrics = hostMetrics(options.metrics)
    this.admission = new Admission(this.mailbox, options.metrics)
    const hold = (action: () => Promise<void>): Promise<void> => this.hold(action)
    const ports = effectPortsOf({
      partitions: () => this.partitions,
      directory: this.directory,
      mailbox: this.mailbox,
      hold,
      fail: (fault) => this.fail(fault),
    })
    this.hosted = new HostedKinds(options.kinds, ports)
    const { clock } = options
    this.rejections = new RejectionRecords(options, this.ledgerRoom)
    const { mayRecord } = this.rejections
    this.partitions = new OwnedPartitions(
      { ...options, actorKinds: this.hosted.kinds, mayRecord },
      this.metrics,
      (numbers) => {
        this.ownMessages.post(clock.now())
        this.letters.restart(numbers)
      },
      hold,
    )
    this.letters = new LetterReader({
      ...options,
      post: (mail) => this.mailbox.tell(mail),
      served: (number) => this.partitions.get(number),
      held: () => this.snapshots.held,
    })
    const underWay = (): number => this.hosted.underWayCount
    this.ownMessages = new OwnMessages(this.mailbox, this.partitions, underWay)
    this.handover = new Handover(options, this.partitions, hold)
    this.snapshots = new Snapshots(options, this.metrics, this.partitions, this.ledgerRoom)
    hostGauges(options.metrics, {
      partitions: () => this.owned.length,
      awake: () => this.partitions.awakeCount,
      waiting: () => this.mailbox.length,
      exchanges: underWay,
      letters: this.letters,
      ledgerUsage: () => this.ledgerRoom.usage,
    })
  }

  /** Why letters between actors need an operator, though all is served; undefined as a rule. */
  get lettersTrouble(): string | undefined {
    return lettersTrouble(this.letters)
  }

  /** Partitions served here. */
  get owned(): number[] {
    return this.partitions.numbers
  }

  /** Takes and serves every free partition; what cannot be taken now is retried. */
  async start(): Promise<void> {
    const { bus, clock, hostId } = this.options
    // From here on, and whatever keeps the pipeline busy: a host that reads a long log is alive.
    this.fallSilent = announceAlive(bus, clock, aliveSubject(hostId), hostId)
    await this.partitions.takeFree()
    const mail: PullSource<Mail> = {
      take: (countMax) => this.mailbox.take(countMax),
      onReady: (ready) => {
        this.mailbox.onReady = ready
      },
    }
    this.pipeline = pullFrom(mail, (mails) => this.gather(mails), {
      batchMax: limits.tickMessagesMax,
    })
      .pipe(tap((tick) => this.run(tick)))
      .subscribe({ error: (fault: unknown) => this.fail(fault) })
    for (const subject of [hostSubject, pushSubject]) {
      const check = subject === pushSubject ? expectPush : undefined
      const serve = (frame: Buffer, reply: Reply): void => this.onFrame(frame, reply, check)
      this.served.push(await bus.serve(subject(hostId), serve))
    }
    this.statuses = await bus.serve(statusSubject(hostId), (_frame, reply) =>
      reply(encodeHostStatus(this.status())),
    )
    await this.handover.start()
    this.armWakes()
  }

  /** Why this host cannot serve as it should now, or undefined. */
  get trouble(): string | undefined {
    if (this.hasFailed) return 'the pipeline has ended'
    const laterVersion =
      this.partitions.laterVersion ?? this.letters.laterVersion ?? this.directory.trouble
    if (laterVersion !== undefined) return laterVersion
    if (!this.ledgerRoom.isForNew(0)) return 'BROKER_LEDGER_FULL'
    const ticking = this.options.clock.elapsedMs() - this.tickStartedAt
    if (this.isBusy && this.tickStartedAt > 0 && ticking > limits.tickMsMax)
      return `a tick is under way for ${ticking} ms: the ledger does not answer`
    return undefined
  }

  status(): HostStatus {
    const { hostId, roles = ['host'] } = this.options
    const comparison = this.options.comparison?.()
    return {
      hostId,
      roles: [...roles],
      partitions: Array.from(this.partitions.values(), (partition) => partition.status()),
      letters: this.letters.backlog,
      ...(comparison !== undefined && { comparison }),
    }
  }

  // ── in ──

  private onFrame(frame: Buffer, reply: Reply, check?: typeof expectPush): void {
    const replies = new FrameReplies(reply)
    const starts: number[] = []
    try {
      forEachEnvelope(frame, 0, (at) => {
        check?.(frame, at)
        starts.push(at)
      })
    } catch (fault) {
      // From a process of ours: a bug or another version. Its requests time out.
      this.options.log.error({ fault: String(fault) }, 'a frame from a process is malformed')
      starts.length = 0
    }
    for (const at of starts) this.onEnvelope(frame, at, replies)
    replies.close()
  }

  private onEnvelope(buffer: Buffer, at: number, replies: FrameReplies): void {
    replies.expect()
    const asked = new Asked(replies, buffer, at)
    const now = this.options.clock.now()
    const number = partitionAt(buffer, at + offsetOf.target, this.options.partitionCount)
    const kind = this.hosted.kinds.ofMessage(readKind(buffer, at))
    if (kind === undefined) return asked.refuse('ENVELOPE_MALFORMED', now)
    const message = { type: 'ARRIVED', buffer, at, replyTo: asked } as const
    const shortage = kind.isNew(message) && this.shortage
    const partition = this.partitions.get(number)
    if (partition === undefined) {
      // While it is reloaded, a full disk may be why.
      const isOurs = this.partitions.reloading.has(number)
      return asked.refuse((isOurs && shortage) || 'BROKER_PARTITION_UNAVAILABLE', now)
    }
    if (this.isClosing) return asked.refuse('BROKER_DRAINING', now)
    // What a tick may write is counted on it.
    if (envelopeEnd(buffer, at) - at > headerBytes + limits.requestBytesMax)
      return asked.refuse('REQUEST_SIZE_EXCEEDED', now)
    if (shortage) return asked.refuse(shortage, now)
    const isLetterbox = kind.number === ActorKindNumber.LETTERBOX
    const actor = isLetterbox ? letterboxId : actorIdOf(kind.number, readTarget(buffer, at))
    const mail = { partition, actor, message }
    const busy = this.admission.offer(mail, buffer, at)
    if (busy !== undefined) asked.refuse(busy, now)
  }

  /** Why nothing new is taken now, or undefined. */
  private get shortage(): ErrorCode | undefined {
    const underWay = this.hosted.underWayCount + this.mailbox.length
    const isRoom = this.ledgerRoom.isForNew(underWay, this.options.clock.elapsedMs())
    return isRoom ? this.options.shortage?.() : 'BROKER_LEDGER_FULL'
  }

  private armWakes(): void {
    const { clock } = this.options
    this.callOff = clock.at(clock.now() + wakeIntervalMs, () => {
      if (!this.isBusy) this.clockLag.look(this.partitions.values())
      // Under load a tick is nearly always under way; time goes on all the same.
      this.ownMessages.post(clock.now())
      // Partitions that have lost their host come here.
      const elapsedMs = clock.elapsedMs()
      if (elapsedMs - this.lookedAroundAt >= limits.lookAroundMs) {
        this.lookedAroundAt = elapsedMs
        void this.partitions.takeFree().then(() => this.handover.balance())
      }
      this.snapshots.look(elapsedMs)
      this.letters.makeRoom()
      this.hosted.look(elapsedMs, this.partitions.values())
      if (!this.isBusy) this.betweenTicks()
      this.armWakes()
    })
  }

  /** A bug of ours: memory is not saved, and the next start reads the ledger. */
  private fail(fault: unknown): void {
    const { log, onFault } = this.options
    this.hasFailed = true
    this.isClosing = true
    this.partitions.settleDown()
    this.callOff?.()
    log.error(
      { fault: fault instanceof Error ? fault.stack : String(fault) },
      'the pipeline has ended',
    )
    onFault(fault)
  }

  // ── decide, commit, effects ──

  /** Decides and commits; settles with the tick on disk, or undefined. */
  private async gather(taken: readonly Mail[]): Promise<Tick | undefined> {
    while (this.holding !== undefined) await this.holding
    this.isBusy = true
    this.clockLag.look(this.partitions.values())
    const { clock } = this.options
    const startedAt = clock.elapsedMs()
    this.tickStartedAt = startedAt
    if (this.partitions.isFenceStale) await this.partitions.refreshFence()
    // What is changed in the directory takes effect within a second, however slowly it is followed.
    this.directory.refreshAhead()
    if (!this.directory.isFresh && !(await this.directory.refresh())) {
      this.mailbox.putBack(taken)
      return undefined
    }
    const mails = this.ours(taken, clock.now())
    const tick = new Tick(mails.length, this.spareWriters, this.directory.current)
    let left: readonly Mail[]
    try {
      left = this.decideAll(mails, tick)
    } catch (fault) {
      if (!isStoreDamage(fault)) throw fault
      // Nothing of this tick is written; what it did to memory is undone by reading again.
      tick.release()
      await this.partitions.reload(false)
      this.mailbox.putBack(mails)
      return undefined
    }
    if (left.length > 0) this.mailbox.putBack(left)
    const message = tick.message(this.partitions.values())
    if (message === undefined) return this.sendable(tick, -Infinity)
    const { hostId, ledger } = this.options
    const subject = tickSubject(hostId)
    const expect = { subject, sequence: this.partitions.fence }
    const entries = [{ subject, data: message.data, expect }, ...tick.entriesBeside()]
    const bytes = entries.reduce((sum, { data }) => sum + data.length, 0)
    const committed = await ledger.commit(entries)
    tick.release()
    if (committed.refused !== undefined) {
      await this.recover(mails.slice(0, mails.length - left.length), committed)
      return undefined
    }
    this.ledgerRoom.fullUntil = 0
    this.mailsPerTickMax = Math.min(limits.tickMessagesMax, this.mailsPerTickMax * 2)
    this.lastSequence = this.partitions.fence = committed.firstSequence
    for (const partition of message.written) partition.committed(committed.firstSequence)
    forgetReplaced(this.options, entries, committed.firstSequence)
    this.ledgerRoom.onTick(bytes, tick.deliveryCount)
    this.metrics.onCommit(tick, bytes, clock.elapsedMs() - startedAt)
    return this.sendable(tick, startedAt)
  }

  /**
   * `tick`, when the partitions were known to be ours at or after `knownAt`. This process may have
   * been stopped for long since, and what is to be sent may have ended elsewhere: unless that was
   * just now the ledger is asked, and in doubt all is reloaded, so that nothing of it is sent.
   */
  private async sendable(tick: Tick, knownAt: number): Promise<Tick> {
    const isRecent = this.clockLag.isRecent(knownAt)
    if (isRecent || !this.hosted.hasSends(tick.effects)) return tick
    // The fence last: nothing may take time between its answer and what is sent.
    const isCurrent = (await this.directory.refresh()) && (await this.partitions.isFenceCurrent())
    if (!isCurrent) await this.partitions.reload(true)
    return tick
  }

  private run(tick: Tick | undefined): void {
    for (const { place, effect } of tick?.effects ?? []) this.hosted.run(place, effect)
    if (tick !== undefined) this.rejections.onTick(tick)
    this.letters.makeRoom()
    this.isBusy = false
    if (this.ownMessages.isMoreDue) this.ownMessages.post(this.options.clock.now())
    this.betweenTicks()
  }

  /** Decides until all is decided or the tick is large enough; returns what is left. */
  private decideAll(mails: readonly Mail[], tick: Tick): readonly Mail[] {
    const now = this.options.clock.now()
    let factBytes = 0
    for (let index = 0; index < mails.length; index++) {
      const { partition, actor, message } = mails[index]!
      const before = partition.factBytes
      partition.process(actor, message, now, tick)
      factBytes += partition.factBytes - before
      // What is left over is decided next, before everything else.
      if (tick.isFullWith(factBytes) || index + 1 >= this.mailsPerTickMax)
        return mails.slice(index + 1)
    }
    return []
  }

  /** Refuses mails whose partition has gone to another host, and returns the rest. */
  private ours(mails: readonly Mail[], now: number): readonly Mail[] {
    const isOurs = ({ partition }: Mail): boolean =>
      this.partitions.get(partition.number) === partition
    if (mails.every(isOurs)) return mails
    return mails.filter((mail) => {
      if (isOurs(mail)) return true
      refuse(mail.message, 'BROKER_PARTITION_UNAVAILABLE', now)
      return false
    })
  }

  /** Checkpoints, and rebuilds a damaged store: between ticks memory is what is on disk. */
  private betweenTicks(): void {
    const { clock, checkpointIntervalMs } = this.options
    let isDamaged = false
    // One partition at a time, in turn: packing the states of all would be a long pause.
    let due: Partition | undefined
    let isFarBehind = false
    for (const partition of this.partitions.values()) {
      if (partition.isStoreDamaged) isDamaged = true
      else if (
        (due === undefined || partition.savedAt < due.savedAt) &&
        partition.isSaveDue(clock.elapsedMs(), checkpointIntervalMs, this.lastSequence)
      )
        due = partition
      isFarBehind ||= partition.isFarBehind
    }
    void due?.saveAndSleep(clock, this.lastSequence)
    if (isDamaged && !this.isClosing)
      this.hold(() => this.partitions.reload(false)).catch((fault: unknown) => this.fail(fault))
    else {
      // A former owner that receives no requests must learn of it, too.
      if (this.partitions.isFenceStale) this.held.push(() => this.partitions.refreshFence())
      if (isFarBehind) this.held.push(() => this.partitions.catchUp(this.lastSequence))
      this.runHeld()
    }
  }

  /** Runs `action` while no tick is under way; the next one waits for it. Rejects as it does. */
  private hold(action: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.held.push(() => action().then(resolve, reject))
      if (!this.isBusy) this.runHeld()
    })
  }

  private runHeld(): void {
    if (this.held.length === 0) return
    this.isBusy = true
    this.tickStartedAt = this.options.clock.elapsedMs()
    this.holding = (async () => {
      for (let next = this.held.shift(); next !== undefined; next = this.held.shift()) await next()
      this.holding = undefined
      this.isBusy = false
    })()
  }

  // ── when the ledger says no ──

  private async recover(mails: readonly Mail[], { refused, detail }: CommitRefusal): Promise<void> {
    const { log, clock } = this.options
    this.metrics.refused(refused)
    this.rejections.reset()
    log.warn({ refused, detail }, 'a tick was not written; its messages are decided again')
    await this.partitions.reload(refused === 'unknown' || refused === 'fence')
    const now = clock.now()
    let again = mails
    if (refused === 'full') {
      this.ledgerRoom.fullUntil = clock.elapsedMs() + ledgerRetryMs
      again = mails.filter((mail) => !this.isRefusedForRoom(mail, now))
      await pause(this.options.clock, ledgerRetryMs)
    } else if (refused === 'too-large') {
      this.mailsPerTickMax = Math.max(1, mails.length >> 1)
      if (mails.length === 1) again = await smallerMails(mails[0]!, now, this.hosted.kinds, clock)
    }
    this.mailbox.putBack(again)
  }

  /** Refuses a message to which nothing is owed yet. @returns whether it did */
  private isRefusedForRoom({ actor, message }: Mail, now: number): boolean {
    const isRefused = this.hosted.kinds.get(kindOfActor(actor))?.isNew(message) === true
    if (isRefused) refuse(message, 'BROKER_LEDGER_FULL', now)
    return isRefused
  }

  // ── end ──

  /** Takes nothing new, ends what it can, saves, and lets go. */
  async close(): Promise<void> {
    const { clock } = this.options
    await this.snapshots.close()
    this.hosted.close()
    // What is here goes where it can be served.
    await this.handover.close(!this.hasFailed)
    this.isClosing = true
    this.partitions.settleDown()
    await this.statuses?.close()
    await this.letters.close()
    const deadline = clock.elapsedMs() + drainMsMax
    const isOver = (): boolean =>
      this.hasFailed ||
      (this.hosted.underWayCount === 0 && this.mailbox.length === 0 && !this.isBusy)
    while (!isOver() && clock.elapsedMs() < deadline) await pause(this.options.clock, 20)
    for (const served of this.served) await served.close()
    this.callOff?.()
    this.pipeline?.unsubscribe()
    // In the middle of a tick memory is ahead of the ledger.
    await this.partitions.close(!this.isBusy && !this.hasFailed)
    this.fallSilent?.()
  }
}
