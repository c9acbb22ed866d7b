/**
 * Status files: the DCC service flag of meter points, for the registration system of their fuel.
 * Electricity has the flow D0350, gas the file type DXI with records E46.
 */
import { electricityFlows } from './electricity-file.ts'
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
import type { ServiceFlag } from './service-flag.ts'

/** The flag of one meter point. */
export type StatusRow = {
  /** MPAN or MPRN. */
  readonly number: string
  readonly flag: ServiceFlag
  /** Day from which the flag has this value, YYYYMMDD. */
  readonly from: number
  /** Market participant id of the supplier that is registered at the point. */
  readonly supplier: string
}

export type StatusRows = AsyncIterable<StatusRow> | Iterable<StatusRow>

/** Instruction type, J0723, of group 82H. */
const flagType = 'FLAG'

/** A file in the flow D0350: group 81H, then one 82H for each meter point. */
export function writeElectricityStatus(
  address: ElectricityAddress,
  rows: StatusRows,
): AsyncGenerator<Buffer> {
  return writeElectricity(electricityFlows.status, address, electricityLines(address, rows))
}

async function* electricityLines(
  { sequence }: ElectricityAddress,
  rows: StatusRows,
): AsyncGenerator<string> {
  let instruction = 0
  yield electricityLine('81H', sequence)
  for await (const { number, flag, from, supplier } of rows)
    yield electricityLine('82H', ++instruction, flagType, number, flag, from, supplier)
}

/** A file of type DXI: one record E46 for each meter point. */
export function writeGasStatus(address: GasAddress, rows: StatusRows): AsyncGenerator<Buffer> {
  return writeGas(gasFileTypes.status, address, gasLines(rows))
}

async function* gasLines(rows: StatusRows): AsyncGenerator<string> {
  for await (const { number, flag, from } of rows) yield gasLine('E46', bare(number), flag, from)
}
