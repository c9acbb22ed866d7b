/**
 * The runner of the tests: what it says of files that share a process, when one of them fails, does
 * nothing, or ends the process.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../../../..')
const runner = join(root, 'core/ops/setup/run-tests.mjs')

const tap = `import t from 'tap'\n`
const files = {
  'good.ts': `${tap}t.test('one', async (t) => { t.ok(true); t.ok(true) })`,
  'bad.ts': `${tap}t.test('sum', async (t) => { t.equal(1, 2, 'one is two') })`,
  'empty.ts': `${tap}void t`,
  'late.ts': `${tap}t.test('turn', async (t) => {
    t.ok(true)
    setImmediate(() => { throw new Error('nobody waits') })
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  })`,
  'last.ts': `${tap}t.test('two', async (t) => { t.ok(true) })`,
  'ends.ts': `${tap}t.test('end', async (t) => { t.ok(true); process.exit(0) })`,
  'stray.ts': `${tap}t.test('strays', async (t) => {
    t.ok(true)
    setTimeout(() => void Promise.reject(new Error('nobody waits for it')))
    await new Promise((resolve) => setTimeout(resolve, 200))
  })
  t.test('after it', async (t) => { t.ok(true) })`,
  'thrown.ts': `${tap}void t\nthrow new Error('at once')`,
}

t.test('of files that share a process, each has its own verdict', async (t) => {
  const folder = t.testdir(files)
  const run = (...names: (keyof typeof files)[]): { status: number | null; lines: string[] } => {
    const args = ['--one-process', ...names.map((name) => join(folder, name))]
    const { status, stdout } = spawnSync(process.execPath, [runner, ...args], {
      env: { PATH: process.env['PATH'] },
      encoding: 'utf8',
    })
    const lines = stdout.split('\n').filter((line) => line !== '')
    return { status, lines: lines.map((line) => line.replace(/ \S*\/(?=[a-z]+\.ts)/, ' ').trim()) }
  }
  const verdicts = ({ lines }: { lines: string[] }): string[] =>
    lines.flatMap(
      (line) =>
        /^(\S+ +\S+ +.*(?:passed|failed)), [\d.]+ s(?:, [\d.]+ CPU s)?$/.exec(line)?.[1] ?? [],
    )

  const mixed = run('good.ts', 'bad.ts', 'empty.ts', 'last.ts')
  t.equal(mixed.status, 1)
  t.same(verdicts(mixed), [
    'ok    good.ts  2 passed',
    'FAILED  bad.ts  0 passed, 1 failed',
    'FAILED  empty.ts  0 passed, 1 failed',
    'ok    last.ts  1 passed',
  ])
  t.equal(mixed.lines.at(-1), '3 passed, 2 failed')
  t.ok(mixed.lines.includes('FAILED  bad.ts > sum > one is two'), 'a failure names its file')

  for (const how of ['ends.ts', 'thrown.ts'] as const) {
    const cut = run('good.ts', how, 'last.ts')
    t.equal(cut.status, 1, how)
    const passed = how === 'ends.ts' ? 1 : 0
    t.same(
      verdicts(cut),
      [
        'ok    good.ts  2 passed',
        `FAILED  ${how}  ${passed} passed, 1 failed`,
        'FAILED  last.ts  0 passed, 1 failed',
      ],
      'what came before counts, what did not start fails',
    )
  }

  const late = run('late.ts', 'last.ts')
  t.equal(late.status, 1)
  t.match(verdicts(late)[0], /^FAILED {2}late\.ts/, 'an error outside of every test')

  const stray = run('last.ts', 'stray.ts')
  t.equal(stray.status, 1)
  t.match(verdicts(stray), ['ok    last.ts  1 passed', /^FAILED {2}stray\.ts {2}2 passed/])
  t.ok(
    stray.lines.includes('FAILED  stray.ts > strays > nobody waits for it'),
    'an error that nobody catches is of the test that it came from',
  )

  const green = run('good.ts', 'last.ts')
  t.equal(green.status, 0)
  t.equal(green.lines.at(-1), '3 passed, 0 failed')
})
