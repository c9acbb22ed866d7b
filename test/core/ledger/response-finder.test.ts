/**
 * The response to one request, found by its RequestID among the deliveries of its party: past and
 * present, within a bound of memory, and no other party's.
 */
import t from 'tap'
import { readEui64 } from '../../../core/base/eui64.ts'
import { limits } from '../../../core/base/limits.ts'
import { deliveryIdOf } from '../../../core/envelope/delivery-id.ts'
import { readCounter } from '../../../core/envelope/envelope.ts'
import { partyFramesOf, writeTickMessage } from '../../../core/envelope/tick-message.ts'
import { ResponseFinder } from '../../../core/ledger/response-finder.ts'
import { tickSubject, tickSubjects } from '../../../core/ports/ledger.ts'
import { SimLedger } from '../../../core/ports/sim/ledger.ts'
import { gasSupplier, meter, octetsOf, responseFrame, supplier } from '../gateway/rig.ts'

const party = readEui64(octetsOf(supplier))
const other = readEui64(octetsOf(gasSupplier))
const keyOf = (counter: number) => ({ target: octetsOf(meter), counter: BigInt(counter) })

/** Writes a tick with responses of `counters` to the party, and gives its sequence. */
async function write(ledger: SimLedger, counters: number[], to = supplier): Promise<number> {
  const frame = responseFrame(to, counters.map(BigInt))
  const deliveries = counters.length === 0 ? [] : [{ party: readEui64(octetsOf(to)), frame }]
  const data = writeTickMessage([], deliveries)
  const { firstSequence } = (await ledger.commit([{ subject: tickSubject('a'), data }])) as {
    firstSequence: number
  }
  return firstSequence
}

/** A finder that starts at the ledger's end and then follows it, as a gateway process does. */
async function finderOf(ledger: SimLedger, entriesMax?: number): Promise<ResponseFinder> {
  const finder = new ResponseFinder(ledger, entriesMax)
  finder.add((await ledger.lastOn(tickSubjects))?.sequence ?? 0, new Map())
  return finder
}

async function add(finder: ResponseFinder, ledger: SimLedger, counters: number[], to?: string) {
  const sequence = await write(ledger, counters, to)
  finder.add(sequence, partyFramesOf((await ledger.at(sequence))!.data))
  return sequence
}

t.test('past and present responses are found, each with its delivery id', async (t) => {
  const ledger = new SimLedger()
  const past = await write(ledger, [1, 2, 3])
  await write(ledger, [4], gasSupplier)
  const finder = await finderOf(ledger)
  t.equal(await finder.find(party, keyOf(2)), undefined, 'the past is not indexed yet')
  const found = await finder.search(party, keyOf(2))
  t.equal(found?.deliveryId, deliveryIdOf(past, 1))
  t.equal(readCounter(found!.frame, found!.at), 2n)
  t.equal((await finder.find(party, keyOf(3)))?.deliveryId, deliveryIdOf(past, 2), 'from now on')
  const present = await add(finder, ledger, [9])
  t.equal((await finder.find(party, keyOf(9)))?.deliveryId, deliveryIdOf(present, 0))
  t.equal(await finder.search(party, keyOf(4)), undefined, "another party's response is not found")
  t.ok(await finder.search(other, keyOf(4)), 'but by that party it is')
  t.equal(await finder.search(party, keyOf(77)), undefined, 'unknown')
})

t.test('a watch settles when the response is delivered, and only for its request', async (t) => {
  const ledger = new SimLedger()
  const finder = await finderOf(ledger)
  const watch = finder.watch(party, keyOf(5))!
  const closed = finder.watch(party, keyOf(6))!
  closed.close()
  closed.close()
  let isFound = false
  void watch.found.then(() => (isFound = true))
  await add(finder, ledger, [5], gasSupplier)
  await add(finder, ledger, [6, 7])
  await new Promise((resolve) => setImmediate(resolve))
  t.notOk(isFound, 'neither of another party nor of another request')
  const sequence = await add(finder, ledger, [8, 5])
  t.equal((await watch.found).deliveryId, deliveryIdOf(sequence, 1))
  watch.close()
})

t.test('the number of watches is bounded', async (t) => {
  const finder = await finderOf(new SimLedger())
  const watches = Array.from({ length: limits.responseWaitsMax }, (_, i) =>
    finder.watch(party, keyOf(i)),
  )
  t.equal(finder.watch(party, keyOf(1)), undefined, 'one more is rejected')
  watches[0]!.close()
  t.ok(finder.watch(party, keyOf(1)), 'and accepted when another has closed')
})

t.test('a search goes back step by step, beyond what was trimmed', async (t) => {
  const ledger = new SimLedger()
  const first = await write(ledger, [1])
  const second = await write(ledger, [2])
  for (let i = 0; i < 3 * limits.responseSearchTicks; i++) await write(ledger, [])
  await ledger.forget(tickSubjects, second)
  const finder = await finderOf(ledger)
  t.equal((await finder.search(party, keyOf(2)))?.deliveryId, deliveryIdOf(second, 0))
  t.equal(await finder.search(party, keyOf(1)), undefined, `tick ${first} is not kept any more`)
})

t.test('a response that was delivered while its tick was on the way is not missed', async (t) => {
  const ledger = new SimLedger()
  const finder = await finderOf(ledger)
  const sequence = await write(ledger, [1])
  const search = finder.search(party, keyOf(1))
  await new Promise((resolve) => setImmediate(resolve))
  finder.add(sequence, partyFramesOf((await ledger.at(sequence))!.data))
  t.equal((await search)?.deliveryId, deliveryIdOf(sequence, 0))
})

t.test('memory is bounded: what is not indexed is read from the ledger again', async (t) => {
  const ledger = new SimLedger()
  for (let i = 0; i < 40; i++) await write(ledger, [10 * i, 10 * i + 1])
  for (let i = 0; i < 3; i++) await write(ledger, [i], gasSupplier)
  const finder = await finderOf(ledger, 50)
  const read = { ticks: 0 }
  const at = ledger.read.bind(ledger)
  ledger.read = (subject, from, onMessage) =>
    at(subject, from, (message) => {
      read.ticks++
      return onMessage(message)
    })
  t.ok(await finder.search(party, keyOf(0)), 'the oldest is found without room for all')
  t.ok(read.ticks > 0)
  for (let i = 0; i < 60; i++) await add(finder, ledger, [1_000 + i])
  read.ticks = 0
  t.ok(await finder.find(party, keyOf(1_059)), 'the newest are indexed')
  t.equal(await finder.find(party, keyOf(1_000)), undefined, 'older ones made room')
  t.ok(await finder.search(party, keyOf(1_000)), 'and are found all the same')
  t.ok(await finder.search(other, keyOf(1)), 'another party has its room')
})

t.test('searches of one party are bounded, and follow one another', async (t) => {
  const ledger = new SimLedger()
  await write(ledger, [1, 2])
  const finder = await finderOf(ledger)
  const found = await Promise.allSettled(
    Array.from({ length: limits.responseSearchesMax + 1 }, () => finder.search(party, keyOf(1))),
  )
  t.equal(found.filter(({ status }) => status === 'fulfilled').length, limits.responseSearchesMax)
  t.match(found.at(-1), { status: 'rejected', reason: { code: 'BROKER_GATEWAY_BUSY' } })
  t.ok(await finder.search(party, keyOf(2)), 'afterwards there is room again')
})

t.test('a ledger that is away fails the search that needs it, not the next one', async (t) => {
  const ledger = new SimLedger()
  await write(ledger, [1])
  const finder = await finderOf(ledger)
  const read = ledger.read.bind(ledger)
  ledger.read = () => Promise.reject(new Error('away'))
  await t.rejects(finder.search(party, keyOf(1)), /away/)
  ledger.read = read
  t.ok(await finder.search(party, keyOf(1)))
})

t.test(
  'a response that is in no tick is looked for once, with room for an index and without',
  async (t) => {
    for (const entriesMax of [1_000, 2]) {
      let reads = 0
      class CountedLedger extends SimLedger {
        override read(...rest: Parameters<SimLedger['read']>): ReturnType<SimLedger['read']> {
          reads++
          return super.read(...rest)
        }
      }
      const ledger = new CountedLedger()
      for (let i = 0; i < 10; i++) await write(ledger, [2 * i + 1, 2 * i + 2])
      const finder = await finderOf(ledger, entriesMax)
      t.equal(await finder.search(party, keyOf(99)), undefined)
      const once = reads
      t.ok(once > 0)
      for (let i = 0; i < 5; i++) t.equal(await finder.search(party, keyOf(99)), undefined)
      t.equal(reads, once, `${entriesMax} entries`)
      const sequence = await add(finder, ledger, [99])
      const found = (await finder.find(party, keyOf(99))) ?? (await finder.search(party, keyOf(99)))
      t.equal(found?.deliveryId, deliveryIdOf(sequence, 0), 'what comes later is found')
    }
  },
)

t.test('a few searches read the ledger at one time, whichever party asks', async (t) => {
  let reading = 0
  let most = 0
  class SlowLedger extends SimLedger {
    override async read(...rest: Parameters<SimLedger['read']>): Promise<void> {
      most = Math.max(most, ++reading)
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
      try {
        await super.read(...rest)
      } finally {
        reading--
      }
    }
  }
  const ledger = new SlowLedger()
  await write(ledger, [1])
  const finder = await finderOf(ledger)
  const parties = Array.from({ length: 8 }, (_, i) => readEui64(Buffer.of(1, 2, 3, 4, 5, 6, 7, i)))
  await Promise.all(parties.map((one) => finder.search(one, keyOf(7))))
  t.equal(most, limits.responseSearchesAtOnceMax)
})
