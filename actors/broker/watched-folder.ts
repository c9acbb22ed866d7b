/**
 * The folder in which registration systems leave their files. A file is complete when its size and
 * time have not changed for `registrationStableMs`; one that is renamed into the folder waits as
 * long. Names that begin with a dot, or end in `.part` or `.tmp`, are still being written. Each
 * complete file is taken like one that is uploaded, then moved:
 *
 *   FOLDER/taken      applied, held, or a repeat
 *   FOLDER/responses  NAME.response for the sender
 *   FOLDER/rejected   not whole, or another file with a number that was taken; NAME.reason says why
 */
import { createReadStream, watch, type FSWatcher } from 'node:fs'
import { access, lstat, mkdir, readdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BrokerError } from '../../core/base/broker-error.ts'
import { errorTable } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Log } from '../../core/ports/log.ts'
import { refusalOf } from './file-response.ts'
import type { SourceFiles } from './source-files.ts'

export type WatchedFolderOptions = {
  /** Absolute. */
  folder: string
  files: Pick<SourceFiles, 'take'>
  clock: Clock
  log: Log
}

/** How a file was at the last look, and since when it is so, elapsed ms. */
type Seen = { size: number; mtimeMs: number; sinceMs: number }

export class WatchedFolder {
  private readonly options: WatchedFolderOptions
  private readonly seen = new Map<string, Seen>()
  /** Files that cannot be taken for the moment, and why. */
  private readonly waiting = new Map<string, string>()
  private fault: string | undefined
  private watcher: FSWatcher | undefined
  private looking: Promise<void> | undefined
  private callOff: (() => void) | undefined
  private isToLookAgain = false
  private isClosing = false

  constructor(options: WatchedFolderOptions) {
    this.options = options
  }

  /** @throws BrokerError CONFIG_INVALID when the folder cannot be used */
  async start(): Promise<void> {
    const { folder, log } = this.options
    try {
      for (const name of ['taken', 'rejected', 'responses'])
        await mkdir(join(folder, name), { recursive: true, mode: 0o700 })
      this.watcher = watch(folder, () => this.look())
      // What the system cannot watch any more is found by the looks.
      this.watcher.on('error', (fault) =>
        log.warn({ fault: String(fault) }, 'a folder is not watched'),
      )
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new BrokerError('CONFIG_INVALID', `--registration-files ${folder}: ${why}`, { cause })
    }
    this.look()
  }

  async close(): Promise<void> {
    this.isClosing = true
    this.watcher?.close()
    this.callOff?.()
    await this.looking
  }

  /** Why files stay in the folder, or undefined. */
  get trouble(): string | undefined {
    const [first] = this.waiting
    return first ? `${first[0]} is not taken: ${first[1]}` : this.fault
  }

  /** One look at a time, another one for notices that come meanwhile, the next after a while. */
  private look(): void {
    if (this.isClosing) return
    this.isToLookAgain = true
    this.looking ??= this.lookUntilDone().finally(() => {
      this.looking = undefined
      this.callOff?.()
      const { clock } = this.options
      const inAWhile = clock.now() + limits.sourceLookMs
      if (!this.isClosing) this.callOff = clock.at(inAWhile, () => this.look())
    })
  }

  private async lookUntilDone(): Promise<void> {
    while (this.isToLookAgain && !this.isClosing) {
      this.isToLookAgain = false
      try {
        await this.lookAtAll()
        this.fault = undefined
      } catch (fault) {
        this.fault = `the folder of registration files cannot be read: ${String(fault)}`
        this.options.log.warn({ fault: String(fault) }, 'the folder of registration files')
      }
    }
  }

  private async lookAtAll(): Promise<void> {
    const { folder, clock } = this.options
    const names = (await readdir(folder)).filter(isFileName).toSorted()
    for (const name of [...this.seen.keys()].filter((one) => !names.includes(one))) {
      this.seen.delete(name)
      this.waiting.delete(name)
    }
    for (const name of names) {
      if (this.isClosing) return
      const found = await lstat(join(folder, name)).catch(() => undefined)
      if (found?.isFile() !== true) continue
      const { size, mtimeMs } = found
      const before = this.seen.get(name)
      const nowMs = clock.elapsedMs()
      if (before?.size !== size || before.mtimeMs !== mtimeMs)
        this.seen.set(name, { size, mtimeMs, sinceMs: nowMs })
      else if (nowMs - before.sinceMs >= limits.registrationStableMs) await this.take(name)
    }
  }

  private async take(name: string): Promise<void> {
    const { folder, files, clock, log } = this.options
    const responseTo = join(folder, 'responses', `${name}.response`)
    try {
      const octets = createReadStream(join(folder, name))
      const found = await files.take(octets, { checkDigit: true, responseTo })
      octets.destroy()
      if (!('code' in found)) await this.move(name, 'taken')
      else {
        const response = await refusalOf(found, clock.now())
        if (response !== undefined) await writeFile(responseTo, response, { mode: 0o600 })
        await this.reject(name, `${found.code}: line ${found.line}: ${found.reason}`)
      }
      this.waiting.delete(name)
    } catch (fault) {
      if (fault instanceof BrokerError && fault.code === 'SOURCE_FILE_DIFFERENT')
        return this.reject(name, String(fault))
      this.waiting.set(name, String(fault))
      const isToWait = fault instanceof BrokerError && errorTable[fault.code].retry !== 'never'
      const text = 'a registration file is not taken for the moment'
      if (isToWait) log.info({ name, fault: String(fault) }, text)
      else log.warn({ name, fault: String(fault) }, text)
    }
  }

  private async reject(name: string, reason: string): Promise<void> {
    this.options.log.warn({ name, reason }, 'a registration file is rejected')
    const moved = await this.move(name, 'rejected')
    // Whole or not there: who looks while it is written would read half a reason.
    await writeFile(`${moved}.part`, `${reason}\n`, { mode: 0o600 })
    await rename(`${moved}.part`, `${moved}.reason`)
  }

  /** Moves a file to a sub-folder, beside one of the same name. */
  private async move(name: string, to: 'taken' | 'rejected'): Promise<string> {
    const { folder } = this.options
    this.seen.delete(name)
    let path = join(folder, to, name)
    for (let number = 2; await isThere(path); number++) path = join(folder, to, `${name}.${number}`)
    await rename(join(folder, name), path)
    return path
  }
}

const isFileName = (name: string): boolean => !name.startsWith('.') && !/\.(part|tmp)$/.test(name)

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
