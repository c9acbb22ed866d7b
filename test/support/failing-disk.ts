/** A disk under local stores, in memory, that fails as a test says: LmdbStores and StoreDisk. */
import type { LmdbStores } from '../../core/store/lmdb-partitions.ts'
import type { StoreDisk } from '../../core/store/local-stores.ts'
import { SimPartitionStore } from '../../core/ports/sim/store.ts'
import { storeOver } from './pass-through.ts'

/** An error as LMDB or the file system gives it. */
export const diskFault = (message: string, code: string | number): Error =>
  Object.assign(new Error(message), { code })

export class FailingDisk implements StoreDisk {
  /** Asked before each step; what it gives is thrown. */
  faultAt: (step: 'open' | 'openDB' | 'read' | 'save' | 'clear' | 'setAside') => Error | undefined =
    () => undefined
  isFull = false
  readonly reasons: string[] = []
  settledCount = 0
  saves = 0
  private contents = new Map<number, SimPartitionStore>()

  hasRoom(): boolean {
    return !this.isFull
  }

  setAside(reason: string): void {
    this.check('setAside')
    this.reasons.push(reason)
    this.contents = new Map()
  }

  open(): LmdbStores {
    this.check('open')
    const { contents } = this
    return {
      open: (partition) => {
        this.check('openDB')
        const store = contents.get(partition) ?? new SimPartitionStore()
        contents.set(partition, store)
        const reading = <T>(read: () => T): T => {
          this.check('read')
          return read()
        }
        return storeOver(store, {
          checkpoint: () => reading(() => store.checkpoint()),
          load: (device) => reading(() => store.load(device)),
          dueWakes: (...asked) => reading(() => store.dueWakes(...asked)),
          nextWakeMs: () => reading(() => store.nextWakeMs()),
          isEmpty: () => reading(() => store.isEmpty()),
          copy: () => reading(() => store.copy()),
          save: async (changes) => {
            await Promise.resolve()
            this.check('save')
            this.saves++
            await store.save(changes)
          },
          clear: async () => {
            await Promise.resolve()
            this.check('clear')
            await store.clear()
          },
        })
      },
      settled: () => void this.settledCount++,
      unsettled: () => undefined,
      close: () => Promise.resolve(),
    }
  }

  /** What the disk has of a partition. */
  on(partition: number): SimPartitionStore {
    return this.contents.get(partition) ?? new SimPartitionStore()
  }

  private check(step: Parameters<FailingDisk['faultAt']>[0]): void {
    const fault = this.faultAt(step)
    if (fault !== undefined) throw fault
  }
}
