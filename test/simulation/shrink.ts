/**
 * The smallest life of a seed that still goes wrong: fewest steps before the faults stop, and only
 * the kinds of faults that it takes.
 */
import { faultKinds, type FaultKind } from './faults.ts'
import { simulate, stepCountDefault, type LifeOptions, type Outcome } from './simulation.ts'

export type Shrunk = Outcome & { stepCount: number; kinds: readonly FaultKind[] }

/** Undefined when the life of `seed` does not go wrong. */
export async function shrink(seed: number, options: LifeOptions = {}): Promise<Shrunk | undefined> {
  let found = await simulate(seed, options)
  if (found.violation === undefined) return undefined
  let stepCount = options.stepCount ?? stepCountDefault
  let without: ReadonlySet<FaultKind> = new Set()
  const goesWrong = async (smaller: {
    stepCount: number
    without: ReadonlySet<FaultKind>
  }): Promise<boolean> => {
    const outcome = await simulate(seed, { ...options, ...smaller })
    if (outcome.violation === undefined) return false
    found = outcome
    ;({ stepCount, without } = smaller)
    return true
  }
  let enough = 0
  while (stepCount - enough > 1) {
    const middle = (stepCount + enough) >> 1
    if (!(await goesWrong({ stepCount: middle, without }))) enough = middle
  }
  for (const kind of faultKinds)
    await goesWrong({ stepCount, without: new Set([...without, kind]) })
  return { ...found, stepCount, kinds: faultKinds.filter((kind) => !without.has(kind)) }
}
