/**
 * Somebody sets the clock of a host while requests wait: attempts and deadlines come after the
 * elapsed time that was planned.
 */
import t from 'tap'
import { provenTime } from '../../actors/runtime/host/clock-lag.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import type { SimExchange } from '../../core/ports/sim/wan.ts'
import { deviceKey } from '../support/envelopes.ts'
import { good, numberOf, settle, World, type WorldOptions } from '../support/world.ts'

const hourMs = 3_600_000
const unreachable = (exchange: SimExchange): void =>
  exchange.answer({ ok: false, code: 'DEVICE_UNREACHABLE', detail: '' })

/** Lets elapsed time go on until `isDone`; settles with how long that took, ms, 600 s at most. */
async function elapsed(world: World, isDone: () => boolean): Promise<number> {
  const startMs = world.clock.elapsedMs()
  while (!isDone() && world.clock.elapsedMs() - startMs < 600_000) {
    world.clock.advanceBy(100)
    await settle()
  }
  return world.clock.elapsedMs() - startMs
}

/** A world in which one request has had one attempt, which failed. */
async function waiting(options: WorldOptions = {}): Promise<World> {
  const world = new World(options)
  await world.start()
  await world.register(1)
  t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
  await settle()
  unreachable(world.exchanges[0]!)
  await settle()
  return world
}

for (const [name, stepMs] of [
  ['back by an hour', -hourMs],
  ['back by a year', -8_760 * hourMs],
  ['back by ten seconds', -10_000],
  ['back by half a second', -500],
  ['forward by a minute', 60_000],
] as const)
  t.test(`set ${name}: the next attempt comes as planned`, async (t) => {
    const world = await waiting()
    world.clock.setBy(stepMs)
    const tookMs = await elapsed(world, () => world.exchanges.length > 1)
    t.ok(tookMs <= 3_600, `${tookMs} ms`)
    if (stepMs <= -10_000) t.ok(tookMs >= 1_400, `not at once: ${tookMs} ms`)
    good(world.exchanges[1]!)
    await settle()
    t.same(world.deliveries(), ['0/1 OK'])
  })

t.test('set back several times: each attempt comes as planned', async (t) => {
  const world = await waiting()
  for (const attempt of [1, 2]) {
    for (const stepMs of [-5_000, -hourMs, 2_000]) {
      await elapsed(world, () => true)
      world.clock.setBy(stepMs)
      await settle()
      world.clock.advanceBy(200)
      await settle()
    }
    const tookMs = await elapsed(world, () => world.exchanges.length > attempt)
    t.ok(tookMs <= 6_600, `${tookMs} ms`)
    unreachable(world.exchanges.at(-1)!)
    await settle()
  }
  t.same(world.deliveries(), [], 'attempts go on until the deadline')
})

t.test('set back: a request that waits ends by its deadline in elapsed time', async (t) => {
  const world = new World()
  await world.start()
  await world.register(1)
  t.equal(await world.submit({ device: deviceKey(0), counter: 1 }), 'REQUEST_ACCEPTED')
  t.equal(await world.submit({ device: deviceKey(0), counter: 2 }), 'REQUEST_ACCEPTED')
  world.clock.advanceBy(10_000)
  await settle()
  world.clock.setBy(-hourMs)
  // The first is on its way for all that time.
  const tookMs = await elapsed(world, () => world.deliveries().length > 0)
  t.same(world.deliveries(), ['0/2 REQUEST_EXPIRED'])
  t.ok(tookMs >= 105_000 && tookMs <= 111_000, `${tookMs} ms`)
})

t.test('set forward and back again: what was accepted before keeps its deadline', async (t) => {
  const world = new World()
  await world.start()
  await world.register(1)
  const deadline = world.clock.now() + 3 * hourMs
  t.equal(await world.submit({ device: deviceKey(0), counter: 1, deadline }), 'REQUEST_ACCEPTED')
  t.equal(await world.submit({ device: deviceKey(0), counter: 2, deadline }), 'REQUEST_ACCEPTED')
  for (const stepMs of [hourMs, -hourMs]) {
    world.clock.setBy(stepMs)
    await elapsed(world, () => false)
  }
  t.same(world.deliveries(), [])
  unreachable(world.exchanges[0]!)
  await elapsed(world, () => world.exchanges.length > 1)
  good(world.exchanges[1]!)
  await settle()
  t.same(world.deliveries(), ['0/1 OK'])
})

t.test('set back between two lives: an attempt that is too far away is due', async (t) => {
  for (const isSaved of [true, false]) {
    const world = await waiting()
    if (isSaved) {
      // The checkpoint is written, and the request stands in the index of the store.
      for (let turn = 0; turn < 12; turn++) {
        world.clock.advanceBy(100)
        await settle()
      }
      t.ok(world.stores.get(numberOf(deviceKey(0)))!.nextWakeMs())
    }
    world.kill()
    world.clock.setBy(-hourMs)
    await world.start()
    const tookMs = await elapsed(world, () => world.exchanges.length > 0)
    t.ok(tookMs <= 3_600, `${tookMs} ms, saved: ${isSaved}`)
  }
})

t.test('set back while devices are asleep: they are found in the index', async (t) => {
  const world = await waiting({ actorsAwakeMax: 0 })
  for (let turn = 0; turn < 12; turn++) {
    world.clock.advanceBy(100)
    await settle()
  }
  const awake = world.host!.status().partitions.reduce((sum, { awake }) => sum + awake, 0)
  t.equal(awake, 0)
  world.clock.setBy(-hourMs)
  const tookMs = await elapsed(world, () => world.exchanges.length > 1)
  t.ok(tookMs <= 3_600, `${tookMs} ms`)
})

t.test('time that is proven: a clock that is set forward makes nothing old', (t) => {
  const clock = new SimClock(1_000_000)
  const proven = provenTime(clock)
  clock.advanceBy(500)
  t.equal(proven(), 1_000_500)
  clock.setBy(30 * 24 * hourMs)
  t.equal(proven(), 1_000_500)
  clock.advanceBy(500)
  t.equal(proven(), 1_001_000)
  clock.setBy(-31 * 24 * hourMs)
  t.equal(proven(), clock.now(), 'what the clock calls young is young')
  t.end()
})
