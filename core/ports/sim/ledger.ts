/**
 * The ledger in memory: one list, fences, atomic batches, followers. What it acknowledges it keeps
 * for as long as it lives, so a simulation that "crashes" a host keeps the SimLedger and drops the
 * host. Faults are asked for by `onCommit`.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf } from '../../base/bytes.ts'
import { limits } from '../../base/limits.ts'
import type {
  Committed,
  CommitRefusal,
  CursorStore,
  Ledger,
  LedgerEntry,
  LedgerMessage,
  LedgerUsage,
} from '../ledger.ts'
import { isMatching } from './subject.ts'

export type SimLedgerOptions = {
  /** Octets after which it refuses as full. */
  bytesMax?: number
  /** Sequence of the first message; 1 when left out. */
  firstSequence?: number
  /** Payload of one message. */
  messageBytesMax?: number
  /**
   * Called before a batch is judged. `refuse` refuses it unwritten, `lose-answer` judges and writes
   * it but answers `unknown`; undefined lets it pass. A promise delays it (batches are judged when
   * theirs settle).
   */
  onCommit?:
    | ((
        entries: readonly LedgerEntry[],
      ) => SimCommitFault | undefined | Promise<SimCommitFault | undefined>)
    | undefined
}
export type SimCommitFault = { refuse: CommitRefusal['refused'] } | 'lose-answer'

type Waiter = () => void

export class SimLedger implements Ledger {
  /** All that were ever written; those forgotten are in `gone`. */
  private readonly messages: LedgerMessage[] = []
  private readonly gone = new Set<number>()
  private readonly lastBySubject = new Map<string, LedgerMessage>()
  private readonly waiters = new Set<Waiter>()
  private readonly options: SimLedgerOptions
  private bytes = 0

  constructor(options: SimLedgerOptions = {}) {
    this.options = options
    const { firstSequence = 1 } = options
    for (let sequence = 1; sequence < firstSequence; sequence++) {
      this.messages.push({ subject: '', sequence, data: Buffer.alloc(0) })
      this.gone.add(sequence)
    }
  }

  get lastSequence(): number {
    return this.messages.length
  }

  async commit(entries: readonly LedgerEntry[]): Promise<Committed | CommitRefusal> {
    const fault = await this.options.onCommit?.(entries)
    if (typeof fault === 'object')
      return { refused: fault.refuse, detail: 'asked for by the simulation' }
    const outcome = this.judge(entries)
    return fault === 'lose-answer' ? { refused: 'unknown', detail: 'the answer was lost' } : outcome
  }

  private judge(entries: readonly LedgerEntry[]): Committed | CommitRefusal {
    const { bytesMax = Infinity, messageBytesMax = 8 * 1024 * 1024 - 512 } = this.options
    if (entries.length > limits.ledgerBatchMessagesMax)
      return { refused: 'too-large', detail: `${entries.length} messages` }
    let bytes = 0
    for (const { data } of entries) {
      if (data.length > messageBytesMax)
        return { refused: 'too-large', detail: `${data.length} octets` }
      bytes += data.length
    }
    const written = new Set<string>()
    for (const { subject, expect } of entries) {
      if (expect) {
        const last = this.lastBySubject.get(expect.subject)?.sequence ?? 0
        // As on the server: an expectation on what this batch has already written never holds.
        if (written.has(expect.subject) || last !== expect.sequence)
          return { refused: 'fence', detail: `last on ${expect.subject} is ${last}` }
      }
      written.add(subject)
    }
    if (this.bytes + bytes > bytesMax)
      return { refused: 'full', detail: `${this.bytes} of ${bytesMax} octets` }
    const firstSequence = this.messages.length + 1
    for (const { subject, data } of entries) {
      const message = { subject, sequence: this.messages.length + 1, data: copyOf(data) }
      this.messages.push(message)
      this.lastBySubject.set(subject, message)
    }
    this.bytes += bytes
    for (const wake of [...this.waiters]) wake()
    return { firstSequence }
  }

  lastOn(subject: string): Promise<LedgerMessage | undefined> {
    return Promise.resolve(
      this.messages.findLast(
        (message) => isMatching(subject, message.subject) && !this.gone.has(message.sequence),
      ),
    )
  }

  at(sequence: number): Promise<LedgerMessage | undefined> {
    return Promise.resolve(this.gone.has(sequence) ? undefined : this.messages[sequence - 1])
  }

  async read(
    subject: string,
    fromSequence: number,
    onMessage: (message: LedgerMessage) => void | Promise<void>,
  ): Promise<void> {
    const end = this.messages.length
    for (let sequence = Math.max(1, fromSequence); sequence <= end; sequence++) {
      const message = this.messages[sequence - 1]!
      if (isMatching(subject, message.subject) && !this.gone.has(sequence)) await onMessage(message)
    }
  }

  follow(
    subject: string,
    fromSequence: number,
    onMessage: (message: LedgerMessage) => void | Promise<void>,
  ): Promise<{ close(): Promise<void> }> {
    let sequence = Math.max(1, fromSequence)
    let isClosed = false
    let wake: Waiter = () => {}
    const run = async (): Promise<void> => {
      while (!isClosed) {
        if (sequence > this.messages.length) {
          await new Promise<void>((resolve) => {
            wake = resolve
            this.waiters.add(resolve)
          })
          this.waiters.delete(wake)
          continue
        }
        const message = this.messages[sequence++ - 1]!
        if (isMatching(subject, message.subject) && !this.gone.has(message.sequence))
          await onMessage(message)
      }
    }
    const running = run()
    return Promise.resolve({
      async close() {
        isClosed = true
        wake()
        await running
      },
    })
  }

  forget(subject: string, fromSequence: number): Promise<void> {
    for (const { subject: its, sequence, data } of this.messages) {
      if (sequence >= fromSequence) break
      if (!isMatching(subject, its) || this.gone.has(sequence)) continue
      this.gone.add(sequence)
      this.bytes -= data.length
      if (this.lastBySubject.get(its)?.sequence === sequence) this.lastBySubject.delete(its)
    }
    return Promise.resolve()
  }

  usage(): Promise<LedgerUsage> {
    const { bytes, lastSequence, options } = this
    return Promise.resolve({ bytes, bytesMax: options.bytesMax ?? 1024 ** 3, lastSequence })
  }

  /** True when the message was there and is forgotten. */
  isForgotten(sequence: number): boolean {
    return this.gone.has(sequence)
  }

  /** Every message that was ever written, for checkers. */
  all(): readonly LedgerMessage[] {
    return this.messages
  }
}

/** Cursors in memory. */
export class SimCursorStore implements CursorStore {
  private readonly values = new Map<string, Uint8Array>()
  /** While true, both operations reject as an unreachable server makes them. */
  isDown = false

  get(name: string): Promise<Uint8Array | undefined> {
    return this.isDown ? Promise.reject(this.fault()) : Promise.resolve(this.values.get(name))
  }

  put(name: string, value: Uint8Array): Promise<void> {
    if (this.isDown) return Promise.reject(this.fault())
    this.values.set(name, copyOf(value))
    return Promise.resolve()
  }

  names(): Promise<string[]> {
    return this.isDown ? Promise.reject(this.fault()) : Promise.resolve([...this.values.keys()])
  }

  private fault(): BrokerError {
    return new BrokerError('BROKER_LEDGER_UNAVAILABLE', 'asked for by the simulation')
  }
}
