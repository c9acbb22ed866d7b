/** What the WAN counts, looked up once. */
import type { ErrorCode } from '../../base/error-table.ts'
import type { Counter, Histogram, Metrics } from '../../ports/metrics.ts'
import type { ExchangeResult } from '../../ports/wan.ts'

type Outcome = 'OK' | Extract<ExchangeResult, { ok: false }>['code']

export type WanMetrics = {
  /** Exchanges by how they ended. */
  readonly ended: Readonly<Record<Outcome, Counter>>
  readonly durations: Histogram
  readonly connected: Counter
  readonly connectsFailed: Counter
  readonly evicted: Counter
  /** Connections of devices whose name another connection has proved to be its own. */
  readonly contended: Counter
  /** Exchanges begun again because a kept connection turned out to be gone. */
  readonly begunAgain: Counter
  readonly lateFrames: Counter
  readonly unsolicitedFrames: Counter
  /** Notifications that were handed on. */
  readonly pushes: Counter
  /** What came and was not taken, by the code that says why: what security refuses, too. */
  refused(code: ErrorCode): Counter
}

const outcomes = [
  'OK',
  'DEVICE_UNREACHABLE',
  'DEVICE_SILENT',
  'DEVICE_ANSWER_INVALID',
  'DEVICE_ASSOCIATION_REFUSED',
] as const satisfies Outcome[]

/** What the pool holds, read when metrics are collected. */
export type WanReadings = { underWay(): number; connections(): number }

export function wanMetrics(metrics: Metrics, readings: WanReadings): WanMetrics {
  metrics.gauge(
    'busbar_wan_exchanges_under_way',
    'Exchanges that have not ended, waiting ones included',
    readings.underWay,
  )
  metrics.gauge(
    'busbar_wan_connections_open',
    'Connections to devices, opening and closing ones included',
    readings.connections,
  )
  const ended = Object.fromEntries(
    outcomes.map((outcome) => [
      outcome,
      metrics.counter('busbar_wan_exchanges_total', 'Exchanges with devices by how they ended', {
        outcome,
      }),
    ]),
  ) as Record<Outcome, Counter>
  return {
    ended,
    durations: metrics.histogram(
      'busbar_wan_exchange_seconds',
      'From the call to the result of an exchange, waiting for a connection included',
      [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30],
    ),
    connected: metrics.counter(
      'busbar_wan_connections_opened_total',
      'Connections with devices that were opened, by us or by them',
    ),
    connectsFailed: metrics.counter(
      'busbar_wan_connects_failed_total',
      'Connections that could not be made',
    ),
    evicted: metrics.counter(
      'busbar_wan_connections_evicted_total',
      'Idle connections closed to make room for others',
    ),
    contended: metrics.counter(
      'busbar_wan_connections_contended_total',
      'Connections of devices under the name of a device that answers on another one',
    ),
    begunAgain: metrics.counter(
      'busbar_wan_exchanges_begun_again_total',
      'Exchanges begun again on a new connection',
    ),
    lateFrames: metrics.counter(
      'busbar_wan_frames_late_total',
      'Answers that came after their time-out and were dropped',
    ),
    unsolicitedFrames: metrics.counter(
      'busbar_wan_frames_unsolicited_total',
      'Frames nobody had asked for, dropped',
    ),
    pushes: metrics.counter('busbar_wan_pushes_total', 'Unsolicited notifications of devices'),
    refused: refusedBy(metrics),
  }
}

function refusedBy(metrics: Metrics): (code: ErrorCode) => Counter {
  const counters = new Map<ErrorCode, Counter>()
  return (code) => {
    let counter = counters.get(code)
    if (counter === undefined) {
      const name = 'busbar_wan_apdus_refused_total'
      counter = metrics.counter(name, 'What devices sent and was refused, by code', { code })
      counters.set(code, counter)
    }
    return counter
  }
}

/** What a host counts that reaches devices through wan processes. */
export type BusWanMetrics = {
  readonly frames: Counter
  readonly exchanges: Counter
  readonly lost: Counter
}

export function busWanMetrics(
  metrics: Metrics,
  readings: { underWay(): number; processes(): number },
): BusWanMetrics {
  metrics.gauge(
    'busbar_wan_bus_exchanges_under_way',
    'Exchanges that wait for a wan process or its result',
    readings.underWay,
  )
  metrics.gauge(
    'busbar_wan_processes_alive',
    'Wan processes that take exchanges',
    readings.processes,
  )
  return {
    frames: metrics.counter(
      'busbar_wan_bus_frames_total',
      'Frames of exchanges sent to wan processes',
    ),
    exchanges: metrics.counter('busbar_wan_bus_exchanges_total', 'Exchanges sent to wan processes'),
    lost: metrics.counter(
      'busbar_wan_bus_exchanges_lost_total',
      'Exchanges that failed because no wan process took them, or it went or refused or gave no result',
    ),
  }
}
