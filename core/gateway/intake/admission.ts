/**
 * Who gets a place at a gateway that fills up. Lower load classes are shed first
 * (core/catalogue/load-classes.ts). A party may hold as much as is free, so that one flood leaves
 * half for others, and two of them a third. The same holds for the frame that gathers for a host.
 */
import { loadClassOf } from '../../catalogue/load-classes.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import type { Srv } from '../../base/srv.ts'
import type { Counter, Metrics } from '../../ports/metrics.ts'
import type { OwnerQueue } from './owner-queue.ts'
import type { PartyAccount } from './party-account.ts'
import type { Slots } from './slots.ts'

/** The share of the room that is used below which a party may take its limit in any case. */
const roomy = 0.5

export class Admission {
  private readonly slots: Slots
  private readonly metrics: Metrics
  private readonly shed = new Map<string, Counter>()

  constructor(slots: Slots, metrics: Metrics) {
    this.slots = slots
    this.metrics = metrics
  }

  /**
   * Why a request of `bytes` octets has no place now; undefined when it has.
   * @param bytesInFlight  octets of frames that are out
   */
  // oxlint-disable-next-line max-params -- an object would be made for each request
  refusalOf(
    account: PartyAccount,
    srv: Srv,
    bytes: number,
    queue: OwnerQueue,
    bytesInFlight: number,
  ): ErrorCode | undefined {
    const { slots } = this
    const used = slots.used / slots.count
    const fill = Math.max(used, bytesInFlight / limits.gatewayBytesInFlightMax)
    if (fill >= roomy) {
      const { name, fullAt } = loadClassOf(srv)
      if (fill >= fullAt && fullAt < 1) return this.shedOne(name)
    }
    const isPartyFull =
      account.inFlight >= limits.partyRequestsInFlightMax ||
      (used >= roomy && account.inFlight >= slots.count - slots.used) ||
      !queue.hasShareFor(account, bytes)
    const isFull = slots.used === slots.count || fill > 1 || queue.isFullFor(bytes)
    return isPartyFull || isFull ? 'BROKER_GATEWAY_BUSY' : undefined
  }

  private shedOne(name: string): ErrorCode {
    let counter = this.shed.get(name)
    if (counter === undefined) {
      counter = this.metrics.counter(
        'busbar_gateway_shed_total',
        'Service requests that the gateway has shed because it fills up, by load class',
        { class: name },
      )
      this.shed.set(name, counter)
    }
    counter.add()
    return 'BROKER_LOAD_SHED'
  }
}
