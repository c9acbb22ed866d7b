/**
 * The server's end of one HDLC link (a secondary station): answers SNRM, takes APDUs, sends answers
 * when it is its turn, and sends again what the client has not acknowledged. server.ts holds one
 * for each pair of addresses on a line. States and their drawing: link-state.ts. [IEC 62056-46,
 * 6.4.4]
 */
import { assert } from '../../../base/assert.ts'
import { emptyBytes } from '../../../base/bytes.ts'
import type { ErrorCode } from '../../../base/error-table.ts'
import type { HdlcAddress } from './address.ts'
import { encodeFrame, type HdlcFrame, type HdlcKind } from './frame.ts'
import { hdlcServerTransitions, type HdlcServerState, type HdlcStep } from './link-state.ts'
import {
  agreeParameters,
  defaultHdlcParameters,
  encodeParameters,
  readParameters,
  type HdlcParameters,
} from './parameters.ts'
import { SegmentReceiver, SegmentSender, type HdlcEnds } from './transfer.ts'

export type HdlcServerLinkOptions = {
  parameters: HdlcParameters
  apduBytesMax: number
  /** LLC octets of what is sent. */
  llc: Buffer
  /** Without a frame for so long the link is closed; 0 is never. */
  inactivityMs: number
}

export class HdlcServerLink {
  /** True while no APDU can be taken: the client is told RNR, and sends again later. */
  isBusy = false
  private readonly options: HdlcServerLinkOptions
  private readonly ends: HdlcEnds
  private readonly emit: (step: HdlcStep) => void
  private readonly sender: SegmentSender
  private readonly receiver: SegmentReceiver
  private current: HdlcServerState = 'DISCONNECTED'
  private isClientBusy = false
  /** The client has given us the turn, and we have not used it: the answer is being made. */
  private holdsTurn = false
  private timeMs: number | undefined

  /** `local` is the server's address, written as the client has written it. */
  constructor(ends: HdlcEnds, options: HdlcServerLinkOptions, emit: (step: HdlcStep) => void) {
    this.ends = ends
    this.options = options
    this.emit = emit
    this.sender = new SegmentSender(options.llc)
    this.receiver = new SegmentReceiver(options.apduBytesMax)
  }

  get client(): HdlcAddress {
    return this.ends.remote
  }

  get server(): HdlcAddress {
    return this.ends.local
  }

  get state(): HdlcServerState {
    return this.current
  }

  /** When the link ends if nothing comes. */
  get actAtMs(): number | undefined {
    return this.timeMs
  }

  /**
   * Gives `apdu` to the client, at once when the client waits for it, else when it asks; it must
   * not change until it is acknowledged. False when the link is closed, or too many wait.
   */
  send(apdu: Buffer): boolean {
    if (this.current === 'DISCONNECTED' || !this.sender.add(apdu)) return false
    if (this.holdsTurn) this.takeTurn()
    return true
  }

  /** Takes a frame between these two addresses, borrowed for the call. */
  take(frame: HdlcFrame, nowMs: number): void {
    if (this.options.inactivityMs > 0) this.timeMs = nowMs + this.options.inactivityMs
    switch (frame.kind) {
      case 'SNRM':
        return this.open(frame)
      case 'DISC':
        this.answer(this.current === 'DISCONNECTED' ? 'DM' : 'UA')
        if (this.current !== 'DISCONNECTED') this.end('OK')
        return
      case 'I':
      case 'RR':
      case 'RNR':
      case 'REJ':
        if (this.current !== 'DISCONNECTED') return this.onNumbered(frame)
        break
      case 'UNKNOWN':
        if (this.current !== 'DISCONNECTED') return this.reject(frame)
        break
      default:
        // Responses are not for a server.
        return
    }
    if (frame.isFinal) this.answer('DM')
  }

  /** The time has come. */
  onTime(nowMs: number): void {
    if (this.timeMs !== undefined && nowMs >= this.timeMs && this.current !== 'DISCONNECTED')
      this.end('DLMS_HDLC_SILENT', 'no frame from the client')
  }

  private open({ informationView }: HdlcFrame): void {
    if (this.current !== 'DISCONNECTED') this.end('OK', 'opened again')
    const agreed = agreeParameters(this.options.parameters, readParameters(informationView))
    this.sender.reset(agreed)
    this.receiver.reset(agreed)
    this.isClientBusy = false
    this.go('IDLE')
    this.answer('UA', encodeParameters(agreed))
    this.emit({ connected: agreed })
  }

  private onNumbered(frame: HdlcFrame): void {
    // An N(R) that can mean no frame of ours is of a frame from before; what is not acknowledged is
    // sent again anyhow.
    this.sender.acknowledge(frame.receiveNumber)
    if (this.current === 'ANSWERING' && this.sender.isEmpty) this.go('IDLE')
    this.isClientBusy = frame.kind === 'RNR'
    const isNext = frame.kind === 'I' && frame.sendNumber === this.receiver.expected && !this.isBusy
    if (isNext) {
      const apdu = this.receiver.take(frame.informationView, frame.isSegmented)
      if (apdu === 'TOO_LONG') return this.reject(frame)
      this.goOn(apdu === undefined ? 'RECEIVING' : 'ASKED')
      if (apdu !== undefined) {
        // The turn is kept for the answer, which `send` gives.
        this.holdsTurn = true
        this.emit({ apdu })
        if (!this.sender.isEmpty) this.takeTurn()
        return
      }
    }
    if (frame.isFinal || (isNext && this.receiver.isWindowFull)) this.takeTurn()
  }

  private takeTurn(): void {
    this.holdsTurn = false
    this.receiver.startTurn()
    if (!this.isClientBusy && !this.receiver.isPartial) {
      this.sender.goBack()
      const send = this.sender.write(this.ends, this.receiver.expected)
      if (send !== undefined) {
        this.goOn('ANSWERING')
        return this.emit({ send })
      }
    }
    this.answer(this.isBusy ? 'RNR' : 'RR')
  }

  /**
   * A frame that cannot be taken: the client is told which and why, and must open again. [ISO/IEC
   * 13239, 5.5.3.4.2]
   */
  private reject(frame: HdlcFrame): void {
    const numbers = (this.receiver.expected << 5) | (frame.isFinal ? 0x10 : 0)
    const reason = frame.kind === 'UNKNOWN' ? 0x01 : 0x04
    this.answer('FRMR', Buffer.of(frame.control, numbers, reason))
    this.end(
      reason === 0x04 ? 'DLMS_SIZE_EXCEEDED' : 'DLMS_HDLC_BROKEN',
      `control ${frame.control}`,
    )
  }

  private answer(kind: HdlcKind, information: Uint8Array = emptyBytes): void {
    this.receiver.startTurn()
    const { local, remote } = this.ends
    const receiveNumber = this.receiver.expected
    const header = {
      destination: remote,
      source: local,
      kind,
      isFinal: true,
      sendNumber: 0,
      receiveNumber,
      isSegmented: false,
    }
    this.emit({ send: encodeFrame(header, information) })
  }

  private end(disconnected: ErrorCode, detail?: string): void {
    this.go('DISCONNECTED')
    this.timeMs = undefined
    this.holdsTurn = false
    this.sender.reset(defaultHdlcParameters)
    this.receiver.reset(defaultHdlcParameters)
    this.emit(detail === undefined ? { disconnected } : { disconnected, detail })
  }

  private goOn(to: HdlcServerState): void {
    if (this.current !== to) this.go(to)
  }

  private go(to: HdlcServerState): void {
    assert(hdlcServerTransitions[this.current].includes(to), `${this.current} may become ${to}`)
    this.current = to
  }
}
