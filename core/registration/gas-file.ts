/**
 * Registration files of gas: comma separated fields, text in double quotes, with the header A00 and
 * the trailer Z99 of the public gas files, and records of Busbar's own definition.
 *
 * @source core/docs/operating/registration-files.md has every field
 */
import { numberOf, timeOf } from './days.ts'
import type { FileForm, FileHeader, RecordStart } from './file-form.ts'
import type { ItemKind } from './registration-record.ts'

/** File types, the third field of the header. */
export const gasFileTypes = {
  update: 'RGU',
  refresh: 'RGR',
  response: 'RGS',
  status: 'DXI',
} as const

/** The generation number, N6, is the sequence number of a gas file. */
export const generationDigitsMax = 6
const countDigitsMax = 10
const organisation = /^[0-9]{1,10}$/
/** A field is text in double quotes, or bare without any quote. */
const field = /^(?:"[^",]*"|[^",]*)$/

function fieldsOf(line: string): string[] | undefined {
  const fields = line.split(',')
  for (let i = 0; i < fields.length; i++) {
    const text = fields[i]!
    if (!field.test(text)) return undefined
    if (text.charCodeAt(0) === 0x22) fields[i] = text.slice(1, -1)
  }
  return fields
}

function headerOf(lines: readonly string[]): FileHeader | string {
  const header = fieldsOf(lines[0] ?? '')
  if (header?.length !== 6 || header[0] !== 'A00') return 'the first line is no header A00'
  const [, source = '', type = '', day = '', time = '', generation = ''] = header
  const { update, refresh } = gasFileTypes
  if (!organisation.test(source)) return 'the organisation id of the header is not valid'
  if (type !== update && type !== refresh) return 'the file type is no registration file'
  const created = timeOf(day + time)
  if (created === undefined) return 'the creation time of the header is not valid'
  const sequence = numberOf(generation, generationDigitsMax, 1)
  if (sequence === undefined) return 'the generation number of the header is not valid'
  const kind = type === update ? 'update' : 'refresh'
  return { source, kind, sequence, created, file: `${type}${sequence}` }
}

function countOf(trailer: string): number | string {
  const fields = fieldsOf(trailer)
  if (fields?.length !== 2) return 'the trailer Z99 is not whole'
  return numberOf(fields[1]!, countDigitsMax) ?? 'the count of the trailer is no number'
}

function startOf(fields: readonly string[], ordinal: number): RecordStart | undefined {
  return fields.length === 2 ? { instruction: ordinal, number: fields[1]! } : undefined
}

const items: readonly (readonly [string, ItemKind])[] = [
  ['R41', 'supplier'],
  ['R42', 'network-operator'],
  ['R43', 'agent'],
  ['R44', 'domestic'],
]

export const gasForm: FileForm = {
  fuel: 'gas',
  headLines: 1,
  headerOf,
  recordPrefix: Buffer.from('"R40",'),
  trailerPrefix: Buffer.from('"Z99",'),
  countOf,
  fieldsOf,
  startOf,
  items: new Map(items),
}
