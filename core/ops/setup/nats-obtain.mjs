// @ts-check
/**
 * Obtains a nats-server into a cache folder without changing the system: on Debian and Ubuntu
 * through apt itself, which checks the archive's signature, from the mirror this machine already
 * uses; elsewhere, or when that fails, the release archive of the project, checked against a
 * SHA-256. Runs on Node 20 or newer with nothing installed. Called by nats-server.mjs, which finds
 * what is there already and judges versions.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { archivesOf } from './apt-sources.mjs'
import { environmentOfTool } from './child-environment.mjs'

const releaseVersion = '2.15.1'
const releaseAddress = `https://github.com/nats-io/nats-server/releases/download/v${releaseVersion}`

/**
 * SHA-256 of the release's archives, as published for 2.15.1. Platforms that are not listed are
 * checked against the release's own SHA256SUMS, which guards against damage but not against a
 * forged release; the progress line says so.
 * @type {Readonly<Record<string, string>>}
 */
const archiveSha256 = {
  'linux-amd64': 'bf5edc7b1ce98e885c368cb43a886eb148dc5d0551d99f3cf6141fb5e1954c70',
  'linux-arm64': 'e2fbab4cad7d3c76e3052eb959570393c9d73ba756b70bf8e9eea61e9ae6d49c',
  'linux-arm7': 'ddac3887f9b0e17d657d1124bfd648d2f3d98b8b12a0918a0443eff079d2c238',
  'linux-ppc64le': '4918414d24b16c30e71352e362b2d89e9e47c557514cefb5d4c6f2523cfee73d',
  'linux-s390x': '478644ef83c46f585f9714b05201b5596e718cdd55ef295fb31abef6a71b4646',
  'linux-riscv64': '0c7f51bdf9712e2c69336722fca636a3b038181ff843390c00a4e287ad462086',
  'linux-loong64': 'c0875670e7a5fda318e4114cd549b39c77f3294ebb32f90f78c6e7c83635d8d9',
}

/**
 * Node's name of a processor → that of the release archives. @type {Readonly<Record<string,
 * string>>}
 */
const archOfRelease = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm7',
  ppc64: 'ppc64le',
  s390x: 's390x',
  riscv64: 'riscv64',
  loong64: 'loong64',
}

/** apt's update of one suite's index, and a download of 20 MB on a slow line. */
const stepMsMax = 300_000

/**
 * Runs a program to its end and returns what it printed; never rejects.
 * @param {string} program @param {readonly string[]} args @param {{ cwd?: string }} [options]
 * @returns {Promise<{ ok: boolean, output: string }>}
 */
function run(program, args, options = {}) {
  return new Promise((settle) => {
    /** @type {Buffer[]} */
    const chunks = []
    const child = spawn(program, args, {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: stepMsMax,
      env: { ...environmentOfTool(process.env), LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    })
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.stderr.on('data', (chunk) => chunks.push(chunk))
    child.on('error', (error) => settle({ ok: false, output: error.message }))
    child.on('close', (code) =>
      settle({ ok: code === 0, output: Buffer.concat(chunks).toString('utf8') }),
    )
  })
}

/** The last telling line of a program's output. @param {string} output */
function lastLine(output) {
  const lines = output.split('\n').filter((line) => line.trim())
  return (
    lines.findLast((line) => /^(E:|curl:|tar:|dpkg)/.test(line)) ??
    lines.at(-1) ??
    'no output'
  )
    .trim()
    .slice(0, 300)
}

/** @param {string} program */
const isHere = (program) =>
  (process.env['PATH'] ?? '')
    .split(':')
    .some((folder) => folder && existsSync(join(folder, program)))

/**
 * Moves a tried binary into its place in the cache. Two processes may do so at one time: the place
 * is filled by one rename, and a second process uses what is there.
 * @param {string} binary @param {string} folder @param {string} version
 */
function keep(binary, folder, version) {
  const place = join(folder, `nats-server-${version}`)
  const staging = mkdtempSync(join(folder, '.keep-'))
  copyFileSync(binary, join(staging, 'nats-server'))
  chmodSync(join(staging, 'nats-server'), 0o755)
  chmodSync(staging, 0o755)
  try {
    renameSync(staging, place)
  } catch (error) {
    rmSync(staging, { recursive: true, force: true })
    if (!existsSync(join(place, 'nats-server'))) throw error
  }
  return join(place, 'nats-server')
}

/**
 * @typedef {{ folder: string, progress: (line: string) => void, isUsable: (version: string) =>
 * boolean,
 *   versionOf: (path: string) => string | undefined }} ObtainOptions
 */

/**
 * Obtains a nats-server by the first way that works. Rejects only when the cache folder cannot be
 * written.
 * @param {ObtainOptions} options
 * @returns {Promise<{ path?: string, tried: string[] }>} `tried`: one line for each way that failed
 */
export async function obtainNatsServer(options) {
  mkdirSync(options.folder, { recursive: true })
  /** @type {string[]} */
  const tried = []
  for (const way of [obtainFromApt, obtainFromRelease]) {
    const work = mkdtempSync(join(options.folder, '.obtain-'))
    try {
      const binary = await way(work, options, tried)
      const version = binary && options.versionOf(binary)
      if (binary && !version) tried.push(`${binary} does not run on this machine`)
      if (binary && version && !options.isUsable(version))
        tried.push(`only ${version} is offered there`)
      if (binary && version && options.isUsable(version)) {
        const path = keep(binary, options.folder, version)
        options.progress(`nats-server ${version} is in ${path}`)
        return { path, tried }
      }
    } finally {
      rmSync(work, { recursive: true, force: true })
    }
  }
  return { tried }
}

/**
 * Fills the folder `place` with what apt needs to read one archive, apart from the machine's own
 * lists.
 * @param {string} place @param {ReturnType<typeof archivesOf>[number]} source
 */
function writeAptPlace(place, { address, suite, components, signedBy, keyText }) {
  for (const name of ['lists/partial', 'archives/partial', 'log'])
    mkdirSync(join(place, name), { recursive: true })
  let key = signedBy
  if (keyText) {
    key = join(place, 'key.asc')
    writeFileSync(key, keyText)
  }
  writeFileSync(
    join(place, 'sources.list'),
    `deb ${key ? `[signed-by=${key}] ` : ''}${address} ${suite} ${components}\n`,
  )
  writeFileSync(join(place, 'status'), '')
  const quoted = (/** @type {string} */ name) => `"${join(place, name)}"`
  // The machine's own apt.conf.d stays in force for proxies and certificates; everything that names
  // a place, pins a
  // package or runs after an update is replaced.
  writeFileSync(
    join(place, 'apt.conf'),
    [
      `Dir::Etc::SourceList ${quoted('sources.list')};`,
      'Dir::Etc::SourceParts "/dev/null";',
      'Dir::Etc::Preferences "/dev/null";',
      'Dir::Etc::PreferencesParts "/dev/null";',
      `Dir::State::Lists ${quoted('lists')};`,
      `Dir::State::Status ${quoted('status')};`,
      `Dir::Cache ${quoted('.')};`,
      `Dir::Cache::Archives ${quoted('archives')};`,
      `Dir::Log ${quoted('log')};`,
      'Acquire::Languages "none";',
      'Acquire::Retries "3";',
      'APT::Get::AllowUnauthenticated "false";',
      'Acquire::AllowInsecureRepositories "false";',
      // The folder is ours alone, so root's downloader may not become another user there.
      `APT::Sandbox::User "${userInfo().username}";`,
      '#clear APT::Update::Pre-Invoke;',
      '#clear APT::Update::Post-Invoke;',
      '#clear APT::Update::Post-Invoke-Success;',
      '#clear DPkg::Post-Invoke;',
      '',
    ].join('\n'),
  )
}

/**
 * @param {string} work @param {ObtainOptions} options @param {string[]} tried
 * @returns {Promise<string | undefined>}
 */
async function obtainFromApt(work, { progress }, tried) {
  if (!isHere('apt-get') || !isHere('dpkg-deb')) {
    tried.push('apt: not a Debian or Ubuntu machine')
    return undefined
  }
  const archives = archivesOf({ etc: '/etc/apt', osRelease: '/etc/os-release' })
  if (archives.length === 0)
    tried.push('apt: no archive of Debian or Ubuntu in /etc/apt/sources.list or sources.list.d')
  for (const source of archives) {
    const { address, suite } = source
    progress(
      `obtaining nats-server through apt from ${address} ${suite} (about 10 MB of index, 6 MB of package)`,
    )
    const place = mkdtempSync(join(work, 'apt-'))
    writeAptPlace(place, source)
    const config = ['-c', join(place, 'apt.conf')]
    const from = `apt, ${address} ${suite}`
    const update = await run('apt-get', [...config, '--error-on=any', 'update'], { cwd: place })
    if (!update.ok) {
      tried.push(`${from}: ${lastLine(update.output)}`)
      continue
    }
    const download = await run('apt-get', [...config, 'download', 'nats-server'], { cwd: place })
    const archive = readdirSync(place).find((name) => name.endsWith('.deb'))
    if (!download.ok || !archive) {
      tried.push(`${from}: ${lastLine(download.output)}`)
      continue
    }
    const root = join(place, 'root')
    const unpack = await run('dpkg-deb', ['-x', join(place, archive), root])
    const binary = ['usr/sbin/nats-server', 'usr/bin/nats-server']
      .map((name) => join(root, name))
      .find((path) => existsSync(path))
    if (!unpack.ok || !binary) {
      tried.push(
        `${from}: ${archive} holds no nats-server ${unpack.ok ? '' : lastLine(unpack.output)}`,
      )
      continue
    }
    return binary
  }
  return undefined
}

/** @param {string} address @param {string} file */
async function fetchTo(address, file) {
  // curl knows the machine's proxies and certificates, which fetch of Node 20 does not.
  if (isHere('curl')) {
    return run('curl', [
      '--fail',
      '--silent',
      '--show-error',
      '--location',
      '--proto',
      '=https',
      '--retry',
      '2',
      '--connect-timeout',
      '20',
      '-o',
      file,
      address,
    ])
  }
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(stepMsMax) })
    if (!response.ok) return { ok: false, output: `${address} answered ${response.status}` }
    writeFileSync(file, Buffer.from(await response.arrayBuffer()))
    return { ok: true, output: '' }
  } catch (error) {
    const cause =
      error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    return { ok: false, output: `${address}: ${cause}` }
  }
}

/**
 * @param {string} work @param {ObtainOptions} options @param {string[]} tried
 * @returns {Promise<string | undefined>}
 */
async function obtainFromRelease(work, { progress }, tried) {
  const arch = archOfRelease[process.arch]
  const system = { linux: 'linux', darwin: 'darwin', freebsd: 'freebsd' }[String(process.platform)]
  if (!arch || !system) {
    tried.push(`release archive: none for ${process.platform} ${process.arch}`)
    return undefined
  }
  const platform = `${system}-${arch}`
  const name = `nats-server-v${releaseVersion}-${platform}.tar.gz`
  const file = join(work, name)
  progress(`obtaining nats-server from ${releaseAddress}/${name}`)
  const archive = await fetchTo(`${releaseAddress}/${name}`, file)
  if (!archive.ok) {
    tried.push(`release archive: ${lastLine(archive.output)}`)
    return undefined
  }
  let expected = archiveSha256[platform]
  if (!expected) {
    progress(`no checksum is pinned for ${platform}: checking against the release's own SHA256SUMS`)
    const sums = await fetchTo(`${releaseAddress}/SHA256SUMS`, join(work, 'SHA256SUMS'))
    const line = sums.ok
      ? readFileSync(join(work, 'SHA256SUMS'), 'utf8')
          .split('\n')
          .find((text) => text.trim().endsWith(name))
      : undefined
    expected = line && /^[0-9a-f]{64}/.exec(line)?.[0]
  }
  const actual = createHash('sha256').update(readFileSync(file)).digest('hex')
  if (actual !== expected) {
    tried.push(
      `release archive: SHA-256 of ${name} is ${actual}, expected ${expected ?? 'one in SHA256SUMS'}; it was not unpacked`,
    )
    return undefined
  }
  const unpack = await run('tar', ['-xzf', file, '-C', work])
  const binary = join(work, name.replace(/\.tar\.gz$/, ''), 'nats-server')
  if (!unpack.ok || !existsSync(binary)) {
    tried.push(`release archive: ${lastLine(unpack.output)}`)
    return undefined
  }
  return binary
}
