/**
 * An A-XDR value in the words of its type: named fields, names of enumerations and bits, times and
 * logical names as text. What does not fit the type is shown raw with a note, never thrown away;
 * what fits in another width is understood, with a note. The way back is writing.ts: what has no
 * note encodes to the same value.
 */
import { limits } from '../../base/limits.ts'
import { bcdNumber, integerRanges, nameOfType, Tag, type AxdrValue } from '../axdr/axdr.ts'
import { formatObis, obisBytes } from '../axdr/obis.ts'
import { textOfTimeOctets } from './date-time-text.ts'
import { textOfMbusMaker, textOfMbusNumber } from './mbus-name.ts'
import { bitText, integerJson, rawJson, simpleJson } from './raw-json.ts'
import {
  formatType,
  integerOfValue,
  nameOfNumber,
  tagOfType,
  type CosemType,
  type Json,
} from './type.ts'

/** What is odd about a value. */
export type Problem =
  /** Another type than the class says; raw when it could not be understood all the same. */
  | 'type-unexpected'
  | 'length-unexpected'
  /** A structure with other fields than the class says, raw. */
  | 'fields-unexpected'
  /** A number that the enumeration has no name for. */
  | 'value-reserved'
  /** A bcd that is no pair of digits: two hexadecimal ones. */
  | 'digits-unexpected'
  /** A utf8-string of other octets than UTF-8: U+FFFD where they are none. */
  | 'text-unexpected'
  | 'class-unknown'
  /** Read by the nearest version that is known. */
  | 'version-unknown'
  | 'attribute-unknown'
  | 'method-unknown'

/** `path` as in `[3].access_rights.method_access[0]`; empty for the value itself. */
export type Note = { path: string; problem: Problem; detail: string }

export type Meaning = { json: Json; notes: Note[] }

/** What `value` means as `type`. At most `cosemNotesMax` notes are kept. */
export function meaningOf(value: AxdrValue, type: CosemType): Meaning {
  const reader = new Reader()
  const json = reader.read(value, type, '')
  return { json, notes: reader.notes }
}

class Reader {
  notes: Note[] = []

  read(value: AxdrValue, type: CosemType, path: string): Json {
    if (value.tag === Tag.NULL) return null
    if (type === 'any') return this.rawOfAny(value, path)
    if (typeof type === 'string') return this.readSimple(value, type, path)
    if ('array' in type) {
      if (value.tag !== Tag.ARRAY && value.tag !== Tag.COMPACT_ARRAY)
        return this.raw(value, type, path)
      return value.elements.map((element, i) => this.read(element, type.array, `${path}[${i}]`))
    }
    if ('structure' in type) return this.readStructure(value, type, path)
    if ('choice' in type) return this.readChoice(value, type.choice, type, path)
    if ('enum' in type) return this.readEnum(value, type, path)
    if ('bits' in type) return this.readBits(value, type, path)
    return this.readMask(value, type, path)
  }

  private readSimple(value: AxdrValue, type: string, path: string): Json {
    if ('elements' in value) return this.raw(value, type as CosemType, path)
    const octets = 'value' in value && Buffer.isBuffer(value.value) ? value.value : undefined
    switch (type) {
      case 'obis':
        if (value.tag === Tag.OCTET_STRING && octets!.length === obisBytes)
          return formatObis(octets!)
        return this.raw(value, type, path)
      case 'octets-text':
        return this.readText(value, path)
      case 'ip4':
        if (value.tag === Tag.DOUBLE_LONG_UNSIGNED)
          return [24, 16, 8, 0].map((shift) => (value.value >>> shift) & 0xff).join('.')
        return this.raw(value, type, path)
      case 'mbus-number':
        if (value.tag !== Tag.DOUBLE_LONG_UNSIGNED) return this.raw(value, type, path)
        return this.readNamed(value.value, textOfMbusNumber(value.value), path)
      case 'mbus-maker':
        if (value.tag !== Tag.LONG_UNSIGNED) return this.raw(value, type, path)
        return this.readNamed(value.value, textOfMbusMaker(value.value), path)
      case 'ip6':
        if (value.tag === Tag.OCTET_STRING && octets!.length === 16)
          return octets!.toString('hex').replaceAll(/(.{4})(?!$)/g, '$1:')
        return this.raw(value, type, path)
      default:
    }
    const time = timeOctets(value, octets, type)
    if (time !== undefined) {
      const isPlain = type.startsWith('octets-')
        ? value.tag === Tag.OCTET_STRING
        : value.tag === tagOfType(type)
      if (!isPlain) this.note(path, 'type-unexpected', `${nameOfType(value.tag)}, not ${type}`)
      return time
    }
    const tag = tagOfType(type)
    if (value.tag === tag) {
      this.noteContent(value, path)
      return simpleJson(value)
    }
    const range = tag === undefined ? undefined : integerRanges.get(tag)
    const number = integerOfValue(value)
    if (range === undefined || number === undefined || number < range[0] || number > range[1])
      return this.raw(value, type as CosemType, path)
    this.note(path, 'type-unexpected', `${nameOfType(value.tag)}, not ${type}`)
    return integerJson(number)
  }

  /** `text`, or the number where it stands for none; 0 is what a meter has of no device. */
  private readNamed(number: number, text: string | undefined, path: string): Json {
    if (text === undefined && number !== 0) this.note(path, 'value-reserved', String(number))
    return text ?? number
  }

  /** Names are octets by the standard; those that are no text stay octets. */
  private readText(value: AxdrValue, path: string): Json {
    if (value.tag === Tag.OCTET_STRING) {
      const text = value.value.toString('utf8')
      // eslint-disable-next-line no-control-regex -- control characters are what is looked for
      const isText = !/[\0-\x1f\x7f\ufffd]/.test(text)
      return isText ? text : rawJson(value)
    }
    if (value.tag !== Tag.VISIBLE_STRING && value.tag !== Tag.UTF8_STRING)
      return this.raw(value, 'octets-text', path)
    this.note(path, 'type-unexpected', `${nameOfType(value.tag)}, not octet-string`)
    return value.value
  }

  private readStructure(
    value: AxdrValue,
    type: Extract<CosemType, { structure: unknown }>,
    path: string,
  ): Json {
    if (value.tag !== Tag.STRUCTURE) return this.raw(value, type, path)
    const fields = Object.entries(type.structure)
    if (fields.length !== value.elements.length) {
      this.note(
        path,
        'fields-unexpected',
        `${value.elements.length} fields, not ${fields.length}: ${Object.keys(type.structure).join(', ')}`,
      )
      return rawJson(value)
    }
    const prefix = path === '' ? '' : `${path}.`
    return Object.fromEntries(
      fields.map(([name, of], i) => [name, this.read(value.elements[i]!, of, prefix + name)]),
    )
  }

  private readChoice(
    value: AxdrValue,
    choice: readonly CosemType[],
    type: CosemType,
    path: string,
  ): Json {
    let nearest: { json: Json; notes: Note[] } | undefined
    for (const alternative of choice) {
      const trial = new Reader()
      const json = trial.read(value, alternative, path)
      if (trial.notes.length === 0) return json
      // What fits on the outside is nearer than what does not fit at all.
      if (nearest === undefined && !trial.notes.some((note) => note.path === path))
        nearest = { json, notes: trial.notes }
    }
    if (nearest === undefined) return this.raw(value, type, path)
    for (const note of nearest.notes) this.keep(note)
    return nearest.json
  }

  private readEnum(
    value: AxdrValue,
    type: Extract<CosemType, { enum: unknown }>,
    path: string,
  ): Json {
    const number = numberOf(value)
    if (number === undefined || number < 0 || number > 0xff) return this.raw(value, type, path)
    if (nameOfType(value.tag) !== (type.tag ?? 'enum'))
      this.note(path, 'type-unexpected', `${nameOfType(value.tag)}, not ${type.tag ?? 'enum'}`)
    const name = nameOfNumber(type.enum, number)
    if (name === undefined) this.note(path, 'value-reserved', String(number))
    return name ?? number
  }

  private readBits(
    value: AxdrValue,
    type: Extract<CosemType, { bits: unknown }>,
    path: string,
  ): Json {
    if (value.tag !== Tag.BIT_STRING) return this.raw(value, type, path)
    if (value.bitCount !== type.bits.length) {
      this.note(path, 'length-unexpected', `${value.bitCount} bits, not ${type.bits.length}`)
      return rawJson(value)
    }
    const bits = bitText(value.value, value.bitCount)
    return type.bits.filter((_, bit) => bits[bit] === '1')
  }

  private readMask(
    value: AxdrValue,
    type: Extract<CosemType, { mask: unknown }>,
    path: string,
  ): Json {
    const number = numberOf(value)
    if (number === undefined || number < 0 || number > 0xff) return this.raw(value, type, path)
    if (nameOfType(value.tag) !== type.tag)
      this.note(path, 'type-unexpected', `${nameOfType(value.tag)}, not ${type.tag}`)
    const bits = [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (number >> bit) & 1)
    return bits.map((bit) => type.mask[bit] ?? bit)
  }

  /** Any type is right, but what stands in it may be no number or text of that type. */
  private rawOfAny(value: AxdrValue, path: string): Json {
    this.noteContents(value, path)
    return rawJson(value)
  }

  private noteContents(value: AxdrValue, path: string): void {
    if (!('elements' in value)) return this.noteContent(value, path)
    value.elements.forEach((element, i) => this.noteContents(element, `${path}[${i}]`))
  }

  private noteContent(value: AxdrValue, path: string): void {
    if (value.tag === Tag.BCD && bcdNumber(value.value) === undefined)
      this.note(path, 'digits-unexpected', `octet ${value.value.toString(16)}`)
    if (value.tag === Tag.UTF8_STRING && value.octets !== undefined)
      this.note(path, 'text-unexpected', `octets ${value.octets.toString('hex')}`)
  }

  private raw(value: AxdrValue, type: CosemType, path: string): Json {
    const length =
      'value' in value && Buffer.isBuffer(value.value) ? ` of ${value.value.length} octets` : ''
    this.note(path, 'type-unexpected', `${nameOfType(value.tag)}${length}, not ${formatType(type)}`)
    return rawJson(value)
  }

  private note(path: string, problem: Problem, detail: string): void {
    this.keep({ path, problem, detail })
  }

  private keep(note: Note): void {
    if (this.notes.length < limits.cosemNotesMax) this.notes.push(note)
  }
}

/** The number of a small integer type or boolean. */
function numberOf(value: AxdrValue): number | undefined {
  if (value.tag === Tag.BOOLEAN) return value.value ? 1 : 0
  const integer = integerOfValue(value)
  return integer === undefined ? undefined : Number(integer)
}

function timeOctets(
  value: AxdrValue,
  octets: Buffer | undefined,
  type: string,
): string | undefined {
  if (octets === undefined || value.tag === Tag.BIT_STRING) return undefined
  const text = textOfTimeOctets(octets)
  switch (type.replace('octets-', '')) {
    case 'date-time':
      return octets.length === 12 ? text : undefined
    case 'date':
      return octets.length === 5 ? text : undefined
    case 'time':
      return octets.length === 4 ? text : undefined
    default:
      return undefined
  }
}
