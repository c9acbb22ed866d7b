/**
 * The way to devices for a host with connections of its own, one of several: what it can reach
 * itself it does, and a device that dials in is asked by the process to which it has.
 */
import type { Lane } from '../../base/lane.ts'
import type {
  DeviceAddress,
  ExchangeResult,
  ExchangeSecurity,
  Wan,
  WanCommand,
} from '../../ports/wan.ts'

export class EitherWan implements Wan {
  private readonly own: Wan
  private readonly others: Wan

  constructor(own: Wan, others: Wan) {
    this.own = own
    this.others = others
  }

  exchange(
    address: DeviceAddress,
    command: WanCommand,
    lane: Lane,
    security?: ExchangeSecurity,
  ): Promise<ExchangeResult> {
    const wan = address.transport === 'dial-in' ? this.others : this.own
    return wan.exchange(address, command, lane, security)
  }

  async close(): Promise<void> {
    await Promise.all([this.others.close(), this.own.close()])
  }
}
