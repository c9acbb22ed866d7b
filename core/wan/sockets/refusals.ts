/**
 * What devices send and is not taken: counted by code, and logged now and then with its size, never
 * with its content.
 */
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import type { Log } from '../../ports/log.ts'
import type { WanMetrics } from './wan-metrics.ts'

export class Refusals {
  private readonly metrics: Pick<WanMetrics, 'refused'>
  private readonly log: Log
  private readonly nowMs: () => number
  private count = 0
  private toldMs = -Infinity

  constructor(metrics: Pick<WanMetrics, 'refused'>, log: Log, nowMs: () => number) {
    this.metrics = metrics
    this.log = log
    this.nowMs = nowMs
  }

  /** @param bytes  octets that were dropped; what is refused without any is counted only */
  note(code: ErrorCode, bytes?: number): void {
    this.metrics.refused(code).add()
    if (bytes === undefined) return
    this.count++
    const now = this.nowMs()
    if (now - this.toldMs < limits.pushRefusalLogMs) return
    const { count } = this
    this.log.info(
      { code, bytes, count },
      'octets of a device were not understood; the last of them',
    )
    this.toldMs = now
    this.count = 0
  }
}
