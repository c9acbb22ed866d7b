/**
 * The buffer of a profile generic as a meter keeps it: entries in the order of the sort method, as
 * many as there is room for, and what selective access takes out of it. [IEC 62056-6-2, Profile
 * generic, sort_method and selective access]
 *
 *   fifo              oldest first; a full buffer lets go of the oldest
 *   lifo              newest first; a full buffer lets go of the oldest
 *   largest, smallest, nearest_to_zero, farest_from_zero
 *                     by the sort object; a full buffer keeps what comes first, so the last one goes, be it the newest
 */
import { Tag, type AxdrValue } from '../axdr/axdr.ts'
import type { Selection } from '../apdu/descriptor.ts'
import { utcZone } from '../axdr/local-time.ts'
import { utcMsOf } from './profile.ts'
import { integerOfValue } from './type.ts'

/** sort_method by its number. */
export const SortMethod = {
  FIFO: 1,
  LIFO: 2,
  LARGEST: 3,
  SMALLEST: 4,
  NEAREST_TO_ZERO: 5,
  FAREST_FROM_ZERO: 6,
} as const
export type SortMethod = (typeof SortMethod)[keyof typeof SortMethod]

export type BufferOptions = {
  sortMethod: SortMethod
  /** profile_entries; at least 1. */
  entriesMax: number
  /** Column of the sort object, from 0; of no account for fifo and lifo. */
  sortIndex?: number | undefined
}

export class ProfileBuffer {
  private readonly options: BufferOptions
  private readonly entries: AxdrValue[][] = []

  constructor(options: BufferOptions) {
    this.options = options
  }

  /** entries_in_use. */
  get entriesInUse(): number {
    return this.entries.length
  }

  /** All entries in their order, borrowed until the next capture. */
  get rows(): readonly (readonly AxdrValue[])[] {
    return this.entries
  }

  /** Takes an entry in; keeps `row`. Returns the one that had to go, which may be the same. */
  capture(row: AxdrValue[]): AxdrValue[] | undefined {
    const { sortMethod, entriesMax } = this.options
    if (sortMethod === SortMethod.FIFO) this.entries.push(row)
    else if (sortMethod === SortMethod.LIFO) this.entries.unshift(row)
    else {
      const at = this.entries.findIndex((entry) => this.comesBefore(row, entry))
      this.entries.splice(at < 0 ? this.entries.length : at, 0, row)
    }
    if (this.entries.length <= entriesMax) return undefined
    return sortMethod === SortMethod.FIFO ? this.entries.shift() : this.entries.pop()
  }

  /** The method reset. */
  reset(): void {
    this.entries.length = 0
  }

  /**
   * Entries that a selection takes, in their order. By range: those whose column `restrictingIndex`
   * lies between the bounds, both included; by entry: by number from 1, 0 for the last one.
   * `columnsIndexes` of a range: which columns, none for all. Undefined for a selection that a
   * profile does not know.
   */
  select(
    selection: Selection,
    restrictingIndex: number,
    columnIndexes: readonly number[] = [],
  ): AxdrValue[][] | undefined {
    if (selection.type === 'range') {
      const [from, to] = [keyOf(selection.from), keyOf(selection.to)]
      if (from === undefined || to === undefined) return undefined
      return this.entries
        .filter((entry) => {
          const key = keyOf(entry[restrictingIndex])
          return key !== undefined && key >= from && key <= to
        })
        .map((entry) =>
          columnIndexes.length === 0 ? [...entry] : columnIndexes.map((i) => entry[i]!),
        )
    }
    if (selection.type !== 'entry') return undefined
    const { fromEntry, toEntry, fromColumn, toColumn } = selection
    const until = toEntry === 0 ? undefined : toEntry
    const untilColumn = toColumn === 0 ? undefined : toColumn
    return this.entries
      .slice(Math.max(0, fromEntry - 1), until)
      .map((entry) => entry.slice(Math.max(0, fromColumn - 1), untilColumn))
  }

  private comesBefore(row: AxdrValue[], entry: AxdrValue[]): boolean {
    const { sortMethod, sortIndex = 0 } = this.options
    const [a, b] = [keyOf(row[sortIndex]), keyOf(entry[sortIndex])]
    // What cannot be compared comes last, and of equals the older one first.
    if (a === undefined || b === undefined) return a !== undefined
    switch (sortMethod) {
      case SortMethod.LARGEST:
        return a > b
      case SortMethod.SMALLEST:
        return a < b
      case SortMethod.NEAREST_TO_ZERO:
        return distance(a) < distance(b)
      default:
        return distance(a) > distance(b)
    }
  }
}

type SortKey = number | bigint

function distance(key: SortKey): SortKey {
  return key < 0 ? -key : key
}

/** Numbers by their value, clocks by their time; undefined for what has no order. */
function keyOf(value: AxdrValue | undefined): SortKey | undefined {
  if (value === undefined) return undefined
  const integer = integerOfValue(value)
  if (integer !== undefined) return integer
  if (value.tag === Tag.FLOAT32 || value.tag === Tag.FLOAT64) return value.value
  return utcMsOf(value, utcZone)
}
