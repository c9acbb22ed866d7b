/**
 * What became of a commit that ended as `unknown`. The steps, in this order:
 *
 * 1. Take the lease again. The new fence makes the old one stale, so the doubtful batch, if it is
 *    still under way, is refused for ever from here on; without this step, reading would only tell
 *    what had arrived so far.
 * 2. Read the last frame of `log.<partition>`. It is by us, because nobody else held the partition
 *    in between.
 * 3. Compare it with the last frame known to be written and with the doubtful ones. A batch is
 *    written whole or not at all; with several frames in doubt the last one that is there tells
 *    for those before it.
 *
 * Frames found absent are committed again under the new fence: same frames, same hashes.
 */
import { BrokerError } from '../base/broker-error.ts'
import { sameBytes } from '../base/bytes.ts'
import { hashOfFrame, readChainLink } from '../envelope/frame.ts'
import type { Ledger, LedgerMessage } from '../ports/ledger.ts'
import { leaseSubject } from '../ports/lease.ts'
import { takeLease, type TakeLeaseOptions } from './lease.ts'

/** A frame's place in the hash chain; `hash` is that of the frame itself. */
export type FrameMark = { frameNumber: number; hash: Uint8Array }

/**
 * How many of the frames in doubt are written, from the first on, and where the last frame stands
 * (0: the log is empty).
 */
export type DoubtResolved = { writtenCount: number; lastSequence: number }

/**
 * Step 3, pure. `known` is the last frame settled as written, undefined at the start of the log;
 * `doubtful` are the frames sent after it, in order.
 * @throws BrokerError LEDGER_CHAIN_BROKEN when the log ends in a frame that is none of these
 */
export function compareWithLog(
  last: LedgerMessage | undefined,
  known: FrameMark | undefined,
  doubtful: readonly FrameMark[],
): DoubtResolved {
  if (last === undefined) {
    if (known !== undefined)
      throw new BrokerError(
        'LEDGER_CHAIN_BROKEN',
        `frame ${known.frameNumber} was written and is gone`,
      )
    return { writtenCount: 0, lastSequence: 0 }
  }
  const { frameNumber } = readChainLink(last.data)
  const hash = hashOfFrame(last.data)
  const isLast = (mark: FrameMark): boolean =>
    mark.frameNumber === frameNumber && sameBytes(mark.hash, hash)
  for (let i = doubtful.length - 1; i >= 0; i--) {
    if (isLast(doubtful[i]!)) return { writtenCount: i + 1, lastSequence: last.sequence }
  }
  if (known !== undefined && isLast(known)) return { writtenCount: 0, lastSequence: last.sequence }
  throw new BrokerError(
    'LEDGER_CHAIN_BROKEN',
    `the log ends in frame ${frameNumber}, which is not ours`,
  )
}

/** The partition has another owner now: drop it. */
export type DoubtLost = { lostTo: string }

/**
 * All three steps for one partition. `fence` is the lease's sequence that the doubtful batch
 * carried.
 * @throws BrokerError BROKER_LEDGER_UNAVAILABLE (try again: every step may be repeated),
 * BROKER_LEDGER_FULL, LEDGER_CHAIN_BROKEN
 */
export async function resolveDoubt(
  ledger: Ledger,
  partition: number,
  hostId: string,
  fence: number,
  known: FrameMark | undefined,
  doubtful: readonly FrameMark[],
  options: Omit<TakeLeaseOptions, 'mayTakeFrom'> = {},
): Promise<(DoubtResolved & { fence: number }) | DoubtLost> {
  const taken = await takeLease(ledger, partition, hostId, options)
  if (!taken.taken) return { lostTo: taken.owner }
  if (taken.sequence <= fence) {
    throw new BrokerError(
      'LEDGER_CHAIN_BROKEN',
      `${leaseSubject(partition)} stands at ${taken.sequence}, behind ${fence}: the ledger lost its end`,
    )
  }
  const last = await ledger.lastOn(`log.${partition}`)
  return { ...compareWithLog(last, known, doubtful), fence: taken.sequence }
}
