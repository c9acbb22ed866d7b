/**
 * Renews proto/gen: TypeScript by ts-proto and the file-descriptor set for reflection, both by buf,
 * without network.
 *   node proto/generate.mjs [directory]     writes <directory>/gen; the default is this folder
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const out = resolve(process.argv[2] ?? here)
const buf = join(
  dirname(createRequire(import.meta.url).resolve('@bufbuild/buf/package.json')),
  'bin/buf',
)
// The plugin is started as `node …`: let that be the Node that runs this file.
const env = {
  ...process.env,
  PATH: dirname(process.execPath) + delimiter + (process.env.PATH ?? ''),
}

const run = (...args) => {
  const { status, error } = spawnSync(process.execPath, [buf, ...args], {
    cwd: here,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

mkdirSync(join(out, 'gen'), { recursive: true })
run('lint')
run('generate', '--output', out)
run(
  'build',
  '--exclude-source-info',
  '--as-file-descriptor-set',
  '--output',
  join(out, 'gen/descriptors.binpb'),
)
