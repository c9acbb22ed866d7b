/**
 * A data directory's side of the ledger's identity: it brings what it knows to the opening, sets
 * the local stores aside when they belong to another ledger or to an earlier incarnation, and
 * records from time to time how far the ledger has been seen. Stores are renamed, never removed.
 *
 * @source core/decisions/0017
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import { digestOf, incarnationOf, type Verdict } from '../../core/ledger/identity.ts'
import { checkpointsAt } from '../../core/store/lmdb-look.ts'
import { ledgerStreamNameDefault, type OpenedLedger } from '../../core/ledger/opening.ts'
import { timeLabel } from '../../core/store/set-aside.ts'
import {
  knownLedgerOf,
  ledgerFileOf,
  readLedgerFile,
  storeFolders,
  writeLedgerFile,
  type LedgerFile,
} from '../../core/ops/ledger-file.ts'
import { natsPlaces } from '../../core/ops/embedded-nats/nats-settings.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { KnownLedger, SeenMessage } from '../../core/ports/known-ledger.ts'
import { isTickSubject, type Ledger } from '../../core/ports/ledger.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Checkpoint } from '../../core/ports/store.ts'
import { isInChain } from '../runtime/partition/chain.ts'

export type LedgerDirectoryOptions = {
  dataDir: string
  /** An operator has said `--new-ledger`. */
  isNewAccepted: boolean
  /** Processes of this one, which have folders of their own in the directory. */
  workerCount: number
  clock: Clock
  log: Log
}

const workerFolder = /^worker-\d+$/

export class LedgerDirectory {
  private readonly options: LedgerDirectoryOptions
  private knownLedger: KnownLedger | undefined
  private checkpoints: ReadonlyMap<number, Checkpoint> = new Map()
  private record: LedgerFile | undefined
  private recordedAtMs = -Infinity
  private recording: Promise<void> = Promise.resolve()

  constructor(options: LedgerDirectoryOptions) {
    this.options = options
  }

  /** What `load` has read. */
  get known(): KnownLedger | undefined {
    return this.knownLedger
  }

  /**
   * Reads what the directory knows. Changes nothing.
   * @throws BrokerError LEDGER_IDENTITY_UNREADABLE
   */
  async load(): Promise<void> {
    const { dataDir, isNewAccepted } = this.options
    const known = knownLedgerOf(dataDir, isNewAccepted)
    this.checkpoints =
      known === undefined ? this.checkpoints : await checkpointsAt(join(dataDir, 'actors'))
    const foldedThrough = Math.max(
      0,
      ...Array.from(this.checkpoints.values(), (one) => one.sequence),
    )
    this.knownLedger = known && { ...known, foldedThrough }
  }

  /**
   * Refuses an embedded nats-server without the ledger before the server makes anything.
   * @throws BrokerError LEDGER_MISSING
   */
  checkEmbedded(): void {
    const { dataDir, isNewAccepted } = this.options
    if (this.knownLedger === undefined || isNewAccepted) return
    const { store } = natsPlaces(dataDir)
    const accounts = join(store, 'jetstream')
    const isThere =
      existsSync(accounts) &&
      readdirSync(accounts).some((account) =>
        existsSync(join(accounts, account, 'streams', ledgerStreamNameDefault)),
      )
    if (isThere) return
    const { id = 'of an earlier version' } = this.knownLedger
    throw new BrokerError('LEDGER_MISSING', `known is ledger ${id}, and ${store} has no ledger`)
  }

  /**
   * The tick that a store was last folded from must be in the ledger; one that was trimmed says
   * nothing.
   */
  async contradictionIn(ledger: Pick<Ledger, 'at'>): Promise<string | undefined> {
    for (const [partition, checkpoint] of this.checkpoints) {
      const { frameNumber, frameSequence } = checkpoint
      if (frameNumber === 0) continue
      const tick = await ledger.at(frameSequence)
      if (tick !== undefined && !isInChain(partition, checkpoint, tick.data))
        return `the store of partition ${partition} was folded from another tick with sequence ${frameSequence}`
    }
    return undefined
  }

  /** Sets aside what does not belong to the ledger that the opening has decided for. */
  beforeChange(verdict: Verdict): void {
    const { dataDir } = this.options
    if (verdict === 'restored') this.setAside([dataDir])
    else if (
      verdict === 'replace' ||
      verdict === 'accept' ||
      (verdict === 'create' && this.knownLedger !== undefined)
    )
      this.setAside([dataDir, ...this.workerFolders()])
  }

  /** Records which ledger the directory, and those of its workers, belong to from now on. */
  opened({ verdict, deployment: { identity, partitionCount } }: OpenedLedger): void {
    const { dataDir, workerCount, log } = this.options
    const { id, createdAtMs } = identity
    const isSame = verdict === 'same'
    const seen = isSame ? this.knownLedger?.seen : undefined
    this.record = {
      ledger: id,
      incarnation: incarnationOf(identity),
      createdAtMs,
      partitionCount,
      ...(seen && { seen }),
    }
    if (!isSame) {
      writeLedgerFile(dataDir, this.record)
      log.info({ ledger: id, verdict }, 'this data directory belongs to the ledger')
    }
    // A worker never makes a ledger: it starts with the one of its parent.
    for (let number = 1; number <= workerCount; number++)
      mkdirSync(join(dataDir, `worker-${number}`), { recursive: true, mode: 0o700 })
    for (const folder of this.workerFolders()) {
      const isKnown = knownLedgerOf(folder, true) !== undefined
      if (!isKnown || (verdict !== 'same' && verdict !== 'restored' && verdict !== 'adopt'))
        writeLedgerFile(folder, { ...this.record, seen: undefined })
    }
  }

  /** A message with this sequence is on the ledger's disk. Records that now and then. */
  saw(ledger: Pick<Ledger, 'at'>, sequence: number): void {
    const nowMs = this.options.clock.elapsedMs()
    if (nowMs - this.recordedAtMs < limits.ledgerSeenMs) return
    this.recordedAtMs = nowMs
    this.recording = this.recording.then(() => this.recordSeen(ledger, sequence))
  }

  /** Records the end of the ledger at the end of the process, when the ledger can be asked. */
  async close(
    ledger: Pick<Ledger, 'at' | 'usage'> & { isConnected: boolean; identityFault: unknown },
  ): Promise<void> {
    await this.recording
    if (!ledger.isConnected || ledger.identityFault !== undefined) return
    // What is there now was there before this process began to end, and was acknowledged.
    const usage = await ledger.usage().catch(() => undefined)
    if (usage !== undefined) await this.recordSeen(ledger, usage.lastSequence)
  }

  private async recordSeen(ledger: Pick<Ledger, 'at'>, sequence: number): Promise<void> {
    const { record } = this
    if (record === undefined || sequence <= (record.seen?.sequence ?? 0)) return
    try {
      const message = await ledger.at(sequence)
      const seen: SeenMessage =
        message === undefined
          ? { sequence }
          : {
              sequence,
              digest: digestOf(message),
              isTick: isTickSubject(message.subject),
            }
      this.record = { ...record, seen: { ...seen } }
      writeLedgerFile(this.options.dataDir, this.record)
    } catch (fault) {
      this.options.log.debug({ fault: String(fault) }, 'the ledger was not recorded as seen')
    }
  }

  private workerFolders(): string[] {
    const { dataDir } = this.options
    return readdirSync(dataDir)
      .filter((name) => workerFolder.test(name))
      .map((name) => join(dataDir, name))
  }

  private setAside(folders: readonly string[]): void {
    const { clock, log } = this.options
    const time = timeLabel(clock.now())
    for (const folder of folders) {
      const before = idOf(folder)
      const label = `${before.slice(0, 8)}.${time}`
      for (const name of storeFolders) {
        const path = join(folder, name)
        if (!existsSync(path)) continue
        renameSync(path, `${path}.${label}`)
        log.warn({ store: path, as: `${path}.${label}` }, 'a store was set aside')
      }
      const file = ledgerFileOf(folder)
      // It stays until the new one is written: a start that fails in between knows its ledger
      // still.
      if (existsSync(file)) copyFileSync(file, `${file}.${label}`)
    }
  }
}

function idOf(folder: string): string {
  try {
    return readLedgerFile(folder)?.ledger ?? 'unnamed'
  } catch {
    return 'damaged'
  }
}
