/**
 * Which objects the meters of each kind have: made when the first meter of the kind is, and then
 * the same for all of them.
 */
import type { Guard } from '../model/access-guard.ts'
import { associationObjectsOf, shortNameAssociation } from './association-objects.ts'
import { billingProfile } from './captured-profile.ts'
import { communicationObjects } from './communication-objects.ts'
import type { SimulatedObject } from './cosem-object.ts'
import { demandObjects } from './demand-objects.ts'
import { deviceObjects } from './device-objects.ts'
import { imageTransfer } from './image-objects.ts'
import { mbusObjects } from './mbus-objects.ts'
import { electricityRegisters, gasRegisters } from './measuring-objects.ts'
import { securityObjectsWith } from './security-objects.ts'
import { monitorObjects } from './monitor-objects.ts'
import { ObjectTable } from './object-table.ts'
import { paymentObjects } from './payment-objects.ts'
import type { MeterType } from '../model/population.ts'
import { electricityProfiles, gasProfiles } from './profile-objects.ts'
import { electricityPush, gasPush } from './push-objects.ts'
import { electricityScripts, scriptObjects } from './script-objects.ts'
import { supplySwitch } from './supply-objects.ts'
import { tariffObjects } from './tariff-objects.ts'

export type MeterKind = {
  readonly type: MeterType
  readonly guard: Guard
  readonly isPrepaid: boolean
  readonly hasGasMeter: boolean
  /** Of the counter that was received last; `nowhere` for none. */
  readonly counterObis: string
}

const ofEveryMeter: readonly SimulatedObject[] = [
  ...deviceObjects,
  supplySwitch,
  ...communicationObjects,
  ...scriptObjects,
]
const ofGas: readonly SimulatedObject[] = [...gasRegisters, ...gasProfiles, gasPush]
const ofElectricity: readonly SimulatedObject[] = [
  ...electricityRegisters,
  ...demandObjects,
  ...tariffObjects,
  ...electricityProfiles,
  billingProfile,
  ...monitorObjects,
  ...electricityScripts,
  electricityPush,
  imageTransfer,
]

function objectsOf({
  type,
  guard,
  isPrepaid,
  hasGasMeter,
  counterObis,
}: MeterKind): SimulatedObject[] {
  return [
    ...associationObjectsOf(guard),
    ...ofEveryMeter,
    ...(type === 'ESME' ? ofElectricity : ofGas),
    ...(isPrepaid ? paymentObjects : []),
    ...(hasGasMeter ? mbusObjects : []),
    ...(guard === 'suite' ? securityObjectsWith(counterObis) : []),
  ]
}

const tables = new Map<string, ObjectTable>()

export function tableOf(kind: MeterKind): ObjectTable {
  const { type, guard, isPrepaid, hasGasMeter, counterObis } = kind
  const name = `${type} ${guard} ${isPrepaid} ${hasGasMeter} ${counterObis}`
  let table = tables.get(name)
  if (table === undefined) {
    table = new ObjectTable(objectsOf(kind), shortNameAssociation)
    tables.set(name, table)
  }
  return table
}
