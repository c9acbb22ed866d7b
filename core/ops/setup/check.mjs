// @ts-check
/**
 * `npm run check`: what everybody runs before handing in, and what CI runs first: formatting, lint
 * with types, the type checker, and the tests that need no server. No network. All steps run,
 * whatever fails, and the end says which did.
 *
 *   --static   without the tests
 *   --fmt      formats all files instead (`npm run fmt`)
 */
import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
const bin = (/** @type {string} */ path) => join(root, 'node_modules', path)

/** Tests that start servers or processes are left to `npm test`. */
const startsServers =
  /support\/(nats|broker|process)|nats-child|nats-server\.mjs|from 'node:child_process'|startBroker/

const quickTests = () =>
  globSync('test/**/*.test.ts', { cwd: root })
    .filter((file) => !startsServers.test(readFileSync(join(root, file), 'utf8')))
    .toSorted()

/** @param {string} name @param {readonly string[]} args of Node */
function step(name, args) {
  process.stderr.write(`── ${name}\n`)
  const startedMs = performance.now()
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  return {
    name,
    isGreen: status === 0,
    seconds: ((performance.now() - startedMs) / 1000).toFixed(1),
  }
}

const oxfmt = bin('oxfmt/bin/oxfmt')
if (process.argv.includes('--fmt')) {
  process.exitCode = step('format', [oxfmt, '.']).isGreen ? 0 : 1
} else {
  const results = [
    step('format (npm run fmt mends it)', [oxfmt, '--check', '.']),
    step('lint', [bin('oxlint/bin/oxlint'), '--type-aware', '--deny-warnings']),
    step('types', [bin('typescript/bin/tsc'), '-p', '.']),
  ]
  if (!process.argv.includes('--static')) {
    results.push(
      step('tests without servers', [
        join(root, 'core/ops/setup/run-tests.mjs'),
        '--together',
        ...quickTests(),
      ]),
    )
  }
  process.stderr.write('\n')
  for (const { name, isGreen, seconds } of results) {
    process.stderr.write(`${isGreen ? '  ok  ' : 'FAILED'}  ${name}  ${seconds} s\n`)
  }
  process.exitCode = results.every(({ isGreen }) => isGreen) ? 0 : 1
}
