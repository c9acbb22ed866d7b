/**
 * Commits under way: publishes the messages of each in a row, the last one with a reply subject,
 * and settles it with what the server answers, or as unknown. One inbox for all acknowledgements,
 * one map entry and one timer a commit.
 *
 * The client library's batch publisher waits for an answer to the first message (a second hop) and
 * builds headers field by field, so the messages are made here.
 */
import { MsgHdrsImpl, nuid, type Msg, type NatsConnection } from '@nats-io/transport-node'
import { asBuffer } from '../base/bytes.ts'
import { newInbox } from '../nats/connection.ts'
import type { Clock } from '../ports/clock.ts'
import type { Committed, CommitRefusal, LedgerEntry } from '../ports/ledger.ts'
import { batchHeaderBytes, readPublishAnswer } from './batch-wire.ts'

/**
 * Headers that are octets already; the library asks a message's headers only to encode themselves.
 */
class RawHeaders extends MsgHdrsImpl {
  bytes: Uint8Array = new Uint8Array(0)
  override encode(): Uint8Array {
    return this.bytes
  }
}

type PendingCommit = {
  count: number
  payloadBytes: number
  settle: (outcome: Committed | CommitRefusal) => void
  cancelTimer: () => void
}

const unknown = (detail: string): CommitRefusal => ({ refused: 'unknown', detail })

export type BatchPublisherOptions = {
  connection: NatsConnection
  subjectPrefix: string
  clock: Clock
  /** The server's STREAM.INFO answer. */
  streamInfo: () => Promise<unknown>
}

export class BatchPublisher {
  private readonly options: BatchPublisherOptions
  private readonly headers = new RawHeaders()
  private readonly pending = new Map<string, PendingCommit>()
  private readonly instance = nuid.next().slice(-10)
  private readonly ackInbox: string
  private batchCount = 0

  constructor(options: BatchPublisherOptions) {
    this.options = options
    this.ackInbox = newInbox(options.connection)
  }

  /** Listens for acknowledgements; the returned function ends it. */
  start(): () => void {
    const subscription = this.options.connection.subscribe(`${this.ackInbox}.*`, {
      callback: (fault, message) =>
        fault ? this.settleAllUnknown(fault.name) : this.onAcknowledged(message),
    })
    return () => subscription.unsubscribe()
  }

  /**
   * Publishes `entries`, which fit, on a connection that is up; settles by `deadlineMs` at the
   * latest.
   */
  publish(
    entries: readonly LedgerEntry[],
    payloadBytes: number,
    deadlineMs: number,
  ): Promise<Committed | CommitRefusal> {
    const count = entries.length
    const batchId = this.instance + (this.batchCount++).toString(36)
    return new Promise((resolve) => {
      const cancelTimer = this.options.clock.at(deadlineMs, () =>
        this.settle(batchId, unknown('no acknowledgement in time')),
      )
      this.pending.set(batchId, { count, payloadBytes, settle: resolve, cancelTimer })
      const { headers } = this
      const { connection, subjectPrefix } = this.options
      let expected: LedgerEntry['expect']
      try {
        for (let i = 0; i < count; i++) {
          const entry = entries[i]!
          let expect = entry.expect
          // Said once is enough: neighbours of one partition carry the same fence.
          if (
            expect !== undefined &&
            expected?.subject === expect.subject &&
            expected.sequence === expect.sequence
          )
            expect = undefined
          else if (expect !== undefined) expected = expect
          const bytes = batchHeaderBytes(batchId, i, count, expect, subjectPrefix)
          headers.bytes = bytes ?? headers.bytes
          const isLast = i === count - 1
          connection.publish(`${subjectPrefix}.${entry.subject}`, entry.data, {
            ...(bytes === undefined ? {} : { headers }),
            ...(isLast ? { reply: `${this.ackInbox}.${batchId}` } : {}),
          })
        }
      } catch (fault) {
        // The connection is closed or draining: the commit message was not sent, an unfinished
        // batch is dropped by the server.
        this.settle(batchId, unknown(fault instanceof Error ? fault.name : String(fault)))
      }
    })
  }

  private settle(batchId: string, outcome: Committed | CommitRefusal): void {
    const commit = this.pending.get(batchId)
    if (commit === undefined) return
    this.pending.delete(batchId)
    commit.cancelTimer()
    commit.settle(outcome)
  }

  /** Nothing that is under way will be answered any more. */
  settleAllUnknown(detail: string): void {
    for (const batchId of [...this.pending.keys()]) this.settle(batchId, unknown(detail))
  }

  private onAcknowledged(message: Msg): void {
    const batchId = message.subject.slice(this.ackInbox.length + 1)
    const commit = this.pending.get(batchId)
    // Settled as unknown before: the writer finds out by reading.
    if (commit === undefined) return
    if (message.data.length === 0) {
      this.settle(batchId, unknown(`status ${message.headers?.code ?? 0}`))
      return
    }
    const answer = readPublishAnswer(asBuffer(message.data).toString('utf8'))
    if (answer.kind === 'stored') {
      const isWhole = answer.count === commit.count
      this.settle(
        batchId,
        isWhole
          ? { firstSequence: answer.sequence - commit.count + 1 }
          : unknown(`${answer.count} of ${commit.count} stored`),
      )
    } else if (answer.kind === 'refused') {
      this.settle(batchId, answer.refusal)
    } else {
      void this.explainStoreFailure(batchId, commit, answer.detail)
    }
  }

  /**
   * The server says "store failed" for a full stream and for a broken disk alike; only the first
   * one wrote nothing for certain.
   */
  private async explainStoreFailure(
    batchId: string,
    commit: PendingCommit,
    detail: string,
  ): Promise<void> {
    const answer = await this.options.streamInfo().catch(() => undefined)
    const { config, state } = (answer ?? {}) as {
      config?: { max_bytes?: number }
      state?: { bytes?: number }
    }
    // What one message costs beside its payload: subject, headers, checksum, index.
    const neededBytes = commit.payloadBytes + commit.count * 64
    const isFull =
      config?.max_bytes !== undefined &&
      state?.bytes !== undefined &&
      state.bytes + neededBytes >= config.max_bytes
    this.settle(batchId, isFull ? { refused: 'full', detail } : unknown(detail))
  }
}
