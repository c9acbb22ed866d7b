/**
 * Some parties send sequences of requests while everything goes wrong. By the facts in the ledger:
 * none is sent to its meter before its predecessor has ended well, each has one successor at most,
 * one that ends because of its predecessor has a failed or late one, and its party one alert.
 */
import type { DeviceFact } from '../../actors/device/facts.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import { parseEui64, readEui64, type Eui64 } from '../../core/base/eui64.ts'
import { readBodyView, readKind } from '../../core/envelope/envelope.ts'
import { Kind } from '../../core/envelope/layout.ts'
import { DccAlert } from '../../proto/gen/busbar/v1/dcc_alert.ts'
import { requestName } from './names.ts'

/** Ends because of a predecessor that has ended itself. */
const ofPredecessor = new Set(['SEQUENCE_PREDECESSOR_FAILED', 'SEQUENCE_PREDECESSOR_CANCELLED'])
/** The same, or because the predecessor was too slow. */
const ofSequence = new Set([
  ...ofPredecessor,
  'SEQUENCE_PREDECESSOR_LATE',
  'SEQUENCE_WAIT_EXCEEDED',
])

export class Sequences {
  private readonly fault: (what: string, request?: string) => void
  /** The predecessor of each request that has one. */
  private readonly before = new Map<string, string>()
  private readonly followed = new Set<string>()
  private readonly accepted = new Set<string>()
  private readonly outcomes = new Map<string, string>()
  /** Requests that their party was alerted of, and those that it has to be. */
  private readonly told = new Map<string, number>()
  private readonly owed = new Set<string>()

  constructor(fault: (what: string, request?: string) => void) {
    this.fault = fault
  }

  hasPredecessor(request: string): boolean {
    return this.before.has(request)
  }

  readDeviceFact(device: Eui64, fact: DeviceFact): void {
    if (fact.type === 'REQUEST_ACCEPTED') {
      const { originator, counter } = fact.request
      const request = requestName(originator, device, counter)
      this.accepted.add(request)
      const preceding = fact.named?.preceding
      if (preceding === undefined) return
      const name = requestName(preceding.originator, preceding.target, preceding.counter)
      this.before.set(request, name)
      if (!this.accepted.has(name)) this.fault('accepted before its predecessor', request)
      if (this.followed.has(name)) this.fault('its predecessor has another successor', request)
      this.followed.add(name)
    } else if (fact.type === 'REQUEST_ENDED') this.ended(device, fact)
  }

  private ended(
    device: Eui64,
    {
      originator,
      counter,
      outcome,
    }: { originator: Eui64; counter: RequestCounter; outcome: number },
  ): void {
    const request = requestName(originator, device, counter)
    const code = errorCodeOf(outcome) ?? ''
    // The checker of requests finds a second end.
    if (this.outcomes.has(request)) return
    this.outcomes.set(request, code)
    const preceding = this.before.get(request)
    const before = preceding && this.outcomes.get(preceding)
    if (code === 'OK' && preceding !== undefined && before !== 'OK')
      this.fault(`carried out although its predecessor has ended with ${before}`, request)
    if (!ofSequence.has(code)) return
    this.owed.add(request)
    if (preceding === undefined) this.fault(`ended with ${code} without a predecessor`, request)
    if (before === 'OK') this.fault(`ended with ${code} behind one that has succeeded`, request)
    if (ofPredecessor.has(code) && before === undefined)
      this.fault(`ended with ${code} before its predecessor has ended`, request)
  }

  readDelivery(frame: Buffer, at: number): void {
    if (readKind(frame, at) !== Kind.DCC_ALERT) return
    const { content } = DccAlert.decode(readBodyView(frame, at))
    if (content?.$case !== 'sequencedRequestFailure') return
    const { originator, target, counter } = content.value.requestId!
    const octets = Buffer.alloc(8)
    octets.writeBigUInt64BE(counter)
    const key = (text: string): Eui64 => readEui64(parseEui64(text)!)
    const name = requestName(
      key(originator),
      key(target),
      octets.toString('latin1') as RequestCounter,
    )
    this.told.set(name, (this.told.get(name) ?? 0) + 1)
  }

  /** A meter is asked. */
  sent(request: string): void {
    const preceding = this.before.get(request)
    if (preceding !== undefined && this.outcomes.get(preceding) !== 'OK')
      this.fault('sent before its predecessor had succeeded', request)
  }

  /** Each request that has ended because of its predecessor has one alert. */
  checkTold(): void {
    for (const request of this.owed)
      if (this.told.get(request) !== 1)
        this.fault(`its party has ${this.told.get(request) ?? 0} alerts`, request)
    for (const request of this.told.keys())
      if (!this.owed.has(request)) this.fault('an alert of a request that did not fail', request)
  }
}
