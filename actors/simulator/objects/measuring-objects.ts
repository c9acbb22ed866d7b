/**
 * Registers (class 3, 4) and counters (class 1): what the meter measures at this moment. [IEC
 * 62056-6-2, Register, Extended register, Data]
 */
import { Tag } from '../../../core/dlms/axdr/axdr.ts'
import { cosemDateTimeBytes, writeCosemDateTime } from '../../../core/dlms/axdr/date-time.ts'
import { Stream, drawBelow } from '../model/chance.ts'
import { cosemObject, encoded, encodedNull, type SimulatedObject } from './cosem-object.ts'
import { amountBeforeHalfHour, halfHourOf } from '../model/load-curve.ts'
import type { MeterState } from '../model/meter-state.ts'
import { averageDecivolts, disturbanceCount, momentaryDecivolts } from '../model/voltage.ts'

/** COSEM unit codes. @source IEC 62056-6-2, table of units */
export const Unit = { CUBIC_METRE: 13, WATT: 27, WATT_HOUR: 30, VAR_HOUR: 32, VOLT: 35 } as const

export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(5)
  bytes[0] = Tag.DOUBLE_LONG_UNSIGNED
  bytes[1] = value >>> 24
  bytes[2] = value >>> 16
  bytes[3] = value >>> 8
  bytes[4] = value
  return bytes
}

function uint16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(3)
  bytes[0] = Tag.LONG_UNSIGNED
  bytes[1] = value >> 8
  bytes[2] = value
  return bytes
}

/** `utcMs` as the octet-string that clocks give, UTC. */
export function dateTime(utcMs: number): Buffer {
  const bytes = Buffer.allocUnsafe(2 + cosemDateTimeBytes)
  bytes[0] = Tag.OCTET_STRING
  bytes[1] = cosemDateTimeBytes
  writeCosemDateTime(bytes, 2, utcMs)
  return bytes
}

// Reset is a method of registers, and nobody may: there is no `invoke`.
export function register(
  obis: string,
  scaler: number,
  unit: number,
  valueOf: (meter: MeterState, nowMs: number) => Buffer,
): SimulatedObject {
  const scalerUnit = encoded((w) => w.structure(2).int8(scaler).enumeration(unit))
  return cosemObject({
    obis,
    classId: 3,
    attributeMax: 3,
    methodMax: 1,
    read: (meter, attribute, nowMs) => (attribute === 2 ? valueOf(meter, nowMs) : scalerUnit),
  })
}

function extendedRegister(
  obis: string,
  scaler: number,
  unit: number,
  valueOf: (meter: MeterState, nowMs: number) => Buffer,
): SimulatedObject {
  const scalerUnit = encoded((w) => w.structure(2).int8(scaler).enumeration(unit))
  return cosemObject({
    obis,
    classId: 4,
    attributeMax: 5,
    methodMax: 1,
    read(meter, attribute, nowMs) {
      if (attribute === 2) return valueOf(meter, nowMs)
      if (attribute === 3) return scalerUnit
      return attribute === 4 ? encodedNull : dateTime(nowMs)
    },
  })
}

function counter(obis: string, kind: 'sag' | 'swell'): SimulatedObject {
  return cosemObject({
    obis,
    classId: 1,
    attributeMax: 2,
    read: (meter, _attribute, nowMs) =>
      uint32(disturbanceCount(meter.seed, kind, meter.load.firstDay, nowMs)),
  })
}

/** W that are drawn: even within a half hour. */
export function powerAt(meter: MeterState, nowMs: number): number {
  if (!meter.isConnected) return 0
  const halfHour = halfHourOf(nowMs)
  const from = amountBeforeHalfHour(meter.load, halfHour)
  return (amountBeforeHalfHour(meter.load, halfHour + 1) - from) * 2
}

/** Reactive energy follows the active one: between 0.15 and 0.35 of it, by meter. */
const reactive = (seed: number, amount: number): number =>
  Math.floor((amount * (150 + drawBelow(200, seed, Stream.LEVEL, 2))) / 1000)

export const electricityRegisters: readonly SimulatedObject[] = [
  register('1-0:1.8.0.255', 0, Unit.WATT_HOUR, (meter, nowMs) => uint32(meter.loadAt(nowMs))),
  register('1-0:2.8.0.255', 0, Unit.WATT_HOUR, (meter, nowMs) => uint32(meter.feedAt(nowMs))),
  register('1-0:3.8.0.255', 0, Unit.VAR_HOUR, (meter, nowMs) =>
    uint32(reactive(meter.seed, meter.loadAt(nowMs))),
  ),
  register('1-0:4.8.0.255', 0, Unit.VAR_HOUR, (meter, nowMs) =>
    uint32(reactive(meter.seed, meter.feedAt(nowMs))),
  ),
  // The voltage is measured on the street's side of the switch.
  register('1-0:32.7.0.255', -1, Unit.VOLT, (meter, nowMs) =>
    uint16(momentaryDecivolts(meter.seed, nowMs, halfHourOf(nowMs))),
  ),
  register('1-0:32.24.0.255', -1, Unit.VOLT, (meter, nowMs) =>
    uint16(averageDecivolts(meter.seed, halfHourOf(nowMs) - 1)),
  ),
  register('1-0:1.7.0.255', 0, Unit.WATT, (meter, nowMs) => uint32(powerAt(meter, nowMs))),
  counter('1-0:32.32.0.255', 'sag'),
  counter('1-0:32.36.0.255', 'swell'),
]

export const gasRegisters: readonly SimulatedObject[] = [
  // Litres: cubic metres with scaler −3.
  extendedRegister('0-1:24.2.1.255', -3, Unit.CUBIC_METRE, (meter, nowMs) =>
    uint32(meter.loadAt(nowMs)),
  ),
]
