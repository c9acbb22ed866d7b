/**
 * The ledger over NATS JetStream: one stream, fenced commits, ordered readers. Stations 6 and 12 of
 * the way of a message.
 *
 * A commit is one hop, one flush of the server's disk, one acknowledgement for all of its messages
 * (batch-publisher.ts).
 *
 * It does not decide who may write (lease.ts), gather (the caller does, while the commit
 * before is under way), or find out what became of a doubtful one (decision 0003).
 *
 * @source NATS ADR-50 (atomic batches), core/decisions/0006
 */
import { TimeoutError, type NatsConnection } from '@nats-io/transport-node'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { pause, systemClock, type Clock } from '../ports/clock.ts'
import type {
  Committed,
  CommitRefusal,
  Ledger,
  LedgerEntry,
  LedgerMessage,
  LedgerUsage,
} from '../ports/ledger.ts'
import { silentLog, type Log } from '../ports/log.ts'
import { systemRandom } from '../ports/random.ts'
import { BatchPublisher } from './batch-publisher.ts'
import { ConnectionHealth } from '../nats/connection.ts'
import { IdentityGuard } from './identity-guard.ts'
import { decodeDeployment } from './identity.ts'
import {
  deploymentSubject,
  ledgerStreamNameDefault,
  openForRestore,
  openServing,
  readDeployment,
  type OpenedLedger,
  type OpeningPorts,
  type OpeningTerms,
  type StreamLook,
} from './opening.ts'
import { RecordsReserve } from './records-reserve.ts'
import type { LedgerStreamOptions } from './stream-settings.ts'
import { messageNotFoundCode, SubjectReader } from './subject-reader.ts'

export type JetStreamLedgerOptions = Partial<LedgerStreamOptions> &
  OpeningTerms & {
    /** Carries commits; the caller closes it, after `close`. */
    connection: NatsConnection
    /** Carries what is read and followed; the same one when left out. */
    followConnection?: NatsConnection | undefined
    /** Octets after which the ledger refuses. */
    bytesMax: number
    /** Fixed when a deployment is created. */
    partitionCount: number
    /**
     * `serve`, when left out, records the partition count or compares it; `read` changes nothing
     * and ignores it; `restore` wants a ledger without a deployment, and makes its stream.
     */
    purpose?: 'serve' | 'read' | 'restore' | undefined
    /**
     * Of a ledger that is made: the sequence of its first message; 1 when left out. For `restore`
     * of one that was trimmed.
     */
    firstSequence?: number | undefined
    clock?: Clock | undefined
    log?: Log | undefined
    /**
     * A handler of `follow` threw: that follower has stopped. Left out, the fault is thrown again
     * where nobody can miss it.
     */
    onFollowFault?: ((subject: string, fault: unknown) => void) | undefined
    /**
     * Another ledger is there now, or an older copy: nothing more is written, see `identityFault`.
     */
    onIdentityLost?: ((fault: BrokerError) => void) | undefined
  }

export const subjectPrefixDefault = 'busbar'

// err_code of the server: JetStream has no leader.
const noLeaderCode = 10008

/** False when the server had no leader to ask. */
const isAnswer = (answer: unknown): boolean =>
  (answer as { error?: { err_code?: number } } | null)?.error?.err_code !== noLeaderCode

export class JetStreamLedger implements Ledger {
  readonly partitionCount: number
  private readonly purpose: 'serve' | 'read' | 'restore'
  private readonly connection: NatsConnection
  private readonly followConnection: NatsConnection
  private readonly stream: LedgerStreamOptions
  private readonly prefix: string
  private readonly clock: Clock
  private readonly log: Log
  private readonly onFollowFault: (subject: string, fault: unknown) => void
  private readonly health: ConnectionHealth
  private readonly followHealth: ConnectionHealth
  private readonly publisher: BatchPublisher
  private readonly readers = new Set<SubjectReader>()
  private readonly guard: IdentityGuard
  private readonly reserve = new RecordsReserve()
  private readonly terms: OpeningTerms
  private opened: OpenedLedger | undefined
  private stopListening: () => void = () => {}
  private cancelProbe: () => void = () => {}
  /**
   * Elapsed time of the first commit of those whose fate is unknown, behind which none was decided.
   */
  private undecidedSince: number | undefined

  /** Use createLedger. */
  constructor(options: JetStreamLedgerOptions) {
    this.connection = options.connection
    this.followConnection = options.followConnection ?? options.connection
    this.partitionCount = options.partitionCount
    this.purpose = options.purpose ?? 'serve'
    this.stream = {
      streamName: options.streamName ?? ledgerStreamNameDefault,
      subjectPrefix: options.subjectPrefix ?? subjectPrefixDefault,
      replicas: options.replicas ?? 1,
      bytesMax: options.bytesMax,
      firstSequence: options.firstSequence ?? 1,
    }
    this.prefix = `${this.stream.subjectPrefix}.`
    this.clock = options.clock ?? systemClock
    this.log = options.log ?? silentLog
    this.onFollowFault =
      options.onFollowFault ??
      ((_subject, fault) => {
        queueMicrotask(() => {
          throw fault
        })
      })
    this.health = new ConnectionHealth(this.connection, this.clock, this.log)
    this.followHealth =
      this.followConnection === this.connection
        ? this.health
        : new ConnectionHealth(this.followConnection, this.clock, this.log)
    this.publisher = new BatchPublisher({
      connection: this.connection,
      subjectPrefix: this.stream.subjectPrefix,
      clock: this.clock,
      streamInfo: () => this.info(),
    })
    this.terms = options
    this.guard = new IdentityGuard({
      clock: this.clock,
      isCluster: () => this.connection.info?.cluster !== undefined,
      info: (waitMs) => this.info(waitMs),
      deployment: async () => {
        const found = await this.lastOn(deploymentSubject)
        return found && decodeDeployment(found.data)
      },
      onLost: options.onIdentityLost,
    })
  }

  /**
   * @throws BrokerError LEDGER_MISSING, LEDGER_IDENTITY_MISMATCH, LEDGER_ROLLED_BACK,
   * LEDGER_SETTINGS_UNSAFE, LEDGER_DEPLOYMENT_MISMATCH, BROKER_LEDGER_UNAVAILABLE
   */
  async start(): Promise<void> {
    this.health.start()
    if (this.followHealth !== this.health) this.followHealth.start()
    const offCommits = this.health.onChange((isConnected) => {
      if (isConnected) return void this.guard.verify().catch(() => undefined)
      this.guard.onDisconnect()
      this.publisher.settleAllUnknown('the connection was lost')
    })
    const offReaders = this.followHealth.onChange((isConnected) => {
      if (isConnected) for (const reader of [...this.readers]) reader.onReconnect()
    })
    const offAcknowledgements = this.publisher.start()
    this.stopListening = () => {
      offCommits()
      offReaders()
      offAcknowledgements()
    }
    this.checkPayload()
    await this.openForUse()
    this.probe()
  }

  /**
   * Asks over each connection now and then: a mere follower would not learn that its server is
   * cut off from the others.
   */
  private probe(): void {
    const operation = `STREAM.MSG.GET.${this.stream.streamName}`
    const request = [
      `$JS.API.${operation}`,
      JSON.stringify({ last_by_subj: this.prefix + deploymentSubject }),
      limits.ledgerAskMs,
    ] as const
    this.cancelProbe = this.clock.at(this.clock.now() + limits.ledgerProbeMs, () => {
      if (this.connection.isClosed() || this.followConnection.isClosed()) return
      for (const health of new Set([this.health, this.followHealth]))
        health.request(...request).then(
          (reply) => health.report(operation, isAnswer(reply.json())),
          () => health.report(operation, false),
        )
      this.probe()
    })
  }

  private async openForUse(): Promise<void> {
    if (this.purpose === 'read') return void (await readDeployment(this))
    const ports: OpeningPorts = {
      connection: this.connection,
      clock: this.clock,
      log: this.log,
      random: systemRandom,
      stream: this.stream,
      partitionCount: this.partitionCount,
      info: (waitMs) => this.info(waitMs),
      lastOn: (subject) => this.lastOn(subject),
      at: (sequence) => this.at(sequence),
      commit: (entries) => this.commit(entries),
    }
    try {
      if (this.purpose === 'restore') return await openForRestore(ports)
      this.opened = await openServing(ports, this.terms)
      this.guard.expect(this.opened.deployment.identity)
    } catch (cause) {
      // At the start this is an operator's business, not a party's.
      if (!(cause instanceof BrokerError && cause.code === 'BROKER_LEDGER_UNAVAILABLE')) throw cause
      throw new BrokerError('NATS_UNREACHABLE', `JetStream does not answer: ${cause.detail}`, {
        cause,
      })
    }
  }

  /** The deployment, and what the start has decided; only of a ledger that was opened to serve. */
  get openedAs(): OpenedLedger {
    assert(this.opened !== undefined, 'a ledger that was opened to serve')
    return this.opened
  }

  /** Why what is there now is not the ledger that was opened, or undefined. */
  get identityFault(): BrokerError | undefined {
    return this.guard.fault
  }

  /** Stops readers and settles commits under way as unknown. Connections stay open. */
  async close(): Promise<void> {
    this.stopListening()
    this.cancelProbe()
    this.publisher.settleAllUnknown('the ledger was closed')
    await Promise.all([...this.readers].map((reader) => reader.close()))
  }

  get replicas(): number {
    return this.stream.replicas
  }

  /** False while the connection that carries commits is away, or closed. */
  get isConnected(): boolean {
    return this.health.isConnected && !this.connection.isClosed()
  }

  /**
   * For how long no commit was decided, in ms, though some were tried; 0 when the last one was, or
   * the server is not connected.
   */
  get undecidedMs(): number {
    if (this.undecidedSince === undefined || !this.isConnected) return 0
    return this.clock.elapsedMs() - this.undecidedSince
  }

  /** Largest payload of one message, octets: the server's limit less room for headers. */
  get messageBytesMax(): number {
    return (this.connection.info?.max_payload ?? 1024 * 1024) - limits.ledgerHeadersBytesMax
  }

  async commit(entries: readonly LedgerEntry[]): Promise<Committed | CommitRefusal> {
    const count = entries.length
    assert(count > 0, 'a commit has entries')
    if (count > limits.ledgerBatchMessagesMax)
      return { refused: 'too-large', detail: `${count} messages` }
    let payloadBytes = 0
    for (let i = 0; i < count; i++) {
      const bytes = entries[i]!.data.length
      // Past it the server would not refuse the message but close the connection.
      if (bytes > this.messageBytesMax)
        return { refused: 'too-large', detail: `entry ${i} has ${bytes} octets` }
      payloadBytes += bytes
    }
    const endMs = this.clock.elapsedMs() + limits.ledgerCommitMsMax
    // Published while disconnected it would wait in the library's buffer and go out later, behind
    // our back.
    if (
      !this.health.isConnected &&
      !(await this.health.connected(this.clock.now() + limits.ledgerCommitMsMax))
    )
      return { refused: 'unknown', detail: 'not connected' }
    if (!this.guard.isVerified) {
      const leftMs = Math.max(1, endMs - this.clock.elapsedMs())
      const fault = await this.guard.verify(leftMs).catch((why: unknown) => String(why))
      if (fault !== undefined) return { refused: 'unknown', detail: fault }
    }
    // A ledger that is being restored takes all that a ledger may hold.
    const isRestore = this.purpose === 'restore'
    if (!isRestore && this.reserve.isLookDue) await this.usage().catch(() => undefined)
    const detail = isRestore ? undefined : this.reserve.refusal(entries)
    if (detail !== undefined) return { refused: 'full', detail }
    const askedAt = this.clock.elapsedMs()
    const leftMs = endMs - askedAt
    const outcome = await this.publisher.publish(entries, payloadBytes, this.clock.now() + leftMs)
    if (outcome.refused !== 'unknown') this.undecidedSince = undefined
    else this.undecidedSince ??= askedAt
    // A leader that was cut off refuses by its fences, and writes nothing; a full one does its
    // work.
    this.health.report('written', outcome.refused === undefined || outcome.refused === 'full')
    if (outcome.refused === undefined) {
      this.reserve.written(payloadBytes)
      this.guard.acknowledged(outcome.firstSequence + count - 1)
    }
    return outcome
  }

  lastOn(subject: string): Promise<LedgerMessage | undefined> {
    return this.message({ last_by_subj: this.prefix + subject })
  }

  at(sequence: number): Promise<LedgerMessage | undefined> {
    return this.message({ seq: sequence })
  }

  private async message(
    wanted: { last_by_subj: string } | { seq: number },
  ): Promise<LedgerMessage | undefined> {
    // By the leader, not by "direct get": that may be answered by a replica that has not caught up,
    // and fences are judged by this.
    const answer = await this.ask(
      `STREAM.MSG.GET.${this.stream.streamName}`,
      JSON.stringify(wanted),
    )
    const { error, message } = answer as {
      error?: { err_code: number; description: string }
      message?: { subject: string; seq: number; data?: string }
    }
    if (error?.err_code === messageNotFoundCode) return undefined
    if (error !== undefined || message === undefined) {
      throw new BrokerError(
        'BROKER_LEDGER_UNAVAILABLE',
        error ? `${error.err_code} ${error.description}` : 'no message in the answer',
      )
    }
    return {
      subject: message.subject.slice(this.prefix.length),
      sequence: message.seq,
      data: Buffer.from(message.data ?? '', 'base64'),
    }
  }

  async read(
    subject: string,
    fromSequence: number,
    onMessage: (message: LedgerMessage) => void | Promise<void>,
    throughSequence = 0,
  ): Promise<void> {
    const reader = this.startReader(subject, fromSequence, onMessage, true, throughSequence)
    await reader.ended
  }

  follow(
    subject: string,
    fromSequence: number,
    onMessage: (message: LedgerMessage) => void | Promise<void>,
  ): Promise<{ close(): Promise<void> }> {
    const reader = this.startReader(subject, fromSequence, onMessage, false)
    reader.ended.catch((fault: unknown) => {
      this.log.error(
        { subject, code: fault instanceof BrokerError ? fault.code : 'UNKNOWN' },
        'a follower of the ledger has stopped',
      )
      this.onFollowFault(subject, fault)
    })
    return Promise.resolve({ close: () => reader.close() })
  }

  async forget(subject: string, fromSequence: number): Promise<void> {
    const { error } = (await this.ask(
      `STREAM.PURGE.${this.stream.streamName}`,
      JSON.stringify({ filter: this.prefix + subject, seq: fromSequence }),
      limits.ledgerForgetMsMax,
    )) as { error?: { err_code: number; description: string } }
    if (error !== undefined)
      throw new BrokerError(
        'BROKER_LEDGER_UNAVAILABLE',
        `purge: ${error.err_code} ${error.description}`,
      )
  }

  async usage(): Promise<LedgerUsage> {
    const { config, state } = await this.guard.look()
    if (config === undefined || state === undefined)
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'no state in the answer')
    this.reserve.look(state.bytes, config.max_bytes)
    return { bytes: state.bytes, bytesMax: config.max_bytes, lastSequence: state.last_seq }
  }

  private async info(waitMs?: number): Promise<StreamLook> {
    return (await this.ask(`STREAM.INFO.${this.stream.streamName}`, '', waitMs)) as StreamLook
  }

  private startReader(
    subject: string,
    fromSequence: number,
    onMessage: (message: LedgerMessage) => void | Promise<void>,
    isBounded: boolean,
    throughSequence = 0,
  ): SubjectReader {
    const reader = new SubjectReader({
      connection: this.followConnection,
      health: this.followHealth,
      streamName: this.stream.streamName,
      subjectPrefix: this.stream.subjectPrefix,
      clock: this.clock,
      log: this.log,
      subject,
      fromSequence,
      onMessage,
      isBounded,
      throughSequence,
      verify: () => this.guard.verify(limits.ledgerAskMs),
    })
    this.readers.add(reader)
    const forget = (): void => void this.readers.delete(reader)
    reader.ended.then(forget, forget)
    reader.start()
    return reader
  }

  private async ask(
    operation: string,
    payload: string,
    waitMs: number = limits.ledgerAskMsMax,
  ): Promise<unknown> {
    const deadlineMs = this.clock.elapsedMs() + waitMs
    for (;;) {
      const leftMs = deadlineMs - this.clock.elapsedMs()
      try {
        const timeoutMs = Math.min(leftMs, limits.ledgerAskMs)
        const reply = await this.health.request(`$JS.API.${operation}`, payload, timeoutMs)
        const answer = reply.json<unknown>()
        this.health.report(operation, isAnswer(answer))
        if (isAnswer(answer) || leftMs <= limits.ledgerAskMs) return answer
        await pause(this.clock, limits.ledgerLeaderRetryMs)
      } catch (cause) {
        this.health.report(operation, false)
        if (leftMs > limits.ledgerAskMs && cause instanceof TimeoutError) continue
        throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', operation, { cause })
      }
    }
  }

  /** A frame that the server does not take could be neither written nor left out. */
  private checkPayload(): void {
    const found = this.messageBytesMax + limits.ledgerHeadersBytesMax
    const needed = limits.frameBytesMax + limits.ledgerHeadersBytesMax
    if (found < needed)
      throw new BrokerError(
        'LEDGER_SETTINGS_UNSAFE',
        `max_payload of the nats-server is ${found} octets, at least ${needed} are needed`,
      )
  }
}

/**
 * Opens the ledger: judges the stream that exists or makes one, records identity and partition
 * count or compares them.
 * @throws BrokerError LEDGER_MISSING, LEDGER_IDENTITY_MISMATCH, LEDGER_ROLLED_BACK,
 * LEDGER_IDENTITY_UNREADABLE, LEDGER_SETTINGS_UNSAFE, LEDGER_DEPLOYMENT_MISMATCH,
 * BROKER_LEDGER_UNAVAILABLE
 */
export async function createLedger(options: JetStreamLedgerOptions): Promise<JetStreamLedger> {
  const ledger = new JetStreamLedger(options)
  try {
    await ledger.start()
  } catch (fault) {
    await ledger.close()
    throw fault
  }
  return ledger
}
