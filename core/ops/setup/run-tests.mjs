// @ts-check
/**
 * `npm test [-- FILE…]`: runs the test files of tap on Node's own type stripping, shows one line a
 * file and the failures at the end, and ends with a line of its own: `N passed, N failed`
 * (`, N skipped`), counting assertions. Exits with 1 when anything failed, when a file ended
 * otherwise than in order, or when nothing ran: a green that checks nothing is a failure.
 * bootstrap.mjs has set up everything before.
 *
 * A file that is named runs in a process of its own. Of all files (and with `--together`, of those
 * that are named), the ones that start no process and leave this one as it was run in groups, a
 * process for each group (run-together.mjs): starting Node, tap and what a file imports takes
 * longer than most of the tests themselves. `--one-process` makes one group of the named files.
 *
 * For all files (and with `--bundled`), what tests start runs from a bundle: bundle-starts.mjs. On
 * Linux each line ends with the CPU seconds of the file's process and of those that it waited for.
 *
 * tap's own runner is not used: it loads hooks into each test and into each process that a test
 * starts, which cost more than most of the tests themselves.
 */
import { spawn } from 'node:child_process'
import { globSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { Parser } from 'tap-parser'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')

/** Processes at a time: tests with real servers and real faults wait for most of their time. */
const filesAtOnce = 3 * Math.max(2, availableParallelism())
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
  /^test\/(package|readme|bench)\.test/,
  /^test\/faults\//,
  /^test\/simulation\//,
  /^test\/[^/]*$/,
  /^test\/actors\//,
]

const together = join(root, 'core/ops/setup/run-together.mjs')
/** Small enough that the last groups end at about one time. */
const filesInGroupMax = 10
const sharingFolders = /^test\/(core|actors|proto)\//
/**
 * Files that start servers or processes, change what all files of a process have in common, or wait
 * before their first test: tap ends a process that has none open.
 */
const keepsApart =
  /support\/(nats|deployment)|^const .* = await |from 'node:child_process'|startBroker|startSandbox|process\.(env|umask|on\()/m

/** @param {string} file */
const mayShare = (file) =>
  sharingFolders.test(file) && !keepsApart.test(readFileSync(join(root, file), 'utf8'))

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

/** @param {string} file in this folder */
const preloading = (file) => `--require ${JSON.stringify(join(root, 'core/ops/setup', file))}`
const compiledFolder = join(root, '.busbar', 'compiled')
/** @type {NodeJS.ProcessEnv} */
const env = {
  ...process.env,
  NODE_OPTIONS: [
    process.env['NODE_OPTIONS'],
    '--disable-warning=ExperimentalWarning',
    preloading('test-domains.cjs'),
  ].join(' '),
  // Types are stripped and code is compiled once, for all tests and all processes that they start.
  NODE_COMPILE_CACHE: compiledFolder,
  TAP_TIMEOUT: String(fileSecondsMax),
}

let cpuSecondsSeen = 0
/**
 * CPU seconds, since the last call, of children that have ended, with theirs; undefined where the
 * system does not tell. Clock ticks of /proc are hundredths of a second.
 */
function newCpuSeconds() {
  if (process.platform !== 'linux') return undefined
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? []
  const all = (Number(fields[13]) + Number(fields[14])) / 100
  const seconds = all - cpuSecondsSeen
  cpuSecondsSeen = all
  return seconds
}

/** What one file came to. */
class Outcome {
  passed = 0
  failed = 0
  skipped = 0
  startedMs = performance.now()

  /** @param {string} file */
  constructor(file) {
    this.file = file
  }

  /** @param {any} point */
  skip(point) {
    this.skipped++
    const reason = [point.skip, point.todo].find((each) => typeof each === 'string')
    skips.push(`${this.file} > ${point.fullname || point.name}${reason ? `: ${reason}` : ''}`)
  }

  /** @param {string} path @param {TestPoint} point */
  fail(path, point) {
    this.failed++
    failures.push({ path: path === '' ? this.file : `${this.file} > ${path}`, point })
  }

  /** @param {string} error */
  failWhole(error) {
    this.fail('', { ok: false, name: '', diag: { error } })
  }

  /** Nothing failed in it, and something was looked at. */
  get isGood() {
    return this.failed === 0 && this.passed + this.skipped > 0
  }

  /** @param {number} [cpuSeconds] of its process, of which it was the last file */
  report(cpuSeconds) {
    counts.passed += this.passed
    counts.failed += this.failed
    counts.skipped += this.skipped
    const seconds = ((performance.now() - this.startedMs) / 1000).toFixed(1)
    const failed = this.failed > 0 ? `, ${this.failed} failed` : ''
    const verdict = this.failed === 0 ? '  ok  ' : 'FAILED'
    const cpu = cpuSeconds === undefined ? '' : `, ${cpuSeconds.toFixed(1)} CPU s`
    print(`${verdict}  ${this.file}  ${this.passed} passed${failed}, ${seconds} s${cpu}`)
  }
}

/**
 * Starts the process of `files`; settles with its exit code, its signal, or why it did not start.
 *
 * @param {readonly string[]} files @param {Parser} parser
 */
async function runProcess(files, parser) {
  const [first = '', ...others] = files
  const args = others.length === 0 ? [join(root, first)] : [together, ...files]
  const child = spawn(process.execPath, args, {
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
  /** @type {number | undefined} */
  let cpuSeconds
  child.on('exit', () => (cpuSeconds = newCpuSeconds()))
  const complete = new Promise((settle) => parser.on('complete', settle))
  child.stdout.pipe(parser)
  /** @type {string | number} */
  const ended = await new Promise((settle) => {
    child.on('error', (error) => settle(error.message))
    child.on('close', (code, signal) => settle(signal ?? code ?? 'no exit code'))
  })
  clearTimeout(kill)
  running.delete(child)
  parser.end()
  const { ok: isOk } = /** @type {{ ok: boolean }} */ (await complete)
  return { isOk, ended, stderr, cpuSeconds }
}

/** @param {readonly string[]} files one, or several that share a process */
async function run(files) {
  const parser = new Parser()
  const waiting = [...files]
  let own = new Outcome(waiting.shift() ?? '')
  let wasGood = true
  const report = (/** @type {number | undefined} */ cpu) => {
    if (!own.isGood && own.failed === 0) own.failWhole('the file ended without an assertion')
    wasGood &&= own.failed === 0
    own.report(cpu)
  }
  parser.on('comment', (/** @type {string} */ text) => {
    if (waiting.length === 0 || text.trim() !== `# file ${waiting[0]}`) return
    report(undefined)
    own = new Outcome(waiting.shift() ?? '')
  })
  parser.on('pass', () => own.passed++)
  parser.on('skip', (point) => own.skip(point))
  parser.on('todo', (point) => own.skip(point))
  parser.on('fail', (point) => own.fail(point.fullname || point.name, point))
  parser.on('bailout', (reason) => own.fail(`bailed out: ${reason}`, { ok: false, name: '' }))
  const { isOk, ended, stderr, cpuSeconds } = await runProcess(files, parser)
  const how = typeof ended === 'number' ? `code ${ended}` : ended
  if (wasGood && own.failed === 0 && (!isOk || ended !== 0 || !own.isGood))
    own.failWhole(`the file ended with ${how} after ${own.passed} assertions`)
  report(cpuSeconds)
  for (const file of waiting) {
    own = new Outcome(file)
    own.failWhole(`its process ended with ${how} before`)
    report(undefined)
  }
  if (!wasGood && stderr !== '') {
    const last = failures.at(-1)
    if (last) last.stderr = stderr
  }
}

/** @param {string} file */
const rank = (file) => {
  const at = longest.findIndex((folder) => folder.test(file))
  return at < 0 ? longest.length : at
}

const words = process.argv.slice(2)
const named = words
  .filter((word) => !word.startsWith('--'))
  .map((file) => relative(root, resolve(process.env['INIT_CWD'] ?? process.cwd(), file)))
const files =
  named.length > 0
    ? named
    : globSync('test/**/*.test.ts', { cwd: root })
        .map((file) => file.replaceAll('\\', '/'))
        .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
// Else what earlier versions of the code have left there would stay for ever.
if (named.length === 0) rmSync(compiledFolder, { recursive: true, force: true })

function groupsOf() {
  if (words.includes('--one-process')) return [files]
  const isGrouped = named.length === 0 || words.includes('--together')
  const sharing = isGrouped ? files.filter(mayShare) : []
  const groups = files.filter((file) => !sharing.includes(file)).map((file) => [file])
  for (let at = 0; at < sharing.length; at += filesInGroupMax)
    groups.push(sharing.slice(at, at + filesInGroupMax))
  return groups
}

if (named.length === 0 || words.includes('--bundled')) {
  const { bundleStarts } = await import('./bundle-starts.mjs')
  await bundleStarts(join(compiledFolder, 'starts'))
  env['NODE_OPTIONS'] += ` ${preloading('bundled-start.cjs')}`
}

const waiting = groupsOf()[Symbol.iterator]()
await Promise.all(
  Array.from({ length: filesAtOnce }, async () => {
    for (const group of waiting) {
      if (isStopped) return
      await run(group)
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
