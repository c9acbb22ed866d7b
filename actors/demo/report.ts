/** The summary at the end of the demonstration, for people or as one line of JSON. */
import { readingLines } from '../cli/party/reading-text.ts'
import { registrationLines, type Registered, type SupplierChange } from './registration.ts'
import { scheduleLines, type ScheduleShown } from './schedule.ts'
import { quantile, type Account } from './supplier.ts'

export type Outcome = {
  account: Account
  /** Latencies of requests while nothing else was under way, ms, rising. */
  alone: readonly number[]
  /** Address of each door. */
  listening: Record<string, string>
  registered: Registered
  change: SupplierChange | undefined
  schedule: ScheduleShown | undefined
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10

type Summary = ReturnType<typeof summaryOf>

function summaryOf({ account, alone, listening, registered, change, schedule }: Outcome) {
  const { submitted, accepted, refused, answered, timedOut, missing, tookMs, latenciesMs } = account
  return {
    submitted,
    accepted,
    refused,
    answered,
    timedOut,
    missing,
    requestsPerSecond: Math.round((answered + timedOut) / (tookMs / 1000)),
    p50Ms: tenths(quantile(latenciesMs, 0.5)),
    p99Ms: tenths(quantile(latenciesMs, 0.99)),
    alone: {
      requests: alone.length,
      p50Ms: tenths(quantile(alone, 0.5)),
      p99Ms: tenths(quantile(alone, 0.99)),
    },
    seconds: Math.round(tookMs) / 1000,
    refusals: Object.fromEntries(account.refusals),
    registered,
    ...(change && { supplierChange: changeOf(change) }),
    ...(schedule && {
      schedule: {
        device: schedule.device,
        responseCode: schedule.response?.responseCode ?? null,
      },
    }),
    listening,
  }
}

const changeOf = ({ meterPoint, device, losing, gaining }: SupplierChange) => ({
  meterPoint,
  device,
  losing: { party: losing.party, code: losing.code ?? 'REQUEST_ACCEPTED' },
  gaining: { party: gaining.party, responseCode: gaining.response?.responseCode ?? null },
})

export function report(outcome: Outcome, isJson: boolean): void {
  const summary = summaryOf(outcome)
  const lines = isJson ? [JSON.stringify(summary)] : linesOf(outcome, summary)
  for (const line of lines) process.stdout.write(`${line}\n`)
}

const counts = ['submitted', 'accepted', 'refused', 'answered', 'timedOut', 'missing'] as const

function linesOf(
  { account, registered, change, schedule, listening }: Outcome,
  summary: Summary,
): string[] {
  const samples = [...account.samples].sort(([a], [b]) => (a < b ? -1 : 1))
  const { alone, requestsPerSecond, p50Ms, p99Ms } = summary
  return [
    '',
    ...samples.flatMap(([srv, response]) => [
      `${srv}  ${response.requestId?.target ?? ''}`,
      ...readingLines(response.body)
        .slice(0, 8)
        .map((line) => `    ${line}`),
    ]),
    '',
    ...registrationLines(registered, change),
    '',
    ...scheduleLines(schedule),
    '',
    ...counts.map((name) => `${name.padEnd(12)}${summary[name]}`),
    ...Array.from(account.refusals, ([reason, count]) => `    ${count} × ${reason}`),
    `${'requests/s'.padEnd(12)}${requestsPerSecond}`,
    `${'p50 / p99'.padEnd(12)}${p50Ms} ms / ${p99Ms} ms`,
    ...(alone.requests > 0
      ? [
          `${'one alone'.padEnd(12)}${alone.p50Ms} ms / ${alone.p99Ms} ms  (${alone.requests} requests, one after the other)`,
        ]
      : []),
    '',
    ...Object.entries(listening).map(([door, address]) => `${door.padEnd(12)}${address}`),
    '',
  ]
}
