/**
 * What the tests of the DLMS codec share: vectors in place, values of any kind, and what may come
 * of bad octets.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { BrokerError } from '../../core/base/broker-error.ts'
import { Tag, type AxdrType, type AxdrValue } from '../../core/dlms/axdr/axdr.ts'
import { nameOfType } from '../../core/dlms/axdr/axdr.ts'

const sharedDlms = join(import.meta.dirname, '../../../shared/dlms')

export type Meaning = { [name: string]: unknown }
export type Vector = {
  id: string
  group: string
  kind: string
  hex: string
  meaning: Meaning
  valid: true | false | string
  checks: Meaning
  trailing?: string
  note?: string
  plaintext?: string
  plaintext_kind?: string
  plaintext_meaning?: Meaning
}
export type Captured = {
  capture: string
  session: number
  dir: string
  apdu: string
  kind?: string
  plaintext?: string
  plaintext_kind?: string
  /** Octets behind what the APDU is said to be. */
  trailing?: string
}

/** The file, or undefined: then the test says that it skips. */
function readShared(name: string): string | undefined {
  const path = join(sharedDlms, name)
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

export function loadVectors(): Vector[] | undefined {
  const text = readShared('vectors.json')
  return text === undefined ? undefined : (JSON.parse(text) as { vectors: Vector[] }).vectors
}

/** Recorded conversations of other makers, by capture and session. */
export function loadExchanges(): Map<string, Captured[]> | undefined {
  const text = readShared('exchanges.jsonl')
  return text === undefined ? undefined : sessionsIn(text)
}

/**
 * Recorded conversations of our client with our server (record-exchanges.ts), which everybody has.
 */
export const ownExchanges = (): Map<string, Captured[]> =>
  sessionsIn(readFileSync(join(import.meta.dirname, 'recorded-exchanges.jsonl'), 'utf8'))

function sessionsIn(text: string): Map<string, Captured[]> {
  const sessions = new Map<string, Captured[]>()
  for (const line of text.trim().split('\n')) {
    const captured = JSON.parse(line) as Captured
    const name = `${captured.capture} session ${captured.session}`
    const session = sessions.get(name)
    if (session) session.push(captured)
    else sessions.set(name, [captured])
  }
  return sessions
}

function typeMeaning(type: AxdrType): unknown {
  const t = nameOfType(type.tag)
  if (type.tag === Tag.STRUCTURE) return { t, of: type.of.map(typeMeaning) }
  return type.tag === Tag.ARRAY ? { t, n: type.count, of: typeMeaning(type.of) } : { t }
}

/** A value in the words of the vectors. */
export function meaningOf(value: AxdrValue): unknown {
  const t = nameOfType(value.tag)
  if ('elements' in value) {
    const v = value.elements.map(meaningOf)
    return value.tag === Tag.COMPACT_ARRAY ? { t, desc: typeMeaning(value.type), v } : { t, v }
  }
  if (value.tag === Tag.BIT_STRING) {
    const bits = [...value.value].map((octet) => octet.toString(2).padStart(8, '0')).join('')
    return { t, v: bits.slice(0, value.bitCount) }
  }
  if (!('value' in value)) return { t, v: null }
  if (Buffer.isBuffer(value.value)) return { t, v: value.value.toString('hex') }
  if (typeof value.value === 'bigint') return { t, v: String(value.value) }
  if (typeof value.value === 'number' && !Number.isFinite(value.value))
    return { t, v: String(value.value) }
  return { t, v: value.value }
}

export const octets = (minLength: number, maxLength = minLength): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes))

const integers: [Tag, number, number][] = [
  [Tag.INTEGER, -0x80, 0x7f],
  [Tag.BCD, 0, 0xff],
  [Tag.DELTA_INTEGER, -0x80, 0x7f],
  [Tag.UNSIGNED, 0, 0xff],
  [Tag.ENUM, 0, 0xff],
  [Tag.DELTA_UNSIGNED, 0, 0xff],
  [Tag.LONG, -0x8000, 0x7fff],
  [Tag.DELTA_LONG, -0x8000, 0x7fff],
  [Tag.LONG_UNSIGNED, 0, 0xffff],
  [Tag.DELTA_LONG_UNSIGNED, 0, 0xffff],
  [Tag.DOUBLE_LONG, -0x8000_0000, 0x7fff_ffff],
  [Tag.DELTA_DOUBLE_LONG, -0x8000_0000, 0x7fff_ffff],
  [Tag.DOUBLE_LONG_UNSIGNED, 0, 0xffff_ffff],
  [Tag.DELTA_DOUBLE_LONG_UNSIGNED, 0, 0xffff_ffff],
]

const latin1 = fc
  .uint8Array({ maxLength: 200 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'))

/** Values without elements. */
export const simpleValues: fc.Arbitrary<AxdrValue> = fc.oneof(
  fc.constantFrom<AxdrValue>({ tag: Tag.NULL }, { tag: Tag.DONT_CARE }),
  fc.boolean().map((value): AxdrValue => ({ tag: Tag.BOOLEAN, value })),
  ...integers.map(([tag, min, max]) =>
    fc.integer({ min, max }).map((value) => ({ tag, value }) as AxdrValue),
  ),
  fc
    .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    .map((value): AxdrValue => ({ tag: Tag.LONG64, value })),
  fc
    .bigInt({ min: 0n, max: 2n ** 64n - 1n })
    .map((value): AxdrValue => ({ tag: Tag.LONG64_UNSIGNED, value })),
  fc.float({ noNaN: true }).map((value): AxdrValue => ({ tag: Tag.FLOAT32, value })),
  fc.double({ noNaN: true }).map((value): AxdrValue => ({ tag: Tag.FLOAT64, value })),
  octets(0, 300).map((value): AxdrValue => ({ tag: Tag.OCTET_STRING, value })),
  octets(12).map((value): AxdrValue => ({ tag: Tag.DATE_TIME, value })),
  octets(5).map((value): AxdrValue => ({ tag: Tag.DATE, value })),
  octets(4).map((value): AxdrValue => ({ tag: Tag.TIME, value })),
  latin1.map((value): AxdrValue => ({ tag: Tag.VISIBLE_STRING, value })),
  fc.string({ unit: 'grapheme' }).map((value): AxdrValue => ({ tag: Tag.UTF8_STRING, value })),
  fc.integer({ min: 0, max: 70 }).chain((bitCount) =>
    octets(Math.ceil(bitCount / 8)).map((value): AxdrValue => ({
      tag: Tag.BIT_STRING,
      bitCount,
      value,
    })),
  ),
)

/** Values of any shape, compact arrays of a structure among them. */
export const values: fc.Arbitrary<AxdrValue> = fc.letrec<{ value: AxdrValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    simpleValues,
    fc.record({
      tag: fc.constantFrom(Tag.ARRAY, Tag.STRUCTURE),
      elements: fc.array(tie('value'), { maxLength: 6 }),
    }),
    fc
      .array(fc.tuple(fc.integer({ min: 0, max: 0xffff_ffff }), octets(0, 20)), { maxLength: 8 })
      .map((rows): AxdrValue => ({
        tag: Tag.COMPACT_ARRAY,
        type: {
          tag: Tag.STRUCTURE,
          of: [
            { tag: Tag.DOUBLE_LONG_UNSIGNED },
            { tag: Tag.ARRAY, count: 1, of: { tag: Tag.OCTET_STRING } },
          ],
        },
        elements: rows.map(([number, bytes]) => ({
          tag: Tag.STRUCTURE,
          elements: [
            { tag: Tag.DOUBLE_LONG_UNSIGNED, value: number },
            { tag: Tag.ARRAY, elements: [{ tag: Tag.OCTET_STRING, value: bytes }] },
          ],
        })),
      })),
  ),
})).value

/**
 * What `act` gives, or the code of the BrokerError that it throws; anything else that is thrown
 * goes through.
 */
export function outcomeOf<T>(
  act: () => T,
): { value: T; code?: undefined } | { code: string; value?: undefined } {
  try {
    return { value: act() }
  } catch (error) {
    if (error instanceof BrokerError) return { code: error.code }
    throw error
  }
}
