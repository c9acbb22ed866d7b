/**
 * How one meter deviates, as a person says it on the command line: the same fields as in a device
 * record, checked by the same rules.
 */
import { existsSync, readFileSync } from 'node:fs'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { readModel } from '../../../core/catalogue/device-model.ts'
import { deviceProfileOf } from '../../../core/inventory/device-profiles.ts'
import { deviceTimeOf, type DeviceTime } from '../../../core/catalogue/device-time.ts'
import { timeZoneOf, timeZoneWords } from '../../../core/catalogue/time-zone.ts'
import type { DeviceAddress, DeviceModel } from '../../../core/ports/wan.ts'
import type { MeterOptions } from './option-texts.ts'

const options: readonly [field: string, option: string][] = [
  ['address.counter.obis', '--counter-object'],
  ['address.counter.client', '--counter-client'],
  ['address.counter.initial', '--counter'],
  ['address.conformance', '--conformance'],
  ['address.shortNames', '--short-names'],
  ['address.modeE.deviceAddress', '--mode-e'],
  ['address.modeE.baudMax', '--mode-e-baud-max'],
  ['address.modeE', '--mode-e'],
]

const invalid = (detail: string): BrokerError => new BrokerError('CONFIG_INVALID', detail)
const numberIn = (text: string): number => (/^\d{1,10}$/.test(text) ? Number(text) : Number.NaN)

/**
 * What the command line says, over what the inventory says of the same field. @throws BrokerError
 * CONFIG_INVALID
 */
export function modelIn(given: MeterOptions, known: DeviceAddress | undefined): DeviceModel {
  const { counter, counterObject, counterClient, conformance, shortNames, modeE, modeEBaudMax } =
    given
  const hasCounter = [counter, counterObject, counterClient].some((text) => text !== undefined)
  const hasModeE = modeE !== undefined || modeEBaudMax !== undefined
  const raw = {
    ...(hasCounter && {
      counter: {
        ...known?.counter,
        ...(counterObject !== undefined && { obis: counterObject }),
        ...(counterClient !== undefined && { client: numberIn(counterClient) }),
        ...(counter !== undefined && { initial: numberIn(counter) }),
      },
    }),
    ...(conformance !== undefined && { conformance }),
    ...(shortNames !== undefined && { shortNames: namesIn(shortNames) }),
    ...(hasModeE && {
      // The transport is checked where all of the address is known.
      transport: 'hdlc',
      modeE: {
        ...known?.modeE,
        ...(typeof modeE === 'string' && { deviceAddress: modeE }),
        ...(modeEBaudMax !== undefined && { baudMax: numberIn(modeEBaudMax) }),
      },
    }),
  }
  const faults: string[] = []
  const model = readModel(raw, { faults, isAny: false })
  if (faults.length > 0) throw invalid(faults.map(inOptions).join('; '))
  return model
}

/** A fault of a record in the words of the command line. */
function inOptions(fault: string): string {
  const [field, option] = options.find(([field]) => fault.startsWith(field)) ?? ['', '']
  return option + fault.slice(field.length)
}

/** JSON, or a file with JSON. */
function namesIn(given: string): unknown {
  try {
    return JSON.parse(existsSync(given) ? readFileSync(given, 'utf8') : given) as unknown
  } catch {
    throw invalid(`--short-names must be JSON, or a file with JSON: {"1-0:1.8.0.255": 11000}`)
  }
}

/** How the meter's clock is understood. @throws BrokerError CONFIG_INVALID */
export function timeIn(
  { timeZone: given }: MeterOptions,
  address: DeviceAddress,
  known: string | undefined,
): DeviceTime {
  if (given !== undefined && timeZoneOf(given) === undefined)
    throw invalid(`--time-zone must be ${timeZoneWords}, not ${given}`)
  const timeZone = given ?? known
  const time = deviceTimeOf({ address, ...(timeZone !== undefined && { timeZone }) })
  if (deviceProfileOf(address.profile)?.sentTimes === 'local' && time.zone === undefined)
    throw invalid(`--profile ${address.profile} needs --time-zone, in which times are sent`)
  return time
}
