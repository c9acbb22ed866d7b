// @ts-check
/**
 * `npm test [-- FILE…]`: runs the test files with tap, two at a time, on Node's own type stripping, shows one line a file
 * and the failures at the end, and ends with a line of its own: `N passed, N failed` (`, N skipped`), counting
 * assertions. Exits with 1 when anything failed, when tap itself did, or when nothing ran: a green that checks nothing
 * is a failure. Settings of tap stand in .taprc; bootstrap.mjs has set up everything before.
 */
import { spawn } from 'node:child_process'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Parser } from 'tap-parser'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** @typedef {{ ok: boolean, name: string, fullname?: string, diag?: any }} TestPoint */

/** The file whose results come just now. */
let current = ''
const counts = { passed: 0, failed: 0, skipped: 0 }
/** @type {Array<{ path: string, point: TestPoint }>} */
const failures = []

const print = (/** @type {string} */ text = '') => void process.stdout.write(`${text}\n`)

/** @param {TestPoint} point */
function describe({ diag }) {
  if (!diag) return []
  const lines = []
  const at = diag.at?.fileName
    ? `${diag.at.fileName}:${diag.at.lineNumber}:${diag.at.columnNumber}`
    : undefined
  if (at) lines.push(`at ${at}`)
  if (diag.signal || diag.timeout)
    lines.push(
      `ended by ${diag.signal ?? 'time-out'} ${diag.timeout ? `after ${diag.timeout} ms` : ''}`,
    )
  for (const key of ['error', 'code', 'diff', 'found', 'wanted', 'source', 'stack']) {
    if ((key === 'found' || key === 'wanted') && diag.diff) continue
    const value = diag[key]
    if (value === undefined || value === null || value === '') continue
    const text = typeof value === 'string' ? value.trimEnd() : JSON.stringify(value)
    lines.push(
      ...(text.includes('\n')
        ? [`${key}:`, ...text.split('\n').map((line) => `  ${line}`)]
        : [`${key}: ${text}`]),
    )
  }
  return lines
}

const parser = new Parser()
parser.on('pass', () => counts.passed++)
parser.on('skip', () => counts.skipped++)
parser.on('todo', () => counts.skipped++)
parser.on('fail', (point) => {
  counts.failed++
  const path = point.fullname || point.name
  failures.push({ path: path.startsWith(current) ? path : `${current} > ${path}`, point })
})
parser.on('child', (child) => {
  current = child.name
  const before = { ...counts }
  child.on('complete', (/** @type {{ ok: boolean }} */ results) => {
    const passed = counts.passed - before.passed
    const failed = counts.failed - before.failed
    print(
      `${results.ok ? '  ok  ' : 'FAILED'}  ${child.name}  ${passed} passed${failed > 0 ? `, ${failed} failed` : ''}`,
    )
  })
})
parser.on('bailout', (reason) => {
  counts.failed++
  failures.push({ path: `bailed out: ${reason}`, point: { ok: false, name: '' } })
})

const files = process.argv
  .slice(2)
  .map((file) => relative(root, resolve(process.env['INIT_CWD'] ?? process.cwd(), file)))
const tap = spawn(
  process.execPath,
  [join(root, 'node_modules/tap/dist/esm/run.mjs'), '--reporter=tap', ...files],
  {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      NODE_OPTIONS:
        `${process.env['NODE_OPTIONS'] ?? ''} --disable-warning=ExperimentalWarning`.trim(),
    },
  },
)
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
  process.on(signal, () => tap.kill(signal))

tap.stdout.pipe(parser)
const tapCode = new Promise((settle) => tap.on('close', settle))
await new Promise((settle) => parser.on('complete', settle))
const code = await tapCode

for (const { path, point } of failures) {
  print(`\nFAILED  ${path}`)
  for (const line of describe(point)) print(`        ${line}`)
}
print()
const ran = counts.passed + counts.failed
if (ran === 0) print('no test ran: that is a failure too')
if (ran > 0 && counts.failed === 0 && code !== 0)
  print(`tap ended with ${code} although no assertion failed: see above`)
const isRed = counts.failed > 0 || ran === 0 || code !== 0
// Whatever made it red is in the line that people and machines read.
const failed = isRed ? Math.max(counts.failed, 1) : 0
print(
  `${counts.passed} passed, ${failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`,
)
process.exitCode = isRed ? 1 : 0
