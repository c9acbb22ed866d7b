/**
 * Key-encryption keys: from the environment, or a file outside the data directory, one a line, the
 * first seals, all open. The file is read again whenever the vault asks, so that a rotation needs
 * no restart.
 */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { BrokerError } from '../base/broker-error.ts'
import { SecretKey } from '../crypto/crypto.ts'
import { kekBytes, kekNameFor, SealingVault } from '../crypto/key-vault-sealing.ts'
import type { Log } from '../ports/log.ts'
import { isHexKeyText, isKeyText } from './key-text.ts'
import { linesIn, readTextFile } from './text-file.ts'

/** Where key-encryption keys come from. Keys never print. */
export type KeyEncryption =
  | { readonly kind: 'none' }
  | { readonly kind: 'given'; readonly keys: readonly SecretKey[] }
  | { readonly kind: 'file'; readonly path: string }

/**
 * The key in `text`, 64 hexadecimal digits or base64 of 32 octets; undefined when it is neither.
 */
export function keyEncryptionKeyOf(text: string): SecretKey | undefined {
  if (!isKeyText(text)) return undefined
  const octets = Buffer.from(text, isHexKeyText(text) ? 'hex' : 'base64')
  return octets.length === kekBytes ? SecretKey.of(octets) : undefined
}

/**
 * The vault of a process that keeps its data in `dataDir`.
 * @throws BrokerError CONFIG_INVALID when the file is not there, lies in the data directory, may be
 * read by others, or is invalid
 */
export function openVault(source: KeyEncryption, dataDir: string, log: Log): SealingVault {
  if (source.kind === 'none') return new SealingVault(() => [])
  if (source.kind === 'given') return new SealingVault(() => source.keys)
  const { path } = source
  refuseInside(path, dataDir)
  let last = readKeyFile(path)
  return new SealingVault(() => {
    try {
      last = readKeyFile(path)
    } catch (fault) {
      // It was good when the process started, so that the keys of then go on; whoever broke the
      // file is told.
      log.error({ fault: String(fault) }, 'the file of key-encryption keys cannot be read any more')
    }
    return last
  })
}

/** With links followed, as far as the path is there. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(realPath(parent), relative(parent, path))
  }
}

function refuseInside(path: string, dataDir: string): void {
  const [file, folder] = [realPath(resolve(path)), realPath(resolve(dataDir))]
  if (file === folder || file.startsWith(`${folder}/`)) {
    throw new BrokerError(
      'CONFIG_INVALID',
      `the file of key-encryption keys ${path} lies in the data directory ${dataDir}: whoever copies that folder would have the keys and what they seal; keep it elsewhere`,
    )
  }
}

/** @throws BrokerError CONFIG_INVALID, with the line but nothing of what stands in it */
export function readKeyFile(path: string): readonly SecretKey[] {
  const refuse = (why: string, cause?: unknown): never => {
    throw new BrokerError('CONFIG_INVALID', `the file of key-encryption keys ${path} ${why}`, {
      cause,
    })
  }
  let text = ''
  try {
    const mode = statSync(path).mode & 0o777
    if ((mode & 0o077) !== 0)
      refuse(`may be used by others (mode ${mode.toString(8)}); chmod 600 it`)
    text = readTextFile(path)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    refuse(`cannot be read (${(cause as NodeJS.ErrnoException).code})`)
  }
  const keys: SecretKey[] = []
  for (const [index, line] of linesIn(text).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    keys.push(
      keyEncryptionKeyOf(line.trim()) ??
        refuse(`has no key of 64 hexadecimal digits, or base64 of 32 octets, in line ${index + 1}`),
    )
  }
  return keys.length > 0 ? keys : refuse('is empty')
}

/**
 * Writes a new key as the first line of the file, which is made when it is not there; the others
 * stay and open what they sealed. An interrupted rotation leaves the file as it was. Returns
 * how many keys are in it.
 * @throws BrokerError CONFIG_INVALID when there is a file that is none
 */
export function rotateKeyFile(path: string): { count: number; name: string } {
  const isThere = statSync(path, { throwIfNoEntry: false }) !== undefined
  const count = isThere ? readKeyFile(path).length : 0
  // Without a byte-order mark, which would stand in the middle then.
  const before = isThere ? readTextFile(path) : ''
  const key = randomBytes(kekBytes)
  const temporary = `${path}.new-${randomBytes(4).toString('hex')}`
  const file = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(file, `${key.toString('hex')}\n${before}`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
  const folder = openSync(dirname(resolve(path)), 'r')
  fsyncSync(folder)
  closeSync(folder)
  return { count: count + 1, name: kekNameFor(new SecretKey(key)) }
}
