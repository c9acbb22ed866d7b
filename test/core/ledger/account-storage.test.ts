/** What is made of the answers of a nats-server about the storage of an account. */
import t from 'tap'
import { limits } from '../../../core/base/limits.ts'
import { AccountStorage } from '../../../core/ledger/account-storage.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { noMetrics } from '../../../core/ports/metrics.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function rigOf(replicas = 1) {
  const clock = new SimClock()
  let answer: unknown
  const storage = new AccountStorage({
    connection: {
      request(subject) {
        t.equal(subject, '$JS.API.INFO')
        if (answer === undefined) return Promise.reject(new Error('TIMEOUT'))
        return Promise.resolve({ json: <T>() => answer as T })
      },
    },
    ledgerBytesMax: 1_000,
    replicas,
    clock,
    log: silentLog,
    metrics: noMetrics,
  })
  return {
    storage,
    /** Until the next answer has been looked at. */
    async look(next: unknown): Promise<boolean> {
      answer = next
      clock.advanceBy(limits.diskLookMs)
      await turn()
      return storage.isLow
    },
  }
}

const of = (storage: number, max: number) => ({ storage, limits: { max_storage: max } })

t.test('low while less is left than the ledger keeps for answers', async (t) => {
  const { storage, look } = rigOf()
  await storage.start()
  t.notOk(storage.isLow, 'not known')
  t.notOk(await look(of(9_900, 10_000)), 'the tenth of the ledger is left')
  t.equal(storage.trouble, undefined)
  t.ok(await look(of(9_901, 10_000)))
  t.match(storage.trouble, /uses 9901 of 10000 octets, 100 must be left/)
  t.ok(await look(undefined), 'a server that is silent changes nothing')
  t.notOk(await look(of(5, 10_000)), 'and again there is room')
  t.ok(await look(of(9_999, 10_000)))
  storage.close()
  t.ok(await look(of(5, 10_000)), 'closed, it looks no more')
})

t.test('an account stores each replica', async (t) => {
  const { storage, look } = rigOf(3)
  await storage.start()
  t.notOk(await look(of(9_700, 10_000)))
  t.ok(await look(of(9_701, 10_000)))
  storage.close()
})

t.test('without a limit, or with tiers, nothing is known', async (t) => {
  const { storage, look } = rigOf()
  await storage.start()
  for (const answer of [of(9_999, -1), { ...of(9_999, 10_000), tiers: { R1: {} } }, {}]) {
    t.ok(await look(of(9_999, 10_000)))
    t.notOk(await look(answer), JSON.stringify(answer))
  }
  storage.close()
})
