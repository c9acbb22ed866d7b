/**
 * Waits for what no event announces: the state of another process, by its doors or its files. Each
 * question costs processor time that the tests beside need, so there is a rest between two.
 */
import { setTimeout as rest } from 'node:timers/promises'

const restMs = 50

/** Asks until `isIt` accepts the answer, and gives that one. The limit is the test's own. */
export async function polled<Answer>(
  ask: () => Answer | Promise<Answer>,
  isIt: (answer: Answer) => boolean,
): Promise<Answer> {
  for (;;) {
    const answer = await ask()
    if (isIt(answer)) return answer
    await rest(restMs)
  }
}
