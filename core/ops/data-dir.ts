/** Makes sure of a data directory before anything is started on it. */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { sep } from 'node:path'
import { BrokerError } from '../base/broker-error.ts'

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'the file system is read-only',
  EEXIST: 'a file of that name is in the way',
  ENOTDIR: 'a file is in the way',
  ENOSPC: 'the disk is full',
}

/**
 * Makes the folder when it is missing, mode 700, and checks that this process may write there.
 * @throws BrokerError CONFIG_INVALID naming the setting to change
 */
export function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    if (!statSync(dataDir).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' })
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (cause) {
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
