/** Rows of views in LMDB, in an environment of their own: see ports/rows. A save is one transaction, flushed on a thread of lmdb's. */
import type { Log } from '../ports/log.ts'
import type { RowStore } from '../ports/rows.ts'
import {
  closeLmdbEnvironment,
  guarded,
  openLmdbEnvironment,
  payloadOf,
} from './lmdb-environment.ts'

const formatVersion = 1

/** Opens the rows in `folder`, making it when needed; one that is damaged is moved aside and replaced by an empty one. */
export function openLmdbRows({ folder, log }: { folder: string; log?: Log }): RowStore {
  const environment = openLmdbEnvironment({ folder, formatVersion, databasesMax: 1, log })
  const database = environment.openDB({
    name: 'rows',
    keyEncoding: 'binary',
    encoding: 'binary',
  })
  return {
    get(key) {
      const value = database.getBinary(key)
      return value && payloadOf(value, 'a row')
    },
    *range(from, to) {
      for (const { key, value } of database.getRange({ start: from, end: to }))
        yield { key, value: payloadOf(value, 'a row') }
    },
    count: (from, to) => database.getKeysCount({ start: from, end: to }),
    async save(rows) {
      await database.batch(() => {
        for (const { key, value } of rows) void database.put(key, guarded(value))
      })
    },
    clear: () => database.clearAsync(),
    close: () => closeLmdbEnvironment(environment),
  }
}
