/**
 * Response files: which records of a registration file were rejected and why, then how many were
 * received, accepted and rejected. One response for each file, written as a stream.
 *
 * @source core/docs/operating/registration-files.md; the groups are those of D0351 and D0172
 */
import { electricityFlows } from './electricity-file.ts'
import type { FileHeader } from './file-form.ts'
import {
  bare,
  electricityLine,
  gasLine,
  writeElectricity,
  writeGas,
  type ElectricityAddress,
  type GasAddress,
} from './file-writer.ts'
import { gasFileTypes } from './gas-file.ts'
import { recordFault, type RecordFault } from './rejection-reasons.ts'

export type Faults = AsyncIterable<RecordFault> | Iterable<RecordFault>

/** What the response says beside the faults. */
export type Answer = {
  readonly answered: Pick<FileHeader, 'file' | 'sequence'>
  /** The MPAS working day on which the file was received, YYYYMMDD. */
  readonly received: number
  /** Records of the file; called after the last fault was written. */
  readonly recordsOf: () => number
}

/** Instruction types of our groups, J0723. */
const rejectedType = 'RGRJ'
const totalsType = 'RGTO'

/**
 * The one fault of a file that was rejected as a whole. It stands for no record: its instruction is
 * 0, and the response counts no record as received.
 */
export function fileFault(line: number, reason: string): RecordFault {
  const place = { instruction: 0, line, number: undefined }
  return { ...recordFault('structure', place), reason }
}

/** Response to an electricity file: groups 83H and R80, then 84H, 85H and R86, then 749 and 357. */
export function writeElectricityResponse(
  address: ElectricityAddress,
  answer: Answer,
  faults: Faults,
): AsyncGenerator<Buffer> {
  return writeElectricity(
    electricityFlows.response,
    address,
    electricityLines(address.sequence, answer, faults),
  )
}

async function* electricityLines(
  sequence: number,
  answer: Answer,
  faults: Faults,
): AsyncGenerator<string> {
  const { answered, received, recordsOf } = answer
  let number = 0
  let rejected = 0
  yield electricityLine('83H', sequence)
  yield electricityLine('R80', answered.file, answered.sequence)
  for await (const fault of faults) {
    const point = fault.number ?? ''
    const incoming = fault.instruction
    if (fault.code !== structureCode) rejected++
    yield electricityLine('84H', ++number, rejectedType, incoming, point, received, '', '', '')
    yield electricityLine('85H', fault.code)
    yield electricityLine('R86', fault.line, fault.reason)
  }
  const records = recordsOf()
  yield electricityLine('749', sequence)
  const totals = [records, records - rejected, rejected]
  yield electricityLine('357', ++number, totalsType, received, answered.file, ...totals)
}

const structureCode = fileFault(0, '').code

/** Response to a gas file: records R50 for rejections, then one R51 with the totals. */
export function writeGasResponse(
  address: GasAddress,
  answer: Answer,
  faults: Faults,
): AsyncGenerator<Buffer> {
  return writeGas(gasFileTypes.response, address, gasLines(answer, faults))
}

async function* gasLines(answer: Answer, faults: Faults): AsyncGenerator<string> {
  const { answered, received, recordsOf } = answer
  let rejected = 0
  for await (const { instruction, line, code, reason, number } of faults) {
    if (code !== structureCode) rejected++
    yield gasLine('R50', instruction, number && bare(number), code, line, reason)
  }
  const records = recordsOf()
  const totals = [records, records - rejected, rejected]
  yield gasLine('R51', answered.file, answered.sequence, received, ...totals)
}
