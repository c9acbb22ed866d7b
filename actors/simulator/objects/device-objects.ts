/**
 * What is not measured: identity, firmware, the consumer message (class 1) and the clock (class 8).
 * [IEC 62056-6-2, Data, Clock]
 */
import { Tag, lengthBytes, readLength } from '../../../core/dlms/axdr/axdr.ts'
import { copyOf } from '../../../core/base/bytes.ts'
import { DataAccessResult } from '../../../core/dlms/apdu/constants.ts'
import { Stream, drawBelow } from '../model/chance.ts'
import {
  cosemObject,
  encoded,
  encodedEnumerations,
  encodedFalse,
  encodedInt16Zero,
  encodedUint8Zero,
  type SimulatedObject,
} from './cosem-object.ts'
import { EventCode } from '../model/event-log.ts'
import { settleImage } from './image-objects.ts'
import { dateTime } from './measuring-objects.ts'
import type { MeterState } from '../model/meter-state.ts'
import { ParameterReader } from './parameter-reader.ts'
import { meterEui64, typeOf, type MeterType, type Population } from '../model/population.ts'

/** An octet-string of fewer than 128 latin-1 characters, made in one step. */
const octetsOf = (text: string): Buffer =>
  Buffer.from(`\t${String.fromCharCode(text.length)}${text}`, 'latin1')

const typeLetter = { ESME: 'E', GSME: 'G', GPF: 'P' } as const satisfies Record<MeterType, string>
const digits = (number: number, count: number): string => String(number).padStart(count, '0')

function text(
  obis: string,
  textOf: (meter: MeterState) => string,
  isPublic = false,
): SimulatedObject {
  return cosemObject({
    obis,
    classId: 1,
    attributeMax: 2,
    isPublic,
    read: (meter) => octetsOf(textOf(meter)),
  })
}

const firmwareVersions = ['4.1.0', '4.2.1', '4.2.3']

// The logical device name is sixteen octets: three letters of the maker, then what the maker likes.
export const logicalDeviceNameOf = (population: Population, number: number): string =>
  `BSB${typeLetter[typeOf(population, number)]}${digits(number + 1, 12)}`
const logicalDeviceName = text(
  '0-0:42.0.0.255',
  ({ model, number }) => logicalDeviceNameOf(model.population, number),
  true,
)

const serialNumber = text(
  '0-0:96.1.0.255',
  (meter) => `${typeLetter[meter.type]}21B${digits(meter.number + 1, 9)}`,
)
const deviceIdentity = text('0-0:96.1.1.255', (meter) => meterEui64(meter.number))
const firmware = text('1-0:0.2.0.255', (meter) => {
  settleImage(meter)
  if (meter.changes?.firmware !== undefined) return meter.changes.firmware
  const version =
    firmwareVersions[drawBelow(firmwareVersions.length, meter.seed, Stream.FIRMWARE, 0)]!
  return `BSB-${typeLetter[meter.type]}-${version}`
})

/** 116 characters of up to four octets each. */
const messageBytesMax = 464
const noMessage = octetsOf('')

const consumerMessage = cosemObject({
  obis: '0-0:96.13.0.255',
  classId: 1,
  attributeMax: 2,
  writable: [2],
  read: (meter) => meter.changes?.messageBytes ?? noMessage,
  write(meter, attribute, valueView, nowMs) {
    if (attribute !== 2) return DataAccessResult.READ_WRITE_DENIED
    const tag = valueView[0]
    if (tag !== Tag.OCTET_STRING && tag !== Tag.VISIBLE_STRING && tag !== Tag.UTF8_STRING)
      return DataAccessResult.TYPE_UNMATCHED
    const length = readLength(valueView, 1)
    if (length > messageBytesMax || 1 + lengthBytes(valueView, 1) + length !== valueView.length)
      return DataAccessResult.TYPE_UNMATCHED
    meter.record(EventCode.MESSAGE_SHOWN, nowMs).messageBytes = copyOf(valueView)
    return DataAccessResult.SUCCESS
  },
})

// Day in March and October when GB changes: last Sunday, 01:00 UTC. The meter itself stays on UTC,
// so they are not in force.
const summerBegin = encoded((w) =>
  w.dateTime(Buffer.from([0xff, 0xff, 3, 0xfe, 7, 1, 0, 0, 0, 0, 0, 0])),
)
const summerEnd = encoded((w) =>
  w.dateTime(Buffer.from([0xff, 0xff, 10, 0xfe, 7, 1, 0, 0, 0, 0, 0, 0])),
)
const summerDeviation = encoded((w) => w.int8(60))

const quarterMs = 900_000
const minuteMs = 60_000
const measuringMs = 1_800_000
const nearest = (timeMs: number, stepMs: number): number => Math.round(timeMs / stepMs) * stepMs
/** shift_time: seconds either way. @source IEC 62056-6-2, Clock, method 6 */
const shiftSecondsMax = 900

const moveClock = (meter: MeterState, timeMs: number, nowMs: number): number => {
  meter.setClock(timeMs, nowMs, EventCode.CLOCK_BEFORE, EventCode.CLOCK_AFTER)
  return DataAccessResult.SUCCESS
}

const isZero = (parameterView: Buffer | undefined): boolean => {
  if (parameterView === undefined) return false
  const parameter = new ParameterReader(parameterView)
  return parameter.int8() === 0 && parameter.isDone()
}

/**
 * The instant from which a clock may be set to something: not before the first meters were built,
 * nor after 2100.
 */
const isClockTime = (timeMs: number): boolean => timeMs >= 0 && timeMs < 4_102_444_800_000

function presetClock(meter: MeterState, parameterView: Buffer | undefined): number {
  if (parameterView === undefined) return DataAccessResult.TYPE_UNMATCHED
  const parameter = new ParameterReader(parameterView)
  parameter.structure(3)
  const timeMs = parameter.dateTime()
  const fromMs = parameter.dateTime()
  const untilMs = parameter.dateTime()
  if (!parameter.isDone()) return DataAccessResult.TYPE_UNMATCHED
  if (timeMs === undefined || !isClockTime(timeMs)) return DataAccessResult.OTHER_REASON
  meter.changesOrNew().preset = {
    timeMs,
    fromMs: fromMs ?? -Infinity,
    untilMs: untilMs ?? Infinity,
  }
  return DataAccessResult.SUCCESS
}

function adjustToPreset(meter: MeterState, nowMs: number): number {
  const preset = meter.changes?.preset
  if (preset === undefined) return DataAccessResult.OTHER_REASON
  meter.changes!.preset = undefined
  const shown = meter.timeAt(nowMs)
  return shown >= preset.fromMs && shown <= preset.untilMs
    ? moveClock(meter, preset.timeMs, nowMs)
    : DataAccessResult.OTHER_REASON
}

function shiftClock(meter: MeterState, parameterView: Buffer | undefined, nowMs: number): number {
  if (parameterView === undefined) return DataAccessResult.TYPE_UNMATCHED
  const parameter = new ParameterReader(parameterView)
  const seconds = parameter.int16()
  if (!parameter.isDone()) return DataAccessResult.TYPE_UNMATCHED
  if (Math.abs(seconds) > shiftSecondsMax) return DataAccessResult.OTHER_REASON
  return moveClock(meter, meter.timeAt(nowMs) + seconds * 1000, nowMs)
}

const clock = cosemObject({
  obis: '0-0:1.0.0.255',
  classId: 8,
  attributeMax: 9,
  methodMax: 6,
  writable: [2, 9],
  isPublic: true,
  read(meter, attribute, nowMs) {
    switch (attribute) {
      case 2:
        return dateTime(meter.timeAt(nowMs))
      case 3:
        return encodedInt16Zero
      case 4:
        return encodedUint8Zero
      case 5:
        return summerBegin
      case 6:
        return summerEnd
      case 7:
        return summerDeviation
      case 8:
        return encodedFalse
      default:
        return encodedEnumerations[meter.clockBase]!
    }
  },
  write(meter, attribute, valueView, nowMs) {
    const value = new ParameterReader(valueView)
    if (attribute === 2) {
      const timeMs = value.dateTime()
      if (!value.isDone()) return DataAccessResult.TYPE_UNMATCHED
      if (timeMs === undefined || !isClockTime(timeMs)) return DataAccessResult.OTHER_REASON
      return moveClock(meter, timeMs, nowMs)
    }
    if (attribute !== 9) return DataAccessResult.READ_WRITE_DENIED
    const base = value.enumeration()
    if (!value.isDone()) return DataAccessResult.TYPE_UNMATCHED
    if (base > 5) return DataAccessResult.OTHER_REASON
    meter.clockBase = base
    return DataAccessResult.SUCCESS
  },
  invoke(meter, method, parameterView, nowMs) {
    switch (method) {
      case 1:
      case 2:
      case 3:
        if (!isZero(parameterView)) return DataAccessResult.TYPE_UNMATCHED
        return moveClock(
          meter,
          nearest(
            meter.timeAt(nowMs),
            method === 1 ? quarterMs : method === 2 ? measuringMs : minuteMs,
          ),
          nowMs,
        )
      case 4:
        return isZero(parameterView)
          ? adjustToPreset(meter, nowMs)
          : DataAccessResult.TYPE_UNMATCHED
      case 5:
        return presetClock(meter, parameterView)
      case 6:
        return shiftClock(meter, parameterView, nowMs)
      default:
        return DataAccessResult.READ_WRITE_DENIED
    }
  },
})

export const deviceObjects: readonly SimulatedObject[] = [
  logicalDeviceName,
  serialNumber,
  deviceIdentity,
  firmware,
  consumerMessage,
  clock,
]
