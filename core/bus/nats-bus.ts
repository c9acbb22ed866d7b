/**
 * The bus over core NATS: frames between gateways and hosts, announcements to everybody. Station 4
 * of the way of a message.
 *
 * Requests share one inbox subscription and a table of their own, so that a request costs a map
 * entry and a timer. Nothing here is kept by the server; what gets lost is asked again by its
 * caller.
 */
import { type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { newInbox } from '../nats/connection.ts'
import type { Bus } from '../ports/bus.ts'
import { systemClock, type Clock } from '../ports/clock.ts'
import { silentLog, type Log } from '../ports/log.ts'

export type NatsBusOptions = {
  connection: NatsConnection
  /** First token of every subject. */
  subjectPrefix?: string | undefined
  /** Requests without an answer; past it a request is refused at once. */
  requestsInFlightMax?: number | undefined
  clock?: Clock | undefined
  log?: Log | undefined
}

type Pending = {
  subject: string
  resolve: (frame: Buffer) => void
  reject: (fault: BrokerError) => void
  cancelTimer: () => void
}

const noResponders = 503

export class NatsBus implements Bus {
  private readonly connection: NatsConnection
  private readonly prefix: string
  private readonly requestsInFlightMax: number
  private readonly clock: Clock
  private readonly log: Log
  private readonly inbox: string
  private readonly pending = new Map<string, Pending>()
  private answers: Subscription | undefined
  private requestCount = 0
  private isWatching = false

  constructor(options: NatsBusOptions) {
    this.connection = options.connection
    this.inbox = newInbox(options.connection)
    this.prefix = `${options.subjectPrefix ?? 'busbar'}.`
    this.requestsInFlightMax = options.requestsInFlightMax ?? limits.gatewayRequestsInFlightMax
    this.clock = options.clock ?? systemClock
    this.log = options.log ?? silentLog
  }

  /** Requests that wait for an answer. */
  get inFlightCount(): number {
    return this.pending.size
  }

  request(subject: string, frame: Uint8Array, timeoutMs: number): Promise<Buffer> {
    if (this.pending.size >= this.requestsInFlightMax) {
      return Promise.reject(
        new BrokerError('BROKER_GATEWAY_BUSY', `${this.pending.size} requests are under way`),
      )
    }
    if (frame.length > (this.connection.info?.max_payload ?? Infinity)) {
      // The server would close the connection over it.
      return Promise.reject(
        new BrokerError('REQUEST_SIZE_EXCEEDED', `a frame of ${frame.length} octets`),
      )
    }
    if (this.connection.isClosed() || this.connection.isDraining()) {
      return Promise.reject(
        new BrokerError('BROKER_PARTITION_UNAVAILABLE', 'the connection is closed'),
      )
    }
    if (this.answers === undefined) {
      this.answers = this.connection.subscribe(`${this.inbox}.*`, {
        callback: (fault, message) => this.onAnswer(fault, message),
      })
      void this.watch()
    }
    const token = (this.requestCount++).toString(36)
    return new Promise((resolve, reject) => {
      const cancelTimer = this.clock.at(this.clock.now() + timeoutMs, () =>
        this.fail(token, `${subject} did not answer within ${timeoutMs} ms`),
      )
      this.pending.set(token, { subject, resolve, reject, cancelTimer })
      try {
        this.connection.publish(this.prefix + subject, frame, { reply: `${this.inbox}.${token}` })
      } catch (cause) {
        this.fail(token, 'the connection is closed', cause)
      }
    })
  }

  /**
   * What was under way when the connection went is not answered any more, or too late: whoever
   * asked is told at once.
   */
  private async watch(): Promise<void> {
    if (this.isWatching) return
    this.isWatching = true
    for await (const { type } of this.connection.status()) {
      if (type !== 'disconnect') continue
      for (const token of [...this.pending.keys()]) this.fail(token, 'the connection was lost')
    }
  }

  private fail(token: string, detail: string, cause?: unknown): void {
    const request = this.pending.get(token)
    if (request === undefined) return
    this.pending.delete(token)
    request.cancelTimer()
    request.reject(
      new BrokerError('BROKER_PARTITION_UNAVAILABLE', detail, cause === undefined ? {} : { cause }),
    )
  }

  private onAnswer(fault: Error | null, message: Msg): void {
    if (fault) {
      this.answers = undefined
      for (const token of [...this.pending.keys()])
        this.fail(token, 'the subscription was refused', fault)
      return
    }
    const token = message.subject.slice(this.inbox.length + 1)
    const request = this.pending.get(token)
    // Too late: the caller has gone on.
    if (request === undefined) return
    if (message.data.length === 0 && message.headers?.code === noResponders) {
      this.fail(token, `nobody serves ${request.subject}`)
      return
    }
    this.pending.delete(token)
    request.cancelTimer()
    request.resolve(asBuffer(message.data))
  }

  async serve(
    subject: string,
    onFrame: (frame: Buffer, reply: (frame: Uint8Array) => void) => void,
  ): Promise<{ close(): Promise<void> }> {
    return this.subscribe(subject, (message) => {
      let isAnswered = false
      onFrame(asBuffer(message.data), (answer) => {
        if (
          isAnswered ||
          message.reply === undefined ||
          message.reply === '' ||
          this.connection.isClosed()
        )
          return
        isAnswered = true
        this.connection.publish(message.reply, answer)
      })
    })
  }

  announce(subject: string, data: Uint8Array): void {
    if (!this.connection.isClosed()) this.connection.publish(this.prefix + subject, data)
  }

  async listen(
    subject: string,
    onData: (data: Buffer) => void,
  ): Promise<{ close(): Promise<void> }> {
    return this.subscribe(subject, (message) => onData(asBuffer(message.data)))
  }

  private async subscribe(
    subject: string,
    onMessage: (message: Msg) => void,
  ): Promise<{ close(): Promise<void> }> {
    const subscription = this.connection.subscribe(this.prefix + subject, {
      callback: (fault, message) => {
        if (fault)
          this.log.error({ subject, fault: fault.name }, 'the server refused a subscription')
        else onMessage(message)
      },
    })
    // Served means that the server knows it: a request sent from elsewhere right now arrives.
    await this.connection.flush()
    return {
      close: async () => {
        if (!this.connection.isClosed() && !subscription.isClosed()) await subscription.drain()
      },
    }
  }

  /** Ends what waits; the connection stays open. */
  close(): void {
    for (const token of [...this.pending.keys()]) this.fail(token, 'the bus was closed')
    this.answers?.unsubscribe()
    this.answers = undefined
  }
}
