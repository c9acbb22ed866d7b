/**
 * The ledger: an ordered, durable log of messages by subject, written in fenced commits of one
 * message or several. Twins: core/ledger/jetstream (NATS JetStream) and core/ports/sim/ledger
 * (memory); both pass test/contracts/ledger.ts.
 */
import { limits } from '../base/limits.ts'
import type { Eui64 } from '../base/eui64.ts'

/** The ticks of all hosts. */
export const tickSubjects = 'log.*'
export const isTickSubject = (subject: string): boolean => subject.startsWith('log.')
/** Where a host's ticks stand. */
export const tickSubject = (hostId: string): string => `log.${hostId}`

/** One message of a commit. `data` is borrowed until the commit settles. */
export type LedgerEntry = {
  /** Without the deployment's prefix: `log.<host id>`, `lease.3`, `meta.deployment`. */
  subject: string
  data: Uint8Array
  /**
   * The commit is refused whole unless the last message on `subject` has this sequence (0: there is
   * none).
   */
  expect?: { subject: string; sequence: number }
}

export type LedgerMessage = { subject: string; sequence: number; data: Buffer }

/**
 * Why nothing of a commit was written, or `unknown`: it may or may not have been, the server did
 * not say.
 */
export type CommitRefusal = { refused: 'fence' | 'full' | 'too-large' | 'unknown'; detail: string }
/** Sequence of the commit's first message; the others follow without gaps. */
export type Committed = { refused?: undefined; firstSequence: number }

/**
 * Octets of a ledger of `bytesMax` that are kept for answers, leases, seals, snapshot and trim
 * records: no new requests are taken in them.
 */
export const ledgerReserveOf = (bytesMax: number): number =>
  Math.ceil((bytesMax * limits.ledgerReservePercent) / 100)

/** Of these, octets that are kept for leases, seals, snapshot and trim records, not for answers. */
export const ledgerRecordsReserveOf = (bytesMax: number): number =>
  Math.ceil((bytesMax * limits.ledgerRecordsReservePercent) / 100)

/** Octets that the ledger holds, and how many it takes at most. */
export type LedgerUsage = { bytes: number; bytesMax: number; lastSequence: number }

export interface Ledger {
  /** Copies of it on servers; 1 when left out. Each `read` may be of any of them. */
  readonly replicas?: number
  /**
   * Writes all entries or none, and settles when they are on disk (or are known not to be). At most
   * `ledgerBatchMessagesMax` entries. Never rejects: what went wrong is in the value.
   */
  commit(entries: readonly LedgerEntry[]): Promise<Committed | CommitRefusal>
  /** The last message on `subject`, which may end in `.*`, or undefined. */
  lastOn(subject: string): Promise<LedgerMessage | undefined>
  /** The message with this sequence, or undefined when there is none. */
  at(sequence: number): Promise<LedgerMessage | undefined>
  /**
   * Every message on `subject` with sequence ≥ `fromSequence`, in order, up to the last one present
   * at the call; settles at the end. `onMessage` may return a promise: the next message waits for
   * it. In a cluster a server that was cut off may take an older one for the last: whoever knows of
   * one names its sequence as `throughSequence`, and that one is waited for.
   */
  read(
    subject: string,
    fromSequence: number,
    onMessage: (message: LedgerMessage) => void | Promise<void>,
    throughSequence?: number,
  ): Promise<void>
  /**
   * Like `read`, and goes on with new messages as they come, through reconnections, until `close`.
   * While `onMessage`'s promise is pending nothing more is delivered (bounded prefetch).
   */
  follow(
    subject: string,
    fromSequence: number,
    onMessage: (message: LedgerMessage) => void | Promise<void>,
  ): Promise<{ close(): Promise<void> }>
  /**
   * Forgets the messages on `subject`, which may end in `.*`, before `fromSequence`. Sequences stay
   * as they are. Readers may or may not see what is being forgotten. Rejects with
   * BROKER_LEDGER_UNAVAILABLE: it may be done or not, and can be asked for again.
   */
  forget(subject: string, fromSequence: number): Promise<void>
  /** Rejects with BROKER_LEDGER_UNAVAILABLE. */
  usage(): Promise<LedgerUsage>
}

/** The deliveries of one tick to one party: a frame of envelopes, and the sequence of the tick. */
export type DeliveryFrame = { readonly sequence: number; readonly data: Buffer }

/**
 * What an output gateway follows: ticks of the ledger, sorted by party (core/ledger/party-feed).
 */
export interface DeliveryFeed {
  /**
   * Every frame of `party` at or behind `fromSequence`, in order, and new ones as they come, until
   * `close`. While `onFrame`'s promise is pending nothing more is delivered.
   */
  follow(
    party: Eui64,
    fromSequence: number,
    onFrame: (frame: DeliveryFrame) => void | Promise<void>,
  ): Promise<{ close(): Promise<void> }>
  /** The last frame of `party` at or behind `fromSequence`, or undefined. */
  lastOf(party: Eui64, fromSequence: number): Promise<DeliveryFrame | undefined>
}

/**
 * Small named values that are overwritten: cursors of parties and of views. Durable when `put`
 * settles.
 */
export interface CursorStore {
  get(name: string): Promise<Uint8Array | undefined>
  put(name: string, value: Uint8Array): Promise<void>
  names(): Promise<string[]>
}
