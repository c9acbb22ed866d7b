/**
 * An LMDB environment in a folder of its own, for what can be rebuilt from the ledger: a file that
 * is damaged, or of another format, is set aside and replaced by an empty one. Every value begins
 * with a CRC-32 of what follows.
 *
 * LMDB maps its files into memory, so that a damaged page, or a page that the disk has no room for,
 * can end the process with a signal; and a write that fails damages the memory of the process (the
 * pinned version formats its message into a buffer that is too small). Three things guard against
 * that: the free space is looked at before each write; octets are written for the lock file before
 * it is mapped; and a marker file stands in the folder from before the opening until the process
 * serves, and behind each failed write. A start that finds the marker sets the store aside without
 * reading it.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { open, type RootDatabase } from 'lmdb'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { systemClock } from '../ports/clock.ts'
import { silentLog, type Log } from '../ports/log.ts'
import { codeOfFault } from './lmdb-faults.ts'
import { faultOfLmdbFile } from './lmdb-file.ts'
import { setAside } from './set-aside.ts'

export type LmdbEnvironmentOptions = {
  folder: string
  formatVersion: number
  /** Versions whose contents are contents of this one, too. */
  earlierFormats?: readonly number[]
  /** Named databases in it. */
  databasesMax: number
  log?: Log | undefined
  clock?: { now(): number } | undefined
}

export type LmdbEnvironment = {
  readonly root: RootDatabase<Buffer, Buffer>
  /** What is in it has been read without harm: the marker is removed. May be called again. */
  settled(): void
  /** Writes the marker again, before a step that may end the process. */
  unsettled(): void
  /**
   * Ends writes under way, then closes. Never rejects: what was not written is rebuilt from the
   * ledger.
   */
  close(): Promise<void>
}

const formatName = 'format'
const crcBytes = 4
const dataName = 'data.mdb'
const lockName = 'lock.mdb'
const markerName = 'opening'
/** LMDB copies the pages from the root to a record that changes. */
const pagesPerKey = 4
const pageBytes = 4_096
/**
 * Of the lock file for `limits.storeReadersMax` readers and its head: with less than this, LMDB
 * extends the file and maps the hole.
 */
const lockBytes = 8 * 1024

/**
 * Opens the environment, making it when needed. What cannot be opened is set aside, and an empty
 * environment takes its place.
 * @throws Error of the file system or of LMDB when an empty one cannot be opened either, or the
 * disk has no room for it
 */
export function openLmdbEnvironment(options: LmdbEnvironmentOptions): LmdbEnvironment {
  const { folder } = options
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const marker = join(folder, markerName)
  const fault = faultOfEnvironment(folder)
  if (fault !== undefined) setEnvironmentAside(options, fault)
  writeFileSync(marker, '', { mode: 0o600 })
  try {
    return environmentOf(openOnce(options), marker)
  } catch (cause) {
    // Without room a good store cannot be opened either; it must not be given up for that.
    if (codeOfFault(cause) === 'ENOSPC' || !hasRoom(folder)) {
      rmSync(marker, { force: true })
      throw cause
    }
    setEnvironmentAside(options, cause instanceof Error ? cause.message : String(cause))
    return environmentOf(openOnce(options), marker)
  }
}

/** Why the files in `folder` must not be opened, or undefined when they may. */
export function faultOfEnvironment(folder: string): string | undefined {
  return existsSync(join(folder, markerName))
    ? 'the process ended while it opened the store, or before it served'
    : faultOfLmdbFile(join(folder, dataName))
}

/**
 * Runs `look`, which opens the files in `folder` only to read them, with the marker and the lock
 * file in place: should it end the process, the next start sets the store aside.
 * @throws what the file system says, and `look`
 */
export async function lookGuarded<T>(folder: string, look: () => Promise<T>): Promise<T> {
  checkRoom(folder, 0, 0)
  reserveLock(join(folder, lockName))
  const marker = join(folder, markerName)
  writeFileSync(marker, '', { mode: 0o600 })
  try {
    return await look()
  } finally {
    rmSync(marker, { force: true })
  }
}

/**
 * Sets the files of an environment aside that is closed, or was never opened.
 * @throws the fault of the file system
 */
export function setEnvironmentAside(
  { folder, log = silentLog, clock = systemClock }: LmdbEnvironmentOptions,
  reason: string,
): void {
  const kept = setAside(join(folder, dataName), reason, clock.now())
  rmSync(join(folder, lockName), { force: true })
  log.warn(
    { folder, reason, kept },
    'the local store cannot be used; it is set aside and rebuilt from the ledger',
  )
}

/** False when a file of `storeProbeBytes` cannot be written and flushed in `folder`. */
export function hasRoom(folder: string): boolean {
  const probe = join(folder, 'probe')
  try {
    writeFileSync(probe, Buffer.alloc(limits.storeProbeBytes), { mode: 0o600, flush: true })
    return true
  } catch {
    return false
  } finally {
    try {
      rmSync(probe, { force: true })
    } catch {
      // On a file system that cannot be written to any more there is nothing to remove.
    }
  }
}

/**
 * Must be called before each write of `keyCount` records of `bytes` octets together in `folder`.
 * @throws Error ENOSPC when the disk may be too small for it, with every page that LMDB may copy
 */
export function checkRoom(folder: string, keyCount: number, bytes: number): void {
  const { bavail, blocks, bsize } = statfsSync(folder)
  const fileBytes = statSync(join(folder, dataName), { throwIfNoEntry: false })?.size ?? 0
  const copiedBytes = Math.min(keyCount * pagesPerKey * pageBytes, 2 * fileBytes)
  const freeBytesMin = Math.min(limits.storeFreeBytesMin, Math.floor((blocks * bsize) / 8))
  const neededBytes = freeBytesMin + 2 * bytes + copiedBytes
  if (bavail * bsize >= neededBytes) return
  const text = `ENOSPC: ${bavail * bsize} octets are free, a write may take ${neededBytes}`
  throw Object.assign(new Error(text), { code: 'ENOSPC' })
}

function environmentOf(root: RootDatabase<Buffer, Buffer>, marker: string): LmdbEnvironment {
  let isMarked = true
  const settled = (): void => {
    if (!isMarked) return
    try {
      rmSync(marker, { force: true })
      isMarked = false
    } catch {
      // The next start sets the store aside once more than it would have to.
    }
  }
  return {
    root,
    settled,
    unsettled() {
      try {
        writeFileSync(marker, '', { mode: 0o600 })
        isMarked = true
      } catch {
        // Without room for an empty file the step is not guarded.
      }
    },
    async close() {
      // Opening a database is a write that lmdb begins in a later turn; closed before it, it would
      // throw there, past everybody.
      await committed(root.transaction(() => undefined)).catch(() => undefined)
      await root.close().catch(() => undefined)
      // Closed in order, it has not ended the process.
      settled()
    },
  }
}

/**
 * Settles as `write` does. lmdb rejects with an error that holds a second promise for the cause,
 * which ends the process when nobody looks at it: the rejection here is that cause.
 */
export async function committed(write: PromiseLike<unknown>): Promise<void> {
  try {
    await write
  } catch (fault) {
    const { commitError } = fault as { commitError?: Promise<never> }
    let cause: unknown = fault
    commitError?.catch((found: unknown) => {
      cause = found
    })
    // The cause is known in the same turn.
    for (let microtask = 0; microtask < 3; microtask++) await Promise.resolve()
    throw cause
  }
}

function openOnce({
  folder,
  formatVersion,
  earlierFormats = [],
  databasesMax,
}: LmdbEnvironmentOptions): RootDatabase<Buffer, Buffer> {
  checkRoom(folder, 0, 0)
  reserveLock(join(folder, lockName))
  const environment = open<Buffer, Buffer>({
    path: folder,
    maxDbs: databasesMax + 1,
    keyEncoding: 'binary',
    encoding: 'binary',
    // Pages of old readers cannot be reused; we keep no read open across turns.
    maxReaders: limits.storeReadersMax,
    // With it lmdb begins each turn's batch with a write of its own, and nobody hears when that one
    // fails.
    eventTurnBatching: false,
  })
  try {
    // lmdb leaves their mode to the umask of the process.
    for (const name of [dataName, lockName]) chmodSync(join(folder, name), 0o600)
    const key = Buffer.from(formatName, 'latin1')
    const found = environment.getBinary(key)
    const isEarlier = found?.length === 1 && earlierFormats.includes(found[0]!)
    if (found === undefined || isEarlier) environment.putSync(key, Buffer.of(formatVersion))
    else if (found.length !== 1 || found[0] !== formatVersion)
      throw new Error(`format ${found.toString('hex')}, ${formatVersion} wanted`)
  } catch (fault) {
    environment.close().catch(() => undefined)
    throw fault
  }
  return environment
}

/**
 * LMDB would extend the file and write into the mapping: on a full disk that is a bus error.
 * Written, it is ENOSPC.
 */
function reserveLock(file: string): void {
  const found = statSync(file, { throwIfNoEntry: false })
  if (found !== undefined && found.size >= lockBytes) return
  writeFileSync(file, Buffer.alloc(lockBytes), { mode: 0o600, flush: true })
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
