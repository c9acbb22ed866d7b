/**
 * The device record of a simulated meter, as a broker needs it to reach the meter: address,
 * security, profile, keys.
 */
import type { DeviceRecord } from '../../../core/inventory/device-record.ts'
import { utcZone } from '../../../core/dlms/axdr/local-time.ts'
import { authenticatedEncrypted, Mechanism } from '../../../core/dlms/security/index.ts'
import type { DeviceAddress } from '../../../core/ports/wan.ts'
import { managementClient, publicClient } from '../model/access-link.ts'
import { clientKeyOctets, simulatedClientTitle, type KeyOctets } from '../model/meter-keys.ts'
import {
  mechanismOf,
  meterEui64,
  meterSeed,
  proofSecretOf,
  secretOf,
  suiteOf,
  typeOf,
  writeMeterEui64,
  zoneNameOf,
  type Population,
} from '../model/population.ts'
import { standardOffsetOf } from '../quirks/odd-values.ts'
import { quirkShareOf, quirksOf, type QuirkShare } from '../quirks/quirks.ts'
import type { FleetPlan } from './fleet-plan.ts'
import { hdlcDeviceOf } from './framing.ts'
import { nameOf } from './outgoing.ts'

/** `keys` of a meter under a security suite. */
export type FleetDevice = { eui64: string; record: DeviceRecord; keys?: KeyOctets }

/** Device number `number` of a fleet whose listeners have the ports `ports`. */
export function fleetDevice(
  plan: FleetPlan,
  ports: readonly number[],
  number: number,
): FleetDevice {
  const { population, quirks, transport } = plan
  const own = meterSeed(population, number)
  const secret = secretOf(population, own)
  const suite = suiteOf(population, own)
  const odd = quirkShareOf(quirks, number)?.record
  const mechanism = mechanismOf(population, number, suite)
  const proofSecret = suite === undefined ? undefined : proofSecretOf(mechanism, own)
  const isOpen = secret === undefined && suite === undefined
  const address: DeviceAddress = {
    ...placeOf(plan, ports, number),
    client: isOpen ? publicClient : managementClient,
    ...((secret ?? proofSecret) && { secret: secret ?? proofSecret }),
    ...(transport !== 'tcp' && { transport }),
    ...(suite !== undefined && {
      security: securityOf(suite, number, mechanism, odd?.protection),
    }),
    ...addressPartOf(odd, suite === undefined ? undefined : mechanism),
  }
  return {
    eui64: meterEui64(number),
    record: {
      type: typeOf(population, number),
      address,
      ...(odd?.isLocal === true && { timeZone: recordZoneOf(population, number) }),
    },
    ...(suite !== undefined && { keys: clientKeyOctets(population.seed, own, suite) }),
  }
}

function placeOf(
  { transport, host, metersPerListener }: FleetPlan,
  ports: readonly number[],
  number: number,
): Pick<DeviceAddress, 'host' | 'port' | 'logicalDevice'> {
  if (transport === 'dial-in')
    return { host: nameOf({ number }), port: dialInPort, logicalDevice: 1 }
  const place = number % metersPerListener
  return {
    host,
    port: ports[Math.floor(number / metersPerListener)]!,
    logicalDevice: transport === 'hdlc' ? hdlcDeviceOf(place) : 1 + place,
  }
}

/** The port in the record of a device that dials in: it has none. */
const dialInPort = 4059

/** The zone of a meter that sends no deviation: our meters keep UTC. */
function recordZoneOf(population: Population, number: number): string {
  const { localTime } = quirksOf(population.quirkShares, number)
  const name = zoneNameOf(population)
  if (localTime === undefined) return utcZone.name
  return localTime === 'standard' ? standardOffsetOf(name) : name
}

/** What the address of a meter with quirks, or with a maker's own mechanism, has beside. */
function addressPartOf(
  odd: QuirkShare['record'] | undefined,
  mechanism: Mechanism | undefined,
): Pick<DeviceAddress, 'profile' | 'counter'> {
  const profiles = [odd?.profile, mechanism === Mechanism.HIGH && 'block-cipher-proof'].filter(
    (name) => typeof name === 'string',
  )
  return {
    ...(profiles.length > 0 && { profile: profiles.join('+') }),
    ...(odd?.counter && { counter: odd.counter }),
  }
}

function securityOf(
  suite: 0 | 1 | 2,
  number: number,
  mechanism: Mechanism,
  protection: number = authenticatedEncrypted,
): NonNullable<DeviceAddress['security']> {
  const deviceTitle = Buffer.alloc(8)
  writeMeterEui64(number, deviceTitle)
  return {
    suite,
    mechanism,
    protection,
    clientTitle: simulatedClientTitle,
    deviceTitle,
  }
}
