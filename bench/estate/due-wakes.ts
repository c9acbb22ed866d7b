/**
 * Wakes that come due all at one time, of devices that sleep: how many a second the index gives,
 * and how many the host decides.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { evolve } from '../../actors/device/actor.ts'
import { emptyState } from '../../actors/device/state.ts'
import { genesis } from '../../actors/runtime/partition/chain.ts'
import { packState } from '../../actors/device/state-codec.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { partitionAt } from '../../core/envelope/partition.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { Lane } from '../../core/base/lane.ts'
import { encodeDeviceRecord } from '../../core/inventory/device-record.ts'
import { openLmdbStores } from '../../core/store/lmdb-partitions.ts'
import type { PartitionStore, StoredWake } from '../../core/ports/store.ts'
import { cpuMsNow } from './cpu-time.ts'
import { deviceBytes, deviceEntry, partyKey, srv } from './estate.ts'
import { memoryNow } from './host-memory.ts'
import { localHost } from './local-host.ts'
import { partitionCount } from './settings.ts'

/** Devices saved in one go while the store is prepared, and wakes read in one go. */
const sliceMax = 2_000

export type DueWakes = {
  /** Read from the index, walked in slices. */
  indexWakesPerSecond: number
  /** Read, decided (each is a deadline that has come: a fact and a delivery), committed. */
  dueWakesPerSecond: number
  dueWakesPerCpuSecond: number
  /** On the heap, for a wake that waits in the index. */
  heapBytesPerWake: number
}

export async function measureWakes(count: number): Promise<DueWakes> {
  const folder = await mkdtemp(join(tmpdir(), 'busbar-bench-'))
  const stores = openLmdbStores({ folder })
  try {
    const open = Array.from({ length: partitionCount }, (_, number) => stores.open(number))
    const before = memoryNow()
    await fill(open, count)
    const after = memoryNow()
    const indexFrom = performance.now()
    let read = 0
    for (const store of open) {
      for (let last: StoredWake | undefined, isMore = true; isMore;) {
        const found = store.dueWakes(Number.MAX_SAFE_INTEGER, sliceMax, last)
        read += found.length
        last = found.at(-1)
        isMore = found.length === sliceMax
      }
    }
    const indexWakesPerSecond = (read * 1_000) / (performance.now() - indexFrom)
    if (read !== count) throw new Error(`${read} of ${count} wakes are in the index`)
    for (const store of open) await store.close()

    const { host, ledger } = localHost((number) => stores.open(number))
    const from = performance.now()
    const cpuFrom = cpuMsNow()
    await host.start()
    while (ledger.deliveries < count) await wait(1)
    const seconds = (performance.now() - from) / 1_000
    const cpuSeconds = (cpuMsNow() - cpuFrom) / 1_000
    if (ledger.deliveries !== count) throw new Error(`${ledger.deliveries} of ${count} delivered`)
    await host.close()
    return {
      indexWakesPerSecond,
      dueWakesPerSecond: count / seconds,
      dueWakesPerCpuSecond: count / cpuSeconds,
      heapBytesPerWake: Math.max(0, after.heapBytes - before.heapBytes) / count,
    }
  } finally {
    await stores.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Devices that sleep, each with a request whose deadline has come. */
async function fill(stores: readonly PartitionStore[], count: number): Promise<void> {
  const now = Date.now()
  const counter = readRequestCounter(Buffer.from('0000000000000001', 'hex'))
  const state = emptyState()
  const recordBytes = encodeDeviceRecord(deviceEntry(0).record)
  evolve(state, { type: 'DEVICE_REGISTERED', time: now, recordBytes })
  evolve(state, {
    type: 'REQUEST_ACCEPTED',
    request: {
      originator: partyKey,
      counter,
      lane: Lane.NORMAL,
      srv,
      bodyType: 0,
      contentHash: 1,
      acceptedAt: now - 120_000,
      deadline: now - 1,
      attempt: 0,
      nextAttemptAt: 0,
      lastOutcome: 0,
      bodyBytes: emptyBytes,
    },
  })
  const packed = packState(state)
  const slices = stores.map(() => new Map<Eui64, Uint8Array>())
  const save = async (number: number, isLast: boolean): Promise<void> => {
    const states = slices[number]!
    const wakes = new Map(Array.from(states.keys(), (device) => [device, now - 1]))
    await stores[number]!.save({ states, wakes, ...(isLast && { checkpoint: genesis }) })
    states.clear()
  }
  for (let index = 0; index < count; index++) {
    const number = partitionAt(deviceBytes(index), 0, partitionCount)
    const slice = slices[number]!.set(readEui64(deviceBytes(index)), packed)
    if (slice.size === sliceMax) await save(number, false)
  }
  for (const number of stores.keys()) await save(number, true)
}
