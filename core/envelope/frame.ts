/**
 * A frame is envelopes back to back, the unit that moves on NATS. Before the facts of a partition
 * (tick-message.ts) stands a chain link: a MessagePack array [version, partition, frame number,
 * hash of the frame before], fixed-width like the envelopes, so that the facts of a partition form
 * a hash chain.
 */
import { hash as digest } from 'node:crypto'
import { limits } from '../base/limits.ts'
import { emptyBytes } from '../base/bytes.ts'
import { BrokerError } from '../base/broker-error.ts'
import { checkEnvelope, readSafeU64, writeSafeU64 } from './envelope.ts'
import { checkVersion } from './version.ts'

export const hashBytes = 32
/** What the first frame of a partition names as the hash before it. */
export const genesisHash: Buffer = Buffer.alloc(hashBytes)

// 94 | cd u16 version | cd u16 partition | cf u64 frame number | c4 20 hash
export const chainLinkBytes = 1 + 3 + 3 + 9 + 2 + hashBytes
const linkVersion = 1
const hashAt = chainLinkBytes - hashBytes

export type ChainLink = { partition: number; frameNumber: number; previousHash: Buffer }

export function writeChainLink(buffer: Buffer, at: number, link: ChainLink): number {
  buffer[at] = 0x94
  buffer[at + 1] = buffer[at + 4] = 0xcd
  buffer.writeUInt16BE(linkVersion, at + 2)
  buffer.writeUInt16BE(link.partition, at + 5)
  buffer[at + 7] = 0xcf
  writeSafeU64(buffer, link.frameNumber, at + 8)
  buffer[at + 16] = 0xc4
  buffer[at + 17] = hashBytes
  buffer.set(link.previousHash, at + hashAt)
  return at + chainLinkBytes
}

/**
 * Reads the link at the front of a ledger frame; `previousHash` borrows.
 * @throws BrokerError FRAME_MALFORMED
 */
export function readChainLink(frame: Buffer): ChainLink {
  checkVersion(frame, 0, linkVersion, 'a chain link')
  const whole =
    frame.length >= chainLinkBytes &&
    frame[0] === 0x94 &&
    frame[1] === 0xcd &&
    frame.readUInt16BE(2) === linkVersion &&
    frame[4] === 0xcd &&
    frame[7] === 0xcf &&
    frame[16] === 0xc4 &&
    frame[17] === hashBytes
  if (!whole) throw new BrokerError('FRAME_MALFORMED', 'no chain link at its front')
  return {
    partition: frame.readUInt16BE(5),
    frameNumber: readSafeU64(frame, 8),
    previousHash: frame.subarray(hashAt, chainLinkBytes),
  }
}

/** SHA-256 over the whole frame, link included: so over everything before it too. */
export function hashOfFrame(frame: Uint8Array): Buffer {
  return digest('sha256', frame, 'buffer')
}

/**
 * Calls `visit` with the offset of each envelope, in order, having checked it. `start` skips a
 * chain link.
 * @throws BrokerError ENVELOPE_MALFORMED
 */
export function forEachEnvelope(frame: Buffer, start: number, visit: (at: number) => void): void {
  for (let at = start; at < frame.length;) {
    const end = checkEnvelope(frame, at)
    visit(at)
    at = end
  }
}

/**
 * A growing buffer in which one frame is gathered: each envelope is copied once, into its place.
 * The frame is either taken (owned by the caller, the writer starts again) or lent and cleared (one
 * buffer serves frame after frame).
 */
export class FrameWriter {
  private buffer: Buffer = emptyBytes
  private used = 0
  private wantedBytes: number = limits.frameStartBytes
  /** Envelopes written since the last `take` or `clear`. */
  count = 0

  get bytes(): number {
    return this.used
  }

  /**
   * Makes room for `count` octets and returns where they begin; write them with `target` at once.
   */
  reserve(count: number): number {
    const at = this.used
    const needed = at + count
    if (needed > this.buffer.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.max(needed, this.buffer.length * 2, this.wantedBytes),
      )
      larger.set(this.buffer.subarray(0, at))
      this.buffer = larger
    }
    this.used = needed
    return at
  }

  /** The buffer to write reserved octets into; valid until the next `reserve`. */
  get target(): Buffer {
    return this.buffer
  }

  /** The frame, owned by the caller from now on. */
  take(): Buffer {
    const frame = this.buffer.subarray(0, this.used)
    // The next one is likely to be about as large.
    this.wantedBytes = Math.max(
      limits.frameStartBytes,
      Math.min(this.used, limits.frameKeptBytesMax),
    )
    this.buffer = emptyBytes
    this.used = this.count = 0
    return frame
  }

  /** The frame, borrowed until `clear`; nothing may be reserved before that. */
  lend(): Buffer {
    return this.buffer.subarray(0, this.used)
  }

  /** Forgets the frame and keeps its buffer for the next. */
  clear(): void {
    if (this.buffer.length > limits.frameKeptBytesMax) this.buffer = emptyBytes
    this.used = this.count = 0
  }
}
