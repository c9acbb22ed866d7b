/**
 * The operators' door for registration systems and their files: POST /v1/registration-files, GET
 * /v1/sources, GET /v1/sources/{id}, POST /v1/sources/{id}/release, /approve and /reject, GET
 * /v1/sources/{id}/files/{sequence} and its /response.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { send } from '../../core/http/door.ts'
import { problemOf } from '../../core/http/problem.ts'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Chunks } from '../../core/registration/file-reader.ts'
import type { RecordFault } from '../../core/registration/rejection-reasons.ts'
import { sourceChangeOf } from '../../core/registration/source-change.ts'
import {
  parseSource,
  sourceWords,
  textOfSource,
  type SourceId,
} from '../../core/registration/source-id.ts'
import { dataSinceMs, type SourceRecord } from '../../core/registration/source-report.ts'
import {
  changedShare,
  missingOf,
  type EndedFile,
  type FileProgress,
  type FileStage,
  type RefreshCounts,
  type SourceFile,
  type SourceState,
} from '../../core/registration/source-state.ts'
import { expectOnly, provenBy } from './counters-door.ts'
import { rejectedIn } from './file-loading.ts'
import { refusalOf } from './file-response.ts'
import type { KeptFiles } from './kept-files.ts'
import type { SourceFiles } from './source-files.ts'

/** A source as JSON. Times are ISO 8601, UTC. */
export type SourceLine = {
  source: string
  /** Sequence number of the last file taken. */
  taken: number
  held: number
  stage?: FileStage
  /** Since when its data are as they are: its newest file, or its first sign. */
  dataSince: string
  ageSeconds: number
}
export type SourcesJson = { sources: SourceLine[]; sequence: number }

type FileJson = Pick<SourceFile, 'file' | 'kind' | 'sequence' | 'records' | 'keeper'>
export type SourceJson = Omit<SourceLine, 'held' | 'stage'> & {
  /** Meter points of its last refresh, and those added since. */
  meterPoints: number
  /** The sequence number that is missing before a file that waits. */
  missing?: number
  open?: FileJson & {
    stage: FileStage
    progress: FileProgress
    /** Of a refresh, once it is compared; the share is of 100. */
    changes?: RefreshCounts & { share: number }
    since: string
  }
  held: FileJson[]
  /** The last ones, the newest first. */
  ended: Array<FileJson & Pick<EndedFile, 'outcome' | 'progress'> & { at: string }>
}
/** Of a file that has arrived: whether it is applied, waits, or was taken before. */
export type UploadAnswer = {
  source: string
  kind: SourceFile['kind']
  sequence: number
  records: number
  digest: string
  state: 'applying' | 'waiting' | 'held' | 'repeat'
  /** The sequence number that a file which is held waits for. */
  missing?: number
}
/** The first rejected records of a file that has ended. */
export type EndedFileJson = SourceJson['ended'][number] & { rejectedRecords: RecordFault[] }

export type SourceDoorPorts = {
  files: SourceFiles
  kept: KeptFiles
  reader: DirectoryReader
  clock: Clock
  keeper: string
  /** Why no new files may be taken now, or undefined. */
  shortage: () => ErrorCode | undefined
}

type OfSource = { Params: { id: string } }
type OfFile = { Params: { id: string; sequence: string } }
type Query = { Querystring: Record<string, unknown> }

export function addSourceRoutes(app: FastifyInstance, ports: SourceDoorPorts): void {
  const { files, reader, clock } = ports
  const safe = { exposeHeadRoute: true }
  addUpload(app, ports)
  app.get('/v1/sources', safe, async (): Promise<SourcesJson> => {
    await reader.refresh()
    const { sources, sequence } = reader.current
    const lines = Array.from(sources, ([id, record]) =>
      lineOf(id as SourceId, record, clock.now()),
    ).toSorted((a, b) => (a.source < b.source ? -1 : 1))
    return { sources: lines, sequence }
  })
  app.get<OfSource>('/v1/sources/:id', safe, async ({ params }) => {
    const source = sourceIn(params.id)
    return jsonOf(source, await files.stateOf(source), clock.now())
  })
  for (const change of ['release', 'approve', 'reject'] as const)
    app.post<OfSource>(`/v1/sources/:id/${change}`, async (request) => {
      const source = sourceIn(request.params.id)
      const given = { ...(request.body as object | undefined) } as Record<string, unknown>
      expectOnly(given, change === 'release' ? ['through', 'by'] : ['sequence', 'by'])
      const state = await files.stateOf(source)
      if (change === 'release') given['through'] ??= gapEndOf(state)
      const by = provenBy(request, given['by'], 'decides about the source')
      const wanted = sourceChangeOf({ ...given, change, ...(by !== undefined && { by }) })
      return jsonOf(source, await files.operate(source, wanted), clock.now())
    })
  const path = '/v1/sources/:id/files/:sequence'
  app.get<OfFile>(path, safe, async ({ params }): Promise<EndedFileJson> => {
    const { source, ended } = await endedIn(params, files)
    const { rejectedPath } = ports.kept.pathsOf(source, ended)
    const rejectedRecords: RecordFault[] = []
    if (await isThere(rejectedPath))
      for await (const one of rejectedIn(rejectedPath))
        if (rejectedRecords.push(one) === limits.sourceRejectedShownMax) break
    return { ...endedJsonOf(ended), rejectedRecords }
  })
  app.get<OfFile>(`${path}/response`, async ({ params }, reply) => {
    const { source, ended } = await endedIn(params, files)
    const { responsePath } = ports.kept.pathsOf(source, ended)
    if (!(await isThere(responsePath)))
      throw new BrokerError('SOURCE_UNKNOWN', `process ${ended.keeper} has the response`)
    return reply.type('text/plain; charset=us-ascii').send(createReadStream(responsePath))
  })
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

function addUpload(app: FastifyInstance, { files, clock, shortage }: SourceDoorPorts): void {
  const stream = { bytesMax: limits.registrationFileBytesMax }
  const path = '/v1/registration-files'
  app.post<Query>(path, { config: { stream } }, async ({ query, body }, reply) => {
    expectOnly(query, ['checkDigit'])
    const { checkDigit } = query
    if (checkDigit !== undefined && checkDigit !== 'true' && checkDigit !== 'false')
      throw new BrokerError('VIEW_QUERY_INVALID', 'checkDigit must be true or false')
    const short = shortage()
    if (short !== undefined) throw new BrokerError(short)
    const taken = await files.take(body as Chunks, { checkDigit: checkDigit !== 'false' })
    if ('kept' in taken) return uploadAnswerOf(taken)
    const { code, line, reason } = taken
    const response = await refusalOf(taken, clock.now())
    const members = response === undefined ? {} : { response }
    send(reply, problemOf(code, { detail: `line ${line}: ${reason}`, members }))
    return reply
  })
}

function uploadAnswerOf({
  kept: { source, file },
  state,
}: Exclude<Awaited<ReturnType<SourceFiles['take']>>, { code: string }>): UploadAnswer {
  const { kind, sequence, records, digest } = file
  const isOpen = state.open?.file.sequence === sequence
  const isHeld = state.held.some((one) => one.sequence === sequence)
  const missing = isHeld ? missingOf(state) : undefined
  const word = isOpen
    ? state.open.stage === 'waiting'
      ? 'waiting'
      : 'applying'
    : isHeld
      ? 'held'
      : 'repeat'
  const of = { source: textOfSource(source), kind, sequence, records, digest }
  return { ...of, state: word, ...(missing !== undefined && { missing }) }
}

/** @throws BrokerError SOURCE_UNKNOWN */
export function sourceIn(text: string): SourceId {
  const source = parseSource(text)
  if (source === undefined) throw new BrokerError('SOURCE_UNKNOWN', `a source is ${sourceWords}`)
  return source
}

/** The end of the gap before the first file that waits. */
function gapEndOf(state: SourceState): number {
  const first = state.held[0]
  if (first === undefined) throw new BrokerError('SOURCE_FILE_NOT_WAITING')
  return first.sequence - 1
}

async function endedIn(
  { id, sequence }: OfFile['Params'],
  files: SourceFiles,
): Promise<{ source: SourceId; ended: EndedFile }> {
  const source = sourceIn(id)
  const state = await files.stateOf(source)
  const ended = state.ended.findLast((one) => String(one.sequence) === sequence)
  if (ended === undefined)
    throw new BrokerError('SOURCE_FILE_NOT_WAITING', `no file ${sequence.slice(0, 20)} has ended`)
  return { source, ended }
}

const iso = (ms: number): string => new Date(ms).toISOString()

function ageOf(record: Pick<SourceRecord, 'createdMs' | 'appliedAtMs' | 'sinceMs'>, nowMs: number) {
  const sinceMs = dataSinceMs(record)
  return {
    dataSince: iso(sinceMs),
    ageSeconds: Math.max(0, Math.round((nowMs - sinceMs) / 1_000)),
  }
}

const lineOf = (id: SourceId, record: SourceRecord, nowMs: number): SourceLine => ({
  source: textOfSource(id),
  taken: record.taken,
  held: record.held,
  ...(record.stage && { stage: record.stage }),
  ...ageOf(record, nowMs),
})

const fileJsonOf = ({ file, kind, sequence, records, keeper }: FileJson): FileJson => ({
  ...{ file, kind, sequence, records, keeper },
})

const endedJsonOf = (ended: EndedFile): SourceJson['ended'][number] => ({
  ...fileJsonOf(ended),
  outcome: ended.outcome,
  progress: ended.progress,
  at: iso(ended.endedAtMs),
})

function jsonOf(source: SourceId, state: SourceState, nowMs: number): SourceJson {
  const { taken, open, held, ended, known } = state
  const missing = missingOf(state)
  return {
    source: textOfSource(source),
    taken,
    ...ageOf(state, nowMs),
    meterPoints: known,
    ...(missing !== undefined && { missing }),
    ...(open && {
      open: {
        ...fileJsonOf(open.file),
        stage: open.stage,
        progress: open.progress,
        ...(open.counts && { changes: { ...open.counts, share: changedShare(open.counts) } }),
        since: iso(open.begunAtMs),
      },
    }),
    held: held.map(fileJsonOf),
    ended: ended.map(endedJsonOf).toReversed(),
  }
}
