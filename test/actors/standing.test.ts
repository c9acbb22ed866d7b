/**
 * How parties stand, where it matters: at acceptance, before a request is sent, and after the tick
 * that decided to send it; by the directory that a host has, which must be fresh.
 */
import t from 'tap'
import { fixedDirectory, type Directory, type LiveDirectory } from '../../core/access/directory.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { deviceKey, supplier } from '../support/envelopes.ts'
import { good, pass, settle, World } from '../support/world.ts'

const other = deviceKey(99)

/** Everybody may do everything but `suspended`. */
function directoryOf(suspended: readonly Eui64[], removed: readonly Eui64[] = []): Directory {
  const known = [supplier, other].filter((id) => !removed.includes(id))
  const parties = known.map((id) => {
    const party = { id, role: 'IS', name: 'x' } as const
    return [
      id,
      suspended.includes(id) ? ({ ...party, isSuspended: true } as const) : party,
    ] as const
  })
  return {
    sequence: 1,
    format: 2,
    needsMeterPoints: false,
    isInForce: true,
    parties: new Map(parties),
    records: new Map(),
    sources: new Map(),
  }
}

t.test('a suspended party has nothing accepted, a removed one is unknown', async (t) => {
  const world = new World({ onExchange: good, directory: directoryOf([]) })
  await world.start()
  await world.register(1)
  const device = deviceKey(0)
  t.equal(await world.submit({ device, counter: 1 }), 'REQUEST_ACCEPTED')
  world.options.directory = directoryOf([supplier])
  t.equal(await world.submit({ device, counter: 2 }), 'PARTY_SUSPENDED')
  t.equal(await world.submit({ device, counter: 3, originator: other }), 'REQUEST_ACCEPTED')
  t.equal(await world.submit({ device, counter: 1 }), 'REQUEST_ACCEPTED', 'a repeat hears the same')
  world.options.directory = directoryOf([], [supplier])
  t.equal(await world.submit({ device, counter: 2 }), 'PARTY_UNKNOWN')
  world.options.directory = directoryOf([])
  t.equal(await world.submit({ device, counter: 2 }), 'REQUEST_ACCEPTED')
})

t.test('what waits when a party is suspended ends, and the others go on', async (t) => {
  const world = new World({ directory: directoryOf([]) })
  await world.start()
  await world.register(1)
  const device = deviceKey(0)
  for (const counter of [1, 2, 3]) await world.submit({ device, counter })
  await world.submit({ device, counter: 4, originator: other })
  t.equal(world.exchanges.length, 1)
  world.options.directory = directoryOf([supplier])
  world.options.onExchange = good
  good(world.exchanges[0]!)
  await pass(world, () => world.exchanges.length > 1)
  t.same(world.deliveries(), ['0/1 OK', '0/2 PARTY_SUSPENDED', '0/3 PARTY_SUSPENDED'])
  t.equal(world.exchanges.length, 2, 'that of the other party')
})

t.test(
  'what a tick has decided to send is not sent when its party is suspended by then',
  async (t) => {
    let suspend = (): void => undefined
    const world = new World({
      onExchange: good,
      directory: directoryOf([]),
      onCommit: () => {
        suspend()
        return undefined
      },
    })
    await world.start()
    await world.register(1)
    suspend = () => (world.options.directory = directoryOf([supplier]))
    t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
    await pass(world, () => world.deliveries().length > 0)
    t.same(world.deliveries(), ['0/1 PARTY_SUSPENDED'])
    t.equal(world.exchanges.length, 0)
  },
)

t.test('a host decides nothing by a directory that may be old', async (t) => {
  const fresh = { isFresh: false, refreshes: 0 }
  const world = new World({ onExchange: good, directory: directoryOf([]) })
  const live: LiveDirectory = {
    ...fixedDirectory(),
    get current() {
      return world.options.directory!
    },
    get isFresh() {
      return fresh.isFresh
    },
    async refresh() {
      fresh.refreshes++
      if (fresh.refreshes < 3) return false
      fresh.isFresh = true
      world.options.directory = directoryOf([supplier])
      return true
    },
  }
  world.options.live = live
  fresh.isFresh = true
  await world.start()
  await world.register(1)
  fresh.isFresh = false
  t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'PARTY_SUSPENDED')
  t.equal(fresh.refreshes, 3, 'it asks until the ledger says')
  t.ok(limits.directoryLagMsMax <= 1_000, 'within a second, as the promises say')
  await settle()
})

t.test('a tick does not wait for the directory that is asked for beside it', async (t) => {
  const world = new World({ onExchange: good, directory: directoryOf([]) })
  let isFresh = true
  let asked = 0
  world.options.live = {
    ...fixedDirectory(directoryOf([])),
    get isFresh() {
      return isFresh
    },
    refreshAhead: () => void asked++,
    refresh: () => new Promise(() => {}),
  }
  await world.start()
  await world.register(1)
  const before = asked
  t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
  t.ok(asked > before, 'it is asked for with every tick')
  isFresh = false
  t.equal(await world.submit({ device: deviceKey(0), counter: 2 }), undefined, 'it waits when late')
})
