/**
 * Writes COSEM data once, forwards, into a growing buffer: simulators, translation and tools build
 * values with it.
 * [IEC 62056-5-3, A-XDR encoding of Data]. It does not check that as many elements follow as a count has promised,
 * nor what it is given: of a number that its type cannot hold the low octets are written, of a
 * character that is not latin-1, too, and a bigint out of range is a RangeError. `encodeValue`
 * checks.
 */
import { asBuffer } from '../../base/bytes.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import { lengthBytesFor, Tag, writeLength } from './layout.ts'

const fewOctets = 12

/**
 * Reusable: `take` copies the octets out, `clear` forgets them; the memory stays. Every method
 * returns the writer.
 */
export class AxdrWriter {
  private buffer: Buffer
  private used = 0

  constructor(initialBytes = 256) {
    this.buffer = Buffer.allocUnsafeSlow(initialBytes)
  }

  /** Octets written since the last `take` or `clear`. */
  get bytes(): number {
    return this.used
  }

  /** What has been written, borrowed until the next call of any method. */
  get view(): Buffer {
    return this.buffer.subarray(0, this.used)
  }

  /** What has been written, owned by the caller; the writer is empty then. */
  take(): Buffer {
    const bytes = Buffer.allocUnsafe(this.used)
    this.buffer.copy(bytes, 0, 0, this.used)
    this.used = 0
    return bytes
  }

  clear(): this {
    this.used = 0
    return this
  }

  null(): this {
    return this.octet(Tag.NULL)
  }

  dontCare(): this {
    return this.octet(Tag.DONT_CARE)
  }

  /** Opens an array of `count` values, which are written next. */
  array(count: number): this {
    return this.tagAndLength(Tag.ARRAY, count)
  }

  /** Opens a structure of `count` values, which are written next. */
  structure(count: number): this {
    return this.tagAndLength(Tag.STRUCTURE, count)
  }

  boolean(value: boolean): this {
    return this.tagAndOctet(Tag.BOOLEAN, value ? 1 : 0)
  }

  /** `octet` as it stands: 0x25 is 25. */
  bcd(octet: number): this {
    return this.tagAndOctet(Tag.BCD, octet)
  }

  int8(value: number): this {
    return this.tagAndOctet(Tag.INTEGER, value)
  }

  uint8(value: number): this {
    return this.tagAndOctet(Tag.UNSIGNED, value)
  }

  enumeration(value: number): this {
    return this.tagAndOctet(Tag.ENUM, value)
  }

  int16(value: number): this {
    return this.tagAndTwo(Tag.LONG, value)
  }

  uint16(value: number): this {
    return this.tagAndTwo(Tag.LONG_UNSIGNED, value)
  }

  int32(value: number): this {
    return this.tagAndFour(Tag.DOUBLE_LONG, value)
  }

  uint32(value: number): this {
    return this.tagAndFour(Tag.DOUBLE_LONG_UNSIGNED, value)
  }

  int64(value: bigint): this {
    const at = this.reserve(9)
    this.buffer[at] = Tag.LONG64
    this.buffer.writeBigInt64BE(value, at + 1)
    return this
  }

  uint64(value: bigint): this {
    const at = this.reserve(9)
    this.buffer[at] = Tag.LONG64_UNSIGNED
    this.buffer.writeBigUInt64BE(value, at + 1)
    return this
  }

  float32(value: number): this {
    const at = this.reserve(5)
    this.buffer[at] = Tag.FLOAT32
    this.buffer.writeFloatBE(value, at + 1)
    return this
  }

  float64(value: number): this {
    const at = this.reserve(9)
    this.buffer[at] = Tag.FLOAT64
    this.buffer.writeDoubleBE(value, at + 1)
    return this
  }

  octetString(view: Uint8Array): this {
    return this.tagAndLength(Tag.OCTET_STRING, view.length).octets(view)
  }

  /** `text` as latin-1: one octet a character. */
  visibleString(text: string): this {
    return this.tagAndLength(Tag.VISIBLE_STRING, text.length).octets(Buffer.from(text, 'latin1'))
  }

  utf8String(text: string): this {
    const bytes = Buffer.from(text, 'utf8')
    return this.tagAndLength(Tag.UTF8_STRING, bytes.length).octets(bytes)
  }

  /** `bitCount` bits, the first one in the high bit of the first octet of `view`. */
  bitString(view: Uint8Array, bitCount: number): this {
    return this.tagAndLength(Tag.BIT_STRING, bitCount).octets(
      view.subarray(0, Math.ceil(bitCount / 8)),
    )
  }

  /** Twelve octets of COSEM date-time, as an octet-string: what clocks and captured times use. */
  dateTime(view: Uint8Array): this {
    return this.octetString(view)
  }

  /** Octets that are a tag's content or whole A-XDR already. */
  octets(view: Uint8Array): this {
    const { length } = view
    const at = this.reserve(length)
    const { buffer } = this
    // A few octets by hand cost less than a call out of JavaScript.
    if (length > fewOctets) buffer.set(view, at)
    else for (let i = 0; i < length; i++) buffer[at + i] = view[i]!
    return this
  }

  octet(value: number): this {
    const at = this.reserve(1)
    this.buffer[at] = value
    return this
  }

  /** A length, without a tag. */
  length(length: number): this {
    const at = this.reserve(lengthBytesFor(length))
    writeLength(this.buffer, at, length)
    return this
  }

  /**
   * Makes room for the length of what is written next; returns where that begins, for
   * `closeLength`.
   */
  openLength(): number {
    return this.reserve(1) + 1
  }

  /** Writes the length of what was written since `start`, in front of it. */
  closeLength(start: number): this {
    const bytes = this.used - start
    const more = lengthBytesFor(bytes) - 1
    if (more > 0) {
      this.reserve(more)
      this.buffer.copyWithin(start + more, start, start + bytes)
    }
    writeLength(this.buffer, start - 1, bytes)
    return this
  }

  /**
   * Makes room for `count` octets, which the caller writes into `target` at once, and returns where
   * they begin.
   */
  reserve(count: number): number {
    const at = this.used
    const needed = at + count
    if (needed > this.buffer.length) this.grow(needed)
    this.used = needed
    return at
  }

  /** The buffer to write reserved octets into; valid until the next call of any method. */
  get target(): Buffer {
    return this.buffer
  }

  private tagAndLength(tag: number, length: number): this {
    const at = this.reserve(1 + lengthBytesFor(length))
    this.buffer[at] = tag
    writeLength(this.buffer, at + 1, length)
    return this
  }

  private tagAndOctet(tag: number, value: number): this {
    const at = this.reserve(2)
    this.buffer[at] = tag
    this.buffer[at + 1] = value
    return this
  }

  private tagAndTwo(tag: number, value: number): this {
    const at = this.reserve(3)
    const { buffer } = this
    buffer[at] = tag
    buffer[at + 1] = value >> 8
    buffer[at + 2] = value
    return this
  }

  private tagAndFour(tag: number, value: number): this {
    const at = this.reserve(5)
    const { buffer } = this
    buffer[at] = tag
    buffer[at + 1] = value >>> 24
    buffer[at + 2] = value >>> 16
    buffer[at + 3] = value >>> 8
    buffer[at + 4] = value
    return this
  }

  private grow(needed: number): void {
    if (needed > 2 * limits.transferBytesMax)
      throw new BrokerError('DLMS_SIZE_EXCEEDED', `a value of ${needed} octets`)
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2))
    larger.set(asBuffer(this.buffer).subarray(0, this.used))
    this.buffer = larger
  }
}
