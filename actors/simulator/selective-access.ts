/**
 * What part of a profile's buffer a client asks for, as numbers: core reads the selection, and here it is held against the columns that
 * there are. [IEC 62056-6-2, Profile generic, selective access by range and by entry]
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { DataAccessResult } from '../../core/dlms/apdu.ts'
import { skipValue, type AxdrValue } from '../../core/dlms/axdr.ts'
import { utcMsOf } from '../../core/dlms/cosem/profile.ts'
import { integerOfValue } from '../../core/dlms/cosem/type.ts'
import { decodeSelection, type CaptureObject as NamedColumn } from '../../core/dlms/descriptor.ts'

/** Rows whose cell in column `column` is in [from, to]: UTC ms of a clock, else a number; columns to show by number, none: all. */
export type RangeSelection = {
  kind: 'range'
  column: number
  from: number
  to: number
  columns: readonly number[]
}
/** Entries and columns from 1 on, both ends included, 0: the last one. */
export type EntrySelection = {
  kind: 'entry'
  fromEntry: number
  toEntry: number
  fromColumn: number
  toColumn: number
}

export type CaptureObject = {
  readonly classId: number
  readonly obisBytes: Buffer
  /** The same as text. */
  readonly instanceId: string
  readonly attribute: number
}

const clockClass = 8
const { SCOPE_OF_ACCESS_VIOLATED, TYPE_UNMATCHED } = DataAccessResult

/** The column's number; -1 for none. */
function columnOf(named: NamedColumn, columns: readonly CaptureObject[]): number {
  return columns.findIndex(
    ({ classId, attribute, instanceId }) =>
      classId === named.classId &&
      attribute === named.attributeId &&
      instanceId === named.instanceId,
  )
}

/** A bound that names no time is none; undefined for a value of another type than the column's. */
function boundOf(value: AxdrValue, isClock: boolean, open: number): number | undefined {
  const number = integerOfValue(value)
  if (isClock)
    return number !== undefined || !('value' in value) ? undefined : (utcMsOf(value) ?? open)
  return number === undefined ? undefined : Number(number)
}

/** Parses `view`: the access-selector octet and its A-XDR parameters; or gives the data-access-result that says no. */
export function parseSelection(
  view: Buffer,
  columns: readonly CaptureObject[],
): RangeSelection | EntrySelection | number {
  try {
    if (view.length < 2 || skipValue(view, 1) !== view.length) return TYPE_UNMATCHED
    const asked = decodeSelection(view)
    if (asked.type === 'other')
      return asked.selector === 1 || asked.selector === 2
        ? TYPE_UNMATCHED
        : SCOPE_OF_ACCESS_VIOLATED
    if (asked.type === 'entry') {
      const { fromEntry, toEntry, fromColumn, toColumn } = asked
      const isThere =
        fromEntry > 0 && fromColumn > 0 && Math.max(fromColumn, toColumn) <= columns.length
      const isForward =
        (toEntry === 0 || toEntry >= fromEntry) && (toColumn === 0 || toColumn >= fromColumn)
      return isThere && isForward
        ? { kind: 'entry', fromEntry, toEntry, fromColumn, toColumn }
        : SCOPE_OF_ACCESS_VIOLATED
    }
    const column = columnOf(asked.restricting, columns)
    const chosen = asked.columns.map((named) => columnOf(named, columns))
    if (column < 0 || chosen.includes(-1) || chosen.length > columns.length)
      return SCOPE_OF_ACCESS_VIOLATED
    const isClock = columns[column]!.classId === clockClass
    const from = boundOf(asked.from, isClock, -Infinity)
    const to = boundOf(asked.to, isClock, Infinity)
    if (from === undefined || to === undefined) return TYPE_UNMATCHED
    return from > to
      ? SCOPE_OF_ACCESS_VIOLATED
      : { kind: 'range', column, from, to, columns: chosen }
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return TYPE_UNMATCHED
  }
}
