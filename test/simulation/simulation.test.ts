/** Lives of a whole deployment from seeds, and that the simulation finds bugs that are planted for it. More: `npm run simulate`. */
import t from 'tap'
import { planted } from './planted.ts'
import { shrink, simulate } from './simulation.ts'

const seedCount = 20
const plantedSeedsMax = 200

t.test('any life: each accepted request ends once, in order, and everything drains', async (t) => {
  for (let seed = 1; seed <= seedCount; seed++) {
    const { violation, trace } = await simulate(seed)
    const again = `npm run simulate -- --seed ${seed} --count 1`
    t.equal(violation, undefined, again, { trace: violation && trace })
  }
})

t.test('the same seed is the same life', async (t) => {
  const [first, second, other] = [await simulate(7), await simulate(7), await simulate(8)]
  t.equal(first.hash, second.hash)
  t.not(first.hash, other.hash)
})

for (const [name, plant] of Object.entries(planted)) {
  t.test(`finds a planted bug: ${name}`, async (t) => {
    let seed = 1
    while (seed <= plantedSeedsMax && (await simulate(seed, plant)).violation === undefined) seed++
    t.ok(seed <= plantedSeedsMax, `caught at seed ${seed}`)
    const { violation, trace, steps } = await shrink(seed, plant)
    t.ok(violation, `${violation?.what} (${steps} steps)`)
    t.ok(trace.length > 0)
  })
}
