/**
 * Looks at an LMDB data file before it is mapped: a file that was cut short would end the process
 * with a bus error at the first read behind its end, so it must not be opened at all. Reads the two
 * meta pages only; what stands in the other pages is guarded by a checksum of each record
 * (lmdb-store.ts).
 *
 * @source LMDB's data file as the pinned `lmdb` package writes it (data version 2): the meta record
 * behind a 24-octet page header
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

const pageHeaderBytes = 24
const magic = 0xbeefc0de
// Offsets within the meta record.
const pageSizeAt = 24
const lastPageAt = 120
const transactionAt = 128
const metaBytes = 136

/**
 * Why `file` must not be opened, or undefined when it may (also when there is none, or it is
 * empty).
 */
export function faultOfLmdbFile(file: string): string | undefined {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r')
  } catch (fault) {
    return (fault as NodeJS.ErrnoException).code === 'ENOENT'
      ? undefined
      : String((fault as NodeJS.ErrnoException).code)
  }
  try {
    const fileBytes = fstatSync(descriptor).size
    if (fileBytes === 0) return undefined
    const first = readMeta(descriptor, 0)
    if (first === undefined) return 'the first page is not a meta page'
    const second = readMeta(descriptor, first.pageBytes)
    if (second === undefined) return 'the second page is not a meta page'
    const newest = first.transaction >= second.transaction ? first : second
    const neededBytes = (newest.lastPage + 1) * newest.pageBytes
    return fileBytes < neededBytes ? `cut short: ${fileBytes} of ${neededBytes} octets` : undefined
  } finally {
    closeSync(descriptor)
  }
}

function readMeta(
  descriptor: number,
  at: number,
): { pageBytes: number; lastPage: number; transaction: number } | undefined {
  const meta = Buffer.alloc(metaBytes)
  if (readSync(descriptor, meta, 0, metaBytes, at + pageHeaderBytes) < metaBytes) return undefined
  if (meta.readUInt32LE(0) !== magic) return undefined
  const pageBytes = meta.readUInt32LE(pageSizeAt)
  if (pageBytes < 256 || pageBytes > 65_536 || (pageBytes & (pageBytes - 1)) !== 0) return undefined
  const lastPage = Number(meta.readBigUInt64LE(lastPageAt))
  return { pageBytes, lastPage, transaction: Number(meta.readBigUInt64LE(transactionAt)) }
}
