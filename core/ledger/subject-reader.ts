/**
 * Reads one subject of the ledger in order, without loss, gap or repeat, through reconnections and
 * restarts of the server.
 *
 * An ephemeral pull consumer in the server's memory delivers; every message carries the consumer's
 * own sequence, and one that is not the next means that something between us was lost: then, and
 * after silence or a reconnection, a new consumer is made behind the last message that was taken.
 * One pull is open at a time and is opened when the queue is empty: so the queue never holds more
 * than one pull's messages and octets, and a handler that waits makes the server wait.
 *
 *   created ──pull──► pulling ──all of it came, or it expired──► pulling …
 *      ▲                 │ gap, silence, disconnect, consumer gone
 *      └────back-off─────┘
 *
 * In a cluster the consumer reads from whichever replica it was put on, which may lag: how far a
 * bounded read goes is asked of the leader, never counted by the consumer.
 *
 * It does not acknowledge anything and keeps no position anywhere: positions are its caller's.
 *
 * @source NATS ADR-37 (pull consumers), ADR-15 (the reply subject's tokens)
 */
import { nuid, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { LedgerMessage } from '../ports/ledger.ts'
import type { Log } from '../ports/log.ts'
import { newInbox, type ConnectionHealth } from '../nats/connection.ts'

export type SubjectReaderOptions = {
  connection: NatsConnection
  health: ConnectionHealth
  streamName: string
  subjectPrefix: string
  clock: Clock
  log: Log
  /** Without the prefix; `*` may stand for the last token. */
  subject: string
  fromSequence: number
  onMessage: (message: LedgerMessage) => void | Promise<void>
  /**
   * True: ends behind the message that the stream's leader calls the last at the start. False: goes
   * on.
   */
  isBounded: boolean
  /** A bounded read goes on to this sequence at least. */
  throughSequence?: number
  prefetchMessagesMax?: number
  /** Asked before a further consumer is made: rejects while the stream is not the one it was. */
  verify?: () => Promise<void>
}

type ApiError = { err_code: number; description: string }
const refusal = (error: ApiError | undefined): BrokerError =>
  new BrokerError(
    'BROKER_LEDGER_UNAVAILABLE',
    error === undefined ? 'nothing in the answer' : `${error.err_code} ${error.description}`,
  )
/** err_code of the server: no message on this subject. */
export const messageNotFoundCode = 10037

const nanosOfMs = (ms: number): number => ms * 1_000_000

export class SubjectReader {
  /**
   * Settles at the end of a bounded read, or at `close`; rejects when `onMessage` throws or a
   * bounded read stalls.
   */
  readonly ended: Promise<void>
  private settleEnded!: (fault?: unknown) => void
  private readonly options: SubjectReaderOptions
  private readonly prefix: string
  private readonly isWildcard: boolean
  private readonly pullMessages: number
  private subscription: Subscription | undefined
  private consumerName = ''
  private inbox = ''
  private pullNumber = 0
  /** What the open pull may still deliver; 0 when none is open. */
  private pullLeft = 0
  private pullDelivered = 0
  private consumerSequence = 0
  /** Stream sequence of the last message put in the queue. */
  private lastQueued: number
  private lastTaken: number
  /** Sequence behind which a bounded read ends; undefined before the leader has said it. */
  private untilSequence: number | undefined
  private queue: LedgerMessage[] = []
  private queueIndex = 0
  private isTaking = false
  private isDone = false
  private isCreating = false
  private wasCreated = false
  private attempts = 0
  private hasHeard = false
  private progressAtMs: number
  private cancelWatch: () => void = () => {}
  private cancelRetry: () => void = () => {}

  constructor(options: SubjectReaderOptions) {
    this.options = options
    this.prefix = `${options.subjectPrefix}.`
    this.isWildcard = options.subject.includes('*')
    this.pullMessages = options.prefetchMessagesMax ?? limits.ledgerPrefetchMessagesMax
    this.lastQueued = this.lastTaken = options.fromSequence - 1
    this.progressAtMs = options.clock.elapsedMs()
    this.ended = new Promise((resolve, reject) => {
      this.settleEnded = (fault) => (fault === undefined ? resolve() : reject(fault))
    })
  }

  /** Starts reading. */
  start(): void {
    this.watch()
    void this.create()
  }

  /** The connection is back: pulls that were open are forgotten by the server. */
  onReconnect(): void {
    this.recreate('reconnected')
  }

  /** Stops; `onMessage` is not called again, and a promise of it that is pending has settled. */
  async close(): Promise<void> {
    this.finish()
    await this.ended.catch(() => {})
  }

  private finish(fault?: unknown): void {
    if (this.isDone) return
    this.isDone = true
    this.cancelWatch()
    this.cancelRetry()
    this.dropConsumer()
    this.queue = []
    this.queueIndex = 0
    if (fault !== undefined) this.settleEnded(fault)
    // A handler that is still at work settles it, see take().
    else if (!this.isTaking) this.settleEnded()
  }

  private dropConsumer(): void {
    const { connection, streamName } = this.options
    this.subscription?.unsubscribe()
    this.subscription = undefined
    this.pullLeft = 0
    if (this.consumerName !== '' && !connection.isClosed() && !connection.isDraining()) {
      // Best effort: the server drops it by itself when nobody pulls.
      connection.publish(`$JS.API.CONSUMER.DELETE.${streamName}.${this.consumerName}`)
    }
    this.consumerName = ''
  }

  private recreate(reason: string): void {
    if (this.isDone || this.isCreating) return
    this.options.log.debug(
      { subject: this.options.subject, reason, sequence: this.lastQueued },
      'ledger reader starts a new consumer',
    )
    this.dropConsumer()
    void this.create()
  }

  private async create(): Promise<void> {
    const { connection, health, streamName, subject, clock } = this.options
    if (this.isCreating || this.isDone) return
    this.isCreating = true
    const name = `r${nuid.next()}`
    const config = {
      name,
      filter_subject: this.prefix + subject,
      deliver_policy: 'by_start_sequence',
      opt_start_seq: Math.max(1, this.lastQueued + 1),
      ack_policy: 'none',
      max_deliver: -1,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanosOfMs(2 * limits.ledgerPullMs),
    }
    try {
      if (this.wasCreated) await this.options.verify?.()
      if (this.options.isBounded && this.untilSequence === undefined) {
        this.untilSequence = Math.max(await this.lastSequence(), this.options.throughSequence ?? 0)
        if (this.untilSequence <= this.lastTaken) return this.finish()
      }
      const reply = await health.request(
        `$JS.API.CONSUMER.CREATE.${streamName}.${name}.${config.filter_subject}`,
        JSON.stringify({ stream_name: streamName, config, action: 'create' }),
        limits.ledgerAskMs,
      )
      const answer = reply.json<{ error?: ApiError }>()
      if (answer.error) throw refusal(answer.error)
      this.isCreating = false
      this.wasCreated = true
      this.attempts = 0
      this.consumerName = name
      if (this.isDone) return this.dropConsumer()
      this.onCreated()
    } catch (fault) {
      this.isCreating = false
      if (this.isDone) return
      if (connection.isClosed()) {
        return this.finish(
          new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'the connection is closed', {
            cause: fault,
          }),
        )
      }
      const delayMs = Math.min(limits.ledgerReadRetryMsMax, 25 * 2 ** this.attempts++)
      this.cancelRetry = clock.at(clock.now() + delayMs, () => void this.create())
    }
  }

  /** As the stream's leader has it; 0 when there is no message. */
  private async lastSequence(): Promise<number> {
    const { health, streamName, subject } = this.options
    const reply = await health.request(
      `$JS.API.STREAM.MSG.GET.${streamName}`,
      JSON.stringify({ last_by_subj: this.prefix + subject }),
      limits.ledgerAskMs,
    )
    const { error, message } = reply.json<{ error?: ApiError; message?: { seq: number } }>()
    if (error?.err_code === messageNotFoundCode) return 0
    if (error !== undefined || message === undefined) throw refusal(error)
    return message.seq
  }

  private onCreated(): void {
    const { connection } = this.options
    this.consumerSequence = 0
    this.hasHeard = true
    this.inbox = newInbox(connection)
    this.subscription = connection.subscribe(`${this.inbox}.*`, {
      callback: (fault, message) => this.onDelivered(fault, message),
    })
    this.pullIfEmpty()
  }

  private pullIfEmpty(): void {
    if (
      this.isDone ||
      this.subscription === undefined ||
      this.pullLeft > 0 ||
      this.queueIndex < this.queue.length ||
      this.isTaking
    )
      return
    const { connection, streamName } = this.options
    const batch =
      this.untilSequence === undefined
        ? this.pullMessages
        : Math.min(this.pullMessages, Math.max(1, this.untilSequence - this.lastQueued))
    this.pullLeft = batch
    this.pullDelivered = 0
    this.pullNumber++
    const pull = {
      batch,
      // The largest message the server takes fits, whatever its headers.
      max_bytes: (connection.info?.max_payload ?? 8 * 1024 * 1024) + 64 * 1024,
      expires: nanosOfMs(limits.ledgerPullMs),
      idle_heartbeat: nanosOfMs(limits.ledgerHeartbeatMs),
    }
    connection.publish(
      `$JS.API.CONSUMER.MSG.NEXT.${streamName}.${this.consumerName}`,
      JSON.stringify(pull),
      {
        reply: `${this.inbox}.${this.pullNumber}`,
      },
    )
  }

  private onDelivered(fault: Error | null, message: Msg): void {
    if (this.isDone) return
    if (fault) return this.recreate('subscription refused')
    this.hasHeard = true
    const reply = message.reply
    if (reply === undefined || reply === '') return this.onStatus(message)
    // $JS.ACK.<stream>.<consumer>.<times>.<stream seq>.<consumer seq>.<time>.<pending>, or with
    // domain and account before, and one more behind
    const tokens = reply.split('.')
    const at = tokens.length > 9 ? 7 : 5
    const streamSequence = Number(tokens[at])
    if (Number(tokens[at + 1]) !== this.consumerSequence + 1 || !(streamSequence > this.lastQueued))
      return this.recreate('gap')
    this.consumerSequence++
    this.lastQueued = streamSequence
    this.pullDelivered++
    if (this.pullLeft > 0) this.pullLeft--
    const { subject } = this.options
    this.queue.push({
      subject: this.isWildcard ? message.subject.slice(this.prefix.length) : subject,
      sequence: streamSequence,
      data: asBuffer(message.data),
    })
    this.take()
  }

  private onStatus(message: Msg): void {
    const code = message.headers?.code ?? 0
    if (code === 100 || code === 0) return
    if (message.subject !== `${this.inbox}.${this.pullNumber}`) return
    this.pullLeft = 0
    // A pull that gave nothing and did not just expire says that the consumer or the server is not
    // well.
    if (code !== 408 && this.pullDelivered === 0) return this.recreate(`status ${code}`)
    this.pullIfEmpty()
  }

  /** Hands queued messages to the caller, synchronously as long as it answers synchronously. */
  private take(): void {
    if (this.isTaking) return
    const { onMessage } = this.options
    while (this.queueIndex < this.queue.length && !this.isDone) {
      const message = this.queue[this.queueIndex++]!
      // The last one was forgotten while we read.
      if (message.sequence > (this.untilSequence ?? Infinity)) return this.finish()
      let pending: void | Promise<void>
      this.isTaking = true
      try {
        pending = onMessage(message)
      } catch (fault) {
        this.isTaking = false
        return this.finish(fault)
      }
      if (pending instanceof Promise) {
        pending.then(
          () => {
            this.isTaking = false
            this.onTaken(message)
            if (this.isDone) this.settleEnded()
            else this.take()
          },
          (fault: unknown) => {
            this.isTaking = false
            if (this.isDone) this.settleEnded(fault)
            else this.finish(fault)
          },
        )
        return
      }
      this.isTaking = false
      this.onTaken(message)
    }
    if (this.isDone) {
      this.settleEnded()
      return
    }
    this.queue.length = 0
    this.queueIndex = 0
    this.pullIfEmpty()
  }

  private onTaken(message: LedgerMessage): void {
    this.lastTaken = message.sequence
    if (message.sequence >= (this.untilSequence ?? Infinity)) this.finish()
  }

  /** Looks now and then whether the server has been heard, and whether a bounded read gets on. */
  private watch(): void {
    const { clock, isBounded, connection } = this.options
    let takenBefore = this.lastTaken
    let recreatedAtMs = 0
    const look = (): void => {
      if (this.isDone) return
      const now = clock.elapsedMs()
      if (this.lastTaken !== takenBefore || this.isTaking) this.progressAtMs = now
      takenBefore = this.lastTaken
      if (
        connection.isClosed() ||
        (isBounded && now - this.progressAtMs >= limits.ledgerReadStallMsMax)
      ) {
        return this.finish(
          new BrokerError(
            'BROKER_LEDGER_UNAVAILABLE',
            `no message of ${this.options.subject} in time`,
          ),
        )
      }
      // While a handler is at work no pull is open and silence is right.
      const isWaiting = this.subscription !== undefined && this.pullLeft > 0
      if (isWaiting && !this.hasHeard) this.recreate('silence')
      // In a cluster its replica may lack what the leader has: the next consumer may be on another.
      else if (
        isBounded &&
        isWaiting &&
        now - Math.max(this.progressAtMs, recreatedAtMs) >= limits.ledgerReadMoveMs
      ) {
        recreatedAtMs = now
        this.recreate('no progress')
      }
      this.hasHeard = false
      this.cancelWatch = clock.at(clock.now() + 2 * limits.ledgerHeartbeatMs, look)
    }
    this.cancelWatch = clock.at(clock.now() + 2 * limits.ledgerHeartbeatMs, look)
  }
}
