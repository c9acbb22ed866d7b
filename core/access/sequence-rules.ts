/**
 * What the end of a request means for its successor in a sequence, as data (sequence-rules.json):
 * which outcome is a success, with which code the successor ends otherwise, and which DCC alert
 * goes with it. Read and checked once, when the process starts.
 */
import { assert } from '../base/assert.ts'
import { errorCodeOf, errorTable, type ErrorCode } from '../base/error-table.ts'
import rules from './sequence-rules.json' with { type: 'json' }

/** How a request ends that waits for its predecessor. */
export type SequenceEnd = keyof typeof rules.ends

const successes: ReadonlySet<string> = new Set(rules.succeeds)
const ends = new Map<string, SequenceEnd>()
for (const [end, { alert, outcomes }] of Object.entries(rules.ends)) {
  assert(end in errorTable && /^N\d+$/.test(alert), `sequence-rules.json: ${end}`)
  for (const outcome of outcomes) {
    assert(outcome in errorTable || outcome === 'any other', `sequence-rules.json: ${outcome}`)
    ends.set(outcome, end as SequenceEnd)
  }
}
const other = ends.get('any other')
assert(other !== undefined, 'sequence-rules.json has an end for any other outcome')
for (const outcome of successes)
  assert(outcome in errorTable && !ends.has(outcome), `sequence-rules.json: ${outcome}`)

/**
 * The end of the successor of a request with this outcome, a row of the error table; undefined when
 * the successor may start.
 */
export function sequenceEndOf(outcome: number): SequenceEnd | undefined {
  const code: ErrorCode | undefined = errorCodeOf(outcome)
  if (code === undefined) return other
  return successes.has(code) ? undefined : (ends.get(code) ?? other)
}

/** The code of the DCC alert that goes with an end. */
export const sequenceAlertOf = (end: SequenceEnd): string => rules.ends[end].alert
