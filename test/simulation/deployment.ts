/**
 * Several hosts in one process on simulated clock, bus, ledger, stores and WAN. A host can be killed, paused (SIGSTOP) and woken: whatever
 * it does goes through its life, which a killed process does not have any more and a paused one gets back later, late writes included.
 */
import type { DeviceBehaviour } from '../../actors/device/actor.ts'
import { Host } from '../../actors/runtime/host.ts'
import { Owners } from '../../core/bus/owners.ts'
import { fnv1a32 } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { Eui64Key } from '../../core/base/eui64.ts'
import { hostSubject, type Bus } from '../../core/ports/bus.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Ledger } from '../../core/ports/ledger.ts'
import { silentLog } from '../../core/ports/log.ts'
import { noMetrics } from '../../core/ports/metrics.ts'
import { seededRandom } from '../../core/ports/random.ts'
import { SimBus } from '../../core/ports/sim/bus.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import { SimCursorStore, SimLedger, type SimCommitFault } from '../../core/ports/sim/ledger.ts'
import { SimPartitionStore } from '../../core/ports/sim/store.ts'
import { SimWan, type SimExchange } from '../../core/ports/sim/wan.ts'
import { SimSnapshotStore } from '../../core/ports/sim/snapshots.ts'
import type { SnapshotStore } from '../../core/ports/snapshot.ts'
import type { PartitionStore } from '../../core/ports/store.ts'
import { ledgerOver, storeOver } from '../support/pass-through.ts'

export const partitionCount = 4
/** Octets of the ledger that hosts are told it takes. */
const ledgerBytesShort = 10_000
export const hostIds = ['a', 'b', 'c'] as const

/** Lets every promise that can settle do so. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Where a planted bug sits: between a host and its ports. */
export type Plant = {
  ledger?: (ledger: Ledger, clock: SimClock) => Ledger
  store?: (store: PartitionStore) => PartitionStore
  behaviour?: DeviceBehaviour
}

/** What the simulated world does wrong; asked each time. */
export type Faults = {
  onCommit: () => SimCommitFault | undefined
  /** True loses a frame on the bus. */
  onFrame: () => boolean
  /** True fails a save, whole. */
  onSave: () => boolean
  /** True makes the store of snapshots fail. */
  onSnapshot: () => boolean
}

class Life {
  isOver = false
  private waiting: Array<() => void> | undefined

  get isPaused(): boolean {
    return this.waiting !== undefined
  }

  pause(): void {
    this.waiting ??= []
  }

  wake(): void {
    const { waiting = [] } = this
    this.waiting = undefined
    for (const action of waiting) this.run(action)
  }

  /** Now, when it goes on, or never. */
  run(action: () => void): void {
    if (this.isOver) return
    if (this.waiting !== undefined) this.waiting.push(action)
    else action()
  }

  /** Settles when the process runs; never when it is over. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.run(resolve))
  }
}

export class Deployment {
  readonly clock = new SimClock(1_800_000_000_000)
  readonly ledger: SimLedger
  readonly hosts = new Map<string, Host>()
  exchanges: Array<{ hostId: string; exchange: SimExchange }> = []
  onExchange: (hostId: string, exchange: SimExchange) => void = () => undefined
  onFault: (fault: unknown) => void = (fault) => {
    throw fault
  }
  readonly owners: Owners
  readonly cursors = new SimCursorStore()
  readonly snapshots: SimSnapshotStore
  private readonly bus: SimBus
  private readonly lives = new Map<string, Life>()
  private readonly stores = new Map<string, SimPartitionStore>()
  private readonly faults: Faults
  private readonly plant: Plant
  private lifeCount = 0

  constructor(faults: Faults, plant: Plant = {}) {
    this.faults = faults
    this.plant = plant
    this.ledger = new SimLedger({ onCommit: faults.onCommit })
    this.snapshots = new SimSnapshotStore(faults.onSnapshot)
    this.bus = new SimBus({
      clock: this.clock,
      onSend: (subject) => subject.startsWith('host.') && faults.onFrame(),
    })
    this.owners = new Owners({
      ledger: this.ledger,
      bus: this.bus,
      clock: this.clock,
      log: silentLog,
      partitionCount,
    })
  }

  async start(hostId: string): Promise<void> {
    const life = new Life()
    this.lives.set(hostId, life)
    const clock: Clock = {
      now: () => this.clock.now(),
      elapsedMs: () => this.clock.elapsedMs(),
      at: (atMs, action) => this.clock.at(atMs, () => life.run(action)),
    }
    const bus: Bus = {
      request: async (subject, frame, timeoutMs) => {
        await life.turn()
        return this.bus.request(subject, frame, timeoutMs)
      },
      serve: (subject, onFrame) =>
        this.bus.serve(subject, (frame, reply) =>
          life.run(() => onFrame(frame, (answer) => life.run(() => reply(answer)))),
        ),
      announce: (subject, data) => life.run(() => this.bus.announce(subject, data)),
      listen: (subject, onData) => this.bus.listen(subject, (data) => life.run(() => onData(data))),
    }
    const plain = ledgerOver(this.ledger, {
      commit: async (entries) => {
        await life.turn()
        const outcome = await this.ledger.commit(entries)
        await life.turn()
        return outcome
      },
      follow: (subject, from, onMessage) =>
        this.ledger.follow(subject, from, async (message) => {
          await life.turn()
          return onMessage(message)
        }),
      forget: async (subject, from) => {
        await life.turn()
        return this.ledger.forget(subject, from)
      },
      // Short of room all the time, and never without.
      usage: async () => ({ ...(await this.ledger.usage()), bytesMax: ledgerBytesShort }),
    })
    const ledger = this.plant.ledger?.(plain, this.clock) ?? plain
    const owners = new Owners({ ledger, bus, clock, log: silentLog, partitionCount })
    await owners.start()
    const host = new Host({
      hostId,
      partitionCount,
      ledger,
      bus,
      clock,
      wan: new SimWan((exchange) => {
        if (!life.isOver) this.onExchange(hostId, exchange)
      }),
      // A host that starts again draws other nonces than it did before.
      random: seededRandom(++this.lifeCount),
      log: silentLog,
      metrics: noMetrics,
      openStore: (number) => this.storeOf(hostId, number, life),
      mayTakeFrom: (owner) => owners.isSilent(owner),
      peers: owners,
      snapshots: this.snapshotsOf(life),
      cursors: this.cursors,
      snapshotTicks: 20,
      actorsAwakeMax: 1_000,
      actorIdleMs: 60_000,
      checkpointIntervalMs: 1_000,
      onFault: (fault) => this.onFault(fault),
      ...(this.plant.behaviour && { behaviour: this.plant.behaviour }),
    })
    this.hosts.set(hostId, host)
    await host.start()
  }

  private snapshotsOf(life: Life): SnapshotStore {
    const { snapshots } = this
    return {
      put: async (name, chunks) => {
        await life.turn()
        await snapshots.put(name, chunks)
      },
      get: (name, onChunk) => snapshots.get(name, onChunk),
      remove: async (name) => {
        await life.turn()
        await snapshots.remove(name)
      },
      names: () => snapshots.names(),
    }
  }

  private storeOf(hostId: string, number: number, life: Life): PartitionStore {
    const name = `${hostId}/${number}`
    const store = this.stores.get(name) ?? new SimPartitionStore()
    this.stores.set(name, store)
    const its = storeOver(store, {
      save: async (changes) => {
        await life.turn()
        if (this.faults.onSave()) throw new BrokerError('STORE_DAMAGED', 'the simulation tore it')
        return store.save(changes)
      },
      clear: async () => {
        await life.turn()
        return store.clear()
      },
      close: () => life.turn(),
    })
    return this.plant.store?.(its) ?? its
  }

  /** kill -9, and perhaps the loss of its disk. */
  kill(hostId: string, isDiskLost: boolean): void {
    const life = this.lives.get(hostId)
    if (life !== undefined) life.isOver = true
    this.hosts.delete(hostId)
    if (isDiskLost)
      for (const name of [...this.stores.keys()])
        if (name.startsWith(`${hostId}/`)) this.stores.delete(name)
  }

  pause(hostId: string): void {
    this.lives.get(hostId)?.pause()
  }

  /** True when it was paused. */
  wake(hostId: string): boolean {
    const life = this.lives.get(hostId)
    const wasPaused = life?.isPaused === true
    life?.wake()
    return wasPaused
  }

  /** Sends one envelope to whoever owns its device, as a gateway does; undefined when no answer came in this time. */
  async ask(device: Eui64Key, envelope: Buffer, waitMs: number): Promise<Buffer | undefined> {
    const partition = fnv1a32(Buffer.from(device, 'latin1')) % partitionCount
    const owner = this.owners.ownerOf(partition)
    if (owner === undefined) return undefined
    let answer: Buffer | undefined
    let isOver = false
    this.bus.request(hostSubject(owner), envelope, waitMs).then(
      (frame) => {
        answer = frame
        isOver = true
      },
      () => (isOver = true),
    )
    for (let left = waitMs + 500; left > 0 && !isOver; left -= 500) {
      await settle()
      if (!isOver) this.clock.advanceBy(500)
    }
    return answer
  }

  /** Partitions that are not served by their owner, or by somebody else as well. */
  ownership(): string[] {
    const faults: string[] = []
    for (let partition = 0; partition < partitionCount; partition++) {
      const servers = [...this.hosts].filter(([, host]) => host.owned.includes(partition))
      const names = servers.map(([hostId]) => hostId).join()
      const owner = this.owners.ownerOf(partition)
      if (names !== owner)
        faults.push(
          `partition ${partition} is served by ${names || 'nobody'}, its owner is ${owner}`,
        )
    }
    return faults
  }

  /** All awake, all faults gone: lets time go on. */
  async pass(ms: number, stepMs: number): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advanceBy(stepMs)
      await settle()
    }
  }
}
