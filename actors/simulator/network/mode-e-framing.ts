/**
 * A line that is opened in mode E before HDLC is spoken, from the meter's side, as an optical head
 * behind a serial server has it.
 *
 *   client  /?ADDRESS!<CR><LF>      meter  /BSB5\2BUSBAR<CR><LF>
 *   client  <ACK>2Z2<CR><LF>        meter  the same
 *
 * [IEC 62056-21, 6.3 and annex E]. What comes before that is passed over. When the last link is
 * closed, the line has to be opened again.
 */
import type { WrapperFrame } from '../../../core/dlms/framing/wrapper.ts'
import type { HdlcFraming, MeterFraming } from './framing.ts'

const identification = Buffer.from('/BSB5\\2BUSBAR\r\n', 'latin1')
const signOn = /\/\?[0-9A-Za-z ]{0,32}!$/
const acknowledgement = /^2[0-6]2$/
const acknowledge = '\x06'
/** Without the parity bit, which some send through an 8-bit line. */
const characterMask = 0x7f
const lineCharactersMax = 80

export class ModeEFraming implements MeterFraming {
  readonly own: Buffer[]
  private readonly inner: HdlcFraming
  private line = ''
  private isIdentified = false
  private isOpen = false
  private hasLink = false

  constructor(inner: HdlcFraming) {
    this.inner = inner
    this.own = inner.own
  }

  take(octetsView: Buffer): void {
    if (this.isOpen) return this.inner.take(octetsView)
    for (const [at, octet] of octetsView.entries()) {
      const character = String.fromCharCode(octet & characterMask)
      if (character !== '\n') {
        if (character !== '\r') this.line = (this.line + character).slice(-lineCharactersMax)
        continue
      }
      this.endLine()
      if (this.isOpen) return this.inner.take(octetsView.subarray(at + 1))
    }
  }

  private endLine(): void {
    const { line } = this
    this.line = ''
    if (signOn.test(line)) {
      this.isIdentified = true
      this.own.push(Buffer.from(identification))
      return
    }
    const option = line.slice(line.lastIndexOf(acknowledge) + 1)
    if (!this.isIdentified || !line.includes(acknowledge) || !acknowledgement.test(option)) return
    this.isOpen = true
    this.own.push(Buffer.from(`${acknowledge}${option}\r\n`, 'latin1'))
  }

  next(): WrapperFrame | undefined {
    if (!this.isOpen) return undefined
    const next = this.inner.next()
    const { linkCount } = this.inner
    // Behind the last DISC the line is as it was in the beginning.
    if (next === undefined && this.hasLink && linkCount === 0) {
      this.isOpen = false
      this.isIdentified = false
    }
    this.hasLink = linkCount > 0
    return next
  }

  frame(apdu: Buffer, device: number, client: number): Buffer[] {
    return this.inner.frame(apdu, device, client)
  }

  empty(): Buffer[] {
    return this.inner.empty()
  }
}
