/**
 * The disks of hosts: one store a partition. When a host dies its disk may be lost, or come back as
 * it was some saves before; a store may turn out damaged at any time. A save takes its time, and is
 * whole or not at all.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import type { PartitionStore } from '../../core/ports/store.ts'
import { FailingStore, readings } from '../support/failing-store.ts'
import { storeOver } from '../support/pass-through.ts'
import type { Faults } from './faults.ts'
import type { Life } from './life.ts'

const kind = 'disks are lost, old or damaged'

export class Disks {
  private readonly stores = new Map<string, FailingStore>()
  /** As they were at some save. */
  private readonly older = new Map<string, FailingStore>()
  private readonly faults: Faults
  private readonly onOpenTwice: (store: string) => void

  constructor(faults: Faults, onOpenTwice: (store: string) => void) {
    this.faults = faults
    this.onOpenTwice = onOpenTwice
  }

  /**
   * The store of `partition` as `life` has it. That of LMDB is refused
   * while it is open: it is a fault of the host to ask for it.
   */
  open(life: Life, partition: number, takeTime: () => Promise<void>): PartitionStore {
    const name = `${life.id}/${partition}`
    if (life.openStores.has(partition)) this.onOpenTwice(name)
    life.openStores.add(partition)
    const store = this.stores.get(name) ?? new FailingStore()
    this.stores.set(name, store)
    return storeOver(store, {
      save: async (changes) => {
        await life.turnAt('before a save')
        await takeTime()
        await life.turn()
        if (this.faults.strikes('saves fail', 0.01))
          throw new BrokerError('STORE_DAMAGED', 'asked for by the simulation')
        if (this.faults.strikes('saves fail', 0.01)) throw new Error('no room on the disk')
        await store.save(changes)
        if (this.faults.strikes(kind, 0.2)) await this.keep(name, store)
        await life.turnAt('after a save')
      },
      clear: async () => {
        await life.turnAt('before a store is cleared')
        return store.clear()
      },
      close: async () => {
        await life.turn()
        life.openStores.delete(partition)
      },
    })
  }

  /**
   * What a host finds of its disk when it starts again: all of it, as a rule. @returns what is
   * wrong with it, for the trace
   */
  afterDeath(hostId: string): string {
    if (this.faults.strikes(kind, 0.2))
      return this.replace(hostId, () => undefined, ', its disk lost')
    if (this.faults.strikes(kind, 0.3))
      return this.replace(hostId, (name) => this.older.get(name), ', its disk as it was before')
    return ''
  }

  /** Some read of some store of the host will fail. */
  damage(hostId: string): void {
    const draw = this.faults.of(kind)
    const names = [...this.stores.keys()].filter((name) => name.startsWith(`${hostId}/`))
    if (names.length === 0) return
    this.stores.get(draw.oneOf(names))!.damage = { on: draw.oneOf(readings), after: draw.pick(4) }
  }

  private replace(
    hostId: string,
    by: (name: string) => FailingStore | undefined,
    what: string,
  ): string {
    for (const name of [...this.stores.keys()]) {
      if (!name.startsWith(`${hostId}/`)) continue
      const store = by(name)
      if (store === undefined) this.stores.delete(name)
      else this.stores.set(name, store)
      this.older.delete(name)
    }
    return what
  }

  private async keep(name: string, store: FailingStore): Promise<void> {
    if (store.damage !== undefined) return
    const copy = store.copy()
    if (copy === undefined) return
    const records = [...copy.records()]
    const older = new FailingStore()
    await older.save({
      states: new Map(records.map(({ actor, state }) => [actor, state])),
      wakes: new Map(records.map(({ actor, wakeAtMs }) => [actor, wakeAtMs])),
      checkpoint: copy.checkpoint,
    })
    this.older.set(name, older)
  }
}
