#!/usr/bin/env node
// @ts-check
/**
 * Makes a fresh clone ready and runs one file of it on the pinned Node: `node core/ops/bootstrap.mjs [--nats] FILE args…`.
 * Every npm script and the `busbar` command go through here. It runs on Node 20 or newer with nothing installed, so it is
 * JavaScript and imports nothing but Node and its neighbours.
 *
 *   dependencies installed as the lock file says?   no → npm ci, under a lock, so that two may start at one time
 *   the pinned Node there, and does it run?         no → whatever Node ≥ 24 runs here, or obtain the pinned one
 *   --nats: a nats-server there?                    no → obtain one (nats-server.mjs)
 *   run FILE with arguments, signals and exit code passed on
 *
 * All of its own words go to stderr: stdout belongs to FILE, whose `--json` must stay JSON.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureNatsServer, NatsServerFault } from './nats-server.mjs'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const modules = join(root, 'node_modules')
const stampFile = join(modules, '.busbar-stamp')
const lockFile = join(root, '.busbar', 'setup.lock')
const isWindows = process.platform === 'win32'

/** The first Node that runs `.ts` files without a flag and without a warning. */
const nodeMajorMin = 24
const lockPollMs = 250

/** @param {string} line */
const progress = (line) => void process.stderr.write(`busbar: ${line}\n`)

class SetupFault extends Error {}

/** @param {string} file @returns {any} */
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))

/** What node_modules must have been made from: the lock file, for this platform. */
function wantedStamp() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  return `${lock} ${process.platform} ${process.arch}\n`
}

function isStamped() {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wantedStamp()
}

/**
 * True when npm's own record of node_modules agrees with the lock file: somebody ran `npm ci` or `npm install` by hand.
 * Optional packages may be missing: they are those of other platforms.
 */
function isInstalled() {
  const record = join(modules, '.package-lock.json')
  if (!existsSync(record)) return false
  const installed = readJson(record).packages ?? {}
  return Object.entries(readJson(join(root, 'package-lock.json')).packages ?? {}).every(
    ([place, wanted]) =>
      place === '' ||
      (installed[place] ? installed[place].version === wanted.version : wanted.optional === true),
  )
}

/**
 * Runs npm with its output on stderr. Under an npm script that npm is used, by the Node that it runs on: the one in
 * node_modules is about to be deleted.
 * @param {readonly string[]} args
 */
function runNpm(args) {
  const { npm_execpath: script, npm_node_execpath: node } = process.env
  const own =
    script &&
    node &&
    script.endsWith('npm-cli.js') &&
    existsSync(node) &&
    !realpathSync(node).startsWith(modules)
  const [program, first] = own ? [node, [script]] : ['npm', []]
  // stdout of npm becomes our stderr.
  return spawnSync(program, [...first, ...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: isWindows,
    env: { ...process.env, npm_config_json: 'false' },
  })
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM'
  }
}

/**
 * Runs `action` while holding the setup lock: a file with our process id, put in place whole by link(2). A lock whose
 * owner has died is moved aside first, and looked at again then: another may have been quicker.
 * @param {() => Promise<void>} action
 */
async function withLock(action) {
  mkdirSync(dirname(lockFile), { recursive: true })
  const mine = `${lockFile}.${randomUUID()}`
  writeFileSync(mine, `${process.pid}\n`)
  const release = () => rmSync(lockFile, { force: true })
  try {
    for (let waited = false; ;) {
      try {
        linkSync(mine, lockFile)
        break
      } catch (error) {
        if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
      }
      const owner = readOwner(lockFile)
      if (owner !== undefined && !isAlive(owner)) {
        const aside = `${lockFile}.${randomUUID()}`
        try {
          renameSync(lockFile, aside)
          const moved = readOwner(aside)
          if (moved !== undefined && isAlive(moved)) linkSync(aside, lockFile)
        } catch {
          // Somebody else moved or retook it in between: look again.
        }
        rmSync(aside, { force: true })
        continue
      }
      if (!waited) progress(`another process (${owner ?? 'unknown'}) is setting up; waiting for it`)
      waited = true
      await new Promise((settle) => setTimeout(settle, lockPollMs))
    }
    try {
      await action()
    } finally {
      release()
    }
  } finally {
    rmSync(mine, { force: true })
  }
}

/** @param {string} file @returns {number | undefined} */
function readOwner(file) {
  try {
    return Number.parseInt(readFileSync(file, 'utf8'), 10) || undefined
  } catch {
    return undefined
  }
}

async function ensureDependencies() {
  if (isStamped()) return
  await withLock(async () => {
    if (isStamped()) return
    if (!isInstalled()) {
      progress(
        existsSync(modules)
          ? 'dependencies have changed: npm ci'
          : 'installing dependencies: npm ci (about 150 MB)',
      )
      // No install script of any dependency runs: none is needed, and none can do harm. Native parts come prebuilt.
      const args = ['ci', '--include=dev', '--include=optional', '--ignore-scripts']
      if (runNpm(args).status !== 0) {
        progress('npm ci failed; trying once more')
        const { status, error } = runNpm(args)
        if (status !== 0) {
          throw new SetupFault(
            `npm ci failed (${error ? error.message : `exit code ${status}`}). Its messages are above; is the package registry reachable from here?`,
          )
        }
      }
    }
    writeFileSync(stampFile, wantedStamp())
  })
}

/** The Node version and the package that carries it for this platform. */
function pinnedNode() {
  const { optionalDependencies } = readJson(join(root, 'package.json'))
  const wanted = `${process.platform}-${process.arch}`
  const name = Object.keys(optionalDependencies).find(
    (entry) => entry === `node-${wanted}` || entry === `node-bin-${wanted}`,
  )
  return { name, version: name ? String(optionalDependencies[name]) : undefined }
}

/** @param {string} path */
function nodeRuns(path) {
  if (!existsSync(path)) return false
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8', timeout: 20_000 })
  return status === 0 && Number.parseInt(stdout.slice(1), 10) >= nodeMajorMin
}

/** @returns {Promise<string>} the Node to run FILE on */
async function ensureNode() {
  const { name, version } = pinnedNode()
  const pinned = name && join(modules, name, 'bin', 'node')
  // Where this very process is the pinned Node, there is nothing to prove.
  if (pinned && existsSync(pinned) && realpathSync(pinned) === realpathSync(process.execPath))
    return pinned
  if (pinned && nodeRuns(pinned)) return pinned
  if (Number.parseInt(process.versions.node, 10) >= nodeMajorMin) return process.execPath
  const apart = join(root, '.busbar', 'node')
  const obtained = name && join(apart, 'node_modules', name, 'bin', 'node')
  if (name && obtained && !nodeRuns(obtained)) {
    await withLock(async () => {
      if (nodeRuns(obtained)) return
      progress(`obtaining Node ${version} (${name})`)
      mkdirSync(apart, { recursive: true })
      writeFileSync(join(apart, 'package.json'), '{"private":true}\n')
      runNpm(['install', '--no-save', '--ignore-scripts', '--prefix', apart, `${name}@${version}`])
    })
  }
  if (obtained && nodeRuns(obtained)) return obtained
  throw new SetupFault(
    `Busbar runs on Node ${nodeMajorMin} or newer; this is ${process.versions.node}, and ${name ?? `a Node for ${process.platform} ${process.arch}`} ` +
      `could not be installed or does not run here. Install Node ${nodeMajorMin} and start again with it.`,
  )
}

/**
 * Runs `file` and ends as it ends.
 *
 * A Ctrl-C on a terminal goes to the whole foreground group, so the child has it already; without a terminal a signal
 * comes to us alone and is passed on.
 * @param {string} node @param {string} file @param {readonly string[]} args @param {NodeJS.ProcessEnv} env
 */
function runFile(node, file, args, env) {
  const child = spawn(node, [resolve(root, file), ...args], { stdio: 'inherit', env })
  const onTerminal = Boolean(process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY)
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => {
      if (signal === 'SIGINT' && onTerminal) return
      child.kill(signal)
    })
  }
  child.on('error', (error) => {
    progress(`${node} could not be started: ${error.message}`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    if (signal === null) {
      process.exitCode = code ?? 1
      return
    }
    // Die the same death, so that whoever started us sees it.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

/**
 * Sets up and runs `file` of this project.
 * @param {string} file  path from the project's root
 * @param {readonly string[]} args
 * @param {{ needsNats: boolean }} options
 */
export async function launch(file, args, { needsNats }) {
  try {
    if (Number.parseInt(process.versions.node, 10) < 20)
      throw new SetupFault(`Node 20 or newer is needed; this is ${process.versions.node}.`)
    await ensureDependencies()
    const node = await ensureNode()
    const server = needsNats ? await ensureNatsServer({ env: process.env, progress }) : undefined
    const path = [dirname(node), join(modules, '.bin'), process.env['PATH']]
      .filter(Boolean)
      .join(isWindows ? ';' : ':')
    runFile(node, file, args, {
      ...process.env,
      PATH: path,
      ...(server && { NATS_SERVER_BIN: server.path }),
    })
  } catch (error) {
    const isOurs = error instanceof SetupFault || error instanceof NatsServerFault
    progress(
      isOurs
        ? error.message
        : `setup failed: ${error instanceof Error ? error.stack : String(error)}`,
    )
    process.exitCode = 1
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [first, ...others] = process.argv.slice(2)
  const needsNats = first === '--nats'
  const [file, ...args] = needsNats || first === undefined ? others : [first, ...others]
  if (file === undefined) {
    progress('usage: node core/ops/bootstrap.mjs [--nats] FILE [argument…]')
    process.exitCode = 2
  } else {
    await launch(file, args, { needsNats })
  }
}
