/**
 * Reads the ledger as one server of a cluster has it on its own disk.
 *
 * Every replica of a stream answers "direct get" from its own store, and the server chooses any of
 * them. Which one did is not in the answer; it is in the trace of the request: the last server that
 * received it and passed it to no other.
 *
 *   request + Nats-Trace-Dest ──► server A (route to B) ──► server B (answers)
 *                                   trace: eg ROUTER         trace: no egress  ← its copy
 *
 * @source NATS ADR-31 (direct get, batches), ADR-41 (message tracing); core/decisions/0019
 */
import { headers, type Msg, type NatsConnection } from '@nats-io/transport-node'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { newInbox } from '../nats/connection.ts'
import { systemClock, type Clock } from '../ports/clock.ts'
import type { LedgerMessage } from '../ports/ledger.ts'
import type { ReplicaRange, ReplicaSource, StreamReplicas } from '../ports/replicas.ts'
import { subjectPrefixDefault } from './jetstream.ts'
import { ledgerStreamNameDefault } from './opening.ts'
import { askStreamReplicas } from './stream-replicas.ts'

export type ReplicaReaderOptions = {
  /** Not the one that carries commits or deliveries: whole ranges of the ledger come over it. */
  connection: NatsConnection
  /** Copies that the deployment asks for. */
  wanted: number
  streamName?: string
  subjectPrefix?: string
  clock?: Clock
}

// Kinds of connection over which a server passes a request to another one.
const routerKind = 1
const gatewayKind = 2
const leafKind = 4
const passedOn: ReadonlySet<unknown> = new Set([routerKind, gatewayKind, leafKind])

type Trace = { server?: { name?: string }; events?: Array<{ type?: string; kind?: number }> }

/** The server that the trace is of, when it passed the request to no other one. */
function answererIn(message: Msg): string | undefined {
  const { server, events = [] } = message.json<Trace>()
  const isPassedOn = events.some(({ type, kind }) => type === 'eg' && passedOn.has(kind))
  return isPassedOn ? undefined : server?.name
}

export class ReplicaReader implements ReplicaSource {
  private readonly connection: NatsConnection
  private readonly wanted: number
  private readonly streamName: string
  private readonly prefix: string
  private readonly clock: Clock

  constructor(options: ReplicaReaderOptions) {
    this.connection = options.connection
    this.wanted = options.wanted
    this.streamName = options.streamName ?? ledgerStreamNameDefault
    this.prefix = `${options.subjectPrefix ?? subjectPrefixDefault}.`
    this.clock = options.clock ?? systemClock
  }

  async replicas(): Promise<StreamReplicas> {
    const found = await askStreamReplicas(this.connection, this.streamName, this.wanted)
    if (found === undefined || found.failure !== undefined)
      throw new BrokerError('BROKER_LEDGER_UNAVAILABLE', found?.failure ?? 'there is no stream')
    return found
  }

  read(fromSequence: number): Promise<ReplicaRange | undefined> {
    const { connection, clock } = this
    const inbox = newInbox(connection)
    const messages: LedgerMessage[] = []
    return new Promise((resolve) => {
      let server: string | undefined
      let end: { isEnd: boolean } | undefined
      const settle = (range: ReplicaRange | undefined): void => {
        cancel()
        for (const subscription of subscriptions) subscription.unsubscribe()
        resolve(range)
      }
      const settleWhole = (): void => {
        if (server !== undefined && end !== undefined) settle({ server, messages, ...end })
      }
      const cancel = clock.at(clock.now() + limits.replicaReadMsMax, () => settle(undefined))
      const subscriptions = [
        connection.subscribe(`${inbox}.trace`, {
          callback: (fault, message) => {
            if (fault) return settle(undefined)
            server ??= answererIn(message)
            settleWhole()
          },
        }),
        connection.subscribe(`${inbox}.data`, {
          callback: (fault, message) => {
            if (fault) return settle(undefined)
            const code = message.headers?.code ?? 0
            if (code === 0) return void messages.push(this.messageIn(message))
            // 204: end of the batch, with what is left. 404: nothing from there on.
            if (code !== 204 && code !== 404) return settle(undefined)
            end = { isEnd: code === 404 || message.headers?.get('Nats-Num-Pending') === '0' }
            settleWhole()
          },
        }),
      ]
      const traced = headers()
      traced.set('Nats-Trace-Dest', `${inbox}.trace`)
      const request = {
        seq: Math.max(1, fromSequence),
        batch: limits.replicaRangeMessages,
        max_bytes: limits.replicaRangeBytes,
      }
      connection.publish(`$JS.API.DIRECT.GET.${this.streamName}`, JSON.stringify(request), {
        reply: `${inbox}.data`,
        headers: traced,
      })
    })
  }

  private messageIn(message: Msg): LedgerMessage {
    const subject = message.headers?.get('Nats-Subject') ?? ''
    return {
      subject: subject.startsWith(this.prefix) ? subject.slice(this.prefix.length) : subject,
      sequence: Number(message.headers?.get('Nats-Sequence')),
      data: asBuffer(message.data),
    }
  }

  async moveLeader(server: string): Promise<void> {
    await this.connection.request(
      `$JS.API.STREAM.LEADER.STEPDOWN.${this.streamName}`,
      JSON.stringify({ placement: { preferred: server } }),
      { timeout: limits.ledgerAskMs },
    )
  }
}
