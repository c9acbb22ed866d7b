/**
 * What a gateway counts of the requests that it takes. Instruments are looked up once, so that a
 * request only adds.
 */
import { errorCodeOf, errorId, errorTable, type ErrorCode } from '../../base/error-table.ts'
import type { Counter, Histogram, Metrics } from '../../ports/metrics.ts'

const acceptedId = errorId('REQUEST_ACCEPTED')
/** Upper bounds in seconds. */
const acceptanceBounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]

export class IntakeMetrics {
  readonly handedOn: Counter
  readonly sentAgain: Counter
  private readonly metrics: Metrics
  private readonly acceptance: Histogram
  /** By the id of the error's row. */
  private readonly rejections: Array<Counter | undefined> = []

  /** `inFlight` gives the requests that wait for an acknowledgement. */
  constructor(metrics: Metrics, inFlight: () => number) {
    this.metrics = metrics
    this.handedOn = metrics.counter(
      'busbar_gateway_requests_total',
      'Service requests, cancellations and status queries passed on to the owner of their partition',
    )
    this.sentAgain = metrics.counter(
      'busbar_gateway_resent_total',
      'Envelopes sent again to another owner of their partition',
    )
    this.acceptance = metrics.histogram(
      'busbar_request_acceptance_seconds',
      'From a service request at the gateway to its acknowledgement I99, which is on disk by then',
      acceptanceBounds,
    )
    metrics.gauge(
      'busbar_gateway_requests_in_flight',
      'Requests that wait for their acknowledgement',
      inFlight,
    )
  }

  /**
   * An acknowledgement with the outcome `id`, given by the gateway itself or by a host, `tookMs`
   * after the request came.
   */
  acknowledged(id: number, tookMs: number): void {
    if (id === acceptedId) this.acceptance.observe(tookMs / 1000)
    else if (errorTable[errorCodeOf(id) ?? 'OK'].fault !== 'none') this.rejected(errorCodeOf(id)!)
  }

  rejected(code: ErrorCode): void {
    const counter = (this.rejections[errorId(code)] ??= this.metrics.counter(
      'busbar_gateway_rejections_total',
      'Service requests and cancellations that were rejected, by code, whether the gateway or the host decided',
      { code },
    ))
    counter.add()
  }
}
