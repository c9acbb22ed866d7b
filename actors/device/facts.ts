/**
 * What has happened to a device: version 1. All but what was sent are in the ledger, as envelopes
 * in the partition's frame of a tick. A kind's meaning never changes; what must be said differently
 * becomes a new kind.
 */
import { readRejection, rejectionBody } from '../../core/access/rejection.ts'
import { copyOf, emptyBytes, fnv1a32, writeOctetsOf } from '../../core/base/bytes.ts'
import { readRequestCounter, type RequestCounter } from '../../core/base/counter.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { Srv } from '../../core/base/srv.ts'
import {
  envelopeEnd,
  readAttempt,
  readBodyType,
  readBodyView,
  readDeadline,
  readKind,
  readLane,
  readOriginator,
  readOutcome,
  readSrv,
  readTarget,
  readTime,
  writeSafeU64,
} from '../../core/envelope/envelope.ts'
import { isRunCounter } from '../../core/schedule/run-counter.ts'
import type { FrameWriter } from '../../core/envelope/frame.ts'
import { headerBytes, headerTemplate, Kind, offsetOf } from '../../core/envelope/layout.ts'
import { executeAtIn, executeAtView, futureBodyOf } from '../../core/envelope/future-request.ts'
import {
  sequencedBodyOf,
  sequenceIn,
  sequenceView,
  type Sequence,
} from '../../core/envelope/sequenced-request.ts'
import {
  requestBodyStart,
  requestBodyView,
  sealedBodyOf,
  sealViewOf,
} from '../../core/envelope/signed-request.ts'
import {
  countersBody,
  keysBody,
  readKeysFact,
  usingBody,
  usingIn as usingOf,
  type KeysFact,
  type Using,
} from './keys-facts.ts'
import { readReset, resetBody, type RequestCountersReset } from './counters-facts.ts'
import { grantBody, readGrantFact, type RequestGranted } from './grant-fact.ts'
import { heldBody, readHeld, type RequestHeld } from './hold-facts.ts'
import { isLinksFact, linksBody, readLinksFact, type LinksFact } from './links-facts.ts'
import { isRecordFact, readRecordFact, recordBody, type RecordFact } from './record-facts.ts'
import type { RequestRejected } from './rejection-fact.ts'
import { readRemoval, removalBody, type DeviceRemoved } from './removal-fact.ts'
import { readStatusFact, statusFactBody, type DeviceStatusChanged } from './status-fact.ts'
import {
  knownBody,
  readKnown,
  readRunRefused,
  type ScheduledRunRefused,
  type SchedulesKnown,
} from './schedule-facts.ts'
import {
  aboutRequestIn,
  type AboutRequest,
  type ExecutionTimeCame,
  type PredecessorSucceeded,
} from './waiting-facts.ts'
import { readThrottleFact, takenBody, toldBody, type ThrottleFact } from './throttle-facts.ts'
import type { KeyStep, OpenRequest } from './state.ts'

/**
 * `sealBytes`, of a signed request, are for the ledger alone: no state has them. `named` is the
 * place in a sequence as its party named it.
 */
export type RequestAccepted = {
  type: 'REQUEST_ACCEPTED'
  request: OpenRequest
  sealBytes?: Buffer | undefined
  named?: Sequence | undefined
}
/** Not in the ledger: after a crash nobody can know whether it went out, so it is sent again. */
export type RequestSent = { type: 'REQUEST_SENT'; request: OpenRequest; countersFrom: number }
/** Likewise. */
export type KeyStepSent = { type: 'KEY_STEP_SENT'; step: KeyStep; countersFrom: number }
type Concerning = AboutRequest & { outcome: number; attempt: number }
export type AttemptFailed = Concerning & Using & { type: 'ATTEMPT_FAILED'; nextAttemptAt: number }
export type RequestEnded = Concerning & Using & { type: 'REQUEST_ENDED' }
/**
 * The actor threw on a message about this request, whose body is kept here. It has ended, with
 * DEVICE_ACTOR_PARKED.
 */
export type RequestParked = Concerning & { type: 'REQUEST_PARKED'; bodyBytes: Buffer }

/**
 * It has sent an unsolicited message, the push `id`, which went to its parties; `received` is the
 * counter that it came with.
 */
export type DeviceAlerted = Using & { type: 'DEVICE_ALERTED'; time: number; id: RequestCounter }

export type DeviceFact =
  | KeysFact
  | RequestCountersReset
  | DeviceAlerted
  | RecordFact
  | LinksFact
  | DeviceStatusChanged
  | DeviceRemoved
  | RequestAccepted
  | RequestGranted
  | RequestSent
  | KeyStepSent
  | AttemptFailed
  | RequestEnded
  | RequestParked
  | RequestRejected
  | RequestHeld
  | PredecessorSucceeded
  | ExecutionTimeCame
  | SchedulesKnown
  | ScheduledRunRefused
  | ThrottleFact

/** True for facts that name a request. */
export function isOfRequest(
  fact: DeviceFact,
): fact is Exclude<DeviceFact, KeyStepSent | OfNoRequest | RequestRejected> {
  return 'originator' in fact || 'request' in fact
}

const noId = '\0'.repeat(8)

/** True for facts that have a place in the ledger. */
export const isWritten = ({ type }: DeviceFact): boolean =>
  type !== 'REQUEST_SENT' && type !== 'KEY_STEP_SENT'

/** Appends `fact` of `device` to the partition's frame. Only those that `isWritten`. */
export function writeFact(frame: FrameWriter, device: Eui64, fact: DeviceFact): void {
  switch (fact.type) {
    case 'REQUEST_ACCEPTED':
      return writeAccepted(frame, device, fact)
    case 'ATTEMPT_FAILED':
      return writeConcerning(frame, device, fact, usingBody(fact))
    case 'REQUEST_ENDED':
      return writeConcerning(frame, device, fact, usingBody(fact))
    case 'REQUEST_PARKED':
      return writeConcerning(frame, device, fact, fact.bodyBytes)
    case 'REQUEST_GRANTED': {
      const { originator, counter, time } = fact
      const kind = Kind.REQUEST_GRANTED
      begin(frame, device, { kind, originator, counter, time, bodyView: grantBody(fact) })
      return
    }
    case 'REQUEST_REJECTED':
      return writeRejected(frame, device, fact)
    case 'REQUEST_HELD': {
      const bodyView = heldBody(fact)
      return void begin(frame, device, { ...fact, kind: Kind.REQUEST_HELD, bodyView })
    }
    case 'PREDECESSOR_SUCCEEDED':
    case 'EXECUTION_TIME_CAME': {
      const kind = Kind[fact.type]
      return void begin(frame, device, { ...fact, kind, bodyView: emptyBytes })
    }
    case 'SCHEDULED_RUN_REFUSED': {
      const kind = Kind.SCHEDULED_RUN_REFUSED
      const at = begin(frame, device, { ...fact, kind, bodyView: emptyBytes })
      frame.target.writeUInt32BE(fact.srv, at + offsetOf.srv)
      frame.target.writeUInt16BE(fact.outcome, at + offsetOf.outcome)
      return
    }
    case 'REQUEST_SENT':
    case 'KEY_STEP_SENT':
      throw new BrokerError('ENVELOPE_MALFORMED', `${fact.type} has no place in the ledger`)
    default: {
      const { type, time } = fact
      const at = begin(frame, device, { kind: Kind[type], time, ...contentOf(fact) })
      const isTried = type === 'KEYS_TRIED'
      frame.target.writeUInt16BE(isTried ? fact.outcome : 0, at + offsetOf.outcome)
      frame.target.writeUInt16BE(isTried ? fact.attempt : 0, at + offsetOf.attempt)
      writeSafeU64(frame.target, isTried ? fact.nextAttemptAt : 0, at + offsetOf.deadline)
    }
  }
}

type OfNoRequest =
  | ThrottleFact
  | SchedulesKnown
  | DeviceStatusChanged
  | LinksFact
  | RecordFact
  | DeviceRemoved
  | RequestCountersReset
  | DeviceAlerted
  | KeysFact

/** What a fact of no request has of an envelope besides kind and time. */
function contentOf(fact: OfNoRequest): Pick<Envelope, 'originator' | 'counter' | 'bodyView'> {
  if (isRecordFact(fact)) return { originator: noId, counter: noId, bodyView: recordBody(fact) }
  if (isLinksFact(fact)) return { originator: noId, counter: noId, bodyView: linksBody(fact) }
  switch (fact.type) {
    case 'DEVICE_STATUS_CHANGED':
      return { originator: noId, counter: noId, bodyView: statusFactBody(fact) }
    case 'SCHEDULES_KNOWN':
      return { originator: noId, counter: noId, bodyView: knownBody(fact) }
    case 'DEVICE_REMOVED':
      return { originator: noId, counter: noId, bodyView: removalBody(fact) }
    case 'REQUEST_COUNTERS_RESET':
      return { originator: fact.party, counter: fact.to, bodyView: resetBody(fact) }
    case 'DEVICE_ALERTED':
      return { originator: noId, counter: fact.id, bodyView: countersBody(fact.counters) }
    case 'ALERTS_TAKEN':
      return { originator: noId, counter: fact.id, bodyView: takenBody(fact) }
    case 'HELD_ALERTS_TOLD':
      return { originator: noId, counter: noId, bodyView: toldBody(fact) }
    default:
      return { originator: noId, counter: noId, bodyView: keysBody(fact) }
  }
}

function writeAccepted(
  frame: FrameWriter,
  device: Eui64,
  { request, sealBytes, named }: RequestAccepted,
): void {
  const { originator, counter, bodyBytes, acceptedAt } = request
  const isSigned = sealBytes !== undefined
  const plainKind = isSigned ? Kind.SIGNED_REQUEST_ACCEPTED : Kind.REQUEST_ACCEPTED
  const sealedView = isSigned ? sealedBodyOf(sealBytes, bodyBytes) : bodyBytes
  const about = { originator, counter, time: acceptedAt }
  let envelope: Envelope = { ...about, kind: plainKind, bodyView: sealedView }
  if (named !== undefined) {
    const bodyView = sequencedBodyOf(named, sealedView, isSigned)
    envelope = { ...about, kind: Kind.SEQUENCED_REQUEST_ACCEPTED, bodyView }
  } else if (request.future !== undefined) {
    const bodyView = futureBodyOf(request.future.executeAt, sealedView, isSigned)
    envelope = { ...about, kind: Kind.FUTURE_REQUEST_ACCEPTED, bodyView }
  }
  const at = begin(frame, device, envelope)
  const buffer = frame.target
  buffer[at + offsetOf.lane + 1] = request.lane
  buffer.writeUInt32BE(request.srv, at + offsetOf.srv)
  buffer.writeUInt16BE(request.bodyType, at + offsetOf.bodyType)
  writeSafeU64(buffer, request.deadline, at + offsetOf.deadline)
}

function writeRejected(frame: FrameWriter, device: Eui64, { rejection }: RequestRejected): void {
  const { originator, counter, time, srv, outcome } = rejection
  const bodyView = rejectionBody(rejection)
  const kind = Kind.REQUEST_REJECTED
  const at = begin(frame, device, { kind, originator, counter, bodyView, time })
  frame.target.writeUInt32BE(srv, at + offsetOf.srv)
  frame.target.writeUInt16BE(outcome, at + offsetOf.outcome)
}

type Envelope = {
  kind: Kind
  originator: string
  counter: string
  bodyView: Buffer
  time: number
}

/** @returns where it begins in the frame */
function begin(frame: FrameWriter, device: string, envelope: Envelope): number {
  const { kind, originator, counter, bodyView, time } = envelope
  const at = frame.reserve(headerBytes + bodyView.length)
  const buffer = frame.target
  buffer.set(headerTemplate, at)
  buffer[at + offsetOf.kind + 1] = kind
  writeOctetsOf(originator, buffer, at + offsetOf.originator)
  writeOctetsOf(device, buffer, at + offsetOf.target)
  writeOctetsOf(counter, buffer, at + offsetOf.counter)
  writeSafeU64(buffer, time, at + offsetOf.time)
  buffer.writeUInt32BE(bodyView.length, at + offsetOf.body)
  if (bodyView.length > 0) buffer.set(bodyView, at + headerBytes)
  frame.count++
  return at
}

function writeConcerning(
  frame: FrameWriter,
  device: Eui64,
  fact: AttemptFailed | RequestEnded | RequestParked,
  bodyView: Buffer,
): void {
  const { originator, counter, time, outcome, attempt } = fact
  const at = begin(frame, device, { kind: Kind[fact.type], originator, counter, bodyView, time })
  const buffer = frame.target
  buffer.writeUInt16BE(outcome, at + offsetOf.outcome)
  buffer.writeUInt16BE(attempt, at + offsetOf.attempt)
  const deadline = fact.type === 'ATTEMPT_FAILED' ? fact.nextAttemptAt : 0
  writeSafeU64(buffer, deadline, at + offsetOf.deadline)
}

/**
 * Of what a request asks for: srv, type of body, place in a sequence, execution time and body; not
 * of its deadline or lane, which a repeat may change.
 */
export function contentHashOf(buffer: Buffer, at: number): number {
  const srvHash = fnv1a32(buffer, at + offsetOf.srv, at + offsetOf.srv + 4)
  let hash = fnv1a32(buffer, at + offsetOf.bodyType, at + offsetOf.bodyType + 2, srvHash)
  const kind = readKind(buffer, at)
  if (kind !== Kind.SERVICE_REQUEST && kind !== Kind.REQUEST_ACCEPTED)
    for (const view of [sequenceView(buffer, at), executeAtView(buffer, at)])
      hash = fnv1a32(view, 0, view.length, hash)
  return fnv1a32(buffer, requestBodyStart(buffer, at), envelopeEnd(buffer, at), hash)
}

/** The same of the run of a schedule. */
export function contentHashOfRun(srv: Srv, bodyType: number, bodyView: Buffer): number {
  const head = Buffer.alloc(6)
  head.writeUInt32BE(srv)
  head.writeUInt16BE(bodyType, 4)
  return fnv1a32(bodyView, 0, bodyView.length, fnv1a32(head, 0, head.length))
}

/**
 * A request as it was accepted, from the envelope that submits it or that of its acceptance; the
 * body is copied. `originator` and `counter` are the envelope's, which the caller has read already.
 */
export function readRequest(
  buffer: Buffer,
  at: number,
  originator: Eui64,
  counter: RequestCounter,
  acceptedAt: number,
): OpenRequest {
  const executeAt = executeAtIn(buffer, at)
  return {
    originator,
    counter,
    lane: readLane(buffer, at),
    srv: readSrv(buffer, at),
    bodyType: readBodyType(buffer, at),
    contentHash: contentHashOf(buffer, at),
    acceptedAt,
    deadline: readDeadline(buffer, at),
    attempt: 0,
    nextAttemptAt: 0,
    lastOutcome: 0,
    bodyBytes: copyOf(requestBodyView(buffer, at)),
    ...(executeAt !== undefined && { future: { executeAt, isWaiting: true } }),
    ...(isRunCounter(counter) && { run: { device: readTarget(buffer, at) } }),
  }
}

/**
 * The fact at `buffer[at]`, in memory of its own.
 * @throws BrokerError ENVELOPE_MALFORMED when the envelope is no fact of a device
 */
export function readFact(buffer: Buffer, at: number): DeviceFact {
  const known =
    readKeysFact(buffer, at) ??
    readRecordFact(buffer, at) ??
    readLinksFact(buffer, at) ??
    readGrantFact(buffer, at) ??
    readThrottleFact(buffer, at)
  if (known !== undefined) return known
  const kind = readKind(buffer, at)
  switch (kind) {
    case Kind.DEVICE_REMOVED:
      return readRemoval(buffer, at)
    case Kind.DEVICE_STATUS_CHANGED:
      return readStatusFact(buffer, at)
    case Kind.REQUEST_COUNTERS_RESET:
      return readReset(buffer, at)
    case Kind.DEVICE_ALERTED:
      return {
        type: 'DEVICE_ALERTED',
        time: readTime(buffer, at),
        id: readRequestCounter(buffer, at + offsetOf.counter),
        ...usingIn(buffer, at),
      }
    case Kind.SCHEDULES_KNOWN:
      return readKnown(buffer, at)
    case Kind.SCHEDULED_RUN_REFUSED:
      return readRunRefused(buffer, at)
    case Kind.PREDECESSOR_SUCCEEDED:
      return { type: 'PREDECESSOR_SUCCEEDED', ...aboutRequestIn(buffer, at) }
    case Kind.EXECUTION_TIME_CAME:
      return { type: 'EXECUTION_TIME_CAME', ...aboutRequestIn(buffer, at) }
    case Kind.FUTURE_REQUEST_ACCEPTED:
    case Kind.SEQUENCED_REQUEST_ACCEPTED:
    case Kind.SIGNED_REQUEST_ACCEPTED:
    case Kind.REQUEST_ACCEPTED:
      return {
        type: 'REQUEST_ACCEPTED',
        ...sealIn(buffer, at),
        ...namedIn(buffer, at),
        request: readRequest(
          buffer,
          at,
          readOriginator(buffer, at),
          readRequestCounter(buffer, at + offsetOf.counter),
          readTime(buffer, at),
        ),
      }
    case Kind.ATTEMPT_FAILED:
      return {
        type: 'ATTEMPT_FAILED',
        ...readConcerning(buffer, at),
        ...usingIn(buffer, at),
        nextAttemptAt: readDeadline(buffer, at),
      }
    case Kind.REQUEST_ENDED:
      return { type: 'REQUEST_ENDED', ...readConcerning(buffer, at), ...usingIn(buffer, at) }
    case Kind.REQUEST_REJECTED:
      return { type: 'REQUEST_REJECTED', rejection: readRejection(buffer, at).rejection }
    case Kind.REQUEST_HELD:
      return readHeld(buffer, at)
    case Kind.REQUEST_PARKED:
      return {
        type: 'REQUEST_PARKED',
        ...readConcerning(buffer, at),
        bodyBytes: copyOf(readBodyView(buffer, at)),
      }
    default:
      throw new BrokerError('ENVELOPE_MALFORMED', `kind ${kind} is no fact of a device`)
  }
}

/** The place in a sequence that a request names which is submitted or was accepted at `at`. */
export function namedIn(buffer: Buffer, at: number): { named?: Sequence } {
  const named = sequenceIn(buffer, at)
  return named === undefined ? {} : { named }
}

/** The seal of a signed request that is submitted or was accepted at `at`, in memory of its own. */
export function sealIn(buffer: Buffer, at: number): { sealBytes?: Buffer } {
  const view = sealViewOf(buffer, at)
  return view === undefined ? {} : { sealBytes: copyOf(view) }
}

function usingIn(buffer: Buffer, at: number): Using {
  return usingOf(readBodyView(buffer, at))
}

function readConcerning(buffer: Buffer, at: number): Concerning {
  return {
    ...aboutRequestIn(buffer, at),
    outcome: readOutcome(buffer, at),
    attempt: readAttempt(buffer, at),
  }
}
