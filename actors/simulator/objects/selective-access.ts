/**
 * What part of a profile's buffer a client asks for, as numbers: core reads the selection, and here
 * it is held against the columns that there are. [IEC 62056-6-2, Profile generic, selective access
 * by range and by entry]
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { skipValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import { utcMsOf } from '../../../core/dlms/cosem/profile.ts'
import { utcZone } from '../../../core/dlms/axdr/local-time.ts'
import { integerOfValue } from '../../../core/dlms/cosem/type.ts'
import { cosemDateTimeBytes } from '../../../core/dlms/axdr/date-time.ts'
import {
  decodeSelection,
  type CaptureObject as NamedColumn,
} from '../../../core/dlms/apdu/descriptor.ts'

/**
 * Rows whose cell in column `column` is in [from, to]: UTC ms of a clock, else a number; columns to
 * show by number, none: all.
 */
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

/** By range and by entry. */
export const profileSelectors: readonly number[] = [1, 2]

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

type Side = 'from' | 'to'

/**
 * A bound that names no date does not count; undefined for a value of another type than the
 * column's.
 */
function boundOf(value: AxdrValue, isClock: boolean, side: Side): number | undefined {
  const number = integerOfValue(value)
  if (!isClock) return number === undefined ? undefined : Number(number)
  if (number !== undefined || !('value' in value)) return undefined
  return utcMsOf(wholeDay(value, side), utcZone) ?? (side === 'from' ? -Infinity : Infinity)
}

// Hour, minute, second and hundredths of a date-time, and their greatest values; any of them may be
// left open.
const timeOfDayAt = 5
const lastOfDay = [23, 59, 59, 99]

/** A date with an open time of day is all of it: `from` its beginning, `to` its end. */
function wholeDay(value: AxdrValue, side: Side): AxdrValue {
  const isTime = value.tag === Tag.OCTET_STRING || value.tag === Tag.DATE_TIME
  if (!isTime || value.value.length !== cosemDateTimeBytes) return value
  const filled = Buffer.from(value.value)
  for (const [i, last] of lastOfDay.entries())
    if (filled[timeOfDayAt + i] === 0xff) filled[timeOfDayAt + i] = side === 'from' ? 0 : last
  return { tag: value.tag, value: filled }
}

/**
 * Parses `view`: the access-selector octet and its A-XDR parameters; or gives the
 * data-access-result that says no.
 */
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
    const from = boundOf(asked.from, isClock, 'from')
    const to = boundOf(asked.to, isClock, 'to')
    if (from === undefined || to === undefined) return TYPE_UNMATCHED
    return from > to
      ? SCOPE_OF_ACCESS_VIOLATED
      : { kind: 'range', column, from, to, columns: chosen }
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return TYPE_UNMATCHED
  }
}
