/**
 * JSON as parties send it over HTTP, from octets to a value: JSON.parse, and besides what it passes
 * over in silence. A name that comes twice in an object, text without a form in Unicode and a
 * number that would be rounded are faults: what a party meant by them can only be guessed. A byte
 * order mark in front is skipped.
 * @source RFC 8259 sections 4, 6 and 8.1; the JSON mapping of proto3, where `requestId` and
 * `request_id` are one name
 */
import { isUtf8 } from 'node:buffer'
import { limits } from '../base/limits.ts'
import { jsonName } from '../base/violation.ts'

/**
 * What is wrong with a JSON document, and where: for example `requests[2].displayMessage.text`, or
 * undefined. `isOfValue`: the value of the field is at fault, not the form of the document.
 */
export type JsonFault = {
  detail: string
  field: string | undefined
  isOfValue: boolean
  /** The document is larger than the route takes, whatever is in it. */
  isExcess?: true
}
export type ParsedJson = { value: unknown } | JsonFault

/** Digits that a double holds whatever they are. */
const exactDigits = 15
const numberText = /[-+.\deE]*/y

/**
 * The value of the JSON document in `octets`, which are borrowed. Members named __proto__ are
 * members as any other. A part of a document has no byte order mark.
 */
export function parseJson(
  octets: Buffer,
  { isPart = false, depthMax = limits.jsonNestingMax as number } = {},
): ParsedJson {
  const isText = isUtf8(octets)
  // Octets that are not UTF-8 are found in the string that they stand in: Latin-1 keeps each as one
  // character.
  let text = octets.toString(isText ? 'utf8' : 'latin1')
  const mark = isText ? '\uFEFF' : '\xEF\xBB\xBF'
  if (!isPart && text.startsWith(mark)) text = text.slice(mark.length)
  if (text.trim() === '') return { detail: 'the body is empty', field: undefined, isOfValue: false }
  const excess = excessIn(text, depthMax)
  if (excess !== undefined) return { detail: excess, field: undefined, isOfValue: false }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : ''
    return {
      detail: `the body is not JSON: ${isText ? reason : 'it is not UTF-8'}`,
      field: undefined,
      isOfValue: false,
    }
  }
  return new Look(text, isText).fault() ?? { value }
}

const [quote, backslash] = ['"', '\\'].map((character) => character.charCodeAt(0)) as [
  number,
  number,
]
const [brace, bracket] = ['{', '['].map((character) => character.charCodeAt(0)) as [number, number]
const [braceEnd, bracketEnd] = ['}', ']'].map((character) => character.charCodeAt(0)) as [
  number,
  number,
]

/**
 * Whether `text` is nested deeper, or has more objects and lists, than any request: JSON.parse
 * takes seconds for 4 MiB of them.
 */
function excessIn(text: string, depthMax: number): string | undefined {
  let depth = 0
  let count = 0
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (character === brace || character === bracket) {
      if (++depth > depthMax) return 'the body is nested too deep'
      if (++count > limits.jsonObjectsMax) return 'the body has too many objects and lists'
    } else if (character === braceEnd || character === bracketEnd) depth--
    else if (character === quote) {
      at++
      for (; at < text.length && text.charCodeAt(at) !== quote; at++)
        if (text.charCodeAt(at) === backslash) at++
    }
  }
  return undefined
}

/** An object or list that is open; the names of an object are kept from the first one on. */
type Level = { isObject: boolean; names: Set<string> | undefined; place: string | number }

/** A walk through text that is known to be JSON. */
class Look {
  private readonly text: string
  private readonly isText: boolean
  private readonly levels: Level[] = []
  private at = 0

  constructor(text: string, isText: boolean) {
    this.text = text
    this.isText = isText
  }

  fault(): JsonFault | undefined {
    const { text, levels } = this
    let isName = false
    while (this.at < text.length) {
      const character = text[this.at]!
      const level = levels.at(-1)
      if (character === '"') {
        const detail = this.string(isName ? level : undefined)
        if (detail !== undefined) return { detail, field: this.field(), isOfValue: !isName }
        continue
      }
      this.at++
      if (character === '{') levels.push({ isObject: true, names: undefined, place: '' })
      else if (character === '[') levels.push({ isObject: false, names: undefined, place: 0 })
      else if (character === '}' || character === ']') levels.pop()
      else if (character === ',' && level && typeof level.place === 'number') level.place++
      else if (character === '-' || (character >= '0' && character <= '9')) {
        const detail = this.number(this.at - 1)
        if (detail !== undefined) return { detail, field: this.field(), isOfValue: true }
        continue
      } else if (character !== ',' && character !== ':') continue
      // In an object a name stands behind its brace and behind each comma.
      const inside = levels.at(-1)
      isName = inside?.isObject === true && (character === '{' || character === ',')
    }
    return undefined
  }

  /** Passes a string; as a name when `level` is given. */
  private string(level: Level | undefined): string | undefined {
    const { text } = this
    const from = this.at + 1
    let to = text.indexOf('"', from)
    while (isEscaped(text, from, to)) to = text.indexOf('"', to + 1)
    this.at = to + 1
    const written = text.slice(from, to)
    const isWritten = this.isText || isUtf8(Buffer.from(written, 'latin1'))
    const read = written.includes('\\') ? (JSON.parse(`"${written}"`) as string) : written
    if (level !== undefined) {
      if (!isWritten || !read.isWellFormed()) {
        this.levels.pop()
        return 'a name is not text'
      }
      const name = jsonName(read)
      level.place = name
      const names = (level.names ??= new Set())
      if (names.has(name)) return `${JSON.stringify(name.slice(0, 60))} is there twice`
      names.add(name)
      return undefined
    }
    if (!isWritten) return 'the text is not UTF-8'
    return read.isWellFormed()
      ? undefined
      : 'the text has one half of a surrogate pair, which is no character'
  }

  /** Passes a number. One of whole digits is left to the fields: they know which they take. */
  private number(from: number): string | undefined {
    numberText.lastIndex = from
    const written = numberText.exec(this.text)![0]
    this.at = from + written.length
    if (/^-?\d*$/.test(written)) return undefined
    const digits = written
      .replace(/[eE].*$/, '')
      .replace(/\D/g, '')
      .replace(/^0+/, '')
    return digits.length > exactDigits
      ? `${written.slice(0, 40)} is rounded as a JSON number: send it as text, in quotation marks`
      : undefined
  }

  private field(): string | undefined {
    const path = this.levels.reduce(
      (text, { place }) =>
        typeof place === 'number' ? `${text}[${place}]` : text === '' ? place : `${text}.${place}`,
      '',
    )
    return path === '' ? undefined : path.slice(0, limits.jsonFieldCharactersMax)
  }
}

/** Whether an odd number of backslashes stands before the quotation mark at `at`. */
function isEscaped(text: string, from: number, at: number): boolean {
  let count = 0
  for (let before = at - 1; before >= from && text[before] === '\\'; before--) count++
  return count % 2 === 1
}
