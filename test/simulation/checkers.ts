/** What must hold of the ledger whatever happened; each fault names the request or partition concerned. Reads each tick once. */
import { readFact } from '../../actors/device/facts.ts'
import { genesis, stepChain } from '../../actors/runtime/chain.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import type { Eui64Key } from '../../core/base/eui64.ts'
import type { CounterKey } from '../../core/base/counter.ts'
import {
  readCounter,
  readOriginator,
  readOutcome,
  readTarget,
} from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'
import type { Checkpoint } from '../../core/ports/store.ts'

/** `request` is `<device>/<counter>`, undefined for a fault of no single one. */
export type Violation = { what: string; request: string | undefined }

const deviceName = (device: Eui64Key): string =>
  String(Buffer.from(device, 'latin1').readUInt32BE(4))
const counterName = (counter: CounterKey): string =>
  String(Buffer.from(counter, 'latin1').readBigUInt64BE())

export class LedgerChecker {
  readonly accepted = new Map<string, { at: number; lane: number }>()
  readonly ended = new Map<string, number>()
  readonly violations: Violation[] = []
  readonly lines: Array<{ sequence: number; request: string; text: string }> = []
  private readonly chains = new Map<number, Checkpoint>()
  /** The last one carried out, by device and lane: its place in the order of acceptance. */
  private readonly carriedOut = new Map<string, number>()
  private next = 0
  private readonly ticks: Array<{ sequence: number; hasDeliveries: boolean }> = []
  /** Ticks that the ledger has forgotten, from its beginning. */
  forgottenCount = 0

  /** Reads what has been written since. */
  read(messages: readonly LedgerMessage[]): void {
    for (; this.next < messages.length; this.next++) this.readOne(messages[this.next]!)
  }

  private fault(what: string, request?: string): void {
    this.violations.push({ what, request })
  }

  private readOne({ subject, sequence, data }: LedgerMessage): void {
    if (!subject.startsWith('log.')) return
    const tick = { sequence, hasDeliveries: false }
    this.ticks.push(tick)
    readTickMessage(
      data,
      (partition, frame) => {
        try {
          const before = this.chains.get(partition) ?? genesis
          this.chains.set(partition, stepChain(partition, before, frame, sequence))
        } catch (fault) {
          this.fault(`the hash chain is broken: ${String(fault)}`)
        }
        forEachEnvelope(frame, chainLinkBytes, (at) => this.readFactAt(frame, at, sequence))
      },
      (party, frame) => {
        tick.hasDeliveries = true
        forEachEnvelope(frame, 0, (at) => {
          const request = `${deviceName(readTarget(frame, at))}/${readCounter(frame, at)}`
          if (readOriginator(frame, at) !== party) this.fault('delivered to another party', request)
          const count = (this.ended.get(request) ?? 0) + 1
          this.ended.set(request, count)
          if (count > 1) this.fault(`ended ${count} times`, request)
          if (!this.accepted.has(request)) this.fault('ended without having been accepted', request)
          this.lines.push({
            sequence,
            request,
            text: `ended ${errorCodeOf(readOutcome(frame, at))}`,
          })
          this.checkOrder(request, readOutcome(frame, at))
        })
      },
    )
  }

  private readFactAt(frame: Buffer, at: number, sequence: number): void {
    const fact = readFact(frame, at)
    if (fact.type === 'DEVICE_REGISTERED' || fact.type === 'REQUEST_SENT') return
    const device = deviceName(readTarget(frame, at))
    const counter = fact.type === 'REQUEST_ACCEPTED' ? fact.request.counter : fact.counter
    const request = `${device}/${counterName(counter)}`
    this.lines.push({ sequence, request, text: fact.type })
    if (fact.type !== 'REQUEST_ACCEPTED') return
    if (this.accepted.has(request)) this.fault('accepted twice', request)
    this.accepted.set(request, { at: this.accepted.size, lane: fact.request.lane })
  }

  /** What a device carried out within one lane, it carried out in the order of acceptance. */
  private checkOrder(request: string, outcome: number): void {
    const accepted = this.accepted.get(request)
    if (accepted === undefined || errorCodeOf(outcome) !== 'OK') return
    const lane = `${request.split('/')[0]}/${accepted.lane}`
    const before = this.carriedOut.get(lane) ?? -1
    if (accepted.at < before) this.fault('carried out after a later one of its lane', request)
    this.carriedOut.set(lane, Math.max(before, accepted.at))
  }

  /** What the ledger has forgotten, nobody needs: every delivery in it was acknowledged, which the supplier has up to `acknowledged`. */
  forgotten(isForgotten: (sequence: number) => boolean, acknowledged: number): void {
    for (let next = this.ticks[this.forgottenCount]; next !== undefined;) {
      if (!isForgotten(next.sequence)) break
      if (next.hasDeliveries && next.sequence > acknowledged)
        this.fault(`tick ${next.sequence} was forgotten before its deliveries were acknowledged`)
      next = this.ticks[++this.forgottenCount]
    }
  }

  /** When nothing is wrong any more, everything that was acknowledged has ended. */
  drained(acknowledged: Iterable<string>): void {
    for (const request of acknowledged)
      if (!this.ended.has(request)) this.fault('never ended', request)
  }
}
