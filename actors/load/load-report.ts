/** The report of a load run in words. */
import type { LatencyReport, LoadReport } from './load-tally.ts'

const count = (value: number): string => Math.round(value).toLocaleString('en-GB')
const ms = (value: number): string =>
  Number.isNaN(value) ? '–' : `${value < 10 ? value.toFixed(1) : count(value)} ms`
const latency = ({ p50Ms, p90Ms, p99Ms, maxMs }: LatencyReport): string =>
  `p50 ${ms(p50Ms)}, p90 ${ms(p90Ms)}, p99 ${ms(p99Ms)}, max ${ms(maxMs)}`

export function reportLines(report: LoadReport): string[] {
  const { requests, accepted, rejected, responses, failed, missing, duplicates } = report
  return [
    `Requests      ${count(requests)}: ${count(accepted)} accepted, ${count(rejected)} rejected`,
    `Responses     ${count(responses)}: ${count(failed)} failed, ${count(missing)} missing, ${count(duplicates)} duplicates`,
    `Throughput    ${count(report.acceptedPerSecond)} accepted/s, ${count(report.responsesPerSecond)} responses/s, over ${report.seconds.toFixed(1)} s`,
    `Acceptance    ${latency(report.acceptance)}`,
    `Completion    ${latency(report.completion)}`,
    ...Object.entries(report.codes).map(([code, times]) => `  ${code}  ${count(times)}`),
  ]
}

/** True when every request was accepted and answered once, with success. */
export const isClean = ({ rejected, failed, missing, duplicates }: LoadReport): boolean =>
  rejected + failed + missing + duplicates === 0
