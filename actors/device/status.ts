/**
 * The life cycle of the device (core/inventory/device-status.ts): an operator moves it on. Pure, a
 * part of actor.ts. What waits and is not allowed in the new status ends.
 */
import type { Directory } from '../../core/access/directory.ts'
import { errorId } from '../../core/base/error-table.ts'
import { limits } from '../../core/base/limits.ts'
import { formatWithMeterPoints } from '../../core/cluster/format.ts'
import { readBodyView } from '../../core/envelope/envelope.ts'
import { DeviceStatus, initialStatus, mayFollow } from '../../core/inventory/device-status.ts'
import { acknowledge, refuse } from '../kind/effects.ts'
import type { Arrived } from '../kind/messages.ts'
import type { DeviceOutbox } from './effects.ts'
import type { DeviceStatusChanged } from './status-fact.ts'
import type { DeviceState } from './state.ts'

export const statusOf = ({ status }: Pick<DeviceState, 'status'>): DeviceStatus =>
  status ?? initialStatus

/** An envelope DEVICE_STATUS. The same status again changes nothing. */
export function decideStatusChange(
  state: DeviceState,
  message: Arrived,
  now: number,
  { format }: Directory,
  out: DeviceOutbox,
): void {
  if (format < formatWithMeterPoints) return refuse(out, message, 'FORMAT_NOT_RAISED', now)
  if (state.record === undefined) return refuse(out, message, 'DEVICE_UNKNOWN', now)
  const view = readBodyView(message.buffer, message.at)
  const status = DeviceStatus[view[0] ?? DeviceStatus.length]
  const isNamed = view.length > 1 && view.length <= limits.operatorNameBytesMax + 1
  if (status === undefined || !isNamed) return refuse(out, message, 'VIEW_QUERY_INVALID', now)
  const before = statusOf(state)
  if (status !== before && !mayFollow(before, status))
    return refuse(out, message, 'DEVICE_STATUS_NOT_NEXT', now)
  if (status !== before) {
    const by = view.toString('utf8', 1)
    out.facts.push({ type: 'DEVICE_STATUS_CHANGED', time: now, status, by })
  }
  acknowledge(out, message, errorId('REQUEST_ACCEPTED'), now)
}

/** Applies DEVICE_STATUS_CHANGED. */
export function evolveStatus(state: DeviceState, { status }: DeviceStatusChanged): void {
  state.status = status === initialStatus ? undefined : status
}
