/** What a host counts. */
import type { Counter, Gauge, Histogram, Metrics } from '../../core/ports/metrics.ts'
import type { Tick } from './tick.ts'

const secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export type HostMetrics = {
  partitions: Gauge
  awake: Gauge
  waiting: Gauge
  exchanges: Gauge
  parked: Counter
  alarm: (code: string) => void
  refused: (why: string) => void
  onCommit: (tick: Tick, messageBytes: number, tookMs: number) => void
  ledgerBytes: Gauge
  ledgerBytesMax: Gauge
  snapshots: Counter
  snapshotSeconds: Histogram
  ticksForgotten: Counter
  deliveriesForgotten: Counter
}

export function hostMetrics(metrics: Metrics): HostMetrics {
  const commits = metrics.counter('busbar_ledger_commits_total', 'Ticks written to the ledger')
  const octets = metrics.counter(
    'busbar_ledger_bytes_total',
    'Octets of facts and deliveries written to the ledger',
  )
  const messages = metrics.counter(
    'busbar_messages_decided_total',
    'Messages decided by actors and committed',
  )
  const deliveries = metrics.counter(
    'busbar_deliveries_written_total',
    'Deliveries written for parties',
  )
  const seconds = metrics.histogram(
    'busbar_tick_seconds',
    'From taking messages to their facts being on disk',
    secondsBounds,
  )
  return {
    partitions: metrics.gauge('busbar_partitions_owned', 'Partitions served by this host'),
    awake: metrics.gauge('busbar_actors_awake', 'Actors in memory'),
    waiting: metrics.gauge('busbar_mailbox_messages', 'Messages waiting for the next tick'),
    exchanges: metrics.gauge('busbar_exchanges_under_way', 'Requests on their way to devices'),
    parked: metrics.counter('busbar_messages_parked_total', 'Messages on which an actor failed'),
    alarm: (code) =>
      metrics
        .counter('busbar_device_alarms_total', 'What devices want operators to know, by code', {
          code,
        })
        .add(),
    refused: (why) =>
      metrics
        .counter('busbar_ledger_refusals_total', 'Ticks not written, by reason', { why })
        .add(),
    ledgerBytes: metrics.gauge('busbar_ledger_used_bytes', 'Octets that the ledger holds'),
    ledgerBytesMax: metrics.gauge('busbar_ledger_max_bytes', 'Octets that the ledger may hold'),
    snapshots: metrics.counter('busbar_snapshots_total', 'Snapshots of partitions made'),
    snapshotSeconds: metrics.histogram(
      'busbar_snapshot_seconds',
      'From opening the store to the snapshot being kept',
      secondsBounds,
    ),
    ticksForgotten: metrics.counter(
      'busbar_ledger_ticks_forgotten_total',
      'Ticks that the ledger was made to forget',
    ),
    deliveriesForgotten: metrics.counter(
      'busbar_deliveries_forgotten_total',
      'Deliveries forgotten before their party acknowledged them: older than --delivery-keep',
    ),
    onCommit(tick, messageBytes, tookMs) {
      commits.add()
      messages.add(tick.mails.length)
      deliveries.add(tick.deliveryCount)
      octets.add(messageBytes)
      seconds.observe(tookMs / 1000)
    },
  }
}
