/**
 * The one way in, behind every door (stations 2 to 4 and 7 of a message's way): scan → decide → one
 * gather-write into the frame of the partition's owner → one NATS request a frame →
 * acknowledgements back to the waiting caller. Nothing is kept about a request but its slot; no
 * promise, closure or object is made for one. What an acknowledgement says is the host's word:
 * nothing is promised here.
 *
 * A host that no longer owns a partition says so, falls silent or is gone; then the envelope waits
 * in its frame ("stranded") and goes to the next owner, within the party's wait. Twice sent is
 * harmless: the RequestID is the idempotency key.
 */
import { quarantineActionBody, type QuarantineAction } from '../../access/quarantine-list.ts'
import { decideIntake, isOriginator } from '../../access/intake.ts'
import type { RejectionSink } from '../../access/rejection-sink.ts'
import { hasToSignSrv } from '../../access/signing.ts'
import { emptyBytes } from '../../base/bytes.ts'
import { errorId, type ErrorCode } from '../../base/error-table.ts'
import type { Lane } from '../../base/lane.ts'
import { limits } from '../../base/limits.ts'
import { requestCounterMax } from '../../base/request-counter.ts'
import type { Srv } from '../../base/srv.ts'
import { formatLatest, formatWithMeterPoints } from '../../cluster/format.ts'
import { serviceRequestOf } from '../../catalogue/service-requests.ts'
import {
  envelopeEnd,
  readCorrelation,
  readKind,
  readOutcome,
  writeEnvelope,
  writeSafeU64,
} from '../../envelope/envelope.ts'
import { forEachEnvelope } from '../../envelope/frame.ts'
import { readCounterBounds } from '../../envelope/counter-bounds.ts'
import { headerBytes, Kind, offsetOf } from '../../envelope/layout.ts'
import type { Seal } from '../../envelope/signed-request.ts'
import { partitionAt } from '../../envelope/partition.ts'
import { hostSubject, type Bus, type OwnerDirectory } from '../../ports/bus.ts'
import { pause, type Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { Metrics } from '../../ports/metrics.ts'
import { IntakeMetrics } from './intake-metrics.ts'
import {
  laneUnspecified,
  RequestScan,
  scanRequestId,
  scanServiceRequest,
} from '../../translate/scan.ts'
import { Admission } from './admission.ts'
import { blankHeader, OwnAnswer } from './own-answer.ts'
import { bodyOfRequest, deadlineOf, kindOfRequest, refusalOfContent } from './request-body.ts'
import { recordRejection } from './rejected.ts'
import { OwnerQueues, type OwnerQueue } from './owner-queue.ts'
import type { PartyAccount } from './party-account.ts'
import { SignedRequests, type SignedRequestsPorts, type WaitingRequest } from './signed-requests.ts'
import { Slots, type AnswerSink, type Flight } from './slots.ts'
import { Turn } from './turn-flush.ts'

export type IntakePorts = {
  bus: Bus
  directory: OwnerDirectory
  clock: Clock
  log: Log
  metrics: Metrics
  /** What verifies signed requests; without it none can be sent. */
  signatures?: Omit<SignedRequestsPorts, 'log' | 'metrics'> | undefined
  /** What may be written to the ledger, core/cluster/format.ts. */
  format?: () => number
  /** Left out, no rejection is recorded. */
  rejections?: RejectionSink | undefined
}

const partitionUnavailableId = errorId('BROKER_PARTITION_UNAVAILABLE')
const staleId = errorId('REQUEST_COUNTER_STALE')
const reusedId = errorId('REQUEST_COUNTER_REUSED')
const isOfTaken = (outcome: number): boolean => outcome === staleId || outcome === reusedId

export class Intake {
  private readonly ports: IntakePorts
  private readonly slots: Slots
  readonly turn = new Turn()
  private readonly scan = new RequestScan()
  private readonly queues: OwnerQueues
  /** Requests in flight and stranded, by partition, and whether its owner is being watched. */
  private readonly partitionInFlight: Int32Array
  private readonly partitionStranded: Int32Array
  private readonly partitionWatched: Uint8Array
  private bytesInFlight = 0
  private isDraining = false
  private isClosed = false
  private drained: (() => void) | undefined
  private readonly header = blankHeader()
  private readonly ownAnswer = new OwnAnswer()
  private readonly metrics: IntakeMetrics
  private readonly admission: Admission
  private readonly signed: SignedRequests | undefined

  constructor(ports: IntakePorts, slotCount: number = limits.gatewayRequestsInFlightMax) {
    this.ports = ports
    this.slots = new Slots(slotCount)
    this.admission = new Admission(this.slots, ports.metrics)
    const { partitionCount } = ports.directory
    this.queues = new OwnerQueues(this.turn, this.launch)
    this.partitionInFlight = new Int32Array(partitionCount)
    this.partitionStranded = new Int32Array(partitionCount)
    this.partitionWatched = new Uint8Array(partitionCount)
    this.metrics = new IntakeMetrics(ports.metrics, () => this.slots.used)
    const { signatures } = ports
    this.signed =
      signatures && new SignedRequests({ ...ports, ...signatures }, this.turn, this.onVerified)
  }

  /** Requests that wait for an acknowledgement. */
  get requestsInFlight(): number {
    return this.slots.used
  }

  /**
   * Takes the ServiceRequest at `view[start, end)`, which is borrowed: its body is copied once,
   * into a frame, before this returns. The answer comes to `sink` under `tag`: a refusal decided
   * here at once, else the host's acknowledgement.
   */
  // oxlint-disable-next-line max-params -- an object would be made for each request
  submit(
    account: PartyAccount,
    view: Buffer,
    start: number,
    end: number,
    sink: AnswerSink,
    tag: number,
  ): void {
    const { scan } = this
    const nowMs = this.ports.clock.now()
    const malformed = scanServiceRequest(view, start, end, scan)
    if (malformed) return this.reject(malformed, account, view, sink, tag)
    const isSigned = scan.signatureStart > 0
    if (!isSigned && hasToSignSrv(account.party, scan.srv))
      return this.reject('REQUEST_SIGNATURE_MISSING', account, view, sink, tag)
    // What comes behind requests that are being verified waits for them, to keep its place.
    if (isSigned || account.unverified > 0) {
      const place = [start, end] as const
      const refusal =
        this.refusalOfSigned(isSigned) ??
        this.signed?.take(account, view, place, scan, sink, tag, nowMs)
      return refusal && this.reject(refusal, account, view, sink, tag)
    }
    this.admit(account, view, undefined, sink, tag, nowMs)
  }

  /** Why no signed request can be taken now, whatever it is. */
  private refusalOfSigned(isSigned: boolean): ErrorCode | undefined {
    if (!isSigned) return undefined
    if (this.signed === undefined) return 'REQUEST_SIGNER_UNKNOWN'
    return this.format < formatWithMeterPoints ? 'FORMAT_NOT_RAISED' : undefined
  }

  /** Goes on with a request whose turn has come. */
  private readonly onVerified = (
    { account, bytes, seal, sink, tag }: WaitingRequest,
    refusal: ErrorCode | undefined,
  ): void => {
    scanServiceRequest(bytes, 0, bytes.length, this.scan)
    if (refusal) this.reject(refusal, account, bytes, sink, tag)
    else this.admit(account, bytes, seal, sink, tag, this.ports.clock.now())
  }

  /** Checks the request that `scan` has read from `view`, and sends it to its host. */
  // oxlint-disable-next-line max-params -- an object would be made for each request
  private admit(
    account: PartyAccount,
    view: Buffer,
    seal: Seal | undefined,
    sink: AnswerSink,
    tag: number,
    nowMs: number,
  ): void {
    const { scan, header } = this
    const refusal = decideIntake(account.party, account.refusal, scan, nowMs)
    if (refusal) return this.reject(refusal, account, view, sink, tag)
    const row = serviceRequestOf(scan.srv)!
    const unfit = refusalOfContent(row, view, scan, nowMs, this.format)
    if (unfit) return this.reject(unfit, account, view, sink, tag)
    header.kind = kindOfRequest(scan, seal)
    header.lane = scan.lane === laneUnspecified ? row.lane : (scan.lane as Lane)
    header.srv = scan.srv
    header.bodyType = scan.bodyType
    header.deadline = deadlineOf(scan, nowMs)
    if (scan.assignsCounter) scan.counter = account.assigned.next(nowMs)
    this.send(account, bodyOfRequest(view, scan, seal), sink, tag, nowMs)
  }

  private get format(): number {
    return this.ports.format?.() ?? formatLatest
  }

  /** Takes the CancelRequest in `view`; like `submit`. */
  cancel(account: PartyAccount, view: Buffer, sink: AnswerSink, tag: number): void {
    this.about({ kind: Kind.CANCEL }, account, view, sink, tag)
  }

  /**
   * Takes the GetRequestStatusRequest in `view`; the answer is a STATUS envelope, or a
   * refusal.
   */
  queryStatus(account: PartyAccount, view: Buffer, sink: AnswerSink, tag: number): void {
    this.about({ kind: Kind.STATUS_QUERY }, account, view, sink, tag)
  }

  /** Takes the ReleaseQuarantinedRequest or DeleteQuarantinedRequest in `view`; like `submit`. */
  resolveQuarantined(
    action: QuarantineAction,
    account: PartyAccount,
    view: Buffer,
    sink: AnswerSink,
    tag: number,
  ): void {
    const bodyView = quarantineActionBody(action, 'the party')
    this.about({ kind: Kind.QUARANTINE_ACTION, bodyView }, account, view, sink, tag)
  }

  /** New requests are refused from now on; settles when every open one is answered. */
  drain(): Promise<void> {
    this.isDraining = true
    this.signed?.refuseAll('BROKER_DRAINING')
    if (this.slots.used === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const before = this.drained
      this.drained = () => {
        before?.()
        resolve()
      }
    })
  }

  /** Stops looking for owners; what is open stays unanswered. Call after `drain`. */
  close(): void {
    this.isClosed = true
  }

  private about(
    { kind, bodyView = emptyBytes }: { kind: Kind; bodyView?: Buffer },
    account: PartyAccount,
    view: Buffer,
    sink: AnswerSink,
    tag: number,
  ): void {
    const { scan, header } = this
    const nowMs = this.ports.clock.now()
    const malformed = scanRequestId(view, 0, view.length, scan)
    if (malformed) return this.refuse(malformed, sink, tag, nowMs)
    if (account.refusal) return this.refuse(account.refusal, sink, tag, nowMs)
    if (!isOriginator(account.party, scan.originator))
      return this.refuse('PARTY_ORIGINATOR_MISMATCH', sink, tag, nowMs)
    header.kind = kind
    header.lane = 0
    header.srv = 0 as Srv
    header.bodyType = 0
    header.deadline = 0
    this.send(account, bodyView, sink, tag, nowMs)
  }

  /**
   * Writes the envelope whose header stands in `header` and `scan` into the frame of its
   * partition's owner.
   */
  private send(
    account: PartyAccount,
    bodyView: Buffer,
    sink: AnswerSink,
    tag: number,
    nowMs: number,
  ): void {
    const { scan, header, slots } = this
    if (this.isDraining) return this.refuse('BROKER_DRAINING', sink, tag, nowMs)
    const partition = partitionAt(scan.target, 0, this.ports.directory.partitionCount)
    const queue = this.queues.of(this.ports.directory.ownerOf(partition))
    const bytes = headerBytes + bodyView.length
    if (queue.isFullFor(bytes) || !queue.hasShareFor(account, bytes)) queue.flush()
    const busy = this.admission.refusalOf(account, header.srv, bytes, queue, this.bytesInFlight)
    if (busy) return this.refuse(busy, sink, tag, nowMs)
    const slot = slots.take(sink, tag, account, partition, this.ports.clock.elapsedMs())
    slots.correlations[slot] = scan.correlation
    if (scan.assignsCounter) slots.assignsLeft[slot] = limits.counterAssignsMax
    header.outcome = 0
    header.originator = scan.originator
    header.target = scan.target
    header.counter = scan.counter
    header.time = nowMs
    header.correlation = slot
    const at = queue.writer.reserve(bytes)
    writeEnvelope(queue.writer.target, at, header, bodyView)
    queue.add(slot, at, slots)
    this.metrics.handedOn.add()
    if (this.partitionInFlight[partition]!++ === 0 && this.partitionWatched[partition] === 0)
      void this.watch(partition)
  }

  /** Refuses the service request in `scan`, which stands in `view`, and has that recorded. */
  private reject(
    code: ErrorCode,
    { party }: PartyAccount,
    view: Buffer,
    sink: AnswerSink,
    tag: number,
  ): void {
    const nowMs = this.ports.clock.now()
    // Before the answer: who takes it may submit the next request at once, into the same scan.
    recordRejection(this.ports.rejections, { code, party, scan: this.scan, view, nowMs })
    this.refuse(code, sink, tag, nowMs)
  }

  /** Answers with an acknowledgement of the gateway's own, about the request in `scan`. */
  private refuse(code: ErrorCode, sink: AnswerSink, tag: number, nowMs: number): void {
    // An assigned counter that nobody has accepted is nobody's.
    if (this.scan.assignsCounter) this.scan.counter = 0n
    this.metrics.rejected(code)
    sink.answer(tag, this.ownAnswer.toScan(code, this.scan, nowMs), 0)
  }

  /** Sends a frame; the queue has made room for it. */
  private readonly launch = (queue: OwnerQueue, flight: Flight): void => {
    const { slots } = this
    this.bytesInFlight += flight.frame.length
    let oldestMs = Infinity
    for (const slot of flight.slots) {
      slots.flights[slot] = flight
      if (slots.startedMs[slot]! < oldestMs) oldestMs = slots.startedMs[slot]!
    }
    if (queue.owner === undefined) {
      queue.landed()
      return this.strandAll(flight)
    }
    const leftMs = limits.acknowledgementWaitMsMax - (this.ports.clock.elapsedMs() - oldestMs)
    this.ports.bus.request(hostSubject(queue.owner), flight.frame, Math.max(1, leftMs)).then(
      (reply) => {
        queue.landed()
        this.land(flight, reply)
      },
      (error: unknown) => {
        queue.landed()
        this.ports.log.warn(
          { host: queue.owner, requests: flight.left, reason: String(error) },
          'a frame was not answered',
        )
        this.strandAll(flight)
      },
    )
  }

  /** Hands out the answers of a frame. What it leaves unanswered waits for another owner. */
  private land(flight: Flight, reply: Buffer): void {
    const { slots } = this
    try {
      forEachEnvelope(reply, 0, (at) => {
        const slot = readCorrelation(reply, at)
        // A slot that has been answered or sent elsewhere meanwhile belongs to another flight.
        if (slot >= slots.count || slots.flights[slot] !== flight || slots.stranded[slot]) return
        const kind = readKind(reply, at)
        if (kind !== Kind.ACKNOWLEDGEMENT && kind !== Kind.STATUS) return
        const outcome = readOutcome(reply, at)
        if (kind === Kind.ACKNOWLEDGEMENT && outcome === partitionUnavailableId) this.strand(slot)
        else if (slots.assignsLeft[slot]! > 0 && isOfTaken(outcome))
          this.assignAgain(slot, reply, at)
        else this.answer(slot, reply, at)
      })
    } catch (error) {
      this.ports.log.error(
        { host: flight.owner, reason: String(error) },
        'a host answered with what is not a frame',
      )
    }
    if (flight.left > 0) this.strandAll(flight)
  }

  /**
   * The counter that was assigned is taken, or the clock here lags: assigns one above all that the
   * device has accepted.
   */
  private assignAgain(slot: number, reply: Buffer, at: number): void {
    const { slots } = this
    const flight = slots.flights[slot]!
    const { assigned } = slots.accounts[slot]!
    slots.assignsLeft[slot]!--
    assigned.passBy(readCounterBounds(reply, at)?.highest ?? 0n)
    const counterAt = slots.offsets[slot]! + offsetOf.counter
    const counter = assigned.next(this.ports.clock.now())
    if (counter > requestCounterMax) return this.answer(slot, reply, at)
    flight.frame.writeBigUInt64BE(counter, counterAt)
    const owner = this.ports.directory.ownerOf(slots.partitions[slot]!)
    if (owner === undefined) this.strand(slot)
    else this.sendAgain(slot, flight, owner)
  }

  /** Frees the slot, then answers: the sink may submit again at once. */
  private answer(slot: number, buffer: Buffer, at: number): void {
    const { slots } = this
    const sink = slots.sinks[slot]!
    const tag = slots.tags[slot]!
    const partition = slots.partitions[slot]!
    if (readKind(buffer, at) === Kind.ACKNOWLEDGEMENT) {
      const tookMs = this.ports.clock.elapsedMs() - slots.startedMs[slot]!
      this.metrics.acknowledged(readOutcome(buffer, at), tookMs)
    }
    // The host has given it back: from here on it is the party's own number.
    writeSafeU64(buffer, slots.correlations[slot]!, at + offsetOf.correlation)
    this.leaveFlight(slot)
    this.partitionInFlight[partition]!--
    slots.release(slot)
    sink.answer(tag, buffer, at)
    if (slots.used === 0 && this.drained) {
      this.drained()
      this.drained = undefined
    }
  }

  private leaveFlight(slot: number): void {
    const flight = this.slots.flights[slot]
    if (flight && --flight.left === 0) this.bytesInFlight -= flight.frame.length
    if (this.slots.stranded[slot]) {
      this.slots.stranded[slot] = 0
      this.partitionStranded[this.slots.partitions[slot]!]!--
    }
  }

  private strandAll(flight: Flight): void {
    for (const slot of flight.slots) if (this.slots.flights[slot] === flight) this.strand(slot)
  }

  private strand(slot: number): void {
    if (this.slots.stranded[slot]) return
    this.slots.stranded[slot] = 1
    this.partitionStranded[this.slots.partitions[slot]!]!++
  }

  /** Follows the owner of a partition for as long as requests for it are open. */
  private async watch(partition: number): Promise<void> {
    const { directory, clock } = this.ports
    this.partitionWatched[partition] = 1
    while (this.partitionInFlight[partition]! > 0 && !this.isClosed) {
      const was = directory.ownerOf(partition)
      try {
        await directory.changed(partition, was, limits.ownerWaitMs)
      } catch (error) {
        this.ports.log.warn({ partition, reason: String(error) }, 'the owner directory failed')
        await pause(clock, limits.ownerWaitMs)
      }
      const owner = directory.ownerOf(partition)
      if (this.partitionStranded[partition]! > 0 || owner !== was)
        this.moveOn(partition, was, owner)
    }
    this.partitionWatched[partition] = 0
  }

  /** Sends what waits for `partition` to `owner`, or gives up on what has waited too long. */
  private moveOn(partition: number, was: string | undefined, owner: string | undefined): void {
    const { slots } = this
    if (was !== owner) this.queues.of(was).launchAll()
    const { clock } = this.ports
    const elapsedMs = clock.elapsedMs()
    for (let slot = 0; slot < slots.count; slot++) {
      const flight = slots.flights[slot]
      if (flight === undefined || slots.partitions[slot] !== partition) continue
      if (!slots.stranded[slot] && flight.owner === owner) continue
      if (elapsedMs - slots.startedMs[slot]! >= limits.acknowledgementWaitMsMax)
        this.giveUp(slot, flight, clock.now())
      else if (owner !== undefined) this.sendAgain(slot, flight, owner)
    }
    if (was !== owner) this.queues.forgetIdle(this.ports.directory)
  }

  private sendAgain(slot: number, flight: Flight, owner: string): void {
    const { slots } = this
    const from = slots.offsets[slot]!
    const to = envelopeEnd(flight.frame, from)
    const queue = this.queues.of(owner)
    if (queue.isFullFor(to - from)) queue.flush()
    // No room: it stays where it is until the watch comes round again.
    if (queue.isFullFor(to - from)) return this.strand(slot)
    this.leaveFlight(slot)
    slots.flights[slot] = undefined
    const at = queue.writer.reserve(to - from)
    flight.frame.copy(queue.writer.target, at, from, to)
    queue.add(slot, at, slots)
    this.metrics.sentAgain.add()
  }

  private giveUp(slot: number, flight: Flight, nowMs: number): void {
    const at = this.slots.offsets[slot]!
    const code = 'BROKER_PARTITION_UNAVAILABLE'
    this.answer(slot, this.ownAnswer.toEnvelope(code, flight.frame, at, nowMs), 0)
  }
}
