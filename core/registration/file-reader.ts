/**
 * Reads registration files of either fuel as a stream, in two passes. The first, `checkStructure`,
 * reads the file to its trailer, so that nothing is applied of a file that is cut short. The
 * second, `records`, yields the records. Memory is one slice of the file and its records.
 */
import { createHash } from 'node:crypto'
import { BrokerError } from '../base/broker-error.ts'
import { asBuffer } from '../base/bytes.ts'
import { limits } from '../base/limits.ts'
import { electricityForm } from './electricity-file.ts'
import type { FileForm, FileHeader } from './file-form.ts'
import { LineReader } from './file-lines.ts'
import { gasForm } from './gas-file.ts'
import { RecordAssembler, type AssemblerOptions, type RecordEntry } from './record-assembler.ts'
import type { Fuel } from './registration-record.ts'

export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** What the first pass found in a file whose structure is valid. */
export type FileStructure = {
  readonly fuel: Fuel
  readonly header: FileHeader
  readonly lines: number
  readonly records: number
  /** SHA-256 of the file, hexadecimal: tells whether a repeated file is the same. */
  readonly digest: string
}

/** Why a whole file is rejected. */
export type StructureFault = {
  readonly code: 'REGISTRATION_FILE_MALFORMED'
  /** Line of the file, from 1. */
  readonly line: number
  readonly reason: string
  /** The header, if it was valid: a response can say which file was rejected. */
  readonly header: FileHeader | undefined
  readonly fuel: Fuel | undefined
}

/** Takes the lines of records, without header and trailer. */
type Body = {
  start(view: Buffer, from: number, to: number, line: number): void
  add(view: Buffer, from: number, to: number, line: number): void
}

function beginsWith(view: Buffer, start: number, end: number, prefix: Buffer): boolean {
  if (end - start < prefix.length) return false
  for (let i = 0; i < prefix.length; i++) if (view[start + i] !== prefix[i]) return false
  return true
}

/** Header, records and trailer of one file, line by line; stops at the first structural fault. */
class StructureReader {
  header: FileHeader | undefined
  form: FileForm | undefined
  records = 0
  /** The first fault and its line. */
  fault: { readonly line: number; readonly reason: string } | undefined
  readonly #body: (form: FileForm) => Body
  readonly #lines: LineReader
  readonly #head: string[] = []
  #taker: Body | undefined
  #hasEnded = false

  constructor(body: (form: FileForm) => Body) {
    this.#body = body
    this.#lines = new LineReader((view, start, end) => this.#take(view, start, end))
  }

  get lines(): number {
    return this.#lines.lines
  }

  push(slice: Buffer): void {
    const reason = this.#lines.push(slice)
    if (reason !== undefined) this.#reject(reason, this.lines + 1)
  }

  end(): void {
    const reason = this.#lines.end()
    if (reason !== undefined) this.#reject(reason, this.lines + 1)
    if (!this.#hasEnded) this.#reject('the file ends before its trailer', this.lines + 1)
  }

  #take(view: Buffer, start: number, end: number): void {
    if (this.fault !== undefined) return
    if (this.#hasEnded) return this.#reject('there is a line behind the trailer')
    if (this.#taker === undefined) return this.#takeHead(view.toString('latin1', start, end))
    const form = this.form!
    if (beginsWith(view, start, end, form.recordPrefix)) {
      if (++this.records > limits.registrationRecordsPerFileMax)
        return this.#reject(`more than ${limits.registrationRecordsPerFileMax} records`)
      this.#taker.start(view, start, end, this.lines)
    } else if (beginsWith(view, start, end, form.trailerPrefix)) {
      this.#takeTrailer(form, view.toString('latin1', start, end))
    } else if (this.records === 0) {
      this.#reject('the line belongs to no record')
    } else {
      this.#taker.add(view, start, end, this.lines)
    }
  }

  #takeHead(line: string): void {
    this.form ??= [electricityForm, gasForm].find(
      ({ fuel }) => fuel === (line.startsWith('ZHV|') ? 'electricity' : 'gas'),
    )!
    this.#head.push(line)
    if (this.#head.length < this.form.headLines) return
    const header = this.form.headerOf(this.#head)
    if (typeof header === 'string') return this.#reject(header)
    this.header = header
    this.#taker = this.#body(this.form)
  }

  #takeTrailer(form: FileForm, line: string): void {
    const count = form.countOf(line, this.header!)
    if (typeof count === 'string') return this.#reject(count)
    // Without the header line and the trailer.
    const between = this.lines - 2
    if (count !== between)
      return this.#reject(`the trailer counts ${count} lines, the file has ${between}`)
    this.#hasEnded = true
  }

  #reject(reason: string, line = this.lines): void {
    this.fault ??= { line, reason }
  }
}

/** Parts of `chunk` that are parsed at one time. */
function* slicesOf(chunk: Uint8Array): Generator<Buffer> {
  const all = asBuffer(chunk)
  for (let at = 0; at < all.length; at += limits.registrationSliceBytes)
    yield all.subarray(at, at + limits.registrationSliceBytes)
}

const nobody: Body = { start: () => undefined, add: () => undefined }

/**
 * The first pass: header, form of every line, and trailer. Records are counted, not parsed. Stops
 * reading at the first fault.
 */
export async function checkStructure(chunks: Chunks): Promise<FileStructure | StructureFault> {
  const reader = new StructureReader(() => nobody)
  const hash = createHash('sha256')
  reading: for await (const chunk of chunks)
    for (const slice of slicesOf(chunk)) {
      hash.update(slice)
      reader.push(slice)
      if (reader.fault !== undefined) break reading
    }
  if (reader.fault === undefined) reader.end()
  const { fault, header, form, lines, records } = reader
  if (fault !== undefined)
    return { code: 'REGISTRATION_FILE_MALFORMED', ...fault, header, fuel: header && form?.fuel }
  return { fuel: form!.fuel, header: header!, lines, records, digest: hash.digest('hex') }
}

/** Whether the first pass rejected the file. */
export function isStructureFault(found: FileStructure | StructureFault): found is StructureFault {
  return 'code' in found
}

/**
 * The second pass: all records in the order of the file, accepted or rejected, in batches of one
 * slice. Throws REGISTRATION_FILE_MALFORMED when the structure is not valid, which after
 * `checkStructure` means that the file was changed meanwhile.
 */
export async function* records(
  chunks: Chunks,
  options: AssemblerOptions = {},
): AsyncGenerator<readonly RecordEntry[]> {
  let batch: RecordEntry[] = []
  let assembler: RecordAssembler | undefined
  const reader = new StructureReader((form) => {
    const taker = new RecordAssembler(form, options, (entry) => batch.push(entry))
    assembler = taker
    return {
      start: (view, from, to, line) => taker.start(view.toString('latin1', from, to), line),
      add: (view, from, to, line) => taker.add(view.toString('latin1', from, to), line),
    }
  })
  for await (const chunk of chunks)
    for (const slice of slicesOf(chunk)) {
      reader.push(slice)
      throwFault(reader)
      if (batch.length === 0) continue
      yield batch
      batch = []
    }
  reader.end()
  throwFault(reader)
  assembler?.end()
  if (batch.length > 0) yield batch
}

function throwFault({ fault }: StructureReader): void {
  if (fault === undefined) return
  throw new BrokerError('REGISTRATION_FILE_MALFORMED', `line ${fault.line}: ${fault.reason}`)
}
