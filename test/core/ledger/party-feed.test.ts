/**
 * Ticks sorted by party: every receiver gets each frame of its party from where it asks, once and
 * in order, whatever others do, how slow it is, and when it comes.
 */
import fc from 'fast-check'
import t from 'tap'
import { PartyFeed } from '../../../core/ledger/party-feed.ts'
import { tickSubject } from '../../../core/ports/ledger.ts'
import { writeTickMessage } from '../../../core/envelope/tick-message.ts'
import { silentLog } from '../../../core/ports/log.ts'
import { SimClock } from '../../../core/ports/sim/clock.ts'
import { SimLedger } from '../../../core/ports/sim/ledger.ts'
import { deviceKey } from '../../support/envelopes.ts'

const parties = [deviceKey(1), deviceKey(2), deviceKey(3)]

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setImmediate(resolve))
}

async function write(
  ledger: SimLedger,
  host: string,
  to: readonly number[],
  text: string,
): Promise<void> {
  const deliveries = to.map((party) => ({
    party: parties[party]!,
    frame: Buffer.from(`${party} ${text}`),
  }))
  const data = writeTickMessage([{ partition: 0, frame: Buffer.from('facts') }], deliveries)
  await ledger.commit([{ subject: tickSubject(host), data }])
}

async function feedOf(ledger: SimLedger, indexEntriesMax?: number): Promise<PartyFeed> {
  const clock = new SimClock(0)
  const sized = indexEntriesMax === undefined ? {} : { indexEntriesMax }
  const feed = new PartyFeed({ ledger, log: silentLog, clock, ...sized })
  await feed.start()
  return feed
}

t.test('past and present of several hosts, each party its own', async (t) => {
  const ledger = new SimLedger()
  await write(ledger, 'a', [0, 1], 'first')
  await write(ledger, 'b', [1], 'second')
  const feed = await feedOf(ledger)
  const got: string[] = []
  const following = await feed.follow(parties[1]!, 1, ({ sequence, data }) => {
    got.push(`${sequence} ${data.toString()}`)
  })
  await settle()
  await write(ledger, 'a', [0], 'not ours')
  await write(ledger, 'b', [0, 1, 2], 'third')
  await settle()
  t.same(got, ['1 1 first', '2 1 second', '4 1 third'])
  t.equal((await feed.lastOf(parties[1]!, 1))?.sequence, 4)
  t.equal((await feed.lastOf(parties[2]!, 1))?.sequence, 4)
  t.equal(await feed.lastOf(parties[2]!, 5), undefined)
  await following.close()
  await feed.close()
})

t.test('a receiver that comes again with an older cursor is given the past again', async (t) => {
  const ledger = new SimLedger()
  for (const text of ['a', 'b', 'c']) await write(ledger, 'h', [0], text)
  const feed = await feedOf(ledger)
  for (const from of [3, 1]) {
    const got: number[] = []
    const following = await feed.follow(
      parties[0]!,
      from,
      ({ sequence }) => void got.push(sequence),
    )
    await settle()
    t.same(got, from === 3 ? [3] : [1, 2, 3])
    await following.close()
  }
  await feed.close()
})

t.test('a slow receiver holds up nobody and misses nothing', async (t) => {
  const ledger = new SimLedger()
  const feed = await feedOf(ledger)
  let release: () => void = () => undefined
  const slow: number[] = []
  const quick: number[] = []
  const slowly = await feed.follow(parties[0]!, 1, async ({ sequence }) => {
    slow.push(sequence)
    if (slow.length === 1) await new Promise<void>((resolve) => (release = resolve))
  })
  const quickly = await feed.follow(parties[1]!, 1, ({ sequence }) => void quick.push(sequence))
  for (let count = 0; count < 400; count++) await write(ledger, 'h', [0, 1], String(count))
  await settle()
  t.equal(slow.length, 1)
  t.equal(quick.length, 400)
  release()
  await settle()
  t.same(slow, quick, 'also what has left the cache')
  await slowly.close()
  await quickly.close()
  await feed.close()
})

t.test('what has left the index of a party is found again', async (t) => {
  const ledger = new SimLedger()
  const feed = await feedOf(ledger, 4)
  const follow = async (from: number) => {
    const got: number[] = []
    const { close } = await feed.follow(
      parties[0]!,
      from,
      ({ sequence }) => void got.push(sequence),
    )
    await settle()
    return { got, close }
  }
  const first = await follow(1)
  for (let i = 0; i < 9; i++) await write(ledger, 'a', [0], 'x')
  await settle()
  const all = [1, 2, 3, 4, 5, 6, 7, 8, 9]
  const others = [await follow(1), await follow(4), await follow(8)]
  t.same(first.got, all)
  t.same(
    others.map(({ got }) => got),
    [all, all.slice(3), all.slice(7)],
  )
  for (const { close } of [first, ...others]) await close()
  await feed.close()
})

t.test('a message that is no tick is passed over', async (t) => {
  const ledger = new SimLedger()
  await write(ledger, 'h', [0], 'before')
  await ledger.commit([{ subject: tickSubject('h'), data: Buffer.from('rubbish') }])
  await write(ledger, 'h', [0], 'after')
  const feed = await feedOf(ledger)
  const got: number[] = []
  const following = await feed.follow(parties[0]!, 1, ({ sequence }) => void got.push(sequence))
  await ledger.commit([{ subject: tickSubject('h'), data: Buffer.from('rubbish') }])
  await write(ledger, 'h', [0], 'later')
  await settle()
  t.same(got, [1, 3, 5])
  await following.close()
  await feed.close()
})

t.test(
  'property: whoever follows from anywhere at any time gets exactly the frames from there on',
  async () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant('write' as const),
        to: fc.uniqueArray(fc.nat(2), { maxLength: 3 }),
      }),
      fc.record({
        do: fc.constant('follow' as const),
        party: fc.nat(2),
        from: fc.integer({ min: 1, max: 30 }),
      }),
      fc.record({ do: fc.constant('pause' as const) }),
    )
    // So small that the older half goes now and then.
    const indexSize = fc.constantFrom(2, 5, undefined)
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), indexSize, async (steps, size) => {
        const ledger = new SimLedger()
        const feed = await feedOf(ledger, size)
        const expected: number[][] = [[], [], []]
        const followers: Array<{
          party: number
          from: number
          got: number[]
          close(): Promise<void>
        }> = []
        for (const one of steps) {
          if (one.do === 'write') {
            await write(ledger, 'h', one.to, 'x')
            for (const party of one.to) expected[party]!.push(ledger.lastSequence)
          } else if (one.do === 'follow') {
            const got: number[] = []
            const party = parties[one.party]!
            const { close } = await feed.follow(
              party,
              one.from,
              ({ sequence }) => void got.push(sequence),
            )
            followers.push({ ...one, got, close })
          } else await settle()
        }
        await settle()
        const areRight = followers.every(
          ({ party, from, got }) =>
            JSON.stringify(got) ===
            JSON.stringify(expected[party]!.filter((sequence) => sequence >= from)),
        )
        for (const follower of followers) await follower.close()
        await feed.close()
        return areRight
      }),
      { numRuns: 90 },
    )
  },
)
