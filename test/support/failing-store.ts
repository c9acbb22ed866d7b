/** A store in memory of which some answers fail. */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ActorId } from '../../core/base/actor-id.ts'
import { SimPartitionStore } from '../../core/ports/sim/store.ts'
import type { StoreChanges, StoredWake } from '../../core/ports/store.ts'

export const readings = ['checkpoint', 'load', 'dueWakes', 'nextWakeMs', 'copy', 'save'] as const
export type Reading = (typeof readings)[number]

/**
 * A store of which some answers fail, as a record does whose checksum is wrong, until it is
 * cleared.
 */
export class FailingStore extends SimPartitionStore {
  clears = 0
  /** What fails, and how often it may be asked before; nothing when undefined. */
  damage: { on: Reading; after: number } | undefined
  /** Clearing does not help. */
  isBeyondHelp = false

  private ask(on: Reading): void {
    if (this.damage?.on !== on || this.damage.after-- > 0) return
    this.damage.after = 0
    throw new BrokerError('STORE_DAMAGED', on)
  }

  override checkpoint() {
    this.ask('checkpoint')
    return super.checkpoint()
  }
  override load(actor: ActorId) {
    this.ask('load')
    return super.load(actor)
  }
  override dueWakes(untilMs: number, count: number, after?: StoredWake) {
    this.ask('dueWakes')
    return super.dueWakes(untilMs, count, after)
  }
  override nextWakeMs() {
    this.ask('nextWakeMs')
    return super.nextWakeMs()
  }
  override copy() {
    const copy = super.copy()
    if (copy === undefined) return undefined
    const records = () => {
      this.ask('copy')
      return copy.records()
    }
    return { ...copy, records }
  }
  override async save(changes: StoreChanges): Promise<void> {
    this.ask('save')
    return super.save(changes)
  }
  override clear(): Promise<void> {
    this.clears++
    if (!this.isBeyondHelp) this.damage = undefined
    return super.clear()
  }
}
