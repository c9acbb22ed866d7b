/**
 * The ledger over NATS JetStream: one stream, fenced commits, ordered readers. Stations 6 and 12 of
 * the way of a message.
 *
 * A commit is one hop, one flush of the server's disk, one acknowledgement for all of its messages
 * (batch-publisher.ts).
 *
 * It does not decide who may write (lease.ts), gather (whoever commits does, while the commit before
 * is under way), or find out what became of a doubtful one (decision 0003).
 *
 * @source NATS ADR-50 (atomic batches), core/decisions/0006
 */
import { jetstreamManager } from '@nats-io/jetstream'
import { TimeoutError, type NatsConnection } from '@nats-io/transport-node'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { systemClock, type Clock } from '../ports/clock.ts'
import type {
  Committed,
  CommitRefusal,
  Ledger,
  LedgerEntry,
  LedgerMessage,
  LedgerUsage,
} from '../ports/ledger.ts'
import { silentLog, type Log } from '../ports/log.ts'
import { BatchPublisher } from './batch-publisher.ts'
import { ConnectionHealth, insist } from './connection.ts'
import {
  ledgerStreamConfig,
  unsafeLedgerSettings,
  type LedgerStreamOptions,
} from './stream-settings.ts'
import { messageNotFoundCode, SubjectReader } from './subject-reader.ts'

export type JetStreamLedgerOptions = Partial<LedgerStreamOptions> & {
  /** Carries commits; closed by whoever opened it, after `close`. */
  connection: NatsConnection
  /** Carries what is read and followed; the same one when left out. */
  followConnection?: NatsConnection | undefined
  /** Octets after which the ledger refuses. */
  bytesMax: number
  /** Fixed when a deployment is created. */
  partitionCount: number
  /**
   * `serve`, when left out, records the partition count or compares it; `read` changes nothing and ignores it; `restore` wants a
   * ledger without a deployment, and makes its stream.
   */
  purpose?: 'serve' | 'read' | 'restore' | undefined
  /** Of a ledger that is made: the sequence of its first message; 1 when left out. For `restore` of one that was trimmed. */
  firstSequence?: number | undefined
  clock?: Clock | undefined
  log?: Log | undefined
  /**
   * A handler of `follow` threw: that follower has stopped. Left out, the fault is thrown again
   * where nobody can miss it.
   */
  onFollowFault?: ((subject: string, fault: unknown) => void) | undefined
}

export const ledgerStreamNameDefault = 'LEDGER'
export const subjectPrefixDefault = 'busbar'
export const deploymentSubject = 'meta.deployment'

// Headers of one message of a batch: its id and place, and an expectation.
const headersBytesMax = 512

// err_code of the server: no stream of this name; JetStream has no leader.
const streamNotFoundCode = 10059
const noLeaderCode = 10008
const noLeaderRetryMs = 250

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
  private stopListening: () => void = () => {}
  private cancelProbe: () => void = () => {}

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
      streamInfo: () => this.ask(`STREAM.INFO.${this.stream.streamName}`, ''),
    })
  }

  /**
   * @throws BrokerError LEDGER_SETTINGS_UNSAFE, LEDGER_DEPLOYMENT_MISMATCH,
   * BROKER_LEDGER_UNAVAILABLE
   */
  async start(): Promise<void> {
    this.health.start()
    if (this.followHealth !== this.health) this.followHealth.start()
    const offCommits = this.health.onChange((isConnected) => {
      if (!isConnected) this.publisher.settleAllUnknown('the connection was lost')
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

  /** Asks over each connection now and then: whoever only follows would not hear that its server is cut off from the others. */
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
    if (this.purpose === 'read') {
      if ((await this.lastOn(deploymentSubject)) === undefined)
        throw new BrokerError('LEDGER_DEPLOYMENT_MISMATCH', 'there is no deployment')
      return
    }
    try {
      await this.openStream()
    } catch (cause) {
      // At the start this is an operator's business, not a party's.
      if (!(cause instanceof BrokerError && cause.code === 'BROKER_LEDGER_UNAVAILABLE')) throw cause
      throw new BrokerError('NATS_UNREACHABLE', `JetStream does not answer: ${cause.detail}`, {
        cause,
      })
    }
    if (this.purpose === 'serve') await this.recordDeployment()
    else if ((await this.lastOn(deploymentSubject)) !== undefined)
      throw new BrokerError('LEDGER_DEPLOYMENT_MISMATCH', 'there is a deployment already')
  }

  /** Stops readers and settles commits under way as unknown. Connections stay open. */
  async close(): Promise<void> {
    this.stopListening()
    this.cancelProbe()
    this.publisher.settleAllUnknown('the ledger was closed')
    await Promise.all([...this.readers].map((reader) => reader.close()))
  }

  /** False while the connection that carries commits is away, or closed. */
  get isConnected(): boolean {
    return this.health.isConnected && !this.connection.isClosed()
  }

  /** Largest payload of one message, octets: the server's limit less room for headers. */
  get messageBytesMax(): number {
    return (this.connection.info?.max_payload ?? 1024 * 1024) - headersBytesMax
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
    const deadlineMs = this.clock.now() + limits.ledgerCommitMsMax
    // Published while disconnected it would wait in the library's buffer and go out later, behind
    // our back.
    if (!this.health.isConnected && !(await this.health.connected(deadlineMs)))
      return { refused: 'unknown', detail: 'not connected' }
    const outcome = await this.publisher.publish(entries, payloadBytes, deadlineMs)
    // A leader that was cut off refuses by its fences, and writes nothing; a full one does its work.
    this.health.report('written', outcome.refused === undefined || outcome.refused === 'full')
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
    const { config, state } = (await this.ask(`STREAM.INFO.${this.stream.streamName}`, '')) as {
      config?: { max_bytes: number }
      state?: { bytes: number; last_seq: number }
    }
    if (config === undefined || state === undefined)
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'no state in the answer')
    return { bytes: state.bytes, bytesMax: config.max_bytes, lastSequence: state.last_seq }
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
    const deadlineMs = this.clock.now() + waitMs
    for (;;) {
      const leftMs = deadlineMs - this.clock.now()
      try {
        const timeoutMs = Math.min(leftMs, limits.ledgerAskMs)
        const reply = await this.health.request(`$JS.API.${operation}`, payload, timeoutMs)
        const answer = reply.json<unknown>()
        this.health.report(operation, isAnswer(answer))
        if (isAnswer(answer) || leftMs <= limits.ledgerAskMs) return answer
        await new Promise<void>(
          (resolve) => void this.clock.at(this.clock.now() + noLeaderRetryMs, resolve),
        )
      } catch (cause) {
        this.health.report(operation, false)
        if (leftMs > limits.ledgerAskMs && cause instanceof TimeoutError) continue
        throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', operation, { cause })
      }
    }
  }

  /** A frame that the server does not take could be neither written nor left out. */
  private checkPayload(): void {
    const found = this.messageBytesMax + headersBytesMax
    const needed = limits.frameBytesMax + headersBytesMax
    if (found < needed)
      throw new BrokerError(
        'LEDGER_SETTINGS_UNSAFE',
        `max_payload of the nats-server is ${found} octets, at least ${needed} are needed`,
      )
  }

  private async openStream(): Promise<void> {
    const { streamName } = this.stream
    const info = (await this.ask(`STREAM.INFO.${streamName}`, '', limits.ledgerStartMsMax)) as {
      error?: { err_code: number; description: string }
    }
    if (info.error?.err_code === streamNotFoundCode) {
      await this.createStream()
    } else if (info.error) {
      throw new BrokerError(
        'BROKER_LEDGER_UNAVAILABLE',
        `${info.error.err_code} ${info.error.description}`,
      )
    }
    // Also what was just created: the server may have been told to change defaults.
    const { config } = await (
      await jetstreamManager(this.connection, { checkAPI: false })
    ).streams.info(streamName)
    const faults = unsafeLedgerSettings(config, this.stream)
    if (faults.length > 0)
      throw new BrokerError('LEDGER_SETTINGS_UNSAFE', `${streamName}: ${faults.join('; ')}`)
  }

  private async createStream(): Promise<void> {
    try {
      const manager = await jetstreamManager(this.connection, { checkAPI: false })
      const make = () => manager.streams.add(ledgerStreamConfig(this.stream))
      await insist(this.connection, make, this.clock)
      this.log.info(
        {
          stream: this.stream.streamName,
          bytesMax: this.stream.bytesMax,
          replicas: this.stream.replicas,
        },
        'ledger created',
      )
    } catch (cause) {
      throw new BrokerError(
        'BROKER_LEDGER_UNAVAILABLE',
        `stream ${this.stream.streamName} could not be created: ${String(cause)}`,
        { cause },
      )
    }
  }

  /** The record of the deployment: what is there, or `data`, on condition that there is none. */
  private async findOrRecord(data: Buffer): Promise<{ data: Buffer }> {
    const before = await this.lastOn(deploymentSubject)
    if (before !== undefined) return before
    const outcome = await this.commit([
      { subject: deploymentSubject, data, expect: { subject: deploymentSubject, sequence: 0 } },
    ])
    if (outcome.refused === undefined) return { data }
    const found = await this.lastOn(deploymentSubject)
    if (found !== undefined) return found
    throw new BrokerError(
      'BROKER_LEDGER_UNAVAILABLE',
      `deployment record: ${outcome.refused} ${outcome.detail}`,
    )
  }

  /**
   * The first one writes the record, with the expectation that there is none; everybody else
   * compares.
   */
  private async recordDeployment(): Promise<void> {
    const data = Buffer.from(
      JSON.stringify({ version: 1, partitionCount: this.partitionCount }),
      'utf8',
    )
    // A stream that was just made on a cluster may have no leader yet.
    const find = () => this.findOrRecord(data)
    const found = await insist(this.connection, find, this.clock)
    let recorded: unknown
    try {
      recorded = (JSON.parse(found.data.toString('utf8')) as { partitionCount?: unknown } | null)
        ?.partitionCount
    } catch {
      recorded = 'unreadable'
    }
    if (recorded !== this.partitionCount) {
      throw new BrokerError(
        'LEDGER_DEPLOYMENT_MISMATCH',
        `recorded ${String(recorded)}, asked ${this.partitionCount}`,
      )
    }
  }
}

/**
 * Opens the ledger: creates the stream or checks the one that exists, records the partition count
 * or compares it.
 * @throws BrokerError LEDGER_SETTINGS_UNSAFE, LEDGER_DEPLOYMENT_MISMATCH, BROKER_LEDGER_UNAVAILABLE
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
