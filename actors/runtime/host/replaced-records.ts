/** Records of the directory that others have taken the place of: the ledger may forget them. */
import { directorySubjects } from '../../../core/cluster/directory-subject.ts'
import type { Ledger, LedgerEntry } from '../../../core/ports/ledger.ts'
import type { Log } from '../../../core/ports/log.ts'

const prefix = directorySubjects.slice(0, -1)

/**
 * Forgets what stood on the subjects of records before `entries`, the first of which has
 * `firstSequence`. Nobody waits for it: the next record of the same actor does it again.
 */
export function forgetReplaced(
  { ledger, log }: { ledger: Pick<Ledger, 'forget'>; log: Log },
  entries: readonly LedgerEntry[],
  firstSequence: number,
): void {
  for (const [index, { subject }] of entries.entries()) {
    if (!subject.startsWith(prefix)) continue
    ledger.forget(subject, firstSequence + index).catch((fault: unknown) => {
      log.debug({ subject, fault: String(fault) }, 'a replaced record is not forgotten yet')
    })
  }
}
