/**
 * `busbar meter-points load`: a registration file into a running broker. The file is checked here
 * first, as the broker does it again; then it is sent, and the broker says how far it is.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { rename, rm, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { octetsType } from '../../../core/http/problem.ts'
import { pause, systemClock } from '../../../core/ports/clock.ts'
import {
  checkStructure,
  isStructureFault,
  type FileStructure,
} from '../../../core/registration/file-reader.ts'
import { refusalOf } from '../../broker/file-response.ts'
import type { EndedFileJson, SourceJson, UploadAnswer } from '../../broker/source-door.ts'
import { OperatorFault } from '../operator-fault.ts'
import type { OpsProblem } from '../problem-sentence.ts'
import { askDoor, faultOf, fetchDoor } from './ask-door.ts'

export type LoadOptions = {
  ops: string
  /** False: check digits of MPANs are not looked at. */
  checkDigit: boolean
  /** Where the response to the sender is written; nowhere when left out. */
  response: string | undefined
}

export type LoadResult = {
  structure: FileStructure
  source: string
  /** `applied` also when it was taken before; `held` and `waiting` are not applied yet. */
  state: 'applied' | 'rejected' | 'held' | 'waiting' | 'repeat'
  isRepeat: boolean
  /** The sequence number that a file which is held waits for. */
  missing?: number
  /** What a refresh that waits would change. */
  changes?: NonNullable<SourceJson['open']>['changes']
  /** Of one that has ended, as long as the broker remembers it. */
  ended?: EndedFileJson
}

/** Between two questions how far it is. */
const lookMs = 200

/**
 * Settles when the file is applied, rejected, or waits. `onProgress` gets the records so far.
 * @throws OperatorFault for a file that is rejected as a whole, and where a broker refuses
 */
export async function loadFile(
  file: string,
  { ops, checkDigit, response }: LoadOptions,
  onProgress: (done: number, total: number) => void,
): Promise<LoadResult> {
  const structure = await structureOf(file, response)
  const { sequence } = structure.header
  const query = checkDigit ? '' : '?checkDigit=false'
  const sent = await upload(file, `http://${ops}/v1/registration-files${query}`, ops)
  const { source, missing } = sent
  const path = `/v1/sources/${encodeURIComponent(source)}`
  const isRepeat = sent.state === 'repeat'
  const common = { structure, source, isRepeat }
  for (;;) {
    const { open, held, ended } = await askDoor<SourceJson>(ops, 'GET', path)
    if (open?.sequence === sequence && open.stage === 'waiting')
      return { ...common, state: 'waiting', changes: open.changes }
    const isHeld = held.some((one) => one.sequence === sequence)
    if (isHeld && sent.state === 'held')
      return { ...common, state: 'held', ...(missing !== undefined && { missing }) }
    if (open?.sequence !== sequence && !isHeld) {
      if (!ended.some((one) => one.sequence === sequence)) return { ...common, state: 'repeat' }
      const over = await askDoor<EndedFileJson>(ops, 'GET', `${path}/files/${sequence}`)
      if (response !== undefined)
        await fetchResponse(`http://${ops}${path}/files/${sequence}`, response)
      return { ...common, state: over.outcome, ended: over }
    }
    if (open !== undefined) onProgress(open.progress.done, structure.records)
    await pause(systemClock, lookMs)
  }
}

async function structureOf(file: string, response: string | undefined): Promise<FileStructure> {
  const found = await checkStructure(createReadStream(file))
  if (!isStructureFault(found)) return found
  const { code, line, reason } = found
  const text = await refusalOf(found, Date.now())
  if (response !== undefined && text !== undefined) await writeFile(response, text, { mode: 0o600 })
  throw new OperatorFault(new BrokerError(code, `${file}, line ${line}: ${reason}`).message)
}

async function upload(file: string, url: string, ops: string): Promise<UploadAnswer> {
  const body = Readable.toWeb(createReadStream(file)) as ReadableStream
  const headers = { 'content-type': octetsType }
  const call = { method: 'POST', headers, body, duplex: 'half' } as RequestInit
  const answer = await fetchDoor(url, call).catch((cause: unknown) => {
    throw new OperatorFault(
      `the file did not arrive at ${ops}. Start a broker with \`busbar serve\`, or name its operators' door with --ops host:port or BUSBAR_OPS; then load the file again.`,
      { cause },
    )
  })
  const json = (await answer.json().catch(() => ({}))) as UploadAnswer & OpsProblem
  if (answer.status < 300) return json
  throw faultOf(json, `HTTP ${answer.status} from ${ops}`)
}

/** Another process may have the response: then nothing is written. */
async function fetchResponse(url: string, path: string): Promise<void> {
  const { status, body } = await fetchDoor(`${url}/response`)
  if (status !== 200 || body === null) return
  await pipeline(Readable.fromWeb(body as never), createWriteStream(path, { mode: 0o600 }))
}

/**
 * Writes the status file of `source` to `path`, whole or not at all.
 * @throws OperatorFault where a broker refuses, or the file breaks off
 */
export async function fetchStatusFile(
  source: string,
  { ops, sequence, path }: { ops: string; sequence: number; path: string },
): Promise<void> {
  const url = `http://${ops}/v1/sources/${encodeURIComponent(source)}/status-file?sequence=${sequence}`
  const answer = await fetchDoor(url).catch((cause: unknown) => {
    throw new OperatorFault(`nobody answers at ${ops}; name the operators' door with --ops`, {
      cause,
    })
  })
  if (answer.status !== 200 || answer.body === null) {
    const json = (await answer.json().catch(() => ({}))) as OpsProblem
    throw faultOf(json, json.detail ?? `HTTP ${answer.status} from ${ops}`)
  }
  const part = `${path}.part`
  try {
    await pipeline(Readable.fromWeb(answer.body as never), createWriteStream(part, { mode: 0o600 }))
    await rename(part, path)
  } catch (cause) {
    await rm(part, { force: true })
    throw new OperatorFault(`the status file broke off; try again`, { cause })
  }
}
