/**
 * The hash chain of one partition, as every fold of the ledger checks it. Pure; frames and links
 * are core/envelope/frame.
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { sameBytes } from '../../../core/base/bytes.ts'
import { genesisHash, hashOfFrame, readChainLink } from '../../../core/envelope/frame.ts'
import { isLaterVersion } from '../../../core/envelope/version.ts'
import { readTickMessage } from '../../../core/envelope/tick-message.ts'
import type { Checkpoint } from '../../../core/ports/store.ts'

/** Where every partition begins. */
export const genesis: Checkpoint = {
  sequence: 0,
  frameSequence: 0,
  frameNumber: 0,
  hash: genesisHash,
}

/**
 * Where the partition stands behind `frame` of the tick `sequence`, which must be the one that
 * follows `before`.
 * @throws BrokerError LEDGER_CHAIN_BROKEN, FRAME_MALFORMED
 */
export function stepChain(
  partition: number,
  before: Checkpoint,
  frame: Buffer,
  sequence: number,
): Checkpoint {
  const { frameNumber, previousHash, partition: named } = readChainLink(frame)
  if (
    named !== partition ||
    frameNumber !== before.frameNumber + 1 ||
    !sameBytes(previousHash, before.hash)
  ) {
    throw new BrokerError(
      'LEDGER_CHAIN_BROKEN',
      `partition ${partition}, sequence ${sequence}, frame ${frameNumber} after ${before.frameNumber}`,
    )
  }
  return { sequence, frameSequence: sequence, frameNumber, hash: hashOfFrame(frame) }
}

/** True when `tick`, the one that `checkpoint` names, holds the frame that it was folded from. */
export function isInChain(
  partition: number,
  checkpoint: Checkpoint,
  tick: Buffer | undefined,
): boolean {
  if (checkpoint.frameNumber === 0) return true
  let isSame = false
  const compare = (number: number, frame: Buffer): void => {
    if (number === partition) isSame = sameBytes(hashOfFrame(frame), checkpoint.hash)
  }
  try {
    if (tick !== undefined) readTickMessage(tick, compare, undefined)
  } catch (fault) {
    if (isLaterVersion(fault)) throw fault
    // Another kind of message stands there: another ledger.
    return false
  }
  return isSame
}
