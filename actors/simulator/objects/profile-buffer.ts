/**
 * Rows of a profile as A-XDR: an array of structures, written in one go into memory of its exact
 * size. All columns are of fixed width, so the size is known beforehand; 13 months of half hours
 * are about 450 kB and a millisecond.
 */
import { lengthBytesFor, Tag, writeLength } from '../../../core/dlms/axdr/axdr.ts'
import { cosemDateTimeBytes, writeCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { dayMs } from '../model/load-curve.ts'

/** What a cell of a column is made of. */
export type Cell = 'clock' | 'status' | 'uint32' | 'uint16' | 'uint8'

const cellBytes = {
  clock: 2 + cosemDateTimeBytes,
  status: 2,
  uint32: 5,
  uint16: 3,
  uint8: 2,
} as const satisfies Record<Cell, number>

/**
 * Rows on their way into a buffer; reused, so that a long profile leaves little behind. Longest:
 * 400 days of half hours.
 */
export class ProfileRows {
  /** UTC ms of each row. */
  readonly stamps: Float64Array
  /** What the one column that is not clock or status shows. */
  readonly values: Float64Array
  readonly statuses: Uint8Array
  count = 0

  constructor(rowsMax: number) {
    this.stamps = new Float64Array(rowsMax)
    this.values = new Float64Array(rowsMax)
    this.statuses = new Uint8Array(rowsMax)
  }
}

/** `rows` with the given cells in the given order. The result is owned by the caller. */
export function encodeRows(rows: ProfileRows, cells: readonly Cell[]): Buffer {
  const { count } = rows
  const rowBytes = cells.reduce((sum, cell) => sum + cellBytes[cell], 2)
  const headBytes = 1 + lengthBytesFor(count)
  const out = Buffer.allocUnsafe(headBytes + count * rowBytes)
  out[0] = Tag.ARRAY
  let at = writeLength(out, 1, count)
  // The date is worked out once a day; only the time of day changes within it.
  let writtenDay = NaN
  let writtenAt = 0
  for (let row = 0; row < count; row++) {
    out[at++] = Tag.STRUCTURE
    out[at++] = cells.length
    for (let i = 0; i < cells.length; i++) {
      const value = rows.values[row]!
      switch (cells[i]!) {
        case 'clock': {
          out[at] = Tag.OCTET_STRING
          out[at + 1] = cosemDateTimeBytes
          const stamp = rows.stamps[row]!
          const day = Math.floor(stamp / dayMs)
          if (day === writtenDay) copyDateSetTime(out, writtenAt, at + 2, stamp - day * dayMs)
          else writeCosemDateTime(out, at + 2, stamp)
          writtenDay = day
          writtenAt = at + 2
          at += 2 + cosemDateTimeBytes
          break
        }
        case 'status':
          out[at] = Tag.UNSIGNED
          out[at + 1] = rows.statuses[row]!
          at += 2
          break
        case 'uint32':
          out[at] = Tag.DOUBLE_LONG_UNSIGNED
          out[at + 1] = value >>> 24
          out[at + 2] = value >>> 16
          out[at + 3] = value >>> 8
          out[at + 4] = value
          at += 5
          break
        case 'uint16':
          out[at] = Tag.LONG_UNSIGNED
          out[at + 1] = value >>> 8
          out[at + 2] = value
          at += 3
          break
        case 'uint8':
          out[at] = Tag.UNSIGNED
          out[at + 1] = value
          at += 2
          break
      }
    }
  }
  return out
}

function copyDateSetTime(out: Buffer, from: number, at: number, timeOfDayMs: number): void {
  for (let i = 0; i < 5; i++) out[at + i] = out[from + i]!
  const seconds = Math.trunc(timeOfDayMs / 1000)
  const minutes = Math.trunc(seconds / 60)
  out[at + 5] = Math.trunc(minutes / 60)
  out[at + 6] = minutes % 60
  out[at + 7] = seconds % 60
  out[at + 8] = Math.trunc(timeOfDayMs / 10) % 100
  out[at + 9] = 0
  out[at + 10] = 0
  out[at + 11] = 0
}
