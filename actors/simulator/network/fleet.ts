/**
 * A fleet: simulated meters behind real listeners, in one process. A listener stands for a concentrator with a few meters, told apart by
 * the wrapper port of their logical device (1 and up), or by their address on an HDLC line. Instead of listening they may dial in. Meters come
 * into being when first spoken to. Station 9, the meters' side.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { formatHostPort } from '../../../core/base/host-port.ts'
import type { DeviceRecord } from '../../../core/inventory/device-record.ts'
import { systemClock, type Clock } from '../../../core/ports/clock.ts'
import { silentLog, type Log } from '../../../core/ports/log.ts'
import { systemRandom } from '../../../core/ports/random.ts'
import { timeZoneOf, timeZoneWords } from '../../../core/catalogue/time-zone.ts'
import { llcToClient, llcToServer } from '../../../core/dlms/framing/hdlc/transfer.ts'
import { utcZone } from '../../../core/dlms/axdr/local-time.ts'
import { authenticatedEncrypted, Mechanism } from '../../../core/dlms/security/index.ts'
import type { DeviceAddress, Transport } from '../../../core/ports/wan.ts'
import { serveConnection, type Concentrator, type FleetCounts } from './connection.ts'
import { listenForDatagrams, type DatagramServer } from './datagrams.ts'
import { FaultBoard, type Fault } from './faults.ts'
import {
  hdlcDeviceOf,
  HdlcFraming,
  hdlcMetersMax,
  hdlcPlaceOf,
  hdlcSapOf,
  type MeterFraming,
} from './framing.ts'
import { clientKeyOctets, simulatedClientTitle, type KeyOctets } from '../model/meter-keys.ts'
import { Meter } from '../meter.ts'
import type { MeterModel } from '../model/meter-state.ts'
import {
  dialIn,
  nameOf,
  pushBytes,
  sendNotification,
  sendPush,
  type Announcement,
  type PushFraming,
  type PushKind,
  type PushTarget,
} from './outgoing.ts'
import {
  isOfSuite,
  mechanismOf,
  meterEui64,
  meterSeed,
  proofSecretOf,
  secretOf,
  simulatedMechanism,
  suiteOf,
  typeOf,
  writeMeterEui64,
  zoneNameOf,
  type Population,
} from '../model/population.ts'
import { managementClient, publicClient } from '../model/access-link.ts'
import { ModeEFraming } from './mode-e-framing.ts'
import { standardOffsetOf } from '../quirks/odd-values.ts'
import { quirkShareOf, quirksOf, type Quirks, type QuirkShare } from '../quirks/quirks.ts'

export const fleetLimits = {
  /** More than any process here was tried with. */
  metersMax: 200_000,
  /** Wrapper ports of logical devices are 16 bits; above 16 bits' half there may be reserved ones. */
  metersPerListenerMax: 10_000,
  /** Each listener is a file descriptor, and so is each connection to it: this leaves room under a limit of 20,000. */
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
  /** Listeners take this port and those after it, so a fleet comes back where it was; below 32,768 no client's own port gets
   * in the way. Without it the system chooses. */
  basePort?: number
  /** In [0, 1]; defaults 0.2, 0.05, 0.3, 0.25. See Population. */
  gasShare?: number
  gasProxyShare?: number
  solarShare?: number
  secretShare?: number
  /** Of meters under security suites 0, 1 and 2; default none. */
  securityShares?: readonly [number, number, number]
  /** How clients prove themselves to meters under a suite, spread evenly: 2 to 7; GMAC (5) alone when left out. */
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

/** `keys` of a meter under a security suite. */
export type FleetDevice = { eui64: string; record: DeviceRecord; keys?: KeyOctets }

export interface Fleet {
  readonly host: string
  readonly meterCount: number
  readonly ports: readonly number[]
  readonly counts: Readonly<FleetCounts>
  /** All meters in the order of their numbers, made as they are asked for. */
  devices(): IterableIterator<FleetDevice>
  /** Number `index`, from 0 on. */
  device(index: number): FleetDevice
  meter(index: number): Meter
  /** Replaces the faults of one meter or of the whole fleet; undefined clears them. Meters with faults of their own have only those. */
  setFault(meters: number | 'all', fault: Fault | readonly Fault[] | undefined): void
  /** Another client uses `count` counters of meter number `index`; a meter without keys has none. */
  advanceCounter(index: number, count: number): void
  /** Meter number `index` sends a notification to `target`; settles when it has closed its connection. */
  push(index: number, target: PushTarget, kind?: PushKind, framing?: PushFraming): Promise<void>
  /** Meter number `index` connects to `target`, says who it is, and answers there until the connection closes. */
  dialIn(index: number, target: PushTarget, announcement?: Announcement): Socket
  /** Cuts all connections, as a failing WAN does; listeners stay. */
  cutConnections(): void
  /** Stops listening and cuts what is connected. */
  close(): Promise<void>
}

/**
 * Settles when every listener listens.
 * @throws BrokerError CONFIG_INVALID, SIMULATOR_LISTEN_FAILED
 */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const {
    meters: meterCount,
    seed,
    metersPerListener = 20,
    host = '127.0.0.1',
    basePort,
    faults = [],
    quirks = [],
    mechanisms = [simulatedMechanism],
    timeZone,
  } = options
  const {
    gasShare = 0.2,
    gasProxyShare = 0.05,
    solarShare = 0.3,
    secretShare = 0.25,
    securityShares = [0, 0, 0],
    transport = 'tcp',
    clock = systemClock,
    log = silentLog,
  } = options
  const population: Population = {
    seed,
    gasShare,
    gasProxyShare,
    solarShare,
    secretShare,
    securityShares,
    quirkShares: quirks,
    mechanisms,
    ...(timeZone !== undefined && { timeZone }),
  }
  const listenerCount = transport === 'dial-in' ? 0 : Math.ceil(meterCount / metersPerListener)
  check(meterCount, metersPerListener, listenerCount, basePort, population, transport)

  const sockets = new Set<Socket>()
  const track = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  }
  const outgoing = { clock, track }

  const meters: Array<Meter | undefined> = Array.from({ length: meterCount })
  let isClosed = false
  const model: MeterModel = {
    population,
    clock,
    meterOf: (number) => (number < meterCount ? meter(number) : new Meter(model, number)),
    async send(sender, destination) {
      try {
        await sendNotification(sender, destination, outgoing)
      } catch (error) {
        // Nobody tries again when the fleet is closed.
        if (!isClosed) throw error
      }
    },
  }
  const board = new FaultBoard(seed)
  board.set('all', faults)
  const counts: FleetCounts = {
    connections: 0,
    requests: 0,
    answers: 0,
    discarded: 0,
    faults: 0,
    malformed: 0,
    refused: 0,
  }
  const servers: Array<Server | DatagramServer> = []
  const ports: number[] = []

  const meter = (index: number): Meter =>
    (meters[index] ??= new Meter(model, inRange(index, meterCount)))

  /** `count` meters, the first of them number `first`. */
  const concentratorOf = (first: number, count: number): Concentrator => ({
    clock,
    faults: board,
    counts,
    random: systemRandom,
    onRefused: () => void counts.refused++,
    ...(transport === 'hdlc'
      ? {
          sapOf: hdlcSapOf,
          placesOf: (address) => [
            { device: hdlcSapOf(address), number: first + hdlcPlaceOf(address) - 1 },
          ],
        }
      : {
          placesOf: () =>
            Array.from({ length: count }, (_, place) => ({
              device: 1 + place,
              number: first + place,
            })),
        }),
    meterAt: (logicalDevice) => {
      const place = transport === 'hdlc' ? hdlcPlaceOf(logicalDevice) : logicalDevice
      return place >= 1 && place <= count ? meter(first + place - 1) : undefined
    },
  })

  const hdlcFramingOf = (first: number, count: number): MeterFraming => {
    const framing = new HdlcFraming(
      count,
      () => clock.now(),
      (place) => llcOf(quirksOf(quirks, first + place - 1)),
    )
    return quirksOf(quirks, first).hasModeE === true ? new ModeEFraming(framing) : framing
  }

  const listenAt = async (index: number, port: number): Promise<number> => {
    const first = index * metersPerListener
    const count = Math.min(metersPerListener, meterCount - first)
    const concentrator = concentratorOf(first, count)
    if (transport === 'udp') {
      const server = await listenForDatagrams(host, port, concentrator)
      servers.push(server)
      return server.port
    }
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      track(socket)
      serveConnection(
        socket,
        concentrator,
        transport === 'hdlc' ? hdlcFramingOf(first, count) : undefined,
      )
    })
    server.maxConnections = fleetLimits.connectionsPerListenerMax
    servers.push(server)
    return listen(server, host, port)
  }

  // In one turn: nobody connects between the two, and each listener's close waits for its connections' ends.
  const close = async (): Promise<void> => {
    isClosed = true
    for (const each of meters) each?.callOffPlans()
    for (const socket of sockets) socket.destroy()
    await Promise.all(
      servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    )
  }

  try {
    for (let first = 0; first < listenerCount; first += fleetLimits.listensMax) {
      const batch = Array.from(
        { length: Math.min(fleetLimits.listensMax, listenerCount - first) },
        async (_, i) => {
          const at = first + i
          ports[at] = await listenAt(at, basePort === undefined ? 0 : basePort + at)
        },
      )
      // All of them have settled when one has failed, so that closing misses none.
      const failed = (await Promise.allSettled(batch)).find(({ status }) => status === 'rejected')
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
    }
  } catch (error) {
    await close()
    throw error
  }
  log.info(
    {
      meters: meterCount,
      listeners: listenerCount,
      host,
      firstPort: ports[0],
      lastPort: ports.at(-1),
    },
    'simulated meters listen',
  )

  const device = (index: number): FleetDevice => {
    const number = inRange(index, meterCount)
    const own = meterSeed(population, number)
    const secret = secretOf(population, own)
    const suite = suiteOf(population, own)
    const odd = quirkShareOf(quirks, number)?.record
    const mechanism = mechanismOf(population, number, suite)
    const proofSecret = suite === undefined ? undefined : proofSecretOf(mechanism, own)
    const isOpen = secret === undefined && suite === undefined
    const place = number % metersPerListener
    const address: DeviceAddress = {
      host: transport === 'dial-in' ? nameOf({ number }) : host,
      port: ports[Math.floor(number / metersPerListener)] ?? dialInPort,
      logicalDevice:
        transport === 'hdlc' ? hdlcDeviceOf(place) : transport === 'dial-in' ? 1 : 1 + place,
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
      ...(suite !== undefined && { keys: clientKeyOctets(seed, own, suite) }),
    }
  }

  return {
    host,
    meterCount,
    ports,
    counts,
    meter,
    device,
    *devices() {
      for (let index = 0; index < meterCount; index++) yield device(index)
    },
    setFault(which, fault) {
      board.set(
        which === 'all' ? which : inRange(which, meterCount),
        fault === undefined ? [] : 'kind' in fault ? [fault] : fault,
      )
    },
    advanceCounter(index, count) {
      meter(inRange(index, meterCount)).security?.advance(count)
    },
    push: (index, target, kind, framing) =>
      sendPush(target, pushBytes(meter(index), kind, framing), outgoing),
    dialIn(index, target, announcement) {
      const socket = dialIn(target, meter(index), concentratorOf(index, 1), announcement)
      track(socket)
      return socket
    },
    cutConnections() {
      for (const socket of sockets) socket.destroy()
    },
    close,
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

const noOctets = Buffer.alloc(0)
const llcOf = ({ llc }: Quirks): Buffer =>
  llc === undefined ? llcToClient : llc === 'none' ? noOctets : llcToServer

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

function inRange(index: number, meterCount: number): number {
  if (Number.isInteger(index) && index >= 0 && index < meterCount) return index
  throw new BrokerError('CONFIG_INVALID', `meter ${index} of a fleet of ${meterCount}`)
}

function check(
  meterCount: number,
  metersPerListener: number,
  listenerCount: number,
  basePort: number | undefined,
  population: Population,
  transport: Transport,
): void {
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

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error & { code?: string }): void => {
      reject(
        new BrokerError(
          'SIMULATOR_LISTEN_FAILED',
          `${cause.code ?? cause.message} at ${formatHostPort(host, port)}`,
          { cause },
        ),
      )
    }
    server.once('error', fail)
    server.listen({ host, port }, () => {
      server.off('error', fail)
      // Running out of descriptors refuses one connection; it must not end the fleet.
      server.on('error', () => undefined)
      resolve((server.address() as AddressInfo).port)
    })
  })
}
