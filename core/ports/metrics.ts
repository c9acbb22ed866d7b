/** Counters and gauges by name; core/ops turns them into Prometheus text. Names are snake_case with their unit last. */
export interface Counter {
  add(count?: number): void
}
export interface Gauge {
  set(value: number): void
}
export interface Histogram {
  observe(value: number): void
}
export type Labels = Readonly<Record<string, string>>

export interface Metrics {
  /** The same name and labels give the same counter. Call once and keep the result: look-up is not for hot paths. */
  counter(name: string, help: string, labels?: Labels): Counter
  gauge(name: string, help: string, labels?: Labels): Gauge
  /** `bounds` are upper bounds of the buckets, rising. */
  histogram(name: string, help: string, bounds: readonly number[], labels?: Labels): Histogram
}

const nothing = { add() {}, set() {}, observe() {} }
export const noMetrics: Metrics = {
  counter: () => nothing,
  gauge: () => nothing,
  histogram: () => nothing,
}
