/**
 * One registration file on its way into meter points: a refresh is compared first; then its records
 * are registered in batches, with a note of progress now and then, and its response is written. The
 * work goes on where the last note stands after a crash; what is repeated changes nothing.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { errorTable, explain, type ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { askActors, type ActorMailPorts, type Question } from '../../core/bus/actor-mail.ts'
import { readBodyView, readCorrelation, readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { linesOfFile } from '../../core/ops/text-file.ts'
import { pause } from '../../core/ports/clock.ts'
import { records } from '../../core/registration/file-reader.ts'
import { decodeNews, type MeterPointNews } from '../../core/registration/meter-point-news.ts'
import { meterPointId } from '../../core/registration/meter-point.ts'
import type { AcceptedRecord, RecordEntry } from '../../core/registration/record-assembler.ts'
import { encodeRegistrationChange } from '../../core/registration/registration-change.ts'
import type { RegistrationItem } from '../../core/registration/registration-record.ts'
import type { RecordFault } from '../../core/registration/rejection-reasons.ts'
import { fuelOfSource } from '../../core/registration/source-id.ts'
import {
  noProgress,
  type FileProgress,
  type RefreshCounts,
} from '../../core/registration/source-state.ts'
import { responseOf } from './file-response.ts'
import { octetsOf, type KeptFile } from './kept-files.ts'

export type LoadingPorts = ActorMailPorts & {
  /** Settles when bulk work may go on. */
  mayGoOn: () => Promise<void>
  /** True when this process ends. */
  isClosing: () => boolean
}

/** Thrown when the process ends: the work goes on at its next start. */
export class LoadStopped extends Error {}

/** Called with the progress; settles when it is noted. */
export type Note = (progress: FileProgress) => Promise<void>

/**
 * What the records of `kept` would change, of a source with `known` meter points. `note` is called
 * now and then: the work goes on.
 */
export async function compareFile(
  kept: KeptFile,
  known: number,
  ports: LoadingPorts,
  note: () => Promise<void>,
): Promise<RefreshCounts> {
  const counts = { changed: 0, added: 0 }
  let accepted = 0
  let notedAtMs = ports.clock.elapsedMs()
  for await (const { batch } of batchesOf(kept)) {
    const asked = batch.filter(isAccepted)
    const { news } = await askPoints(Kind.METER_POINT_COMPARISON, asked, kept, ports)
    count(counts, news)
    accepted += asked.length
    if (ports.clock.elapsedMs() - notedAtMs < limits.sourceProgressMs) continue
    notedAtMs = ports.clock.elapsedMs()
    await note()
  }
  return { known, ...counts, missing: Math.max(0, known - (accepted - counts.added)) }
}

/**
 * Registers the records of `kept` behind those that are done; settles with the progress at its end,
 * which is not noted yet.
 * @throws LoadStopped
 */
export async function loadFile(
  kept: KeptFile,
  begun: FileProgress,
  ports: LoadingPorts,
  note: Note,
): Promise<FileProgress> {
  const rejected = await open(kept.rejectedPath, 'a+', 0o600)
  try {
    const from = await cutRejected(kept.rejectedPath, rejected, begun)
    const progress = { ...from }
    let noted = { done: from.done, atMs: ports.clock.elapsedMs() }
    for await (const { batch, first } of batchesOf(kept)) {
      if (first + batch.length <= from.done) continue
      const faults = await register(
        batch.slice(Math.max(0, from.done - first)),
        kept,
        ports,
        progress,
      )
      if (faults.length > 0)
        await rejected.appendFile(faults.map((one) => `${JSON.stringify(one)}\n`).join(''))
      const nowMs = ports.clock.elapsedMs()
      const isDue = progress.done - noted.done >= limits.sourceProgressRecords
      if (!isDue && nowMs - noted.atMs < limits.sourceProgressMs) continue
      // What is noted as rejected is on the disk.
      await rejected.datasync()
      await note(progress)
      noted = { done: progress.done, atMs: nowMs }
    }
    await rejected.datasync()
    return progress
  } finally {
    await rejected.close()
  }
}

type Batch = { batch: readonly RecordEntry[]; /** Records before it. */ first: number }

/** The records of a file, `registrationRecordsPerBatch` at a time. */
async function* batchesOf({ path, file }: KeptFile): AsyncGenerator<Batch> {
  let batch: RecordEntry[] = []
  let first = 0
  for await (const entries of records(octetsOf({ path }), { checkDigit: file.checkDigit }))
    for (const entry of entries) {
      batch.push(entry)
      if (batch.length < limits.registrationRecordsPerBatch) continue
      yield { batch, first }
      first += batch.length
      batch = []
    }
  if (batch.length > 0) yield { batch, first }
}

const isAccepted = (entry: RecordEntry): entry is AcceptedRecord => !('code' in entry)

/** Registers a batch, counts it in `progress`, and says which records are rejected, by lines. */
async function register(
  batch: readonly RecordEntry[],
  kept: KeptFile,
  ports: LoadingPorts,
  progress: { -readonly [Name in keyof FileProgress]: number },
): Promise<RecordFault[]> {
  const asked = batch.filter(isAccepted)
  const { news, refused } = await askPoints(Kind.METER_POINT_REGISTRATION, asked, kept, ports)
  count(progress, news)
  const faults: RecordFault[] = batch.filter((entry) => 'code' in entry)
  for (const [index, code] of refused) {
    const { instruction, line, record } = asked[index]!
    const { number } = record.point
    faults.push({ instruction, line, number, code: '904', reason: `${code}: ${explain(code)}` })
  }
  progress.done += batch.length
  progress.rejected += faults.length
  return faults.sort((a, b) => a.line - b.line)
}

function count(counts: { changed: number; added: number }, news: readonly MeterPointNews[]): void {
  for (const one of news) if (one !== 'none') counts[one]++
}

/**
 * Asks the meter points of `asked`, again and again while one of them cannot answer for the moment.
 * `refused` are those that never will, by their places.
 * @throws LoadStopped
 */
async function askPoints(
  kind: Kind,
  asked: readonly AcceptedRecord[],
  { source, file, header }: KeptFile,
  ports: LoadingPorts,
): Promise<{ news: MeterPointNews[]; refused: Map<number, ErrorCode> }> {
  const { sequence } = file
  const by = `${header.source} file ${sequence}`
  const questions = asked.map(({ instruction, record }): Question => {
    const order = { source: header.source, sequence, instruction }
    const items = record.items.map(itemOf)
    const bodyBytes = encodeRegistrationChange({ by, order, items })
    return {
      kind,
      target: meterPointId({ ...record.point, fuel: fuelOfSource(source) }),
      bodyBytes,
    }
  })
  const news = new Map<number, MeterPointNews>()
  const refused = new Map<number, ErrorCode>()
  let left = questions.map((_, index) => index)
  while (left.length > 0) {
    await ports.mayGoOn()
    if (ports.isClosing()) throw new LoadStopped()
    const places = left
    const found = await askActors(
      places.map((index) => questions[index]!),
      ports,
      (answer, at) => {
        if (readKind(answer, at) !== Kind.METER_POINT_NEWS) return
        const place = places[readCorrelation(answer, at)]
        if (place !== undefined) news.set(place, decodeNews(readBodyView(answer, at)))
      },
    )
    left = []
    for (const { index, code } of found)
      if (errorTable[code].retry === 'never') refused.set(places[index]!, code)
      else left.push(places[index]!)
    if (left.length > 0) await pause(ports.clock, limits.unavailableRetryMs)
  }
  return { news: [...news.values()], refused }
}

/** Files have the bare number of a related MPAN. */
const itemOf = (item: RegistrationItem): RegistrationItem =>
  item.item === 'related' ? { ...item, value: `mpan:${item.value}` } : item

/**
 * Cuts the rejected records behind those that are noted. Where fewer are left, or another process
 * had them, the file begins again.
 */
async function cutRejected(
  path: string,
  handle: Awaited<ReturnType<typeof open>>,
  begun: FileProgress,
): Promise<FileProgress> {
  let lines = 0
  let bytes = 0
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    for (
      let at = chunk.indexOf(0x0a);
      at >= 0 && lines < begun.rejected;
      at = chunk.indexOf(0x0a, at + 1)
    )
      if (++lines === begun.rejected) bytes += at + 1
    if (lines === begun.rejected) break
    bytes += chunk.length
  }
  const isWhole = lines === begun.rejected
  await handle.truncate(isWhole && begun.rejected > 0 ? bytes : 0)
  return isWhole ? begun : noProgress
}

/** The rejected records of a file, in its order. */
export async function* rejectedIn(path: string): AsyncGenerator<RecordFault> {
  for await (const { text } of linesOfFile(path)) yield JSON.parse(text) as RecordFault
}

/** Writes the response of a file that was applied, whole. */
export async function writeResponse(kept: KeptFile, nowMs: number): Promise<void> {
  const part = `${kept.responsePath}.part`
  const { header, file, source, rejectedPath, responsePath } = kept
  const faults = rejectedIn(rejectedPath)
  const octets = responseOf(
    { fuel: fuelOfSource(source), header, records: file.records },
    faults,
    nowMs,
  )
  await pipeline(octets, createWriteStream(part, { mode: 0o600, flush: true }))
  await rename(part, responsePath)
}
