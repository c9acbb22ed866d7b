/** Every process that rejects requests reports them to the actors of the parties. */
import { RejectionMail } from '../../core/bus/rejection-mail.ts'
import type { DirectoryReader } from '../../core/ledger/directory-reader.ts'
import type { OpenedLedger } from './ledger-role.ts'
import type { StartContext } from './start-context.ts'

/** How long a process that ends waits for its last reports. */
const lastReportMs = 2_000

/** Its closer is to be called while hosts still answer. */
export function startRejections(
  { clock, random, log, metrics }: StartContext,
  { bus, owners }: OpenedLedger,
  reader: DirectoryReader,
): { mail: RejectionMail; close: () => Promise<void> } {
  const directorySequence = (): number => reader.current.sequence
  const mail = new RejectionMail({
    ...{ bus, directory: owners, clock, random, log, metrics, directorySequence },
  })
  mail.start()
  return { mail, close: () => mail.close(lastReportMs) }
}
