/**
 * Registration files in this process: what arrives is kept and shown to the actor of its source,
 * which says when it is applied; this process then applies it. A look now and then finds what waits
 * no longer, was approved, or was left by a process that ended.
 */
import { copyFile, rename, stat } from 'node:fs/promises'
import { writeFile } from 'node:fs/promises'
import { BrokerError } from '../../core/base/broker-error.ts'
import { emptyBytes } from '../../core/base/bytes.ts'
import { limits } from '../../core/base/limits.ts'
import { askActors, type Question } from '../../core/bus/actor-mail.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Counter } from '../../core/ports/metrics.ts'
import type { Chunks, StructureFault } from '../../core/registration/file-reader.ts'
import { encodeSourceChange, type SourceChange } from '../../core/registration/source-change.ts'
import { fuelOfSource, textOfSource, type SourceId } from '../../core/registration/source-id.ts'
import { decodeSourceReport } from '../../core/registration/source-report.ts'
import {
  nextHeld,
  type EndedFile,
  type OpenFile,
  type SourceState,
} from '../../core/registration/source-state.ts'
import {
  compareFile,
  loadFile,
  LoadStopped,
  writeResponse,
  type LoadingPorts,
} from './file-loading.ts'
import { refusalOf } from './file-response.ts'
import type { FileTerms, KeptFile, KeptFiles } from './kept-files.ts'

export type SourceFilesOptions = Omit<LoadingPorts, 'isClosing'> & {
  kept: KeptFiles
  log: Log
  /** Id of this process. */
  keeper: string
  /** The share of 100 above which a refresh waits for an operator. */
  changePercentMax: number
  /** Records that were registered or rejected. */
  records: Counter
}

/** A file that has arrived whole, and what its source says of it. */
export type TakenFile = { readonly kept: KeptFile; readonly state: SourceState }

export class SourceFiles {
  private readonly options: SourceFilesOptions
  private readonly running = new Map<SourceId, { kept: KeptFile; work: Promise<void> }>()
  /** Why files of a source are not applied for the moment. */
  private readonly faults = new Map<SourceId, string>()
  private looking: Promise<void> | undefined
  private isToLookAgain = false
  private isClosing = false
  private callOff: (() => void) | undefined

  constructor(options: SourceFilesOptions) {
    this.options = options
  }

  /** Goes on with what is kept. */
  start(): void {
    this.look()
  }

  /** Ends after the batches that are under way. */
  async close(): Promise<void> {
    this.isClosing = true
    this.callOff?.()
    await this.looking
    await Promise.all([...this.running.values()].map(({ work }) => work))
  }

  /** Why files are not applied, or undefined. */
  get trouble(): string | undefined {
    const [first] = this.faults
    return first && `files of ${textOfSource(first[0])} are not applied: ${first[1]}`
  }

  /**
   * Takes a file in; settles when it is on the disk and its source knows it, or with what is wrong
   * with its structure.
   * @throws BrokerError SOURCE_BUSY while the same file is being applied; what the source refuses
   * it with, or why it cannot be kept: nothing of it is kept then
   */
  async take(chunks: Chunks, terms: FileTerms): Promise<TakenFile | StructureFault> {
    const found = await this.options.kept.take(chunks, terms)
    return 'code' in found ? found : this.show(found)
  }

  private async show({ kept, isKnown }: { kept: KeptFile; isKnown: boolean }): Promise<TakenFile> {
    const { source, file } = kept
    try {
      const state = await this.change(source, { change: 'open', file })
      const open = openOf(state, kept)
      if (isKnown && open !== undefined && open.stage !== 'waiting')
        throw new BrokerError('SOURCE_BUSY', `file ${file.sequence} of ${textOfSource(source)}`)
      const fate = fateOf(state, kept)
      if (typeof fate === 'object' || fate === 'over') await this.end(kept, state, fate)
      else this.look()
      return { kept, state }
    } catch (fault) {
      if (!isKnown) await this.options.kept.remove(kept)
      throw fault
    }
  }

  /** What is known of a source. @throws BrokerError SOURCE_UNKNOWN */
  async stateOf(source: SourceId): Promise<SourceState> {
    return this.ask(source, { kind: Kind.SOURCE_QUERY, target: source, bodyBytes: emptyBytes })
  }

  /** Changes a source; settles with its state, on disk. @throws BrokerError why it is refused */
  async change(source: SourceId, change: SourceChange): Promise<SourceState> {
    const bodyBytes = encodeSourceChange(change)
    return this.ask(source, { kind: Kind.SOURCE_CHANGE, target: source, bodyBytes })
  }

  /** The same by an operator: what it lets go on does so at once where it is kept here. */
  async operate(source: SourceId, change: SourceChange): Promise<SourceState> {
    const state = await this.change(source, change)
    this.look()
    return state
  }

  private async ask(source: SourceId, question: Question): Promise<SourceState> {
    let state: SourceState | undefined
    const [refused] = await askActors([question], this.options, (answer, at) => {
      if (readKind(answer, at) === Kind.SOURCE) state = decodeSourceReport(readBodyView(answer, at))
    })
    if (state !== undefined) return state
    throw new BrokerError(refused?.code ?? 'BROKER_PARTITION_UNAVAILABLE', textOfSource(source))
  }

  /** Looks at all files that are kept, one look at a time, and again after a while. */
  private look(): void {
    if (this.isClosing) return
    this.isToLookAgain = true
    this.looking ??= this.lookAtAll().finally(() => {
      this.looking = undefined
      this.callOff?.()
      const { clock } = this.options
      const inAWhile = clock.now() + limits.sourceLookMs
      if (!this.isClosing) this.callOff = clock.at(inAWhile, () => this.look())
    })
  }

  private async lookAtAll(): Promise<void> {
    while (this.isToLookAgain && !this.isClosing) {
      this.isToLookAgain = false
      const files = Map.groupBy(this.options.kept.all, ({ source }) => source)
      for (const [source, all] of files) {
        if (this.running.has(source) || this.running.size >= limits.sourceLoadsMax) continue
        try {
          const next = await this.nextOf(source, all)
          if (next !== undefined) this.run(next)
        } catch (fault) {
          this.failed(source, fault)
        }
      }
    }
  }

  /** The file of a source to go on with; those that are not needed any more are removed. */
  private async nextOf(source: SourceId, all: readonly KeptFile[]): Promise<KeptFile | undefined> {
    const state = await this.stateOf(source).catch(unlessUnknown)
    // The process ended before the source knew of any.
    if (state === undefined) return all[0]
    let next: KeptFile | undefined
    for (const kept of all) {
      const fate = fateOf(state, kept)
      if (fate === 'go on') next = kept
      else if (fate === 'unknown') next ??= kept
      else if (fate !== 'waits') await this.end(kept, state, fate)
    }
    return next
  }

  private run(kept: KeptFile): void {
    const { source } = kept
    const work = this.apply(kept).then(
      () => {
        this.faults.delete(source)
        this.running.delete(source)
        this.look()
      },
      (fault: unknown) => {
        this.running.delete(source)
        this.failed(source, fault)
      },
    )
    this.running.set(source, { kept, work })
  }

  private failed(source: SourceId, fault: unknown): void {
    if (fault instanceof LoadStopped || this.isClosing) return
    this.faults.set(source, String(fault))
    const of = textOfSource(source)
    this.options.log.warn({ source: of, fault: String(fault) }, 'files of a source are not applied')
  }

  /** Applies the file as far as its source lets it. */
  private async apply(kept: KeptFile): Promise<void> {
    const { changePercentMax: percentMax, clock, records } = this.options
    const { source, file } = kept
    const { sequence, digest, keeper } = file
    const of = { sequence, digest, keeper }
    const ports = { ...this.options, isClosing: () => this.isClosing }
    let state = await this.change(source, { change: 'open', file })
    for (;;) {
      const open = openOf(state, kept)
      if (open === undefined || open.stage === 'waiting') return
      if (open.stage === 'comparing') {
        const { progress } = open
        const counts = await compareFile(kept, state.known, ports, async () => {
          await this.change(source, { change: 'progress', of, progress })
        })
        state = await this.change(source, { change: 'compared', of, counts, percentMax })
        continue
      }
      let counted = open.progress.done
      const progress = await loadFile(kept, open.progress, ports, async (noted) => {
        await this.change(source, { change: 'progress', of, progress: noted })
        records.add(Math.max(0, noted.done - counted))
        counted = noted.done
      })
      records.add(Math.max(0, progress.done - counted))
      await writeResponse(kept, clock.now())
      state = await this.change(source, { change: 'end', of, progress })
    }
  }

  /** The file is over: its response goes to where it is wanted. */
  private async end(kept: KeptFile, state: SourceState, ended: EndedFile | 'over'): Promise<void> {
    const { kept: files, clock } = this.options
    const { source, header, responsePath, responseTo } = kept
    if (ended !== 'over') {
      if (ended.outcome === 'rejected') {
        const fuel = fuelOfSource(source)
        const reason = 'an operator has rejected the file'
        const code = 'REGISTRATION_FILE_MALFORMED'
        const text = await refusalOf({ code, fuel, header, line: 0, reason }, clock.now())
        await writeFile(responsePath, text ?? '', { mode: 0o600, flush: true })
      }
      const isThere = await stat(responsePath).catch(() => undefined)
      if (responseTo !== undefined && isThere !== undefined) {
        await copyFile(responsePath, `${responseTo}.part`)
        await rename(`${responseTo}.part`, responseTo)
      }
    }
    await files.remove(kept)
    await files.forget(source, state.ended)
  }
}

/** The file while it is open, and is ours. */
function openOf({ open }: SourceState, { file }: KeptFile): OpenFile | undefined {
  const isIt = open?.file.sequence === file.sequence && open.file.digest === file.digest
  return isIt && open.file.keeper === file.keeper ? open : undefined
}

/**
 * What becomes of a file that is kept: `over` when it was taken long ago, is out of date, or is
 * another process's now.
 */
function fateOf(
  state: SourceState,
  kept: KeptFile,
): 'go on' | 'waits' | 'unknown' | 'over' | EndedFile {
  const { sequence, digest, keeper } = kept.file
  const open = openOf(state, kept)
  if (open !== undefined) return open.stage === 'waiting' ? 'waits' : 'go on'
  if (state.open?.file.sequence === sequence) return 'over'
  const ended = state.ended.findLast((one) => one.sequence === sequence && one.digest === digest)
  const held = state.held.find((one) => one.sequence === sequence)
  if (held !== undefined) {
    if (held.digest !== digest || held.keeper !== keeper) return 'over'
    return nextHeld(state)?.sequence === sequence ? 'go on' : 'waits'
  }
  if (ended !== undefined) return ended
  return sequence <= state.taken ? 'over' : 'unknown'
}

function unlessUnknown(fault: unknown): undefined {
  if (!(fault instanceof BrokerError) || fault.code !== 'SOURCE_UNKNOWN') throw fault
}
