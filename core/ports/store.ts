/**
 * Local state of one partition: sleeping actors, the wake index and the checkpoint they are folded
 * up to. A cache of the ledger: wiped, it is rebuilt. Twins: core/store/lmdb-partitions and
 * core/ports/sim/store.
 */
import type { ActorId } from '../base/actor-id.ts'

/**
 * How far a partition's store has been folded: every tick up to `sequence`. Its last frame stood in
 * the tick `frameSequence` (0 for none yet), had this number and this hash.
 */
export type Checkpoint = {
  sequence: number
  frameSequence: number
  frameNumber: number
  hash: Uint8Array
}

/** Changes that go to disk in one transaction, with the checkpoint they belong to. */
export type StoreChanges = {
  /** Packed states by actor; an actor's entry replaces the older one. */
  states: ReadonlyMap<ActorId, Uint8Array>
  /**
   * The one time at which each actor wants to be woken next, UTC ms; 0 for never. Replaces its
   * older wake.
   */
  wakes: ReadonlyMap<ActorId, number>
  /**
   * Left out while a store is loaded from a snapshot: until one comes, what is in it belongs to
   * nothing and is to be cleared.
   */
  checkpoint?: Checkpoint
}

/** One actor of a store; the state is borrowed until the next one. */
export type StoreRecord = {
  actor: ActorId
  state: Uint8Array
  /** 0 for never. */
  wakeAtMs: number
}
/**
 * A store as it was at one moment, whatever is saved meanwhile; close it soon, old pages cannot be
 * reused before.
 */
export type StoreCopy = {
  readonly checkpoint: Checkpoint
  /** In order of actor ids. @throws BrokerError STORE_DAMAGED */
  records(): Iterable<StoreRecord>
  close(): void
}

/** A place in the wake index. */
export type StoredWake = { actor: ActorId; atMs: number }

export interface PartitionStore {
  checkpoint(): Checkpoint | undefined
  /** The packed state, owned by the caller. */
  load(actor: ActorId): Uint8Array | undefined
  /** Settles when the transaction is committed. */
  save(changes: StoreChanges): Promise<void>
  /**
   * Devices due at or before `untilMs`, earliest first, at most `count`; only those behind `after`,
   * when it is given. They stay in the index until a save moves them.
   */
  dueWakes(untilMs: number, count: number, after?: StoredWake): StoredWake[]
  /** The earliest wake, or undefined. */
  nextWakeMs(): number | undefined
  /** True when it holds no actor. */
  isEmpty(): boolean
  /** What is in it now; undefined without a checkpoint. */
  copy(): StoreCopy | undefined
  /** Forgets everything: the store does not belong to this ledger. */
  clear(): Promise<void>
  close(): Promise<void>
}
