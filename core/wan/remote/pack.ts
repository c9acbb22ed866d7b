/**
 * MessagePack with one fixed-width encoding for each kind of field, so that any library reads it
 * and nothing has to be guessed: uint8 `cc`, uint16 `cd`, uint32 `ce`, uint64 `cf`, text `da`,
 * octets `c6` (or nil), a record of known length `9x`, a list `dd`. For exchange-frame.ts.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { readSafeU64, writeSafeU64 } from '../../envelope/envelope.ts'
import { FrameWriter } from '../../envelope/frame.ts'

const nil = 0xc0
const bin32 = 0xc6
const uint8 = 0xcc
const uint16 = 0xcd
const uint32 = 0xce
const uint64 = 0xcf
const str16 = 0xda
const fixarray = 0x90
const array32 = 0xdd

/** Writes one message after the other; `take` gives it away. */
export class PackWriter {
  private readonly writer = new FrameWriter()

  /** The head of a record with `length` fields, at most 15. */
  record(length: number): this {
    const at = this.writer.reserve(1)
    this.writer.target[at] = fixarray | length
    return this
  }

  list(count: number): this {
    const at = this.tag(array32, 4)
    this.writer.target.writeUInt32BE(count, at)
    return this
  }

  uint8(value: number): this {
    const at = this.tag(uint8, 1)
    this.writer.target[at] = value
    return this
  }

  uint16(value: number): this {
    const at = this.tag(uint16, 2)
    this.writer.target.writeUInt16BE(value, at)
    return this
  }

  uint32(value: number): this {
    const at = this.tag(uint32, 4)
    this.writer.target.writeUInt32BE(value, at)
    return this
  }

  /** A whole number below 2^53. */
  uint64(value: number): this {
    const at = this.tag(uint64, 8)
    writeSafeU64(this.writer.target, value, at)
    return this
  }

  /** At most 65,535 octets of UTF-8. */
  text(value: string): this {
    const bytes = Buffer.byteLength(value)
    const at = this.tag(str16, 2 + bytes)
    this.writer.target.writeUInt16BE(bytes, at)
    this.writer.target.write(value, at + 2)
    return this
  }

  octets(view: Uint8Array | undefined): this {
    if (view === undefined) {
      this.tag(nil, 0)
      return this
    }
    const at = this.tag(bin32, 4 + view.length)
    this.writer.target.writeUInt32BE(view.length, at)
    this.writer.target.set(view, at + 4)
    return this
  }

  /** What was written, owned by the caller. */
  take(): Buffer {
    return this.writer.take()
  }

  /** Writes `tag` and makes room for `bytes` behind it; returns where they begin. */
  private tag(tag: number, bytes: number): number {
    const at = this.writer.reserve(1 + bytes)
    this.writer.target[at] = tag
    return at + 1
  }
}

/**
 * Reads what PackWriter writes, field by field; octets borrow from the message. Every method throws
 * BrokerError FRAME_MALFORMED, with the octet, when something else stands there or the message ends
 * before.
 */
export class PackReader {
  private readonly view: Buffer
  private at = 0

  constructor(view: Buffer) {
    this.view = view
  }

  record(length: number): void {
    this.skip(fixarray | length, 0)
  }

  /**
   * The count of a list; never more than there are octets left, so that it may be trusted to make
   * room.
   */
  list(): number {
    const count = this.view.readUInt32BE(this.skip(array32, 4))
    if (count > this.view.length - this.at) this.fail()
    return count
  }

  uint8(): number {
    return this.view[this.skip(uint8, 1)]!
  }

  uint16(): number {
    return this.view.readUInt16BE(this.skip(uint16, 2))
  }

  uint32(): number {
    return this.view.readUInt32BE(this.skip(uint32, 4))
  }

  uint64(): number {
    const value = readSafeU64(this.view, this.skip(uint64, 8))
    return Number.isSafeInteger(value) ? value : this.fail()
  }

  text(): string {
    const start = this.skip(str16, 2)
    const end = this.end(start + 2, this.view.readUInt16BE(start))
    return this.view.toString('utf8', start + 2, end)
  }

  octets(): Buffer {
    const start = this.skip(bin32, 4)
    const end = this.end(start + 4, this.view.readUInt32BE(start))
    return this.view.subarray(start + 4, end)
  }

  optionalOctets(): Buffer | undefined {
    if (this.view[this.at] !== nil) return this.octets()
    this.at++
    return undefined
  }

  /** Expects that nothing is left. */
  close(): void {
    if (this.at !== this.view.length) this.fail()
  }

  /** Refuses what was read last. */
  fail(): never {
    throw new BrokerError('FRAME_MALFORMED', `exchanges: octet ${this.at}`)
  }

  private skip(tag: number, bytes: number): number {
    if (this.view[this.at] !== tag) this.fail()
    const start = this.at + 1
    this.end(start, bytes)
    return start
  }

  private end(start: number, bytes: number): number {
    if (start + bytes > this.view.length) this.fail()
    this.at = start + bytes
    return this.at
  }
}
