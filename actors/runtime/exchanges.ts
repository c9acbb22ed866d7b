/**
 * Takes requests to devices: body → COSEM operations → WAN → results → response body. At most one exchange of a device
 * at a time, also across a reload of its partition.
 */
import { emptyBytes } from '../../core/base/bytes.ts'
import { errorId, type ErrorCode } from '../../core/base/error-table.ts'
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
      if (
        request.counter === send.request.counter &&
        request.originator === send.request.originator
      )
        return
      present.after = () => this.start(device, send, onAnswered)
      return
    }
    this.underway.set(device, { send, after: undefined })
    const { request, record } = send
    const end = (outcome: ErrorCode, bodyBytes: Buffer): void => {
      const after = this.underway.get(device)?.after
      this.underway.delete(device)
      const { originator, counter } = request
      onAnswered({ type: 'ANSWERED', originator, counter, outcome: errorId(outcome), bodyBytes })
      after?.()
    }
    // A fault of ours, not of the device: the request is put aside, and its party told.
    const fail = (fault: unknown): void => {
      const { srv } = request
      this.log.error(
        { device: formatEui64Key(device), srv: formatSrv(srv), fault: String(fault) },
        'a command failed in translation',
      )
      end('DEVICE_ACTOR_PARKED', emptyBytes)
    }
    const row = serviceRequestOf(request.srv)
    if (row === undefined) return fail('no such service reference variant')
    let operations: ReturnType<typeof commandOf>
    try {
      operations = commandOf(row, request.bodyBytes, this.clock.now(), record.type)
    } catch (fault) {
      return fail(fault)
    }
    this.wan
      .exchange(record.address, operations, request.lane)
      .then((exchanged) => {
        if (exchanged.ok) {
          const { outcome, bodyBytes } = answerOf(row, operations, exchanged.results)
          return end(outcome, bodyBytes)
        }
        const { code, detail } = exchanged
        this.log.debug(
          { device: formatEui64Key(device), srv: row.text, code, detail },
          'an exchange failed',
        )
        end(code, emptyBytes)
      })
      .catch(fail)
  }
}
