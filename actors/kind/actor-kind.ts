/**
 * What a kind of actor is: everything that the runtime (actors/runtime) must know of it. A kind is
 * pure but for its effects, which are run for it (`KindEffects`) once its facts are on disk.
 *
 *   envelope, wake, answer ─▶ decide ─▶ facts ─▶ ledger ─▶ evolve ─▶ state ─▶ store, snapshot
 *                                └─▶ deliveries ─▶ ledger        └─▶ effects ─▶ KindEffects
 *
 * How to add one: core/docs/internals/adding-a-kind.md.
 */
import type { Directory } from '../../core/access/directory.ts'
import type { ActorId } from '../../core/base/actor-id.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import type { KeyCounts } from '../../core/cluster/process-status.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import type { KindBlock } from '../../core/envelope/layout.ts'
import type { StoreCopy } from '../../core/ports/store.ts'
import type { ActorEffect, ActorFact, Outbox } from './effects.ts'
import type { ActorMessage, Arrived, Next, Resume, Wake } from './messages.ts'

/** Methods, not properties: the runtime holds kinds of any state, message, fact and effect. */
export interface ActorKind<
  State = unknown,
  Message extends ActorMessage = ActorMessage,
  Fact extends ActorFact = ActorFact,
  Effect extends ActorEffect = ActorEffect,
> {
  /** Stands in ActorIds, stores and snapshots: see ActorKindNumber. */
  readonly number: number
  readonly name: string
  /** Envelopes from outside that its actors get as ARRIVED. */
  readonly messageKinds: readonly KindBlock[]
  /** Envelopes in the ledger that are its facts. */
  readonly factKinds: readonly KindBlock[]
  /** Those of them that change no state: the ledger has them for people, replay passes them by. */
  readonly recordKinds?: ReadonlySet<number>

  emptyState(): State
  /**
   * Says what `message` means at `now`, UTC ms: facts, deliveries and effects, appended to `out`.
   * `directory` is the same for the whole tick. No I/O, clock, promise or randomness. When it
   * throws, `park` follows.
   */
  decide(
    state: State,
    message: Message | Arrived | Wake | Resume | Next,
    now: number,
    directory: Directory,
    out: Outbox<Fact, Effect>,
  ): void
  /** The only place that changes `state`; replay runs this alone. */
  evolve(state: State, fact: Fact, id: Eui64): void
  /** What is left to say when `decide` has thrown on `message`. */
  park(
    state: State,
    message: Message | Arrived | Wake | Resume | Next,
    now: number,
    out: Outbox<Fact, Effect>,
  ): void

  /** When it is to be woken if no message comes before, UTC ms; 0 for never. */
  nextWakeMs(state: State, now: number): number
  /** The same for the store, where what is on its way must be found after a restart. */
  storedWakeMs(state: State): number
  /** The clock of this host was set; its lag was `before` and is `after`, ms. */
  clockSet(state: State, before: number, after: number): void
  /** `state` has been read from disk, the ledger's tail included. */
  loaded(state: State, id: Eui64): void
  /** Something may have been on its way, or waits: to be resumed after a restart. */
  isUnfinished(state: State): boolean
  /**
   * False for a kind that is woken by its times alone: those of its actors that sleep are not gone
   * through after a restart.
   */
  readonly isResumed: boolean
  /** What is on its way for it now, so that it stays awake; undefined for nothing. */
  underWay(state: State): unknown
  /** False while nothing is known of it: it leaves nothing behind in memory. */
  isKnown(state: State): boolean

  /**
   * True for something from outside to which nothing is owed yet: refused while there is no room.
   */
  isNew(message: Message | Arrived | Wake | Resume | Next): boolean
  /**
   * What is left of a message that is too large for the ledger all by itself: a smaller one;
   * undefined for what can only be refused; the message itself for what is small anyway.
   */
  smallerOf(
    message: Message | Arrived | Wake | Resume | Next,
  ): Message | Arrived | Wake | Resume | Next | undefined

  /**
   * False for facts that have no place in the ledger: what they change is forgotten by a reload.
   */
  isWritten(fact: Fact): boolean
  /** Appends an envelope of `factKinds`; only for facts that are written. */
  writeFact(frame: FrameWriter, id: Eui64, fact: Fact): void
  /** @throws BrokerError ENVELOPE_MALFORMED */
  readFact(buffer: Buffer, at: number): Fact
  /** A version in front; every later version of the kind reads it. */
  packState(state: State): Uint8Array
  /** @throws BrokerError STORE_DAMAGED */
  unpackState(packed: Uint8Array): State
}

/** Where an actor is: its partition, as the runtime has it, and its id. */
export type ActorPlace = {
  readonly partition: { readonly number: number }
  readonly actor: ActorId
}

/** What the runtime does for the effects of a kind. */
export type EffectPorts<Message extends ActorMessage = ActorMessage> = {
  /** Puts `message` into the actor's mailbox, wherever its partition is served in this host now. */
  post(place: ActorPlace, message: Message): void
  /** What is on its way for the actor; undefined also while its partition is not served here. */
  underWayOf(place: ActorPlace): unknown
  /**
   * Calls `action` between two ticks when the partitions are still ours for sure; otherwise they
   * are read again, and the actor resumes.
   */
  whenOurs(place: ActorPlace, action: () => void): void
  /** As this process has it now: it may be newer than that of the decision. */
  readonly directory: Directory
}

/** Runs the effects of a kind; has what they need of the world. */
export interface KindEffects<Effect extends ActorEffect = ActorEffect> {
  run(place: ActorPlace, effect: Effect): void
  /**
   * Effects that take what is on its way to where it may have an effect: only while all is ours.
   */
  isSend(effect: Effect): boolean
  /** What is on its way now: each will bring an answer that has to be written. */
  readonly underWayCount: number
  /** To be called now and then, with elapsed time: work beside messages. */
  look?(elapsedMs: number, partitions: Iterable<StoredPartition>): void
  close?(): void
}

/** What work beside messages sees of a partition. */
export interface StoredPartition {
  readonly number: number
  readonly isClosed: boolean
  readonly isStoreDamaged: boolean
  /** Sequence up to which the store is folded. */
  readonly storedSequence: number
  /** The store as it is now; undefined when it cannot be trusted, or has nothing to show. */
  copy(): StoreCopy | undefined
  /** Of its devices with keys, when they were last gone through. */
  keyCounts: KeyCounts
}

/** A kind, and how a host runs its effects. */
export type HostedKind<Message extends ActorMessage = ActorMessage> = {
  readonly kind: ActorKind
  effects(ports: EffectPorts<Message>): KindEffects
}

/** The kinds of one host, by number and by the envelopes that belong to them. */
export class ActorKinds {
  private readonly byNumber = new Map<number, ActorKind>()
  private readonly byMessage: Array<ActorKind | undefined> = Array.from({ length: 256 })
  private readonly byFact: Array<ActorKind | undefined> = Array.from({ length: 256 })

  constructor(kinds: readonly ActorKind[]) {
    for (const kind of kinds) {
      this.byNumber.set(kind.number, kind)
      fill(this.byMessage, kind.messageKinds, kind)
      fill(this.byFact, kind.factKinds, kind)
    }
  }

  get(number: number): ActorKind | undefined {
    return this.byNumber.get(number)
  }

  /** Whose message an envelope of this kind is. */
  ofMessage(envelopeKind: number): ActorKind | undefined {
    return this.byMessage[envelopeKind]
  }

  /** Whose fact an envelope of this kind is. */
  ofFact(envelopeKind: number): ActorKind | undefined {
    return this.byFact[envelopeKind]
  }
}

function fill(
  table: Array<ActorKind | undefined>,
  blocks: readonly KindBlock[],
  kind: ActorKind,
): void {
  for (const [first, last] of blocks)
    for (let at = first; at <= last; at++) {
      const other = table[at]
      if (other !== undefined)
        throw new TypeError(`envelope kind ${at} belongs to ${other.name} and ${kind.name}`)
      table[at] = kind
    }
}
