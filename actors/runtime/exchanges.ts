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
  /** By device, what is on its way, and what to call when it has come back. */
  private readonly underway = new Map<Eui64Key, { send: Send; onFree: (() => void) | undefined }>()
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

  /**
   * Sends `send.request`; `onAnswered` is called once, at any later time. While another one of the device is on its way (sent before its
   * partition was reloaded) nothing is sent, and `onFree` is called when that has come back.
   */
  start(device: Eui64Key, send: Send, onAnswered: OnAnswered, onFree: () => void): void {
    const present = this.underway.get(device)
    if (present !== undefined) {
      const { request } = present.send
      // The same one is on its way already; its answer will do.
      if (
        request.counter === send.request.counter &&
        request.originator === send.request.originator
      )
        return
      present.onFree = onFree
      return
    }
    this.underway.set(device, { send, onFree: undefined })
    const { request, record } = send
    const end = (outcome: ErrorCode, bodyBytes: Buffer): void => {
      const onFree = this.underway.get(device)?.onFree
      this.underway.delete(device)
      const { originator, counter } = request
      onAnswered({ type: 'ANSWERED', originator, counter, outcome: errorId(outcome), bodyBytes })
      onFree?.()
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
