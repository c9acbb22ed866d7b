// @ts-check
/**
 * `npm test [-- FILE…]`: runs the test files of tap, each in a process of its own on Node's own
 * type stripping, shows one line a file and the failures at the end, and ends with a line of its
 * own: `N passed, N failed` (`, N skipped`), counting assertions. Exits with 1 when anything
 * failed, when a file ended otherwise than in order, or when nothing ran: a green that checks
 * nothing is a failure. bootstrap.mjs has set up everything before.
 *
 * tap's own runner is not used: it loads hooks into each test and into each process that a test
 * starts, which cost more than most of the tests themselves.
 */
import { spawn } from 'node:child_process'
import { globSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { Parser } from 'tap-parser'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')

/** Files at a time: tests with real servers and real faults wait for half of their time. */
const filesAtOnce = 2 * Math.max(2, availableParallelism())
/** A file that takes longer hangs: beside eight busy processes the longest needs half of it. */
const fileSecondsMax = 1_800
/** From then on the file is ended with SIGKILL, having not ended by its own time limit. */
const killAfterMs = (fileSecondsMax + 30) * 1000
const stderrCharactersKept = 64 * 1024
/**
 * The folders of the longest files, which start first, so that none of them runs alone at the end.
 */
const longest = [
  /^test\/soak\//,
  /^test\/faults\//,
  /^test\/simulation\//,
  /^test\/[^/]*$/,
  /^test\/actors\//,
]

/** @typedef {{ ok: boolean, name: string, fullname?: string, diag?: any }} TestPoint */

const counts = { passed: 0, failed: 0, skipped: 0 }
/** @type {Array<{ path: string, point: TestPoint, stderr?: string }>} */
const failures = []
/** @type {string[]} */
const skips = []

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
    const text = typeof value === 'string' ? value.trimEnd() : inspect(value)
    lines.push(
      ...(text.includes('\n')
        ? [`${key}:`, ...text.split('\n').map((line) => `  ${line}`)]
        : [`${key}: ${text}`]),
    )
  }
  return lines
}

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()
let isStopped = false
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM']))
  process.on(signal, () => {
    isStopped = true
    for (const child of running) child.kill(signal)
  })

const compiledFolder = join(root, '.busbar', 'compiled')
const env = {
  ...process.env,
  NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --disable-warning=ExperimentalWarning`.trim(),
  // Types are stripped and code is compiled once, for all tests and all processes that they start.
  NODE_COMPILE_CACHE: compiledFolder,
  TAP_TIMEOUT: String(fileSecondsMax),
}

/** @param {string} file */
async function run(file) {
  const parser = new Parser()
  const own = { passed: 0, failed: 0, skipped: 0 }
  const skip = (/** @type {any} */ point) => {
    own.skipped++
    const reason = [point.skip, point.todo].find((each) => typeof each === 'string')
    skips.push(`${file} > ${point.fullname || point.name}${reason ? `: ${reason}` : ''}`)
  }
  const fail = (/** @type {string} */ path, /** @type {TestPoint} */ point) => {
    own.failed++
    failures.push({ path: path === '' ? file : `${file} > ${path}`, point })
  }
  parser.on('pass', () => own.passed++)
  parser.on('skip', skip)
  parser.on('todo', skip)
  parser.on('fail', (point) => fail(point.fullname || point.name, point))
  parser.on('bailout', (reason) => fail(`bailed out: ${reason}`, { ok: false, name: '' }))
  const started = performance.now()
  const child = spawn(process.execPath, [join(root, file)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env,
  })
  running.add(child)
  const kill = setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  let stderr = ''
  child.stderr.setEncoding('utf8')
  child.stderr.on('data', (/** @type {string} */ text) => {
    stderr = (stderr + text).slice(-stderrCharactersKept)
  })
  const complete = new Promise((settle) => parser.on('complete', settle))
  child.stdout.pipe(parser)
  const ended = await new Promise((settle) => {
    child.on('error', (error) => settle(error.message))
    child.on('close', (code, signal) => settle(signal ?? code))
  })
  clearTimeout(kill)
  running.delete(child)
  parser.end()
  const results = /** @type {{ ok: boolean, count: number, failures: TestPoint[] }} */ (
    await complete
  )
  if (own.failed === 0 && (!results.ok || ended !== 0 || own.passed + own.skipped === 0)) {
    const how = typeof ended === 'number' ? `code ${ended}` : ended
    const error = `the file ended with ${how} after ${own.passed} assertions`
    fail('', { ok: false, name: '', diag: { error } })
  }
  counts.passed += own.passed
  counts.failed += own.failed
  counts.skipped += own.skipped
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  if (own.failed > 0 && stderr !== '') {
    const last = failures.at(-1)
    if (last) last.stderr = stderr
  }
  print(
    `${own.failed === 0 ? '  ok  ' : 'FAILED'}  ${file}  ${own.passed} passed${own.failed > 0 ? `, ${own.failed} failed` : ''}, ${seconds} s`,
  )
}

/** @param {string} file */
const rank = (file) => {
  const at = longest.findIndex((folder) => folder.test(file))
  return at < 0 ? longest.length : at
}

const named = process.argv
  .slice(2)
  .map((file) => relative(root, resolve(process.env['INIT_CWD'] ?? process.cwd(), file)))
const files =
  named.length > 0
    ? named
    : globSync('test/**/*.test.ts', { cwd: root })
        .map((file) => file.replaceAll('\\', '/'))
        .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
// Else what earlier versions of the code have left there would stay for ever.
if (named.length === 0) rmSync(compiledFolder, { recursive: true, force: true })

const waiting = files[Symbol.iterator]()
await Promise.all(
  Array.from({ length: filesAtOnce }, async () => {
    for (const file of waiting) {
      if (isStopped) return
      await run(file)
    }
  }),
)

for (const { path, point, stderr } of failures) {
  print(`\nFAILED  ${path}`)
  for (const line of describe(point)) print(`        ${line}`)
  if (stderr !== undefined) print(`        stderr:\n${stderr}`)
}
for (const skipped of skips) print(`skipped  ${skipped}`)
print()
const ran = counts.passed + counts.failed
if (ran === 0) print('no test ran: that is a failure too')
if (isStopped) print('the run was stopped before its end')
const isRed = counts.failed > 0 || ran === 0 || isStopped
// Whatever made it red is in the line that people and machines read.
const failed = isRed ? Math.max(counts.failed, 1) : 0
print(
  `${counts.passed} passed, ${failed} failed${counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''}`,
)
process.exitCode = isRed ? 1 : 0
