/**
 * A ledger read in its order for an audit: ticks, and letters between actors where they stand. What
 * is there of letters is read before the ticks and held: those that are read go behind snapshots,
 * so there are few.
 */
import { partitionOfLetters, recordSubjects } from '../../../core/cluster/letters-subject.ts'
import { decodeDeployment } from '../../../core/ledger/identity.ts'
import { deploymentSubject } from '../../../core/ledger/opening.ts'
import { tickSubjects, type Ledger, type LedgerMessage } from '../../../core/ports/ledger.ts'

/** Gives `onMessage` ticks and letters from `fromSequence` on. */
export async function readInOrder(
  ledger: Ledger,
  fromSequence: number,
  onMessage: (message: LedgerMessage) => void,
): Promise<void> {
  const letters: LedgerMessage[] = []
  await ledger.read(recordSubjects, fromSequence, (message) => {
    if (partitionOfLetters(message.subject) !== undefined) letters.push(message)
  })
  let next = 0
  const giveBefore = (sequence: number): void => {
    while (next < letters.length && letters[next]!.sequence < sequence) onMessage(letters[next++]!)
  }
  await ledger.read(tickSubjects, fromSequence, (message) => {
    giveBefore(message.sequence)
    onMessage(message)
  })
  giveBefore(Infinity)
}

/** Of the deployment; 0 when that is not recorded. */
export async function partitionCountOf(ledger: Ledger): Promise<number> {
  const recorded = await ledger.lastOn(deploymentSubject)
  return recorded === undefined ? 0 : decodeDeployment(recorded.data).partitionCount
}
