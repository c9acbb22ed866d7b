/**
 * What is to be changed of a source: the body of a SOURCE_CHANGE envelope. The process that applies
 * a file sends the first four, operators the others. Asking twice is harmless.
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import type { FileProgress, RefreshCounts, SourceFile } from './source-state.ts'
import { packTree, readTree } from './versioned-tree.ts'

/** Names a file that is open, with who applies it. */
export type OpenedFile = Pick<SourceFile, 'sequence' | 'digest' | 'keeper'>

export type SourceChange =
  /** A file is there, whole: it is begun, held, or a repeat. */
  | { change: 'open'; file: SourceFile }
  /** A refresh was compared; more changes than `percentMax` wait for an operator. */
  | { change: 'compared'; of: OpenedFile; counts: RefreshCounts; percentMax: number }
  | { change: 'progress'; of: OpenedFile; progress: FileProgress }
  | { change: 'end'; of: OpenedFile; progress: FileProgress }
  /** A refresh that waits is applied. */
  | { change: 'approve'; sequence: number; by: string }
  /** A file that waits is not applied. */
  | { change: 'reject'; sequence: number; by: string }
  /** Files up to `through` are not waited for any more. */
  | { change: 'release'; through: number; by: string }

export const encodeSourceChange = (change: SourceChange): Buffer => packTree(change)

/** @throws BrokerError SOURCE_CHANGE_MALFORMED, FORMAT_VERSION_LATER, ENVELOPE_MALFORMED */
export const decodeSourceChange = (view: Uint8Array): SourceChange =>
  readTree(view, 'a change of a source', ([json]) => sourceChangeOf(json))

/** @throws BrokerError SOURCE_CHANGE_MALFORMED, saying what is wrong */
export function sourceChangeOf(json: unknown): SourceChange {
  const given = objectIn(json)
  const { change } = given
  switch (change) {
    case 'open':
      return { change, file: fileIn(given['file']) }
    case 'compared': {
      const percentMax = given['percentMax']
      if (typeof percentMax !== 'number' || !(percentMax >= 0)) throw malformed('percentMax')
      return { change, of: openedIn(given['of']), counts: countsIn(given['counts']), percentMax }
    }
    case 'progress':
    case 'end':
      return { change, of: openedIn(given['of']), progress: progressIn(given['progress']) }
    case 'approve':
    case 'reject':
      return { change, sequence: sequenceIn(given, 'sequence'), by: byIn(given['by']) }
    case 'release':
      return { change, through: sequenceIn(given, 'through'), by: byIn(given['by']) }
    default:
      throw malformed('change is not known')
  }
}

const malformed = (detail: string): BrokerError =>
  new BrokerError('SOURCE_CHANGE_MALFORMED', detail)

const objectIn = (json: unknown): Record<string, unknown> =>
  typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : {}

function countIn(json: Record<string, unknown>, name: string): number {
  const value = json[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw malformed(`${name} must be a whole number`)
  return value
}

function sequenceIn(json: Record<string, unknown>, name: string): number {
  const value = countIn(json, name)
  if (value === 0) throw malformed(`${name} is a sequence number, from 1`)
  return value
}

function textIn(json: Record<string, unknown>, name: string, form: RegExp): string {
  const value = json[name]
  if (typeof value !== 'string' || !form.test(value)) throw malformed(`${name} is not valid`)
  return value
}

function byIn(value: unknown): string {
  const bytes = typeof value === 'string' ? Buffer.byteLength(value) : 0
  if (typeof value !== 'string' || bytes === 0 || bytes > limits.operatorNameBytesMax)
    throw malformed(`by must say who does it, in ${limits.operatorNameBytesMax} octets`)
  return value
}

const digest = /^[0-9a-f]{64}$/
const processId = /^[\w-]{1,64}$/

function openedIn(json: unknown): OpenedFile {
  const given = objectIn(json)
  return {
    sequence: sequenceIn(given, 'sequence'),
    digest: textIn(given, 'digest', digest),
    keeper: textIn(given, 'keeper', processId),
  }
}

function fileIn(json: unknown): SourceFile {
  const given = objectIn(json)
  const { kind, checkDigit } = given
  if (kind !== 'update' && kind !== 'refresh') throw malformed('kind is update or refresh')
  return {
    file: textIn(given, 'file', /^[A-Z0-9]{1,10}$/),
    kind,
    created: countIn(given, 'created'),
    records: countIn(given, 'records'),
    checkDigit: checkDigit !== false,
    ...openedIn(given),
  }
}

function countsIn(json: unknown): RefreshCounts {
  const given = objectIn(json)
  const [known, changed] = [countIn(given, 'known'), countIn(given, 'changed')]
  return { known, changed, added: countIn(given, 'added'), missing: countIn(given, 'missing') }
}

function progressIn(json: unknown): FileProgress {
  const given = objectIn(json)
  const [done, rejected] = [countIn(given, 'done'), countIn(given, 'rejected')]
  return { done, rejected, changed: countIn(given, 'changed'), added: countIn(given, 'added') }
}
