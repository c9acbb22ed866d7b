/** How long one request takes while nothing else is under way. */
import type { Account } from './supplier.ts'
import type { Planned } from './plan.ts'

/** Requests that are measured; one more before them opens the connection. */
const measuredCount = 20
/** The end in any case, for a meter that has become silent meanwhile. */
const measuringMsMax = 10_000

/** Runs a plan to its end, as `Supplier.run`. */
export type Runner = { run(plan: readonly Planned[]): Promise<Account> }

/**
 * Submits requests one after the other, each when the one before is answered, and gives the
 * latencies of the answered ones in ms, rising. `plan` is repeated as often as needed.
 */
export async function aloneLatencies(runner: Runner, plan: readonly Planned[]): Promise<number[]> {
  const latencies: number[] = []
  const endsAt = performance.now() + measuringMsMax
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), measuringMsMax)
  })
  let answered = 0
  for (let i = 0; i <= measuredCount && plan.length > 0 && performance.now() < endsAt; i++) {
    const account = await Promise.race([runner.run([plan[i % plan.length]!]), late])
    if (account === undefined) break
    if (i > 0 && account.answered > answered) latencies.push(account.tookMs)
    answered = account.answered
  }
  clearTimeout(timer)
  return latencies.sort((a, b) => a - b)
}

/** The requests of `plan` that are known to have a good answer: one of each variant. */
export function answeredOf(plan: readonly Planned[], { samples }: Account): Planned[] {
  const targets = new Map([...samples].map(([srv, { requestId }]) => [srv, requestId?.target]))
  return plan.filter(({ srv, target }) => targets.get(srv) === target)
}
