/**
 * Reads A-XDR parameters that a client sends with a selection, a SET or an ACTION, where only one
 * shape is allowed. What does not fit makes `isGood` false for good, and every value read then
 * means nothing: ask once, at the end. Never throws.
 */
import { Tag } from '../../../core/dlms/axdr/axdr.ts'
import { cosemDateTimeBytes } from '../../../core/dlms/axdr/date-time.ts'
import { utcMsIn, utcZone } from '../../../core/dlms/axdr/local-time.ts'

export class ParameterReader {
  isGood = true
  private readonly view: Buffer
  private at: number

  constructor(view: Buffer, at = 0) {
    this.view = view
    this.at = at
  }

  /** True when everything has fitted and nothing is left over. */
  isDone(): boolean {
    return this.isGood && this.at === this.view.length
  }

  structure(count: number): void {
    if (
      this.take(2) < 0 ||
      this.view[this.at - 2] !== Tag.STRUCTURE ||
      this.view[this.at - 1] !== count
    )
      this.isGood = false
  }

  /** The count of an array of fewer than 128 elements. */
  shortArray(): number {
    const at = this.take(2)
    if (at < 0 || this.view[at] !== Tag.ARRAY || this.view[at + 1]! > 127) return this.fail()
    return this.view[at + 1]!
  }

  uint16(): number {
    const at = this.take(3)
    return at < 0 || this.view[at] !== Tag.LONG_UNSIGNED
      ? this.fail()
      : this.view.readUInt16BE(at + 1)
  }

  uint32(): number {
    const at = this.take(5)
    return at < 0 || this.view[at] !== Tag.DOUBLE_LONG_UNSIGNED
      ? this.fail()
      : this.view.readUInt32BE(at + 1)
  }

  int8(): number {
    const at = this.take(2)
    return at < 0 || this.view[at] !== Tag.INTEGER ? this.fail() : this.view.readInt8(at + 1)
  }

  int16(): number {
    const at = this.take(3)
    return at < 0 || this.view[at] !== Tag.LONG ? this.fail() : this.view.readInt16BE(at + 1)
  }

  enumeration(): number {
    const at = this.take(2)
    return at < 0 || this.view[at] !== Tag.ENUM ? this.fail() : this.view[at + 1]!
  }

  /** Where the six octets of an OBIS code stand in the view. */
  obisAt(): number {
    const at = this.take(8)
    return at < 0 || this.view[at] !== Tag.OCTET_STRING || this.view[at + 1] !== 6
      ? this.fail()
      : at + 2
  }

  /**
   * UTC ms of a date-time, as an octet-string or of its own type; undefined where it leaves
   * something open.
   */
  dateTime(): number | undefined {
    const tag = this.view[this.at]
    const at = this.take(tag === Tag.DATE_TIME ? 1 : 2)
    if (
      at < 0 ||
      (tag !== Tag.DATE_TIME &&
        (tag !== Tag.OCTET_STRING || this.view[at + 1] !== cosemDateTimeBytes))
    ) {
      this.fail()
      return undefined
    }
    const content = this.take(cosemDateTimeBytes)
    return content < 0 ? undefined : utcMsIn(this.view, content, utcZone)
  }

  private take(count: number): number {
    const at = this.at
    if (!this.isGood || at + count > this.view.length) {
      this.isGood = false
      return -1
    }
    this.at = at + count
    return at
  }

  private fail(): number {
    this.isGood = false
    return 0
  }
}
