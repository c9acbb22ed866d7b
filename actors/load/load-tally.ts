/**
 * What a load run has submitted and what came back: counts, latencies and codes. Pure; times are
 * passed in, in ms of any clock that only rises.
 */
import { limits } from '../../core/base/limits.ts'

export type LatencyReport = { p50Ms: number; p90Ms: number; p99Ms: number; maxMs: number }

export type LoadReport = {
  /** Requests submitted in the whole run, warm-up included. */
  requests: number
  accepted: number
  rejected: number
  responses: number
  /** Responses with another code than I0. */
  failed: number
  /** Accepted requests without a response when the run ended. */
  missing: number
  /** Responses that came again with another delivery id. */
  duplicates: number
  /** Seconds that were measured, without the warm-up. */
  seconds: number
  acceptedPerSecond: number
  responsesPerSecond: number
  /** From the submission, or from its scheduled time in an open loop, to the acknowledgement. */
  acceptance: LatencyReport
  /** The same to the response at the client. */
  completion: LatencyReport
  /** Codes of rejections and failures, and how often. */
  codes: Record<string, number>
}

type Open = { startedMs: number; isAccepted: boolean }

/**
 * Latencies of one kind, at most `max` of them; later ones replace random earlier ones evenly
 * (reservoir sampling).
 */
class Latencies {
  private readonly kept: number[] = []
  private seen = 0
  private readonly max: number
  private readonly chance: () => number

  constructor(max: number, chance: () => number) {
    this.max = max
    this.chance = chance
  }

  add(ms: number): void {
    this.seen++
    if (this.kept.length < this.max) this.kept.push(ms)
    else {
      const place = Math.floor(this.chance() * this.seen)
      if (place < this.max) this.kept[place] = ms
    }
  }

  report(): LatencyReport {
    const sorted = Float64Array.from(this.kept).sort()
    const at = (quantile: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? Number.NaN
    return { p50Ms: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99), maxMs: at(1) }
  }
}

export class LoadTally {
  private readonly open = new Map<bigint, Open>()
  /**
   * The last `limits.loadEndedMax` requests that have their response, with the id of its delivery.
   */
  private readonly ended = new Map<bigint, bigint>()
  private readonly acceptance: Latencies
  private readonly completion: Latencies
  private readonly codes = new Map<string, number>()
  private measureFromMs = Infinity
  private measureToMs = Infinity
  private measured = { accepted: 0, responses: 0 }
  private requests = 0
  private accepted = 0
  private rejected = 0
  private responses = 0
  private failed = 0
  private duplicates = 0

  /** @param chance gives a number in [0, 1) at each call */
  constructor(chance: () => number) {
    this.acceptance = new Latencies(limits.loadLatenciesMax, chance)
    this.completion = new Latencies(limits.loadLatenciesMax, chance)
  }

  /** Requests that wait for their response, or for their acknowledgement. */
  get openCount(): number {
    return this.open.size
  }

  /** From now on rates and latencies count: of what is submitted and answered within [from, to). */
  measure(fromMs: number, toMs: number): void {
    this.measureFromMs = fromMs
    this.measureToMs = toMs
  }

  /** RequestCounters name requests: a run uses each once. */
  submitted(counter: bigint, startedMs: number): void {
    this.requests++
    this.open.set(counter, { startedMs, isAccepted: false })
  }

  /** @returns whether the request is over with that: a rejection has no response */
  acknowledged(counter: bigint, responseCode: string, reason: string, nowMs: number): boolean {
    const request = this.open.get(counter)
    if (responseCode === 'I99') {
      // The response may have overtaken the acknowledgement: the request was counted as accepted
      // then.
      if (request === undefined) return false
      this.accept(request, nowMs)
      if (request.startedMs >= this.measureFromMs) this.acceptance.add(nowMs - request.startedMs)
      return false
    }
    this.rejected++
    this.count(reason)
    return this.open.delete(counter)
  }

  /** @returns whether it is the first response to a request of this run */
  responded(
    counter: bigint,
    deliveryId: bigint,
    { responseCode, reason }: { responseCode: string; reason: string },
    nowMs: number,
  ): boolean {
    const request = this.open.get(counter)
    if (request === undefined) {
      // The same delivery may come again; another delivery for the same request may not.
      if ((this.ended.get(counter) ?? deliveryId) !== deliveryId) this.duplicates++
      return false
    }
    // Without an acknowledgement when the connection was closed before it came.
    if (!request.isAccepted) this.accept(request, nowMs)
    this.open.delete(counter)
    this.ended.set(counter, deliveryId)
    if (this.ended.size > limits.loadEndedMax) this.ended.delete(this.ended.keys().next().value!)
    this.responses++
    if (this.isMeasured(nowMs)) this.measured.responses++
    if (request.startedMs >= this.measureFromMs) this.completion.add(nowMs - request.startedMs)
    if (responseCode !== 'I0') {
      this.failed++
      this.count(reason)
    }
    return true
  }

  /** The request was not submitted after all, for example because the connection broke. */
  lost(counter: bigint, reason: string): void {
    if (!this.open.delete(counter)) return
    this.rejected++
    this.count(reason)
  }

  report(nowMs: number): LoadReport {
    const toMs = Math.min(nowMs, this.measureToMs)
    const seconds = Math.max(0, (toMs - this.measureFromMs) / 1000)
    const perSecond = (count: number): number => (seconds > 0 ? count / seconds : 0)
    return {
      requests: this.requests,
      accepted: this.accepted,
      rejected: this.rejected,
      responses: this.responses,
      failed: this.failed,
      missing: this.open.size,
      duplicates: this.duplicates,
      seconds,
      acceptedPerSecond: perSecond(this.measured.accepted),
      responsesPerSecond: perSecond(this.measured.responses),
      acceptance: this.acceptance.report(),
      completion: this.completion.report(),
      codes: Object.fromEntries([...this.codes].sort(([, a], [, b]) => b - a)),
    }
  }

  private accept(request: Open, nowMs: number): void {
    request.isAccepted = true
    this.accepted++
    if (this.isMeasured(nowMs)) this.measured.accepted++
  }

  private isMeasured(nowMs: number): boolean {
    return nowMs >= this.measureFromMs && nowMs < this.measureToMs
  }

  private count(code: string): void {
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
  }
}
