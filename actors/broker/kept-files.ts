/**
 * Registration files on the disk of this process, from their arrival until they are applied: a file
 * is kept once it is whole, its structure is valid and it is on the disk for sure. Beside each the
 * records that were rejected so far, and in the end its response.
 *
 *   DATA_DIR/registration-files/NAME.part       arrives; removed at the next start
 *                               NAME.file       the octets        NAME.json   what is known of it
 *                               NAME.rejected   a line of JSON for each rejected record
 *                               NAME.response   the response file
 */
import { closeSync, createReadStream, fsyncSync, openSync, renameSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import { writePrivateFile } from '../../core/ops/embedded-nats/nats-settings.ts'
import type { FileHeader } from '../../core/registration/file-form.ts'
import {
  checkStructure,
  isStructureFault,
  type Chunks,
  type FileStructure,
  type StructureFault,
} from '../../core/registration/file-reader.ts'
import {
  nameOfSource,
  fuelOfSource,
  sourceIdOf,
  type SourceId,
} from '../../core/registration/source-id.ts'
import type { EndedFile, SourceFile } from '../../core/registration/source-state.ts'

/** What the sender or the operator says of a file beside its octets. */
export type FileTerms = {
  /** False: check digits of MPANs are not looked at. */
  checkDigit: boolean
  /** A path to which the response file is copied. */
  responseTo?: string
}

export type KeptFile = {
  readonly source: SourceId
  readonly header: FileHeader
  readonly file: SourceFile
  readonly responseTo?: string
  /** Of its octets, its rejected records, and its response. */
  readonly path: string
  readonly rejectedPath: string
  readonly responsePath: string
}

/** What stands in NAME.json. */
type Kept = Pick<KeptFile, 'header' | 'file' | 'responseTo'> & Pick<FileStructure, 'fuel'>

/** Octets of one file, and of all that are kept. */
export type KeptRoom = { readonly fileBytesMax: number; readonly filesBytesMax: number }

const keptRoom: KeptRoom = {
  fileBytesMax: limits.registrationFileBytesMax,
  filesBytesMax: limits.registrationFilesBytesMax,
}

export class KeptFiles {
  private readonly folder: string
  private readonly keeper: string
  private readonly room: KeptRoom
  private readonly files = new Map<string, KeptFile>()
  private arrivals = 0
  /** Octets of files that are kept or arrive. */
  private bytes = 0

  /** @param keeper  id of this process */
  constructor(folder: string, keeper: string, room: KeptRoom = keptRoom) {
    this.folder = folder
    this.keeper = keeper
    this.room = room
  }

  /** Reads what was kept, and removes what had not arrived. */
  async start(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 })
    for (const name of await readdir(this.folder)) {
      if (name.endsWith('.part')) await rm(join(this.folder, name), { force: true })
      if (!name.endsWith('.json')) continue
      const base = name.slice(0, -'.json'.length)
      const kept = JSON.parse(await readFile(join(this.folder, name), 'utf8')) as Kept
      const size = await stat(join(this.folder, `${base}.file`)).catch(() => undefined)
      // The process ended between the two.
      if (size === undefined) await rm(join(this.folder, name), { force: true })
      else {
        this.bytes += size.size
        this.files.set(base, this.entryOf(base, kept))
      }
    }
  }

  get all(): readonly KeptFile[] {
    return [...this.files.values()]
  }

  /**
   * Keeps the file in `chunks`; settles when it is on the disk for sure, or with what is wrong with
   * its structure, of which nothing is kept. `isKnown`: it was kept before.
   * @throws BrokerError SOURCE_FILE_TOO_LARGE
   */
  async take(
    chunks: Chunks,
    { checkDigit, responseTo }: FileTerms,
  ): Promise<{ kept: KeptFile; isKnown: boolean } | StructureFault> {
    const part = join(this.folder, `${process.pid}-${++this.arrivals}.part`)
    const handle = await open(part, 'wx', 0o600)
    const written = { bytes: 0 }
    let isKept = false
    try {
      const found = await checkStructure(this.writing(chunks, handle, written))
      if (isStructureFault(found)) return found
      await handle.sync()
      const { fuel, header, records, digest } = found
      const { file, kind, sequence, created } = header
      const of = { file, kind, sequence, created, records, digest, checkDigit, keeper: this.keeper }
      const kept: Kept = { fuel, header, file: of, ...(responseTo !== undefined && { responseTo }) }
      const base = baseOf(sourceIdOf(fuel, header.source), of)
      // The same file is kept already, and may be being applied. Nothing is awaited from here on:
      // of two that arrive together the second one finds the first.
      const before = this.files.get(base)
      if (before !== undefined) return { kept: before, isKnown: true }
      const entry = this.entryOf(base, kept)
      writePrivateFile(join(this.folder, `${base}.json`), JSON.stringify(kept))
      renameSync(part, entry.path)
      syncFolder(this.folder)
      this.files.set(base, entry)
      isKept = true
      return { kept: entry, isKnown: false }
    } finally {
      await handle.close()
      if (!isKept) {
        this.bytes -= written.bytes
        await rm(part, { force: true })
      }
    }
  }

  /** The file is not needed any more; its response and rejected records stay. */
  async remove({ path, source, file }: KeptFile): Promise<void> {
    const base = baseOf(source, file)
    if (!this.files.delete(base)) return
    this.bytes -= (await stat(path).catch(() => ({ size: 0 }))).size
    await rm(path, { force: true })
    await rm(join(this.folder, `${base}.json`), { force: true })
  }

  /** Where the response to a file that has ended is, and its rejected records. */
  pathsOf(
    source: SourceId,
    ended: Pick<EndedFile, 'sequence' | 'digest'>,
  ): Pick<KeptFile, 'rejectedPath' | 'responsePath'> {
    const base = join(this.folder, baseOf(source, ended))
    return { rejectedPath: `${base}.rejected`, responsePath: `${base}.response` }
  }

  /** Removes responses to files of `source` that nobody remembers. */
  async forget(source: SourceId, ended: readonly EndedFile[]): Promise<void> {
    const known = new Set(ended.map((one) => baseOf(source, one)))
    const prefix = prefixOf(source)
    for (const name of await readdir(this.folder)) {
      const [base = '', end] = name.split('.')
      if (end !== 'rejected' && end !== 'response') continue
      if (base.startsWith(prefix) && !known.has(base) && !this.files.has(base))
        await rm(join(this.folder, name), { force: true })
    }
  }

  private entryOf(base: string, { fuel, header, file, responseTo }: Kept): KeptFile {
    const path = join(this.folder, base)
    return {
      source: sourceIdOf(fuel, header.source),
      header,
      file,
      ...(responseTo !== undefined && { responseTo }),
      path: `${path}.file`,
      rejectedPath: `${path}.rejected`,
      responsePath: `${path}.response`,
    }
  }

  /** Passes chunks on once they are written. */
  private async *writing(
    chunks: Chunks,
    handle: FileHandle,
    written: { bytes: number },
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      written.bytes += chunk.length
      this.bytes += chunk.length
      const { fileBytesMax, filesBytesMax } = this.room
      if (written.bytes > fileBytesMax) throw tooLarge(`a file of more than ${fileBytesMax} octets`)
      if (this.bytes > filesBytesMax)
        throw tooLarge(`all files have more than ${filesBytesMax} octets`)
      await handle.writeFile(chunk)
      yield chunk
    }
  }
}

const tooLarge = (detail: string): BrokerError => new BrokerError('SOURCE_FILE_TOO_LARGE', detail)

const prefixOf = (source: SourceId): string => `${fuelOfSource(source)}-${nameOfSource(source)}-`

const baseOf = (
  source: SourceId,
  { sequence, digest }: Pick<SourceFile, 'sequence' | 'digest'>,
): string => `${prefixOf(source)}${sequence}-${digest.slice(0, 16)}`

/** A file that was renamed is there after a power cut once its folder is on the disk. */
function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

export const octetsOf = ({ path }: Pick<KeptFile, 'path'>): Chunks => createReadStream(path)
