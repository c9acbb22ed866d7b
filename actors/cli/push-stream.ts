/**
 * What meters say unasked on one connection, or from one address in datagrams: octets in, whole pushes out. Segments of HDLC and general
 * blocks are put together. What is no push is told once, and all up to the next pause is passed over. Pure, bounded.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { copyOf, emptyBytes } from '../../core/base/bytes.ts'
import { limits } from '../../core/base/limits.ts'
import { ApduTag } from '../../core/dlms/apdu.ts'
import { SegmentGatherer } from '../../core/dlms/hdlc/transfer.ts'
import type { GeneralBlockStep } from '../../core/dlms/general-block.ts'
import { MbusGatherer, mbusBytesAt, readMbusFrame, type MbusFrame } from '../../core/dlms/mbus.ts'
import { PushBlocks } from '../../core/dlms/push-blocks.ts'
import {
  answerFrame,
  aroundOf,
  classifyPush,
  type Around,
  type Push,
} from '../../core/dlms/push.ts'
import { textOfAddress } from './dlms-hdlc.ts'
import { wrapperHeaderBytes } from '../../core/dlms/wrapper.ts'

export type Heard =
  /** Owned. */
  { apdu: Buffer; around: Around } | { identification: string; alarm: Buffer }

export type PushEvents = {
  /** Octets as they were cut, borrowed for the call. */
  octets(view: Buffer): void
  heard(heard: Heard): void
  wrong(fault: BrokerError): void
  /** What goes back. */
  send(octets: Buffer): void
}

const streamBytesMax = limits.apduBytesMax + wrapperHeaderBytes

export class PushStream {
  private readonly events: PushEvents
  private kept: Buffer = emptyBytes
  private used = 0
  private isSkipping = false
  private isBehindName = false
  private readonly segments = new Map<string, SegmentGatherer>()
  private readonly blocks = new PushBlocks<string>()
  /** Of one meter: a consumers' port has no other. */
  private readonly mbus = new MbusGatherer()

  constructor(events: PushEvents) {
    this.events = events
  }

  /** Something is begun that a pause would end. */
  get isWaiting(): boolean {
    return this.used > 0 || this.isSkipping
  }

  /** Takes octets, borrowed. */
  receive(view: Buffer): void {
    if (this.isSkipping) return
    // Nothing that is taken is longer; what is, is told of below.
    for (let at = 0; at < view.length && !this.isSkipping;) {
      const count = Math.min(view.length - at, streamBytesMax + 1 - this.used)
      this.keep(view.subarray(at, at + count))
      at += count
      this.take(false)
    }
  }

  /** The peer pauses, or a datagram or the connection ends: what has no length of its own ends here. */
  pause(): void {
    if (!this.isSkipping) this.take(true)
    this.isSkipping = false
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
      this.events.wrong(
        new BrokerError('DLMS_TRANSFER_ABORTED', `of sender ${sender}: the rest did not come`),
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
    try {
      while (at < this.used) {
        // The second octet of a line end may come after the first.
        if (this.isBehindName && isLineEnd(this.kept[at]!)) {
          at++
          continue
        }
        const view = this.kept.subarray(at, this.used)
        if (!isEnd && isWrapperPart(view)) break
        const mbusBytes = mbusBytesAt(view)
        if (!isEnd && (mbusBytes === undefined || mbusBytes > view.length)) break
        if (mbusBytes !== undefined && mbusBytes > 0) {
          if (mbusBytes > view.length) throw new BrokerError('DLMS_MBUS_INVALID', 'cut short')
          at += mbusBytes
          this.events.octets(view.subarray(0, mbusBytes))
          this.onMbus(readMbusFrame(view, mbusBytes))
          continue
        }
        const push = classifyPush(view, isEnd)
        if (push === undefined) {
          if (view.length > streamBytesMax)
            throw new BrokerError('DLMS_SIZE_EXCEEDED', `a push above ${streamBytesMax} octets`)
          break
        }
        at += push.bytes
        this.isBehindName = push.kind === 'IDENTIFICATION'
        this.events.octets(view.subarray(0, push.bytes))
        this.onPush(push)
      }
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      this.events.wrong(fault)
      this.isSkipping = !isEnd
      at = this.used
    }
    if (at > 0) this.kept.copyWithin(0, at, this.used)
    this.used -= at
  }

  private onMbus(frame: MbusFrame): void {
    const { source, destination } = frame
    const around = { framing: 'mbus', source, destination } as const
    const apdu = this.mbus.add(frame)
    if (apdu !== undefined) this.onApdu(apdu, around)
  }

  private onPush(push: Push): void {
    switch (push.kind) {
      case 'WRAPPER':
        return this.onApdu(push.frame.apduView, aroundOf(push))
      case 'HDLC': {
        const { kind, informationView, isSegmented } = push.frame
        if (kind !== 'UI' && kind !== 'I')
          throw new BrokerError(
            'DLMS_SERVICE_UNEXPECTED',
            `an HDLC frame ${kind} outside of a link`,
          )
        const around = aroundOf(push)
        const apdu = this.segmentsOf(around).addUnordered(informationView, isSegmented)
        if (apdu === 'TOO_LONG')
          throw new BrokerError(
            'DLMS_SIZE_EXCEEDED',
            `segments above ${limits.apduBytesMax} octets`,
          )
        return apdu === undefined ? undefined : this.onApdu(apdu, around)
      }
      case 'APDU':
        return this.onApdu(push.apduView, aroundOf(push))
      default:
        this.events.heard({
          identification: push.identificationView.toString('latin1'),
          alarm: copyOf(push.alarmView),
        })
    }
  }

  private onApdu(apduView: Buffer, around: Around): void {
    if (apduView[0] !== ApduTag.GENERAL_BLOCK_TRANSFER)
      return this.events.heard({ apdu: copyOf(apduView), around })
    let step: GeneralBlockStep
    try {
      step = this.blocks.receive(nameOfSender(around), apduView)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      // What is around it was right: the next one stands where it should.
      return this.events.wrong(fault)
    }
    if (step === undefined) return
    if ('apdu' in step) this.events.heard({ apdu: step.apdu, around })
    else this.answer(step.send, around)
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
      if (this.segments.size >= limits.pushGatheringsMax)
        this.segments.delete(this.segments.keys().next().value!)
      segments = new SegmentGatherer()
      this.segments.set(key, segments)
    }
    return segments
  }
}

const isLineEnd = (octet: number): boolean => octet === 0x0d || octet === 0x0a

/** More of a wrapper frame is to come: to look at it again for every octet would be long for nothing. */
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
