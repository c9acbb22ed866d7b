/**
 * What the octets of an APDU mean, for people: a tree of fields by the standard's names, each with
 * its place. The grammars of apdu/ are read as the codec reads them, tolerantly; what cannot be
 * read is said with the reason.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { anyApdu, type Apdu } from './apdu/codec.ts'
import { BlockControl } from './apdu/general-block-transfer.ts'
import { Reader, type Codec, type Tracer } from './apdu/grammar.ts'
import type { InformationApdu } from './apdu/information.ts'
import { bcdNumber, lengthBytes, nameOfType, readLength, skipValue, Tag } from './axdr/layout.ts'
import { AxdrView } from './axdr/view.ts'
import { findClass } from './cosem/class-table.ts'
import { scaledText } from './cosem/decimal.ts'
import { nameOfObis } from './cosem/obis-name.ts'
import { unitNames, unitOf } from './cosem/units.ts'
import {
  cosemDateBytes,
  cosemTimeBytes,
  formatDate,
  formatDateTime,
  formatTime,
} from './axdr/date-time-fields.ts'
import { cosemDateTimeBytes } from './axdr/date-time.ts'
import { decodeDescriptor } from './apdu/descriptor.ts'
import { formatObis, obisBytes } from './axdr/obis.ts'
import { paddedTextIn } from './axdr/padded-text.ts'
import { readPushPayload } from './unsolicited/push-payload.ts'
import { readTelegram, type Telegram } from './unsolicited/telegram.ts'
import { wrapperHeaderBytes } from './framing/wrapper.ts'

/**
 * A field: `at` and `bytes` say where it lies in the octets that were given, or in its plaintext
 * when it was enciphered.
 */
export type ExplainedField = {
  name: string
  value: string
  at: number
  bytes: number
  children: ExplainedField[]
}

/** The APDUs that have a security header. */
export type Envelope = Extract<Apdu | InformationApdu, { ciphered: unknown }>

/** What was protected, and what there is to say about it: `not verified`, or nothing. */
export type Plaintext = { view: Buffer; remark: string }

export type ExplainOptions = {
  /** Opens `envelope`, `carrier` or a part of it; undefined without a key. */
  decipher?: (envelope: Envelope, carrier: Apdu) => Plaintext | undefined
}

/**
 * Explains an APDU, or a wrapper frame around one. It throws nothing: what cannot be read is a
 * field called `unreadable`.
 */
export function explain(view: Buffer, options: ExplainOptions = {}): ExplainedField {
  const isVersionOne = view.length > wrapperHeaderBytes && view.readUInt16BE(0) === 1
  const thereBytes = view.length - wrapperHeaderBytes
  const saidBytes = isVersionOne ? view.readUInt16BE(6) : 0
  // No APDU begins with 00, so what says more than there is has been cut short.
  if (saidBytes < thereBytes || !isVersionOne) return explainApdu(view, 0, options, 0)
  const header = ['version', 'source', 'destination', 'length'].map((name, i) =>
    field(name, String(view.readUInt16BE(2 * i)), 2 * i, 2),
  )
  const content =
    saidBytes > thereBytes
      ? field(
          'unreadable',
          `cut short: the length says ${saidBytes} octets, ${thereBytes} are there: ${view.toString('hex', wrapperHeaderBytes)}`,
          wrapperHeaderBytes,
          thereBytes,
        )
      : explainApdu(view.subarray(wrapperHeaderBytes), wrapperHeaderBytes, options, 0)
  return field('wrapper', '', 0, view.length, [...header, content])
}

/** The tree as lines of text, two spaces a level: name, value, and where the field lies. */
export function explanationLines(explained: ExplainedField, level = 0): string[] {
  const { name, value, at, bytes, children } = explained
  const text = value === '' ? name : `${name}: ${value}`
  return [
    `${'  '.repeat(level)}${text}  [${at}+${bytes}]`,
    ...children.flatMap((child) => explanationLines(child, level + 1)),
  ]
}

function field(
  name: string,
  value: string,
  at: number,
  bytes: number,
  children: ExplainedField[] = [],
): ExplainedField {
  return { name, value, at, bytes, children }
}

function explainApdu(
  view: Buffer,
  offset: number,
  options: ExplainOptions,
  depth: number,
): ExplainedField {
  const tag = view.length > 0 ? view.toString('hex', 0, 1).toUpperCase() : 'none'
  const root = field(`APDU ${tag}`, '', offset, view.length)
  if (depth >= limits.dataDepthMax) return { ...root, value: 'not explained: nested too deeply' }
  const tracer = new FieldTracer(root, offset, (inner, at) =>
    explainApdu(inner, at, options, depth + 1),
  )
  const reader = new Reader(view, { isTolerant: true, tracer })
  attempt(root, () => {
    const apdu = anyApdu.read(reader)
    root.name = apdu.type
    root.value = `tag ${tag}`
    if (reader.left > 0)
      root.children.push(
        field('trailing-octets', view.toString('hex', reader.at), offset + reader.at, reader.left),
      )
    for (const { view: inner, remark } of plaintextsOf(apdu, options))
      root.children.push(
        field('plaintext', remark, 0, inner.length, explainPlaintext(inner, options, depth + 1)),
      )
  })
  return root
}

/** The APDUs of a plaintext, or the lines of a telegram. */
function explainPlaintext(view: Buffer, options: ExplainOptions, depth: number): ExplainedField[] {
  const telegram = readTelegram(view)
  if (telegram !== undefined) return [telegramField(telegram, view)]
  const { apduViews, restView } = readPushPayload(view)
  return apduViews.map((apduView, index) => {
    const at = apduView.byteOffset - view.byteOffset
    const isLast = index === apduViews.length - 1
    const bytes = apduView.length + (isLast ? restView.length : 0)
    return explainApdu(view.subarray(at, at + bytes), at, options, depth)
  })
}

function telegramField(telegram: Telegram, view: Buffer): ExplainedField {
  const { identification, lines, checksum } = telegram
  const children = lines.map(({ text, obis, values, at, bytes }) =>
    obis === undefined
      ? field('line', text, at, bytes)
      : field(obis, `${nameOfObis(obis)}: ${values.join(', ')}`, at, bytes),
  )
  const name = identification === undefined ? '' : `${identification}, `
  return field('telegram', `${name}checksum ${checksum}`, 0, view.length, children)
}

/** Adds why it went no further. */
function attempt(into: ExplainedField, act: () => void): void {
  try {
    act()
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    into.children.push(
      field('unreadable', `${error.code}, ${error.detail ?? ''}`, into.at + into.bytes, 0),
    )
  }
}

/** APDUs that are within `apdu` but not as they are: enciphered, or cut into one single block. */
function plaintextsOf(apdu: Apdu, { decipher }: ExplainOptions): Plaintext[] {
  if (apdu.type === 'general-block-transfer') {
    const isWhole = apdu.blockControl & BlockControl.LAST_BLOCK && apdu.blockNumber === 1
    return isWhole && apdu.blockDataView.length > 0
      ? [{ view: apdu.blockDataView, remark: '' }]
      : []
  }
  const candidates = [apdu, 'userInformation' in apdu ? apdu.userInformation : undefined]
  return candidates.flatMap((candidate) => {
    if (decipher === undefined || candidate === undefined || !('ciphered' in candidate)) return []
    return decipher(candidate, apdu) ?? []
  })
}

/** Builds the tree while an APDU is read. */
class FieldTracer implements Tracer {
  private current: ExplainedField
  private readonly offset: number
  private readonly explainInner: (view: Buffer, at: number) => ExplainedField

  constructor(
    root: ExplainedField,
    offset: number,
    explainInner: (view: Buffer, at: number) => ExplainedField,
  ) {
    this.current = root
    this.offset = offset
    this.explainInner = explainInner
  }

  trace<T>(reader: Reader, name: string, codec: Codec<T>): T {
    const parent = this.current
    const traced = field(nameOfField(name, codec.kind), '', this.offset + reader.at, 0)
    parent.children.push(traced)
    this.current = traced
    const { at, end, view } = reader
    try {
      const value = codec.read(reader)
      traced.bytes = this.offset + reader.at - traced.at
      this.describe(traced, reader, codec, value)
      return value
    } catch (fault) {
      reader.at = Math.max(reader.at, this.describeCut(traced, codec.kind, view, at, end))
      throw fault
    } finally {
      traced.bytes = this.offset + reader.at - traced.at
      this.current = parent
    }
  }

  /** Shows what there is of a field that is cut short or wrong; the offset behind it. */
  private describeCut(
    traced: ExplainedField,
    kind: string | undefined,
    view: Buffer,
    at: number,
    end: number,
  ): number {
    // What it has read of its parts says more.
    if (traced.children.length > 0 || traced.value !== '' || at >= end) return at
    if (kind === 'data') traced.children.push(explainCut(view, at, end, this.offset, 0))
    else traced.value = view.toString('hex', at, end)
    return end
  }

  private describe<T>(traced: ExplainedField, reader: Reader, codec: Codec<T>, value: T): void {
    if (value === undefined) traced.value = 'absent'
    else if (Buffer.isBuffer(value)) {
      const at = this.offset + value.byteOffset - reader.view.byteOffset
      this.describeOctets(traced, codec.kind ?? 'octets', value, at, reader.view)
    } else if (codec.show !== undefined) traced.value = codec.show(value)
    else if (typeof value !== 'object') traced.value = String(value)
  }

  private describeOctets(
    traced: ExplainedField,
    kind: string,
    view: Buffer,
    at: number,
    within: Buffer,
  ): void {
    switch (kind) {
      case 'attribute':
      case 'method': {
        const { classId, instanceId, memberId } = decodeDescriptor(view)
        const known = findClass(classId, Number.MAX_SAFE_INTEGER)
        const members = kind === 'attribute' ? known?.attributes : known?.methods
        const member = members?.[memberId - 1]?.name
        const name = nameOfObis(instanceId)
        traced.value = `class ${classId}, ${instanceId}, ${kind} ${memberId}`
        if (member !== undefined) traced.value += ` = ${known?.name} ${member}: ${name}`
        traced.children.push(
          field('class-id', withName(classId, known?.name), at, 2),
          field('instance-id', withName(instanceId, name), at + 2, obisBytes),
          field(`${kind}-id`, withName(memberId, member), at + 8, 1),
        )
        return
      }
      case 'data':
        attempt(traced, () =>
          traced.children.push(
            isWithin(view, within) ? explainData(view, 0, at) : explainRetagged(view),
          ),
        )
        return
      case 'selection':
        traced.children.push(field('access-selector', String(view[0]), at, 1))
        attempt(traced, () => {
          const parameters = explainData(view, 1, at)
          traced.children.push(
            field('access-parameters', '', at + 1, view.length - 1, [parameters]),
          )
        })
        return
      case 'apdu':
        traced.children.push(this.explainInner(view, at))
        return
      case 'date-time':
        traced.value = view.length === 0 ? 'none' : withMeaning(view)
        return
      default:
        traced.value = withText(view)
    }
  }
}

const fieldNames: Readonly<Record<string, string>> = {
  attribute: 'cosem-attribute-descriptor',
  method: 'cosem-method-descriptor',
  selection: 'access-selection',
  dataViews: 'data-list',
  parametersViews: 'parameters-list',
}

/** `invoke-id-and-priority` of `invokeIdAndPriority`; the standard's name where ours is shorter. */
function nameOfField(name: string, kind: string | undefined): string {
  const standard = kind === undefined ? undefined : fieldNames[kind]
  return (
    standard ??
    fieldNames[name] ??
    name.replace(/View(s?)$/, '$1').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  )
}

const withName = (value: number | string, name: string | undefined): string =>
  name === undefined ? String(value) : `${value} = ${name}`

/**
 * The COSEM data at `at` of `view`, whose first octet is octet `offset` of what is explained.
 * @throws BrokerError as `skipValue`
 */
export function explainData(view: Buffer, at = 0, offset = 0): ExplainedField {
  skipValue(view, at)
  return explainElement(new AxdrView(view, at), view.byteOffset - offset)
}

const isWithin = (view: Buffer, whole: Buffer): boolean =>
  view.buffer === whole.buffer &&
  view.byteOffset >= whole.byteOffset &&
  view.byteOffset + view.length <= whole.byteOffset + whole.length

/** Data whose descriptors came without tags: in octets of its own, with tags. */
const explainRetagged = (view: Buffer): ExplainedField =>
  field('with-tags', 'the descriptors came without data tags', 0, view.length, [explainData(view)])

/** As much as can be read of the value at `at`, which does not end before `end`. */
function explainCut(
  view: Buffer,
  at: number,
  end: number,
  offset: number,
  depth: number,
): ExplainedField {
  const rest = field('octets', view.toString('hex', at, end), offset + at, end - at)
  const tag = view[at]
  const isList = tag === Tag.ARRAY || tag === Tag.STRUCTURE
  if (!isList || at + 1 >= end || depth >= limits.dataDepthMax) return rest
  const list = field(nameOfType(tag), '', offset + at, end - at)
  attempt(list, () => {
    const count = readLength(view, at + 1, end)
    list.value = `${count}, cut short`
    let next = at + 1 + lengthBytes(view, at + 1)
    for (let left = count; left > 0 && next < end; left--) {
      const behind = endOfValue(view, next, end)
      if (behind === undefined) {
        list.children.push(explainCut(view, next, end, offset, depth + 1))
        return
      }
      list.children.push(explainData(view.subarray(0, end), next, offset))
      next = behind
    }
  })
  return list
}

function endOfValue(view: Buffer, at: number, end: number): number | undefined {
  try {
    return skipValue(view, at, end)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    return undefined
  }
}

function explainElement(element: AxdrView, origin: number): ExplainedField {
  const { bytes, tag } = element
  const explained = field(nameOfType(tag), '', bytes.byteOffset - origin, bytes.length)
  if (tag === Tag.ARRAY || tag === Tag.STRUCTURE || tag === Tag.COMPACT_ARRAY) {
    attempt(explained, () => {
      explained.value = String(element.count)
      for (const inner of element) explained.children.push(explainElement(inner, origin))
      if (tag !== Tag.COMPACT_ARRAY) addUnits(explained)
    })
  } else attempt(explained, () => (explained.value = textOf(element)))
  return explained
}

const integerNames: ReadonlySet<string> = new Set(
  [
    Tag.DOUBLE_LONG,
    Tag.DOUBLE_LONG_UNSIGNED,
    Tag.INTEGER,
    Tag.LONG,
    Tag.UNSIGNED,
    Tag.LONG_UNSIGNED,
    Tag.LONG64,
    Tag.LONG64_UNSIGNED,
  ].map(nameOfType),
)

/**
 * Says in `list` what is a scaler_unit, and what the integers in front of one mean. [IEC 62056-6-2,
 * Register, scal_unit_type]
 */
function addUnits(list: ExplainedField): void {
  const { name, children } = list
  const own = name === 'structure' && children.length === 2 ? scalerUnitOf(children, 0) : undefined
  if (own !== undefined) {
    list.value += ` = scaler ${own.scaler}, unit ${unitNames[own.unit]}`
    children[1]!.value += ` = ${unitNames[own.unit]}`
    return
  }
  for (const [index, { name: type, value }] of children.entries()) {
    const behind = children[index + 1]
    if (behind === undefined || !integerNames.has(type)) continue
    const isApart = behind.name === 'structure' && behind.children.length === 2
    const found = isApart ? scalerUnitOf(behind.children, 0) : scalerUnitOf(children, index + 1)
    if (found === undefined) continue
    const text = `${scaledText(BigInt(value), found.scaler)} ${unitOf(found.unit)}`.trimEnd()
    children[index]!.value += ` = ${text}`
  }
}

/** An integer and a unit at `at`; undefined for all else. */
function scalerUnitOf(
  fields: readonly ExplainedField[],
  at: number,
): { scaler: number; unit: number } | undefined {
  const [scaler, unit] = [fields[at], fields[at + 1]]
  if (scaler?.name !== 'integer' || unit?.name !== 'enum') return undefined
  const code = Number.parseInt(unit.value, 10)
  return unitNames[code] === undefined
    ? undefined
    : { scaler: Number.parseInt(scaler.value, 10), unit: code }
}

function textOf(element: AxdrView): string {
  const value = element.value()
  switch (value.tag) {
    case Tag.BIT_STRING:
      return Array.from(value.value, (octet) => octet.toString(2).padStart(8, '0'))
        .join('')
        .slice(0, value.bitCount)
    case Tag.BCD:
      return String(bcdNumber(value.value) ?? `${value.value.toString(16)}, no pair of digits`)
    case Tag.VISIBLE_STRING:
      return JSON.stringify(value.value)
    case Tag.UTF8_STRING:
      return value.octets === undefined
        ? JSON.stringify(value.value)
        : `${value.octets.toString('hex')} = ${JSON.stringify(value.value)}, no UTF-8`
    case Tag.OCTET_STRING:
    case Tag.DATE_TIME:
    case Tag.DATE:
    case Tag.TIME:
      return withMeaning(value.value)
    default:
      return 'value' in value ? String(value.value) : ''
  }
}

/** Hex, and what octets of this length stand for as a rule: times, OBIS codes, else text. */
function withMeaning(view: Buffer): string {
  const hex = view.toString('hex')
  if (isPlausibleDate(view)) {
    if (view.length === cosemDateTimeBytes) return `${hex} = ${formatDateTime(view)}`
    if (view.length === cosemDateBytes) return `${hex} = ${formatDate(view)}`
  }
  if (view.length === cosemTimeBytes && isPlausibleTime(view, 0))
    return `${hex} = ${formatTime(view)}`
  if (view.length === obisBytes && view[5] === 0xff) {
    const code = formatObis(view)
    return `${hex} = ${code}, ${nameOfObis(code)}`
  }
  return withText(view)
}

function isPlausibleDate(view: Buffer): boolean {
  if (view.length !== cosemDateTimeBytes && view.length !== cosemDateBytes) return false
  const year = view.readUInt16BE(0)
  const [month, day, weekday] = [view[2]!, view[3]!, view[4]!]
  return (
    (year === 0xffff || (year >= 1970 && year < 2200)) &&
    (month <= 12 || month >= 0xfd) &&
    (day <= 31 || day >= 0xfd) &&
    (weekday <= 7 || weekday === 0xff) &&
    (view.length === cosemDateBytes || isPlausibleTime(view, cosemDateBytes))
  )
}

function isPlausibleTime(view: Buffer, at: number): boolean {
  return [24, 60, 60, 100].every((below, i) => view[at + i]! < below || view[at + i] === 0xff)
}

/** Hex, and the characters when three or more are printable and the rest is filling. */
function withText(view: Buffer): string {
  if (view.length === 0) return 'empty'
  const hex = view.toString('hex')
  const padded = paddedTextIn(view)
  if (padded === undefined) return hex
  const { text, paddingBytes } = padded
  const filling = paddingBytes === 0 ? '' : ` and ${paddingBytes} octets of filling`
  return `${hex} = ${JSON.stringify(text)}${filling}`
}
