/**
 * The listeners of a fleet, one for each concentrator, and the connections to and from its meters.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { formatHostPort } from '../../../core/base/host-port.ts'
import { llcToClient, llcToServer } from '../../../core/dlms/framing/hdlc/transfer.ts'
import { quirksOf, type Quirks } from '../quirks/quirks.ts'
import { serveConnection } from './connection.ts'
import { listenForDatagrams, type DatagramServer } from './datagrams.ts'
import type { FleetMeters } from './fleet-meters.ts'
import { fleetLimits, type FleetPlan } from './fleet-plan.ts'
import { HdlcFraming, type MeterFraming } from './framing.ts'
import { ModeEFraming } from './mode-e-framing.ts'

/** Open connections, opened by either side. */
export class FleetSockets {
  private readonly sockets = new Set<Socket>()

  readonly track = (socket: Socket): void => {
    this.sockets.add(socket)
    socket.on('close', () => this.sockets.delete(socket))
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy()
  }
}

export class FleetListeners {
  /** In the order of the concentrators. */
  readonly ports: number[] = []
  private readonly servers: Array<Server | DatagramServer> = []
  private readonly plan: FleetPlan
  private readonly meters: FleetMeters
  private readonly sockets: FleetSockets

  constructor(plan: FleetPlan, meters: FleetMeters, sockets: FleetSockets) {
    this.plan = plan
    this.meters = meters
    this.sockets = sockets
  }

  /** Settles when every listener listens. @throws BrokerError SIMULATOR_LISTEN_FAILED */
  async open(): Promise<void> {
    const { listenerCount, basePort } = this.plan
    for (let first = 0; first < listenerCount; first += fleetLimits.listensMax) {
      const batch = Array.from(
        { length: Math.min(fleetLimits.listensMax, listenerCount - first) },
        async (_, i) => {
          const at = first + i
          this.ports[at] = await this.listenAt(at, basePort === undefined ? 0 : basePort + at)
        },
      )
      // All of them have settled when one has failed, so that closing misses none.
      const failed = (await Promise.allSettled(batch)).find(({ status }) => status === 'rejected')
      if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
    }
  }

  private async listenAt(index: number, port: number): Promise<number> {
    const { metersPerListener, meterCount, transport, host } = this.plan
    const first = index * metersPerListener
    const count = Math.min(metersPerListener, meterCount - first)
    const concentrator = this.meters.concentratorOf(first, count)
    if (transport === 'udp') {
      const server = await listenForDatagrams(host, port, concentrator)
      this.servers.push(server)
      return server.port
    }
    const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      this.sockets.track(socket)
      serveConnection(
        socket,
        concentrator,
        transport === 'hdlc' ? this.hdlcFramingOf(first, count) : undefined,
      )
    })
    server.maxConnections = fleetLimits.connectionsPerListenerMax
    this.servers.push(server)
    return listen(server, host, port)
  }

  private hdlcFramingOf(first: number, count: number): MeterFraming {
    const { clock, quirks } = this.plan
    const framing = new HdlcFraming(
      count,
      () => clock.now(),
      (place) => llcOf(quirksOf(quirks, first + place - 1)),
    )
    return quirksOf(quirks, first).hasModeE === true ? new ModeEFraming(framing) : framing
  }

  /** Stops listening; each listener's close waits for its connections' ends. */
  async close(): Promise<void> {
    await Promise.all(
      this.servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    )
  }
}

const noOctets = Buffer.alloc(0)
const llcOf = ({ llc }: Quirks): Buffer =>
  llc === undefined ? llcToClient : llc === 'none' ? noOctets : llcToServer

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
