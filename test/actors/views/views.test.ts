/**
 * Views on simulated twins, over lives drawn from seeds: what they say is what the devices' own
 * states and the author's own counts say, through crashes between any two steps, wiped stores,
 * forgotten ticks and damage.
 */
import t, { type Test } from 'tap'
import { deviceRowFrom } from '../../../actors/views/fold.ts'
import { missingIn } from '../../../actors/views/queries.ts'
import {
  deviceOf,
  deviceRange,
  deviceRowIn,
  standingIn,
  usageRange,
  usageRowIn,
} from '../../../actors/views/rows.ts'
import { Views } from '../../../actors/views/views.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { errorCodeOf } from '../../../core/base/error-table.ts'
import { textOfEui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { formatSrv } from '../../../core/base/srv.ts'
import { tickSubjects, type Ledger } from '../../../core/ports/ledger.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { noMetrics } from '../../../core/ports/metrics.ts'
import type { RowStore } from '../../../core/ports/rows.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimRowStore } from '../../../core/ports/sim/rows.ts'
import { viewsCursorsIn } from '../../../core/cluster/views-cursor.ts'
import { seededRandom, type Random } from '../../../core/ports/random.ts'
import { authorPartitions, LedgerAuthor } from '../../support/ledger-author.ts'
import { ledgerOver } from '../../support/pass-through.ts'
import { settle } from '../../support/world.ts'

/** A deployment's views: what survives a crash, and the process that may not. */
class Trial {
  readonly author: LedgerAuthor
  readonly clock = new SimClock(1_900_000_000_000)
  store: RowStore = new SimRowStore()
  ledger: Ledger
  views: Views | undefined
  private life = { isOver: false }
  private readonly random: Random

  constructor(seed: number, store?: RowStore) {
    this.random = seededRandom(seed + 1_000)
    this.author = new LedgerAuthor(seed)
    this.ledger = this.author.ledger
    if (store !== undefined) this.store = store
  }

  start(): Views {
    const life = { isOver: false }
    this.life = life
    const { author, store, clock } = this
    this.views = new Views({
      processId: 'v',
      ledger: this.ledger,
      snapshots: author.snapshots,
      cursors: author.cursors,
      partitionCount: authorPartitions,
      clock,
      log: silentLog,
      metrics: noMetrics,
      store: {
        get: (key) => store.get(key),
        range: (from, to) => store.range(from, to),
        count: (from, to) => store.count(from, to),
        // On disk some turns later; a process that was killed meanwhile writes nothing any more.
        save: async (rows) => {
          for (let turn = this.random.fraction() * 3; turn > 0; turn--)
            await new Promise((resolve) => setImmediate(resolve))
          return life.isOver ? new Promise(() => {}) : store.save(rows)
        },
        clear: () => store.clear(),
        close: () => store.close(),
      },
    })
    this.views.start()
    return this.views
  }

  /** kill -9 */
  kill(): void {
    this.life.isOver = true
    void this.views?.close()
  }

  /** Lets time go on until everything is counted and saved. */
  async catchUp(): Promise<void> {
    const last = (await this.author.ledger.lastOn(tickSubjects))!.sequence
    for (let turn = 0; turn < 40 && this.counted() !== last; turn++) {
      this.clock.advanceBy(500)
      await settle()
    }
  }

  counted(): number {
    return standingIn((key) => this.store.get(key)).sequence
  }

  usage(): Map<string, number> {
    return new Map(
      Array.from(this.store.range(...usageRange), (row) => {
        const { day, party, srv, outcome, count } = usageRowIn(row)
        const date = new Date(day * 86_400_000).toISOString().slice(0, 10)
        const code = errorCodeOf(outcome)
        return [`${date} ${textOfEui64(party)} ${formatSrv(srv)} ${code}`, count] as const
      }),
    )
  }

  /** Compares the inventory with the devices' own states, and the usage with `usage`. */
  check(t: Test, what: string, usage = this.author.usage): void {
    const rows = Array.from(
      this.store.range(...deviceRange),
      ({ key, value }) => [deviceOf(key), deviceRowIn(value)] as const,
    )
    const { states } = this.author
    const wanted = [...states]
      .filter(([, { record }]) => record !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([device, state]) => [device, deviceRowFrom(this.author.partitionOf(device), state)])
    t.same(rows, wanted, `${what}: inventory`)
    t.same(sorted(this.usage()), sorted(usage), `${what}: usage`)
  }

  async write(ticks: number): Promise<void> {
    for (let tick = 0; tick < ticks; tick++) await this.author.tick()
  }
}

const sorted = (counts: ReadonlyMap<string, number>): unknown[] =>
  [...counts].filter(([, count]) => count !== 0).sort()
const since = (
  now: ReadonlyMap<string, number>,
  then: ReadonlyMap<string, number>,
): Map<string, number> =>
  new Map(Array.from(now, ([key, count]) => [key, count - (then.get(key) ?? 0)]))

t.test('what views say is what the facts say, whenever they are killed', async (t) => {
  for (let seed = 1; seed <= 25; seed++) {
    const trial = new Trial(seed)
    const random = seededRandom(seed)
    trial.start()
    for (let step = 0; step < 12; step++) {
      await trial.write(1 + Math.floor(random.fraction() * 8))
      const chance = random.fraction()
      if (chance < 0.5) {
        // Between any two steps of what begins then.
        await settle()
        trial.clock.advanceBy(1_500)
        if (chance < 0.3) await settle()
        else if (chance < 0.4) await new Promise((resolve) => setImmediate(resolve))
      } else if (chance < 0.8) {
        trial.kill()
        trial.start()
      } else {
        await trial.views!.close()
        trial.start()
      }
    }
    await trial.catchUp()
    trial.check(t, `seed ${seed}`)
    await trial.views!.close()
  }
})

t.test('closed, everything that was read is saved; wiped, the same rows come back', async (t) => {
  const trial = new Trial(100)
  await trial.write(60)
  trial.start()
  await settle()
  await trial.views!.close()
  trial.check(t, 'closed')
  const [cursor] = await viewsCursorsIn(trial.author.cursors)
  t.equal(cursor?.sequence, trial.counted())
  trial.store = new SimRowStore()
  trial.start()
  await trial.catchUp()
  trial.check(t, 'wiped')
  await trial.views!.close()
})

t.test('the ledger keeps what views have not counted, until it is too old', async (t) => {
  const trial = new Trial(101)
  const { author } = trial
  trial.start()
  await trial.write(20)
  await trial.catchUp()
  await trial.views!.close()
  const counted = trial.counted()
  await trial.write(20)
  await author.snapshot()
  await author.acknowledge()
  const last = (await author.ledger.lastOn(tickSubjects))!.sequence
  await trial.write(1)
  await author.trim(Infinity)
  t.ok(author.ledger.isForgotten(counted), 'what is counted may go')
  t.notOk(author.ledger.isForgotten(counted + 1))
  trial.start()
  await trial.catchUp()
  trial.check(t, 'counted after a time away')
  t.same(missingIn(trial.store), [])
  await trial.views!.close()
  await author.trim(Infinity)
  t.ok(author.ledger.isForgotten(last))

  const then = new Map(author.usage)
  await trial.write(20)
  await author.snapshot()
  await author.acknowledge()
  const forgotten = since(author.usage, then)
  await trial.write(1)
  await author.trim(-1)
  t.ok(author.ledger.isForgotten(trial.counted() + 1), 'too old, it goes all the same')
  trial.start()
  await trial.catchUp()
  trial.check(t, 'after what went', since(author.usage, forgotten))
  const [gap, ...more] = missingIn(trial.store)
  t.same(more, [])
  t.ok(gap?.from !== null && gap?.to !== null && gap!.from! < gap!.to!, 'and says so')
  await trial.views!.close()
})

t.test('wiped on a trimmed ledger: the same inventory, usage from there on', async (t) => {
  for (let seed = 200; seed < 210; seed++) {
    const trial = new Trial(seed)
    const { author } = trial
    await trial.write(30)
    await author.snapshot()
    await author.acknowledge()
    const then = new Map(author.usage)
    await trial.write(2)
    await author.trim(Infinity)
    // Newer than what was forgotten: facts between the two are in it already.
    await trial.write(5)
    await author.snapshot()
    await trial.write(5)
    trial.start()
    await trial.catchUp()
    trial.check(t, `seed ${seed}`, since(author.usage, then))
    const [missing] = missingIn(trial.store)
    t.ok(missing?.from === null && missing.to !== null)
    // Again from what is saved, and the next one has nothing to rebuild.
    await trial.views!.close()
    trial.start()
    await trial.write(5)
    await trial.catchUp()
    trial.check(t, `seed ${seed}, again`, since(author.usage, then))
    t.equal(missingIn(trial.store).length, 1)
    await trial.views!.close()
  }
})

t.test('rows of another ledger, and damaged rows, are rebuilt', async (t) => {
  const trial = new Trial(300)
  await trial.write(30)
  trial.start()
  await trial.catchUp()
  await trial.views!.close()
  const other = new Trial(301, trial.store)
  await other.write(40)
  other.start()
  await other.catchUp()
  other.check(t, 'another ledger')

  let damaged = true
  const { store } = other
  const get = store.get.bind(store)
  store.get = (key) => {
    if (damaged && key[0] === 1) throw new BrokerError('STORE_DAMAGED', 'a row')
    return get(key)
  }
  await other.write(10)
  other.clock.advanceBy(limits.viewsSaveMs)
  await settle()
  t.match(other.views!.trouble, /a record of the local store is damaged/i)
  damaged = false
  await other.catchUp()
  other.check(t, 'damaged')
  t.equal(other.views!.trouble, undefined)
  // Found by an operator's question.
  const broken = (): never => {
    throw new BrokerError('STORE_DAMAGED', 'a row')
  }
  t.throws(() => other.views!.ask(broken), { code: 'STORE_DAMAGED' })
  await settle()
  t.match(other.views!.trouble, /damaged/)
  await other.catchUp()
  await other.write(1)
  await other.catchUp()
  other.check(t, 'asked for')
  await other.views!.close()
})

t.test('a chain that is broken stops them, and they say so until it holds', async (t) => {
  const trial = new Trial(400)
  const { author } = trial
  await trial.write(30)
  let isBroken = true
  trial.ledger = ledgerOver(author.ledger, {
    follow: (subject, from, onMessage) =>
      author.ledger.follow(subject, from, (message) => {
        if (!isBroken || message.sequence !== 20) return onMessage(message)
        const data = Buffer.from(message.data)
        // The last octet of the hash in the first frame's chain link.
        data[9 + 9 + 49]! ^= 1
        return onMessage({ ...message, data })
      }),
  })
  const views = trial.start()
  t.equal(views.trouble, 'the ledger is being opened')
  await settle()
  trial.clock.advanceBy(limits.viewsSaveMs)
  await settle()
  t.match(views.trouble, /hash chain/)
  t.ok(trial.counted() < 20, 'nothing behind it is counted')
  isBroken = false
  await trial.catchUp()
  trial.check(t, 'mended')
  t.equal(views.trouble, undefined)
  await views.close()
})

t.test('too far behind they are not ready', async (t) => {
  const trial = new Trial(500)
  await trial.write(3)
  let ahead = 0
  const { ledger } = trial.author
  trial.ledger = ledgerOver(ledger, {
    lastOn: async (subject) => {
      const last = await ledger.lastOn(subject)
      return last && { ...last, sequence: last.sequence + ahead }
    },
  })
  const views = trial.start()
  await trial.catchUp()
  t.equal(views.trouble, undefined)
  ahead = limits.viewsLagTicksMax + 1
  trial.clock.advanceBy(limits.viewsLookMs)
  await settle()
  t.equal(views.lagTicks, ahead)
  t.equal(views.trouble, `${ahead} ticks behind, ${limits.viewsLagTicksMax} are allowed`)
  await views.close()
})
