/**
 * JSON in the words of a type to the A-XDR value that is written or given to a method; the way back
 * of reading.ts. Null is null-data anywhere, and `{ "axdr": type, "value": … }` says a value in a
 * type of one's own anywhere.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { Tag, type AxdrValue } from '../axdr/axdr.ts'
import { parseObis } from '../axdr/obis.ts'
import { octetsOfDate, octetsOfDateTime, octetsOfTime } from './date-time-text.ts'
import { mbusMakerOf, mbusNumberOf } from './mbus-name.ts'
import { bitValue, isRaw, misfit, octetsOfHex, simpleValue, valueOfRaw } from './raw-json.ts'
import {
  formatType,
  numberOfName,
  tagOfType,
  type CosemType,
  type Json,
  type MeantType,
  type SimpleType,
} from './type.ts'

/**
 * The value that `json` stands for as `type`. @throws BrokerError DLMS_VALUE_INVALID,
 * DLMS_NESTING_EXCEEDED
 */
export function valueOf(json: Json, type: CosemType, path = '', depth = 0): AxdrValue {
  if (depth > limits.dataDepthMax) throw new BrokerError('DLMS_NESTING_EXCEEDED', `at ${path}`)
  if (json === null) return { tag: Tag.NULL }
  if (isRaw(json)) return valueOfRaw(json, path, depth)
  if (typeof type === 'string') return valueOfSimple(json, type, path)
  if ('array' in type) {
    if (!Array.isArray(json)) throw misfit(path, `a list of ${formatType(type.array)}`)
    return {
      tag: Tag.ARRAY,
      elements: json.map((element, i) => valueOf(element, type.array, `${path}[${i}]`, depth + 1)),
    }
  }
  if ('structure' in type) return valueOfStructure(json, type.structure, path, depth)
  if ('choice' in type) {
    for (const alternative of type.choice) {
      try {
        return valueOf(json, alternative, path, depth + 1)
      } catch (error) {
        if (!(error instanceof BrokerError)) throw error
      }
    }
    throw misfit(path, formatType(type))
  }
  if ('enum' in type) {
    const number = typeof json === 'string' ? numberOfName(type.enum, json) : json
    if (type.tag === 'boolean' && typeof number === 'number')
      return { tag: Tag.BOOLEAN, value: number !== 0 }
    if (typeof number !== 'number') throw misfit(path, formatType(type))
    return simpleValue(tagOfType(type.tag ?? 'enum') as typeof Tag.ENUM, number, path)
  }
  if (!Array.isArray(json)) throw misfit(path, `a list of ${formatType(type)}`)
  if ('bits' in type) {
    const wrong = json.find((name) => typeof name !== 'string' || !type.bits.includes(name))
    if (wrong !== undefined) throw misfit(path, `a list of ${formatType(type)}`)
    return bitValue(type.bits.map((name) => (json.includes(name) ? '1' : '0')).join(''))
  }
  let mask = 0
  for (const bit of json) {
    const index = typeof bit === 'string' ? type.mask.indexOf(bit) : bit
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index > 7)
      throw misfit(path, `a list of ${formatType(type)}`)
    mask |= 1 << index
  }
  return { tag: type.tag === 'enum' ? Tag.ENUM : Tag.UNSIGNED, value: mask }
}

function valueOfStructure(
  json: Json,
  fields: { readonly [field: string]: CosemType },
  path: string,
  depth: number,
): AxdrValue {
  const names = Object.keys(fields)
  const wanted = `an object of ${names.join(', ')}`
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw misfit(path, wanted)
  const strange = Object.keys(json).find((name) => !Object.hasOwn(fields, name))
  if (strange !== undefined) throw misfit(path, `${wanted}: there is no ${strange}`)
  const prefix = path === '' ? '' : `${path}.`
  return {
    tag: Tag.STRUCTURE,
    elements: names.map((name) => {
      const field = Object.hasOwn(json, name) ? json[name] : undefined
      if (field === undefined) throw misfit(path, `${wanted}: ${name} is missing`)
      return valueOf(field, fields[name]!, prefix + name, depth + 1)
    }),
  }
}

function valueOfSimple(json: Json, type: SimpleType | MeantType | 'any', path: string): AxdrValue {
  if (type === 'any') {
    if (typeof json === 'boolean') return { tag: Tag.BOOLEAN, value: json }
    throw misfit(
      path,
      'null, true, false, or {"axdr": type, "value": …}: the class leaves its type open',
    )
  }
  const tag = tagOfType(type)
  if (tag !== undefined) return simpleValue(tag as typeof Tag.ENUM, json, path)
  if (type === 'mbus-number' || type === 'mbus-maker') return mbusValue(json, type, path)
  if (typeof json !== 'string') throw misfit(path, `${type}, a string`)
  if (type === 'ip4') return { tag: Tag.DOUBLE_LONG_UNSIGNED, value: ip4Of(json, path) }
  return {
    tag: Tag.OCTET_STRING,
    value: meantOctets(json, type as OctetsType, path),
  }
}

/** Text, or the number itself. */
function mbusValue(json: Json, type: 'mbus-number' | 'mbus-maker', path: string): AxdrValue {
  const tag = type === 'mbus-number' ? Tag.DOUBLE_LONG_UNSIGNED : Tag.LONG_UNSIGNED
  if (typeof json !== 'string') return simpleValue(tag, json, path)
  const number = type === 'mbus-number' ? mbusNumberOf(json) : mbusMakerOf(json)
  if (number === undefined)
    throw misfit(path, type === 'mbus-number' ? 'up to eight digits' : 'three capital letters')
  return { tag, value: number }
}

type OctetsType = Exclude<MeantType, 'ip4' | 'mbus-number' | 'mbus-maker'>

function meantOctets(text: string, type: OctetsType, path: string): Buffer {
  switch (type) {
    case 'obis':
      return parseObis(text)
    case 'octets-date-time':
      return octetsOfDateTime(text)
    case 'octets-date':
      return octetsOfDate(text)
    case 'octets-time':
      return octetsOfTime(text)
    case 'octets-text':
      return Buffer.from(text, 'utf8')
    case 'ip6':
      return ip6Of(text, path)
  }
}

function ip4Of(text: string, path: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  const octets = match === null ? [256] : match.slice(1).map(Number)
  if (octets.some((octet) => octet > 255)) throw misfit(path, 'an IPv4 address')
  return octets.reduce((all, octet) => all * 256 + octet, 0)
}

function ip6Of(text: string, path: string): Buffer {
  const halves = text.split('::').map((half) => (half === '' ? [] : half.split(':')))
  const [head = [], tail] = halves
  const groups = [...head]
  if (tail !== undefined) {
    while (groups.length + tail.length < 8) groups.push('0')
    groups.push(...tail)
  }
  if (halves.length > 2 || groups.length !== 8 || !groups.every((g) => /^[0-9a-f]{1,4}$/i.test(g)))
    throw misfit(path, 'an IPv6 address')
  return octetsOfHex(groups.map((group) => group.padStart(4, '0')).join(''), path)
}
