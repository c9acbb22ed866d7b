/**
 * The event log of a meter: power cuts that come from chance alone (nothing is remembered of them),
 * and what was done to the meter, which is remembered, the newest `eventsMax` of it.
 */
import { Stream, drawBelow } from './chance.ts'
import { dayMs } from './load-curve.ts'

/**
 * Event codes: those of the DLMS users' usual standard and disconnector logs; from 128 on the
 * maker's own.
 */
export const EventCode = {
  POWER_DOWN: 1,
  POWER_UP: 2,
  CLOCK_BEFORE: 4,
  CLOCK_AFTER: 5,
  FIRMWARE_READY: 17,
  FIRMWARE_ACTIVATED: 18,
  CALENDAR_ACTIVATED: 19,
  FIRMWARE_REFUSED: 51,
  MANUAL_DISCONNECTION: 60,
  MANUAL_RECONNECTION: 61,
  REMOTE_DISCONNECTION: 62,
  REMOTE_RECONNECTION: 63,
  LOCAL_DISCONNECTION: 64,
  LIMITER_EXCEEDED: 65,
  LIMITER_PASSED: 66,
  LOCAL_RECONNECTION: 69,
  MESSAGE_SHOWN: 128,
} as const
export type EventCode = (typeof EventCode)[keyof typeof EventCode]

export type MeterEvent = { readonly atMs: number; readonly code: EventCode }

/** What was done to one meter and is remembered; older ones are forgotten first. */
export const eventsMax = 32
/** Power cuts are kept this long: as long as the half hours. */
export const outageDaysMax = 400
const outageBlockDays = 40
const outageBlockMs = outageBlockDays * dayMs
const outageSlotMs = outageBlockMs / 4

/**
 * Power cuts that overlap [fromMs, toMs], oldest first: up to two in 40 days, each of 5 s to 170 s.
 * So short that no register is bent for them.
 */
export function outagesBetween(
  seed: number,
  fromMs: number,
  toMs: number,
): Array<{ fromMs: number; toMs: number }> {
  const outages = []
  for (let block = Math.floor(fromMs / outageBlockMs); block * outageBlockMs <= toMs; block++) {
    const count = drawBelow(3, seed, Stream.OUTAGE, block, 0)
    for (let i = 0; i < count; i++) {
      // Each cut keeps to a slot of its own, so they come in order.
      const from =
        block * outageBlockMs +
        2 * i * outageSlotMs +
        drawBelow(outageSlotMs, seed, Stream.OUTAGE, block, 2 * i + 1)
      const to = from + 5_000 + drawBelow(165_000, seed, Stream.OUTAGE, block, 2 * i + 2)
      if (to >= fromMs && from <= toMs) outages.push({ fromMs: from, toMs: to })
    }
  }
  return outages
}

/**
 * The whole log at `nowMs`, oldest first: power cuts since `sinceMs` (at most `outageDaysMax` ago)
 * and the events `recorded` of the meter.
 */
export function eventsUntil(
  seed: number,
  sinceMs: number,
  nowMs: number,
  recorded: readonly MeterEvent[],
): MeterEvent[] {
  const fromMs = Math.max(sinceMs, nowMs - outageDaysMax * dayMs)
  const events: MeterEvent[] = []
  for (const outage of outagesBetween(seed, fromMs, nowMs)) {
    if (outage.fromMs >= fromMs) events.push({ atMs: outage.fromMs, code: EventCode.POWER_DOWN })
    if (outage.toMs <= nowMs) events.push({ atMs: outage.toMs, code: EventCode.POWER_UP })
  }
  events.push(...recorded)
  // Stable: what happened in one millisecond keeps its order.
  return events.sort((a, b) => a.atMs - b.atMs)
}
