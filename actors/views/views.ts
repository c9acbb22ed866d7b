/**
 * Follows the ledger's ticks and keeps the inventory and the usage in step with them: a fold
 * gathers, and is saved with the standing that it belongs to in one transaction, so that a crash
 * counts nothing twice. Whatever goes wrong, what was not saved is dropped and read again.
 */
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import type { Clock } from '../../core/ports/clock.ts'
import { tickSubjects, type CursorStore, type LedgerMessage } from '../../core/ports/ledger.ts'
import type { Metrics } from '../../core/ports/metrics.ts'
import type { ChangedRow, RowStore } from '../../core/ports/rows.ts'
import { writeViewsCursor } from '../../core/cluster/views-cursor.ts'
import { genesis, stepChain } from '../runtime/partition/chain.ts'
import { isStoreDamage } from '../runtime/recovery/opening.ts'
import { Fold, type TickFrames } from './fold.ts'
import { openViews, type OpeningPorts } from './opening.ts'
import {
  countIn,
  deviceKeyOf,
  deviceRange,
  deviceRowIn,
  deviceRowOf,
  packCount,
  standingIn,
  standingRowOf,
  usageKeyOf,
  type DeviceRow,
  type Standing,
} from './rows.ts'

export type ViewsPorts = OpeningPorts & {
  /** Under which its cursor stands; the same for as long as its store lives. */
  processId: string
  cursors: CursorStore
  clock: Clock
  metrics: Metrics
}

export class Views {
  private readonly ports: ViewsPorts
  private isClosing = false
  /** Ends each of the waits that are under way. */
  private readonly pauses = new Set<() => void>()
  private running: Promise<void> = Promise.resolve()
  private looking: Promise<void> = Promise.resolve()
  /** As of memory; what operators are told is as of the store. */
  private standing: Standing = standingIn(() => undefined)
  private savedSequence = 0
  private fold = this.newFold()
  /** Of the fold that is being saved: what the store does not show yet. */
  private leaving: ReadonlyMap<Eui64, DeviceRow | undefined> = new Map()
  private saving: Promise<void> | undefined
  private callOffSave: (() => void) | undefined
  /** What is in memory may be half of a tick: it must not be saved any more. */
  private isFailed = false
  /** Ends the present following, with a fault or without. */
  private fail: (fault: unknown) => void = () => undefined
  private stop: () => void = () => undefined
  private why: string | undefined = 'the ledger is being opened'
  private lastSequence = 0
  private toldSequence = -1
  private deviceCount = 0

  constructor(ports: ViewsPorts) {
    this.ports = ports
    const { metrics } = ports
    metrics.gauge(
      'busbar_views_lag_ticks',
      'Ticks of the ledger that views lack, at most',
      () => this.lagTicks,
    )
    metrics.gauge('busbar_views_devices', 'Rows of the inventory', () => this.deviceCount)
  }

  /** Begins; readiness says when it has caught up. */
  start(): void {
    this.running = this.run()
    this.looking = this.look()
  }

  /** Ticks of the ledger that the store lacks, at most. */
  get lagTicks(): number {
    return Math.max(0, this.lastSequence - this.savedSequence)
  }

  /** Why it is not ready, or undefined. */
  get trouble(): string | undefined {
    if (this.why !== undefined) return this.why
    const { lagTicks } = this
    if (lagTicks <= limits.viewsLagTicksMax) return undefined
    return `${lagTicks} ticks behind, ${limits.viewsLagTicksMax} are allowed`
  }

  /** Answers an operator from what is saved; a row that is damaged has everything rebuilt. */
  ask<Answer>(read: (store: RowStore) => Answer): Answer {
    try {
      return read(this.ports.store)
    } catch (fault) {
      if (isStoreDamage(fault)) this.fail(fault)
      throw fault
    }
  }

  /** Saves what is counted. The store is closed by its opener. */
  async close(): Promise<void> {
    this.isClosing = true
    this.stop()
    for (const end of this.pauses) end()
    await Promise.all([this.running, this.looking])
    await this.tellCursor().catch(() => undefined)
  }

  private async run(): Promise<void> {
    const { log, store } = this.ports
    while (!this.isClosing) {
      try {
        await this.follow()
      } catch (fault) {
        this.why = fault instanceof Error ? fault.message : String(fault)
        log.error({ fault: this.why }, 'views cannot go on for the moment')
        if (isStoreDamage(fault)) await store.clear().catch(() => undefined)
        await this.pause(limits.viewsRetryMs)
      }
    }
  }

  /** Settles when it is told to close; rejects when it must begin again from what is saved. */
  private async follow(): Promise<void> {
    const { ledger, store } = this.ports
    this.standing = await openViews(this.ports)
    this.savedSequence = this.standing.sequence
    this.lastSequence = (await ledger.lastOn(tickSubjects))?.sequence ?? 0
    this.fold = this.newFold()
    this.leaving = new Map()
    // Before anything is read: from now on the ledger keeps what is not counted.
    await this.tellCursor()
    this.deviceCount = store.count(...deviceRange)
    const { promise: ended, resolve, reject } = Promise.withResolvers<void>()
    ended.catch(() => undefined)
    this.isFailed = false
    this.stop = resolve
    this.fail = (fault) => {
      this.isFailed = true
      reject(fault)
    }
    if (this.isClosing) return
    const { sequence } = this.standing
    const follower = await ledger.follow(tickSubjects, sequence + 1, (message) =>
      this.isFailed || this.isClosing ? undefined : this.onTick(message),
    )
    if (this.lagTicks === 0) this.why = undefined
    try {
      await ended
    } finally {
      this.callOffSave?.()
      this.callOffSave = undefined
      await follower.close()
      await this.saving?.catch(() => undefined)
    }
    await this.save()
  }

  /** Settles when there is room for the next one. */
  private onTick(message: LedgerMessage): void | Promise<void> {
    try {
      this.take(message)
    } catch (fault) {
      return this.fail(fault)
    }
    if (this.fold.devices.size >= limits.viewsBatchRowsMax)
      return this.save().catch((fault: unknown) => this.fail(fault))
    const { clock } = this.ports
    this.callOffSave ??= clock.at(clock.now() + limits.viewsSaveMs, () => {
      this.callOffSave = undefined
      this.save().catch((fault: unknown) => this.fail(fault))
    })
  }

  private take({ data, sequence }: LedgerMessage): void {
    const facts: Array<TickFrames['facts'][number]> = []
    const deliveries: Buffer[] = []
    const { heads, missing } = this.standing
    readTickMessage(
      data,
      (partition, frame) => {
        const { checkpoint = genesis, inventorySequence = 0 } = heads.get(partition) ?? {}
        const stepped = stepChain(partition, checkpoint, frame, sequence)
        heads.set(partition, { checkpoint: stepped, inventorySequence })
        facts.push({ partition, frame, isInInventory: sequence <= inventorySequence })
      },
      (_party, frame) => deliveries.push(frame),
    )
    const timeMs = this.fold.tick({ facts, deliveries })
    for (const one of missing) if (one.toMs === 0) one.toMs = timeMs
    this.standing = { sequence, timeMs, missing, heads }
  }

  /** Saves everything taken so far, one save at a time. */
  private async save(): Promise<void> {
    while (this.saving !== undefined) await this.saving
    if (this.isFailed || this.standing.sequence === this.savedSequence) return
    this.saving = this.saveFold().finally(() => {
      this.saving = undefined
    })
    await this.saving
  }

  private async saveFold(): Promise<void> {
    const { store } = this.ports
    const { fold, standing } = this
    const rows: ChangedRow[] = [standingRowOf(standing)]
    for (const [device, row] of fold.devices) rows.push(deviceRowOf(device, row))
    for (const usage of fold.usage.values()) {
      const key = usageKeyOf(usage)
      rows.push({ key, value: packCount(usage.count + countIn(store.get(key))) })
    }
    const saved = store.save(rows)
    this.leaving = fold.devices
    this.fold = this.newFold()
    await saved
    this.leaving = new Map()
    this.savedSequence = standing.sequence
    this.deviceCount += fold.added
    this.why = undefined
  }

  private newFold(): Fold {
    return new Fold((device) => {
      if (this.leaving.has(device)) return this.leaving.get(device)
      const value = this.ports.store.get(deviceKeyOf(device))
      return value && deviceRowIn(value)
    })
  }

  /** Now and then: how far the ledger has come, and, for the ledger, how far this has. */
  private async look(): Promise<void> {
    const { ledger, log } = this.ports
    while (!this.isClosing) {
      await this.pause(limits.viewsLookMs)
      try {
        this.lastSequence = (await ledger.lastOn(tickSubjects))?.sequence ?? 0
        await this.tellCursor()
      } catch (fault) {
        log.warn({ fault: String(fault) }, 'views cannot say how far they are')
      }
    }
  }

  private async tellCursor(): Promise<void> {
    const { processId, cursors, clock } = this.ports
    const sequence = this.savedSequence
    if (sequence === this.toldSequence) return
    await writeViewsCursor(cursors, { processId, sequence, atMs: clock.now() })
    this.toldSequence = sequence
  }

  private pause(ms: number): Promise<void> {
    if (this.isClosing) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        callOff()
        this.pauses.delete(end)
        resolve()
      }
      const { clock } = this.ports
      const callOff = clock.at(clock.now() + ms, end)
      this.pauses.add(end)
    })
  }
}
