/**
 * An operator removes the device from the inventory. Pure.
 *
 * Each open request ends with DEVICE_REMOVED, also the one that is on its way: its answer finds
 * nothing that waits for it. Record and keys are forgotten. What says which values were used stays,
 * because the device may be registered again: RequestCounters and remembered RequestIDs, and of the
 * keys their marks with the invocation counters.
 */
import type { Directory } from '../../core/access/directory.ts'
import { isForSchedules } from './schedules.ts'
import { errorId } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithRemovals } from '../../core/cluster/format.ts'
import { readBodyView } from '../../core/envelope/envelope.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import type { Arrived } from '../kind/messages.ts'
import type { Alarm, DeviceOutbox } from './effects.ts'
import { end } from './ending.ts'
import { isInDoubt, withoutAllKeys } from './keyring.ts'
import { tellGone } from './links.ts'
import type { DeviceRemoved } from './removal-fact.ts'
import type { DeviceState } from './state.ts'
import { tellHeld } from './throttle.ts'

const code = 'KEYS_REPLACEMENT_UNDERWAY'
const lostKeys: Alarm = {
  type: 'ALARM',
  code,
  cause: {
    code,
    detail:
      'removed: it may have the keys that Busbar was giving to it, which are lost; with its master key it can get other ones',
  },
}

/** An envelope DEVICE_REMOVAL: its body says who wants it. */
export function decideRemoval(
  state: DeviceState,
  message: Arrived,
  now: number,
  directory: Directory,
  out: DeviceOutbox,
): void {
  if (directory.format < formatWithRemovals) return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  // Asked again, since the answer may have been lost: what was wanted is done, and nothing changes.
  if (isRemoved(state)) return refuse(out, message, 'DEVICE_REMOVED', now)
  if (state.record === undefined) return refuse(out, message, 'DEVICE_UNKNOWN', now)
  const byView = readBodyView(message.buffer, message.at)
  if (byView.length === 0 || byView.length > limits.operatorNameBytesMax)
    return refuse(out, message, 'VIEW_QUERY_INVALID', now)
  const outcome = errorId('DEVICE_REMOVED')
  // All reserved counters count as used by the fact of the removal.
  for (const request of state.open)
    if (!isForSchedules(request)) end(out, request, now, { outcome, using: {} })
  tellGone(state, out)
  tellHeld(state, now, directory, out, true)
  // Forgotten with the rest, and nobody else knows them.
  if (isInDoubt(state.keyring)) out.effects.push(lostKeys)
  out.facts.push({ type: 'DEVICE_REMOVED', time: now, by: byView.toString('utf8') })
  acknowledge(out, message, errorId('REQUEST_ACCEPTED'), now)
}

/** True for a device that was registered, and was removed since. */
const isRemoved = ({ record, registeredAt }: DeviceState): boolean =>
  record === undefined && registeredAt > 0

/** Applies DEVICE_REMOVED. */
export function evolveRemoval(state: DeviceState, { time }: DeviceRemoved): void {
  if (state.record !== undefined) state.registeredAt = time
  state.record = undefined
  state.keyring = withoutAllKeys(state.keyring)
  state.keyStep = undefined
  state.sentCountersFrom = 0
  state.fault = undefined
  state.status = undefined
  // The number stays, and the grants: the device may be linked again.
  if (state.linked !== undefined) state.linked = { ...state.linked, links: [] }
}
