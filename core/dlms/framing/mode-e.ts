/**
 * The opening handshake of mode E, with which an optical head behind a serial server is brought to
 * HDLC; the client's side.
 *
 *   client  /?ADDRESS!<CR><LF>                   sign-on, 300 baud, 7 data bits and even parity
 *   meter   /XXXZ\2IDENTIFICATION<CR><LF>        maker, speed, \2: mode E, HDLC is spoken
 *   client  <ACK>2Z2<CR><LF>                     acknowledgement; both change speed and go to 8 data bits
 *   meter   the same, confirmed                  some are silent instead
 *
 * [IEC 62056-21, 6.3 and annex E; IEC 62056-46, annex on the data link]. Octets and the time in, steps out. Meters that
 * send the parity bit through an 8-bit line are understood.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf, emptyBytes } from '../../base/bytes.ts'
import { limits } from '../../base/limits.ts'

export type ModeEState = 'STARTED' | 'SIGNED_ON' | 'ACKNOWLEDGED' | 'OPEN' | 'ENDED'

/**
 * What comes next. `opened` says the speed to change to, in baud, and what came behind the
 * handshake (owned).
 */
export type ModeEStep =
  | { readonly send: Buffer }
  | {
      readonly opened: { baud: number; maker: string; identification: string }
      readonly rest: Buffer
    }

export type ModeEOptions = {
  /** The device address of the sign-on, up to 32 characters; none is any meter that hears it. */
  deviceAddress?: string
  /** The highest speed to agree to. */
  baudMax?: number
  responseMs?: number
  retriesMax?: number
  /** How long the confirmation may take before it is taken for given. */
  confirmationMs?: number
}

/**
 * Speeds of the identification's character in mode E, by rising speed. [IEC 62056-21, 6.3.14.2,
 * item 13 c]
 */
const speeds: readonly number[] = [300, 600, 1_200, 2_400, 4_800, 9_600, 19_200]
const carriageReturn = 0x0d
const lineFeed = 0x0a
const acknowledge = 0x06
const slash = 0x2f
const signOnAddress = /^[0-9A-Za-z ]{0,32}$/
// Maker, speed, any escapes of which W = 2 says mode E, identification.
const identificationLine = /^\/([A-Za-z]{3})([0-6])((?:\\[\x21-\x7e])*)([\x20-\x7e]{0,32})$/

export class ModeEHandshake {
  private readonly options: Required<ModeEOptions>
  private current: ModeEState = 'STARTED'
  private line: number[] = []
  private output: ModeEStep | undefined
  private attempts = 0
  private timeMs: number | undefined
  private opened = { baud: 300, maker: '', identification: '' }

  /** @throws BrokerError CONFIG_INVALID (fault: operator) when the device address cannot be said */
  constructor(options: ModeEOptions = {}) {
    this.options = {
      deviceAddress: '',
      baudMax: 9_600,
      responseMs: limits.modeEResponseMs,
      retriesMax: limits.hdlcRetriesMax,
      confirmationMs: limits.modeEResponseMs,
      ...options,
    }
    if (!signOnAddress.test(this.options.deviceAddress))
      throw new BrokerError('CONFIG_INVALID', 'a device address of letters, digits and spaces')
  }

  get state(): ModeEState {
    return this.current
  }

  /** When `next` must be called although nothing came, in ms of the caller's clock. */
  get actAtMs(): number | undefined {
    return this.timeMs
  }

  /** Says the sign-on. */
  begin(nowMs: number): void {
    if (this.current !== 'STARTED')
      throw new BrokerError('DLMS_STATE_INVALID', `mode E is ${this.current}`)
    this.signOn(nowMs)
  }

  /** Takes octets, borrowed for the call; what follows the handshake in them goes with `opened`. */
  receive(chunkView: Buffer, nowMs: number): void {
    for (let at = 0; at < chunkView.length; at++) {
      if (this.current !== 'SIGNED_ON' && this.current !== 'ACKNOWLEDGED') return
      // HDLC begins: this meter does not confirm, or its confirmation was lost.
      if (this.current === 'ACKNOWLEDGED' && chunkView[at] === 0x7e && this.line.length === 0)
        return this.open(chunkView.subarray(at))
      const octet = chunkView[at]! & 0x7f
      if (octet === lineFeed && this.line.at(-1) === carriageReturn) {
        this.onLine(Buffer.from(this.line.slice(0, -1)), chunkView.subarray(at + 1), nowMs)
        this.line.length = 0
      } else if (octet === slash || octet === acknowledge) {
        // What came before was noise, or our own octets, which some heads send back.
        this.line = [octet]
      } else if (this.line.length > 0 && this.line.length < limits.modeELineBytesMax)
        this.line.push(octet)
      else this.line.length = 0
    }
  }

  /**
   * What is to be done next, or undefined.
   * @throws BrokerError DLMS_HDLC_SILENT (fault: meter) when no identification came, however often
   * it was asked for
   */
  next(nowMs: number): ModeEStep | undefined {
    if (this.output === undefined && this.timeMs !== undefined && nowMs >= this.timeMs)
      this.onTime(nowMs)
    const step = this.output
    this.output = undefined
    return step
  }

  private onLine(line: Buffer, restView: Buffer, nowMs: number): void {
    if (this.current === 'ACKNOWLEDGED') {
      if (line[0] === acknowledge && line[1] === 0x32) this.open(restView)
      return
    }
    const [, maker, speed, escapes, identification] =
      identificationLine.exec(line.toString('latin1')) ?? []
    if (maker === undefined || speed === undefined) return
    if (!escapes?.includes('\\2')) {
      this.current = 'ENDED'
      this.timeMs = undefined
      throw new BrokerError('DLMS_HDLC_REFUSED', `meter ${maker} does not offer mode E`)
    }
    const offered = speeds[Number(speed)]!
    const baud = speeds.findLast((each) => each <= Math.min(offered, this.options.baudMax)) ?? 300
    this.opened = { baud, maker, identification: identification ?? '' }
    this.current = 'ACKNOWLEDGED'
    this.timeMs = nowMs + this.options.confirmationMs
    // Protocol control 2 is HDLC, mode control 2 is binary.
    const send = Buffer.from(`\x062${speeds.indexOf(baud)}2\r\n`, 'latin1')
    this.output = { send }
  }

  private onTime(nowMs: number): void {
    if (this.current === 'ACKNOWLEDGED') return this.open(emptyBytes)
    if (++this.attempts > this.options.retriesMax) {
      this.current = 'ENDED'
      this.timeMs = undefined
      throw new BrokerError('DLMS_HDLC_SILENT', 'no identification in mode E')
    }
    this.signOn(nowMs)
  }

  private signOn(nowMs: number): void {
    this.current = 'SIGNED_ON'
    this.line.length = 0
    this.timeMs = nowMs + this.options.responseMs
    this.output = { send: Buffer.from(`/?${this.options.deviceAddress}!\r\n`, 'latin1') }
  }

  private open(restView: Buffer): void {
    this.current = 'OPEN'
    this.timeMs = undefined
    this.output = { opened: this.opened, rest: copyOf(restView) }
  }
}
