/**
 * `busbar meter-points load`: a registration file into a running broker. The whole file is checked
 * first, so that nothing is registered of a file that is cut short; then its records go in batches.
 * What is registered already changes nothing: a file may be loaded again.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import {
  checkStructure,
  isStructureFault,
  records,
  type FileStructure,
} from '../../../core/registration/file-reader.ts'
import { meterPointId, textOfMeterPoint } from '../../../core/registration/meter-point.ts'
import type { AcceptedRecord } from '../../../core/registration/record-assembler.ts'
import type { RegistrationItem } from '../../../core/registration/registration-record.ts'
import type { RecordFault } from '../../../core/registration/rejection-reasons.ts'
import {
  writeElectricityResponse,
  writeGasResponse,
} from '../../../core/registration/response-file.ts'
import type { RegistrationsAnswer } from '../../broker/meter-point-door.ts'
import { OperatorFault } from '../operator-fault.ts'
import { askDoor } from './ask-door.ts'

export type LoadOptions = {
  ops: string
  /** False: check digits of MPANs are not looked at. */
  checkDigit: boolean
  /** Where the response to the sender is written; nowhere when left out. */
  response: string | undefined
}

export type LoadResult = {
  structure: FileStructure
  registered: number
  rejected: RecordFault[]
}

/**
 * Settles when every record is on disk or rejected. `onProgress` gets the records so far.
 * @throws OperatorFault for a file that is rejected as a whole, and where a broker refuses
 */
export async function loadFile(
  file: string,
  { ops, checkDigit, response }: LoadOptions,
  onProgress: (done: number, total: number) => void,
): Promise<LoadResult> {
  const structure = await structureOf(file)
  const { header } = structure
  const { source, sequence } = header
  const of = { by: `${source} file ${sequence}`, source, sequence }
  const rejected: RecordFault[] = []
  let registered = 0
  let batch: AcceptedRecord[] = []
  const send = async (): Promise<void> => {
    registered += await registerBatch(batch, { ops, of }, rejected)
    batch = []
    onProgress(registered + rejected.length, structure.records)
  }
  for await (const entries of records(createReadStream(file), { checkDigit }))
    for (const entry of entries) {
      if ('code' in entry) rejected.push(entry)
      else batch.push(entry)
      if (batch.length === limits.requestsPerBatchMax) await send()
    }
  if (batch.length > 0) await send()
  rejected.sort((a, b) => a.line - b.line)
  if (response !== undefined) await writeResponse(response, structure, rejected)
  return { structure, registered, rejected }
}

async function structureOf(file: string): Promise<FileStructure> {
  const found = await checkStructure(createReadStream(file))
  if (!isStructureFault(found)) return found
  const { code, line, reason } = found
  throw new OperatorFault(new BrokerError(code, `${file}, line ${line}: ${reason}`).message)
}

/** How many were registered; those that were not go into `rejected`. */
async function registerBatch(
  batch: readonly AcceptedRecord[],
  { ops, of }: { ops: string; of: { by: string; source: string; sequence: number } },
  rejected: RecordFault[],
): Promise<number> {
  const entries = batch.map(({ instruction, record: { point, items } }) => ({
    meterPoint: textOfMeterPoint(meterPointId(point)),
    ...of,
    instruction,
    items: items.map(itemOf),
  }))
  const answer = await askDoor<RegistrationsAnswer>(ops, 'POST', '/v1/meter-points', {
    body: entries,
  })
  for (const { index, code, message } of answer.refused) {
    const { instruction, line, record } = batch[index]!
    const { number } = record.point
    rejected.push({ instruction, line, number, code: '904', reason: `${code}: ${message}` })
  }
  return answer.registered
}

/** Files have the bare number of a related MPAN. */
const itemOf = (item: RegistrationItem): RegistrationItem =>
  item.item === 'related' ? { ...item, value: `mpan:${item.value}` } : item

/** As which Busbar answers: its role and id in electricity, its organisation in gas. */
const ourRole = 'Z'
const ourId = 'DCCX'
const ourOrganisation = '1'
const registrationSystem = 'P'

async function writeResponse(
  path: string,
  { fuel, header, records: count }: FileStructure,
  rejected: readonly RecordFault[],
): Promise<void> {
  const created = Date.now()
  const received = Number(new Date(created).toISOString().slice(0, 10).replaceAll('-', ''))
  const answer = { answered: header, received, recordsOf: () => count }
  const { sequence, file, source } = header
  const names = { fromRole: ourRole, from: ourId, toRole: registrationSystem, to: source }
  const octets =
    fuel === 'electricity'
      ? writeElectricityResponse({ file, ...names, created, sequence }, answer, rejected)
      : writeGasResponse({ from: ourOrganisation, created, sequence }, answer, rejected)
  await pipeline(octets, createWriteStream(path, { mode: 0o600 }))
}
