/**
 * Cuts what comes over a line into HDLC frames. Octets that belong to no frame are skipped and
 * counted, frames with a wrong check are dropped and counted, as the standard asks: the link above
 * repeats what was lost. Linear in the octets that come: a header is judged by its own check before
 * its length is believed, and a whole frame is summed up once.
 */
import { assert } from '../../../base/assert.ts'
import { BrokerError } from '../../../base/broker-error.ts'
import { emptyBytes } from '../../../base/bytes.ts'
import { limits } from '../../../base/limits.ts'
import {
  flagOctet,
  frameBytesAt,
  frameBytesMax,
  hasGoodFcs,
  readFrame,
  type HdlcFrame,
} from './frame.ts'

/**
 * Call `push`, then `next` until it gives undefined ("not yet"). Views in a frame hold until the
 * next call of either.
 */
export class HdlcReader {
  private readonly garbageBytesMax: number
  private chunk: Buffer = emptyBytes
  private at = 0
  private rest: Buffer = emptyBytes
  private restAt = 0
  private restEnd = 0
  private garbageBytes = 0
  private dropped = 0
  private skipped = 0

  /**
   * `garbageBytesMax`: octets without one good frame after which the peer is taken for something
   * else.
   */
  constructor(options: { garbageBytesMax?: number } = {}) {
    this.garbageBytesMax = options.garbageBytesMax ?? limits.hdlcGarbageBytesMax
  }

  /** Frames with a wrong FCS. */
  get framesDropped(): number {
    return this.dropped
  }

  /** Octets outside good frames, flags not counted. */
  get octetsSkipped(): number {
    return this.skipped
  }

  /** Octets that are kept because their frame is not complete. */
  get keptBytes(): number {
    return this.restEnd - this.restAt
  }

  /**
   * Takes the next chunk, borrowed until the following `push`. Frames of the chunk before must have
   * been taken out.
   */
  push(chunkView: Buffer): void {
    assert(this.at === this.chunk.length, 'frames are taken out before the next chunk')
    this.chunk = chunkView
    this.at = 0
  }

  /**
   * Gives up the frame that is waited for: a later flag in what is kept may open the real one. Its
   * octets did not come in time.
   */
  abandon(): void {
    if (this.restAt < this.restEnd) this.restAt++
  }

  /**
   * The next good frame, or undefined when none is complete yet.
   * @throws BrokerError DLMS_HDLC_INVALID (fault: meter) when too many octets came without a frame
   */
  next(): HdlcFrame | undefined {
    for (;;) {
      const isRest = this.restAt < this.restEnd
      if (!isRest) this.releaseRest()
      // A closing flag was kept in case it opens the next frame; when that has a flag of its own,
      // nothing need be gathered.
      else if (this.keptBytes === 1 && this.chunk[this.at] === flagOctet) {
        this.restAt = this.restEnd
        continue
      }
      const view = isRest ? this.rest : this.chunk
      const at = isRest ? this.restAt : this.at
      const end = isRest ? this.restEnd : this.chunk.length
      if (at === end) return undefined
      if (view[at] !== flagOctet) {
        const flagAt = view.indexOf(flagOctet, at)
        const until = flagAt < 0 || flagAt > end ? end : flagAt
        this.advance(isRest, until)
        this.skip(until - at)
        continue
      }
      const bytes = frameBytesAt(view, at, end)
      if (bytes === 0) this.advance(isRest, at + 1)
      else if (bytes > end - at) {
        if (!this.keep(isRest ? bytes - (end - at) : end - at)) return undefined
      } else {
        // The closing flag stays: it may open the next frame.
        this.advance(isRest, at + bytes - 1)
        if (hasGoodFcs(view, at, bytes)) {
          this.garbageBytes = 0
          return readFrame(view, at, bytes)
        }
        this.dropped++
        this.skip(bytes - 2)
      }
    }
  }

  private advance(isRest: boolean, at: number): void {
    if (isRest) this.restAt = at
    else this.at = at
  }

  private skip(count: number): void {
    this.skipped += count
    this.garbageBytes += count
    if (this.garbageBytes > this.garbageBytesMax)
      throw new BrokerError('DLMS_HDLC_INVALID', `${this.garbageBytes} octets without a frame`)
  }

  /** Moves up to `count` octets of the chunk to the rest; false when the chunk has none. */
  private keep(count: number): boolean {
    const taken = Math.min(count, this.chunk.length - this.at)
    if (taken === 0) return false
    if (this.restEnd + taken > this.rest.length) {
      const kept = this.keptBytes
      const isRoomy = kept + taken <= this.rest.length
      const target = isRoomy
        ? this.rest
        : Buffer.allocUnsafeSlow(
            Math.max(kept + taken, Math.min(2 * this.rest.length, 2 * frameBytesMax), 64),
          )
      this.rest.copy(target, 0, this.restAt, this.restEnd)
      this.rest = target
      this.restAt = 0
      this.restEnd = kept
    }
    this.chunk.copy(this.rest, this.restEnd, this.at, this.at + taken)
    this.restEnd += taken
    this.at += taken
    return true
  }

  private releaseRest(): void {
    this.restAt = 0
    this.restEnd = 0
    if (this.rest.length > limits.hdlcReaderKeptBytesMax) this.rest = emptyBytes
  }
}
