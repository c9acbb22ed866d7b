/**
 * A fleet: simulated meters behind real listeners, in one process. A listener stands for a
 * concentrator with a few meters, told apart by the wrapper port of their logical device (1 and
 * up), or by their address on an HDLC line. Instead of listening they may dial in. Meters come into
 * being when first spoken to. Station 9, the meters' side.
 */
import type { Socket } from 'node:net'
import type { Meter } from '../meter.ts'
import type { FleetCounts } from './connection.ts'
import type { Fault } from './faults.ts'
import { fleetDevice, type FleetDevice } from './fleet-device.ts'
import { FleetListeners, FleetSockets } from './fleet-listeners.ts'
import { FleetMeters } from './fleet-meters.ts'
import { fleetPlanOf, inRange, type FleetOptions } from './fleet-plan.ts'
import {
  dialIn,
  pushBytes,
  sendPush,
  type Announcement,
  type PushFraming,
  type PushKind,
  type PushTarget,
} from './outgoing.ts'

export type { FleetDevice } from './fleet-device.ts'
export type { FleetOptions } from './fleet-plan.ts'

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
  /**
   * Replaces the faults of one meter or of the whole fleet; undefined clears them. Meters with
   * faults of their own have only those.
   */
  setFault(meters: number | 'all', fault: Fault | readonly Fault[] | undefined): void
  /**
   * Another client uses `count` counters of meter number `index`; a meter without keys has none.
   */
  advanceCounter(index: number, count: number): void
  /**
   * Meter number `index` sends a notification to `target`; settles when it has closed its
   * connection.
   */
  push(index: number, target: PushTarget, kind?: PushKind, framing?: PushFraming): Promise<void>
  /**
   * Meter number `index` connects to `target`, says who it is, and answers there until the
   * connection closes.
   */
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
  const plan = fleetPlanOf(options)
  const { meterCount, listenerCount, host, clock, log } = plan
  const sockets = new FleetSockets()
  const { track } = sockets
  const meters = new FleetMeters(plan, track)
  const listeners = new FleetListeners(plan, meters, sockets)
  const { ports } = listeners
  // In one turn: nobody connects between the two.
  const close = async (): Promise<void> => {
    meters.close()
    sockets.cut()
    await listeners.close()
  }
  try {
    await listeners.open()
  } catch (error) {
    await close()
    throw error
  }
  const [firstPort, lastPort] = [ports[0], ports.at(-1)]
  log.info(
    { meters: meterCount, listeners: listenerCount, host, firstPort, lastPort },
    'simulated meters listen',
  )
  const device = (index: number): FleetDevice =>
    fleetDevice(plan, ports, inRange(index, meterCount))
  return {
    ...{ host, meterCount, ports, device, close },
    counts: meters.counts,
    meter: (index) => meters.meter(index),
    *devices() {
      for (let index = 0; index < meterCount; index++) yield device(index)
    },
    setFault(which, fault) {
      meters.board.set(
        which === 'all' ? which : inRange(which, meterCount),
        fault === undefined ? [] : 'kind' in fault ? [fault] : fault,
      )
    },
    advanceCounter(index, count) {
      meters.meter(inRange(index, meterCount)).security?.advance(count)
    },
    push: (index, target, kind, framing) =>
      sendPush(target, pushBytes(meters.meter(index), kind, framing), { clock, track }),
    dialIn(index, target, announcement) {
      const concentrator = meters.concentratorOf(index, 1)
      const socket = dialIn(target, meters.meter(index), concentrator, announcement)
      track(socket)
      return socket
    },
    cutConnections: () => sockets.cut(),
  }
}
