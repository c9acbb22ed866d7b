/**
 * ports/metrics on prom-client. Counting is one addition on a number; names, labels and text are
 * made only when somebody reads. prom-client gives the registry, the text format and the metrics of
 * the process itself.
 */
import { collectDefaultMetrics, Registry, type Metric } from 'prom-client'
import { assert } from '../base/assert.ts'
import type { Counter, GaugeSeries, Histogram, Labels, Metrics } from '../ports/metrics.ts'

type Value = { labels: Record<string, string | number>; value: number; metricName?: string }

class Sum implements Counter {
  value = 0
  add(count = 1): void {
    this.value += count
  }
}

/** Adds up what its readers give at the moment of collection. */
class Readers {
  readonly reads: Array<() => number> = []
  get value(): number {
    return this.reads.reduce((total, read) => total + read(), 0)
  }
}

class Buckets implements Histogram {
  readonly bounds: readonly number[]
  /**
   * Observations at or under each bound and above the one before; the last counts those above all.
   */
  readonly counts: Float64Array
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let low = 0
    let high = this.bounds.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (value <= this.bounds[middle]!) high = middle
      else low = middle + 1
    }
    this.counts[low]! += 1
    this.sum += value
  }
}

type Instrument = Sum | Readers | Buckets

type Family = {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labelNames: string
  readonly series: Map<string, { labels: Labels; instrument: Instrument }>
}

/** Metrics that can be read as Prometheus text. */
export type PrometheusMetrics = Metrics & {
  /** All metrics, those of the process included. */
  text(): Promise<string>
  readonly contentType: string
}

function valuesOfBuckets(name: string, labels: Labels, { bounds, counts, sum }: Buckets): Value[] {
  const values: Value[] = []
  let total = 0
  counts.forEach((count, i) => {
    total += count
    values.push({
      labels: { ...labels, le: bounds[i] ?? '+Inf' },
      value: total,
      metricName: `${name}_bucket`,
    })
  })
  values.push({ labels: { ...labels }, value: sum, metricName: `${name}_sum` })
  values.push({ labels: { ...labels }, value: total, metricName: `${name}_count` })
  return values
}

const valuesOfSeries = (series: readonly GaugeSeries[]): Value[] =>
  series.map(({ labels, value }) => ({ labels: { ...labels }, value }))

const valuesOf = (name: string, series: Family['series']): Value[] =>
  [...series.values()].flatMap(({ labels, instrument }): Value[] =>
    instrument instanceof Buckets
      ? valuesOfBuckets(name, labels, instrument)
      : [{ labels: { ...labels }, value: instrument.value }],
  )

/**
 * A registry of its own, with the metrics of the process when `withProcess`. A name with another
 * type, other label names or a character that Prometheus does not take is a fault of ours and
 * asserts.
 */
export function createMetrics({
  withProcess = true,
}: { withProcess?: boolean } = {}): PrometheusMetrics {
  const registry = new Registry()
  if (withProcess) collectDefaultMetrics({ register: registry })
  const families = new Map<string, Family>()

  const register = (
    name: string,
    help: string,
    type: Family['type'],
    values: () => Value[] | Promise<Value[]>,
  ): void => {
    const get = async () => ({ name, help, type, aggregator: 'sum', values: await values() })
    // The registry reads `name` and `get` of a metric, nothing else of prom-client's classes.
    registry.registerMetric({ name, get } as unknown as Metric)
  }

  const instrumentOf = (
    type: Family['type'],
    name: string,
    help: string,
    labels: Labels,
    create: () => Instrument,
  ): Instrument => {
    const labelNames = Object.keys(labels).toSorted().join(',')
    let family = families.get(name)
    if (!family) {
      assert(/^[a-z][a-z0-9_]*$/.test(name), `metric name ${name} is snake_case`)
      family = { type, labelNames, series: new Map() }
      families.set(name, family)
      const { series } = family
      register(name, help, type, () => valuesOf(name, series))
    }
    assert(
      family.type === type && family.labelNames === labelNames,
      `metric ${name} is used in two ways`,
    )
    const key = JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    let entry = family.series.get(key)
    if (!entry) {
      entry = { labels: { ...labels }, instrument: create() }
      family.series.set(key, entry)
    }
    return entry.instrument
  }

  return {
    counter: (name, help, labels = {}) =>
      instrumentOf('counter', name, help, labels, () => new Sum()) as Sum,
    gauge: (name, help, read, labels = {}) => {
      const readers = instrumentOf('gauge', name, help, labels, () => new Readers()) as Readers
      readers.reads.push(read)
    },
    gauges: (name, help, read) => {
      assert(!families.has(name), `metric ${name} is used in two ways`)
      families.set(name, { type: 'gauge', labelNames: '', series: new Map() })
      register(name, help, 'gauge', async () => valuesOfSeries(await read()))
    },
    histogram: (name, help, bounds, labels = {}) =>
      instrumentOf('histogram', name, help, labels, () => new Buckets(bounds)) as Buckets,
    text: () => registry.metrics(),
    contentType: registry.contentType,
  }
}
