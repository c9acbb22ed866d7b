/**
 * What a broker does about its disks: it watches the free space of all that it uses, rejects new
 * requests below the reserve of the ledger's disk, tells in readiness and metrics which disk it is,
 * and starts an embedded nats-server again whose writes a full disk has stopped.
 */
import { dirname, join } from 'node:path'
import type { ErrorCode } from '../../core/base/error-table.ts'
import { AccountStorage, type AccountConnection } from '../../core/ledger/account-storage.ts'
import { snapshotBytesMaxOf } from '../../core/ledger/snapshots.ts'
import type { BrokerConfig } from '../../core/ops/broker-config.ts'
import { DiskWatch, type DiskUse } from '../../core/ops/disk-watch.ts'
import type { NatsChild } from '../../core/ops/embedded-nats/nats-child.ts'
import { NatsRevival } from '../../core/ops/embedded-nats/nats-revival.ts'
import { natsPlaces } from '../../core/ops/embedded-nats/nats-settings.ts'
import type { OpsServer } from '../../core/ops/server.ts'
import { systemDisks } from '../../core/ops/system-disks.ts'
import { systemClock, type Clock } from '../../core/ports/clock.ts'
import type { Disks } from '../../core/ports/disk.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Metrics } from '../../core/ports/metrics.ts'

/** So few octets free, and a write may have failed already: one tick needs more. */
const exhaustedBytes = 1024 * 1024

export type DiskGuardOptions = {
  config: BrokerConfig
  log: Log
  metrics: Metrics
  closers: Array<() => Promise<unknown> | void>
  disks?: Disks
}

export class DiskGuard {
  private readonly options: DiskGuardOptions
  private readonly watch: DiskWatch
  /** Of the ledger against its disk, at the start. */
  private sizeNote: string | undefined
  /** Of an external nats-server, whose disk cannot be seen. */
  private account: AccountStorage | undefined

  /** Use startDiskGuard. */
  constructor(options: DiskGuardOptions) {
    const { config, log, metrics, disks = systemDisks } = options
    this.options = options
    this.watch = new DiskWatch({
      uses: usesOf(config),
      reserve: { bytes: config.diskReserveBytes, percent: config.diskReservePercent },
      disks,
      clock: systemClock,
      log,
      metrics,
    })
  }

  async start(): Promise<void> {
    await this.watch.start()
    this.options.closers.push(() => this.watch.close())
    this.compareSizes()
  }

  /** Why no new request may be taken now, or undefined. */
  get shortage(): ErrorCode | undefined {
    if (this.watch.isLow('ledger')) return 'BROKER_DISK_LOW'
    return this.account?.isLow === true ? 'BROKER_STORAGE_LOW' : undefined
  }

  /** Why the broker cannot take requests, or undefined. */
  get trouble(): string | undefined {
    const found = this.watch.isLow('ledger') ? this.watch.troubleOf('ledger') : undefined
    if (found !== undefined) return `BROKER_DISK_LOW: ${found}`
    const ofAccount = this.account?.trouble
    return ofAccount && `BROKER_STORAGE_LOW: ${ofAccount}`
  }

  /** What is wrong with disks while requests are taken all the same, or undefined. */
  get note(): string | undefined {
    const found = this.watch.troubleOf('ledger', 'stores', 'views', 'logs')
    return [found, this.sizeNote].filter(Boolean).join('; ') || undefined
  }

  /** Has readiness say both. */
  tell(ops: Pick<OpsServer, 'addCheck' | 'addDegradation'>): void {
    ops.addCheck('disk', () => this.trouble)
    ops.addDegradation('disk', () => this.note)
  }

  /** False while the disk of the embedded nats-server has no room to start it on. */
  get hasRoom(): boolean {
    return !this.isExhausted
  }

  /** Looks at the storage of the account of `connection`, at a server that is not ours. */
  async watchAccount(connection: AccountConnection, clock: Clock): Promise<void> {
    const { config, log, metrics, closers } = this.options
    const { ledgerBytesMax, replicas } = config
    const ledger = { connection, ledgerBytesMax, replicas }
    const account = new AccountStorage({ ...ledger, clock, log, metrics })
    this.account = account
    closers.push(() => account.close())
    await account.start()
  }

  /** Starts `child` again when that is what brings writes back. */
  revive(child: NatsChild, undecidedMs: () => number): void {
    const revival = new NatsRevival({
      clock: systemClock,
      log: this.options.log,
      isExhausted: () => this.isExhausted,
      undecidedMs,
      restart: () => child.restart(),
    })
    revival.start()
    this.options.closers.push(() => revival.close())
  }

  private get isExhausted(): boolean {
    const space = this.watch.spaceOf('ledger')
    return space !== undefined && space.freeBytes < exhaustedBytes
  }

  private compareSizes(): void {
    const space = this.watch.spaceOf('ledger')
    const { ledgerBytesMax } = this.options.config
    const neededBytes = ledgerBytesMax + snapshotBytesMaxOf(ledgerBytesMax)
    if (space === undefined || space.totalBytes >= neededBytes) return
    this.sizeNote =
      `--ledger-bytes ${ledgerBytesMax} and snapshots may take ${neededBytes} octets, its disk has ${space.totalBytes}, ` +
      `${space.freeBytes} of them free: lower --ledger-bytes, or give the ledger a larger disk`
    this.options.log.warn({ ...space, ledgerBytesMax, neededBytes }, this.sizeNote)
  }
}

/** Settles when the disks have been looked at once. */
export async function startDiskGuard(options: DiskGuardOptions): Promise<DiskGuard> {
  const guard = new DiskGuard(options)
  await guard.start()
  return guard
}

function usesOf({ nats, dataDir, roles }: BrokerConfig): DiskUse[] {
  const uses: DiskUse[] = []
  // The disk of a server elsewhere is not ours to look at.
  const natsDir =
    nats.kind === 'joined' ? nats.dataDir : nats.kind === 'embedded' ? dataDir : undefined
  if (natsDir !== undefined) {
    const { store, log } = natsPlaces(natsDir)
    uses.push({ use: 'ledger', path: store }, { use: 'snapshots', path: store })
    uses.push({ use: 'logs', path: dirname(log) })
  }
  if (roles.includes('host')) uses.push({ use: 'stores', path: join(dataDir, 'actors') })
  if (roles.includes('views')) uses.push({ use: 'views', path: join(dataDir, 'views') })
  uses.push({ use: 'data', path: dataDir })
  return uses
}
