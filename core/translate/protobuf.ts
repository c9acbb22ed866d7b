/**
 * The protobuf wire format, as little of it as Busbar's hot path needs: a reader that walks fields
 * where they stand, and a writer that goes forwards once. No schema, no objects. Malformed wire is
 * a value (`isBroken`), not a throw: parties can send it as often as they like.
 * @source protobuf.dev "Encoding"; groups (wire types 3 and 4) are refused, proto3 has none
 */

export const WireType = { VARINT: 0, FIXED64: 1, LENGTH: 2, FIXED32: 5 } as const
export type WireType = (typeof WireType)[keyof typeof WireType]

const two32 = 0x1_0000_0000
const varintOctetsMax = 10

/**
 * Walks the fields of one message in `view[at, end)`; reusable. After `nextField` answers true,
 * `field` and `wireType` are set and the value must be consumed by exactly one of `readVarint`,
 * `readLength` and `skip`. When the wire is malformed `isBroken` becomes true and `nextField`
 * answers false from then on.
 */
export class ProtobufReader {
  view: Buffer
  at = 0
  end = 0
  isBroken = false
  field = 0
  wireType = 0
  /** The last varint as two unsigned halves of 32 bits. */
  low = 0
  high = 0

  constructor(view: Buffer) {
    this.view = view
  }

  /** Starts with the message in `view[start, end)`; borrows `view`. */
  open(view: Buffer, start: number, end: number): this {
    this.view = view
    this.at = start
    this.end = end
    this.isBroken = false
    return this
  }

  /** Moves to the next field; false at the end of the message or when the wire is malformed. */
  nextField(): boolean {
    if (this.isBroken || this.at >= this.end) return false
    let tag = this.view[this.at]!
    if (tag < 0x80) this.at++
    else {
      this.readVarint()
      // A tag is a uint32.
      if (this.isBroken || this.high !== 0) return this.break()
      tag = this.low
    }
    this.field = tag >>> 3
    this.wireType = tag & 7
    return this.field !== 0 || this.break()
  }

  /**
   * The value of a varint field as a non-negative number, exact below 2^53; `low` and `high` hold
   * all 64 bits. More than ten octets are malformed; bits above the 64th are dropped, as protobuf
   * has it.
   */
  readVarint(): number {
    const { view, end } = this
    let at = this.at
    let octet = at < end ? view[at++]! : this.cut()
    if (octet < 0x80) {
      this.at = at
      this.high = 0
      return (this.low = octet)
    }
    let low = octet & 0x7f
    let high = 0
    for (let i = 1; i < varintOctetsMax; i++) {
      if (at >= end) return this.cut()
      octet = view[at++]!
      const bits = octet & 0x7f
      if (i < 4) low |= bits << (7 * i)
      else if (i === 4) {
        low |= bits << 28
        high = bits >>> 4
      } else high |= bits << (7 * i - 32)
      if (octet < 0x80) {
        this.at = at
        this.low = low >>> 0
        this.high = high >>> 0
        return this.high * two32 + this.low
      }
    }
    return this.cut()
  }

  /** The last varint as an int64: exact within ±2^53. */
  get signed(): number {
    return (this.high | 0) * two32 + this.low
  }

  /**
   * Consumes the length of a length-delimited field and answers where its content ends; it begins
   * at `at`. The caller reads the content and sets `at` to that end. A content that runs past the
   * message is malformed.
   */
  readLength(): number {
    const length = this.readVarint()
    if (this.isBroken || length > this.end - this.at) {
      this.break()
      return this.at
    }
    return this.at + length
  }

  /** Passes over the value of the present field, whatever it is. */
  skip(): void {
    switch (this.wireType) {
      case WireType.VARINT:
        this.readVarint()
        return
      case WireType.LENGTH:
        this.at = this.readLength()
        return
      case WireType.FIXED64:
      case WireType.FIXED32: {
        const width = this.wireType === WireType.FIXED64 ? 8 : 4
        if (width > this.end - this.at) this.break()
        else this.at += width
        return
      }
      default:
        this.break()
    }
  }

  private break(): false {
    this.isBroken = true
    return false
  }

  private cut(): number {
    this.isBroken = true
    this.low = this.high = 0
    return 0
  }
}

/** Octets that `value`, a whole number from 0 to 2^53, takes as a varint. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  if (value < 0x1000_0000) return 4
  let count = 5
  for (let rest = value / 0x8_0000_0000; rest >= 1; rest /= 128) count++
  return count
}

/**
 * The tag octets of a field in a proto with field numbers below 16, which is all that Busbar
 * writes.
 */
export function tagOf(field: number, wireType: WireType): number {
  return (field << 3) | wireType
}

// What is left of a slab below this is not worth starting another message in.
const slabRestBytesMin = 512
const slabBytesMin = 16_384
const slabBytesMax = 262_144
// Up to here copying in a loop beats the call of a method.
const loopBytesMax = 16

/**
 * Appends protobuf fields to a growing buffer. Messages are taken out as views of a slab that is
 * then left alone, so a message is written once and never copied unless it outgrows its slab.
 * Fields with the proto3 default are written when asked for: leaving them out is the caller's
 * choice.
 */
export class ProtobufWriter {
  private slab: Buffer
  private start = 0
  private at = 0

  constructor(slabBytes = slabBytesMin) {
    this.slab = Buffer.allocUnsafeSlow(slabBytes)
  }

  /** Octets written since the last `take`. */
  get bytes(): number {
    return this.at - this.start
  }

  /**
   * What was written since the last `take`, owned by the caller from now on; the writer starts
   * again.
   */
  take(): Buffer {
    const message = this.slab.subarray(this.start, this.at)
    this.start = this.at
    // The next message is likely to be as long as this one.
    if (this.slab.length - this.at < Math.max(slabRestBytesMin, message.length)) {
      this.slab = Buffer.allocUnsafeSlow(
        Math.min(Math.max(slabBytesMin, message.length * 4), slabBytesMax),
      )
      this.start = this.at = 0
    }
    return message
  }

  /** Drops what was written since the last `take`. */
  reset(): void {
    this.at = this.start
  }

  private grow(count: number): void {
    const used = this.at - this.start
    const larger = Buffer.allocUnsafeSlow(Math.max((used + count) * 2, slabBytesMin))
    larger.set(this.slab.subarray(this.start, this.at))
    this.slab = larger
    this.start = 0
    this.at = used
  }

  /** Makes room for `count` octets; the other methods do so by themselves. */
  private room(count: number): void {
    if (this.at + count > this.slab.length) this.grow(count)
  }

  /** One octet as it is: a tag, or a value below 128. */
  octet(value: number): void {
    this.room(1)
    this.slab[this.at++] = value
  }

  /** Octets as they are: pre-encoded fields. */
  raw(view: Uint8Array): void {
    const { length } = view
    this.room(length)
    if (length <= loopBytesMax) for (let i = 0; i < length; i++) this.slab[this.at + i] = view[i]!
    else this.slab.set(view, this.at)
    this.at += length
  }

  /** `view[start, end)` as it is. */
  rawPart(view: Buffer, start: number, end: number): void {
    this.room(end - start)
    if (end - start <= loopBytesMax)
      for (let i = start; i < end; i++) this.slab[this.at++] = view[i]!
    else this.at += view.copy(this.slab, this.at, start, end)
  }

  /** A whole number from 0 to 2^53. */
  varint(value: number): void {
    this.room(varintOctetsMax)
    const { slab } = this
    let at = this.at
    let rest = value
    while (rest > 0x7fff_ffff) {
      slab[at++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest > 0x7f) {
      slab[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    slab[at++] = rest
    this.at = at
  }

  /** 64 bits given as two halves. */
  varint64(low: number, high: number): void {
    this.room(varintOctetsMax)
    const { slab } = this
    let lower = low >>> 0
    let upper = high >>> 0
    while (upper !== 0 || lower > 0x7f) {
      slab[this.at++] = (lower & 0x7f) | 0x80
      lower = ((lower >>> 7) | (upper << 25)) >>> 0
      upper >>>= 7
    }
    slab[this.at++] = lower
  }

  /** A signed 64-bit value in two's complement halves, zigzag encoded as sint64 has it. */
  zigzag64(low: number, high: number): void {
    const sign = high >> 31
    this.varint64((low << 1) ^ sign, ((high << 1) | (low >>> 31)) ^ sign)
  }

  /** A whole number within ±2^31, zigzag encoded as sint32 and sint64 have it. */
  zigzag(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value)
  }

  /** Eight octets, little-endian as fixed64 and double have them. */
  double(value: number): void {
    this.room(8)
    this.at = this.slab.writeDoubleLE(value, this.at)
  }

  /** `view[start, end)` behind its length: the content of a bytes or string field. */
  lengthDelimited(view: Buffer, start: number, end: number): void {
    this.varint(end - start)
    this.rawPart(view, start, end)
  }

  /** google.protobuf.Timestamp behind its length, from UTC ms within ±2^53. */
  timestamp(utcMs: number): void {
    const seconds = Math.floor(utcMs / 1000)
    const nanos = (utcMs - seconds * 1000) * 1_000_000
    const high = Math.floor(seconds / two32)
    // Negative seconds are times before 1970: ten octets, as int64 has it.
    const secondsBytes = seconds === 0 ? 0 : seconds < 0 ? varintOctetsMax : varintBytes(seconds)
    const nanosBytes = nanos === 0 ? 0 : varintBytes(nanos)
    this.octet((secondsBytes > 0 ? 1 + secondsBytes : 0) + (nanosBytes > 0 ? 1 + nanosBytes : 0))
    if (secondsBytes > 0) {
      this.octet(0x08)
      this.varint64(seconds - high * two32, high)
    }
    if (nanosBytes > 0) {
      this.octet(0x10)
      this.varint(nanos)
    }
  }

  /**
   * Begins the content of an embedded message, whose tag has been written, reserving `lengthBytes`
   * for its length. Returns a mark for `close`. Reserving right saves moving the content
   * afterwards.
   */
  open(lengthBytes = 1): number {
    this.room(lengthBytes)
    this.at += lengthBytes
    return this.at - this.start
  }

  /**
   * Ends an embedded message and writes its length in front of it, in the shortest form.
   * `lengthBytes` as given to `open`.
   */
  close(mark: number, lengthBytes = 1): void {
    const contentAt = this.start + mark
    const length = this.at - contentAt
    const needed = varintBytes(length)
    let lengthAt = contentAt - lengthBytes
    if (needed !== lengthBytes) {
      this.room(Math.max(0, needed - lengthBytes))
      lengthAt = this.start + mark - lengthBytes
      this.slab.copyWithin(lengthAt + needed, this.start + mark, this.at)
      this.at += needed - lengthBytes
    }
    let rest = length
    for (let i = 1; i < needed; i++) {
      this.slab[lengthAt++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.slab[lengthAt] = rest
  }
}
