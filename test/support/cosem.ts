/** Named JSON of any type of the class tables, for properties. */
import fc from 'fast-check'
import { bcdNumber, Tag, type AxdrValue } from '../../core/dlms/axdr/axdr.ts'
import { integerJson, rawJson } from '../../core/dlms/cosem/raw-json.ts'
import { textOfDate, textOfDateTime, textOfTime } from '../../core/dlms/cosem/date-time-text.ts'
import { integerRanges } from '../../core/dlms/axdr/axdr.ts'
import { tagOfType, type CosemType, type Json } from '../../core/dlms/cosem/type.ts'
import { formatObis } from '../../core/dlms/axdr/obis.ts'
import { octets, values } from './dlms.ts'

const hex = (min: number, max = min): fc.Arbitrary<string> =>
  octets(min, max).map((bytes) => bytes.toString('hex'))
const text = fc
  .string({ unit: 'grapheme', maxLength: 20 })
  .filter((text) =>
    Array.from(text).every((one) => one >= ' ' && one !== '\u007f' && one !== '\ufffd'),
  )
const latin1 = octets(0, 20).map((bytes) => bytes.toString('latin1'))
const bitText = fc.array(fc.constantFrom('0', '1'), { maxLength: 40 }).map((bits) => bits.join(''))
const float = (of: fc.Arbitrary<number>): fc.Arbitrary<Json> =>
  of.map((value) =>
    Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : Object.is(value, -0)
        ? '-0'
        : String(value),
  )

/** Nothing in it has a note: a bcd of other octets than digits would. */
const isPlain = (value: AxdrValue): boolean =>
  'elements' in value
    ? value.elements.every(isPlain)
    : value.tag !== Tag.BCD || bcdNumber(value.value) !== undefined

const simple: { readonly [type: string]: fc.Arbitrary<Json> } = {
  any: values.filter(isPlain).map(rawJson),
  'null-data': fc.constant(null),
  boolean: fc.boolean(),
  'bit-string': bitText,
  'octet-string': hex(0, 20),
  'visible-string': latin1,
  'utf8-string': fc.string({ unit: 'grapheme' }),
  float32: float(fc.float()),
  float64: float(fc.double()),
  'date-time': octets(12).map(textOfDateTime),
  date: octets(5).map(textOfDate),
  time: octets(4).map(textOfTime),
  obis: octets(6).map((bytes) => formatObis(bytes)),
  'octets-date-time': octets(12).map(textOfDateTime),
  'octets-date': octets(5).map(textOfDate),
  'octets-time': octets(4).map(textOfTime),
  'octets-text': text,
  'mbus-number': fc.integer({ min: 1, max: 99_999_999 }).map((n) => String(n).padStart(8, '0')),
  'mbus-maker': fc.string({
    unit: fc.integer({ min: 0x41, max: 0x5a }).map((code) => String.fromCharCode(code)),
    minLength: 3,
    maxLength: 3,
  }),
  ip4: octets(4).map((bytes) => bytes.join('.')),
  ip6: hex(16).map((digits) => digits.replaceAll(/(.{4})(?!$)/g, '$1:')),
}

/** JSON of `type` as reading gives it, nothing odd in it. */
export function jsonOf(type: CosemType): fc.Arbitrary<Json> {
  if (typeof type === 'string') {
    const [min, max] = integerRanges.get(tagOfType(type)!) ?? []
    if (min !== undefined) return fc.bigInt({ min, max: max! }).map(integerJson)
    const found = simple[type]
    if (found === undefined) throw new Error(`no arbitrary for ${type}`)
    return found
  }
  if ('array' in type) return fc.array(jsonOf(type.array), { maxLength: 3 })
  if ('structure' in type)
    return fc.record(
      Object.fromEntries(Object.entries(type.structure).map(([name, of]) => [name, jsonOf(of)])),
      { noNullPrototype: true },
    )
  if ('choice' in type) return fc.oneof(...type.choice.map(jsonOf))
  if ('enum' in type) return fc.constantFrom(...(Object.values(type.enum) as string[]))
  const names: readonly string[] = 'bits' in type ? type.bits : type.mask
  return fc.subarray([...names])
}
