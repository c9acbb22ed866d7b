/**
 * How meters with quirks show values and read selections: local times without deviation, ranges
 * that they refuse or ignore, few rows, a nested clock. It stands between a client and the meter,
 * whose own times are UTC. Pure. [IEC 62056-6-2, Date and time formats, Clock, Profile generic]
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { timeZoneOf } from '../../../core/catalogue/time-zone.ts'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { decodeValue, encodeValue, Tag, type AxdrValue } from '../../../core/dlms/axdr/axdr.ts'
import {
  ClockStatus,
  cosemDateTimeBytes,
  readCosemDateTime,
  readLocalMs,
  writeCosemDateTime,
  writeLocalDateTime,
} from '../../../core/dlms/axdr/date-time.ts'
import { isLocal, utcZone, type LocalZone } from '../../../core/dlms/axdr/local-time.ts'
import { encoded, encodedTrue } from '../objects/cosem-object.ts'
import type { Quirks } from './quirk-table.ts'

const clockClass = 8
const profileClass = 7
const byRange = 1
const minuteMs = 60_000

/** What a meter with quirks shows, and where: `zoneName` is that of the fleet. */
export type OddView = { readonly quirks: Quirks; readonly zoneName: string }

/** Reads an attribute through `read`, which takes a selection as our meters do. */
export function readOddly(
  view: OddView,
  descriptor: Buffer,
  selection: Buffer | undefined,
  read: (selection: Buffer | undefined) => Buffer | number,
): Buffer | number {
  const { quirks } = view
  const isBuffer = classOf(descriptor) === profileClass && descriptor[8] === 2
  const asked = isBuffer && selection !== undefined ? selectionFor(view, selection) : selection
  if (typeof asked === 'number') return asked
  const value = read(asked)
  if (typeof value === 'number') return value
  if (classOf(descriptor) === clockClass) return clockValue(view, descriptor[8]!, value)
  if (classOf(descriptor) !== profileClass) return inLocalTime(view, value)
  if (isBuffer && asked === undefined && quirks.rowsMax !== undefined)
    return inLocalTime(view, lastRows(value, quirks.rowsMax))
  // Entries in use, and at most.
  const isCount = descriptor[8] === 7 || descriptor[8] === 8
  if (!isCount || quirks.rowsMax === undefined) return inLocalTime(view, value)
  const count = Math.min(value.readUInt32BE(1), quirks.rowsMax)
  return encoded((w) => w.uint32(count))
}

/** A value or parameter that a client gives, with its local times as UTC. */
export function takeOddly(view: OddView, octets: Buffer): Buffer {
  const zone = zoneOf(view)
  if (zone === undefined) return octets
  try {
    return encodeValue(mapped(decodeValue(octets), (time) => inUtc(time, zone, 'first')))
  } catch (error) {
    // The meter itself says what is wrong with it.
    if (!(error instanceof BrokerError)) throw error
    return octets
  }
}

const classOf = (descriptor: Buffer): number => descriptor.readUInt16BE(0)

/** The zone of a meter that sends no deviation; undefined of one that sends UTC. */
export function zoneOf({ quirks, zoneName }: OddView): LocalZone | undefined {
  if (quirks.localTime === undefined) return undefined
  return timeZoneOf(quirks.localTime === 'standard' ? standardOffsetOf(zoneName) : zoneName)
}

/** The offset of the zone without daylight saving, which a record can name: +01:00. */
export function standardOffsetOf(zoneName: string): string {
  const minutes = standardMinutesOf(timeZoneOf(zoneName)!)
  const digits = (number: number): string => String(Math.floor(number)).padStart(2, '0')
  const size = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${digits(size / 60)}:${digits(size % 60)}`
}

// Daylight saving is ahead of standard time, and no zone has it in January and in July.
function standardMinutesOf(zone: LocalZone): number {
  const offsets = [0, 6].map((month) => {
    const utcMs = Date.UTC(2026, month, 1)
    return (zone.localMsOf(utcMs) - utcMs) / minuteMs
  })
  return Math.min(...offsets)
}

// ── what the meter shows ──

function clockValue(view: OddView, attribute: number, value: Buffer): Buffer {
  const { quirks } = view
  const zone = zoneOf(view)
  if (attribute === 2) {
    const time = inLocalTime(view, value)
    return quirks.nestsClock === true ? encoded((w) => w.octetString(time)) : time
  }
  if (zone === undefined) return value
  // Time zone: minutes from local standard time to UTC.
  if (attribute === 3) return encoded((w) => w.int16(-standardMinutesOf(zone)))
  return attribute === 8 && quirks.localTime !== 'standard' ? encodedTrue : value
}

function inLocalTime(view: OddView, value: Buffer): Buffer {
  const zone = zoneOf(view)
  if (zone === undefined) return value
  const isMarked = view.quirks.localTime === 'daylight-saving'
  return encodeValue(mapped(decodeValue(value), (time) => shown(time, zone, isMarked)))
}

function shown(time: Buffer, zone: LocalZone, isMarked: boolean): Buffer {
  const utcMs = readCosemDateTime(time, 0)
  if (utcMs === undefined) return time
  const octets = Buffer.alloc(cosemDateTimeBytes)
  const localMs = zone.localMsOf(utcMs)
  writeLocalDateTime(octets, 0, localMs)
  const isSummer = localMs - utcMs > standardMinutesOf(zone) * minuteMs
  if (isMarked) octets[11] = isSummer ? ClockStatus.DAYLIGHT_SAVING : 0
  return octets
}

function lastRows(value: Buffer, rowsMax: number): Buffer {
  const buffer = decodeValue(value)
  if (!('elements' in buffer) || buffer.elements.length <= rowsMax) return value
  return encodeValue({ ...buffer, elements: buffer.elements.slice(-rowsMax) } as AxdrValue)
}

// ── what the client asks for ──

/**
 * The selection as our meters take it, none where the meter ignores it, or a data-access-result.
 */
function selectionFor(view: OddView, selection: Buffer): Buffer | undefined | number {
  const { range } = view.quirks
  if (selection[0] !== byRange) return selection
  if (range === 'ignored') return undefined
  const zone = zoneOf(view) ?? utcZone
  try {
    const asked = decodeValue(selection.subarray(1))
    if (asked.tag !== Tag.STRUCTURE || asked.elements.length !== 4) return selection
    const [restricting, from, to, columns] = asked.elements as [
      AxdrValue,
      AxdrValue,
      AxdrValue,
      AxdrValue,
    ]
    if (range === 'deviation-refused' && [from, to].some(hasDeviation))
      return DataAccessResult.TYPE_UNMATCHED
    const bounds = [
      mapped(from, (time) => inUtc(time, zone, 'first')),
      mapped(to, (time) => inUtc(time, zone, 'last')),
    ]
    const elements = [restricting, ...bounds, columns]
    const parameters = encodeValue({ tag: Tag.STRUCTURE, elements })
    return Buffer.concat([selection.subarray(0, 1), parameters])
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return selection
  }
}

const hasDeviation = (bound: AxdrValue): boolean => {
  const time = timeIn(bound)
  return time !== undefined && !isLocal(time, 0)
}

/**
 * A local time as UTC; of an hour that clocks show twice the first or the last one. Others are as
 * they were.
 */
function inUtc(time: Buffer, zone: LocalZone, side: 'first' | 'last'): Buffer {
  const localMs = isLocal(time, 0) ? readLocalMs(time, 0) : undefined
  if (localMs === undefined) return time
  const moments = zone.utcMsOf(localMs)
  const octets = Buffer.alloc(cosemDateTimeBytes)
  writeCosemDateTime(octets, 0, side === 'first' ? moments[0]! : moments.at(-1)!)
  return octets
}

function timeIn(value: AxdrValue): Buffer | undefined {
  const isTime = value.tag === Tag.OCTET_STRING || value.tag === Tag.DATE_TIME
  return isTime && value.value.length === cosemDateTimeBytes ? value.value : undefined
}

/** `value` with each date-time in it, however deep, as `change` gives it. */
function mapped(value: AxdrValue, change: (time: Buffer) => Buffer): AxdrValue {
  if ('elements' in value)
    return { ...value, elements: value.elements.map((one) => mapped(one, change)) } as AxdrValue
  const time = timeIn(value)
  return time === undefined ? value : ({ ...value, value: change(time) } as AxdrValue)
}
