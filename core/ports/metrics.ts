/**
 * Counters, gauges and histograms by name; core/ops turns them into Prometheus text. Names are
 * snake_case, unit last.
 */
export interface Counter {
  add(count?: number): void
}
export interface Histogram {
  observe(value: number): void
}
export type Labels = Readonly<Record<string, string>>

export type GaugeSeries = { readonly labels: Labels; readonly value: number }

export interface Metrics {
  /**
   * The same name and labels give the same counter. Call once and keep the result: look-up is not
   * for hot paths.
   */
  counter(name: string, help: string, labels?: Labels): Counter
  /**
   * `read` gives the value each time that metrics are collected, so that an idle process shows no
   * old value. It must be cheap and must not throw. Several readers of one name and the same labels
   * are added up.
   */
  gauge(name: string, help: string, read: () => number, labels?: Labels): void
  /**
   * A gauge whose label values are not known beforehand: `read` gives all its series at each
   * collection.
   */
  gauges(
    name: string,
    help: string,
    read: () => readonly GaugeSeries[] | Promise<readonly GaugeSeries[]>,
  ): void
  /** `bounds` are upper bounds of the buckets, rising. */
  histogram(name: string, help: string, bounds: readonly number[], labels?: Labels): Histogram
}

const nothing = { add() {}, observe() {} }
export const noMetrics: Metrics = {
  counter: () => nothing,
  gauge: () => {},
  gauges: () => {},
  histogram: () => nothing,
}
