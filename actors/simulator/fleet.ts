/**
 * A fleet: simulated meters behind real TCP listeners, in one process. A listener stands for a concentrator with a few meters, told apart by
 * the wrapper port of their logical device (1 and up). Meters come into being when first spoken to. Station 9, the meters' side.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { DeviceRecord } from '../../core/catalogue/device-record.ts'
import { systemClock, type Clock } from '../../core/ports/clock.ts'
import { silentLog, type Log } from '../../core/ports/log.ts'
import { serveConnection, type Concentrator, type FleetCounts } from './connection.ts'
import { FaultBoard, type Fault } from './faults.ts'
import { Meter, type MeterModel } from './meter.ts'
import { meterEui64, meterSeed, secretOf, typeOf, type Population } from './population.ts'
import { managementClient, publicClient } from './public-objects.ts'

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
  /** Faults of the whole fleet from the start. */
  faults?: readonly Fault[]
  clock?: Clock
  log?: Log
}

export type FleetDevice = { eui64: string; record: DeviceRecord }

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
  } = options
  const {
    gasShare = 0.2,
    gasProxyShare = 0.05,
    solarShare = 0.3,
    secretShare = 0.25,
    clock = systemClock,
    log = silentLog,
  } = options
  const population: Population = { seed, gasShare, gasProxyShare, solarShare, secretShare }
  const listenerCount = Math.ceil(meterCount / metersPerListener)
  check(meterCount, metersPerListener, listenerCount, basePort, population)

  const model: MeterModel = { population, clock }
  const meters: Array<Meter | undefined> = Array.from({ length: meterCount })
  const board = new FaultBoard(seed)
  board.set('all', faults)
  const counts: FleetCounts = {
    connections: 0,
    requests: 0,
    answers: 0,
    discarded: 0,
    faults: 0,
    malformed: 0,
  }
  const sockets = new Set<Socket>()
  const servers: Server[] = []
  const ports: number[] = []

  const meter = (index: number): Meter =>
    (meters[index] ??= new Meter(model, inRange(index, meterCount)))

  const listenerAt = (index: number): Server => {
    const first = index * metersPerListener
    const count = Math.min(metersPerListener, meterCount - first)
    const concentrator: Concentrator = {
      clock,
      faults: board,
      counts,
      meterAt: (logicalDevice) =>
        logicalDevice >= 1 && logicalDevice <= count ? meter(first + logicalDevice - 1) : undefined,
    }
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      serveConnection(socket, concentrator)
    })
    server.maxConnections = fleetLimits.connectionsPerListenerMax
    return server
  }

  // In one turn: nobody connects between the two, and each listener's close waits for its connections' ends.
  const close = async (): Promise<void> => {
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
          const server = listenerAt(first + i)
          servers.push(server)
          ports[first + i] = await listen(
            server,
            host,
            basePort === undefined ? 0 : basePort + first + i,
          )
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
    const port = ports[Math.floor(number / metersPerListener)]!
    const client = secret === undefined ? publicClient : managementClient
    const logicalDevice = 1 + (number % metersPerListener)
    const address = { host, port, logicalDevice, client, ...(secret && { secret }) }
    return { eui64: meterEui64(number), record: { type: typeOf(population, number), address } }
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
    cutConnections() {
      for (const socket of sockets) socket.destroy()
    },
    close,
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
  for (const [name, share] of Object.entries(population)) {
    if (name !== 'seed' && !(share >= 0 && share <= 1))
      wrong.push(`${name} is ${share}, not from 0 to 1`)
  }
  if (population.gasShare + population.gasProxyShare > 1)
    wrong.push('gasShare and gasProxyShare make more than 1')
  if (wrong.length > 0) throw new BrokerError('CONFIG_INVALID', wrong.join('; '))
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const fail = (cause: Error & { code?: string }): void => {
      reject(
        new BrokerError(
          'SIMULATOR_LISTEN_FAILED',
          `${cause.code ?? cause.message} at ${host}:${port}`,
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
