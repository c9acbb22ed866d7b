/**
 * What the forms of registration files have in common: a header, records of several lines, and a
 * trailer with their count. Electricity and gas describe theirs as data; the reader reads both.
 */
import type { Fuel, ItemKind } from './registration-record.ts'

/** Who sent a file, and which of its files it is. */
export type FileHeader = {
  /** Id of the registration system that sent the file. */
  readonly source: string
  /** A refresh has all meter points of its source; an update those that changed. */
  readonly kind: 'update' | 'refresh'
  /** Contiguous for each source, from 1 on. */
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly created: number
  /** What the sender calls the file; the response names it. */
  readonly file: string
}

/** The line that starts a record: its instruction number and its meter point, not yet checked. */
export type RecordStart = { readonly instruction: number | undefined; readonly number: string }

export type FileForm = {
  readonly fuel: Fuel
  /** Lines before the first record. */
  readonly headLines: number
  /** The header, or what is wrong with it. */
  readonly headerOf: (lines: readonly string[]) => FileHeader | string
  /** How the first line of each record begins, and how the trailer does. */
  readonly recordPrefix: Buffer
  readonly trailerPrefix: Buffer
  /** The number of lines between header and trailer by the trailer, or what is wrong with it. */
  readonly countOf: (trailer: string, header: FileHeader) => number | string
  /** Fields of a line, its code first; undefined if the line has another form. */
  readonly fieldsOf: (line: string) => readonly string[] | undefined
  /** `ordinal` counts the records of the file from 1; undefined if fields are missing. */
  readonly startOf: (fields: readonly string[], ordinal: number) => RecordStart | undefined
  /** Codes of lines with one dated item. */
  readonly items: ReadonlyMap<string, ItemKind>
}
