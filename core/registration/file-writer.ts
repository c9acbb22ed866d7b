/**
 * Writes files of either fuel as a stream: header, lines as they come, and a trailer with their
 * count. Memory is one part of the file.
 */
import { limits } from '../base/limits.ts'
import { textOfTime } from './days.ts'
import { operationalFlag } from './electricity-file.ts'

export type Lines = AsyncIterable<string> | Iterable<string>

/** Header of an electricity file that Busbar writes. */
export type ElectricityAddress = {
  /** Up to 10 characters. */
  readonly file: string
  readonly fromRole: string
  readonly from: string
  readonly toRole: string
  readonly to: string
  /** Milliseconds since 1970. */
  readonly created: number
  readonly sequence: number
}

/** Header of a gas file that Busbar writes. */
export type GasAddress = {
  /** Organisation id, a number of up to 10 digits. */
  readonly from: string
  readonly created: number
  readonly sequence: number
}

/** One line of fields, each ended by `|`. */
export function electricityLine(...fields: readonly (string | number)[]): string {
  return `${fields.join('|')}|`
}

/** Digits that are written without quotes and as they are: leading zeros of an id count. */
export type Bare = { readonly digits: string }

export function bare(digits: string): Bare {
  return { digits }
}

/** One line of fields: text in double quotes, numbers bare, an absent field empty. */
export function gasLine(...fields: readonly (string | number | Bare | undefined)[]): string {
  const texts = fields.map((field) => {
    if (typeof field === 'object') return field.digits
    return typeof field === 'string' ? `"${field}"` : (field ?? '')
  })
  return texts.join(',')
}

/** The lines of an electricity file between header and trailer come from `lines`. */
export function writeElectricity(
  flow: string,
  address: ElectricityAddress,
  lines: Lines,
): AsyncGenerator<Buffer> {
  const { file, fromRole, from, toRole, to } = address
  const created = textOfTime(address.created)
  const head = [flow, fromRole, from, toRole, to, created, '', '', '', operationalFlag]
  return write(electricityLine('ZHV', file, ...head), lines, (count) =>
    electricityLine('ZPT', file, count, '', 1, created),
  )
}

/** The lines of a gas file between header and trailer come from `lines`. */
export function writeGas(type: string, address: GasAddress, lines: Lines): AsyncGenerator<Buffer> {
  const { from, sequence } = address
  const created = textOfTime(address.created)
  const day = bare(created.slice(0, 8))
  const header = gasLine('A00', bare(from), type, day, created.slice(8), sequence)
  return write(header, lines, (count) => gasLine('Z99', count))
}

async function* write(
  header: string,
  lines: Lines,
  trailerOf: (count: number) => string,
): AsyncGenerator<Buffer> {
  let text = `${header}\n`
  let count = 0
  for await (const line of lines) {
    text += `${line}\n`
    count++
    if (text.length < limits.registrationWriteBytes) continue
    yield Buffer.from(text, 'latin1')
    text = ''
  }
  yield Buffer.from(`${text}${trailerOf(count)}\n`, 'latin1')
}
