/**
 * A value in blocks, both ways, beside the association: `BlockGatherer` puts received blocks
 * together, `BlockCutter` cuts an encoded value into blocks. Block numbers begin at 1.
 *
 *   block = last-block boolean | block-number u32 | raw-data: length, octets
 *
 * [IEC 62056-5-3, DataBlock-G and DataBlock-SA]. Which service carries the block is the caller's.
 */
import { emptyBytes } from '../../base/bytes.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { lengthBytes, lengthBytesFor, readLength, writeLength } from '../axdr/layout.ts'

/** Gathers the raw data of blocks 1, 2, … into memory of its own. */
export class BlockGatherer {
  /** Number of the last block that was added. */
  blockNumber = 0
  private readonly bytesMax: number
  private buffer: Buffer | undefined
  private used = 0

  constructor(bytesMax: number = limits.transferBytesMax) {
    this.bytesMax = bytesMax
  }

  /**
   * Adds the raw data whose length stands at `at`; octets behind it are passed over, since meters
   * leave some there.
   * @throws BrokerError DLMS_BLOCK_NUMBER_WRONG, DLMS_LENGTH_INVALID, DLMS_SIZE_EXCEEDED
   */
  add(view: Buffer, at: number, blockNumber: number, isLast: boolean): void {
    if (blockNumber !== this.blockNumber + 1) {
      throw new BrokerError(
        'DLMS_BLOCK_NUMBER_WRONG',
        `block ${blockNumber} after block ${this.blockNumber}`,
      )
    }
    const count = readLength(view, at)
    const from = at + lengthBytes(view, at)
    if (from + count > view.length)
      throw new BrokerError('DLMS_LENGTH_INVALID', `block ${blockNumber} at octet ${at}`)
    // A block that brings nothing and is not the last would let a meter go on for ever.
    if (count === 0 && !isLast)
      throw new BrokerError('DLMS_LENGTH_INVALID', `block ${blockNumber} is empty`)
    this.append(view, from, count, isLast)
    this.blockNumber = blockNumber
  }

  /** Adds `count` octets from `from` on. @throws BrokerError DLMS_SIZE_EXCEEDED */
  append(view: Buffer, from: number, count: number, isLast: boolean): void {
    const needed = this.used + count
    if (needed > this.bytesMax)
      throw new BrokerError('DLMS_SIZE_EXCEEDED', `a transfer of ${needed} octets`)
    let { buffer } = this
    if (buffer === undefined || needed > buffer.length) {
      // One block needs its own size; of several the first says little about how many.
      const larger = Buffer.allocUnsafeSlow(
        isLast ? needed : Math.max(needed, 2 * (buffer?.length ?? needed)),
      )
      if (buffer !== undefined) buffer.copy(larger, 0, 0, this.used)
      this.buffer = buffer = larger
    }
    view.copy(buffer, this.used, from, from + count)
    this.used = needed
  }

  /** What has been gathered; owned by the caller, the gatherer is not used again. */
  take(): Buffer {
    return this.buffer === undefined ? emptyBytes : this.buffer.subarray(0, this.used)
  }
}

// last-block, block-number and at most three octets of length
const blockHeadBytesMax = 1 + 4 + 3

/** Cuts `valueBytes`, which it keeps until the last block is written. */
export class BlockCutter {
  /** Number of the block written last. */
  blockNumber = 0
  private readonly valueBytes: Buffer
  private at = 0

  constructor(valueBytes: Buffer) {
    this.valueBytes = valueBytes
  }

  get isDone(): boolean {
    return this.at === this.valueBytes.length && this.blockNumber > 0
  }

  /**
   * Octets of raw data in the next block when `roomBytes` octets are left for it with its head and
   * `choiceBytes`.
   */
  nextBytes(roomBytes: number, choiceBytes: number): number {
    return Math.min(
      this.valueBytes.length - this.at,
      Math.max(1, roomBytes - blockHeadBytesMax - choiceBytes),
    )
  }

  /** The octets of the next block, at most `bytesMax` and at least one; a view. */
  next(bytesMax: number): Buffer {
    const block = this.valueBytes.subarray(this.at, this.at + Math.max(1, bytesMax))
    this.at += block.length
    this.blockNumber++
    return block
  }

  /** Octets that a block of `count` octets of raw data takes, without choice. */
  static blockBytes(count: number): number {
    return 1 + 4 + lengthBytesFor(count) + count
  }

  /**
   * Writes the next block of `count` octets at `at`, with the choice octet 0 of raw data when
   * `hasChoice`.
   */
  write(out: Buffer, at: number, count: number, hasChoice: boolean): void {
    const isLast = this.at + count === this.valueBytes.length
    out[at] = isLast ? 1 : 0
    out.writeUInt32BE(++this.blockNumber, at + 1)
    at += 5
    if (hasChoice) out[at++] = 0
    at = writeLength(out, at, count)
    this.valueBytes.copy(out, at, this.at, this.at + count)
    this.at += count
  }
}
