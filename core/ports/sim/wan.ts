/** Devices that answer from a script: for tests of callers, without sockets. */
import type { Lane } from '../../base/lane.ts'
import type { DeviceAddress, ExchangeResult, ExchangeSecurity, Wan, WanCommand } from '../wan.ts'

/** What was asked, and how to answer it: at once, or later. */
export type SimExchange = {
  address: DeviceAddress
  command: WanCommand
  lane: Lane
  security: ExchangeSecurity | undefined
  answer(result: ExchangeResult): void
}

export class SimWan implements Wan {
  private readonly onExchange: (exchange: SimExchange) => void
  private readonly open = new Set<SimExchange>()

  /** `onExchange` answers through the exchange it is given, or keeps it and answers later. */
  constructor(onExchange: (exchange: SimExchange) => void) {
    this.onExchange = onExchange
  }

  exchange(
    address: DeviceAddress,
    command: WanCommand,
    lane: Lane,
    security?: ExchangeSecurity,
  ): Promise<ExchangeResult> {
    return new Promise((resolve) => {
      const exchange: SimExchange = {
        address,
        command,
        lane,
        security,
        answer: (result) => {
          this.open.delete(exchange)
          resolve(result)
        },
      }
      this.open.add(exchange)
      this.onExchange(exchange)
    })
  }

  /** Exchanges that wait for an answer. */
  get openCount(): number {
    return this.open.size
  }

  close(): Promise<void> {
    for (const exchange of [...this.open]) {
      exchange.answer({ ok: false, code: 'DEVICE_UNREACHABLE', detail: 'the WAN was closed' })
    }
    return Promise.resolve()
  }
}
