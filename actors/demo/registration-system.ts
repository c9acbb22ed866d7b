/**
 * The registration systems of the demonstration, one for electricity and one for gas: they give
 * each device its meter point, and write the registration files that name the suppliers. Files are
 * numbered from 1 in their folder, as the files of a source are.
 */
import { createWriteStream, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import {
  bare,
  electricityLine,
  gasLine,
  writeElectricity,
  writeGas,
} from '../../core/registration/file-writer.ts'
import { meterPointId, textOfMeterPoint } from '../../core/registration/meter-point.ts'
import { checkDigitOf } from '../../core/registration/mpan.ts'
import type { Fuel, MeterPoint } from '../../core/registration/registration-record.ts'
import type { DemoDevice } from './plan.ts'

/** Market participant ids of the demonstration. */
export const participants = {
  supplier: 'SUPA',
  gainingSupplier: 'SUPB',
  distributor: 'DIST',
  transporter: 'TRAN',
  meterOperator: 'MOPA',
} as const

/** First day of every registration, YYYYMMDD. */
const firstDay = 2020_01_01
/** In the area of distributor 10, and numbers of ten digits. */
const firstMpan = { I: 10_0000_0000_00, E: 10_5000_0000_00 }
const firstMprn = 10_0000_0000
const transmitter = { electricity: 'DEMO', gas: '0000000001' }

/** Import of gas and electricity, or export of electricity. */
type Direction = 'I' | 'E'
export type DemoPoint = MeterPoint & { direction: Direction }
/** What one record of a file says: who supplies at a meter point, from which day on. */
export type Supply = { point: DemoPoint; suppliers: readonly Supplier[] }
type Supplier = { participant: string; from: number; to?: number }

/** The meter points of the device at `index` of the fleet: an electricity meter exports, too. */
export function meterPointsOf({ type }: DemoDevice, index: number): DemoPoint[] {
  if (type !== 'ESME') return [{ fuel: 'gas', number: String(firstMprn + index), direction: 'I' }]
  return (['I', 'E'] as const).map((direction) => {
    const twelve = String(firstMpan[direction] + index)
    return { fuel: 'electricity', number: `${twelve}${checkDigitOf(twelve)}`, direction }
  })
}

export const meterPointText = (point: MeterPoint): string => textOfMeterPoint(meterPointId(point))

export const suppliedByFirst = (point: DemoPoint): Supply => ({
  point,
  suppliers: [{ participant: participants.supplier, from: firstDay }],
})

/** From the day `day`, YYYYMMDD, on by the gaining supplier; `dayBefore` is the loser's last. */
export const changedAt = (point: DemoPoint, day: number, dayBefore: number): Supply => ({
  point,
  suppliers: [
    { participant: participants.supplier, from: firstDay, to: dayBefore },
    { participant: participants.gainingSupplier, from: day },
  ],
})

/** Writes the next file of the source of `fuel` into `folder`, and settles with its path. */
export async function writeRegistrationFile(
  folder: string,
  { fuel, kind }: { fuel: Fuel; kind: 'update' | 'refresh' },
  supplies: readonly Supply[],
  created: number,
): Promise<string> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const sequence = 1 + readdirSync(folder).filter((name) => name.startsWith(fuel)).length
  const path = join(folder, `${fuel}-${String(sequence).padStart(6, '0')}-${kind}.txt`)
  const octets =
    fuel === 'electricity'
      ? electricityFile(kind === 'update' ? 'R0001001' : 'R0002001', supplies, sequence, created)
      : gasFile(kind === 'update' ? 'RGU' : 'RGR', supplies, sequence, created)
  await pipeline(octets, createWriteStream(path, { mode: 0o600 }))
  return path
}

const endOf = ({ to }: Supplier): number | '' => to ?? ''

function electricityFile(
  flow: string,
  supplies: readonly Supply[],
  sequence: number,
  created: number,
): AsyncGenerator<Buffer> {
  const file = `E${sequence}`
  const from = transmitter.electricity
  const to = { toRole: 'Z', to: 'DCCX' }
  const records = supplies.flatMap(({ point, suppliers }, index) => [
    electricityLine('R10', index + 1, point.number, ''),
    ...suppliers.map((one) => electricityLine('R11', one.participant, one.from, endOf(one))),
    electricityLine('R12', participants.distributor, firstDay, ''),
    electricityLine('R15', participants.meterOperator, firstDay, ''),
    electricityLine('R17', point.direction, firstDay, ''),
  ])
  const address = { file, fromRole: 'P', from, ...to, created, sequence }
  return writeElectricity(flow, address, [electricityLine('R01', sequence), ...records])
}

function gasFile(
  type: string,
  supplies: readonly Supply[],
  sequence: number,
  created: number,
): AsyncGenerator<Buffer> {
  const records = supplies.flatMap(({ point, suppliers }) => [
    gasLine('R40', bare(point.number)),
    ...suppliers.map((one) => gasLine('R41', one.participant, one.from, one.to)),
    gasLine('R42', participants.transporter, firstDay, undefined),
    gasLine('R43', participants.meterOperator, firstDay, undefined),
  ])
  return writeGas(type, { from: transmitter.gas, created, sequence }, records)
}
