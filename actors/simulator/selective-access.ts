/**
 * What part of a profile's buffer a client asks for. [IEC 62056-6-2, Profile generic, selective access by range and by entry]
 *
 *   1 by range  structure { restricting capture object, from, to, array of capture objects (empty: all) }
 *   2 by entry  structure { from entry, to entry, from column, to column }, u32 u32 u16 u16, from 1 on, 0: the last one
 *
 *   capture object = structure { class-id u16, logical name, attribute i8, index u16 }
 */
import { ParameterReader } from './parameter-reader.ts'

/** Entries with a time in [fromMs, toMs]; columns by number in the order asked for, undefined for all. */
export type RangeSelection = {
  kind: 'range'
  fromMs: number
  toMs: number
  columns: readonly number[] | undefined
}
/** Entries and columns from 1 on, both ends included, 0: the last one. */
export type EntrySelection = {
  kind: 'entry'
  fromEntry: number
  toEntry: number
  fromColumn: number
  toColumn: number
}

/** Why a selection cannot be followed: not of the shape, or of things that this profile does not have. */
export type SelectionFault = 'malformed' | 'unknown'

export type CaptureObject = {
  readonly classId: number
  readonly obisBytes: Buffer
  readonly attribute: number
}

const columnsAskedMax = 16

function columnOf(
  view: Buffer,
  parameter: ParameterReader,
  columns: readonly CaptureObject[],
): number {
  parameter.structure(4)
  const classId = parameter.uint16()
  const obisAt = parameter.obisAt()
  const attribute = parameter.int8()
  parameter.uint16()
  if (!parameter.isGood) return -1
  return columns.findIndex(
    (column) =>
      column.classId === classId &&
      column.attribute === attribute &&
      column.obisBytes.compare(view, obisAt, obisAt + 6) === 0,
  )
}

/**
 * Parses `view`: the access-selector octet and its A-XDR parameters. `columns` are those of the profile, of which number 0 is its clock,
 * the only one that a range can go by. A from or to that leaves something open counts as no bound.
 */
export function parseSelection(
  view: Buffer,
  columns: readonly CaptureObject[],
): RangeSelection | EntrySelection | SelectionFault {
  const parameter = new ParameterReader(view, 1)
  parameter.structure(4)
  if (view[0] === 2) {
    const fromEntry = parameter.uint32()
    const toEntry = parameter.uint32()
    const fromColumn = parameter.uint16()
    const toColumn = parameter.uint16()
    if (!parameter.isDone()) return 'malformed'
    if (
      fromEntry === 0 ||
      fromColumn === 0 ||
      fromColumn > columns.length ||
      toColumn > columns.length
    )
      return 'unknown'
    if ((toEntry !== 0 && toEntry < fromEntry) || (toColumn !== 0 && toColumn < fromColumn))
      return 'unknown'
    return { kind: 'entry', fromEntry, toEntry, fromColumn, toColumn }
  }
  if (view[0] !== 1) return 'unknown'
  const restricting = columnOf(view, parameter, columns)
  const fromMs = parameter.dateTime() ?? -Infinity
  const toMs = parameter.dateTime() ?? Infinity
  const count = parameter.shortArray()
  if (!parameter.isGood || count > columnsAskedMax) return 'malformed'
  const chosen: number[] = []
  for (let i = 0; i < count; i++) chosen.push(columnOf(view, parameter, columns))
  if (!parameter.isDone()) return 'malformed'
  if (restricting !== 0 || chosen.includes(-1) || fromMs > toMs) return 'unknown'
  return { kind: 'range', fromMs, toMs, columns: count === 0 ? undefined : chosen }
}
