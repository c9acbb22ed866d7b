/**
 * What meters say unasked on one connection, or from one address in datagrams: octets in, whole pushes out. Segments of HDLC and general
 * blocks are put together. What is no push is told once, and all up to the next pause is passed over. Pure, bounded.
 */
import { BrokerError } from '../../core/base/broker-error.ts'
import { copyOf, emptyBytes } from '../../core/base/bytes.ts'
import { limits } from '../../core/base/limits.ts'
import { ApduTag } from '../../core/dlms/apdu.ts'
import { GeneralBlocks } from '../../core/dlms/general-block.ts'
import type { HdlcAddress } from '../../core/dlms/hdlc/address.ts'
import { encodeUnconfirmed, llcToServer, SegmentGatherer } from '../../core/dlms/hdlc/transfer.ts'
import { classifyPush, type Push } from '../../core/dlms/push.ts'
import { textOfAddress } from './dlms-hdlc.ts'
import { allocateApdu, wrapInPlace, wrapperHeaderBytes } from '../../core/dlms/wrapper.ts'

/** What is around an APDU, and who wrote it to whom. */
export type Around =
  | { framing: 'wrapper'; source: number; destination: number }
  | { framing: 'hdlc'; source: HdlcAddress; destination: HdlcAddress }
  | { framing: 'none' }

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

type Sender = { segments: SegmentGatherer; blocks: GeneralBlocks }

const generalBlockWindow = 8
const streamBytesMax = limits.apduBytesMax + wrapperHeaderBytes
const windowMask = 0x3f
const blockNumberAt = 2

export class PushStream {
  private readonly events: PushEvents
  private kept: Buffer = emptyBytes
  private used = 0
  private isSkipping = false
  private isBehindName = false
  private readonly senders = new Map<string, Sender>()

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

  private onPush(push: Push): void {
    switch (push.kind) {
      case 'WRAPPER': {
        const { source, destination, apduView } = push.frame
        return this.onApdu(apduView, { framing: 'wrapper', source, destination })
      }
      case 'HDLC': {
        const { kind, source, destination, informationView, isSegmented } = push.frame
        if (kind !== 'UI' && kind !== 'I')
          throw new BrokerError(
            'DLMS_SERVICE_UNEXPECTED',
            `an HDLC frame ${kind} outside of a link`,
          )
        const around = { framing: 'hdlc', source, destination } as const
        const apdu = this.senderOf(around).segments.addUnordered(informationView, isSegmented)
        if (apdu === 'TOO_LONG')
          throw new BrokerError(
            'DLMS_SIZE_EXCEEDED',
            `segments above ${limits.apduBytesMax} octets`,
          )
        return apdu === undefined ? undefined : this.onApdu(apdu, around)
      }
      case 'APDU':
        return this.onApdu(push.apduView, { framing: 'none' })
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
    const { blocks } = this.senderOf(around)
    // Each transfer counts from one, and so does one that is begun again.
    if (apduView.length > blockNumberAt + 1 && apduView.readUInt16BE(blockNumberAt) === 1)
      blocks.reset()
    const step = blocks.receive(apduView)
    if (step === undefined) return
    if ('apdu' in step) this.events.heard({ apdu: step.apdu, around })
    // A window of 0 wants no acknowledgement.
    else if ((apduView[1]! & windowMask) > 0) this.events.send(answerFrame(step.send, around))
  }

  private senderOf(around: Around): Sender {
    const key = nameOfSender(around)
    let sender = this.senders.get(key)
    if (sender === undefined) {
      if (this.senders.size >= limits.pushGatheringsMax)
        this.senders.delete(this.senders.keys().next().value!)
      sender = {
        segments: new SegmentGatherer(),
        blocks: new GeneralBlocks(generalBlockWindow, false),
      }
      this.senders.set(key, sender)
    }
    return sender
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

/** `apdu`, owned with spare octets or copied, on its way back to where `around` came from. */
export function answerFrame(apdu: Buffer, around: Around): Buffer {
  if (around.framing === 'none') return apdu
  if (around.framing === 'hdlc')
    return encodeUnconfirmed(
      { local: around.destination, remote: around.source },
      llcToServer,
      apdu,
    )
  const roomy = allocateApdu(apdu.length)
  apdu.copy(roomy)
  return wrapInPlace(roomy, around.destination, around.source)
}
