/** Whose turn it is at a device. Pure, a part of actor.ts. */
import type { Eui64 } from '../../core/base/eui64.ts'
import { laneCount } from '../../core/base/lane.ts'
import { endOf, isWaiting } from './clock-set.ts'
import { isForSchedules } from './schedules.ts'
import { waitsForTime } from './future.ts'
import { waitsForPredecessor } from './sequences.ts'
import type { DeviceState, OpenRequest } from './state.ts'

/**
 * The first of the most urgent lane whose first may go now. What waits for its next attempt holds
 * up its lane; what is counted holds up later requests of its party there (holds.ts); what waits
 * for its predecessor in a sequence, or for its execution time, holds up nothing. What is too late
 * holds up its lane until a wake ends it: it would go after later ones should the clock be set
 * back.
 */
export function nextInTurn(state: DeviceState, now: number): OpenRequest | undefined {
  for (let lane = 0; lane < laneCount; lane++) {
    let counting: Eui64[] | undefined
    for (const request of state.open) {
      if (
        request.lane !== lane ||
        isForSchedules(request) ||
        waitsForPredecessor(request) ||
        waitsForTime(request)
      )
        continue
      if (request.hold !== undefined) {
        if (request.hold.phase === 'counting') (counting ??= []).push(request.originator)
        continue
      }
      if (counting?.includes(request.originator) === true) continue
      if (isWaiting(state, request, now) || endOf(request) <= now) break
      return request
    }
  }
  return undefined
}
