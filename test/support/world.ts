/**
 * A deployment on simulated twins: what survives a crash (ledger, stores, clock), the host that may
 * not, and devices that answer when they are told to.
 */
import {
  emptyDirectory,
  fixedDirectory,
  type Directory,
  type LiveDirectory,
} from '../../core/access/directory.ts'
import type { HostedKind } from '../../actors/kind/actor-kind.ts'
import { Host } from '../../actors/runtime/host/host.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import { partitionOf } from '../../core/envelope/partition.ts'
import { errorCodeOf, type ErrorCode } from '../../core/base/error-table.ts'
import { type Eui64 } from '../../core/base/eui64.ts'
import type { Clock } from '../../core/ports/clock.ts'
import { AxdrWriter } from '../../core/dlms/axdr/axdr.ts'
import {
  readCorrelation,
  readCounter,
  readOutcome,
  readTarget,
} from '../../core/envelope/envelope.ts'
import { forEachEnvelope } from '../../core/envelope/frame.ts'
import { hostSubject } from '../../core/ports/bus.ts'
import type { KeyVault } from '../../core/crypto/key-vault.ts'
import { silentLog } from '../../core/ports/log.ts'
import type { Ledger } from '../../core/ports/ledger.ts'
import { noMetrics, type Metrics } from '../../core/ports/metrics.ts'
import { seededRandom } from '../../core/ports/random.ts'
import { SimBus } from '../../core/ports/sim/bus.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import {
  SimLedger,
  type SimCursorStore,
  type SimLedgerOptions,
} from '../../core/ports/sim/ledger.ts'
import type { SimSnapshotStore } from '../../core/ports/sim/snapshots.ts'
import type { PartitionStore } from '../../core/ports/store.ts'
import { SimWan, type SimExchange } from '../../core/ports/sim/wan.ts'
import { FailingStore } from './failing-store.ts'
import { ledgerOver, storeOver } from './pass-through.ts'
import { hostedDeviceOf, type DeviceBehaviour } from './device-behaviour.ts'
import { deviceKey, envelopeOf, registrationOf, supplier, type Wanted } from './envelopes.ts'

export const partitionCount = 4

export const text = (() => {
  const writer = new AxdrWriter()
  writer.visibleString('v1')
  return writer.take()
})()

/** Lets every promise that can settle do so. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

export type WorldOptions = {
  onCommit?: SimLedgerOptions['onCommit']
  onExchange?: (exchange: SimExchange) => void
  behaviour?: DeviceBehaviour
  /** Besides the device. */
  moreKinds?: readonly HostedKind[]
  messageBytesMax?: number
  onFault?: (fault: unknown) => void
  keys?: KeyVault
  actorsAwakeMax?: number
  directory?: Directory
  /** Instead of it. */
  live?: LiveDirectory
  /** Instead of an empty one. */
  ledger?: SimLedger
  /** What hosts do otherwise with the ledger. */
  ledgerChanges?: (ledger: SimLedger) => Partial<Ledger>
  /** With them hosts make snapshots, and the ledger forgets when it is short of room. */
  snapshots?: SimSnapshotStore
  cursors?: SimCursorStore
  snapshotTicks?: number
  ledgerBytesMax?: number
  metrics?: Metrics
  /** Takes rejections that are counted only. */
  countRejection?: (party: Eui64, outcome: number) => void
}

/**
 * The store as one life of a host has it: a process that was killed writes nothing any more,
 * whatever it had under way.
 */
function ofLife(store: FailingStore, life: { isOver: boolean }): PartitionStore {
  const never = new Promise<never>(() => {})
  return storeOver(store, {
    save: (changes) => (life.isOver ? never : store.save(changes)),
    clear: () => (life.isOver ? never : store.clear()),
    close: () => (life.isOver ? never : store.close()),
  })
}

/** One deployment: what survives a crash (ledger, stores, clock) and the host that may not. */
export class World {
  readonly clock = new SimClock(1_800_000_000_000)
  readonly bus = new SimBus({ clock: this.clock })
  readonly stores = new Map<number, FailingStore>()
  readonly ledger: SimLedger
  readonly options: WorldOptions
  exchanges: SimExchange[] = []
  host: Host | undefined
  private life = { isOver: false }
  private lifeCount = 0

  constructor(options: WorldOptions = {}) {
    this.options = options
    const { onCommit, messageBytesMax, ledgerBytesMax } = options
    this.ledger =
      options.ledger ??
      new SimLedger({
        ...(onCommit && { onCommit }),
        ...(messageBytesMax && { messageBytesMax }),
        ...(ledgerBytesMax && { bytesMax: ledgerBytesMax }),
      })
  }

  async start(hostId = 'a'): Promise<Host> {
    const life = { isOver: false }
    this.life = life
    const wan = new SimWan((exchange) => {
      this.exchanges.push(exchange)
      this.options.onExchange?.(exchange)
    })
    // What a dead host still had in hand must reach nobody.
    const never = new Promise<never>(() => {})
    const ledger = ledgerOver(this.ledger, {
      ...this.options.ledgerChanges?.(this.ledger),
      commit: (entries) => (life.isOver ? never : this.ledger.commit(entries)),
      forget: (subject, from) => (life.isOver ? never : this.ledger.forget(subject, from)),
    })
    const clock: Clock = {
      now: () => this.clock.now(),
      elapsedMs: () => this.clock.elapsedMs(),
      at: (atMs, action) => this.clock.at(atMs, () => (life.isOver ? undefined : action())),
    }
    const { keys, behaviour, snapshots, cursors, snapshotTicks, metrics = noMetrics } = this.options
    // As in the world: a host that starts again draws other nonces than it did before.
    const random = seededRandom(++this.lifeCount)
    const ports = { clock, random, log: silentLog, metrics }
    this.host = new Host({
      ...ports,
      kinds: [
        hostedDeviceOf({ ...ports, wan, ...(keys && { keys }) }, behaviour),
        ...(this.options.moreKinds ?? []),
      ],
      hostId,
      directory: this.options.live ?? this.liveDirectory(),
      partitionCount,
      ledger,
      bus: this.bus,
      openStore: (number): PartitionStore => {
        const store = this.stores.get(number) ?? new FailingStore()
        this.stores.set(number, store)
        return ofLife(store, life)
      },
      mayTakeFrom: () => false,
      ...(snapshots && { snapshots }),
      ...(cursors && { cursors }),
      ...(snapshotTicks && { snapshotTicks }),
      countRejection: (party, outcome) => this.options.countRejection?.(party, outcome),
      actorsAwakeMax: this.options.actorsAwakeMax ?? 1_000,
      actorIdleMs: 60_000,
      checkpointIntervalMs: 1_000,
      onFault: (fault) => {
        if (this.options.onFault === undefined) throw fault
        this.options.onFault(fault)
      },
    })
    await this.host.start()
    return this.host
  }

  /** What hosts decide by; replaced while they run. */
  private liveDirectory(): LiveDirectory {
    const current = (): Directory => this.options.directory ?? emptyDirectory
    return {
      ...fixedDirectory(),
      get current() {
        return current()
      },
    }
  }

  /** kill -9: what it had in memory is gone, exchanges under way too. */
  kill(): void {
    this.life.isOver = true
    this.exchanges = []
  }

  /**
   * Sends envelopes in one frame; settles with the codes by correlation, or undefined when no
   * answer came in time.
   */
  async ask(
    envelopes: Buffer[],
    hostId = 'a',
  ): Promise<Map<number, ErrorCode | undefined> | undefined> {
    let answer: Buffer | undefined
    this.bus.request(hostSubject(hostId), Buffer.concat(envelopes), 15_000).then(
      (frame) => (answer = frame),
      () => undefined,
    )
    for (let turn = 0; turn < 40 && answer === undefined; turn++) {
      await settle()
      if (answer === undefined) this.clock.advanceBy(500)
    }
    if (answer === undefined) return undefined
    const codes = new Map<number, ErrorCode | undefined>()
    const frame = answer
    forEachEnvelope(frame, 0, (at) =>
      codes.set(readCorrelation(frame, at), errorCodeOf(readOutcome(frame, at))),
    )
    return codes
  }

  async register(count: number): Promise<void> {
    const codes = await this.ask(
      Array.from({ length: count }, (_, i) => registrationOf(deviceKey(i), undefined, i)),
    )
    if (codes?.size !== count) throw new Error('devices could not be registered')
  }

  async submit(wanted: Wanted): Promise<ErrorCode | undefined> {
    const envelope = envelopeOf({
      srv: '11.2',
      deadline: this.clock.now() + 120_000,
      correlation: 1,
      ...wanted,
    })
    return (await this.ask([envelope]))?.get(1)
  }

  /** Deliveries of the supplier in the ledger: `device/counter code`. */
  deliveries(): string[] {
    const found: string[] = []
    for (const { subject, data } of this.ledger.all()) {
      if (!subject.startsWith('log.')) continue
      readTickMessage(data, undefined, (party, frame) => {
        if (party !== supplier) return
        forEachEnvelope(frame, 0, (at) =>
          found.push(
            `${nameOf(readTarget(frame, at))}/${readCounter(frame, at)} ${errorCodeOf(readOutcome(frame, at))}`,
          ),
        )
      })
    }
    return found
  }
}

export const nameOf = (device: Eui64): number => Buffer.from(device, 'latin1').readUInt32BE(4)
export const good = (exchange: SimExchange): void =>
  exchange.answer({
    ok: true,
    results: exchange.command.cosem!.map(() => ({ value: text, result: 0 })),
  })

export const numberOf = (device: Eui64): number => partitionOf(device, partitionCount)

/** Lets time go on until `isDone`, or for two minutes. */
export async function pass(world: World, isDone: () => boolean): Promise<void> {
  for (let turn = 0; turn < 240 && !isDone(); turn++) {
    world.clock.advanceBy(500)
    await settle()
  }
}
