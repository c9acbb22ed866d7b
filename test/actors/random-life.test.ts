/**
 * Random lives of a deployment, drawn from a seed that a failure names: devices that answer well,
 * badly or never, commits that are refused or whose answer is lost, stores that turn out damaged,
 * hosts that die at any moment. When the faults stop everything drains, and each accepted request
 * has ended exactly once.
 */
import t from 'tap'
import { Lane } from '../../core/base/lane.ts'
import { seededRandom, type Random } from '../../core/ports/random.ts'
import { deviceKey } from '../support/envelopes.ts'

import { partitionCount, settle, good, World } from '../support/world.ts'

/**
 * Devices that answer well, badly, or never; commits that are refused or whose answer is lost;
 * stores that are damaged; hosts that die at any moment.
 */
async function randomLife(random: Random): Promise<string | undefined> {
  const chance = (probability: number): boolean => random.fraction() < probability
  let areFaultsOn = true
  const world = new World({
    onCommit: () => {
      if (!areFaultsOn) return undefined
      if (chance(0.03)) return 'lose-answer'
      return chance(0.03) ? { refuse: chance(0.5) ? 'unknown' : 'full' } : undefined
    },
    onExchange: (exchange) => {
      if (!areFaultsOn || chance(0.6)) good(exchange)
      else if (chance(0.7)) exchange.answer({ ok: false, code: 'DEVICE_SILENT', detail: '' })
    },
  })
  await world.start()
  areFaultsOn = false
  await world.register(6)
  areFaultsOn = true
  const accepted = new Set<string>()
  for (let counter = 1; counter <= 60; counter++) {
    const device = Math.floor(random.fraction() * 6)
    const lane = ([Lane.URGENT, Lane.NORMAL, Lane.BULK] as const)[
      Math.floor(random.fraction() * 3)
    ]!
    const lifetimeMs = 1_000 + random.fraction() * 200_000
    const deadline = Math.round(world.clock.now() + lifetimeMs)
    const code = await world.submit({ device: deviceKey(device), counter, lane, deadline })
    if (code === 'REQUEST_ACCEPTED') accepted.add(`${device}/${counter}`)
    if (chance(0.1)) world.clock.advanceBy(Math.round(random.fraction() * 10_000))
    if (chance(0.05)) {
      const store = world.stores.get(Math.floor(random.fraction() * partitionCount))
      const on = (['checkpoint', 'load', 'dueWakes', 'nextWakeMs', 'save'] as const)[
        Math.floor(random.fraction() * 5)
      ]!
      if (store) store.damage = { on, after: Math.floor(random.fraction() * 4) }
    }
    if (chance(0.05)) {
      world.kill()
      if (chance(0.3)) world.stores.clear()
      await world.start()
    }
  }
  areFaultsOn = false
  for (let turn = 0; turn < 100; turn++) {
    for (const exchange of world.exchanges) good(exchange)
    world.clock.advanceBy(5_000)
    await settle()
  }
  const delivered = world.deliveries().map((line) => line.split(' ')[0]!)
  const missing = [...accepted].filter((id) => !delivered.includes(id))
  const twice = delivered.filter((id, index) => delivered.indexOf(id) !== index)
  if (missing.length > 0) return `never ended: ${missing.join(', ')}`
  if (twice.length > 0) return `ended twice: ${twice.join(', ')}`
  return undefined
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  t.test(`any life, seed ${seed}: each accepted request ends exactly once`, async (t) => {
    t.equal(await randomLife(seededRandom(seed)), undefined, `seed ${seed}`)
  })
}
