/**
 * Partitions that move from one live host to another: because one has more than its share, or
 * because it ends.
 *
 *   we have too many ─ offer ─▶ the other brings its stores up to date ─ ready ─▶ between two ticks we stop serving and
 *   write all leases in one commit ─ heard on the ledger ─▶ the other reads the last ticks and serves
 *
 * Only the last step is a pause for parties; gateways send again what came in it. A command that is
 * under way to a device at that moment is sent once more by the new owner, as after a crash.
 */
import { limits } from '../../../core/base/limits.ts'
import type { Bus } from '../../../core/ports/bus.ts'
import {
  decodeOffer,
  decodePrepared,
  encodeOffer,
  encodePrepared,
  handoverSubject,
} from '../../../core/cluster/handover-offer.ts'
import { nextMove } from './balance.ts'
import type { Hold, PartitionPorts } from './host-options.ts'
import type { OwnedPartitions } from './owned-partitions.ts'

/**
 * How long a host that ends waits for another to make ready what it offers; what is not ready is
 * taken over after silence.
 */
const closeOfferMsMax = 5_000

export type HandoverPorts = Pick<PartitionPorts, 'hostId' | 'partitionCount' | 'log' | 'peers'> & {
  bus: Bus
}

export class Handover {
  private readonly ports: HandoverPorts
  private readonly partitions: OwnedPartitions
  private readonly hold: Hold
  private isBalancing = false
  private isEnding = false
  private offers: { close(): Promise<void> } | undefined
  private stopListening: (() => void) | undefined

  constructor(ports: HandoverPorts, partitions: OwnedPartitions, hold: Hold) {
    this.ports = ports
    this.partitions = partitions
    this.hold = hold
  }

  /** Takes offers, and what is given after them. */
  async start(): Promise<void> {
    const { bus, hostId, peers } = this.ports
    this.offers = await bus.serve(handoverSubject(hostId), (frame, reply) =>
      this.onOffer(frame, reply),
    )
    this.stopListening = peers?.onLeaseChange(() => {
      this.partitions.onLeaseChange()
      void this.partitions.adopt()
    })
  }

  private onOffer(frame: Buffer, reply: (frame: Uint8Array) => void): void {
    let numbers: number[] = []
    try {
      if (!this.isEnding)
        numbers = decodeOffer(frame).partitions.slice(0, limits.handoverPartitionsMax)
    } catch (fault) {
      this.ports.log.error({ fault: String(fault) }, 'an offer of partitions is malformed')
    }
    void this.partitions.warm(numbers).then((prepared) => reply(encodePrepared(prepared)))
  }

  /** Gives away what is above our share, one move at a time; to be called now and then. */
  async balance(): Promise<void> {
    const { peers, hostId, partitionCount } = this.ports
    if (peers === undefined || this.isBalancing || this.isEnding) return
    const countOf = new Map([hostId, ...peers.aliveHosts].map((host) => [host, 0]))
    for (let number = 0; number < partitionCount; number++) {
      const owner = peers.ownerOf(number)
      const count = owner === undefined ? undefined : countOf.get(owner)
      if (owner !== undefined && count !== undefined) countOf.set(owner, count + 1)
    }
    const move = nextMove(hostId, countOf)
    if (move === undefined) return
    this.isBalancing = true
    const numbers = this.partitions.numbers.slice(-move.count)
    await this.handOver(move.target, numbers, limits.handoverWarmMsMax)
    this.isBalancing = false
  }

  /** Gives `numbers` to `target`, those of them that it has made ready. */
  private async handOver(target: string, numbers: number[], waitMs: number): Promise<void> {
    const { bus, hostId, log } = this.ports
    const offered = numbers.slice(0, limits.handoverPartitionsMax)
    if (offered.length === 0) return
    try {
      const offer = encodeOffer({ from: hostId, partitions: offered })
      const answer = await bus.request(handoverSubject(target), offer, waitMs)
      const prepared = decodePrepared(answer).filter(({ partition }) => offered.includes(partition))
      if (prepared.length > 0) await this.hold(() => this.partitions.give(target, prepared))
    } catch (fault) {
      log.warn({ target, fault: String(fault) }, 'partitions could not be handed over; they stay')
    }
  }

  /**
   * Gives everything to the other hosts in turn, if `isGiving`; what they do not take stays, and is
   * taken when we have fallen silent.
   */
  async close(isGiving: boolean): Promise<void> {
    const { peers, hostId } = this.ports
    this.isEnding = true
    await this.offers?.close()
    this.stopListening?.()
    const others = peers?.aliveHosts.filter((host) => host !== hostId) ?? []
    const owned = this.partitions.numbers
    if (!isGiving) return
    await Promise.all(
      others.map((target, turn) => {
        const its = owned.filter((_, index) => index % others.length === turn)
        return this.handOver(target, its, closeOfferMsMax)
      }),
    )
  }
}
