/**
 * Profiles (class 7): half hours, days, voltage, events; worked out when asked for. The energy
 * column is the cumulative register at the end of the period, as capturing 1-0:1.8.0 attribute 2
 * says; consumption is the difference of two rows. Rows are stamped with true time, the end of
 * their period, whatever the meter's clock was set to. [IEC 62056-6-2, Profile generic]
 *
 * Nothing is kept in core's ProfileBuffer, as the billing values are: the half hours of 400 days
 * are 5.9 MB in it, for each of 50,000 meters, and a day out of them takes 2 ms instead of 10 µs.
 */
import { limits } from '../../../core/base/limits.ts'
import { parseObis } from '../../../core/dlms/axdr/obis.ts'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { cosemObject, encoded, encodedEnumerations, type SimulatedObject } from './cosem-object.ts'
import { eventsUntil, EventCode, outagesBetween } from '../model/event-log.ts'
import { dayMs, fillDays, fillHalfHours, halfHourMs } from '../model/load-curve.ts'
import { halfHoursPerDay } from '../model/day-shape.ts'
import type { MeterState } from '../model/meter-state.ts'
import { encodeRows, ProfileRows, type Cell } from './profile-buffer.ts'
import { parseSelection, profileSelectors, type CaptureObject } from './selective-access.ts'
import { averageDecivolts } from '../model/voltage.ts'

/** Rows each profile keeps. Half hours: 13 months and more; voltage: 90 days; days: two years. */
const halfHourRowsMax = limits.profileDaysMax * halfHoursPerDay
const voltageRowsMax = 4_320
const dayRowsMax = 731
const eventRowsMax = 256

/** AMR status bits: what happened in the period of a row. */
export const RowStatus = { POWER_DOWN: 0x80, CLOCK_ADJUSTED: 0x20 } as const

type Column = CaptureObject & { readonly cell: Cell }
const column = (classId: number, obis: string, attribute: number, cell: Cell): Column => ({
  classId,
  obisBytes: parseObis(obis),
  instanceId: obis,
  attribute,
  cell,
})

const clockColumn = column(8, '0-0:1.0.0.255', 2, 'clock')
const statusColumn = column(1, '0-0:96.10.1.255', 2, 'status')

/**
 * Rows of one profile at one moment, numbered from `first` (the oldest kept) up to, without, `end`.
 */
type RowSource = {
  readonly first: number
  readonly end: number
  /** The first row at or after `ms`; any number when there is none. */
  seek(ms: number): number
  fill(first: number, rows: ProfileRows): void
}

type Profile = {
  readonly obis: string
  readonly periodSeconds: number
  readonly rowsMax: number
  readonly columns: readonly Column[]
  open(meter: MeterState, nowMs: number): RowSource
}

const scratch = new ProfileRows(halfHourRowsMax)

/**
 * The part of the buffer that `selection` asks for, all of it without one; or a data-access-result.
 */
function readBuffer(
  profile: Profile,
  meter: MeterState,
  nowMs: number,
  selection: Buffer | undefined,
): Buffer | number {
  const { columns } = profile
  const source = profile.open(meter, nowMs)
  let { first, end } = source
  let cells: readonly Cell[] = columns.map(({ cell }) => cell)
  let within: { cell: Cell; from: number; to: number } | undefined
  if (selection !== undefined) {
    const asked = parseSelection(selection, columns)
    if (typeof asked === 'number') return asked
    if (asked.kind === 'range') {
      const { cell } = columns[asked.column]!
      if (cell !== 'clock') within = { cell, from: asked.from, to: asked.to }
      else {
        if (asked.from > -Infinity) first = Math.max(first, source.seek(asked.from))
        if (asked.to < Infinity) end = Math.min(end, source.seek(asked.to + 1))
      }
      if (asked.columns.length > 0) cells = asked.columns.map((index) => columns[index]!.cell)
    } else {
      if (asked.toEntry !== 0) end = Math.min(end, first + asked.toEntry)
      first += asked.fromEntry - 1
      cells = cells.slice(asked.fromColumn - 1, asked.toColumn === 0 ? undefined : asked.toColumn)
    }
  }
  scratch.count = Math.max(0, end - first)
  if (scratch.count > 0) source.fill(first, scratch)
  if (within !== undefined)
    keepRows(scratch, within.cell === 'status' ? scratch.statuses : scratch.values, within)
  return encodeRows(scratch, cells)
}

/** Lets go of the rows whose cell is not between the bounds. */
function keepRows(
  rows: ProfileRows,
  cells: Float64Array | Uint8Array,
  { from, to }: { from: number; to: number },
): void {
  let count = 0
  for (let row = 0; row < rows.count; row++) {
    if (cells[row]! < from || cells[row]! > to) continue
    rows.stamps[count] = rows.stamps[row]!
    rows.values[count] = rows.values[row]!
    rows.statuses[count++] = rows.statuses[row]!
  }
  rows.count = count
}

function profileObject(profile: Profile): SimulatedObject {
  const { columns, periodSeconds, rowsMax } = profile
  const writeColumn = (
    w: Parameters<Parameters<typeof encoded>[0]>[0],
    { classId, obisBytes, attribute }: CaptureObject,
  ): void => {
    w.structure(4).uint16(classId).octetString(obisBytes).int8(attribute).uint16(0)
  }
  const captureObjects = encoded((w) => {
    w.array(columns.length)
    for (const each of columns) writeColumn(w, each)
  })
  const capturePeriod = encoded((w) => w.uint32(periodSeconds))
  // Oldest first, sorted by nothing but their coming: FIFO, with the clock as the object that shows
  // it.
  const sortMethod = encodedEnumerations[1]!
  const sortObject = encoded((w) => writeColumn(w, clockColumn))
  const profileEntries = encoded((w) => w.uint32(rowsMax))
  // Reset and capture are methods that nobody may invoke.
  return cosemObject({
    obis: profile.obis,
    classId: 7,
    version: 1,
    attributeMax: 8,
    methodMax: 2,
    selectors: profileSelectors,
    read(meter, attribute, nowMs, selection) {
      if (attribute === 2) return readBuffer(profile, meter, nowMs, selection)
      if (selection !== undefined) return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
      switch (attribute) {
        case 3:
          return captureObjects
        case 4:
          return capturePeriod
        case 5:
          return sortMethod
        case 6:
          return sortObject
        case 7: {
          const { first, end } = profile.open(meter, nowMs)
          return encoded((w) => w.uint32(end - first))
        }
        default:
          return profileEntries
      }
    },
  })
}

/** Row n is stamped n × periodMs; it covers the period before. */
function periodic(
  periodMs: number,
  rowsMax: number,
  fillValues: (meter: MeterState, first: number, rows: ProfileRows) => void,
): (meter: MeterState, nowMs: number) => RowSource {
  return (meter, nowMs) => {
    const end = Math.floor(nowMs / periodMs) + 1
    const first = Math.min(end, Math.max(end - rowsMax, meter.putInAtMs / periodMs + 1))
    return {
      first,
      end,
      seek: (ms) => Math.ceil(ms / periodMs),
      fill(from, rows) {
        for (let i = 0; i < rows.count; i++) rows.stamps[i] = (from + i) * periodMs
        fillValues(meter, from, rows)
        fillStatuses(meter, rows, periodMs)
      },
    }
  }
}

/** Marks rows in whose period the power failed or the clock was set. */
function fillStatuses(meter: MeterState, rows: ProfileRows, periodMs: number): void {
  rows.statuses.fill(0, 0, rows.count)
  const firstMs = rows.stamps[0]! - periodMs
  const lastMs = rows.stamps[rows.count - 1]!
  const mark = (atMs: number, bit: number): void => {
    const row = Math.ceil((atMs - firstMs) / periodMs) - 1
    if (row >= 0 && row < rows.count) rows.statuses[row]! |= bit
  }
  for (const { fromMs, toMs } of outagesBetween(meter.seed, firstMs, lastMs)) {
    mark(fromMs, RowStatus.POWER_DOWN)
    mark(toMs, RowStatus.POWER_DOWN)
  }
  for (const { atMs, code } of meter.changes?.events ?? [])
    if (code === EventCode.CLOCK_AFTER) mark(atMs, RowStatus.CLOCK_ADJUSTED)
}

const fillLoadHalfHours = (meter: MeterState, first: number, rows: ProfileRows): void => {
  fillHalfHours(meter.load, first, rows.count, rows.values)
  meter.takeOutGaps(rows.stamps, rows.values, rows.count)
}
const fillLoadDays = (meter: MeterState, first: number, rows: ProfileRows): void => {
  fillDays(meter.load, first, rows.count, rows.values)
  meter.takeOutGaps(rows.stamps, rows.values, rows.count)
}

function openEvents(meter: MeterState, nowMs: number): RowSource {
  const events = eventsUntil(meter.seed, meter.putInAtMs, nowMs, meter.changes?.events ?? []).slice(
    -eventRowsMax,
  )
  return {
    first: 0,
    end: events.length,
    seek(ms) {
      const row = events.findIndex(({ atMs }) => atMs >= ms)
      return row < 0 ? events.length : row
    },
    fill(first, rows) {
      for (let i = 0; i < rows.count; i++) {
        rows.stamps[i] = events[first + i]!.atMs
        rows.values[i] = events[first + i]!.code
      }
    },
  }
}

const energyColumns = [clockColumn, statusColumn, column(3, '1-0:1.8.0.255', 2, 'uint32')]
const gasColumns = [clockColumn, statusColumn, column(4, '0-1:24.2.1.255', 2, 'uint32')]
const halfHours = {
  periodSeconds: 1_800,
  rowsMax: halfHourRowsMax,
  open: periodic(halfHourMs, halfHourRowsMax, fillLoadHalfHours),
}
const days = {
  obis: '1-0:99.2.0.255',
  periodSeconds: 86_400,
  rowsMax: dayRowsMax,
  open: periodic(dayMs, dayRowsMax, fillLoadDays),
}

const events = profileObject({
  obis: '0-0:99.98.0.255',
  periodSeconds: 0,
  rowsMax: eventRowsMax,
  columns: [clockColumn, column(1, '0-0:96.11.0.255', 2, 'uint8')],
  open: openEvents,
})

const voltage = profileObject({
  obis: '1-0:99.14.0.255',
  periodSeconds: 1_800,
  rowsMax: voltageRowsMax,
  columns: [clockColumn, statusColumn, column(3, '1-0:32.24.0.255', 2, 'uint16')],
  open: periodic(halfHourMs, voltageRowsMax, (meter, first, rows) => {
    for (let i = 0; i < rows.count; i++)
      rows.values[i] = averageDecivolts(meter.seed, first + i - 1)
  }),
})

/**
 * What the profiles capture beside what is measured: the status of the present half hour, and the
 * last event.
 */
const captured: readonly SimulatedObject[] = [
  cosemObject({
    obis: '0-0:96.10.1.255',
    classId: 1,
    attributeMax: 2,
    read(meter, _attribute, nowMs) {
      scratch.count = 1
      scratch.stamps[0] = Math.ceil(nowMs / halfHourMs) * halfHourMs
      fillStatuses(meter, scratch, halfHourMs)
      return encoded((w) => w.uint8(scratch.statuses[0]!))
    },
  }),
  cosemObject({
    obis: '0-0:96.11.0.255',
    classId: 1,
    attributeMax: 2,
    read(meter, _attribute, nowMs) {
      const { changes, seed, putInAtMs } = meter
      const last = eventsUntil(seed, putInAtMs, nowMs, changes?.events ?? []).at(-1)
      return encoded((w) => w.uint8(last?.code ?? 0))
    },
  }),
]

export const electricityProfiles: readonly SimulatedObject[] = [
  profileObject({ ...halfHours, obis: '1-0:99.1.0.255', columns: energyColumns }),
  profileObject({ ...days, columns: energyColumns }),
  voltage,
  events,
  ...captured,
]

export const gasHalfHours: SimulatedObject = profileObject({
  ...halfHours,
  obis: '0-1:24.3.0.255',
  columns: gasColumns,
})

export const gasProfiles: readonly SimulatedObject[] = [
  gasHalfHours,
  profileObject({ ...days, columns: gasColumns }),
  events,
  ...captured,
]
