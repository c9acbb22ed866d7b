/**
 * The meters of a fleet, made when they are first asked for, and the concentrators that they are
 * reached through.
 */
import type { Socket } from 'node:net'
import { systemRandom } from '../../../core/ports/random.ts'
import { Meter } from '../meter.ts'
import type { MeterModel } from '../model/meter-state.ts'
import type { Concentrator, FleetCounts } from './connection.ts'
import { FaultBoard } from './faults.ts'
import { inRange, type FleetPlan } from './fleet-plan.ts'
import { hdlcPlaceOf, hdlcSapOf } from './framing.ts'
import { sendNotification } from './outgoing.ts'

export class FleetMeters {
  readonly counts: FleetCounts = {
    connections: 0,
    requests: 0,
    answers: 0,
    discarded: 0,
    faults: 0,
    malformed: 0,
    refused: 0,
  }
  readonly board: FaultBoard
  private readonly plan: FleetPlan
  private readonly model: MeterModel
  private readonly meters: Array<Meter | undefined>
  private isClosed = false

  /** @param track  takes each connection that a meter opens by itself */
  constructor(plan: FleetPlan, track: (socket: Socket) => void) {
    const { population, clock, meterCount, faults } = plan
    this.plan = plan
    this.meters = Array.from({ length: meterCount })
    this.board = new FaultBoard(population.seed)
    this.board.set('all', faults)
    this.model = {
      population,
      clock,
      meterOf: (number) =>
        number < meterCount ? this.meter(number) : new Meter(this.model, number),
      send: async (sender, destination) => {
        try {
          await sendNotification(sender, destination, { clock, track })
        } catch (error) {
          // Nobody tries again when the fleet is closed.
          if (!this.isClosed) throw error
        }
      },
    }
  }

  /** @throws BrokerError CONFIG_INVALID for an index that the fleet does not have */
  meter(index: number): Meter {
    return (this.meters[index] ??= new Meter(this.model, inRange(index, this.plan.meterCount)))
  }

  /** `count` meters, the first of them number `first`. */
  concentratorOf(first: number, count: number): Concentrator {
    const isHdlc = this.plan.transport === 'hdlc'
    const { counts } = this
    return {
      clock: this.plan.clock,
      faults: this.board,
      counts,
      random: systemRandom,
      onRefused: () => void counts.refused++,
      ...(isHdlc
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
        const place = isHdlc ? hdlcPlaceOf(logicalDevice) : logicalDevice
        return place >= 1 && place <= count ? this.meter(first + place - 1) : undefined
      },
    }
  }

  /** Meters do nothing more by themselves. */
  close(): void {
    this.isClosed = true
    for (const each of this.meters) each?.callOffPlans()
  }
}
