/**
 * What a fleet consists of: its options with all defaults applied, checked. It opens nothing.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { timeZoneOf, timeZoneWords } from '../../../core/catalogue/time-zone.ts'
import { Mechanism } from '../../../core/dlms/security/index.ts'
import { systemClock, type Clock } from '../../../core/ports/clock.ts'
import { silentLog, type Log } from '../../../core/ports/log.ts'
import type { Transport } from '../../../core/ports/wan.ts'
import { isOfSuite, simulatedMechanism, zoneNameOf, type Population } from '../model/population.ts'
import type { QuirkShare } from '../quirks/quirks.ts'
import type { Fault } from './faults.ts'
import { hdlcMetersMax } from './framing.ts'

export const fleetLimits = {
  /** More than any process here was tried with. */
  metersMax: 200_000,
  /**
   * Wrapper ports of logical devices are 16 bits; above 16 bits' half there may be reserved ones.
   */
  metersPerListenerMax: 10_000,
  /**
   * Each listener is a file descriptor, and so is each connection to it: this leaves room under a
   * limit of 20,000.
   */
  listenersMax: 8_000,
  connectionsPerListenerMax: 64,
  /** Listeners opened at one time. */
  listensMax: 64,
} as const

export type FleetOptions = {
  /** How many. */
  meters: number
  seed: number
  /** Default 20; 1 gives every meter a listener of its own. */
  metersPerListener?: number
  /** Default 127.0.0.1. */
  host?: string
  /**
   * Listeners take this port and those after it, so a fleet comes back where it was; below 32,768
   * no client's own port gets in the way. Without it the system chooses.
   */
  basePort?: number
  /** In [0, 1]; defaults 0.2, 0.05, 0.3, 0.25. See Population. */
  gasShare?: number
  gasProxyShare?: number
  solarShare?: number
  secretShare?: number
  /** Of meters under security suites 0, 1 and 2; default none. */
  securityShares?: readonly [number, number, number]
  /**
   * How clients prove themselves to meters under a suite, spread evenly: 2 to 7; GMAC (5) alone
   * when left out.
   */
  mechanisms?: readonly Mechanism[]
  /** IANA name of the zone of meters that send local times; Europe/Berlin when left out. */
  timeZone?: string
  /** How meters of other makers differ, and the share of the fleet that does. */
  quirks?: readonly QuirkShare[]
  /** Default `tcp`. Meters that dial in do so when `dialIn` says it, and need no listener. */
  transport?: Transport
  /** Faults of the whole fleet from the start. */
  faults?: readonly Fault[]
  clock?: Clock
  log?: Log
}

/** Options with defaults applied. */
export type FleetPlan = {
  readonly meterCount: number
  readonly metersPerListener: number
  /** None for meters that dial in. */
  readonly listenerCount: number
  readonly host: string
  readonly basePort: number | undefined
  readonly transport: Transport
  readonly population: Population
  readonly quirks: readonly QuirkShare[]
  readonly faults: readonly Fault[]
  readonly clock: Clock
  readonly log: Log
}

/** @throws BrokerError CONFIG_INVALID, with everything that is wrong */
export function fleetPlanOf(options: FleetOptions): FleetPlan {
  const { meters: meterCount, metersPerListener = 20, transport = 'tcp', quirks = [] } = options
  const { host = '127.0.0.1', basePort, faults = [] } = options
  const { clock = systemClock, log = silentLog } = options
  const plan: FleetPlan = {
    meterCount,
    metersPerListener,
    listenerCount: transport === 'dial-in' ? 0 : Math.ceil(meterCount / metersPerListener),
    ...{ host, basePort, transport, quirks, faults, clock, log },
    population: populationOf(options, quirks),
  }
  check(plan)
  return plan
}

function populationOf(options: FleetOptions, quirkShares: readonly QuirkShare[]): Population {
  const { seed, gasShare = 0.2, gasProxyShare = 0.05, solarShare = 0.3 } = options
  const { secretShare = 0.25, securityShares = [0, 0, 0], timeZone } = options
  const { mechanisms = [simulatedMechanism] } = options
  return {
    seed,
    ...{ gasShare, gasProxyShare, solarShare, secretShare, securityShares },
    quirkShares,
    mechanisms,
    ...(timeZone !== undefined && { timeZone }),
  }
}

/** @throws BrokerError CONFIG_INVALID */
export function inRange(index: number, meterCount: number): number {
  if (Number.isInteger(index) && index >= 0 && index < meterCount) return index
  throw new BrokerError('CONFIG_INVALID', `meter ${index} of a fleet of ${meterCount}`)
}

function check(plan: FleetPlan): void {
  const { meterCount, metersPerListener, listenerCount, basePort, population, transport } = plan
  const wrong: string[] = []
  const whole = (name: string, value: number, min: number, max: number): void => {
    if (!Number.isInteger(value) || value < min || value > max)
      wrong.push(`${name} is ${value}, not a whole number from ${min} to ${max}`)
  }
  whole('meters', meterCount, 1, fleetLimits.metersMax)
  whole('metersPerListener', metersPerListener, 1, fleetLimits.metersPerListenerMax)
  whole('seed', population.seed, -0x8000_0000, 0xffff_ffff)
  if (listenerCount > fleetLimits.listenersMax) {
    wrong.push(
      `${listenerCount} listeners are more than ${fleetLimits.listenersMax}: put more meters on each`,
    )
  }
  if (basePort !== undefined)
    whole('basePort', basePort, 1, 65_536 - Math.max(1, Math.min(listenerCount, 65_535)))
  if (transport === 'hdlc' && metersPerListener > hdlcMetersMax)
    wrong.push(`metersPerListener is above the ${hdlcMetersMax} of an HDLC line`)
  const { gasShare, gasProxyShare, solarShare, secretShare, securityShares = [] } = population
  const shares = { gasShare, gasProxyShare, solarShare, secretShare }
  const bySuite = securityShares.map((share, suite) => [`securityShares[${suite}]`, share] as const)
  for (const [name, share] of [...Object.entries(shares), ...bySuite])
    if (!(share >= 0 && share <= 1)) wrong.push(`${name} is ${share}, not from 0 to 1`)
  if (securityShares.reduce((sum, share) => sum + share, 0) > 1)
    wrong.push('securityShares make more than 1')
  if (gasShare + gasProxyShare > 1) wrong.push('gasShare and gasProxyShare make more than 1')
  wrong.push(...faultsOf(population))
  if (wrong.length > 0) throw new BrokerError('CONFIG_INVALID', wrong.join('; '))
}

/** What is wrong with mechanisms and the zone. */
function faultsOf(population: Population): string[] {
  const { mechanisms = [], securityShares = [0, 0, 0] } = population
  const wrong: string[] = []
  if (mechanisms.some((one) => !(one >= Mechanism.HIGH && one <= Mechanism.HIGH_ECDSA)))
    wrong.push(`mechanisms are ${mechanisms.join(',')}, not numbers from 2 to 7`)
  for (const suite of [0, 1, 2] as const)
    if (securityShares[suite]! > 0 && !mechanisms.some((one) => isOfSuite(one, suite)))
      wrong.push(`meters of suite ${suite} can have none of the mechanisms ${mechanisms.join(',')}`)
  if (timeZoneOf(zoneNameOf(population)) === undefined)
    wrong.push(`timeZone is ${zoneNameOf(population)}, not ${timeZoneWords}`)
  return wrong
}
