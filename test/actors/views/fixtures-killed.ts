/**
 * Views in a process of their own, over a real LMDB, for killed.test.ts: counts the ledger of a
 * seed, saving after nearly every tick, and says so on stdout before each save and when everything
 * is counted.
 */
import { Views } from '../../../actors/views/views.ts'
import { standingIn } from '../../../actors/views/rows.ts'
import { openLmdbRows } from '../../../core/store/lmdb-rows.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { noMetrics } from '../../../core/ports/metrics.ts'
import { authorPartitions } from '../../support/ledger-author.ts'
import { ledgerOver } from '../../support/pass-through.ts'
import { killedAuthor } from './killed-author.ts'

const [folder = '', seed = ''] = process.argv.slice(2)
const author = await killedAuthor(Number(seed))
const last = author.ledger.all().at(-1)!.sequence
const store = openLmdbRows({ folder })
const views = new Views({
  processId: 'v',
  ledger: ledgerOver(author.ledger, {
    follow: (subject, from, onMessage) =>
      author.ledger.follow(subject, from, async (message) => {
        await new Promise((resolve) => setImmediate(resolve))
        return onMessage(message)
      }),
  }),
  snapshots: author.snapshots,
  cursors: author.cursors,
  partitionCount: authorPartitions,
  clock: {
    now: () => systemClock.now(),
    elapsedMs: () => systemClock.elapsedMs(),
    // No wait before a save; no looking around.
    at(atMs, action) {
      if (atMs - systemClock.now() > 1_000) return () => undefined
      const soon = setImmediate(action)
      return () => clearImmediate(soon)
    },
  },
  log: silentLog,
  metrics: noMetrics,
  store: {
    get: (key) => store.get(key),
    range: (from, to) => store.range(from, to),
    count: (from, to) => store.count(from, to),
    clear: () => store.clear(),
    close: () => store.close(),
    async save(rows) {
      process.stdout.write(`saving ${rows.length}\n`)
      await store.save(rows)
      if (standingIn((key) => store.get(key)).sequence === last) process.stdout.write('counted\n')
    },
  },
})
views.start()
setInterval(() => undefined, 60_000)
if (standingIn((key) => store.get(key)).sequence === last) process.stdout.write('counted\n')
