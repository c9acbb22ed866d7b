/**
 * Which faults the command line reports as one sentence, and which show where a
 * bug of ours is.
 */
import { BrokerError } from '../../core/base/broker-error.ts'

/**
 * What a person can mend and no row of the error table says: a door where nobody listens, a child
 * that has ended.
 */
export class OperatorFault extends Error {
  override name = 'OperatorFault'
}

/** Wrong options, found behind the command line's own checks: the command ends with 2. */
export class UsageFault extends OperatorFault {
  override name = 'UsageFault'
}

/**
 * The sentence for a fault that explains itself (of the table, of the command line, of the
 * operating system), or where a bug of ours is. `isOurs` is true for the latter.
 */
export function explainFault(fault: unknown): { text: string; isOurs: boolean } {
  if (!(fault instanceof Error)) return { text: String(fault), isOurs: true }
  const isTold =
    fault instanceof OperatorFault || fault instanceof BrokerError || 'syscall' in fault
  return isTold
    ? { text: `busbar: ${fault.message}`, isOurs: false }
    : { text: fault.stack ?? fault.message, isOurs: true }
}
