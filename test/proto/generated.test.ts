/** The generated code that is checked in is what the proto files say now; they are lint clean. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Reading } from '../../proto/gen/busbar/v1/service_response.ts'

const folder = fileURLToPath(new URL('../../proto/', import.meta.url))
const require = createRequire(import.meta.url)

function filesIn(root: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>()
  for (const name of readdirSync(root, { recursive: true }) as string[]) {
    const path = join(root, name)
    if (statSync(path).isFile()) files.set(relative(root, path), readFileSync(path))
  }
  return files
}

function isBufThere(): boolean {
  try {
    const buf = require.resolve('@bufbuild/buf/bin/buf')
    return spawnSync(process.execPath, [buf, '--version']).status === 0
  } catch {
    return false
  }
}

t.test(
  'proto/gen is what proto/generate.mjs makes of the proto files',
  { skip: isBufThere() ? false : 'buf has no binary for this platform' },
  (t) => {
    const out = mkdtempSync(join(tmpdir(), 'busbar-gen-'))
    t.teardown(() => rmSync(out, { recursive: true }))
    const run = spawnSync(process.execPath, [join(folder, 'generate.mjs'), out], {
      encoding: 'utf8',
    })
    t.equal(run.status, 0, `lint and generation succeed ${run.stderr}`)
    const fresh = filesIn(join(out, 'gen'))
    const checkedIn = filesIn(join(folder, 'gen'))
    t.same([...checkedIn.keys()].sort(), [...fresh.keys()].sort(), 'the same files')
    for (const [name, bytes] of fresh)
      t.ok(
        checkedIn.get(name)?.equals(bytes),
        `${name} is current: else run node proto/generate.mjs`,
      )
    t.end()
  },
)

t.test('integers are exact through the generated code', (t) => {
  const reading = Reading.create({
    obis: '1-0:1.8.0.255',
    value: { kind: { $case: 'integer', value: -(2n ** 62n) } },
    scaler: -3,
  })
  const decoded = Reading.decode(Reading.encode(reading).finish())
  t.same(decoded.value?.kind, { $case: 'integer', value: -(2n ** 62n) })
  t.equal(
    (Reading.toJSON(decoded) as { value: { integer: string } }).value.integer,
    String(-(2n ** 62n)),
  )
  t.end()
})
