/**
 * The TCP wrapper around APDUs, between the socket and the association:
 *
 *   0 version u16 = 1 | 2 source port u16 | 4 destination port u16 | 6 length u16 | 8 APDU
 *
 * [IEC 62056-4-7, wrapper protocol data unit]. Bytes in, frames out; it opens no socket and keeps no time.
 */
import { emptyBytes } from '../../base/bytes.ts'
import { assert } from '../../base/assert.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'

/** Octets before the APDU. */
export const wrapperHeaderBytes = 8

const version = 1
// Stands in the spare octets in front of an APDU of ours, so that nobody wraps a buffer that has
// none.
const spareMark = 0xffff_ffff

/**
 * `source` and `destination` are wrapper ports; `apduView` borrows until the next call of `next` or
 * `push`.
 */
export type WrapperFrame = { source: number; destination: number; apduView: Buffer }

/**
 * Writes the header of an APDU of `apduBytes` octets at `at`; returns the offset where the APDU
 * goes.
 */
export function writeWrapperHeader(
  out: Uint8Array,
  at: number,
  source: number,
  destination: number,
  apduBytes: number,
): number {
  assert(apduBytes > 0 && apduBytes <= 0xffff, 'an APDU fits the wrapper')
  out[at] = 0
  out[at + 1] = version
  out[at + 2] = source >> 8
  out[at + 3] = source
  out[at + 4] = destination >> 8
  out[at + 5] = destination
  out[at + 6] = apduBytes >> 8
  out[at + 7] = apduBytes
  return at + wrapperHeaderBytes
}

/**
 * Memory for an APDU of `apduBytes` octets with `wrapperHeaderBytes` spare octets in front of it.
 * Owned by the caller.
 */
export function allocateApdu(apduBytes: number): Buffer {
  const whole = Buffer.allocUnsafe(wrapperHeaderBytes + apduBytes)
  whole.writeUInt32BE(spareMark, 0)
  return whole.subarray(wrapperHeaderBytes)
}

/**
 * The wrapper frame around `apdu`, its header written into the spare octets in front: nothing is
 * copied. Once for each APDU, and only for those that `DlmsClient`, `DlmsServer` or `allocateApdu`
 * have made.
 * @throws AssertionFault when `apdu` has no spare octets in front, or was wrapped before
 */
export function wrapInPlace(apdu: Buffer, source: number, destination: number): Buffer {
  assert(apdu.byteOffset >= wrapperHeaderBytes, 'spare octets stand in front of the APDU')
  const frame = Buffer.from(
    apdu.buffer as ArrayBuffer,
    apdu.byteOffset - wrapperHeaderBytes,
    wrapperHeaderBytes + apdu.length,
  )
  assert(frame.readUInt32BE(0) === spareMark, 'spare octets stand in front of the APDU')
  writeWrapperHeader(frame, 0, source, destination, apdu.length)
  return frame
}

/**
 * The only frame of a UDP datagram, `apduView` borrowed from it. [IEC 62056-4-7, one WPDU in a
 * datagram]
 * @throws BrokerError DLMS_WRAPPER_INVALID (fault: meter) when it is no frame of version 1, is cut
 * short, or has octets left over
 */
export function readWrapperDatagram(
  datagramView: Buffer,
  apduBytesMax: number = limits.apduBytesMax,
): WrapperFrame {
  if (datagramView.length < wrapperHeaderBytes)
    throw new BrokerError('DLMS_WRAPPER_INVALID', `${datagramView.length} octets`)
  const apduBytes = readApduBytes(datagramView, 0, apduBytesMax)
  const end = wrapperHeaderBytes + apduBytes
  if (apduBytes === 0) throw new BrokerError('DLMS_WRAPPER_INVALID', 'length 0')
  if (end !== datagramView.length)
    throw new BrokerError('DLMS_WRAPPER_INVALID', `${datagramView.length} octets, not ${end}`)
  return frameAt(datagramView, 0, end)
}

/**
 * The octets of the whole frames of length 0 that `view` begins with, at most
 * `wrapperEmptyFramesMax` of them.
 * @throws BrokerError DLMS_WRAPPER_INVALID when there are more
 */
export function emptyFramesBytes(view: Buffer): number {
  let at = 0
  while (
    view.length - at >= wrapperHeaderBytes &&
    view.readUInt16BE(at) === version &&
    view.readUInt16BE(at + 6) === 0
  )
    at += wrapperHeaderBytes
  if (at > limits.wrapperEmptyFramesMax * wrapperHeaderBytes)
    throw new BrokerError('DLMS_WRAPPER_INVALID', `${at / wrapperHeaderBytes} frames of length 0`)
  return at
}

/**
 * Cuts a byte stream into wrapper frames. A frame that lies whole in the chunk is a view on it;
 * only an incomplete rest is kept, in memory that grows with what has really come. After an error
 * the stream has no boundaries any more: close it.
 *
 * Call `push`, then `next` until it gives undefined ("not yet").
 */
export class WrapperReader {
  private readonly apduBytesMax: number
  private chunk: Buffer = emptyBytes
  private at = 0
  private rest: Buffer = emptyBytes
  private restUsed = 0
  /** Frames without an APDU since the last one with an APDU. */
  private emptyCount = 0

  constructor(options: { apduBytesMax?: number } = {}) {
    this.apduBytesMax = options.apduBytesMax ?? limits.apduBytesMax
  }

  /** Octets that are kept because their frame is not complete. */
  get keptBytes(): number {
    return this.restUsed
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
   * The next frame with an APDU, or undefined when it is not complete yet. Frames of length 0,
   * which some devices send to keep a connection alive, are passed over.
   * @throws BrokerError DLMS_WRAPPER_INVALID (fault: meter) when what stands there is no frame of
   * version 1 or too long, or when more
   *   than `wrapperEmptyFramesMax` in a row have length 0
   */
  next(): WrapperFrame | undefined {
    for (;;) {
      const frame = this.nextFrame()
      if (frame === undefined) return undefined
      if (frame.apduView.length > 0) {
        this.emptyCount = 0
        return frame
      }
      if (++this.emptyCount > limits.wrapperEmptyFramesMax)
        throw new BrokerError('DLMS_WRAPPER_INVALID', `${this.emptyCount} frames of length 0`)
    }
  }

  private nextFrame(): WrapperFrame | undefined {
    if (this.restUsed > 0) return this.nextFromRest()
    const { chunk, at } = this
    const left = chunk.length - at
    if (left >= wrapperHeaderBytes) {
      const end = at + wrapperHeaderBytes + readApduBytes(chunk, at, this.apduBytesMax)
      if (end <= chunk.length) {
        this.at = end
        return frameAt(chunk, at, end)
      }
    }
    if (left > 0) this.keep(left)
    return undefined
  }

  private nextFromRest(): WrapperFrame | undefined {
    if (this.restUsed < wrapperHeaderBytes) {
      this.keep(Math.min(wrapperHeaderBytes - this.restUsed, this.chunk.length - this.at))
      if (this.restUsed < wrapperHeaderBytes) return undefined
    }
    const end = wrapperHeaderBytes + readApduBytes(this.rest, 0, this.apduBytesMax)
    this.keep(Math.min(end - this.restUsed, this.chunk.length - this.at))
    if (this.restUsed < end) return undefined
    const frame = frameAt(this.rest, 0, end)
    this.restUsed = 0
    if (this.rest.length > limits.wrapperKeptBytesMax) this.rest = emptyBytes
    return frame
  }

  /** Moves `count` octets of the chunk to the rest. */
  private keep(count: number): void {
    const needed = this.restUsed + count
    if (needed > this.rest.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.rest.length, 64))
      larger.set(this.rest.subarray(0, this.restUsed))
      this.rest = larger
    }
    this.chunk.copy(this.rest, this.restUsed, this.at, this.at + count)
    this.restUsed = needed
    this.at += count
  }
}

function readApduBytes(buffer: Buffer, at: number, apduBytesMax: number): number {
  const found = buffer.readUInt16BE(at)
  if (found !== version) throw new BrokerError('DLMS_WRAPPER_INVALID', `version ${found}`)
  const apduBytes = buffer.readUInt16BE(at + 6)
  if (apduBytes > apduBytesMax) throw new BrokerError('DLMS_WRAPPER_INVALID', `length ${apduBytes}`)
  return apduBytes
}

function frameAt(buffer: Buffer, at: number, end: number): WrapperFrame {
  return {
    source: buffer.readUInt16BE(at + 2),
    destination: buffer.readUInt16BE(at + 4),
    apduView: buffer.subarray(at + wrapperHeaderBytes, end),
  }
}
