// @ts-check
/**
 * Reads apt's source lists (one-line `.list` and deb822 `.sources`) to learn which mirror of Debian
 * or Ubuntu this machine uses, and names the suites of it in which a recent nats-server may be.
 * Reads files only.
 * @source sources.list(5)
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * @typedef {{ types: string[], addresses: string[], suites: string[], components: string[],
 * signedBy?: string, keyText?: string }} AptSource `signedBy` is a key ring file or fingerprint,
 * `keyText` a key that stands in the source itself.
 */
/**
 * @typedef {{ address: string, suite: string, components: string, signedBy?: string, keyText?:
 * string }} AptArchive
 */

const words = (/** @type {string} */ text) => text.split(/\s+/).filter(Boolean)

/**
 * Parses the one-line format: `deb [signed-by=…] address suite component…`.
 * @param {string} text
 * @returns {AptSource[]}
 */
export function parseOneLineSources(text) {
  const sources = []
  for (const line of text.split('\n')) {
    const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)/.exec(line)
    if (!match) continue
    const [, type = '', options = '', address = '', suite = '', rest = ''] = match
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1]?.split(',')[0]
    sources.push({
      types: [type],
      addresses: [address],
      suites: [suite],
      components: words(rest),
      ...(signedBy && { signedBy }),
    })
  }
  return sources
}

/**
 * Parses the deb822 format: stanzas of `Field: value`, continued on lines that begin with a space.
 * @param {string} text
 * @returns {AptSource[]}
 */
export function parseDeb822Sources(text) {
  const sources = []
  // A comment is a line, not the end of a stanza.
  const lines = text.split('\n').filter((line) => !line.startsWith('#'))
  for (const stanza of lines.join('\n').split(/\n\s*\n/)) {
    /** @type {Map<string, string>} */
    const fields = new Map()
    let name = ''
    for (const line of stanza.split('\n')) {
      const match = /^([A-Za-z][A-Za-z-]*):(.*)$/.exec(line)
      if (match) {
        name = match[1]?.toLowerCase() ?? ''
        fields.set(name, match[2]?.trim() ?? '')
      } else if (/^\s/.test(line) && name) {
        // In a key, a line of one dot stands for an empty line.
        fields.set(name, `${fields.get(name)}\n${line.trim() === '.' ? '' : line.trim()}`)
      }
    }
    if (!fields.has('types') || /^(no|false|0|off)$/i.test(fields.get('enabled') ?? '')) continue
    const key = fields.get('signed-by')?.trim()
    sources.push({
      types: words(fields.get('types') ?? ''),
      addresses: words(fields.get('uris') ?? ''),
      suites: words(fields.get('suites') ?? ''),
      components: words(fields.get('components') ?? ''),
      ...(key &&
        (key.includes('BEGIN PGP') ? { keyText: `${key}\n` } : { signedBy: words(key)[0] ?? '' })),
    })
  }
  return sources
}

/**
 * The Debian suites and the Ubuntu one in which nats-server 2.15.1 or newer may be; `forky` carries
 * 2.15.1. `devel` is whatever Ubuntu release is being made, so it is tried last and judged by the
 * version that comes.
 */
const suitesOf = { debian: ['forky', 'sid'], ubuntu: ['devel'] }
const keyRingsOf = {
  debian: [
    '/usr/share/keyrings/debian-archive-keyring.gpg',
    '/usr/share/keyrings/debian-archive-keyring.pgp',
  ],
  ubuntu: ['/usr/share/keyrings/ubuntu-archive-keyring.gpg'],
}

/**
 * The archives to try, best first: none when this is neither Debian nor Ubuntu or no mirror of it
 * is configured.
 * @param {{ etc: string, osRelease: string }} places the folder that holds sources.list, and
 * os-release
 * @returns {AptArchive[]}
 */
export function archivesOf({ etc, osRelease }) {
  const release = existsSync(osRelease) ? readFileSync(osRelease, 'utf8') : ''
  const named = (/** @type {string} */ name) =>
    new RegExp(`^${name}="?([^"\n]*)"?$`, 'm').exec(release)?.[1] ?? ''
  const family = [named('ID'), ...words(named('ID_LIKE'))].find(
    (name) => name === 'debian' || name === 'ubuntu',
  )
  if (family !== 'debian' && family !== 'ubuntu') return []
  const codename = named(family === 'ubuntu' ? 'UBUNTU_CODENAME' : 'VERSION_CODENAME')

  /** @type {AptSource[]} */
  const sources = []
  const list = join(etc, 'sources.list')
  if (existsSync(list)) sources.push(...parseOneLineSources(readFileSync(list, 'utf8')))
  const parts = join(etc, 'sources.list.d')
  for (const name of existsSync(parts) ? readdirSync(parts).toSorted() : []) {
    if (name.endsWith('.list'))
      sources.push(...parseOneLineSources(readFileSync(join(parts, name), 'utf8')))
    if (name.endsWith('.sources'))
      sources.push(...parseDeb822Sources(readFileSync(join(parts, name), 'utf8')))
  }

  // A mirror of the distribution itself carries the release that runs here, or one of the moving
  // names, with `main`; third-party archives name their own suites, and security archives carry no
  // other suites.
  const ownSuites = new Set(
    [codename, 'stable', 'testing', 'unstable', 'sid', 'devel', ...suitesOf[family]].filter(
      Boolean,
    ),
  )
  const mirrors = sources.filter(
    ({ types, suites, components }) =>
      types.includes('deb') &&
      components.includes('main') &&
      suites.some((suite) => ownSuites.has(suite)),
  )
  const keyRing = keyRingsOf[family].find((path) => existsSync(path))
  /** @type {Map<string, AptArchive>} */
  const archives = new Map()
  for (const suite of suitesOf[family]) {
    for (const mirror of mirrors) {
      const signedBy = mirror.signedBy || keyRing
      for (const address of mirror.addresses) {
        if (/security/.test(address)) continue
        archives.set(`${address} ${suite}`, {
          address,
          suite,
          components: family === 'ubuntu' ? 'main universe' : 'main',
          ...(mirror.keyText ? { keyText: mirror.keyText } : signedBy && { signedBy }),
        })
      }
    }
  }
  return [...archives.values()]
}
