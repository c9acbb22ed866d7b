#!/usr/bin/env node
// @ts-check
/**
 * Makes a fresh clone ready and runs one file of it on Node 24 or newer: `node
 * core/ops/setup/bootstrap.mjs [--dev] [--nats] FILE args…`. Every npm script of a clone, and the
 * `busbar` command in a clone, go through here. It runs on Node 20 or newer with nothing installed,
 * so it is JavaScript and imports nothing but Node and its neighbours. An installed package does
 * not have it: there, core/ops/setup/busbar.mjs runs compiled JavaScript.
 *
 *   dependencies installed as the lock file says?   no → npm, under a lock: two may start at one time
 *     without --dev: those of the broker alone; with it: development tools too
 *   is this Node 24 or newer?                       no → obtain the pinned one into .busbar/node,
 *                                                        or into the cache of a user who may not write there
 *   --nats: a nats-server there?                    no → obtain one (nats-server.mjs)
 *   run FILE with arguments, signals and exit code passed on
 *
 * What is installed already, by whomever and wherever, runs without being written to. An npm that
 * was killed leaves .busbar/setup.unfinished behind: the next start then installs from nothing. All
 * of its own words go to stderr: stdout belongs to FILE, whose `--json` must stay JSON.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import {
  accessSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { constants as system } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { environmentOfServer } from './child-environment.mjs'
import { cacheFolder, ensureNatsServer, NatsServerFault } from './nats-server.mjs'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
const modules = join(root, 'node_modules')
const stampFile = join(modules, '.busbar-stamp')
/**
 * What setup keeps beside the packages; a folder of the user's cache stands in where this user may
 * not write.
 */
const stateFolder = join(root, '.busbar')
/**
 * Stands there while npm changes node_modules, so that half of a package is never taken for one.
 */
const unfinishedFile = join(root, '.busbar', 'setup.unfinished')
/** Names the pinned Node for each platform, with its checksums. */
const pinnedFolder = join(root, 'core/ops/pinned-node')
const obtainedFolders = [join(stateFolder, 'node'), join(cacheFolder(process.env), 'pinned-node')]
const isWindows = process.platform === 'win32'

/** The first Node that runs `.ts` files without a flag and without a warning. */
const nodeMajorMin = 24
const lockPollMs = 250

/** @param {string} line */
const progress = (line) => void process.stderr.write(`busbar: ${line}\n`)

class SetupFault extends Error {}

/** @param {string} file @returns {any} */
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))

/** @typedef {'all' | 'runtime'} Extent what is installed: with development tools, or without */

/**
 * What node_modules must have been made from: the lock file, for this platform, to this extent.
 * @param {Extent} extent
 */
function stampOf(extent) {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  return `${lock} ${process.platform} ${process.arch} ${extent}\n`
}

/** @param {boolean} needsDev */
function isStamped(needsDev) {
  if (existsSync(unfinishedFile) || !existsSync(stampFile)) return false
  const stamp = readFileSync(stampFile, 'utf8')
  return stamp === stampOf('all') || (!needsDev && stamp === stampOf('runtime'))
}

/**
 * True when npm's own record of node_modules agrees with the lock file to this extent: somebody ran
 * `npm ci` or `npm install` by hand. Optional packages may be missing: those of other platforms
 * are. The record alone proves nothing: `npm install --package-lock-only` writes it, too.
 * @param {Extent} extent
 */
function isInstalled(extent) {
  const record = join(modules, '.package-lock.json')
  if (!existsSync(record)) return false
  const installed = readJson(record).packages ?? {}
  return Object.entries(readJson(join(root, 'package-lock.json')).packages ?? {}).every(
    ([place, wanted]) =>
      place === '' ||
      (extent === 'runtime' && wanted.dev === true) ||
      (installed[place]
        ? installed[place].version === wanted.version &&
          existsSync(join(root, place, 'package.json'))
        : wanted.optional === true || wanted.devOptional === true),
  )
}

/**
 * Runs npm with its output on stderr. Under an npm script that npm is used, by the Node that it
 * runs on, unless npm is about to replace that Node. No install script of any dependency runs: none
 * is needed, native parts come prebuilt.
 * @param {readonly string[]} args @param {string} [folder]
 */
function runNpm(args, folder = root) {
  const { npm_execpath: script, npm_node_execpath: node } = process.env
  const own =
    script &&
    node &&
    script.endsWith('npm-cli.js') &&
    existsSync(node) &&
    ![modules, ...obtainedFolders].some((place) => realpathSync(node).startsWith(place))
  const [program, first] = own ? [node, [script]] : ['npm', []]
  // The range in package.json is of the installed package; a clone brings its own Node.
  const always =
    '--ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error --engine-strict=false'
  // stdout of npm becomes our stderr.
  return spawnSync(program, [...first, ...args, ...always.split(' ')], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
    shell: isWindows,
    env: { ...environmentOfNpm(), npm_config_json: 'false' },
  })
}

/**
 * An .npmrc may name any variable, such as a token of a registry; settings of Busbar are none of
 * those.
 */
function environmentOfNpm() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('BUSBAR_')),
  )
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
 * Runs `action` while holding the setup lock: a file with our process id, put in place whole by
 * link(2). A lock whose owner has died is moved aside first, and looked at again then: another may
 * have been quicker.
 * @param {string} folder  holds the lock; this user may write there
 * @param {() => Promise<void>} action
 */
async function withLock(folder, action) {
  const lockFile = join(folder, 'setup.lock')
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

/** @param {boolean} needsDev */
async function ensureDependencies(needsDev) {
  if (isStamped(needsDev)) return
  // Somebody installed it by hand, perhaps as another user, or into an image that is read-only.
  if (!existsSync(unfinishedFile)) {
    const extent = installedExtent()
    if (extent !== undefined && !(needsDev && extent === 'runtime')) return stamp(extent)
  }
  refuseUnwritable(needsDev)
  await withLock(stateFolder, async () => {
    if (isStamped(needsDev)) return
    const wasCutShort = existsSync(unfinishedFile)
    const extent = wasCutShort ? undefined : installedExtent()
    if (extent === undefined || (needsDev && extent === 'runtime')) {
      writeFileSync(unfinishedFile, '')
      install(needsDev, extent === 'runtime')
      writeFileSync(stampFile, stampOf(needsDev ? 'all' : 'runtime'))
      rmSync(unfinishedFile)
    } else {
      stamp(extent)
    }
  })
}

/**
 * Saves the next start a look at every package. It is not needed, so that it may fail.
 * @param {Extent} extent
 */
function stamp(extent) {
  try {
    writeFileSync(stampFile, stampOf(extent))
  } catch {
    // Of another user, or read-only.
  }
}

/** @param {string} folder */
function isWritable(folder) {
  try {
    mkdirSync(folder, { recursive: true })
    accessSync(folder, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** @param {boolean} needsDev */
function refuseUnwritable(needsDev) {
  const place = [stateFolder, modules].find((folder) => !isWritable(folder))
  if (place === undefined) return
  const command = needsDev ? 'npm ci' : 'npm ci --omit=dev'
  throw new SetupFault(
    `what package-lock.json names is not installed whole, and this user may not write ${place} (or the file system is read-only). ` +
      `Run "${command}" in ${root} as the owner of that folder, or when the image is built; then any user can run it.`,
  )
}

/** @returns {Extent | undefined} */
function installedExtent() {
  return isInstalled('all') ? 'all' : isInstalled('runtime') ? 'runtime' : undefined
}

/**
 * Installs what the lock file says. What is there is kept when development tools alone are missing:
 * a broker that runs from this clone goes on.
 * @param {boolean} needsDev @param {boolean} isWidening
 */
function install(needsDev, isWidening) {
  const set = [needsDev ? '--include=dev' : '--omit=dev', '--include=optional']
  const attempts = [isWidening ? ['install', '--no-save', ...set] : ['ci', ...set], ['ci', ...set]]
  progress(
    `installing ${isWidening ? 'development tools' : needsDev ? 'dependencies and development tools' : 'dependencies'}: npm ${attempts[0]?.[0]}`,
  )
  let failure = ''
  for (const args of attempts) {
    if (failure) progress(`npm failed (${failure}); trying once more`)
    const { status, error } = runNpm(args)
    if (status === 0) return
    failure = error ? error.message : `exit code ${status}`
  }
  throw new SetupFault(
    `npm ci failed (${failure}). Its messages are above; is the package registry reachable from here?`,
  )
}

/**
 * The package that carries the pinned Node for this platform, and where its Node is when it is
 * there.
 */
function pinnedNode() {
  const { optionalDependencies } = readJson(join(pinnedFolder, 'package.json'))
  const wanted = `${process.platform}-${process.arch}`
  const name = Object.keys(optionalDependencies).find(
    (entry) => entry === `node-${wanted}` || entry === `node-bin-${wanted}`,
  )
  if (name === undefined) return undefined
  const pathIn = (/** @type {string} */ folder) => join(folder, 'node_modules', name, 'bin', 'node')
  return { name: `${name}@${optionalDependencies[name]}`, pathIn }
}

/** @param {string} path */
function nodeRuns(path) {
  if (!existsSync(path)) return false
  const { status, stdout } = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    timeout: 20_000,
    env: environmentOfServer(process.env),
  })
  return status === 0 && Number.parseInt(stdout.slice(1), 10) >= nodeMajorMin
}

/** @returns {Promise<string>} the Node to run FILE on */
async function ensureNode() {
  // npm may just have removed this Node: clones of earlier versions have one in node_modules.
  const isNew = Number.parseInt(process.versions.node, 10) >= nodeMajorMin
  if (isNew && existsSync(process.execPath)) return process.execPath
  const pinned = pinnedNode()
  const found = () => pinned && obtainedFolders.map(pinned.pathIn).find(nodeRuns)
  const there = found()
  if (there) return there
  const folder = obtainedFolders.find(isWritable)
  if (pinned && folder !== undefined) {
    await withLock(folder, async () => {
      if (found()) return
      progress(`obtaining Node: ${pinned.name}`)
      for (const file of ['package.json', 'package-lock.json'])
        copyFileSync(join(pinnedFolder, file), join(folder, file))
      const args = ['ci', '--include=optional', '--prefix', folder]
      if (runNpm(args, folder).status !== 0) runNpm(args, folder)
    })
    const obtained = found()
    if (obtained) return obtained
  }
  throw new SetupFault(
    `Busbar runs on Node ${nodeMajorMin} or newer; this is ${process.versions.node}, and ${pinned?.name ?? `a Node for ${process.platform} ${process.arch}`} ` +
      `could not be installed or does not run here${folder === undefined ? ` (neither ${obtainedFolders.join(' nor ')} can be written; XDG_CACHE_HOME or HOME choose the second)` : ''}. ` +
      `Install Node ${nodeMajorMin} and start again with it.`,
  )
}

/**
 * Runs `file` and ends as it ends.
 *
 * A Ctrl-C on a terminal goes to the whole foreground group, so the child has it already; without a
 * terminal a signal comes to us alone and is passed on.
 * @param {string} node @param {string} file @param {readonly string[]} args @param
 * {NodeJS.ProcessEnv} env
 */
function runFile(node, file, args, env) {
  const child = spawn(node, [resolve(root, file), ...args], { stdio: 'inherit', env })
  const onTerminal = Boolean(process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY)
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'])) {
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
    // Die the same death, so that the parent sees it. The first process of a PID namespace, as in a
    // container, cannot: signals without a handler do not reach it. It ends as a shell reports it.
    process.exitCode = 128 + system.signals[signal]
    process.removeAllListeners(signal)
    if (process.pid !== 1) process.kill(process.pid, signal)
    setImmediate(() => process.exit())
  })
}

/** @param {unknown} error @returns {string} for the person who started it */
function explain(error) {
  if (error instanceof SetupFault || error instanceof NatsServerFault) return error.message
  const { code, path } = /** @type {NodeJS.ErrnoException} */ (error)
  if (path !== undefined && ['EACCES', 'EPERM', 'EROFS', 'ENOSPC'].includes(code ?? ''))
    return `setup failed: ${path} cannot be used by this user (${code}); change its owner or mode, or set up as the user that owns ${root}`
  return `setup failed: ${error instanceof Error ? error.stack : String(error)}`
}

/**
 * Sets up and runs `file` of this project.
 * @param {string} file  path from the project's root
 * @param {readonly string[]} args
 * @param {{ needsNats: boolean, needsDev: boolean }} options
 */
export async function launch(file, args, { needsNats, needsDev }) {
  try {
    if (Number.parseInt(process.versions.node, 10) < 20)
      throw new SetupFault(`Node 20 or newer is needed; this is ${process.versions.node}.`)
    await ensureDependencies(needsDev)
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
    progress(explain(error))
    process.exitCode = 1
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const words = process.argv.slice(2)
  const place = words.findIndex((word) => word !== '--nats' && word !== '--dev')
  const flags = place < 0 ? words : words.slice(0, place)
  const [file, ...args] = place < 0 ? [] : words.slice(place)
  if (file === undefined) {
    progress('usage: node core/ops/setup/bootstrap.mjs [--dev] [--nats] FILE [argument…]')
    process.exitCode = 2
  } else {
    const [needsNats, needsDev] = [flags.includes('--nats'), flags.includes('--dev')]
    await launch(file, args, { needsNats, needsDev })
  }
}
