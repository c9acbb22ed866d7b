/**
 * The buffer of a profile generic as rows of named, typed and scaled columns with times. What a
 * meter left out is filled in: null-data is the value of the row before, in a clock column that
 * value one capture period on; a delta type is what the value grew by. Arrays and compact-arrays
 * are read alike. [IEC 62056-6-2, Profile generic, buffer]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import {
  decodeValue,
  encodeValue,
  integerRanges,
  skipValue,
  Tag,
  type AxdrValue,
} from '../axdr/axdr.ts'
import {
  cosemDateTimeBytes,
  readClockStatus,
  readLocalMs,
  writeCosemDateTime,
  writeLocalDateTime,
} from '../axdr/date-time.ts'
import type { CaptureObject, Selection } from '../apdu/descriptor.ts'
import { isLocal, LocalTimes, utcMsIn, type LocalZone } from '../axdr/local-time.ts'
import { formatObis } from '../axdr/obis.ts'
import { isScaled, scaledValue, type Scaled, type ScalerUnit } from './attribute.ts'
import { findClass } from './class-table.ts'
import { nameOfObis } from './obis-name.ts'
import { meaningOf, type Note } from './reading.ts'
import type { CosemType, Json } from './type.ts'

/** A column that may be scaled when its object's scaler_unit is known. */
export type ProfileColumn = CaptureObject & {
  version?: number | undefined
  scalerUnit?: ScalerUnit | undefined
}

/** What the profile's own attributes say of its buffer. */
export type ProfileOptions = {
  /**
   * capture_period; 0 or absent: captured on events, and left-out times are those of the row
   * before.
   */
  capturePeriodSeconds?: number | undefined
  /** sort_method; 2, last in first out, has the newest row first, so that time runs backwards. */
  sortMethod?: number | undefined
  /** Of clocks that send no deviation; without it their times are local ones only. */
  zone?: LocalZone | undefined
}

/** `isFilled`: the meter left it out, or sent what it grew by. */
export type ProfileCell = { json: Json; scaled?: Scaled; isFilled?: true }
/**
 * `utcMs` of the first clock column, when it names a point in time. `localMs`: what that clock
 * shows, as if it were UTC, where it sends no deviation and its zone is not known.
 */
export type ProfileRow = { utcMs: number | undefined; localMs?: number; cells: ProfileCell[] }
export type Profile = {
  /** Names of the columns; those without a column of their own are `column 5`. */
  names: string[]
  rows: ProfileRow[]
  notes: Note[]
}

const clockClass = 8
const lastInFirstOut = 2
const deltaTags: ReadonlySet<Tag> = new Set([
  Tag.DELTA_INTEGER,
  Tag.DELTA_LONG,
  Tag.DELTA_DOUBLE_LONG,
  Tag.DELTA_UNSIGNED,
  Tag.DELTA_LONG_UNSIGNED,
  Tag.DELTA_DOUBLE_LONG_UNSIGNED,
])

export function isClockColumn({ classId, attributeId }: CaptureObject): boolean {
  return classId === clockClass && attributeId === 2
}

/** The object's name, and the attribute's where it is not what the object is for. */
export function nameOfColumn(column: ProfileColumn): string {
  const name = nameOfObis(column.instanceId)
  const attribute = findClass(column.classId, column.version ?? Number.MAX_SAFE_INTEGER)
    ?.attributes[column.attributeId - 1]
  const isMain = column.attributeId === 2 && column.classId !== 5
  const element = column.dataIndex === 0 ? '' : `, element ${column.dataIndex}`
  return (
    name + (isMain ? '' : `, ${attribute?.name ?? `attribute ${column.attributeId}`}`) + element
  )
}

/**
 * The columns that capture_objects holds. @throws BrokerError as `decodeValue`, DLMS_VALUE_INVALID
 * for another shape
 */
export function decodeColumns(view: Buffer): CaptureObject[] {
  const list = decodeValue(view)
  if (list.tag !== Tag.ARRAY && list.tag !== Tag.COMPACT_ARRAY)
    throw new BrokerError('DLMS_VALUE_INVALID', 'capture_objects are no array')
  return list.elements.map((element, i) => {
    const [classId, name, attribute, index] = element.tag === Tag.STRUCTURE ? element.elements : []
    if (
      classId?.tag !== Tag.LONG_UNSIGNED ||
      name?.tag !== Tag.OCTET_STRING ||
      // Some meters send the index of an attribute unsigned.
      (attribute?.tag !== Tag.INTEGER && attribute?.tag !== Tag.UNSIGNED) ||
      index?.tag !== Tag.LONG_UNSIGNED
    )
      throw new BrokerError('DLMS_VALUE_INVALID', `capture_objects[${i}]`)
    return {
      classId: classId.value,
      instanceId: formatObis(name.value),
      attributeId: attribute.value,
      dataIndex: index.value,
    }
  })
}

/**
 * The rows of a buffer, in the order in which the meter sent them. Rows behind an array that is
 * counted short are read too.
 * @throws BrokerError as `decodeValue`
 */
export function readProfile(
  view: Buffer,
  columns: readonly ProfileColumn[],
  options: ProfileOptions = {},
): Profile {
  const reader = new ProfileReader(columns, options)
  let at = 0
  while (at < view.length) {
    const end = skipValue(view, at)
    const value = decodeValue(view.subarray(at, end))
    if (at > 0)
      reader.note({ path: '', problem: 'length-unexpected', detail: `octets behind octet ${at}` })
    if (value.tag === Tag.ARRAY || value.tag === Tag.COMPACT_ARRAY)
      for (const row of value.elements) reader.read(row)
    else if (value.tag !== Tag.NULL) reader.read(value)
    at = end
  }
  return { names: reader.names, rows: reader.rows, notes: reader.notes }
}

class ProfileReader {
  readonly names: string[]
  readonly rows: ProfileRow[] = []
  readonly notes: Note[] = []
  private readonly columns: readonly ProfileColumn[]
  private readonly types: CosemType[]
  private readonly clockIndex: number
  private readonly stepMs: number
  private readonly zone: LocalZone | undefined
  private readonly times: LocalTimes
  private previous: AxdrValue[] = []

  constructor(columns: readonly ProfileColumn[], options: ProfileOptions) {
    this.columns = columns
    this.names = columns.map(nameOfColumn)
    this.types = columns.map(typeOfColumn)
    this.clockIndex = columns.findIndex(isClockColumn)
    this.zone = options.zone
    this.times = new LocalTimes(options.zone)
    const periodMs = (options.capturePeriodSeconds ?? 0) * 1000
    this.stepMs = options.sortMethod === lastInFirstOut ? -periodMs : periodMs
  }

  read(row: AxdrValue): void {
    const path = `[${this.rows.length}]`
    const values = row.tag === Tag.STRUCTURE ? row.elements : [row]
    if (values.length !== this.columns.length)
      this.note({
        path,
        problem: 'fields-unexpected',
        detail: `${values.length} fields, not ${this.columns.length}`,
      })
    const resolved: AxdrValue[] = []
    const cells = values.map((value, i): ProfileCell => {
      const filled = this.fill(value, i, `${path}[${i}]`)
      resolved.push(filled)
      return this.cellOf(filled, i, filled !== value, `${path}[${i}]`)
    })
    this.previous = resolved
    while (this.names.length < cells.length) this.names.push(`column ${this.names.length + 1}`)
    const clock = resolved[this.clockIndex]
    const isFilled = clock !== undefined && clock !== values[this.clockIndex]
    this.rows.push({ ...this.timesOf(clock, isFilled), cells })
  }

  private timesOf(
    clock: AxdrValue | undefined,
    isFilled: boolean,
  ): Pick<ProfileRow, 'utcMs' | 'localMs'> {
    const view = timeView(clock)
    const utcMs = isFilled ? this.times.step(this.stepMs) : view && this.times.utcMsAt(view, 0)
    const localMs = view === undefined || utcMs !== undefined ? undefined : readLocalMs(view, 0)
    return { utcMs, ...(localMs !== undefined && { localMs }) }
  }

  note(note: Note): void {
    if (this.notes.length < limits.cosemNotesMax) this.notes.push(note)
  }

  private cellOf(value: AxdrValue, i: number, isFilled: boolean, path: string): ProfileCell {
    const { json, notes } = meaningOf(value, this.types[i] ?? 'any')
    for (const note of notes) this.note({ ...note, path: path + note.path })
    const cell: ProfileCell = { json }
    const column = this.columns[i]
    if (column?.scalerUnit !== undefined && isScaled(column.classId, column.attributeId)) {
      const scaled = scaledValue(value, column.scalerUnit)
      if (scaled !== undefined) cell.scaled = scaled
    }
    if (isFilled) cell.isFilled = true
    return cell
  }

  /** One period on from the clock of the row before, as the clocks of its zone show it. */
  private steppedClock(before: AxdrValue): AxdrValue | undefined {
    const utcMs = this.rows.at(-1)?.utcMs
    const view = timeView(before)
    const isByZone = utcMs !== undefined && view !== undefined && isLocal(view, 0)
    const laterMs = isByZone ? this.zone?.localMsOf(utcMs + this.stepMs) : undefined
    return steppedTime(before, this.stepMs, laterMs)
  }

  /** The value itself, or a new one from the row before. */
  private fill(value: AxdrValue, i: number, path: string): AxdrValue {
    const before = this.previous[i]
    if (value.tag === Tag.NULL) {
      if (before === undefined || before.tag === Tag.NULL) return value
      const column = this.columns[i]
      if (column === undefined || !isClockColumn(column) || this.stepMs === 0) return { ...before }
      return this.steppedClock(before) ?? value
    }
    if (!deltaTags.has(value.tag)) return value
    const grown = before === undefined ? undefined : grownBy(before, value)
    if (grown === undefined)
      this.note({
        path,
        problem: 'type-unexpected',
        detail: 'a delta without a value to add it to',
      })
    return grown ?? value
  }
}

/** The type of a column's cells: the attribute's, or that of one of its fields. */
function typeOfColumn(column: ProfileColumn): CosemType {
  const type =
    findClass(column.classId, column.version ?? Number.MAX_SAFE_INTEGER)?.attributes[
      column.attributeId - 1
    ]?.type ?? 'any'
  if (column.dataIndex === 0) return type
  if (typeof type === 'string' || !('structure' in type)) return 'any'
  return Object.values(type.structure)[column.dataIndex - 1] ?? 'any'
}

function timeView(value: AxdrValue | undefined): Buffer | undefined {
  if (value?.tag !== Tag.OCTET_STRING && value?.tag !== Tag.DATE_TIME) return undefined
  if (value.value.length === cosemDateTimeBytes) return value.value
  // Some meters put the octet-string, or the date-time, into another octet-string.
  const isNested =
    (value.value.length === 2 + cosemDateTimeBytes &&
      value.value.readUInt16BE(0) === ((Tag.OCTET_STRING << 8) | cosemDateTimeBytes)) ||
    (value.value.length === 1 + cosemDateTimeBytes && value.value[0] === Tag.DATE_TIME)
  return isNested ? value.value.subarray(-cosemDateTimeBytes) : undefined
}

/**
 * The point in time of a clock's value; undefined for another value, a wildcard, or a local time of
 * a zone that is not known.
 */
export function utcMsOf(
  value: AxdrValue | undefined,
  zone: LocalZone | undefined,
): number | undefined {
  const view = timeView(value)
  return view === undefined ? undefined : utcMsIn(view, 0, zone)
}

/**
 * The same clock `stepMs` later, or where its hands show `laterMs`; deviation and status are kept.
 */
function steppedTime(value: AxdrValue, stepMs: number, laterMs?: number): AxdrValue | undefined {
  const view = timeView(value)
  const localMs = view && readLocalMs(view, 0)
  if (view === undefined || localMs === undefined) return undefined
  const later = Buffer.alloc(cosemDateTimeBytes)
  writeCosemDateTime(later, 0, laterMs ?? localMs + stepMs, 0, readClockStatus(view, 0))
  // The deviation goes on; what was left open stays so.
  view.copy(later, 9, 9, 11)
  if (view[4] === 0xff) later[4] = 0xff
  if (view[8] === 0xff) later[8] = 0xff
  return { tag: value.tag as typeof Tag.OCTET_STRING, value: later }
}

function grownBy(before: AxdrValue, delta: AxdrValue): AxdrValue | undefined {
  const range = integerRanges.get(before.tag)
  // No delta type goes with bcd, whose octet is no sum.
  if (range === undefined || before.tag === Tag.BCD || deltaTags.has(before.tag)) return undefined
  const sum =
    BigInt((before as { value: number }).value) + BigInt((delta as { value: number }).value)
  if (sum < range[0] || sum > range[1]) return undefined
  const value = typeof (before as { value: number | bigint }).value === 'bigint' ? sum : Number(sum)
  return { tag: before.tag, value } as AxdrValue
}

/**
 * Rows from one time to another, both included; `columns` empty: all of them. `clock` is the
 * profile's clock column.
 */
export function rangeOfTimes(
  clock: CaptureObject,
  fromUtcMs: number,
  toUtcMs: number,
  columns: CaptureObject[] = [],
  deviationMinutes = 0,
): Selection {
  const bound = (utcMs: number): AxdrValue => {
    const value = Buffer.alloc(12)
    writeCosemDateTime(value, 0, utcMs, deviationMinutes)
    return { tag: Tag.OCTET_STRING, value }
  }
  return { type: 'range', restricting: clock, from: bound(fromUtcMs), to: bound(toUtcMs), columns }
}

/**
 * The same for a device that takes bounds without deviation only: in the local time of its zone.
 * Where clocks are put back within the range it takes in every time that they show, so that rows
 * outside may come too.
 */
export function rangeOfLocalTimes(
  clock: CaptureObject,
  fromUtcMs: number,
  toUtcMs: number,
  zone: LocalZone,
  columns: CaptureObject[] = [],
): Selection {
  const { fromLocalMs, toLocalMs } = zone.localRangeOf(fromUtcMs, toUtcMs)
  const bound = (localMs: number): AxdrValue => {
    const value = Buffer.alloc(cosemDateTimeBytes)
    writeLocalDateTime(value, 0, localMs)
    return { tag: Tag.OCTET_STRING, value }
  }
  const [from, to] = [bound(fromLocalMs), bound(toLocalMs)]
  return { type: 'range', restricting: clock, from, to, columns }
}

/**
 * Rows by number from 1, the first one as the sort method has it; 0 the last one, and of columns
 * likewise.
 */
export function rangeOfEntries(
  fromEntry: number,
  toEntry: number,
  fromColumn = 1,
  toColumn = 0,
): Selection {
  return { type: 'entry', fromEntry, toEntry, fromColumn, toColumn }
}

/**
 * The rows as a meter sends them when it leaves out what did not change, and clocks that went one
 * period on.
 * [IEC 62056-6-2, Profile generic, buffer]
 */
export function compressRows(
  rows: readonly (readonly AxdrValue[])[],
  clockIndex: number,
  options: ProfileOptions = {},
): AxdrValue[][] {
  const periodMs = (options.capturePeriodSeconds ?? 0) * 1000
  const stepMs = options.sortMethod === lastInFirstOut ? -periodMs : periodMs
  return rows.map((row, at) =>
    row.map((value, i) => {
      const before = rows[at - 1]?.[i]
      if (before === undefined) return value
      const isStepped = i === clockIndex && stepMs !== 0
      const expected = isStepped ? steppedTime(before, stepMs) : before
      const isImplied = expected !== undefined && encodeValue(expected).equals(encodeValue(value))
      return isImplied ? { tag: Tag.NULL } : value
    }),
  )
}
