/** Makes sure of a data directory before anything is started on it. */
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  statSync,
} from 'node:fs'
import { join, sep } from 'node:path'
import { BrokerError } from '../base/broker-error.ts'

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'the file system is read-only',
  EEXIST: 'a file of that name is in the way',
  ENOTDIR: 'a file is in the way',
  ENOSPC: 'the disk is full',
}

const othersBits = 0o077

/**
 * Takes from everybody but the owner what they may do with `path` and all that is in it, except for
 * what another user owns in there, which the folder hides. Links are not followed.
 */
function tighten(path: string, own: number): void {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined || stat.isSymbolicLink()) return
  if ((stat.mode & othersBits) !== 0) chmodSync(path, stat.mode & 0o7777 & ~othersBits)
  if (!stat.isDirectory()) return
  for (const name of readdirSync(path)) {
    try {
      const inside = join(path, name)
      // Root would be let, and others would lose what is theirs.
      if (lstatSync(inside).uid === own) tighten(inside, own)
    } catch (fault) {
      const { code } = fault as NodeJS.ErrnoException
      // Gone meanwhile, or of another user.
      if (code !== 'ENOENT' && code !== 'EPERM' && code !== 'EACCES') throw fault
    }
  }
}

/**
 * Makes the folder when it is missing, mode 700, and checks that this process may write there. One
 * that is there, and all that is in it, becomes its owner's alone.
 * @throws BrokerError CONFIG_INVALID naming the setting to change
 */
export function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    if (!statSync(dataDir).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' })
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
    const { mode, uid } = statSync(dataDir)
    const own = process.getuid?.()
    if (own !== undefined && own !== 0 && own !== uid && (mode & othersBits) !== 0)
      throw new BrokerError(
        'CONFIG_INVALID',
        `the data directory ${dataDir} belongs to user ${uid}, and others than this user (${own}) may use it (mode ${(mode & 0o777).toString(8)}); name a folder within it with --data-dir or BUSBAR_DATA_DIR, which is then made with mode 700, or change its owner`,
      )
    // Where modes mean nothing there is nothing to tighten.
    // With the dot a link to the folder is followed, through any mount that only this process sees.
    if (own !== undefined) tighten(`${dataDir}${sep}.`, own)
  } catch (cause) {
    if (cause instanceof BrokerError) throw cause
    throw dataDirFault(dataDir, cause)
  }
}

/**
 * `fault` in terms of the setting, when it is one of the operating system about a file of the data
 * directory; else `fault` itself.
 */
export function explainDataDirFault(dataDir: string, fault: unknown): unknown {
  const { code, path } = fault as Partial<NodeJS.ErrnoException>
  const isWithin = path === dataDir || path?.startsWith(`${dataDir}${sep}`)
  return isWithin && code !== undefined && code in reasons ? dataDirFault(dataDir, fault) : fault
}

function dataDirFault(dataDir: string, cause: unknown): BrokerError {
  const { code = '', path = dataDir } = cause as NodeJS.ErrnoException
  const where = path === dataDir ? '' : `${path}: `
  return new BrokerError(
    'CONFIG_INVALID',
    `the data directory ${dataDir} cannot be used: ${where}${reasons[code] ?? 'it cannot be made'} (${code}); name another folder with --data-dir or BUSBAR_DATA_DIR, or change its owner or mode`,
    { cause },
  )
}
