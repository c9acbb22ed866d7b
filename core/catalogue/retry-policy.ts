/**
 * When Busbar sends a command again, as data: retry-policy.json. A request whose device is not
 * reached, or says nothing, is repeated until its deadline, with delays for each transport and
 * lane. One that the device has answered with what is no valid answer, or has refused for the time
 * being, is repeated up to `attemptsMax`: the device is there, and seldom says something else.
 * Pages: core/docs/reference/retries.md.
 */
import { assert } from '../base/assert.ts'
import { errorTable, type ErrorCode } from '../base/error-table.ts'
import { Lane, laneCount } from '../base/lane.ts'
import { limits } from '../base/limits.ts'
import { Transport } from '../ports/wan.ts'
import policyData from './retry-policy.json' with { type: 'json' }

export type RetryDelays = {
  /** Behind the first attempt, ms. */
  readonly firstMs: number
  /** Each delay is so many times the one before, */
  readonly growth: number
  /** and never longer than this, ms. */
  readonly longestMs: number
}

const delays: ReadonlyMap<Transport, readonly RetryDelays[]> = new Map(
  Transport.map((transport) => [
    transport,
    [Lane.URGENT, Lane.NORMAL, Lane.BULK].map((lane) => delaysIn(transport, lane)),
  ]),
)

function delaysIn(transport: Transport, lane: Lane): RetryDelays {
  const found = policyData.delays.filter(
    (row) => row.transport === transport && Lane[row.lane as keyof typeof Lane] === lane,
  )
  const [row] = found
  assert(row !== undefined && found.length === 1, `one retry policy of ${transport}, lane ${lane}`)
  const { firstMs, growth, longestMs } = row
  assert(
    firstMs >= limits.retryDelayMs && growth >= 1 && longestMs >= firstMs,
    `delays of ${transport}, lane ${lane}`,
  )
  return { firstMs, growth, longestMs }
}

assert(laneCount === 3, 'each lane has a retry policy')

/** The delays of a request in `lane` to a device that is reached over `transport`, or over tcp. */
export const retryDelaysOf = (lane: Lane, transport: Transport | undefined): RetryDelays =>
  delays.get(transport ?? 'tcp')![lane]!

const untilDeadline: ReadonlySet<string> = new Set(policyData.untilDeadline)
for (const code of untilDeadline)
  assert(
    code in errorTable && errorTable[code as ErrorCode].retry === 'later',
    `${code} may be followed by another attempt`,
  )

/** True when there may be another attempt after the `attempt`th has ended with `code`. */
export const mayRepeat = (code: ErrorCode, attempt: number): boolean =>
  errorTable[code].retry === 'later' && (untilDeadline.has(code) || attempt < limits.attemptsMax)

/** Outcomes after which a request is repeated until its deadline. */
export const codesUntilDeadline: readonly string[] = [...untilDeadline]

/** The rows of the policy, for its page. */
export const retryDelayRows = policyData.delays
