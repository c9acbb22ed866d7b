/**
 * One partition: its awake actors, of any kind, the frame of facts that the present tick gathers,
 * and the store it is folded into. It decides; the host commits. Between two ticks its memory is
 * exactly what is on the ledger, so a checkpoint is taken there.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { actorIdOf, kindOfActor, octetsOfActor, type ActorId } from '../../../core/base/actor-id.ts'
import { noLetter, type LetterPlace } from '../../../core/base/letter-place.ts'
import { limits } from '../../../core/base/limits.ts'
import { readKind, readTarget } from '../../../core/envelope/envelope.ts'
import {
  chainLinkBytes,
  forEachEnvelope,
  FrameWriter,
  hashOfFrame,
  writeChainLink,
} from '../../../core/envelope/frame.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import {
  noKeyCounts,
  type KeyCounts,
  type PartitionStatus,
} from '../../../core/cluster/process-status.ts'
import type { Checkpoint, PartitionStore, StoreCopy } from '../../../core/ports/store.ts'
import type { ActorKind, ActorKinds } from '../../kind/actor-kind.ts'
import { letterboxId, letterboxKind, type LetterboxState } from '../../kind/letterbox.ts'
import { isLetter } from '../../kind/letters.ts'
import type { ActorMessage } from '../../kind/messages.ts'
import { putToSleep, use, type Awake, type AwakeActors } from './awake.ts'
import { genesis, stepChain } from './chain.ts'
import { Unfinished } from './wake-index.ts'
import { isStoreDamage, openStore } from '../recovery/opening.ts'
import type { Past } from '../recovery/trimmed-history.ts'
import { Deciding, type DecidingPorts } from './deciding.ts'
import { processLetter } from './letters.ts'
import type { Tick } from './tick.ts'
import { Wakes, type ClockSet } from './wakes.ts'

export type PartitionOptions = Pick<
  DecidingPorts,
  'log' | 'restores' | 'onParked' | 'partitionCount' | 'mayRecord'
> & {
  number: number
  store: PartitionStore
  actorsAwakeMax: number
  actorIdleMs: number
  /** Its store can be opened again. */
  onClosed: () => void
  kinds: ActorKinds
}

export class Partition {
  readonly number: number
  /** Requests in the mailbox. */
  waiting = 0
  /** When the last save began, elapsed time. */
  savedAt = 0
  /** Sequence of the lease message: ours for as long as it is the last. */
  leaseSequence = 0
  /** The store cannot be trusted; `open` clears it, and until then nothing is saved or read. */
  isStoreDamaged = false
  isClosed = false
  /** Of its devices with keys, when they were last gone through. */
  keyCounts: KeyCounts = noKeyCounts

  private readonly options: PartitionOptions
  private readonly awake: AwakeActors = new Map()
  private readonly dirty = new Set<ActorId>()
  private readonly wakes: Wakes
  private readonly frame = new FrameWriter()
  private readonly deciding: Deciding
  private folded: Checkpoint = genesis
  private taken: { frameNumber: number; hash: Buffer } | undefined
  private saving: Promise<void> | undefined
  /** Actors that the present save writes; until it is done the store has them as they were. */
  private leaving: ReadonlySet<ActorId> = new Set()
  /** Sequence of the store's checkpoint; -1 when it has none. */
  private savedSequence = -1
  /** Of the last snapshot; 0 for none, or none known. */
  snapshotSequence = 0
  private isSaveWanted = false
  private toResume: Unfinished | undefined
  /** The clock was set back, and not all that sleeps has been moved with it. */
  private setBack: ClockSet | undefined
  private besideReplay: Promise<void> | undefined

  constructor(options: PartitionOptions) {
    this.number = options.number
    this.options = options
    this.deciding = new Deciding({
      ...options,
      partition: this,
      frame: this.frame,
      markDirty: (id, actor) => this.markDirty(id, actor),
      schedule: (id, actor) => this.wakes.schedule(id, actor),
    })
    this.wakes = new Wakes({
      ...options,
      awake: this.awake,
      wake: (id, now) => this.wake(id, now),
      markDirty: (id, actor) => this.markDirty(id, actor),
    })
  }

  get awakeCount(): number {
    return this.awake.size
  }

  /**
   * More has changed than may be awake, and the store is not done with the last save: memory grows
   * until it is.
   */
  get isFarBehind(): boolean {
    return this.saving !== undefined && this.dirty.size > this.options.actorsAwakeMax
  }

  /** Octets of facts that the present tick has gathered. */
  get factBytes(): number {
    return this.frame.bytes
  }

  get checkpoint(): Checkpoint {
    return this.folded
  }

  /** Sequence up to which the store is folded. */
  get storedSequence(): number {
    return Math.max(0, this.savedSequence)
  }

  /** The store as it is now; undefined when it cannot be trusted, or has nothing to show. */
  copy(): StoreCopy | undefined {
    return this.isClosed || this.isStoreDamaged ? undefined : this.options.store.copy()
  }

  /** For operators. */
  status(): PartitionStatus {
    const { number, waiting, savedSequence, snapshotSequence, lettersReadKnown } = this
    return {
      number,
      sequence: this.folded.sequence,
      savedSequence: Math.max(0, savedSequence),
      snapshotSequence,
      awake: this.awake.size,
      waiting,
      ...(lettersReadKnown && { lettersRead: lettersReadKnown }),
      keys: this.keyCounts,
    }
  }

  /**
   * Forgets what is in memory and opens the store where it was last saved. `lastSequence` is that
   * of the ledger's last tick. A store that is damaged, or was not folded from this ledger, is
   * cleared; one that lacks what the ledger has forgotten is loaded from the snapshot. Follow with
   * `replay` of the ticks behind `checkpoint`, then `ready`.
   * @throws BrokerError STORE_DAMAGED when the store is so even though it has been cleared;
   * SNAPSHOT_DAMAGED, BROKER_LEDGER_UNAVAILABLE
   */
  async open(lastSequence: number, past: Past): Promise<void> {
    // That it failed has been told already.
    await this.saving?.catch(() => undefined)
    if (!this.isStoreDamaged) {
      try {
        return await this.reopen(lastSequence, past)
      } catch (fault) {
        if (!isStoreDamage(fault)) throw fault
      }
    }
    this.options.log.warn(
      { partition: this.number },
      'the store is damaged and is rebuilt from the ledger',
    )
    try {
      await this.options.store.clear()
    } catch (cause) {
      throw new BrokerError('STORE_DAMAGED', 'it cannot be cleared', { cause })
    }
    this.isStoreDamaged = false
    return this.reopen(lastSequence, past)
  }

  private async reopen(lastSequence: number, past: Past): Promise<void> {
    this.awake.clear()
    this.dirty.clear()
    this.frame.clear()
    this.taken = undefined
    this.toResume = this.besideReplay = this.setBack = undefined
    this.isSaveWanted = false
    this.wakes.restart()
    const { number: partition } = this
    const { store, log } = this.options
    let checkpoint: Checkpoint | undefined
    try {
      checkpoint = await openStore({ partition, store, log, lastSequence, past })
    } catch (fault) {
      this.isStoreDamaged = isStoreDamage(fault)
      throw fault
    }
    this.savedSequence = checkpoint?.sequence ?? -1
    this.folded = checkpoint ?? genesis
  }

  /**
   * Every tick up to `lastSequence` has been replayed: the partition can be served, and
   * `unfinished` lists the actors to resume.
   */
  async ready(lastSequence: number): Promise<void> {
    this.foldedTo(lastSequence)
    await this.besideReplay
    // What is not saved yet is so in its turn, when requests are answered already.
    for (const [id, { kind, state }] of this.awake) kind.loaded(state, octetsOfActor(id))
    const isOpen = (id: ActorId): boolean => {
      const actor = this.awake.get(id)
      return actor?.kind.isUnfinished(actor.state) === true
    }
    this.toResume = new Unfinished([...this.dirty].filter(isOpen))
  }

  private foldedTo(sequence: number): void {
    if (sequence > this.folded.sequence) this.folded = { ...this.folded, sequence }
  }

  /** Whatever is wrong with what is read, it is the store's fault, and the store is a cache. */
  private reading<T>(what: string, read: () => T): T {
    try {
      return read()
    } catch (cause) {
      this.isStoreDamaged = true
      throw isStoreDamage(cause) ? cause : new BrokerError('STORE_DAMAGED', what, { cause })
    }
  }

  /**
   * Applies this partition's frame of the tick `sequence` and checks the hash chain. A promise
   * means: wait, it saves.
   * @throws BrokerError LEDGER_CHAIN_BROKEN, FRAME_MALFORMED, ENVELOPE_MALFORMED, STORE_DAMAGED
   */
  replay(data: Buffer, sequence: number): void | Promise<void> {
    if (sequence <= this.folded.sequence) return
    const folded = stepChain(this.number, this.folded, data, sequence)
    forEachEnvelope(data, chainLinkBytes, (at) => {
      const kind = this.options.kinds.ofFact(readKind(data, at))
      if (kind === undefined)
        throw new BrokerError(
          'FORMAT_VERSION_LATER',
          `no kind of actor has the fact ${readKind(data, at)}`,
        )
      if (kind.recordKinds?.has(readKind(data, at)) === true) return
      const id = actorIdOf(kind.number, readTarget(data, at))
      const actor = this.wake(id, 0)
      this.markDirty(id, actor)
      this.deciding.apply(actor, kind.readFact(data, at), id)
    })
    this.folded = folded
    if (this.dirty.size >= limits.replayDirtyMax) return this.saveBesideReplay()
  }

  /**
   * Starts a save, when the one before is done: the store writes while the next states are folded.
   */
  private async saveBesideReplay(): Promise<void> {
    await this.besideReplay
    this.besideReplay = this.save().then(() => {
      for (const [id, actor] of this.awake) if (!actor.isDirty) this.awake.delete(id)
    })
    // The waiting caller gets the fault.
    this.besideReplay.catch(() => undefined)
  }

  /** The next `countMax` actors to resume after the partition was loaded. */
  unfinished(now: number, countMax: number): ActorId[] {
    const { toResume, setBack } = this
    if (toResume === undefined) return []
    if (setBack !== undefined && this.awake.size > this.options.actorsAwakeMax) return []
    const found = this.unlessDamaged(() => toResume.next(this.options.store, countMax)) ?? []
    if (setBack !== undefined)
      this.unlessDamaged(() => found.forEach((one) => this.wakes.clockSetFor(one, now, setBack)))
    if (toResume.isOver) this.toResume = this.setBack = undefined
    const { kinds } = this.options
    return found.filter(
      (id) => kinds.get(kindOfActor(id))?.isResumed !== false && this.underWayOf(id) === undefined,
    )
  }

  /** What `read` gives of the store; undefined when that is damaged. */
  private unlessDamaged<T>(read: () => T): T | undefined {
    if (this.isStoreDamaged) return undefined
    try {
      return this.reading('wakes', read)
    } catch (fault) {
      if (!isStoreDamage(fault)) throw fault
      return undefined
    }
  }

  /**
   * Decides one message of one actor, and what follows from it; all of it becomes part of `tick`.
   * @throws BrokerError STORE_DAMAGED; memory is then behind or ahead of the ledger, and a reload
   * must follow
   */
  process(id: ActorId, message: ActorMessage, now: number, tick: Tick): void {
    if (isLetter(message)) processLetter(this, id, message, now, tick)
    else this.run(id, message, now, tick)
  }

  /** As `process`, without the order of letters. @returns true when it gave facts */
  run(id: ActorId, message: ActorMessage, now: number, tick: Tick): boolean {
    const actor = this.wake(id, now)
    const isChanged = this.deciding.run(id, actor, message, now, tick)
    // One of which nothing is known, a device that nobody has registered, leaves nothing behind.
    const isStored = !actor.isDirty && !this.leaving.has(id)
    if (isStored && !actor.kind.isKnown(actor.state)) this.awake.delete(id)
    return isChanged
  }

  /** An actor failed on the message that ran last. */
  get hasParked(): boolean {
    return this.deciding.hasParked
  }

  /** Place of the last letter decided. @throws BrokerError STORE_DAMAGED */
  get lettersRead(): LetterPlace {
    const awake = this.awake.get(letterboxId)
    // Looked at again and again: it is not woken for that.
    const state =
      awake?.state ?? this.reading('state', () => this.stored(letterboxKind, letterboxId))
    return (state as LetterboxState | undefined)?.place ?? noLetter
  }

  /** The same beside ticks; undefined when the store is damaged: a reload follows. */
  get lettersReadKnown(): LetterPlace | undefined {
    return this.unlessDamaged(() => this.lettersRead)
  }

  /** True when its actors of this kind can be brought up here. */
  holds(id: ActorId): boolean {
    return this.options.kinds.get(kindOfActor(id)) !== undefined
  }

  /** What is on its way for actor `id`; undefined also when it sleeps. */
  underWayOf(id: ActorId): unknown {
    const actor = this.awake.get(id)
    return actor?.kind.underWay(actor.state)
  }

  private wake(id: ActorId, now: number): Awake {
    const known = this.awake.get(id)
    if (known !== undefined) {
      use(this.awake, id, known, now)
      return known
    }
    const kind = this.options.kinds.get(kindOfActor(id))
    if (kind === undefined)
      throw new BrokerError('STORE_DAMAGED', `an actor of kind ${kindOfActor(id)}`)
    const state = this.reading('state', () => this.stored(kind, id)) ?? kind.emptyState()
    const wakeAt = kind.nextWakeMs(state, now)
    const actor: Awake = { kind, state, isDirty: false, usedAt: now, wakeAt, slot: 0 }
    this.wakes.schedule(id, actor)
    this.awake.set(id, actor)
    return actor
  }

  private stored(kind: ActorKind, id: ActorId): unknown {
    const packed = this.options.store.load(id)
    if (packed === undefined) return undefined
    const state = kind.unpackState(packed)
    kind.loaded(state, octetsOfActor(id))
    return state
  }

  private markDirty(id: ActorId, actor: Awake): void {
    if (actor.isDirty) return
    actor.isDirty = true
    this.dirty.add(id)
  }

  /** Up to `countMax` due actors; only awake ones when the store is damaged. */
  due(now: number, countMax: number): ActorId[] {
    const actors = this.wakes.dueAwake(now, countMax)
    const room = countMax - actors.length
    const mayBegin = this.saving === undefined && !this.isSaveWanted
    if (room > 0 && this.unlessDamaged(() => this.wakes.dueStored(now, room, actors, mayBegin)))
      this.isSaveWanted = true
    return actors
  }

  /**
   * The clock of this host was set; to be called between ticks only. `unfinished` goes through
   * those asleep.
   */
  clockSet(set: ClockSet): void {
    this.wakes.clockSet(set)
    if (set.after < set.before && this.setBack === undefined) return
    this.setBack = { ...set, before: this.setBack?.before ?? set.before }
    this.toResume = new Unfinished(this.toResume?.unsaved ?? [])
  }

  /**
   * The facts of this tick as a ledger frame, chained to the one before; undefined when there are
   * none. Borrowed until `committed` or `open`, one of which must follow.
   */
  takeFrame(): Buffer | undefined {
    if (this.frame.count === 0) return undefined
    const frameNumber = this.folded.frameNumber + 1
    const frame = this.frame.lend()
    writeChainLink(frame, 0, {
      partition: this.number,
      frameNumber,
      previousHash: Buffer.from(this.folded.hash),
    })
    this.taken = { frameNumber, hash: hashOfFrame(frame) }
    return frame
  }

  /** The frame taken last is on disk at `sequence`. */
  committed(sequence: number): void {
    if (this.taken !== undefined) this.folded = { sequence, frameSequence: sequence, ...this.taken }
    this.taken = undefined
    this.frame.clear()
  }

  /** To be asked between ticks only. */
  isSaveDue(elapsedMs: number, intervalMs: number, lastSequence: number): boolean {
    if (this.saving !== undefined || this.isStoreDamaged) return false
    const isBehind = lastSequence - this.savedSequence > limits.checkpointIdleTicksMax
    // A frame of records alone changes no actor; the ledger forgets it behind a save all the same.
    const isFrameSaved = this.folded.frameSequence <= this.savedSequence
    if (this.dirty.size === 0 && isFrameSaved && !isBehind) return false
    const isCrowded = this.awake.size > this.options.actorsAwakeMax
    const waitMs = isCrowded ? Math.min(limits.crowdedSaveMs, intervalMs) : intervalMs
    return this.isSaveWanted || elapsedMs - this.savedAt >= waitMs
  }

  /** Saves, then puts idle actors to sleep; between ticks only. Logs a failure. */
  async saveAndSleep(clock: Clock, lastSequence: number): Promise<void> {
    this.foldedTo(lastSequence)
    this.savedAt = clock.elapsedMs()
    try {
      await this.save()
      const { actorIdleMs, actorsAwakeMax } = this.options
      putToSleep(this.awake, clock.now(), actorIdleMs, actorsAwakeMax)
    } catch (fault) {
      const { log } = this.options
      log.error({ partition: this.number, fault: String(fault) }, 'the store could not be saved')
    }
  }

  /** Writes all changes and their checkpoint; to be called between ticks only. */
  save(): Promise<void> {
    if (this.saving !== undefined) return this.saving.then(() => this.save())
    if (this.dirty.size === 0 && this.savedSequence === this.folded.sequence)
      return Promise.resolve()
    this.isSaveWanted = false
    const states = new Map<ActorId, Uint8Array>()
    const wakes = new Map<ActorId, number>()
    for (const id of this.dirty) {
      const actor = this.awake.get(id)
      if (actor === undefined) continue
      actor.isDirty = false
      states.set(id, actor.kind.packState(actor.state))
      // What is on its way must be found after a restart.
      wakes.set(id, actor.kind.storedWakeMs(actor.state))
    }
    const saved = new Set(this.dirty)
    this.leaving = saved
    this.dirty.clear()
    const checkpoint = this.folded
    this.saving = this.options.store.save({ states, wakes, checkpoint }).then(
      () => {
        this.saving = undefined
        this.leaving = new Set()
        this.savedSequence = checkpoint.sequence
      },
      (fault) => {
        this.saving = undefined
        this.leaving = new Set()
        // Anything else (no room on the disk) may pass, and is tried again.
        if (isStoreDamage(fault)) this.isStoreDamaged = true
        for (const id of saved) {
          const actor = this.awake.get(id)
          if (actor !== undefined) this.markDirty(id, actor)
        }
        throw fault
      },
    )
    return this.saving
  }

  /** May be called again. */
  async close(): Promise<void> {
    if (this.isClosed) return
    this.isClosed = true
    await this.saving?.catch(() => undefined)
    await this.options.store.close()
    this.options.onClosed()
  }
}
