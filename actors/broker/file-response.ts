/** The response to the sender of a registration file: of one that was applied, or was rejected. */
import type { FileHeader } from '../../core/registration/file-form.ts'
import type { StructureFault } from '../../core/registration/file-reader.ts'
import type { Fuel } from '../../core/registration/registration-record.ts'
import {
  fileFault,
  writeElectricityResponse,
  writeGasResponse,
  type Faults,
} from '../../core/registration/response-file.ts'

/** As which Busbar answers: its role and id in electricity, its organisation in gas. */
export const ourRole = 'Z'
export const ourId = 'DCCX'
export const ourOrganisation = '1'
export const registrationSystem = 'P'

export type Answered = { fuel: Fuel; header: FileHeader; records: number }

/** The octets of the response file, created at `created`, UTC ms. */
export function responseOf(
  { fuel, header, records }: Answered,
  faults: Faults,
  created: number,
): AsyncGenerator<Buffer> {
  const received = Number(new Date(created).toISOString().slice(0, 10).replaceAll('-', ''))
  const answer = { answered: header, received, recordsOf: () => records }
  const { sequence, file, source } = header
  const names = { fromRole: ourRole, from: ourId, toRole: registrationSystem, to: source }
  return fuel === 'electricity'
    ? writeElectricityResponse({ file, ...names, created, sequence }, answer, faults)
    : writeGasResponse({ from: ourOrganisation, created, sequence }, answer, faults)
}

/** The response to a file with a fault of its structure; undefined when its header is not known. */
export async function refusalOf(
  { fuel, header, line, reason }: StructureFault,
  created: number,
): Promise<string | undefined> {
  if (header === undefined || fuel === undefined) return undefined
  let text = ''
  for await (const part of responseOf(
    { fuel, header, records: 0 },
    [fileFault(line, reason)],
    created,
  ))
    text += part.toString('latin1')
  return text
}
