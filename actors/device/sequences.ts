/**
 * Sequences: a request names its predecessor, and starts when that has succeeded. Pure, a part of
 * actor.ts.
 *
 *   accepted ─▶ waits for its predecessor ── that has succeeded ─▶ waiting for its turn, state.ts
 *                  ├── it has failed, was cancelled, or came too late ─▶ ended, with a DCC alert
 *                  └── its own deadline, or the longest wait ─────────▶ ended, with a DCC alert
 *
 * A predecessor is known when its successor is accepted, and has one successor only: there are no
 * loops. What waits holds up nothing; once it may start, it has the place in its lane that its
 * acceptance gave it. What a party may is checked where every request is: when it is accepted, at
 * each change, and when it is sent.
 */
import {
  sequenceAlertOf,
  sequenceEndOf,
  type SequenceEnd,
} from '../../core/access/sequence-rules.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import { errorCodeOf, errorId, type ErrorCode } from '../../core/base/error-table.ts'
import type { Eui64 } from '../../core/base/eui64.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithSchedules } from '../../core/cluster/format.ts'
import { readTarget } from '../../core/envelope/envelope.ts'
import { sequenceIn, type Sequence } from '../../core/envelope/sequenced-request.ts'
import { isOfSchedules } from '../../core/translate/body-types.ts'
import { sequenceFailedBodyOf } from '../../core/translate/dcc-alert.ts'
import type { Arrived } from '../kind/messages.ts'
import { endOf } from './clock-set.ts'
import type { DeviceOutbox } from './effects.ts'
import { end } from './ending.ts'
import { burnt } from './keys.ts'
import type { SequencedEnd, SequencePlace } from './sequence-facts.ts'
import { findOpen, type DeviceState, type OpenRequest } from './state.ts'
import type { PredecessorSucceeded } from './waiting-facts.ts'

type Name = { readonly originator: Eui64; readonly counter: RequestCounter }

const findSequenced = (
  { sequenced }: DeviceState,
  originator: Eui64,
  counter: RequestCounter,
): SequencedEnd | undefined =>
  sequenced.find((one) => one.counter === counter && one.originator === originator)

function hasSuccessor(state: DeviceState, originator: Eui64, counter: RequestCounter): boolean {
  const isSuccessor = (one: { originator: Eui64; preceding: RequestCounter | undefined }) =>
    one.preceding === counter && one.originator === originator
  return (
    state.sequenced.some(isSuccessor) ||
    state.open.some(
      ({ originator: party, sequence }) =>
        sequence !== undefined && isSuccessor({ originator: party, ...sequence }),
    )
  )
}

/**
 * Why a new request cannot have the place in a sequence that it names; undefined when it can, and
 * for a request in no sequence.
 */
export function refusalOfSequence(
  state: DeviceState,
  { buffer, at }: Pick<Arrived, 'buffer' | 'at'>,
  { originator, counter }: Name,
  format: number,
): ErrorCode | undefined {
  const sequence = sequenceIn(buffer, at)
  if (sequence === undefined) return undefined
  if (format < formatWithSchedules) return 'FORMAT_NOT_RAISED'
  const { isFirst, preceding } = sequence
  if (preceding === undefined) return isFirst ? undefined : 'SEQUENCE_INCONSISTENT'
  if (isFirst) return 'SEQUENCE_INCONSISTENT'
  if (preceding.originator !== originator) return 'SEQUENCE_PREDECESSOR_FOREIGN'
  if (preceding.target !== readTarget(buffer, at)) return 'SEQUENCE_DEVICES_DIFFER'
  if (preceding.counter === counter) return 'SEQUENCE_INCONSISTENT'
  return refusalBehind(state, originator, preceding.counter)
}

/** The same, as far as the predecessor says. */
function refusalBehind(
  state: DeviceState,
  originator: Eui64,
  counter: RequestCounter,
): ErrorCode | undefined {
  const open = findOpen(state, originator, counter)
  if (open !== undefined && open.sequence === undefined) return 'SEQUENCE_INCONSISTENT'
  const ended = open === undefined ? findSequenced(state, originator, counter) : undefined
  const place = open?.sequence?.place ?? ended?.place
  if (place === undefined) return 'SEQUENCE_PREDECESSOR_UNKNOWN'
  if (hasSuccessor(state, originator, counter)) return 'SEQUENCE_INCONSISTENT'
  if (place >= limits.sequenceLengthMax) return 'SEQUENCE_TOO_LONG'
  return ended && sequenceEndOf(ended.outcome)
}

/** The place of a request that is being accepted; read from its acceptance, and so replayed. */
export function placeOf(
  state: DeviceState,
  originator: Eui64,
  { isFirst, preceding }: Sequence,
): SequencePlace {
  if (preceding === undefined)
    return { isFirst, preceding: undefined, device: undefined, place: 1, isWaiting: false }
  const { counter, target: device } = preceding
  const open = findOpen(state, originator, counter)
  const before = open?.sequence?.place ?? findSequenced(state, originator, counter)?.place ?? 1
  return { isFirst, preceding: counter, device, place: before + 1, isWaiting: open !== undefined }
}

/** True while `request` waits for its predecessor. */
export const waitsForPredecessor = ({ sequence }: OpenRequest): boolean =>
  sequence?.isWaiting === true

/**
 * When the wait of `request` is over at the latest, UTC ms by the host's present clock: at its
 * deadline, or after the longest wait.
 */
export function waitEndOf(request: OpenRequest): number {
  // Its schedules answer in any case.
  if (isOfSchedules(request.bodyType)) return Number.POSITIVE_INFINITY
  const end = endOf(request)
  const { deadline, acceptedAt } = request
  return waitsForPredecessor(request)
    ? end - Math.max(0, deadline - acceptedAt - limits.sequenceWaitMsMax)
    : end
}

/**
 * `request` ends with `outcome`: after a success its successor may be sent in the same tick. Beside
 * the fact of the end.
 */
export function releaseSuccessor(
  state: DeviceState,
  request: OpenRequest,
  outcome: number,
  now: number,
  out: DeviceOutbox,
): void {
  if (request.sequence === undefined || sequenceEndOf(outcome) !== undefined) return
  for (const { originator, counter, sequence } of state.open)
    if (originator === request.originator && sequence?.preceding === request.counter)
      out.facts.push({ type: 'PREDECESSOR_SUCCEEDED', originator, counter, time: now })
}

/** Lets go, or ends, what waits for a predecessor that has ended. True when there was any. */
export function settleSequences(state: DeviceState, now: number, out: DeviceOutbox): boolean {
  let isAny = false
  for (const request of state.open) {
    const { originator, counter, sequence } = request
    if (sequence?.isWaiting !== true || sequence.preceding === undefined) continue
    if (findOpen(state, originator, sequence.preceding) !== undefined) continue
    isAny = true
    const before = findSequenced(state, originator, sequence.preceding)
    const code =
      before === undefined ? 'SEQUENCE_PREDECESSOR_FAILED' : sequenceEndOf(before.outcome)
    if (code === undefined)
      out.facts.push({ type: 'PREDECESSOR_SUCCEEDED', originator, counter, time: now })
    else endWaiting(state, request, code, now, out)
  }
  return isAny
}

/** Ends what has waited for its predecessor for too long. */
export function endOverdue(
  state: DeviceState,
  request: OpenRequest,
  now: number,
  out: DeviceOutbox,
): void {
  const isDeadline = endOf(request) <= now
  const code = isDeadline ? 'SEQUENCE_PREDECESSOR_LATE' : 'SEQUENCE_WAIT_EXCEEDED'
  endWaiting(state, request, code, now, out)
}

function endWaiting(
  state: DeviceState,
  request: OpenRequest,
  code: SequenceEnd,
  now: number,
  out: DeviceOutbox,
): void {
  end(out, request, now, { outcome: errorId(code), using: burnt(state.keyring) })
  const { originator, sequence } = request
  if (sequence?.preceding === undefined || sequence.device === undefined) return
  const before = findSequenced(state, originator, sequence.preceding)
  const about = {
    request,
    device: sequence.device,
    preceding: sequence.preceding,
    reason: code,
    precedingReason: before === undefined ? '' : (errorCodeOf(before.outcome) ?? ''),
  }
  out.deliveries.push({
    party: originator,
    receivedAt: now,
    time: now,
    bodyBytes: sequenceFailedBodyOf(about, sequenceAlertOf(code), now),
    isOfDcc: true,
  })
}

/** Applies PREDECESSOR_SUCCEEDED. */
export function evolveSucceeded(
  state: DeviceState,
  { originator, counter }: PredecessorSucceeded,
): void {
  const request = findOpen(state, originator, counter)
  if (request?.sequence !== undefined) request.sequence = { ...request.sequence, isWaiting: false }
}

/** Remembers the end of a request in a sequence; to be called when it is open no more. */
export function rememberSequenced(state: DeviceState, request: OpenRequest, outcome: number): void {
  const { originator, counter, sequence } = request
  if (sequence === undefined) return
  const { preceding, place } = sequence
  const all = [...state.sequenced, { originator, counter, preceding, place, outcome }]
  const isWaitedFor = (ended: SequencedEnd): boolean =>
    state.open.some(
      (one) => one.originator === ended.originator && one.sequence?.preceding === ended.counter,
    )
  const spare = all.length - limits.deviceSequencedRememberedMax
  state.sequenced = all.filter((one, index) => index >= spare || isWaitedFor(one))
}
