/** What waking an actor is made of: the store's answer, and the state in it. */
import { unpackState } from '../../actors/device/state-codec.ts'
import { partitionAt } from '../../core/envelope/partition.ts'
import { readEui64 } from '../../core/base/eui64.ts'
import { openLmdbStores } from '../../core/store/lmdb-partitions.ts'
import { cpuMsNow } from './cpu-time.ts'
import { deviceBytes } from './estate.ts'
import { partitionCount } from './settings.ts'

/**
 * Reads devices 0 to `count - 1` of the stores in `folder`, which nobody has open. Microseconds of
 * CPU, each.
 */
export function measureStore(
  folder: string,
  count: number,
): { storeReadMicros: number; unpackMicros: number } {
  const stores = openLmdbStores({ folder })
  const open = Array.from({ length: partitionCount }, (_, number) => stores.open(number))
  const packed: Uint8Array[] = []
  const from = cpuMsNow()
  for (let index = 0; index < count; index++) {
    const device = deviceBytes(index)
    const state = open[partitionAt(device, 0, partitionCount)]!.load(readEui64(device))
    if (state === undefined) throw new Error(`device ${index} is not in the store`)
    packed.push(state)
  }
  const between = cpuMsNow()
  for (const state of packed) unpackState(state)
  const to = cpuMsNow()
  void Promise.all(open.map((store) => store.close())).then(() => stores.close())
  return {
    storeReadMicros: ((between - from) * 1_000) / count,
    unpackMicros: ((to - between) * 1_000) / count,
  }
}
