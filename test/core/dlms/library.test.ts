/**
 * `busbar/dlms` as its users have it: built, by its own name, without the rest; the examples of its
 * README, run as they stand there.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../../..')
// As a user runs it: without what the test runner puts into the environment of every process that
// it sees started.
const run = (...args: string[]) =>
  spawnSync('sh', ['-c', 'NODE_OPTIONS= exec "$0" "$@"', process.execPath, ...args], {
    cwd: root,
    encoding: 'utf8',
  })

t.test('built, and its examples run', async (t) => {
  // A package of its own: within ours its name would mean the folder that this test stands in.
  const folder = t.testdir({ 'package.json': '{"type":"module"}' })
  const own = join(folder, 'node_modules', 'busbar')
  mkdirSync(own, { recursive: true })
  cpSync(join(root, 'package.json'), join(own, 'package.json'))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const built = run(tsc, '-p', 'core/dlms', '--outDir', join(own, 'dist/core'))
  t.equal(built.status, 0, built.stdout + built.stderr)
  const text = readFileSync(join(root, 'core/dlms/README.md'), 'utf8')
  const examples = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!)
  t.equal(examples.length, 3)
  for (const [index, code] of examples.entries())
    writeFileSync(join(folder, `example-${index}.ts`), code)
  writeFileSync(
    join(folder, 'main.ts'),
    `import { once } from 'node:events'
import { readEnergy } from './example-0.ts'
import { securedClient } from './example-1.ts'
import { meter } from './example-2.ts'
import { nameOfObis } from 'busbar/dlms/cosem'
const server = meter(4711).listen(0, '127.0.0.1')
await once(server, 'listening')
const value = await readEnergy((server.address() as { port: number }).port)
const first = securedClient(Buffer.alloc(16, 1), Buffer.alloc(16, 2), 7).begin([
  { kind: 'get', descriptor: Buffer.alloc(9) },
])
console.log(JSON.stringify({ value, tag: first[0], name: nameOfObis('1-0:1.8.0.255') }))
server.close()
`,
  )
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        ...{ module: 'nodenext', target: 'es2022', strict: true, noEmit: true, types: ['node'] },
        ...{ allowImportingTsExtensions: true, typeRoots: [join(root, 'node_modules/@types')] },
      },
    }),
  )
  const checked = run(tsc, '-p', folder)
  t.equal(checked.status, 0, checked.stdout + checked.stderr)
  const said = run(join(folder, 'main.ts'))
  t.match(JSON.parse(said.stdout || '{}'), { value: { value: 4711 }, tag: 0x60 }, said.stderr)
})
