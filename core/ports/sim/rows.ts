/** Rows in memory, with the rules of those on LMDB. */
import { copyOf } from '../../base/bytes.ts'
import type { ChangedRow, RowStore, StoredRow } from '../rows.ts'

export class SimRowStore implements RowStore {
  private readonly rows = new Map<string, Buffer>()

  get(key: Buffer): Buffer | undefined {
    return this.rows.get(key.toString('hex'))
  }

  *range(from: Buffer, to: Buffer): Generator<StoredRow> {
    const [first, end] = [from.toString('hex'), to.toString('hex')]
    for (const key of [...this.rows.keys()].sort())
      if (key >= first && key < end)
        yield { key: Buffer.from(key, 'hex'), value: this.rows.get(key)! }
  }

  count(from: Buffer, to: Buffer): number {
    return [...this.range(from, to)].length
  }

  save(rows: readonly ChangedRow[]): Promise<void> {
    for (const { key, value } of rows) {
      if (value === undefined) this.rows.delete(key.toString('hex'))
      else this.rows.set(key.toString('hex'), copyOf(value))
    }
    return Promise.resolve()
  }

  clear(): Promise<void> {
    this.rows.clear()
    return Promise.resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}
