/**
 * The states of all devices in a broker's local store that nobody has open: device → hash of what
 * is remembered.
 */
import { createHash } from 'node:crypto'
import { open } from 'lmdb'

/** The tag of a packed state, see core/store/lmdb-partitions. */
const stateTag = 1
const crcBytes = 4

export async function statesIn(
  folder: string,
  partitionCount: number,
): Promise<Map<string, string>> {
  const environment = open<Buffer, Buffer>({
    path: folder,
    maxDbs: 4097,
    keyEncoding: 'binary',
    encoding: 'binary',
  })
  const states = new Map<string, string>()
  for (let partition = 0; partition < partitionCount; partition++) {
    const database = environment.openDB({
      name: `partition-${partition}`,
      keyEncoding: 'binary',
      encoding: 'binary',
    })
    const range = { start: Buffer.of(stateTag), end: Buffer.of(stateTag + 1) }
    for (const { key, value } of database.getRange(range)) {
      const hash = createHash('sha256').update(value.subarray(crcBytes)).digest('hex')
      states.set(Buffer.from(key).subarray(1).toString('hex'), hash)
    }
  }
  // Opening a database is a write, which lmdb begins in a later turn; closed before, it would throw
  // there.
  await new Promise((resolve) => setImmediate(resolve))
  await environment.flushed
  await environment.close()
  return new Map([...states].sort(([a], [b]) => (a < b ? -1 : 1)))
}
