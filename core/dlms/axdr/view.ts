/**
 * COSEM data read where it lies: a cursor on one value, without building a tree. Elements are found
 * by walking, and the place of the last one is kept, so going through in order is linear.
 * [IEC 62056-5-3, A-XDR encoding of Data]. Elements of a compact array look like any others, though they have no tags of their own.
 */
import { BrokerError } from '../../base/broker-error.ts'
import {
  bcdNumber,
  contentBytesOf,
  cutShort,
  lengthBytes,
  readLength,
  skipOctets,
  skipTypeDescription,
  skipValue,
  Tag,
} from './layout.ts'
import { decodePacked, decodeValue, packedElementsMax, type AxdrValue } from './value.ts'

/**
 * Borrows: it is valid as long as the octets are. Every method throws BrokerError
 * DLMS_VALUE_INVALID for a value of another type.
 */
export class AxdrView {
  private readonly view: Buffer
  // Where the tag is: right before the content, or in the type description of a compact array.
  private readonly typeAt: number
  private readonly contentAt: number
  private readonly isPacked: boolean
  private readonly end: number
  // Element `walked` lies at `walkedAt`, its type at `walkedTypeAt` when elements have no tags.
  private walked = 0
  private walkedAt = -1
  private walkedTypeAt = 0
  private counted = -1

  /**
   * The value at `at`, which lies in `view` as a whole.
   * @throws BrokerError as `skipValue`
   */
  constructor(view: Buffer, at = 0, packed?: { contentAt: number; end: number }) {
    this.view = view
    this.typeAt = at
    this.isPacked = packed !== undefined
    this.contentAt = packed?.contentAt ?? at + 1
    this.end = packed?.end ?? skipValue(view, at)
  }

  get tag(): Tag {
    return this.view[this.typeAt] as Tag
  }

  get isNull(): boolean {
    return this.tag === Tag.NULL
  }

  /**
   * The octets of the value: with its tag, but for an element of a compact array, which has none.
   */
  get bytes(): Buffer {
    return this.view.subarray(this.isPacked ? this.contentAt : this.typeAt, this.end)
  }

  /** Elements of an array, a structure or a compact array. */
  get count(): number {
    const { tag, view } = this
    if (tag === Tag.COMPACT_ARRAY) {
      if (this.counted < 0) this.counted = this.countPacked()
      return this.counted
    }
    if (tag !== Tag.ARRAY && tag !== Tag.STRUCTURE) throw this.isNo('list')
    if (!this.isPacked) return readLength(view, this.contentAt)
    return tag === Tag.ARRAY
      ? view.readUInt16BE(this.typeAt + 1)
      : readLength(view, this.typeAt + 1)
  }

  /** Element `index`, from 0. @throws BrokerError DLMS_VALUE_INVALID when there is none */
  element(index: number): AxdrView {
    const { count } = this
    if (!(index >= 0 && index < count))
      throw new BrokerError('DLMS_VALUE_INVALID', `element ${index} of ${count}`)
    // Going backwards begins again.
    if (this.walkedAt < 0 || this.walked > index) {
      this.walked = 0
      this.walkedAt = this.firstElementAt()
      this.walkedTypeAt = this.firstTypeAt()
    }
    for (; this.walked < index; this.walked++) {
      this.walkedAt = this.walkedElementEnd()
      if (this.isPacked && this.tag === Tag.STRUCTURE)
        this.walkedTypeAt = skipTypeDescription(this.view, this.walkedTypeAt, this.view.length, 0)
    }
    const at = this.walkedAt
    if (!this.hasPackedElements()) return new AxdrView(this.view, at)
    return new AxdrView(this.view, this.walkedTypeAt, {
      contentAt: at,
      end: this.walkedElementEnd(),
    })
  }

  *[Symbol.iterator](): Generator<AxdrView> {
    const { count } = this
    for (let i = 0; i < count; i++) yield this.element(i)
  }

  /**
   * Any number that is exact as one: integers of up to 32 bits, enum, the digits of a bcd, floats,
   * a boolean as 0 or 1.
   */
  number(): number {
    const { view, contentAt: at } = this
    switch (this.tag) {
      case Tag.BOOLEAN:
        return view[at] === 0 ? 0 : 1
      case Tag.UNSIGNED:
      case Tag.ENUM:
      case Tag.DELTA_UNSIGNED:
        return view[at]!
      case Tag.BCD: {
        const number = bcdNumber(view[at]!)
        if (number === undefined) throw this.isNo('pair of digits')
        return number
      }
      case Tag.INTEGER:
      case Tag.DELTA_INTEGER:
        return view.readInt8(at)
      case Tag.LONG:
      case Tag.DELTA_LONG:
        return view.readInt16BE(at)
      case Tag.LONG_UNSIGNED:
      case Tag.DELTA_LONG_UNSIGNED:
        return view.readUInt16BE(at)
      case Tag.DOUBLE_LONG:
      case Tag.DELTA_DOUBLE_LONG:
        return view.readInt32BE(at)
      case Tag.DOUBLE_LONG_UNSIGNED:
      case Tag.DELTA_DOUBLE_LONG_UNSIGNED:
        return view.readUInt32BE(at)
      case Tag.FLOAT32:
        return view.readFloatBE(at)
      case Tag.FLOAT64:
        return view.readDoubleBE(at)
      default:
        throw this.isNo('number of up to 32 bits')
    }
  }

  /** Any integer, those of 64 bits among them. */
  bigint(): bigint {
    const { tag } = this
    if (tag === Tag.LONG64) return this.view.readBigInt64BE(this.contentAt)
    if (tag === Tag.LONG64_UNSIGNED) return this.view.readBigUInt64BE(this.contentAt)
    if (tag === Tag.FLOAT32 || tag === Tag.FLOAT64) throw this.isNo('integer')
    return BigInt(this.number())
  }

  /** The content of a string of any kind, a bit-string, a date-time, a date or a time; borrowed. */
  octets(): Buffer {
    const { tag, view, contentAt } = this
    switch (tag) {
      case Tag.OCTET_STRING:
      case Tag.VISIBLE_STRING:
      case Tag.UTF8_STRING:
      case Tag.BIT_STRING:
        return view.subarray(contentAt + lengthBytes(view, contentAt), this.end)
      case Tag.DATE_TIME:
      case Tag.DATE:
      case Tag.TIME:
        return view.subarray(contentAt, this.end)
      default:
        throw this.isNo('string')
    }
  }

  /** The value as a tree; owned. @throws BrokerError as `decodeValue` */
  value(): AxdrValue {
    return this.isPacked
      ? decodePacked(this.view, this.typeAt, this.contentAt, this.end)
      : decodeValue(this.view, this.typeAt)
  }

  private hasPackedElements(): boolean {
    return this.isPacked || this.tag === Tag.COMPACT_ARRAY
  }

  private firstElementAt(): number {
    const { view } = this
    if (this.tag !== Tag.COMPACT_ARRAY)
      return this.isPacked ? this.contentAt : this.contentAt + lengthBytes(view, this.contentAt)
    const lengthAt = skipTypeDescription(view, this.contentAt, this.end, 0)
    return lengthAt + lengthBytes(view, lengthAt)
  }

  private firstTypeAt(): number {
    const { view, typeAt, tag } = this
    if (tag === Tag.COMPACT_ARRAY) return this.contentAt
    return tag === Tag.ARRAY ? typeAt + 3 : typeAt + 1 + lengthBytes(view, typeAt + 1)
  }

  private walkedElementEnd(): number {
    const { view, end, walkedAt } = this
    return this.hasPackedElements()
      ? skipPacked(view, this.walkedTypeAt, walkedAt, end, { left: packedElementsMax })
      : skipValue(view, walkedAt, end)
  }

  /** Walks over the whole compact array; what that may cost bounds what going through it can. */
  private countPacked(): number {
    let count = 0
    const budget = { left: packedElementsMax }
    for (let at = this.firstElementAt(); at < this.end; count++) {
      const next = skipPacked(this.view, this.contentAt, at, this.end, budget)
      if (next === at)
        throw new BrokerError('DLMS_VALUE_INVALID', `elements of no octets at octet ${at}`)
      at = next
    }
    return count
  }

  private isNo(kind: string): BrokerError {
    return new BrokerError('DLMS_VALUE_INVALID', `tag ${this.tag} is no ${kind}`)
  }
}

/** The offset behind the untagged content at `at` of the type described at `typeAt`. */
function skipPacked(
  view: Buffer,
  typeAt: number,
  at: number,
  end: number,
  budget: { left: number },
): number {
  if (--budget.left < 0) throw new BrokerError('DLMS_SIZE_EXCEEDED', `elements at octet ${at}`)
  const tag = view[typeAt]!
  if (tag === Tag.ARRAY) {
    for (let left = view.readUInt16BE(typeAt + 1); left > 0; left--) {
      const next = skipPacked(view, typeAt + 3, at, end, budget)
      // Elements of no octets: so are all the others, which count but are not worth a walk.
      if (next === at) {
        budget.left -= left
        break
      }
      at = next
    }
    return at
  }
  if (tag === Tag.STRUCTURE) {
    let elementTypeAt = typeAt + 1 + lengthBytes(view, typeAt + 1)
    for (let left = readLength(view, typeAt + 1); left > 0; left--) {
      at = skipPacked(view, elementTypeAt, at, end, budget)
      elementTypeAt = skipTypeDescription(view, elementTypeAt, view.length, 0)
    }
    return at
  }
  const fixed = contentBytesOf(tag, typeAt)
  if (fixed >= 0) {
    if (at + fixed > end) throw cutShort(at)
    return at + fixed
  }
  if (tag !== Tag.BIT_STRING) return skipOctets(view, at, end)
  const behind = at + lengthBytes(view, at) + Math.ceil(readLength(view, at, end) / 8)
  if (behind > end) throw cutShort(at)
  return behind
}
