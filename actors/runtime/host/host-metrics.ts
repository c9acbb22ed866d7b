/** What a host counts. */
import type { Counter, Histogram, Metrics } from '../../../core/ports/metrics.ts'
import { errorCodeOf } from '../../../core/base/error-table.ts'
import { limits } from '../../../core/base/limits.ts'
import type { Tick } from '../partition/tick.ts'

const secondsBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const completionBounds = [
  0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600, 86_400,
]

export type HostMetrics = {
  parked: Counter
  refused: (why: string) => void
  onCommit: (tick: Tick, messageBytes: number, tookMs: number) => void
  snapshots: Counter
  snapshotSeconds: Histogram
  ticksForgotten: Counter
  deliveriesForgotten: Counter
}

/** What a host holds, read when metrics are collected. */
export type HostReadings = {
  partitions(): number
  awake(): number
  waiting(): number
  exchanges(): number
  letters: LettersReadings
  ledgerUsage(): { bytes: number; bytesMax: number }
}

/** To an actor of which partition, and when it was sent, UTC ms. */
export type SentLetter = { readonly partition: number; readonly sentAtMs: number }

/** Of letters between actors. */
export type LettersReadings = {
  readonly inHand: number
  readonly unread: number
  readonly oldest: SentLetter | undefined
  /** What keeps the ledger from being trimmed. */
  readonly held: SentLetter | undefined
  readonly now: number
}

function letterGauges(metrics: Metrics, read: LettersReadings): void {
  const ageOf = ({ sentAtMs }: SentLetter): number => Math.max(0, read.now - sentAtMs) / 1000
  metrics.gauge(
    'busbar_letters_in_hand',
    'Letters between actors that are read and not decided',
    () => read.inHand,
  )
  metrics.gauge(
    'busbar_letters_unread',
    'Letters to the partitions of this host that are not decided',
    () => read.unread,
  )
  metrics.gauge('busbar_letters_oldest_seconds', 'Age of the oldest of them', () => {
    const oldest = read.oldest
    return oldest === undefined ? 0 : ageOf(oldest)
  })
  metrics.gauges(
    'busbar_letters_holding_seconds',
    'Age of the unread letter that keeps the ledger from being trimmed, by its partition',
    () => {
      const held = read.held
      if (held === undefined) return []
      return [{ labels: { partition: String(held.partition) }, value: ageOf(held) }]
    },
  )
}

/** Why letters need an operator, or undefined. */
export function lettersTrouble(read: LettersReadings): string | undefined {
  const secondsOf = (sentAtMs: number): number => Math.round((read.now - sentAtMs) / 1000)
  const held = read.held
  if (held !== undefined)
    return `partition ${held.partition} has a letter that is not read for ${secondsOf(held.sentAtMs)} s, which keeps the ledger from being trimmed: see busbar letters set-aside`
  const oldest = read.oldest
  if (oldest === undefined || read.now - oldest.sentAtMs < limits.lettersLateMs) return undefined
  return `partition ${oldest.partition} has a letter that is not read for ${secondsOf(oldest.sentAtMs)} s`
}

export function hostGauges(metrics: Metrics, read: HostReadings): void {
  metrics.gauge('busbar_partitions_owned', 'Partitions served by this host', read.partitions)
  metrics.gauge('busbar_actors_awake', 'Actors in memory', read.awake)
  metrics.gauge('busbar_mailbox_messages', 'Messages waiting for the next tick', read.waiting)
  metrics.gauge('busbar_exchanges_under_way', 'Requests on their way to devices', read.exchanges)
  letterGauges(metrics, read.letters)
  metrics.gauge(
    'busbar_ledger_used_bytes',
    'Octets that the ledger holds, as of the last look',
    () => read.ledgerUsage().bytes,
  )
  metrics.gauge(
    'busbar_ledger_max_bytes',
    'Octets that the ledger may hold',
    () => read.ledgerUsage().bytesMax,
  )
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
  const letters = metrics.counter('busbar_letters_total', 'Letters between actors written')
  const seconds = metrics.histogram(
    'busbar_tick_seconds',
    'From taking messages to their facts being on disk',
    secondsBounds,
  )
  const completion = metrics.histogram(
    'busbar_request_completion_seconds',
    'From the acceptance of a service request to its response, both on disk',
    completionBounds,
  )
  /** By the id of the outcome's row. */
  const ended: Array<Counter | undefined> = []
  return {
    parked: metrics.counter('busbar_messages_parked_total', 'Messages on which an actor failed'),
    refused: (why) =>
      metrics
        .counter('busbar_ledger_refusals_total', 'Ticks not written, by reason', { why })
        .add(),
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
      for (const requestMs of tick.tookMs) completion.observe(requestMs / 1000)
      for (const outcome of tick.outcomes) {
        const counter = (ended[outcome] ??= metrics.counter(
          'busbar_requests_ended_total',
          'Requests that ended, by outcome',
          { code: errorCodeOf(outcome) ?? String(outcome) },
        ))
        counter.add()
      }
      commits.add()
      messages.add(tick.messageCount)
      deliveries.add(tick.deliveryCount)
      letters.add(tick.letterCount)
      octets.add(messageBytes)
      seconds.observe(tookMs / 1000)
    },
  }
}
