/**
 * Lines of a file that comes in chunks of octets: printable ASCII, ended by LF or CRLF. Memory is
 * one line, whatever the file holds.
 */
import { limits } from '../base/limits.ts'

/** Called for each line, without its end. The octets are borrowed until it returns. */
export type OnLine = (view: Buffer, start: number, end: number) => void

const lf = 0x0a
const cr = 0x0d
const space = 0x20
const tilde = 0x7e

export class LineReader {
  /** Complete lines so far; a fault is in the next one. */
  lines = 0
  readonly #onLine: OnLine
  readonly #kept = Buffer.allocUnsafe(limits.registrationLineBytesMax)
  #keptBytes = 0
  #endsWithCr = false

  constructor(onLine: OnLine) {
    this.#onLine = onLine
  }

  /** Takes the next octets; what is wrong with them, undefined if nothing is. */
  push(chunk: Buffer): string | undefined {
    let start = 0
    for (let i = 0; i < chunk.length; i++) {
      const octet = chunk[i]!
      if (this.#endsWithCr && octet !== lf) return 'a carriage return inside a line'
      if (octet >= space && octet <= tilde) continue
      if (octet === lf) {
        const end = i - (i > start && this.#endsWithCr ? 1 : 0)
        this.#endsWithCr = false
        if (!this.#take(chunk, start, end)) return tooLong
        start = i + 1
      } else if (octet === cr) {
        this.#endsWithCr = true
      } else {
        return `octet 0x${octet.toString(16).padStart(2, '0')} is not printable ASCII`
      }
    }
    const end = chunk.length - (this.#endsWithCr && chunk.length > start ? 1 : 0)
    return this.#keep(chunk, start, end) ? undefined : tooLong
  }

  /** The file has ended: its last line may lack an end. */
  end(): string | undefined {
    if (this.#endsWithCr) return 'the file ends with half an end of line'
    return this.#keptBytes === 0 || this.#take(this.#kept, 0, 0) ? undefined : tooLong
  }

  #take(chunk: Buffer, start: number, end: number): boolean {
    if (this.#keptBytes === 0) {
      if (end - start > limits.registrationLineBytesMax) return false
      this.lines++
      this.#onLine(chunk, start, end)
      return true
    }
    if (!this.#keep(chunk, start, end)) return false
    const bytes = this.#keptBytes
    this.#keptBytes = 0
    this.lines++
    this.#onLine(this.#kept, 0, bytes)
    return true
  }

  #keep(chunk: Buffer, start: number, end: number): boolean {
    if (this.#keptBytes + end - start > this.#kept.length) return false
    this.#keptBytes += chunk.copy(this.#kept, this.#keptBytes, start, end)
    return true
  }
}

const tooLong = `the line is longer than ${limits.registrationLineBytesMax} octets`
