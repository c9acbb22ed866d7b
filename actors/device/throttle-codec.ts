/**
 * Alerts that are counted by their codes, as a part of the state in the store: state-codec.ts. With
 * them stand the last pushes whose alerts were counted, so that none is counted again.
 */
import { asBuffer } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import type { RequestCounter } from '../../core/base/counter.ts'
import { limits } from '../../core/base/limits.ts'
import type { DeviceAlerts, DeviceState, RecentPush } from './state.ts'
import type { Throttle } from './throttle-facts.ts'

type PackedThrottle = [
  code: number,
  since: number,
  passed: number,
  held: number,
  lastAt: number,
  sequence: number,
]
/** Throttles, and the pushes as `(id 8 | time u48 | received u48) …`. */
export type PackedThrottles = [throttles: PackedThrottle[], recent: Uint8Array]

const recentBytes = 20

export function packedThrottles({ throttles, alerts }: DeviceState): PackedThrottles {
  const packed = throttles.map(
    ({ code, since, passed, held, lastAt, sequence }): PackedThrottle => [
      code,
      since,
      passed,
      held,
      lastAt,
      sequence,
    ],
  )
  return [packed, recentOctets(throttles, alerts?.recent ?? [])]
}

/** Of the time in which the last one may come again; none when nothing is counted any more. */
function recentOctets(throttles: readonly Throttle[], recent: readonly RecentPush[]): Buffer {
  const isCounting = throttles.some(({ passed, held }) => passed + held > 0)
  const counted = recent.filter(({ receivedAt }) => receivedAt !== undefined)
  const last = counted.at(-1)?.receivedAt ?? 0
  const kept = isCounting
    ? counted.filter(({ receivedAt = 0 }) => last - receivedAt < limits.deviceAlertRepeatMs)
    : []
  const octets = Buffer.alloc(kept.length * recentBytes)
  for (const [index, { id, time, receivedAt = 0 }] of kept.entries()) {
    const at = index * recentBytes
    octets.write(id, at, 'latin1')
    octets.writeUIntBE(time, at + 8, 6)
    octets.writeUIntBE(receivedAt, at + 14, 6)
  }
  return octets
}

/** @throws BrokerError STORE_DAMAGED */
export function throttlesIn([packed, octets]: PackedThrottles): {
  throttles: Throttle[]
  alerts?: DeviceAlerts
} {
  const throttles = packed.map(([code, since, passed, held, lastAt, sequence]): Throttle => ({
    code,
    since,
    passed,
    held,
    lastAt,
    sequence,
  }))
  const view = asBuffer(octets)
  if (view.length % recentBytes !== 0) throw new BrokerError('STORE_DAMAGED', 'pushes of a device')
  if (view.length === 0) return { throttles }
  const recent = Array.from({ length: view.length / recentBytes }, (_, index): RecentPush => {
    const at = index * recentBytes
    return {
      id: view.toString('latin1', at, at + 8) as RequestCounter,
      time: view.readUIntBE(at + 8, 6),
      receivedAt: view.readUIntBE(at + 14, 6),
    }
  })
  // How many there were in the minute is not kept: the count starts again.
  return { throttles, alerts: { since: 0, count: 0, taken: 0, recent } }
}
