/**
 * How attributes, parameters and returns of COSEM objects are described: small immutable terms that
 * a value can be checked against, shown by field names, and encoded from JSON. What is written in
 * them stands in classes/; reading.ts and writing.ts walk over them. [IEC 62056-6-2, Common data
 * types]
 */
import { bcdNumber, integerRanges, nameOfType, Tag, type AxdrValue } from '../axdr/axdr.ts'

/** JSON that a value is shown as and made from. Integers beyond 2^53 are strings of digits. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

const tagsByName: ReadonlyMap<string, Tag> = new Map(
  Object.values(Tag).map((tag) => [nameOfType(tag), tag]),
)

/** Types of A-XDR without elements, by the standard's names. */
export type SimpleType =
  | 'null-data'
  | 'boolean'
  | 'bit-string'
  | 'double-long'
  | 'double-long-unsigned'
  | 'octet-string'
  | 'visible-string'
  | 'utf8-string'
  | 'bcd'
  | 'integer'
  | 'long'
  | 'unsigned'
  | 'long-unsigned'
  | 'long64'
  | 'long64-unsigned'
  | 'enum'
  | 'float32'
  | 'float64'
  | 'date-time'
  | 'date'
  | 'time'

/**
 * Octet-strings with a meaning: an OBIS code of six, a date-time of twelve, a date of five, a time
 * of four, text, an IPv6 address of sixteen; an IPv4 address in a double-long-unsigned; and what
 * names an M-Bus device: eight digits of BCD in a double-long-unsigned, and the three letters of
 * its maker in a long-unsigned.
 */
export type MeantType =
  | 'obis'
  | 'octets-date-time'
  | 'octets-date'
  | 'octets-time'
  | 'octets-text'
  | 'ip6'
  | 'ip4'
  | 'mbus-number'
  | 'mbus-maker'

/** `any` is a choice that the standard leaves open, or that the logical name decides. */
export type CosemType =
  | SimpleType
  | MeantType
  | 'any'
  | { readonly array: CosemType }
  | { readonly structure: { readonly [field: string]: CosemType } }
  /** The first one that a value fits. */
  | { readonly choice: readonly CosemType[] }
  /** Names by number; `tag` when it does not travel as enum. */
  | { readonly enum: ValueNames; readonly tag?: 'boolean' }
  /** A bit-string; names of its bits, the first one first. */
  | { readonly bits: readonly string[] }
  /** An enum or unsigned that is a set of bits, the lowest first. */
  | { readonly mask: readonly string[]; readonly tag: 'enum' | 'unsigned' }

/** In order from 0, or by number. */
export type ValueNames = readonly string[] | { readonly [value: number]: string }

export function nameOfNumber(names: ValueNames, value: number): string | undefined {
  return (names as { readonly [value: number]: string })[value]
}

export function numberOfName(names: ValueNames, name: string): number | undefined {
  const found = Object.entries(names).find(([, candidate]) => candidate === name)
  return found === undefined ? undefined : Number(found[0])
}

/** The A-XDR tag of `double-long-unsigned` and its like; undefined for what is no type. */
export function tagOfType(name: string): Tag | undefined {
  return tagsByName.get(name)
}

/**
 * The number that a value of an integer type stands for; undefined for other types, and for a bcd
 * that is no pair of digits.
 */
export function integerOfValue(value: AxdrValue | undefined): bigint | undefined {
  if (value === undefined || !integerRanges.has(value.tag)) return undefined
  const number =
    value.tag === Tag.BCD ? bcdNumber(value.value) : (value as { value: number | bigint }).value
  return number === undefined ? undefined : BigInt(number)
}

/** A type in one line, for notes and help. */
export function formatType(type: CosemType): string {
  if (typeof type === 'string') return type
  if ('array' in type) return `array of ${formatType(type.array)}`
  if ('choice' in type) return type.choice.map(formatType).join(' | ')
  if ('structure' in type)
    return `{ ${Object.entries(type.structure)
      .map(([name, of]) => `${name}: ${formatType(of)}`)
      .join(', ')} }`
  if ('bits' in type) return `bit-string (${type.bits.join(', ')})`
  if ('mask' in type) return `${type.tag} of bits (${type.mask.join(', ')})`
  return `${type.tag ?? 'enum'} (${Object.entries(type.enum)
    .map(([value, name]) => `${value} ${name}`)
    .join(', ')})`
}
