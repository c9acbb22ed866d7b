/**
 * An LMDB environment in a folder of its own, for what can be rebuilt from the ledger: a file that is damaged, or of another format, is
 * moved aside and replaced by an empty one. Every value begins with a CRC-32 of what follows.
 */
import { chmodSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { open, type RootDatabase } from 'lmdb'
import { BrokerError } from '../base/broker-error.ts'
import { silentLog, type Log } from '../ports/log.ts'
import { faultOfLmdbFile } from './lmdb-file.ts'

export type LmdbEnvironmentOptions = {
  folder: string
  formatVersion: number
  /** Named databases in it. */
  databasesMax: number
  log?: Log | undefined
}

const formatName = 'format'
const crcBytes = 4

/** Opens the environment, making it when needed. */
export function openLmdbEnvironment(options: LmdbEnvironmentOptions): RootDatabase<Buffer, Buffer> {
  const { folder, log = silentLog } = options
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const fault = faultOfLmdbFile(join(folder, 'data.mdb'))
  if (fault !== undefined) moveAside(folder, fault, log)
  try {
    return openOnce(options)
  } catch (cause) {
    moveAside(folder, cause instanceof Error ? cause.message : String(cause), log)
    return openOnce(options)
  }
}

export async function closeLmdbEnvironment(
  environment: RootDatabase<Buffer, Buffer>,
): Promise<void> {
  // Opening a database is a write that lmdb begins in a later turn; closed before it, it would throw there, past everybody.
  await environment.transaction(() => undefined)
  await environment.close()
}

function openOnce({
  folder,
  formatVersion,
  databasesMax,
}: LmdbEnvironmentOptions): RootDatabase<Buffer, Buffer> {
  const environment = open<Buffer, Buffer>({
    path: folder,
    maxDbs: databasesMax + 1,
    keyEncoding: 'binary',
    encoding: 'binary',
    // Pages of old readers cannot be reused; we keep no read open across turns.
    maxReaders: 64,
  })
  try {
    // lmdb leaves their mode to the umask of the process.
    for (const name of ['data.mdb', 'lock.mdb']) chmodSync(join(folder, name), 0o600)
    const key = Buffer.from(formatName, 'latin1')
    const found = environment.getBinary(key)
    if (found === undefined) environment.putSync(key, Buffer.of(formatVersion))
    else if (found.length !== 1 || found[0] !== formatVersion)
      throw new Error(`format ${found.toString('hex')}, ${formatVersion} wanted`)
  } catch (fault) {
    void environment.close()
    throw fault
  }
  return environment
}

/** Keeps one damaged copy, the newest, for whoever wants to look at it. */
function moveAside(folder: string, reason: string, log: Log): void {
  log.warn(
    { folder, reason },
    'the local store is damaged; it is put aside and rebuilt from the ledger',
  )
  for (const name of ['data.mdb', 'lock.mdb']) {
    try {
      renameSync(join(folder, name), join(folder, `${name}.damaged`))
    } catch (fault) {
      if ((fault as NodeJS.ErrnoException).code !== 'ENOENT') throw fault
    }
  }
}

/** `payload` behind its checksum, in memory of its own. */
export function guarded(payload: Uint8Array): Buffer {
  const value = Buffer.allocUnsafe(crcBytes + payload.length)
  value.set(payload, crcBytes)
  value.writeUInt32BE(crc32(payload), 0)
  return value
}

/** What stands behind the checksum, borrowed. @throws BrokerError STORE_DAMAGED naming `what` */
export function payloadOf(value: Buffer, what: string): Buffer {
  const payload = value.subarray(crcBytes)
  if (value.length < crcBytes || value.readUInt32BE(0) !== crc32(payload))
    throw new BrokerError('STORE_DAMAGED', what)
  return payload
}
