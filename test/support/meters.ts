/**
 * What the tests of simulated meters share: meters on a clock that stands, descriptors, selections,
 * and values as numbers and rows.
 */
import {
  AxdrWriter,
  decodeValue,
  skipValue,
  Tag,
  type AxdrValue,
} from '../../core/dlms/axdr/axdr.ts'
import { readCosemDateTime, writeCosemDateTime } from '../../core/dlms/axdr/date-time.ts'
import { parseObis } from '../../core/dlms/axdr/obis.ts'
import { SimClock } from '../../core/ports/sim/clock.ts'
import { Meter } from '../../actors/simulator/meter.ts'
import type { Population } from '../../actors/simulator/model/population.ts'

export const nowMs = Date.UTC(2026, 10, 23, 18, 7, 42)
export const electricity: Population = {
  seed: 7,
  gasShare: 0,
  gasProxyShare: 0,
  solarShare: 1,
  secretShare: 0,
}
export const gas: Population = { ...electricity, gasShare: 1 }

export const descriptor = (classId: number, obis: string, attribute: number): Buffer =>
  Buffer.concat([
    Buffer.from([classId >> 8, classId & 255]),
    parseObis(obis),
    Buffer.from([attribute]),
  ])

export function meterAt(
  atMs = nowMs,
  population = electricity,
  number = 0,
): { meter: Meter; clock: SimClock } {
  const clock = new SimClock(atMs)
  return { meter: new Meter({ population, clock }, number), clock }
}

export function read(
  meter: Meter,
  classId: number,
  obis: string,
  attribute: number,
  selection?: Buffer,
): Buffer {
  const value = meter.get(descriptor(classId, obis, attribute), selection)
  if (typeof value === 'number') throw new Error(`${obis} attribute ${attribute}: ${value}`)
  return value
}

export const dateTimeBytes = (utcMs: number): Buffer => {
  const bytes = Buffer.alloc(12)
  writeCosemDateTime(bytes, 0, utcMs)
  return bytes
}

export const clockObject = (w: AxdrWriter, obis = '0-0:1.0.0.255'): AxdrWriter =>
  w.structure(4).uint16(8).octetString(parseObis(obis)).int8(2).uint16(0)

export function byRange(
  fromMs: number,
  toMs: number,
  columns: ReadonlyArray<[number, string, number]> = [],
): Buffer {
  const w = new AxdrWriter().octet(1).structure(4)
  clockObject(w).dateTime(dateTimeBytes(fromMs)).dateTime(dateTimeBytes(toMs)).array(columns.length)
  for (const [classId, obis, attribute] of columns)
    w.structure(4).uint16(classId).octetString(parseObis(obis)).int8(attribute).uint16(0)
  return w.take()
}

export const byEntry = (from: number, to: number, fromColumn = 1, toColumn = 0): Buffer =>
  new AxdrWriter()
    .octet(2)
    .structure(4)
    .uint32(from)
    .uint32(to)
    .uint16(fromColumn)
    .uint16(toColumn)
    .take()

export function elementsOf(value: AxdrValue): AxdrValue[] {
  if (value.tag !== Tag.ARRAY && value.tag !== Tag.STRUCTURE) throw new Error(`tag ${value.tag}`)
  return value.elements
}
export function simpleOf(value: AxdrValue): number | bigint | string | boolean | Buffer {
  if (!('value' in value)) throw new Error(`tag ${value.tag}`)
  return value.value
}

export type Row = { atMs: number; status: number; value: number }
/** Rows with clock, status and one value; without status when `cells` is 2. */
export function rowsOf(bytes: Buffer, cells = 3): Row[] {
  if (skipValue(bytes, 0) !== bytes.length) throw new Error('octets left over')
  return elementsOf(decodeValue(bytes, 0)).map((row) => {
    const values = elementsOf(row).map(simpleOf)
    if (values.length !== cells) throw new Error(`${values.length} cells`)
    const atMs = readCosemDateTime(values[0] as Buffer, 0)
    return {
      atMs: atMs ?? NaN,
      status: cells === 3 ? (values[1] as number) : 0,
      value: values.at(-1) as number,
    }
  })
}
export const numberOf = (bytes: Buffer): number => Number(simpleOf(decodeValue(bytes, 0)))
