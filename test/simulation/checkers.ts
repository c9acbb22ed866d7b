/**
 * What must hold of the ledger whatever happened; each fault names the request or partition
 * concerned. Reads each tick once.
 */
import { isOfRequest, readFact, type DeviceFact } from '../../actors/device/facts.ts'
import { genesis, stepChain } from '../../actors/runtime/partition/chain.ts'
import { readRequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { partitionOfLetters } from '../../core/cluster/letters-subject.ts'
import { deliveryIdOf } from '../../core/envelope/delivery-id.ts'
import { readKind, readOriginator, readOutcome, readTarget } from '../../core/envelope/envelope.ts'
import { chainLinkBytes, forEachEnvelope } from '../../core/envelope/frame.ts'
import {
  deviceBlocks,
  isInBlock,
  Kind,
  meterPointBlocks,
  offsetOf,
  quarantinePageBlocks,
  scheduleBlocks,
  thresholdBlocks,
} from '../../core/envelope/layout.ts'
import { readTickMessage } from '../../core/envelope/tick-message.ts'
import type { LedgerMessage } from '../../core/ports/ledger.ts'
import type { Checkpoint } from '../../core/ports/store.ts'
import { requestName } from './names.ts'
import { Registrations } from './registrations.ts'
import { Alerts } from './alerts.ts'
import { FutureRequests } from './future.ts'
import { Schedules } from './schedules.ts'
import { Sequences } from './sequences.ts'
import { Standings } from './standings.ts'
import { Thresholds } from './thresholds.ts'
import { Trials } from './trials.ts'

/** `request` is a name of names.ts, undefined for a fault of no single one. */
export type Violation = { what: string; request: string | undefined }

/** How a request ended: the tick, its delivery, and whether its device carried it out. */
export type End = { sequence: number; deliveryId: number; isCarriedOut: boolean }

type Tick = { sequence: number; lastDeliveries: Map<Eui64, number> }

export class LedgerChecker {
  readonly accepted = new Map<string, { at: number; lane: number }>()
  readonly ended = new Map<string, End>()
  /** Of what suppliers have asked for, elapsed time: whatever clocks say, nobody waits longer. */
  readonly deadlines = new Map<string, number>()
  readonly violations: Violation[] = []
  /** Called with each line of what the ledger says. */
  private readonly onLine: (text: string, request: string) => void
  private readonly chains = new Map<number, Checkpoint>()
  /** The last one carried out, by device and lane: its place in the order of acceptance. */
  private readonly carriedOut = new Map<string, number>()
  private readonly ticks: Tick[] = []
  private next = 0
  /** Rises with each request that joins its lane, when it is accepted or released. */
  private turns = 0
  readonly trials = new Trials((what) => this.fault(what))
  readonly standings = new Standings((what, request) => this.fault(what, request))
  readonly thresholds = new Thresholds((what, request) => this.fault(what, request))
  readonly schedules = new Schedules((what, request) => this.fault(what, request))
  readonly future = new FutureRequests((what, request) => this.fault(what, request))
  readonly sequences = new Sequences((what, request) => this.fault(what, request))
  readonly registrations = new Registrations((what, request) => this.fault(what, request))
  readonly alerts = new Alerts((what) => this.fault(what), this.registrations)
  /** Ticks that the ledger has forgotten, from its beginning. */
  forgottenCount = 0
  /** Called with each fact of the ledger. */
  onFact: (device: Eui64, fact: DeviceFact) => void = () => undefined
  /** Called with the host by which an attempt has failed: its request waits from now on. */
  onAttemptFailed: (hostId: string) => void = () => undefined

  constructor(onLine: (text: string, request: string) => void) {
    this.onLine = onLine
    this.thresholds.onReleased = (request) => {
      const known = this.accepted.get(request)
      if (known !== undefined) this.accepted.set(request, { ...known, at: this.turns++ })
    }
  }

  fault(what: string, request?: string): void {
    this.violations.push({ what, request })
  }

  /** Reads what has been written since. */
  read(messages: readonly LedgerMessage[]): void {
    for (; this.next < messages.length; this.next++) this.readOne(messages[this.next]!)
  }

  private readOne({ subject, sequence, data }: LedgerMessage): void {
    if (partitionOfLetters(subject) !== undefined) this.trials.readLetters(data)
    if (!subject.startsWith('log.')) return
    const tick: Tick = { sequence, lastDeliveries: new Map() }
    this.ticks.push(tick)
    this.registrations.beginTick()
    this.alerts.beginTick()
    readTickMessage(
      data,
      (partition, frame) => {
        try {
          const before = this.chains.get(partition) ?? genesis
          this.chains.set(partition, stepChain(partition, before, frame, sequence))
        } catch (fault) {
          this.fault(`the hash chain is broken: ${String(fault)}`)
        }
        forEachEnvelope(frame, chainLinkBytes, (at) =>
          this.readFactAt(frame, at, subject, sequence),
        )
      },
      (party, frame) => {
        let index = 0
        forEachEnvelope(frame, 0, (at) => {
          const deliveryId = deliveryIdOf(sequence, index++)
          tick.lastDeliveries.set(party, deliveryId)
          this.sequences.readDelivery(frame, at)
          this.alerts.readDelivery(frame, at, party)
          // An alert ends no request.
          if (readKind(frame, at) !== Kind.RESPONSE) return
          this.readDeliveryAt(frame, at, party, { sequence, deliveryId })
        })
      },
    )
  }

  private readFactAt(frame: Buffer, at: number, subject: string, sequence: number): void {
    if (readKind(frame, at) === Kind.TRIAL_ADDED) return this.trials.read(frame, at, sequence)
    if (isInBlock(readKind(frame, at), meterPointBlocks.facts))
      return this.registrations.readPointFact(frame, at)
    if (isInBlock(readKind(frame, at), thresholdBlocks.facts))
      return this.thresholds.readThresholdFact(frame, at)
    if (isInBlock(readKind(frame, at), quarantinePageBlocks.facts))
      return this.thresholds.readPageFact(frame, at)
    if (isInBlock(readKind(frame, at), scheduleBlocks.facts))
      return this.schedules.readScheduleFact(frame, at)
    if (!isInBlock(readKind(frame, at), deviceBlocks.facts)) return
    const fact = readFact(frame, at)
    this.thresholds.readDeviceFact(readTarget(frame, at), fact)
    this.registrations.readDeviceFact(readTarget(frame, at), fact)
    this.sequences.readDeviceFact(readTarget(frame, at), fact)
    this.alerts.readDeviceFact(readTarget(frame, at), fact)
    this.future.readDeviceFact(readTarget(frame, at), fact)
    this.schedules.readDeviceFact(readTarget(frame, at), fact)
    this.onFact(readTarget(frame, at), fact)
    if (fact.type === 'ATTEMPT_FAILED') this.onAttemptFailed(subject.slice('log.'.length))
    if (!isOfRequest(fact) || fact.type === 'REQUEST_SENT') return
    const { originator, counter } = fact.type === 'REQUEST_ACCEPTED' ? fact.request : fact
    const request = requestName(originator, readTarget(frame, at), counter)
    this.onLine(`${subject}: ${fact.type}`, request)
    const party = Number(request.split('/')[0])
    if (fact.type === 'REQUEST_ENDED' && errorCodeOf(fact.outcome) === 'OK')
      this.registrations.endedWell(request, readTarget(frame, at), party)
    if (fact.type !== 'REQUEST_ACCEPTED') return
    if (this.accepted.has(request)) this.fault('accepted twice', request)
    this.standings.accepted(request, originator, sequence)
    const { acceptedAt } = fact.request
    this.registrations.accepted(request, readTarget(frame, at), party, acceptedAt)
    this.accepted.set(request, { at: this.turns++, lane: fact.request.lane })
  }

  private readDeliveryAt(
    frame: Buffer,
    at: number,
    party: Eui64,
    place: { sequence: number; deliveryId: number },
  ): void {
    const originator = readOriginator(frame, at)
    const request = requestName(
      originator,
      readTarget(frame, at),
      readRequestCounter(frame, at + offsetOf.counter),
    )
    const outcome = errorCodeOf(readOutcome(frame, at))
    this.onLine(`ended ${outcome}`, request)
    if (originator !== party) this.fault('delivered to another party', request)
    if (this.ended.has(request)) this.fault('ended twice', request)
    if (!this.accepted.has(request)) this.fault('ended without having been accepted', request)
    const isCarriedOut = outcome === 'OK'
    this.ended.set(request, { ...place, isCarriedOut })
    if (isCarriedOut) this.checkOrder(request)
  }

  /**
   * What a device carried out within one lane, it carried out in the order of acceptance; of a
   * party that is counted, in the order of that party.
   */
  private checkOrder(request: string): void {
    const accepted = this.accepted.get(request)
    // What waits for its predecessor, or for its time, holds up nothing: others overtake it.
    const hasWaited = this.sequences.hasPredecessor(request) || this.future.hasTime(request)
    if (accepted === undefined || hasWaited || this.schedules.isAbout(request)) return
    const [party, meter] = request.split('/')
    // What is counted joins its lane when that is done.
    const isCounted = this.thresholds.isCounted(Number(party))
    const lane = `${meter}/${accepted.lane}${isCounted ? `/${party}` : ''}`
    const before = this.carriedOut.get(lane) ?? -1
    if (accepted.at < before) this.fault('carried out after a later one of its lane', request)
    this.carriedOut.set(lane, Math.max(before, accepted.at))
  }

  /**
   * Once nothing is wrong any more, at `sinceMs`: what was accepted ends by its deadline and
   * `graceMs`, and by `aliveMs` in any case, because its meter answers. All of it is elapsed time,
   * up to `nowMs`.
   */
  checkAlive(nowMs: number, sinceMs: number, graceMs: number, aliveMs: number): void {
    for (const request of this.accepted.keys()) {
      if (this.ended.has(request)) continue
      const deadlineMs = this.deadlines.get(request) ?? Infinity
      if (nowMs > Math.max(deadlineMs, sinceMs) + graceMs)
        this.fault(`not ended ${nowMs - deadlineMs} ms after its deadline`, request)
      // One for a later time waits for that first.
      else if (nowMs - sinceMs > aliveMs && !this.future.hasTime(request))
        this.fault(`waits for ${nowMs - sinceMs} ms although nothing is wrong any more`, request)
    }
  }

  /**
   * What the ledger has forgotten, nobody needs: every delivery in it was acknowledged by its
   * party.
   */
  forgotten(
    isForgotten: (sequence: number) => boolean,
    acknowledgedBy: (party: Eui64) => number,
  ): void {
    for (let next = this.ticks[this.forgottenCount]; next !== undefined;) {
      if (!isForgotten(next.sequence)) break
      for (const [party, deliveryId] of next.lastDeliveries)
        if (deliveryId > acknowledgedBy(party))
          this.fault(`tick ${next.sequence} was forgotten before its deliveries were acknowledged`)
      next = this.ticks[++this.forgottenCount]
    }
  }
}
