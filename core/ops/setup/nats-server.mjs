// @ts-check
/**
 * Finds a nats-server that Busbar can use, or obtains one. Stands before the way of a message:
 * bootstrap.mjs runs it on whatever Node a machine has (20 or newer, nothing installed),
 * nats-child.ts on the pinned one; so it is JavaScript and imports nothing but Node and its
 * neighbour nats-obtain.mjs. It starts no server.
 *
 * Order: BUSBAR_NATS_URL (nothing to do) → NATS_SERVER_BIN → the PATH → our cache → obtain one into
 * the cache.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, mkdirSync, readdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { environmentOfServer } from './child-environment.mjs'
import { obtainNatsServer } from './nats-obtain.mjs'

/** The first release with atomic batches that hold under a fence (core/decisions/0006). */
export const natsServerVersionMin = '2.15.1'

/** @typedef {{ path: string, version: string }} NatsServerBinary */
/** @typedef {'NATS_SERVER_MISSING' | 'NATS_SERVER_TOO_OLD'} NatsServerFaultCode */
/** @typedef {Readonly<Record<string, string | undefined>>} Environment */

/** What went wrong, with a code of the error table; `message` says what to do. */
export class NatsServerFault extends Error {
  /** @param {NatsServerFaultCode} code @param {string} detail */
  constructor(code, detail) {
    super(`${code}: ${detail}`)
    this.name = 'NatsServerFault'
    /** @type {NatsServerFaultCode} */
    this.code = code
    this.detail = detail
  }
}

const remedy = `Install nats-server ${natsServerVersionMin} or newer and name it in NATS_SERVER_BIN, or name a running one in BUSBAR_NATS_URL.`

/**
 * True when version `a` is at least `b`; both `major.minor.patch`, where a suffix such as `-RC.1`
 * counts as older.
 * @param {string} a @param {string} b
 */
export function isVersionAtLeast(a, b) {
  const [left, right] = [a, b].map((text) => text.split('-')[0]?.split('.').map(Number) ?? [])
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return !a.includes('-') || b.includes('-')
}

/**
 * The version that the binary at `path` prints (`2.15.1`), or undefined when it does not run or is
 * something else.
 * @param {string} path
 */
export function versionOfNatsServer(path) {
  const env = environmentOfServer(process.env)
  const { status, stdout } = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    timeout: 20_000,
    env,
  })
  return status === 0 ? /^nats-server: v(\d+\.\d+\.\d+[-.\w]*)/m.exec(stdout)?.[1] : undefined
}

/**
 * Where obtained servers are kept: `<cache>/busbar`. Under `/` for a user without a home.
 * @param {Environment} env
 */
export function cacheFolder(env) {
  return join(env['XDG_CACHE_HOME'] || join(env['HOME'] || ownHome(), '.cache'), 'busbar')
}

/** The home of this user, `/` for a user that the system does not know. */
function ownHome() {
  try {
    return homedir()
  } catch {
    return '/'
  }
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/**
 * @param {Environment} env @returns {NatsServerBinary | undefined} the newest usable one of the
 * cache
 */
function findInCache(env) {
  const folder = cacheFolder(env)
  /** @type {string[]} */
  let names
  try {
    names = readdirSync(folder).filter((name) => /^nats-server-\d/.test(name))
  } catch {
    return undefined
  }
  names.sort((a, b) => (isVersionAtLeast(a.slice(12), b.slice(12)) ? -1 : 1))
  for (const name of names) {
    const path = join(folder, name, 'nats-server')
    const version = isExecutable(path) ? versionOfNatsServer(path) : undefined
    if (version && isVersionAtLeast(version, natsServerVersionMin)) return { path, version }
  }
  return undefined
}

/** @param {Environment} env @returns {NatsServerBinary[]} */
function findOnPath(env) {
  const found = []
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder || '.', 'nats-server')
    const version = isExecutable(path) ? versionOfNatsServer(path) : undefined
    if (version) found.push({ path, version })
  }
  return found
}

/**
 * A nats-server that is on this machine already; nothing is fetched.
 * @param {Environment} env
 * @returns {{ found?: NatsServerBinary, tooOld?: NatsServerBinary }} `tooOld`: one on the PATH that
 * cannot be used
 * @throws {NatsServerFault} when NATS_SERVER_BIN names none, or one that is too old: who names one
 * means that one
 */
export function findNatsServer(env) {
  const named = env['NATS_SERVER_BIN']
  if (named) {
    const version = isExecutable(named) ? versionOfNatsServer(named) : undefined
    if (!version) {
      throw new NatsServerFault(
        'NATS_SERVER_MISSING',
        `NATS_SERVER_BIN=${named} is not a nats-server that runs here. ${remedy}`,
      )
    }
    if (!isVersionAtLeast(version, natsServerVersionMin)) {
      throw new NatsServerFault(
        'NATS_SERVER_TOO_OLD',
        `NATS_SERVER_BIN=${named} is ${version}; ${natsServerVersionMin} or newer is needed for atomic batches. ` +
          'Unset it and Busbar gets one, or name a newer one.',
      )
    }
    return { found: { path: named, version } }
  }
  const onPath = findOnPath(env)
  const found =
    onPath.find(({ version }) => isVersionAtLeast(version, natsServerVersionMin)) ??
    findInCache(env)
  const tooOld = onPath[0]
  return { ...(found && { found }), ...(tooOld && !found && { tooOld }) }
}

/**
 * The nats-server to start, obtained when there is none; undefined when BUSBAR_NATS_URL names a
 * running one.
 * @param {{ env: Environment, progress: (line: string) => void }} options `progress` gets lines for
 * a person
 * @returns {Promise<NatsServerBinary | undefined>}
 * @throws {NatsServerFault} with all that was tried and what to do
 */
export async function ensureNatsServer({ env, progress }) {
  if (env['BUSBAR_NATS_URL']) return undefined
  const { found, tooOld } = findNatsServer(env)
  if (found) return found
  if (tooOld)
    progress(
      `nats-server on the PATH is ${tooOld.version}, too old; looking for ${natsServerVersionMin} or newer`,
    )
  const folder = cacheFolder(env)
  makeCache(folder)
  const { path, tried } = await obtainNatsServer({
    folder,
    progress,
    isUsable: (version) => isVersionAtLeast(version, natsServerVersionMin),
    versionOf: versionOfNatsServer,
  })
  const version = path && versionOfNatsServer(path)
  if (version) return { path, version }
  const attempts = tried.map((line) => `  - ${line}`).join('\n')
  throw new NatsServerFault(
    tooOld ? 'NATS_SERVER_TOO_OLD' : 'NATS_SERVER_MISSING',
    `${tooOld ? `${tooOld.path} is ${tooOld.version}, too old, and` : 'there is no nats-server here and'} none could be obtained:\n${attempts}\n${remedy}`,
  )
}

/**
 * Makes the cache folder, before anything is fetched into it.
 * @param {string} folder
 * @throws {NatsServerFault} naming the variables that choose another folder
 */
function makeCache(folder) {
  try {
    mkdirSync(folder, { recursive: true })
    accessSync(folder, constants.W_OK | constants.X_OK)
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error)
    throw new NatsServerFault(
      'NATS_SERVER_MISSING',
      `there is no nats-server here, and the cache folder for one, ${folder}, cannot be written (${code}). ` +
        `Set XDG_CACHE_HOME or HOME to a folder that can be written. Or: ${remedy}`,
    )
  }
}
