/**
 * Protection against alert storms: of one device and alert code, the first alerts of a window are
 * delivered, and the rest is held. At the end of the window one notice has the number of those that
 * were held. Codes that the table excludes are never held (core/catalogue/alert-codes.json). Pure,
 * a part of actor.ts.
 *
 *   first alert ─▶ window ── alertsPassedMax delivered ─▶ holding ── alertWindowMs ─▶ notice
 *                    └────────────── alertWindowMs: nothing was held ─▶ forgotten
 *
 * What is counted stands in facts and in the store: it survives a crash and a hand-over exactly.
 * @source ../shared/domain/alerts.md, throttling; the numbers are our own
 */
import type { Directory } from '../../core/access/directory.ts'
import { limits } from '../../core/base/limits.ts'
import { isThrottled } from '../../core/catalogue/alert-codes.ts'
import { throttledBodyOf } from '../../core/translate/alert.ts'
import { recipientsOf } from './alert-recipients.ts'
import type { DeviceOutbox } from './effects.ts'
import type { DeviceState } from './state.ts'
import type { CodeCount, HeldAlertsTold, Throttle } from './throttle-facts.ts'

const none: readonly Throttle[] = []
const u32 = 0x1_0000_0000

/** A clock that was put back ends the window. */
const isOpen = ({ since }: Throttle, now: number): boolean =>
  now >= since && now - since < limits.alertWindowMs

const throttleOf = ({ throttles }: DeviceState, code: number): Throttle | undefined =>
  throttles.find((one) => one.code === code)

/** Counts the alerts of one push by their codes. */
export class CodeCounter {
  private readonly state: DeviceState
  private readonly now: number
  private readonly counts = new Map<number, { passed: number; held: number }>()

  constructor(state: DeviceState, now: number) {
    this.state = state
    this.now = now
  }

  /** True for an alert that is delivered; `isRoom`: the device may have more delivered now. */
  takes(code: number, isRoom: boolean): boolean {
    if (!isThrottled(code)) return true
    const known = throttleOf(this.state, code)
    const before = known !== undefined && isOpen(known, this.now) ? known.passed : 0
    const count = this.counts.get(code) ?? { passed: 0, held: 0 }
    this.counts.set(code, count)
    const isPassed = isRoom && before + count.passed < limits.alertsPassedMax
    if (isPassed) count.passed++
    else count.held++
    return isPassed
  }

  all(): CodeCount[] {
    return Array.from(this.counts, ([code, count]) => ({ code, ...count }))
  }
}

/**
 * The notices of windows that are over; of all windows when `isLast`. They go to the parties that
 * are entitled to the code by now.
 */
export function tellHeld(
  state: DeviceState,
  now: number,
  { parties }: Pick<Directory, 'parties'>,
  out: DeviceOutbox,
  isLast = false,
): void {
  for (const throttle of state.throttles) {
    const { code, held, lastAt, sequence: before } = throttle
    if (held === 0 || (isOpen(throttle, now) && !isLast)) continue
    const sequence = (before + 1) % u32
    out.facts.push({ type: 'HELD_ALERTS_TOLD', time: now, code, sequence, count: held })
    const recipients = recipientsOf(state, code, parties, now)
    const bodyBytes = throttledBodyOf(code, sequence, held)
    for (const party of recipients)
      out.deliveries.push({ party, receivedAt: lastAt, time: now, bodyBytes })
    // Nobody is entitled to them any more: operators see it in the metrics.
    if (recipients.length === 0)
      out.effects.push({ type: 'ALARM', code: 'DEVICE_ALERT_UNADDRESSED' })
  }
}

/** Applies the counts of ALERTS_TAKEN. */
export function evolveTaken(state: DeviceState, counts: readonly CodeCount[], time: number): void {
  // What is over and had no notice is forgotten; the number of the last notice never is.
  const kept = state.throttles.filter(
    (one) => one.sequence > 0 || one.held > 0 || isOpen(one, time),
  )
  for (const { code, passed, held } of counts) {
    const index = kept.findIndex((one) => one.code === code)
    const before = kept[index]
    const sequence = before?.sequence ?? 0
    const isSame = before !== undefined && isOpen(before, time)
    const after: Throttle = {
      code,
      since: isSame ? before.since : time,
      passed: passed + (isSame ? before.passed : 0),
      held: held + (before?.held ?? 0),
      lastAt: held > 0 ? time : (before?.lastAt ?? 0),
      sequence,
    }
    if (index < 0) kept.push(after)
    else kept[index] = after
  }
  state.throttles = kept.length === 0 ? none : kept
}

/** Applies HELD_ALERTS_TOLD: the next alert begins a window. */
export function evolveTold(state: DeviceState, { code, sequence }: HeldAlertsTold): void {
  state.throttles = state.throttles.map((one) =>
    one.code === code ? { code, since: 0, passed: 0, held: 0, lastAt: 0, sequence } : one,
  )
}

/** When the first notice is due, UTC ms; Infinity for never. */
export function noticeMs({ throttles }: DeviceState): number {
  let at = Infinity
  for (const { held, since } of throttles)
    if (held > 0) at = Math.min(at, since + limits.alertWindowMs)
  return at
}
