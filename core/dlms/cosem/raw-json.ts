/**
 * Any A-XDR value as JSON without a type to go by, and back to the same octets: `{ "axdr":
 * "long-unsigned", "value": 5 }`. Arrays, structures and compact-arrays hold values of the same
 * form; null-data is null. Octets are hexadecimal digits, with `text` or `time` beside them when
 * that is what they may be, which the way back does not look at; an invalid utf8-string has its
 * `octets`, which it does. A bcd is its number, or two hexadecimal digits when invalid.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import {
  bcdNumber,
  integerRanges,
  nameOfType,
  Tag,
  utf8Value,
  type AxdrType,
  type AxdrValue,
} from '../axdr/axdr.ts'
import { cosemDateBytes } from '../axdr/date-time-fields.ts'
import { readLocalMs } from '../axdr/date-time.ts'
import { paddedTextIn } from '../axdr/padded-text.ts'
import {
  octetsOfDate,
  octetsOfDateTime,
  octetsOfTime,
  textOfDate,
  textOfDateTime,
  textOfTime,
} from './date-time-text.ts'
import { tagOfType, type Json } from './type.ts'

/** `value` in raw form. */
export function rawJson(value: AxdrValue): Json {
  const axdr = nameOfType(value.tag)
  switch (value.tag) {
    case Tag.NULL:
      return null
    case Tag.DONT_CARE:
      return { axdr }
    case Tag.ARRAY:
    case Tag.STRUCTURE:
      return { axdr, value: value.elements.map(rawJson) }
    case Tag.COMPACT_ARRAY:
      return { axdr, of: typeJson(value.type), value: value.elements.map(rawJson) }
    case Tag.OCTET_STRING:
      return { axdr, value: value.value.toString('hex'), ...hintOf(value.value) }
    case Tag.UTF8_STRING:
      return {
        axdr,
        value: value.value,
        ...(value.octets && { octets: value.octets.toString('hex') }),
      }
    default:
      return { axdr, value: simpleJson(value) }
  }
}

type Simple = Exclude<AxdrValue, { elements: AxdrValue[] }>

/** A value without elements as bare JSON: numbers, strings, hexadecimal digits, bits as 0 and 1. */
export function simpleJson(value: Simple): Json {
  switch (value.tag) {
    case Tag.NULL:
    case Tag.DONT_CARE:
      return null
    case Tag.BIT_STRING:
      return bitText(value.value, value.bitCount)
    case Tag.DATE_TIME:
      return textOfDateTime(value.value)
    case Tag.DATE:
      return textOfDate(value.value)
    case Tag.TIME:
      return textOfTime(value.value)
    case Tag.OCTET_STRING:
      return value.value.toString('hex')
    case Tag.BCD:
      return bcdNumber(value.value) ?? value.value.toString(16).padStart(2, '0')
    case Tag.FLOAT32:
    case Tag.FLOAT64:
      // JSON has no word for these.
      return Number.isFinite(value.value) && !Object.is(value.value, -0)
        ? value.value
        : Object.is(value.value, -0)
          ? '-0'
          : String(value.value)
    case Tag.LONG64:
    case Tag.LONG64_UNSIGNED:
      return integerJson(value.value)
    default:
      return value.value
  }
}

export function integerJson(value: bigint | number): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

function typeJson(type: AxdrType): Json {
  if (type.tag === Tag.ARRAY) return { count: type.count, of: typeJson(type.of) }
  if (type.tag === Tag.STRUCTURE) return type.of.map(typeJson)
  return nameOfType(type.tag)
}

/** A date whose day of the week is right, which no five other octets are by chance. */
function isDated(octets: Buffer): boolean {
  if (octets.length !== cosemDateBytes) return false
  const [year, month, day, weekday] = [octets.readUInt16BE(0), octets[2]!, octets[3]!, octets[4]!]
  const utcMs = Date.UTC(year, month - 1, day)
  const isDay = month >= 1 && month <= 12 && new Date(utcMs).getUTCDate() === day
  return (
    isDay &&
    utcMs >= datedFrom &&
    utcMs < datedUntil &&
    (new Date(utcMs).getUTCDay() || 7) === weekday
  )
}

const datedFrom = Date.UTC(1990, 0)
const datedUntil = Date.UTC(2100, 0)

function hintOf(octets: Buffer): { text?: string; time?: string } {
  if (octets.length === 12) {
    const localMs = readLocalMs(octets, 0)
    if (localMs !== undefined && localMs >= datedFrom && localMs < datedUntil)
      return { time: textOfDateTime(octets) }
  }
  if (isDated(octets)) return { time: textOfDate(octets) }
  const isPrintable = octets.length > 0 && octets.every((octet) => octet >= 0x20 && octet < 0x7f)
  if (isPrintable) return { text: octets.toString('latin1') }
  const padded = paddedTextIn(octets)
  return padded === undefined ? {} : { text: padded.text }
}

/** True for what `rawJson` gives for anything but null-data. */
export function isRaw(
  json: Json,
): json is { axdr: string; value?: Json; of?: Json; octets?: Json } {
  return (
    typeof json === 'object' &&
    json !== null &&
    !Array.isArray(json) &&
    typeof json['axdr'] === 'string'
  )
}

/**
 * The value that raw JSON stands for. @throws BrokerError DLMS_VALUE_INVALID, DLMS_NESTING_EXCEEDED
 */
export function valueOfRaw(json: Json, path = '', depth = 0): AxdrValue {
  if (json === null) return { tag: Tag.NULL }
  if (depth > limits.dataDepthMax) throw new BrokerError('DLMS_NESTING_EXCEEDED', `at ${path}`)
  if (!isRaw(json))
    throw misfit(path, 'null, or {"axdr": type, "value": …} where the type is not known')
  const tag = tagOfType(json.axdr)
  if (tag === undefined) throw misfit(path, `a type of A-XDR, not ${json.axdr}`)
  const content = json.value ?? null
  if (tag === Tag.UTF8_STRING && typeof json.octets === 'string')
    return utf8Value(octetsOfHex(json.octets, path))
  if (tag !== Tag.ARRAY && tag !== Tag.STRUCTURE && tag !== Tag.COMPACT_ARRAY)
    return simpleValue(tag, content, path)
  if (!Array.isArray(content)) throw misfit(path, 'a list of values')
  const elements = content.map((element, i) => valueOfRaw(element, `${path}[${i}]`, depth + 1))
  if (tag !== Tag.COMPACT_ARRAY) return { tag, elements }
  return { tag, type: typeOf(json.of ?? null, path, 0), elements }
}

function typeOf(json: Json, path: string, depth: number): AxdrType {
  if (depth > limits.dataDepthMax) throw new BrokerError('DLMS_NESTING_EXCEEDED', `at ${path}`)
  if (Array.isArray(json))
    return { tag: Tag.STRUCTURE, of: json.map((of) => typeOf(of, path, depth + 1)) }
  if (typeof json === 'object' && json !== null) {
    const { count } = json
    if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > 0xffff)
      throw misfit(path, 'a count from 0 to 65535')
    return { tag: Tag.ARRAY, count, of: typeOf(json['of'] ?? null, path, depth + 1) }
  }
  const tag = typeof json === 'string' ? tagOfType(json) : undefined
  if (tag === undefined || tag === Tag.ARRAY || tag === Tag.STRUCTURE || tag === Tag.COMPACT_ARRAY)
    throw misfit(path, 'a type of elements')
  return { tag }
}

type SimpleTag = Simple['tag']

/**
 * The value of a type without elements that bare JSON stands for. @throws BrokerError
 * DLMS_VALUE_INVALID
 */
export function simpleValue(tag: SimpleTag, json: Json, path: string): AxdrValue {
  const name = nameOfType(tag)
  if (tag === Tag.BCD && typeof json === 'string' && /^[0-9a-f]{2}$/i.test(json))
    return { tag, value: Number.parseInt(json, 16) }
  const range = integerRanges.get(tag)
  if (range !== undefined) {
    const value = integerOf(json)
    if (value === undefined || value < range[0] || value > range[1])
      throw misfit(path, `${name}: a whole number from ${range[0]} to ${range[1]}`)
    if (tag === Tag.LONG64 || tag === Tag.LONG64_UNSIGNED) return { tag, value }
    if (tag === Tag.BCD) return { tag, value: Number.parseInt(String(value), 16) }
    return { tag, value: Number(value) } as AxdrValue
  }
  switch (tag) {
    case Tag.NULL:
    case Tag.DONT_CARE:
      return { tag }
    case Tag.BOOLEAN:
      if (typeof json !== 'boolean') throw misfit(path, 'true or false')
      return { tag, value: json }
    case Tag.FLOAT32:
    case Tag.FLOAT64: {
      const value = typeof json === 'string' && json.trim() !== '' ? Number(json) : json
      if (typeof value !== 'number' || (Number.isNaN(value) && json !== 'NaN'))
        throw misfit(path, `${name}: a number`)
      return { tag, value: tag === Tag.FLOAT32 ? Math.fround(value) : value }
    }
    default:
      if (typeof json !== 'string') throw misfit(path, `${name}: a string`)
      return textValue(tag, json, path)
  }
}

function textValue(tag: SimpleTag, text: string, path: string): AxdrValue {
  switch (tag) {
    case Tag.BIT_STRING:
      if (!/^[01]*$/.test(text)) throw misfit(path, 'bit-string: 0 and 1')
      return bitValue(text)
    case Tag.DATE_TIME:
      return { tag, value: octetsOfDateTime(text) }
    case Tag.DATE:
      return { tag, value: octetsOfDate(text) }
    case Tag.TIME:
      return { tag, value: octetsOfTime(text) }
    case Tag.OCTET_STRING:
      return { tag, value: octetsOfHex(text, path) }
    case Tag.VISIBLE_STRING:
      if (/[^\0-\xff]/.test(text)) throw misfit(path, 'visible-string: characters of latin-1')
      return { tag, value: text }
    case Tag.UTF8_STRING:
      return { tag, value: text.toWellFormed() }
    default:
      throw misfit(path, nameOfType(tag))
  }
}

/**
 * Octets of pairs of hexadecimal digits; spaces between pairs do not count. @throws BrokerError
 * DLMS_VALUE_INVALID
 */
export function octetsOfHex(text: string, path: string): Buffer {
  const digits = text.replaceAll(/\s/g, '')
  if (!/^([0-9a-fA-F]{2})*$/.test(digits)) throw misfit(path, 'pairs of hexadecimal digits')
  return Buffer.from(digits, 'hex')
}

/** The first `bitCount` bits of `octets` as 0 and 1. */
export function bitText(octets: Buffer, bitCount: number): string {
  let text = ''
  for (let bit = 0; bit < bitCount; bit++) text += (octets[bit >> 3]! >> (7 - (bit & 7))) & 1
  return text
}

/** A bit-string of 0 and 1. */
export function bitValue(bits: string): AxdrValue {
  const value = Buffer.alloc(Math.ceil(bits.length / 8))
  for (let bit = 0; bit < bits.length; bit++)
    if (bits[bit] === '1') value[bit >> 3]! |= 0x80 >> (bit & 7)
  return { tag: Tag.BIT_STRING, bitCount: bits.length, value }
}

function integerOf(json: Json): bigint | undefined {
  if (typeof json === 'number') return Number.isSafeInteger(json) ? BigInt(json) : undefined
  return typeof json === 'string' && /^-?\d{1,20}$/.test(json) ? BigInt(json) : undefined
}

/** What `path` should have been. */
export function misfit(path: string, wanted: string): BrokerError {
  return new BrokerError(
    'DLMS_VALUE_INVALID',
    `${path === '' ? 'the value' : path} is not ${wanted}`,
  )
}
