/**
 * Rows by key on disk, for views of the ledger, which keep their checkpoint among them. A cache:
 * what is damaged is rebuilt. Twins: core/store/lmdb-rows and core/ports/sim/rows.
 */

/** Keys are ordered by their octets. */
export type StoredRow = { key: Buffer; value: Buffer }
/** A row to be saved; without a value it is deleted, if it is there. */
export type ChangedRow = { key: Buffer; value: Buffer | undefined }

export interface RowStore {
  /** Borrowed for the present turn. @throws BrokerError STORE_DAMAGED */
  get(key: Buffer): Buffer | undefined
  /**
   * Rows with `from` ≤ key < `to`, in order; to be read within one turn, values borrowed until the
   * next. @throws BrokerError STORE_DAMAGED
   */
  range(from: Buffer, to: Buffer): Iterable<StoredRow>
  /** How many rows `range` would give. */
  count(from: Buffer, to: Buffer): number
  /** All or none; settles when they are on disk. The octets are taken before it returns. */
  save(rows: readonly ChangedRow[]): Promise<void>
  clear(): Promise<void>
  close(): Promise<void>
}
