/**
 * Free space below its reserve is known, by file system and use; and an embedded nats-server is
 * started again when that brings writes back.
 */
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { DiskWatch } from '../../../core/ops/disk-watch.ts'
import { createMetrics } from '../../../core/ops/metrics.ts'
import { NatsRevival } from '../../../core/ops/embedded-nats/nats-revival.ts'
import { systemDisks } from '../../../core/ops/system-disks.ts'
import type { DiskSpace } from '../../../core/ports/disk.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'

const uses = [
  { use: 'ledger', path: '/a/nats' },
  { use: 'logs', path: '/a' },
  { use: 'stores', path: '/b/actors' },
]

/** A watch over spaces by the first letter of the path. */
async function watchOver(spaces: Record<string, DiskSpace | Error>) {
  const clock = new SimClock()
  const metrics = createMetrics()
  const lines: string[] = []
  const log = {
    ...silentLog,
    error: (_: object, text: string) => void lines.push(text),
    info: (_: object, text: string) => void lines.push(text),
  }
  const watch = new DiskWatch({
    uses,
    reserve: { bytes: 1_000, percent: 10 },
    disks: {
      spaceOf(path) {
        const found = spaces[path[1]!]!
        return found instanceof Error ? Promise.reject(found) : Promise.resolve(found)
      },
    },
    clock,
    log,
    metrics,
  })
  await watch.start()
  const look = async (): Promise<void> => {
    clock.advanceBy(limits.diskLookMs)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { watch, metrics, look, lines }
}

t.test('a disk is low below the smaller one of octets and share', async (t) => {
  const small = { id: 'a', freeBytes: 99, totalBytes: 1_000 }
  const large = { id: 'b', freeBytes: 1_001, totalBytes: 1_000_000 }
  const spaces: Record<string, DiskSpace | Error> = { a: small, b: large }
  const { watch, metrics, look, lines } = await watchOver(spaces)
  t.equal(watch.isLow('ledger'), true, '99 of 1,000 are below a tenth')
  t.equal(watch.isLow('stores'), false, '1,001 are enough where a tenth would be 100,000')
  t.match(watch.troubleOf('ledger'), /\/a\/nats \(ledger, logs\) has 99 of 1000.*reserve is 100/)
  t.equal(watch.troubleOf('stores'), undefined)
  const text = await metrics.text()
  t.match(text, /busbar_disk_low\{path="\/a\/nats",uses="ledger,logs"\} 1/)
  t.match(text, /busbar_disk_free_bytes\{path="\/b\/actors",uses="stores"\} 1001/)
  t.match(text, /busbar_disk_reserve_bytes\{path="\/b\/actors",uses="stores"\} 1000/)
  spaces['a'] = { ...small, freeBytes: 100 }
  spaces['b'] = { ...large, freeBytes: 999 }
  await look()
  t.equal(watch.isLow('ledger'), false)
  t.equal(watch.isLow('stores'), true)
  await look()
  t.same(
    lines,
    [
      'a disk has less free space than its reserve',
      'a disk has its reserve free again',
      'a disk has less free space than its reserve',
    ],
    'each change is told once',
  )
  watch.close()
})

t.test('a disk that cannot be looked at is named, and low is what was not seen', async (t) => {
  const spaces = { a: new Error('EIO'), b: { id: 'b', freeBytes: 5_000, totalBytes: 5_000 } }
  const { watch } = await watchOver(spaces)
  t.equal(watch.isLow('ledger'), false)
  t.match(
    watch.troubleOf('ledger'),
    /free space of \/a\/nats \(ledger\) cannot be read: Error: EIO/,
  )
  watch.close()
})

t.test('the space of a folder that is not there yet is that of the one above it', async (t) => {
  const [here, there] = await Promise.all([
    systemDisks.spaceOf('/'),
    systemDisks.spaceOf('/not-there/nor-there'),
  ])
  t.equal(here.id, there.id)
  t.ok(here.totalBytes >= here.freeBytes && here.freeBytes >= 0)
})

t.test(
  'nats-server is started again when its disk has room again, or writes stay undecided',
  (t) => {
    const clock = new SimClock()
    const restarts: string[] = []
    const state = { isExhausted: false, undecidedMs: 0 }
    const revival = new NatsRevival({
      clock,
      log: silentLog,
      isExhausted: () => state.isExhausted,
      undecidedMs: () => state.undecidedMs,
      restart: (why) => void restarts.push(why),
    })
    revival.start()
    clock.advanceBy(60_000)
    t.same(restarts, [], 'not without a reason')
    Object.assign(state, { isExhausted: true, undecidedMs: 20_000 })
    clock.advanceBy(60_000)
    t.same(restarts, [], 'not while there is no room')
    Object.assign(state, { isExhausted: false, undecidedMs: 0 })
    clock.advanceBy(limits.natsRevivalLookMs)
    t.same(restarts, ['its disk was full and has room again'])
    clock.advanceBy(limits.natsRevivalIntervalMs)
    t.equal(restarts.length, 1, 'once')
    state.undecidedMs = limits.natsUndecidedMsMax - 1
    clock.advanceBy(limits.natsRevivalLookMs)
    t.equal(restarts.length, 1)
    state.undecidedMs = limits.natsUndecidedMsMax
    clock.advanceBy(limits.natsRevivalLookMs)
    t.match(restarts[1], /no write was decided for 10000 ms/)
    clock.advanceBy(limits.natsRevivalIntervalMs - limits.natsRevivalLookMs)
    t.equal(restarts.length, 2, 'not again and again')
    clock.advanceBy(limits.natsRevivalLookMs)
    t.equal(restarts.length, 3, 'but once more when it did not help')
    revival.close()
    clock.advanceBy(limits.natsRevivalIntervalMs * 2)
    t.equal(restarts.length, 3)
    t.end()
  },
)
