/**
 * Unsolicited messages of meters on one connection, or from one address in datagrams: octets in,
 * whole pushes out. M-Bus, wrapper and HDLC frames may follow one another. Segments of HDLC, parts
 * of M-Bus and general blocks are put together, and payloads with several APDUs are taken apart.
 * What is no push is passed over up to the next frame or pause, and reported with its octets. Pure,
 * bounded.
 */
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf, emptyBytes } from '../../base/bytes.ts'
import { limits } from '../../base/limits.ts'
import { ApduTag } from '../apdu/constants.ts'
import type { GeneralBlockStep } from '../transfer/general-blocks.ts'
import { textOfAddress } from '../framing/hdlc/address.ts'
import { SegmentGatherer } from '../framing/hdlc/transfer.ts'
import {
  MbusGatherer,
  mbusBytesAt,
  mbusDamageBytes,
  readMbusFrame,
  type MbusFrame,
} from '../framing/mbus.ts'
import { PushBlocks } from './push-blocks.ts'
import { readPushPayload } from './push-payload.ts'
import { nextFrameAt } from './push-resync.ts'
import { answerFrame, aroundOf, classifyPush, type Around, type Push } from './push.ts'
import { emptyFramesBytes, wrapperHeaderBytes } from '../framing/wrapper.ts'

export type Heard =
  /** Owned. */
  { apdu: Buffer; around: Around } | { identification: string; alarm: Buffer }

export type PushEvents = {
  /** Octets as they were cut, borrowed for the call. */
  octets(view: Buffer): void
  heard(heard: Heard): void
  /**
   * What came and was not understood, and why: `bytes` octets, of which `view` has the first ones,
   * borrowed for the call.
   */
  wrong(fault: BrokerError, view: Buffer, bytes: number): void
  /** What goes back. */
  send(octets: Buffer): void
}

/** `apduBytesMax` octets of one APDU; `blockBytesMax` of one that comes in general blocks. */
export type PushStreamOptions = {
  apduBytesMax?: number
  blockBytesMax?: number
  gatheringsMax?: number
}

/** Octets that are passed over: why, the first of them, and how many. */
type Skipped = { fault: BrokerError; first: Buffer; bytes: number }

export class PushStream {
  private readonly events: PushEvents
  private readonly apduBytesMax: number
  private readonly gatheringsMax: number
  private readonly streamBytesMax: number
  private kept: Buffer = emptyBytes
  private used = 0
  private skipped: Skipped | undefined
  private isBehindName = false
  private readonly segments = new Map<string, SegmentGatherer>()
  private readonly blocks: PushBlocks<string>
  /** Of one meter: a consumers' port has no other. */
  private readonly mbus = new MbusGatherer()

  constructor(events: PushEvents, options: PushStreamOptions = {}) {
    const { apduBytesMax = limits.apduBytesMax, gatheringsMax = limits.pushGatheringsMax } = options
    this.events = events
    this.apduBytesMax = apduBytesMax
    this.gatheringsMax = gatheringsMax
    this.streamBytesMax = apduBytesMax + wrapperHeaderBytes
    this.blocks = new PushBlocks({
      sendersMax: gatheringsMax,
      bytesMax: options.blockBytesMax ?? limits.transferBytesMax,
    })
  }

  /** Something is begun that a pause would end. */
  get isWaiting(): boolean {
    return this.used > 0 || this.skipped !== undefined
  }

  /** Takes octets, borrowed. */
  receive(view: Buffer): void {
    for (let at = 0; at < view.length;) {
      const count = Math.min(view.length - at, this.streamBytesMax + 1 - this.used)
      this.keep(view.subarray(at, at + count))
      at += count
      this.take(false)
    }
  }

  /**
   * The peer pauses, or a datagram or the connection ends: what has no length of its own ends here.
   */
  pause(): void {
    this.take(true)
    this.endSkipped()
    this.used = 0
  }

  /** The connection ends, and with it what was to go on. */
  end(): void {
    this.pause()
    const partial = [...this.segments].flatMap(([sender, { isPartial }]) =>
      isPartial ? [sender] : [],
    )
    if (this.mbus.isPartial) partial.push('on M-Bus')
    for (const sender of new Set([...partial, ...this.blocks.unfinished]))
      this.refuse(
        new BrokerError('DLMS_TRANSFER_ABORTED', `of sender ${sender}: the rest did not come`),
        emptyBytes,
      )
  }

  private keep(view: Buffer): void {
    const needed = this.used + view.length
    if (needed > this.kept.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.kept.length))
      this.kept.copy(larger, 0, 0, this.used)
      this.kept = larger
    }
    this.used += view.copy(this.kept, this.used)
  }

  private take(isEnd: boolean): void {
    let at = 0
    while (at < this.used) {
      const view = this.kept.subarray(at, this.used)
      const bytes = this.skipped === undefined ? this.takeOne(view, isEnd) : this.skip(view, isEnd)
      if (bytes === 0) break
      at += bytes
    }
    if (at > 0) this.kept.copyWithin(0, at, this.used)
    this.used -= at
  }

  /** Octets of `view` that are dealt with; 0: more must come. */
  private takeOne(view: Buffer, isEnd: boolean): number {
    // The second octet of a line end may come after the first.
    if (this.isBehindName && isLineEnd(view[0]!)) return 1
    let bytes = 0
    try {
      const idleBytes = emptyFramesBytes(view)
      // They keep a connection alive, and say nothing.
      if (idleBytes > 0) {
        this.events.octets(view.subarray(0, idleBytes))
        return idleBytes
      }
      if (!isEnd && isWrapperPart(view)) return 0
      const mbusBytes = mbusBytesAt(view, isEnd)
      if (mbusBytes === 'MORE') return 0
      if (mbusBytes === 'DAMAGED') {
        this.passOver(new BrokerError('DLMS_MBUS_INVALID', 'the sum or the end of the frame'))
        return this.note(view, mbusDamageBytes(view))
      }
      if (mbusBytes > 0) {
        bytes = mbusBytes
        this.events.octets(view.subarray(0, bytes))
        this.onMbus(readMbusFrame(view, bytes))
        return bytes
      }
      const push = classifyPush(view, isEnd, this.apduBytesMax)
      if (push === undefined) {
        if (view.length > this.streamBytesMax)
          throw new BrokerError('DLMS_SIZE_EXCEEDED', `a push above ${this.streamBytesMax} octets`)
        return 0
      }
      bytes = push.bytes
      this.isBehindName = push.kind === 'IDENTIFICATION'
      if (push.kind === 'APDU') return this.onBare(view, push)
      this.events.octets(view.subarray(0, bytes))
      this.onPush(push)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      // What is around it was right: the next one stands where it should.
      if (bytes > 0) this.refuse(fault, view.subarray(0, bytes))
      else {
        this.passOver(fault)
        return this.note(view, 1)
      }
    }
    return bytes
  }

  // ── what is passed over ──

  private passOver(fault: BrokerError): void {
    this.skipped = { fault, first: emptyBytes, bytes: 0 }
  }

  private skip(view: Buffer, isEnd: boolean): number {
    const until = nextFrameAt(view, 0, isEnd)
    if (until > 0) this.note(view, until)
    // A frame that is not whole may be none, but its beginning is waited for.
    const isFrame = until < view.length && nextFrameAt(view, until, true) === until
    if (isFrame) this.endSkipped()
    return until
  }

  private note(view: Buffer, bytes: number): number {
    const skipped = this.skipped!
    const room = limits.pushDroppedShownMax - skipped.first.length
    if (room > 0)
      skipped.first = Buffer.concat([skipped.first, view.subarray(0, Math.min(bytes, room))])
    skipped.bytes += bytes
    if (skipped.bytes >= limits.pushDroppedRunBytesMax) {
      this.endSkipped()
      this.passOver(skipped.fault)
    }
    return bytes
  }

  private endSkipped(): void {
    const { skipped } = this
    this.skipped = undefined
    if (skipped !== undefined) this.events.wrong(skipped.fault, skipped.first, skipped.bytes)
  }

  private refuse(fault: BrokerError, view: Buffer): void {
    this.events.wrong(fault, view.subarray(0, limits.pushDroppedShownMax), view.length)
  }

  // ── what is understood ──

  private onMbus(frame: MbusFrame): void {
    const { source, destination } = frame
    const apdu = this.mbus.add(frame)
    if (apdu !== undefined) this.onPayload(apdu, { framing: 'mbus', source, destination })
  }

  private onPush(push: Exclude<Push, { kind: 'APDU' }>): void {
    switch (push.kind) {
      case 'WRAPPER':
        return this.onPayload(push.frame.apduView, aroundOf(push))
      case 'HDLC':
        return this.onHdlc(push)
      // Frame by frame, above: parts may come apart.
      case 'MBUS':
        return this.onPayload(push.apduView, aroundOf(push))
      default:
        this.events.heard({
          identification: push.identificationView.toString('latin1'),
          alarm: copyOf(push.alarmView),
        })
    }
  }

  private onHdlc(push: Extract<Push, { kind: 'HDLC' }>): void {
    const { kind, informationView, isSegmented } = push.frame
    if (kind !== 'UI' && kind !== 'I')
      throw new BrokerError('DLMS_SERVICE_UNEXPECTED', `an HDLC frame ${kind} outside of a link`)
    const around = aroundOf(push)
    const payload = this.segmentsOf(around).addUnordered(informationView, isSegmented)
    if (payload === 'TOO_LONG')
      throw new BrokerError('DLMS_SIZE_EXCEEDED', `segments above ${this.apduBytesMax} octets`)
    if (payload !== undefined) this.onPayload(payload, around)
  }

  /** An APDU with nothing around it ends with itself; what follows may be a frame. */
  private onBare(view: Buffer, push: Extract<Push, { kind: 'APDU' }>): number {
    const { apduViews, restView } = readPushPayload(view)
    const bytes = view.length - restView.length
    this.events.octets(view.subarray(0, bytes))
    for (const apduView of apduViews) this.onApdu(apduView, aroundOf(push))
    return bytes
  }

  private onPayload(view: Buffer, around: Around): void {
    const { apduViews, restView } = readPushPayload(view)
    for (const apduView of apduViews) this.onApdu(apduView, around)
    if (restView.length > 0)
      this.refuse(new BrokerError('DLMS_LENGTH_INVALID', 'octets behind an APDU'), restView)
  }

  private onApdu(apduView: Buffer, around: Around): void {
    if (apduView[0] !== ApduTag.GENERAL_BLOCK_TRANSFER)
      return this.events.heard({ apdu: copyOf(apduView), around })
    let step: GeneralBlockStep
    try {
      step = this.blocks.receive(nameOfSender(around), apduView)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      return this.refuse(fault, apduView)
    }
    if (step === undefined) return
    if ('send' in step) return this.answer(step.send, around)
    if (step.apdu[0] !== ApduTag.GENERAL_BLOCK_TRANSFER) return this.onPayload(step.apdu, around)
    this.refuse(new BrokerError('DLMS_NESTING_EXCEEDED', 'blocks within blocks'), step.apdu)
  }

  /** Sends `apdu` back, where that can be done. */
  private answer(apdu: Buffer, around: Around): void {
    const octets = answerFrame(apdu, around)
    if (octets !== undefined) this.events.send(octets)
  }

  private segmentsOf(around: Around): SegmentGatherer {
    const key = nameOfSender(around)
    let segments = this.segments.get(key)
    if (segments === undefined) {
      if (this.segments.size >= this.gatheringsMax)
        this.segments.delete(this.segments.keys().next().value!)
      segments = new SegmentGatherer(this.apduBytesMax)
      this.segments.set(key, segments)
    }
    return segments
  }
}

const isLineEnd = (octet: number): boolean => octet === 0x0d || octet === 0x0a

/**
 * More of a wrapper frame is to come: to look at it again for every octet would be long for
 * nothing.
 */
const isWrapperPart = (view: Buffer): boolean =>
  view[0] === 0 &&
  view.length >= wrapperHeaderBytes &&
  view.length < wrapperHeaderBytes + view.readUInt16BE(6) &&
  view.readUInt16BE(0) === 1

/** The sender's number or address, for people. */
export function nameOfSender(around: Around): string {
  if (around.framing === 'none') return ''
  return around.framing === 'hdlc' ? textOfAddress(around.source) : String(around.source)
}

/** And the one it is for. */
export function nameOfRecipient(around: Around): string {
  if (around.framing === 'none') return ''
  return around.framing === 'hdlc' ? textOfAddress(around.destination) : String(around.destination)
}
