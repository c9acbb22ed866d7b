/**
 * kill -9 of views in the middle of their saves, on a real LMDB: nothing is counted twice, nothing
 * is left out.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import {
  deviceRange,
  deviceRowIn,
  standingIn,
  usageRange,
  usageRowIn,
} from '../../../actors/views/rows.ts'
import { openLmdbRows } from '../../../core/store/lmdb-rows.ts'
import { seededRandom } from '../../../core/ports/random.ts'
import { killedAuthor } from './killed-author.ts'

const fixture = fileURLToPath(new URL('fixtures-killed.ts', import.meta.url))
const seed = Date.now() % 100_000
const killsMax = 4

t.test(`seed ${seed}`, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'busbar-killed-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const random = seededRandom(seed)
  const author = await killedAuthor(seed)
  let kills = 0
  for (let isCounted = false; !isCounted;) {
    const child = spawn(process.execPath, [fixture, folder, String(seed)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = once(child, 'exit')
    let savesLeft = kills < killsMax ? 1 + Math.floor(random.fraction() * 4) : Infinity
    for await (const line of createInterface({ input: child.stdout })) {
      isCounted ||= line === 'counted'
      if (isCounted || savesLeft-- === 0) child.kill('SIGKILL')
    }
    await ended
    if (!isCounted) kills++
    else if (kills === 0) {
      // It was through before the signal came: once more from the beginning.
      rmSync(folder, { recursive: true })
      mkdirSync(folder)
      isCounted = false
    }
  }
  t.ok(kills > 0, `killed ${kills} times`)
  const store = openLmdbRows({ folder })
  t.teardown(() => store.close())
  t.equal(standingIn((key) => store.get(key)).sequence, 150)
  const sum = (counts: Iterable<number>): number => [...counts].reduce((all, one) => all + one, 0)
  const rows = Array.from(store.range(...usageRange), usageRowIn)
  t.equal(rows.length, author.usage.size)
  t.equal(sum(rows.map(({ count }) => count)), sum(author.usage.values()))
  const open = Array.from(store.range(...deviceRange), ({ value }) => deviceRowIn(value))
  const registered = [...author.states.values()].filter(({ record }) => record !== undefined)
  t.equal(open.length, registered.length)
  t.equal(
    sum(open.map(({ openRequests }) => openRequests)),
    sum(Array.from(author.states.values(), (state) => state.open.length)),
  )
})
