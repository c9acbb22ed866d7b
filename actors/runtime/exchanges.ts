/**
 * Takes requests to devices: body → COSEM operations → WAN → results → response body. At most one exchange of a device
 * at a time, also across a reload of its partition.
 */
import { emptyBytes } from '../../core/base/bytes.ts'
import { errorId } from '../../core/base/error-table.ts'
import { formatEui64Key, type Eui64Key } from '../../core/base/eui64.ts'
import { formatSrv } from '../../core/base/srv.ts'
import { serviceRequestOf } from '../../core/catalogue/service-requests.ts'
import type { Clock } from '../../core/ports/clock.ts'
import type { Log } from '../../core/ports/log.ts'
import type { Wan } from '../../core/ports/wan.ts'
import { answerOf } from '../../core/translate/answer.ts'
import { commandOf } from '../../core/translate/command.ts'
import type { Send } from '../device/effects.ts'
import type { Answered } from '../device/messages.ts'

type OnAnswered = (answered: Answered) => void

export class Exchanges {
  /** By device, what is on its way; `after` waits for it: sent again by a partition that was reloaded meanwhile. */
  private readonly underway = new Map<Eui64Key, { send: Send; after: (() => void) | undefined }>()
  private readonly wan: Wan
  private readonly clock: Clock
  private readonly log: Log

  constructor(wan: Wan, clock: Clock, log: Log) {
    this.wan = wan
    this.clock = clock
    this.log = log
  }

  get count(): number {
    return this.underway.size
  }

  /** Sends `send.request`; `onAnswered` is called once, at any later time. */
  start(device: Eui64Key, send: Send, onAnswered: OnAnswered): void {
    const present = this.underway.get(device)
    if (present !== undefined) {
      const { request } = present.send
      // The same one is on its way already; its answer will do.
      if (request.counter === send.request.counter && request.originator === send.request.originator) return
      present.after = () => this.start(device, send, onAnswered)
      return
    }
    this.underway.set(device, { send, after: undefined })
    void this.exchange(device, send).then((answered) => {
      const after = this.underway.get(device)?.after
      this.underway.delete(device)
      onAnswered(answered)
      after?.()
    })
  }

  private async exchange(device: Eui64Key, send: Send): Promise<Answered> {
    const { originator, counter, srv, bodyBytes, lane } = send.request
    try {
      const row = serviceRequestOf(srv)
      if (row === undefined) throw new Error(`no row for ${formatSrv(srv)}`)
      const operations = commandOf(row, bodyBytes, this.clock.now(), send.record.type)
      const exchanged = await this.wan.exchange(send.record.address, operations, lane)
      if (exchanged.ok) {
        const { outcome, bodyBytes: answerBytes } = answerOf(row, operations, exchanged.results)
        return { type: 'ANSWERED', originator, counter, outcome: errorId(outcome), bodyBytes: answerBytes }
      }
      this.log.debug(
        { device: formatEui64Key(device), srv: formatSrv(srv), code: exchanged.code, detail: exchanged.detail },
        'an exchange failed',
      )
      return { type: 'ANSWERED', originator, counter, outcome: errorId(exchanged.code), bodyBytes: emptyBytes }
    } catch (fault) {
      this.log.error({ device: formatEui64Key(device), srv: formatSrv(srv), fault: String(fault) }, 'a command failed in translation')
      return { type: 'ANSWERED', originator, counter, outcome: errorId('DEVICE_ACTOR_PARKED'), bodyBytes: emptyBytes }
    }
  }
}
