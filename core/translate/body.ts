/**
 * The typed bodies of a ServiceRequest: shape and range rules of the proto comments, and the values
 * that a command is built from. A body type is one entry in a table here; no rule asks for the
 * variant. Station 3 (check) and 8 (values).
 */
import { isUtf8 } from 'node:buffer'
import { emptyBytes } from '../base/bytes.ts'
import type { ErrorCode } from '../base/error-table.ts'
import { limits } from '../base/limits.ts'
import type { ServiceRequestRow } from '../catalogue/service-requests.ts'
import { BodyType } from './body-types.ts'
import { ProtobufReader, WireType } from './protobuf.ts'
import { checkCreateSchedule, checkScheduleNumber } from './schedule-body.ts'
import { readTimestamp } from './timestamp.ts'

export const textCharactersMax = 116
export const toleranceSecondsMax = 86_400
const dayMs = 86_400_000
const utf8OctetsMax = 4

/** What a body says; which fields mean something is up to its type. */
export type BodyFields = {
  /** 3.1's text, as offsets into the view it was read from. */
  textStart: number
  textEnd: number
  /** UTC ms, both inclusive. */
  fromMs: number
  toMs: number
  toleranceSeconds: number
}

export function emptyBodyFields(): BodyFields {
  return { textStart: 0, textEnd: 0, fromMs: 0, toMs: 0, toleranceSeconds: 0 }
}

const reader = new ProtobufReader(emptyBytes)
type Rule = (
  view: Buffer,
  start: number,
  end: number,
  nowMs: number,
  fields: BodyFields,
) => ErrorCode | undefined

// Characters of valid UTF-8: octets that are not continuations.
function countCharacters(view: Buffer, start: number, end: number): number {
  let count = 0
  for (let i = start; i < end; i++) if ((view[i]! & 0xc0) !== 0x80) count++
  return count
}

/** DisplayMessage: 1 text. */
function readDisplayMessage(
  view: Buffer,
  start: number,
  end: number,
  _nowMs: number,
  fields: BodyFields,
): ErrorCode | undefined {
  // `fields` is used again: without this, a body without a text would have the text of the body
  // before it.
  fields.textStart = fields.textEnd = start
  reader.open(view, start, end)
  while (reader.nextField()) {
    if (reader.field === 1 && reader.wireType === WireType.LENGTH) {
      const to = reader.readLength()
      fields.textStart = reader.at
      fields.textEnd = to
      reader.at = to
    } else reader.skip()
  }
  if (reader.isBroken) return 'REQUEST_WIRE_MALFORMED'
  const octets = fields.textEnd - fields.textStart
  if (octets === 0 || octets > textCharactersMax * utf8OctetsMax) return 'REQUEST_BODY_MALFORMED'
  if (!isUtf8(view.subarray(fields.textStart, fields.textEnd))) return 'REQUEST_BODY_MALFORMED'
  return countCharacters(view, fields.textStart, fields.textEnd) > textCharactersMax
    ? 'REQUEST_BODY_MALFORMED'
    : undefined
}

/** ReadPeriod: 1 start_time, 2 end_time; both are required. */
function readReadPeriod(
  view: Buffer,
  start: number,
  end: number,
  nowMs: number,
  fields: BodyFields,
): ErrorCode | undefined {
  let fromMs: number | undefined
  let toMs: number | undefined
  reader.open(view, start, end)
  while (reader.nextField()) {
    if (reader.wireType === WireType.LENGTH && (reader.field === 1 || reader.field === 2)) {
      const to = reader.readLength()
      if (reader.isBroken) break
      const timeMs = readTimestamp(view, reader.at, to)
      if (timeMs === undefined) return 'REQUEST_BODY_MALFORMED'
      if (reader.field === 1) fromMs = timeMs
      else toMs = timeMs
      reader.at = to
    } else reader.skip()
  }
  if (reader.isBroken) return 'REQUEST_WIRE_MALFORMED'
  if (fromMs === undefined || toMs === undefined) return 'REQUEST_BODY_MALFORMED'
  if (fromMs > toMs) return 'REQUEST_RANGE_BACKWARDS'
  const keptMs = limits.profileDaysMax * dayMs
  if (toMs - fromMs > keptMs || fromMs < nowMs - keptMs) return 'REQUEST_RANGE_EXCEEDED'
  fields.fromMs = fromMs
  fields.toMs = toMs
  return undefined
}

/** SynchroniseClock: 1 tolerance in seconds. */
function readSynchroniseClock(
  view: Buffer,
  start: number,
  end: number,
  _nowMs: number,
  fields: BodyFields,
): ErrorCode | undefined {
  let tolerance = 0
  reader.open(view, start, end)
  while (reader.nextField()) {
    if (reader.field === 1 && reader.wireType === WireType.VARINT) {
      reader.readVarint()
      tolerance = reader.low
    } else reader.skip()
  }
  if (reader.isBroken) return 'REQUEST_WIRE_MALFORMED'
  if (tolerance > toleranceSecondsMax) return 'REQUEST_BODY_MALFORMED'
  fields.toleranceSeconds = tolerance
  return undefined
}

/** By field number in the oneof. */
const rules: ReadonlyMap<number, Rule> = new Map<number, Rule>([
  [BodyType.DISPLAY_MESSAGE, readDisplayMessage],
  [BodyType.READ_PERIOD, readReadPeriod],
  [BodyType.SYNCHRONISE_CLOCK, readSynchroniseClock],
  [BodyType.CREATE_SCHEDULE, checkCreateSchedule],
  [BodyType.READ_SCHEDULES, checkScheduleNumber],
  [BodyType.DELETE_SCHEDULES, checkScheduleNumber],
])

/**
 * Where a body stands, as in a RequestScan, and its type: field number in the oneof, 0 for none.
 */
export type BodyPlace = {
  readonly bodyType: number
  readonly bodyStart: number
  readonly bodyEnd: number
}

/**
 * Reads the body at `place` in `view` into `fields` and checks it against the rules of its type.
 * @param nowMs  UTC; a meter keeps `profileDaysMax` days before it
 * @returns undefined, or REQUEST_BODY_MISMATCH (no such body type), REQUEST_WIRE_MALFORMED,
 * REQUEST_BODY_MALFORMED,
 *   REQUEST_RANGE_BACKWARDS, REQUEST_RANGE_EXCEEDED
 */
export function readBody(
  view: Buffer,
  place: BodyPlace,
  nowMs: number,
  fields: BodyFields,
): ErrorCode | undefined {
  const rule = rules.get(place.bodyType)
  if (rule === undefined) return 'REQUEST_BODY_MISMATCH'
  return rule(view, place.bodyStart, place.bodyEnd, nowMs, fields)
}

const checked = emptyBodyFields()

/**
 * Why the body at `place` in `view` is not one that `row` takes, or undefined.
 * @returns as `readBody`; REQUEST_BODY_MISMATCH when another body came than the row takes, or none,
 * or one too many
 */
export function checkBody(
  row: ServiceRequestRow,
  view: Buffer,
  place: BodyPlace,
  nowMs: number,
): ErrorCode | undefined {
  if (place.bodyType !== row.bodyType) return 'REQUEST_BODY_MISMATCH'
  return place.bodyType === BodyType.NONE ? undefined : readBody(view, place, nowMs, checked)
}
