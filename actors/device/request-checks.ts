/**
 * Why the device does not accept a request that it has not seen before, in the order of the checks.
 * Pure, a part of actor.ts.
 */
import { refusalAtDevice } from '../../core/access/access-control.ts'
import { standingOf, type Directory } from '../../core/access/directory.ts'
import { numberOfCounter, readRequestCounter } from '../../core/base/counter.ts'
import type { ErrorCode } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { isCounterTooHigh } from '../../core/base/request-counter.ts'
import { serviceRequestOf } from '../../core/catalogue/service-requests.ts'
import { readDeadline, readOriginator, readSrv } from '../../core/envelope/envelope.ts'
import { offsetOf } from '../../core/envelope/layout.ts'
import type { Arrived } from '../kind/messages.ts'
import { noCounter } from './counter-bounds.ts'
import { entitlementAt } from './grants.ts'
import { refusalOfTime } from './future.ts'
import { hasRoom } from './holds.ts'
import { refusalOfSequence } from './sequences.ts'
import { statusOf } from './status.ts'
import type { DeviceState, Originator } from './state.ts'

/**
 * The code of the first check that fails; undefined when the request is to be accepted.
 * @param originator  what the device knows of the counters of the party
 */
export function refusalOf(
  state: DeviceState,
  { buffer, at }: Arrived,
  originator: Originator | undefined,
  now: number,
  directory: Directory,
): ErrorCode | undefined {
  const { record } = state
  // Behind what is known: a removed device still answers for the requests that it had accepted.
  if (record === undefined) return 'DEVICE_UNKNOWN'
  const party = readOriginator(buffer, at)
  const standing = standingOf(directory, party)
  if (standing !== undefined) return standing
  const counter = readRequestCounter(buffer, at + offsetOf.counter)
  if (originator?.floor !== undefined && counter <= originator.floor) return 'REQUEST_COUNTER_STALE'
  if (isCounterTooHigh(numberOfCounter(counter), highestOf(originator), now))
    return 'REQUEST_COUNTER_TOO_HIGH'
  const row = serviceRequestOf(readSrv(buffer, at))
  if (row === undefined) return 'REQUEST_SRV_UNKNOWN'
  const entitlement = entitlementAt(state, { party, srv: row.srv, directory, atMs: now })
  const refusal = refusalAtDevice(row, record.type, statusOf(state), entitlement)
  if (refusal !== undefined) return refusal
  const untimely = refusalOfTime(
    state,
    { buffer, at },
    { originator: party, srv: row.srv },
    now,
    directory.format,
  )
  if (untimely !== undefined) return untimely
  if (readDeadline(buffer, at) <= now) return 'REQUEST_DEADLINE_PAST'
  const unfit = refusalOfSequence(
    state,
    { buffer, at },
    { originator: party, counter },
    directory.format,
  )
  if (unfit !== undefined) return unfit
  if (originator === undefined && state.originators.length >= limits.deviceOriginatorsMax)
    return 'DEVICE_ORIGINATORS_FULL'
  return hasRoom(state) ? undefined : 'DEVICE_QUEUE_FULL'
}

const highestOf = (originator: Originator | undefined): bigint | undefined =>
  originator && originator.highest !== noCounter ? numberOfCounter(originator.highest) : undefined
