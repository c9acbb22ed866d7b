/**
 * What a load run asks for: requests to the devices in turn, with the service reference variants in
 * turn.
 */
import { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'

/**
 * How the load is offered: so many requests open at a time, or so many arrivals a second whatever
 * comes back.
 */
export type LoadShape =
  | { readonly kind: 'closed'; readonly inFlight: number }
  | { readonly kind: 'open'; readonly perSecond: number }

export class LoadPlan {
  private readonly party: string
  private readonly devices: readonly string[]
  private readonly variants: readonly string[]
  private readonly nextCounter: () => bigint
  private made = 0

  /**
   * @param party EUI-64 of the party that submits
   * @param devices EUI-64 of target devices, at least one
   * @param variants service reference variants that take no body, at least one
   * @param nextCounter gives RequestCounters that rise
   */
  constructor(
    party: string,
    devices: readonly string[],
    variants: readonly string[],
    nextCounter: () => bigint,
  ) {
    this.party = party
    this.devices = devices
    this.variants = variants
    this.nextCounter = nextCounter
  }

  next(): { counter: bigint; request: ServiceRequest } {
    const index = this.made++
    const counter = this.nextCounter()
    const round = Math.floor(index / this.devices.length)
    return {
      counter,
      request: ServiceRequest.create({
        requestId: {
          originator: this.party,
          target: this.devices[index % this.devices.length]!,
          counter,
        },
        serviceReferenceVariant: this.variants[(index + round) % this.variants.length]!,
      }),
    }
  }
}
