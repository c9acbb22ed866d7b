/**
 * Looks into a store of partitions without changing it: how far each one is folded. For the start
 * of a process, which must know that before it lets anybody write to the store.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { open, type Database } from 'lmdb'
import type { Checkpoint } from '../ports/store.ts'
import { faultOfEnvironment, lookGuarded, payloadOf } from './lmdb-environment.ts'
import { checkpointIn, checkpointKey, partitionsMax } from './lmdb-partitions.ts'

const databaseName = /^partition-(\d{1,4})$/

/**
 * The checkpoint of each partition in the store at `folder`; none of a store that is missing,
 * damaged or of another format, since its owner replaces it.
 */
export async function checkpointsAt(folder: string): Promise<Map<number, Checkpoint>> {
  const found = new Map<number, Checkpoint>()
  if (!existsSync(join(folder, 'data.mdb')) || faultOfEnvironment(folder) !== undefined)
    return found
  try {
    await lookGuarded(folder, () => readCheckpoints(folder, found))
  } catch {
    // What was read before is true all the same.
  }
  return found
}

async function readCheckpoints(folder: string, found: Map<number, Checkpoint>): Promise<void> {
  let close = (): Promise<void> => Promise.resolve()
  try {
    const environment = open<Buffer, Buffer>({
      path: folder,
      readOnly: true,
      maxDbs: partitionsMax + 1,
      keyEncoding: 'binary',
      encoding: 'binary',
    })
    close = () => environment.close()
    // All of them first: the read transaction of an open cursor must not be used for anything else.
    for (const key of [...environment.getKeys()]) {
      // lmdb ends the names of databases with a zero octet.
      const name = Buffer.from(key).toString('latin1').split('\0')[0]!
      const [, number] = databaseName.exec(name) ?? []
      if (number === undefined) continue
      const database: Database<Buffer, Buffer> | undefined = environment.openDB({
        name: `partition-${number}`,
        keyEncoding: 'binary',
        encoding: 'binary',
      })
      const value = database?.get(checkpointKey)
      if (value !== undefined)
        found.set(Number(number), checkpointIn(Buffer.from(payloadOf(value, 'checkpoint'))))
    }
  } finally {
    await close()
  }
}
