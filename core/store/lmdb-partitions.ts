/**
 * Sleeping actors, wakes and checkpoints of a host's partitions in LMDB: one environment for the
 * data directory, one named database a partition. One environment, because its commits are what
 * costs: lmdb gathers the saves of all partitions into one transaction and one flush, on a thread
 * of its own.
 *
 *  key                          value
 *  00                           checkpoint: sequence u64 | its frame's sequence u64 | frame number u64 | hash
 *  01 | actor                   packed state
 *  02 | time u64 | actor        empty: the wake index, in order of time
 *  03 | actor                   time u64: where the actor's wake stands in the index
 *
 * An actor is its eight octets, and the octet of its kind behind them, which a device does not
 * have: a store of format 2, which knew devices alone, is one of format 3. Every value begins with
 * a CRC-32 of what follows. Integers are big-endian. It is a cache of the ledger: a file that is
 * damaged, or of another format, is set aside, and the partition is rebuilt by replay. What is done
 * when LMDB fails while it is in use: local-stores.ts.
 */
import type { Database, Transaction } from 'lmdb'
import { assert } from '../base/assert.ts'
import { BrokerError } from '../base/broker-error.ts'
import { actorIdOf, type ActorId } from '../base/actor-id.ts'
import { eui64Bytes, readEui64 } from '../base/eui64.ts'
import type { Log } from '../ports/log.ts'
import type {
  Checkpoint,
  PartitionStore,
  StoreChanges,
  StoreCopy,
  StoredWake,
  StoreRecord,
} from '../ports/store.ts'
import {
  checkRoom,
  committed,
  guarded,
  openLmdbEnvironment,
  payloadOf,
  setEnvironmentAside,
  type LmdbEnvironmentOptions,
} from './lmdb-environment.ts'

const formatVersion = 3
/** Of devices alone: what is in it reads as it is. */
const earlierFormats: readonly number[] = [2]
export const partitionsMax = 4096
const tag = { checkpoint: 0, state: 1, wake: 2, wakeOf: 3, end: 4 } as const
export const checkpointKey = Buffer.of(tag.checkpoint)

export type LmdbStoresOptions = {
  folder: string
  log?: Log | undefined
  clock?: { now(): number } | undefined
}

/** The stores of all partitions of one host. */
export type LmdbStores = {
  /** The store of one partition; open at most one at a time. @throws Error of LMDB */
  open(partition: number): PartitionStore
  /** They have been read without harm: the marker of the opening is removed. */
  settled(): void
  /** What comes next may end the process: the marker stands again. */
  unsettled(): void
  /** Closes the environment, after the stores. Never rejects. */
  close(): Promise<void>
}

/**
 * Opens the environment in `folder`, making it when needed; one that is damaged is set aside and
 * replaced by an empty one.
 * @throws Error of the file system or of LMDB when there cannot be one now
 */
export function openLmdbStores(options: LmdbStoresOptions): LmdbStores {
  const environment = openLmdbEnvironment(environmentOptions(options))
  const openStores = new Set<number>()
  let isClosed = false
  return {
    open(partition) {
      assert(
        Number.isInteger(partition) && partition >= 0 && partition < partitionsMax,
        'a partition number',
      )
      assert(!openStores.has(partition), 'a partition has one store')
      const database = environment.root.openDB({
        name: `partition-${partition}`,
        keyEncoding: 'binary',
        encoding: 'binary',
      })
      openStores.add(partition)
      return new LmdbPartitionStore(
        database,
        (keyCount, bytes) => checkRoom(options.folder, keyCount, bytes),
        () => isClosed,
        () => openStores.delete(partition),
      )
    },
    settled: () => environment.settled(),
    unsettled: () => environment.unsettled(),
    close() {
      isClosed = true
      return environment.close()
    },
  }
}

/** Sets the files in `folder` aside, which are not open. @throws the fault of the file system */
export function setLmdbStoresAside(options: LmdbStoresOptions, reason: string): void {
  setEnvironmentAside(environmentOptions(options), reason)
}

const environmentOptions = (options: LmdbStoresOptions): LmdbEnvironmentOptions => ({
  ...options,
  formatVersion,
  earlierFormats,
  databasesMax: partitionsMax,
})

function actorKey(kind: number, actor: ActorId): Buffer {
  const key = Buffer.allocUnsafe(1 + actor.length)
  key[0] = kind
  key.write(actor, 1, 'latin1')
  return key
}

function wakeKey(atMs: number, actor: ActorId): Buffer {
  const key = Buffer.allocUnsafe(1 + 8 + actor.length)
  key[0] = tag.wake
  key.writeBigUInt64BE(BigInt(atMs), 1)
  key.write(actor, 9, 'latin1')
  return key
}

/** The actor that stands in `key` from `at` on. A walk through the wake index reads millions. */
const actorIn = (key: Buffer, at: number): ActorId => {
  const octets = readEui64(key, at)
  return key.length === at + eui64Bytes ? octets : actorIdOf(key[at + eui64Bytes]!, octets)
}

/**
 * Both ranges are in order of actors, and an actor with a wake has a state: they are walked side by
 * side.
 */
function* recordsIn(
  database: Database<Buffer, Buffer>,
  transaction: Transaction,
  checkOpen: () => void,
): Generator<StoreRecord> {
  checkOpen()
  const rangeOf = (kind: number) => ({
    start: Buffer.of(kind),
    end: Buffer.of(kind + 1),
    transaction,
  })
  const wakes = database.getRange(rangeOf(tag.wakeOf))[Symbol.iterator]()
  try {
    let wake = wakes.next()
    for (const { key, value } of database.getRange(rangeOf(tag.state))) {
      const actor = actorIn(key, 1)
      let wakeAtMs = 0
      if (wake.done !== true && actorIn(wake.value.key, 1) === actor) {
        wakeAtMs = Number(payloadOf(wake.value.value, 'wake').readBigUInt64BE(0))
        wake = wakes.next()
      }
      yield { actor, state: payloadOf(value, 'state'), wakeAtMs }
      checkOpen()
    }
    if (wake.done !== true) throw new BrokerError('STORE_DAMAGED', 'a wake without an actor')
  } finally {
    // A cursor that outlives its transaction can end the process.
    wakes.return?.()
  }
}

/** The hash borrows from `payload`. @throws BrokerError STORE_DAMAGED */
export function checkpointIn(payload: Buffer): Checkpoint {
  if (payload.length < 24) throw new BrokerError('STORE_DAMAGED', 'checkpoint')
  return {
    sequence: Number(payload.readBigUInt64BE(0)),
    frameSequence: Number(payload.readBigUInt64BE(8)),
    frameNumber: Number(payload.readBigUInt64BE(16)),
    hash: payload.subarray(24),
  }
}

const empty = guarded(Buffer.alloc(0))

class LmdbPartitionStore implements PartitionStore {
  private readonly opened: Database<Buffer, Buffer>
  private readonly checkRoom: (keyCount: number, bytes: number) => void
  private readonly isGone: () => boolean
  private readonly onClose: () => void
  /** Saves run one after the other: each reads where the wakes stand that it moves. */
  private tail: Promise<unknown> = Promise.resolve()

  constructor(
    database: Database<Buffer, Buffer>,
    checkRoom: (keyCount: number, bytes: number) => void,
    isGone: () => boolean,
    onClose: () => void,
  ) {
    this.opened = database
    this.checkRoom = checkRoom
    this.isGone = isGone
    this.onClose = onClose
  }

  /**
   * lmdb ends the process, from a timer of its own, when an environment is read after it was
   * closed.
   */
  private get database(): Database<Buffer, Buffer> {
    this.checkOpen()
    return this.opened
  }

  private checkOpen(): void {
    if (this.isGone()) throw new BrokerError('BROKER_DRAINING', 'the store is closed')
  }

  checkpoint(): Checkpoint | undefined {
    return this.checkpointIn(undefined)
  }

  private checkpointIn(transaction: Transaction | undefined): Checkpoint | undefined {
    const value = this.database.get(checkpointKey, transaction && { transaction })
    if (value === undefined) return undefined
    return checkpointIn(payloadOf(value, 'checkpoint'))
  }

  load(actor: ActorId): Uint8Array | undefined {
    const value = this.database.getBinary(actorKey(tag.state, actor))
    return value && payloadOf(value, 'state')
  }

  /** What LMDB or the file system says of it is the rejection; nothing was written then. */
  save(changes: StoreChanges): Promise<void> {
    const saved = this.tail.then(() => this.write(changes))
    this.tail = saved.catch(() => {})
    return saved
  }

  private async write({ states, wakes, checkpoint }: StoreChanges): Promise<void> {
    const { database } = this
    const puts: Array<[key: Buffer, value: Buffer]> = []
    const removes: Buffer[] = []
    for (const [actor, state] of states) puts.push([actorKey(tag.state, actor), guarded(state)])
    for (const [actor, atMs] of wakes) this.moveWake(actor, atMs, puts, removes)
    if (checkpoint !== undefined) {
      const payload = Buffer.allocUnsafe(24 + checkpoint.hash.length)
      payload.writeBigUInt64BE(BigInt(checkpoint.sequence), 0)
      payload.writeBigUInt64BE(BigInt(checkpoint.frameSequence), 8)
      payload.writeBigUInt64BE(BigInt(checkpoint.frameNumber), 16)
      payload.set(checkpoint.hash, 24)
      puts.push([checkpointKey, guarded(payload)])
    }
    const bytes = puts.reduce((total, [key, value]) => total + key.length + value.length, 0)
    this.checkRoom(puts.length + removes.length, bytes)
    // Nothing in it may throw: what stands before would be written without the rest.
    await committed(
      database.batch(() => {
        for (const key of removes) void database.remove(key)
        for (const [key, value] of puts) void database.put(key, value)
      }),
    )
  }

  private moveWake(
    actor: ActorId,
    atMs: number,
    puts: Array<[key: Buffer, value: Buffer]>,
    removes: Buffer[],
  ): void {
    const wakeOfKey = actorKey(tag.wakeOf, actor)
    const found = this.database.getBinary(wakeOfKey)
    const before = found && Number(payloadOf(found, 'wake').readBigUInt64BE(0))
    if (before === atMs) return
    if (before !== undefined) removes.push(wakeKey(before, actor))
    if (atMs === 0) {
      if (before !== undefined) removes.push(wakeOfKey)
      return
    }
    const payload = Buffer.allocUnsafe(8)
    payload.writeBigUInt64BE(BigInt(atMs), 0)
    puts.push([wakeKey(atMs, actor), empty], [wakeOfKey, guarded(payload)])
  }

  dueWakes(untilMs: number, count: number, after?: StoredWake): StoredWake[] {
    const due: StoredWake[] = []
    // The key behind it, whatever that is.
    const start =
      after === undefined
        ? Buffer.of(tag.wake)
        : Buffer.concat([wakeKey(after.atMs, after.actor), Buffer.of(0)])
    const end = Buffer.alloc(9)
    end[0] = tag.wake
    end.writeBigUInt64BE(BigInt(untilMs) + 1n, 1)
    for (const key of this.database.getKeys({ start, end, limit: count })) {
      due.push({ actor: actorIn(key, 9), atMs: Number(key.readBigUInt64BE(1)) })
    }
    return due
  }

  nextWakeMs(): number | undefined {
    for (const key of this.database.getKeys({
      start: Buffer.of(tag.wake),
      end: Buffer.of(tag.wake + 1),
      limit: 1,
    })) {
      return Number(key.readBigUInt64BE(1))
    }
    return undefined
  }

  isEmpty(): boolean {
    const [first] = this.database.getKeys({
      start: Buffer.of(tag.state),
      end: Buffer.of(tag.state + 1),
      limit: 1,
    })
    return first === undefined
  }

  copy(): StoreCopy | undefined {
    const { database } = this
    const transaction = database.useReadTransaction()
    let checkpoint: Checkpoint | undefined
    try {
      checkpoint = this.checkpointIn(transaction)
    } finally {
      if (checkpoint === undefined) transaction.done()
    }
    if (checkpoint === undefined) return undefined
    return {
      checkpoint,
      records: () => recordsIn(database, transaction, () => this.checkOpen()),
      close: () => {
        if (!this.isGone()) transaction.done()
      },
    }
  }

  clear(): Promise<void> {
    const cleared = this.tail.then(() => {
      this.checkRoom(0, 0)
      return committed(this.database.clearAsync())
    })
    this.tail = cleared.catch(() => {})
    return cleared
  }

  async close(): Promise<void> {
    await this.tail
    this.onClose()
  }
}
