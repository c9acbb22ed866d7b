/**
 * Rows of views in LMDB, in an environment of their own: see ports/rows. A save is one transaction,
 * flushed on a thread of lmdb's. The rows are a cache of the ledger: when LMDB fails, or cannot be
 * opened, reads and saves reject; `clear` sets what cannot be trusted aside and opens it again,
 * also at the first time.
 */
import type { Database } from 'lmdb'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { silentLog, type Log } from '../ports/log.ts'
import type { ChangedRow, RowStore, StoredRow } from '../ports/rows.ts'
import {
  checkRoom,
  committed,
  guarded,
  hasRoom,
  openLmdbEnvironment,
  payloadOf,
  setEnvironmentAside,
  type LmdbEnvironment,
  type LmdbEnvironmentOptions,
} from './lmdb-environment.ts'
import { codeOfFault, isFatalFault, wordsOfFault } from './lmdb-faults.ts'

const formatVersion = 1

/**
 * Opens the rows in `folder`, making it when needed; one that is damaged is set aside and replaced
 * by an empty one. Never throws.
 */
export function openLmdbRows({ folder, log }: { folder: string; log?: Log }): RowStore {
  return new LmdbRows({ folder, formatVersion, databasesMax: 1, log })
}

type Opened = { environment: LmdbEnvironment; database: Database<Buffer, Buffer> }

class LmdbRows implements RowStore {
  private readonly options: LmdbEnvironmentOptions
  private readonly log: Log
  private opened: Opened | undefined
  private why = 'it is not open'
  /** Saves that failed, one after the other. */
  private failures = 0
  /** What is on the disk is to be set aside before it is used again. */
  private distrust: string | undefined
  private isClosed = false

  constructor(options: LmdbEnvironmentOptions) {
    this.options = options
    this.log = options.log ?? silentLog
    try {
      this.open()
    } catch {
      const { folder } = options
      this.log.error({ folder, fault: this.why }, 'the rows of views cannot be opened')
    }
  }

  get(key: Buffer): Buffer | undefined {
    return this.read((database) => {
      const value = database.getBinary(key)
      return value && payloadOf(value, 'a row')
    })
  }

  *range(from: Buffer, to: Buffer): Generator<StoredRow> {
    const rows = this.read((database) =>
      database.getRange({ start: from, end: to })[Symbol.iterator](),
    )
    try {
      for (;;) {
        const row = this.read(() => rows.next())
        if (row.done === true) return
        const { key, value } = row.value
        yield { key, value: payloadOf(value, 'a row') }
      }
    } finally {
      // Who stops early must not keep the cursor, and with it the snapshot, for ever.
      rows.return?.()
    }
  }

  count(from: Buffer, to: Buffer): number {
    const count = this.read((database) => database.getKeysCount({ start: from, end: to }))
    // Views count their rows when they have opened them: they have been read without harm.
    this.opened?.environment.settled()
    return count
  }

  async save(rows: readonly ChangedRow[]): Promise<void> {
    const { database } = this.use()
    const guardedRows = rows.map(({ key, value }) => ({
      key,
      value: value && guarded(value),
    }))
    const { folder } = this.options
    const bytes = guardedRows.reduce(
      (total, { key, value }) => total + key.length + (value?.length ?? 0),
      0,
    )
    checkRoom(folder, rows.length, bytes)
    try {
      await committed(
        database.batch(() => {
          for (const { key, value } of guardedRows)
            void (value === undefined ? database.remove(key) : database.put(key, value))
        }),
      )
      this.failures = 0
      this.opened?.environment.settled()
    } catch (fault) {
      this.failures++
      const isLasting = this.failures >= limits.storeFailuresMax && hasRoom(this.options.folder)
      if (!isFatalFault(fault) && !isLasting) throw fault
      this.distrust = wordsOfFault(fault)
      throw new BrokerError('STORE_DAMAGED', `it cannot be written: ${this.distrust}`, {
        cause: fault,
      })
    }
  }

  async clear(): Promise<void> {
    if (this.isClosed) return
    if (this.distrust !== undefined) {
      const { opened } = this
      this.opened = undefined
      await opened?.environment.close()
      setEnvironmentAside(this.options, this.distrust)
      this.distrust = undefined
    }
    if (this.opened === undefined) this.open()
    const { environment, database } = this.use()
    checkRoom(this.options.folder, 0, 0)
    environment.unsettled()
    try {
      await committed(database.clearAsync())
    } catch (fault) {
      // It holds what is not to be used.
      this.distrust = wordsOfFault(fault)
      throw fault
    }
  }

  async close(): Promise<void> {
    this.isClosed = true
    const { opened } = this
    this.opened = undefined
    await opened?.environment.close()
  }

  /** @throws what the disk says */
  private open(): void {
    let environment: LmdbEnvironment | undefined
    try {
      environment = openLmdbEnvironment(this.options)
      const database = environment.root.openDB({
        name: 'rows',
        keyEncoding: 'binary',
        encoding: 'binary',
      })
      this.opened = { environment, database }
      this.failures = 0
    } catch (fault) {
      void environment?.close()
      this.why = wordsOfFault(fault)
      throw fault
    }
  }

  private use(): Opened {
    if (this.opened === undefined)
      throw new BrokerError('STORE_DAMAGED', `the rows of views cannot be used: ${this.why}`)
    return this.opened
  }

  private read<T>(read: (database: Database<Buffer, Buffer>) => T): T {
    const { database } = this.use()
    try {
      return read(database)
    } catch (cause) {
      if (cause instanceof BrokerError) throw cause
      this.distrust = `${String(codeOfFault(cause))} ${wordsOfFault(cause)}`
      throw new BrokerError('STORE_DAMAGED', this.distrust, { cause })
    }
  }
}
