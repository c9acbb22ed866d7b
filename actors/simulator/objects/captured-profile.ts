/**
 * The values of billing periods (class 7), really captured: what is captured, how often, how sorted
 * and how many is a client's to say, and entries are kept by core's buffer. Until somebody does, it
 * shows the last months of the load curve, and costs nothing. Makes differ in how they send a
 * buffer: as it is, without what did not change, or as a compact-array. [IEC 62056-6-2, Profile
 * generic]
 */
import { ActionResult, DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import {
  decodeValue,
  encodeValue,
  Tag,
  type AxdrType,
  type AxdrValue,
} from '../../../core/dlms/axdr/axdr.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import {
  compressRows,
  decodeColumns,
  isClockColumn,
  ProfileBuffer,
  type SortMethod,
} from '../../../core/dlms/cosem/index.ts'
import {
  decodeSelection,
  encodeDescriptor,
  type CaptureObject,
} from '../../../core/dlms/apdu/descriptor.ts'
import { Stream, drawBelow } from '../model/chance.ts'
import { classObject, type ClassObject } from './class-object.ts'
import { encoded, type SimulatedObject } from './cosem-object.ts'
import { dateTime, uint32 } from './measuring-objects.ts'
import type { MeterState } from '../model/meter-state.ts'
import { numberOf } from './script-objects.ts'
import { profileSelectors } from './selective-access.ts'

const entriesMax = 1_000
const columnsMax = 16
const monthsMax = 12
const clock = { class_id: 8, logical_name: '0-0:1.0.0.255', attribute_index: 2, data_index: 0 }
const energy = (logical_name: string) => ({
  class_id: 3,
  logical_name,
  attribute_index: 2,
  data_index: 0,
})

const configuration: ClassObject = classObject({
  obis: '1-0:98.1.0.255',
  classId: 7,
  version: 1,
  attributes: {
    buffer: (meter) => readBuffer(meter, undefined),
    capture_objects: [clock, energy('1-0:1.8.0.255'), energy('1-0:2.8.0.255')],
    capture_period: 0,
    sort_method: 'fifo',
    sort_object: clock,
    entries_in_use: (meter) => encoded((w) => w.uint32(bufferOf(meter).entriesInUse)),
    profile_entries: monthsMax + 1,
  },
  writable: ['capture_objects', 'capture_period', 'sort_method', 'sort_object', 'profile_entries'],
  methods: {
    reset(meter) {
      meter.changesOrNew().captured = emptyBuffer(meter)
      return ActionResult.SUCCESS
    },
    capture: (meter) => capture(meter),
  },
  check(_meter, name, value) {
    const isGood =
      name === 'capture_objects'
        ? 'elements' in value && value.elements.length > 0 && value.elements.length <= columnsMax
        : name !== 'profile_entries' || (numberOf(value) > 0 && numberOf(value) <= entriesMax)
    return isGood ? DataAccessResult.SUCCESS : DataAccessResult.OTHER_REASON
  },
  // What was captured otherwise is of no use any more. [Profile generic, capture_objects]
  written(meter, name, nowMs) {
    if (name === 'capture_period') planCapture(meter, nowMs)
    else meter.changesOrNew().captured = emptyBuffer(meter)
  },
})

const shownNumber = (meter: MeterState, name: string): number =>
  numberOf(decodeValue(configuration.shown(meter, name)))
const columnsOf = (meter: MeterState): CaptureObject[] =>
  decodeColumns(configuration.shown(meter, 'capture_objects'))

function emptyBuffer(meter: MeterState): ProfileBuffer {
  const [sorted] = decodeColumns(
    Buffer.concat([Buffer.of(Tag.ARRAY, 1), configuration.shown(meter, 'sort_object')]),
  )
  const sortIndex = columnsOf(meter).findIndex((column) => isSame(column, sorted!))
  return new ProfileBuffer({
    sortMethod: shownNumber(meter, 'sort_method') as SortMethod,
    entriesMax: shownNumber(meter, 'profile_entries'),
    sortIndex: Math.max(0, sortIndex),
  })
}

const isSame = (a: CaptureObject, b: CaptureObject): boolean =>
  a.classId === b.classId &&
  a.instanceId === b.instanceId &&
  a.attributeId === b.attributeId &&
  a.dataIndex === b.dataIndex

/** What was captured, or the months that would have been. */
function bufferOf(meter: MeterState): ProfileBuffer {
  const kept = meter.changes?.captured
  if (kept !== undefined) return kept
  const buffer = emptyBuffer(meter)
  const now = new Date(meter.model.clock.now())
  for (let back = monthsMax - 1; back >= 0; back--) {
    const atMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back)
    if (atMs >= meter.putInAtMs)
      buffer.capture(
        [dateTime(atMs), uint32(meter.loadAt(atMs)), uint32(meter.feedAt(atMs))].map((value) =>
          decodeValue(value),
        ),
      )
  }
  return buffer
}

function capture(meter: MeterState): number {
  const buffer = bufferOf(meter)
  buffer.capture(columnsOf(meter).map((column) => valueOf(meter, column)))
  meter.changesOrNew().captured = buffer
  return ActionResult.SUCCESS
}

/** Null-data for what cannot be captured. */
function valueOf(
  meter: MeterState,
  { classId, instanceId, attributeId, dataIndex }: CaptureObject,
): AxdrValue {
  const descriptor = encodeDescriptor({ classId, instanceId, memberId: attributeId })
  // A profile that captures itself would never end.
  const value = classId === 7 ? DataAccessResult.OTHER_REASON : meter.get(descriptor, undefined)
  if (typeof value === 'number') return { tag: Tag.NULL }
  const whole = decodeValue(value)
  if (dataIndex === 0) return whole
  return ('elements' in whole ? whole.elements[dataIndex - 1] : undefined) ?? { tag: Tag.NULL }
}

function planCapture(meter: MeterState, nowMs: number): void {
  const periodMs = shownNumber(meter, 'capture_period') * 1_000
  const atMs = periodMs === 0 ? undefined : (Math.floor(nowMs / periodMs) + 1) * periodMs
  meter.plan('capture', atMs, () => {
    capture(meter)
    planCapture(meter, meter.model.clock.now())
  })
}

function readBuffer(meter: MeterState, selection: Buffer | undefined): Buffer | number {
  const buffer = bufferOf(meter)
  let columns = columnsOf(meter)
  let rows: readonly (readonly AxdrValue[])[] | undefined = buffer.rows
  if (selection !== undefined) {
    try {
      const asked = decodeSelection(selection)
      const indexOf = (named: CaptureObject): number =>
        columns.findIndex((column) => isSame(column, named))
      const restricting = asked.type === 'range' ? indexOf(asked.restricting) : 0
      const chosen = asked.type === 'range' ? asked.columns.map(indexOf) : []
      if (restricting < 0 || chosen.includes(-1)) return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
      rows = buffer.select(asked, restricting, chosen)
      if (chosen.length > 0) columns = chosen.map((index) => columns[index]!)
      else if (asked.type === 'entry')
        columns = columns.slice(Math.max(0, asked.fromColumn - 1), asked.toColumn || undefined)
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return DataAccessResult.TYPE_UNMATCHED
    }
  }
  if (rows === undefined) return DataAccessResult.TYPE_UNMATCHED
  return encodeValue(formOf(meter, rows, columns))
}

const forms = ['plain', 'null-data', 'compact-array'] as const
/** How the make of this meter sends buffers. */
export const bufferForm = (meter: MeterState): (typeof forms)[number] =>
  forms[drawBelow(forms.length, meter.seed, Stream.FIRMWARE, 1)]!

function formOf(
  meter: MeterState,
  rows: readonly (readonly AxdrValue[])[],
  columns: readonly CaptureObject[],
): AxdrValue {
  const form = bufferForm(meter)
  const first = rows[0]
  const structures = (of: readonly (readonly AxdrValue[])[]): AxdrValue[] =>
    of.map((row) => ({ tag: Tag.STRUCTURE, elements: [...row] }))
  if (form === 'compact-array' && first !== undefined) {
    const isUniform = rows.every((row) => row.every(({ tag }, i) => tag === first[i]!.tag))
    if (isUniform && first.every((value) => !('elements' in value))) {
      const of = first.map(({ tag }) => ({ tag }) as AxdrType)
      return {
        tag: Tag.COMPACT_ARRAY,
        type: { tag: Tag.STRUCTURE, of },
        elements: structures(rows),
      }
    }
  }
  const elements =
    form === 'null-data'
      ? compressRows(rows, columns.findIndex(isClockColumn), {
          capturePeriodSeconds: shownNumber(meter, 'capture_period'),
          sortMethod: shownNumber(meter, 'sort_method'),
        })
      : rows
  return { tag: Tag.ARRAY, elements: structures(elements) }
}

export const billingProfile: SimulatedObject = {
  ...configuration,
  selectors: profileSelectors,
  read: (meter, attribute, nowMs, selection, link) =>
    attribute === 2
      ? readBuffer(meter, selection)
      : selection === undefined
        ? configuration.read(meter, attribute, nowMs, selection, link)
        : DataAccessResult.SCOPE_OF_ACCESS_VIOLATED,
}
