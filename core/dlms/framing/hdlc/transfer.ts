/**
 * An APDU in I frames, the same for client and server: `SegmentSender` cuts it by the agreed size
 * and window and goes back to what was not acknowledged; `SegmentReceiver` puts the segments
 * together again. [IEC 62056-46, 6.4.4.4]
 */
import { emptyBytes } from '../../../base/bytes.ts'
import { limits } from '../../../base/limits.ts'
import type { HdlcAddress } from './address.ts'
import {
  encodeFrame,
  frameBytes,
  writeFrameEnd,
  writeFrameStart,
  type HdlcHeader,
} from './frame.ts'
import { defaultHdlcParameters, type HdlcParameters } from './parameters.ts'

/**
 * In front of an APDU to the server and to the client: both LSAPs and the quality. [IEC 62056-46,
 * 5.3, LLC]
 */
export const llcToServer: Buffer = Buffer.of(0xe6, 0xe6, 0x00)
export const llcToClient: Buffer = Buffer.of(0xe6, 0xe7, 0x00)

/**
 * The APDU behind the LLC header of `unitView`, borrowed. Some servers use the client's header, and
 * some senders none: no APDU begins with E6.
 */
export function behindLlc(unitView: Buffer): Buffer {
  return hasLlc(unitView) ? unitView.subarray(3) : unitView
}

function hasLlc(view: Buffer): boolean {
  return view[0] === 0xe6 && (view[1] === 0xe6 || view[1] === 0xe7) && view[2] === 0
}

/** Both ends of a link: `local` stands as source in what is sent. */
export type HdlcEnds = { readonly local: HdlcAddress; readonly remote: HdlcAddress }

/**
 * The UI frame that carries `apdu` outside any link, from a meter to one client or to all
 * (`llcToClient`), or the other way; owned by the caller. [IEC 62056-46, 6.4.4.4.4]
 * @throws AssertionFault when `apdu` does not fit one frame
 */
export function encodeUnconfirmed(ends: HdlcEnds, llc: Buffer, apdu: Uint8Array): Buffer {
  const header = {
    destination: ends.remote,
    source: ends.local,
    kind: 'UI',
    isFinal: true,
    sendNumber: 0,
    receiveNumber: 0,
    isSegmented: false,
  } as const
  return encodeFrame(header, Buffer.concat([llc, apdu]))
}

/** Cuts APDUs into segments, one APDU after the other, and keeps each until it is acknowledged. */
export class SegmentSender {
  private readonly llc: Buffer
  private readonly queue: Buffer[] = []
  private segmentBytes = defaultHdlcParameters.transmitBytesMax
  private window = defaultHdlcParameters.transmitWindow
  private apdu: Buffer | undefined
  // Of the segments of `apdu`: how many there are, are acknowledged, were sent at last, were ever
  // sent.
  private count = 0
  private acknowledged = 0
  private sent = 0
  private everSent = 0
  /** N(S) of the first segment. */
  private base = 0

  constructor(llc: Buffer) {
    this.llc = llc
  }

  /** Forgets everything: the link was opened again. */
  reset(parameters: HdlcParameters): void {
    this.queue.length = 0
    this.segmentBytes = parameters.transmitBytesMax
    this.window = parameters.transmitWindow
    this.apdu = undefined
    this.count = this.acknowledged = this.sent = this.everSent = 0
    this.base = 0
  }

  /** Takes `apdu`, which must not change until it is acknowledged; false when too many wait. */
  add(apdu: Buffer): boolean {
    if (this.queue.length >= limits.hdlcQueuedApdusMax) return false
    this.queue.push(apdu)
    this.take()
    return true
  }

  /** Nothing waits to be sent or acknowledged. */
  get isEmpty(): boolean {
    return this.apdu === undefined
  }

  /** Each segment of the only APDU there is was sent once. */
  get isAllSent(): boolean {
    return this.everSent === this.count && this.queue.length === 0
  }

  /** Frames were sent that are not acknowledged yet. */
  get isOut(): boolean {
    return this.sent > this.acknowledged
  }

  /**
   * Takes the peer's N(R): how many more frames it acknowledges, or undefined when it can mean none
   * that was sent.
   */
  acknowledge(receiveNumber: number): number | undefined {
    const fresh = (receiveNumber - this.base - this.acknowledged) & 7
    if (fresh > this.everSent - this.acknowledged) return undefined
    this.acknowledged += fresh
    this.sent = Math.max(this.sent, this.acknowledged)
    if (this.apdu !== undefined && this.acknowledged === this.count) {
      this.base = (this.base + this.count) & 7
      this.apdu = undefined
      this.count = this.acknowledged = this.sent = this.everSent = 0
      this.take()
    }
    return fresh
  }

  /** What was sent is acknowledged, whatever its N(R) says. */
  acknowledgeSent(): void {
    this.acknowledge((this.base + this.everSent) & 7)
  }

  /** Everything that was not acknowledged is sent again. */
  goBack(): void {
    this.sent = this.acknowledged
  }

  /**
   * The frames that may go now, the last of them final; owned by the caller. Undefined when there
   * are none.
   */
  write(ends: HdlcEnds, receiveNumber: number): Buffer | undefined {
    const from = this.sent
    const until = Math.min(this.count, this.acknowledged + this.window)
    if (this.apdu === undefined || from >= until) return undefined
    let total = 0
    for (let i = from; i < until; i++)
      total += frameBytes(ends.remote, ends.local, this.endOf(i) - i * this.segmentBytes)
    const out = Buffer.allocUnsafe(total)
    let at = 0
    for (let i = from; i < until; i++)
      at = this.writeSegment(out, at, i, {
        destination: ends.remote,
        source: ends.local,
        kind: 'I',
        isFinal: i === until - 1,
        sendNumber: (this.base + i) & 7,
        receiveNumber,
        isSegmented: i < this.count - 1,
      })
    this.sent = until
    this.everSent = Math.max(this.everSent, until)
    return out
  }

  private writeSegment(out: Buffer, start: number, index: number, header: HdlcHeader): number {
    const apdu = this.apdu!
    const llcBytes = this.llc.length
    const from = index * this.segmentBytes
    const until = this.endOf(index)
    let at = writeFrameStart(out, start, header, until - from)
    // Offsets count from the LLC header, which stands in front of the APDU.
    if (from < llcBytes) at += this.llc.copy(out, at, from, Math.min(until, llcBytes))
    if (until > llcBytes) at += apdu.copy(out, at, Math.max(from - llcBytes, 0), until - llcBytes)
    return writeFrameEnd(out, start, at)
  }

  private endOf(index: number): number {
    return Math.min((index + 1) * this.segmentBytes, this.llc.length + this.apdu!.length)
  }

  private take(): void {
    if (this.apdu !== undefined) return
    this.apdu = this.queue.shift()
    if (this.apdu === undefined) return
    this.count = Math.ceil((this.llc.length + this.apdu.length) / this.segmentBytes)
  }
}

/** Puts segments together; memory grows with what has really come, up to the largest APDU. */
export class SegmentGatherer {
  private readonly unitBytesMax: number
  private gathered: Buffer = emptyBytes
  private used = 0
  private awaitsMore = false

  constructor(apduBytesMax: number = limits.apduBytesMax) {
    this.unitBytesMax = apduBytesMax + llcToClient.length
  }

  get isPartial(): boolean {
    return this.awaitsMore
  }

  reset(): void {
    this.used = 0
    this.awaitsMore = false
    if (this.gathered.length > limits.hdlcKeptBytesMax) this.gathered = emptyBytes
  }

  /**
   * Adds a segment: the whole APDU, owned, when it was the last; undefined when more is to come;
   * 'TOO_LONG' when it grows beyond the limit.
   */
  add(segmentView: Buffer, isSegmented: boolean): Buffer | undefined | 'TOO_LONG' {
    const needed = this.used + segmentView.length
    if (needed > this.unitBytesMax) {
      this.reset()
      return 'TOO_LONG'
    }
    this.awaitsMore = isSegmented
    if (this.used === 0 && !isSegmented) return Buffer.from(behindLlc(segmentView))
    if (needed > this.gathered.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.gathered.length))
      this.gathered.copy(larger, 0, 0, this.used)
      this.gathered = larger
    }
    this.used += segmentView.copy(this.gathered, this.used)
    if (isSegmented) return undefined
    const apdu = Buffer.from(behindLlc(this.gathered.subarray(0, this.used)))
    this.reset()
    return apdu
  }

  /**
   * The same for frames without numbers: one with an LLC header begins again, since the end of the
   * one before was lost.
   */
  addUnordered(segmentView: Buffer, isSegmented: boolean): Buffer | undefined | 'TOO_LONG' {
    if (hasLlc(segmentView)) this.reset()
    return this.add(segmentView, isSegmented)
  }
}

/** Takes I frames in sequence. `expected` is V(R), the N(S) that must come next. */
export class SegmentReceiver {
  private readonly gatherer: SegmentGatherer
  private window = defaultHdlcParameters.receiveWindow
  private sinceTurn = 0
  private next = 0

  constructor(apduBytesMax?: number) {
    this.gatherer = new SegmentGatherer(apduBytesMax)
  }

  get expected(): number {
    return this.next
  }

  /** Some segments of an APDU have come, and not the last. */
  get isPartial(): boolean {
    return this.gatherer.isPartial
  }

  /**
   * As many frames have come since `startTurn` as were agreed: the peer waits, also where it forgot
   * to say that it is final.
   */
  get isWindowFull(): boolean {
    return this.sinceTurn >= this.window
  }

  reset(parameters: HdlcParameters): void {
    this.gatherer.reset()
    this.window = parameters.receiveWindow
    this.sinceTurn = 0
    this.next = 0
  }

  /** We have sent something: the peer's window opens again. */
  startTurn(): void {
    this.sinceTurn = 0
  }

  /** Takes the information of the frame with N(S) = `expected`. */
  take(informationView: Buffer, isSegmented: boolean): Buffer | undefined | 'TOO_LONG' {
    this.next = (this.next + 1) & 7
    this.sinceTurn++
    return this.gatherer.add(informationView, isSegmented)
  }
}
