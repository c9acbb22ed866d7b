/**
 * One TCP connection to devices and the associations on it: station 9 of the way of one message. Several logical devices
 * and client addresses share it; frames find their association by wrapper ports [IEC 62056-4-7]. Octets go out once a turn
 * of the event loop and are read in place. Which exchange goes on which link, caps and retries are the pool's affair.
 *
 *   CONNECTING → OPEN → RELEASING → CLOSED       any state → CLOSED on an error, a time-out or octets that are no frame
 *                  └→ DOOMED → CLOSED            takes nothing new, ends what is under way
 *
 * After a time-out or nonsense a device's next frame may belong to the question given up. When nothing else is under way
 * on the link it is cut: certain and simple. Otherwise (a hub with other devices at work) that association alone is given
 * up, the next exchange associates anew, and late answers are told by their invoke id (association.ts). If nothing at
 * all has come on the link since the question, or the device refuses to associate anew, the link is doomed.
 */
import { connect, type Socket } from 'node:net'
import { platform } from 'node:process'
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import { WrapperReader, wrapInPlace, type WrapperFrame } from '../dlms/wrapper.ts'
import type { DeviceAddress, ExchangeFailure, ExchangeResult } from '../ports/wan.ts'
import { Association } from './association.ts'
import type { Exchange } from './exchange.ts'
import type { WanOptions } from './options.ts'

const keepAliveMs = 60_000

// Reads are synchronous where sockets are polled, so one buffer serves every link; on Windows reads are pending with their buffer.
const readBytes = 64 * 1024
const sharedReadBuffer = platform === 'win32' ? undefined : Buffer.allocUnsafeSlow(readBytes)

/** What the pool does for its links. */
export interface LinkOwner {
  readonly options: WanOptions
  nowMs(): number
  /** Calls `flush` at the end of this turn. */
  wantFlush(link: Link): void
  opened(link: Link): void
  /** The exchange has ended; its place on the link is free. */
  ended(exchange: Exchange, result: ExchangeResult): void
  /** The link has room, or nothing to do any more when `activeCount` is 0. */
  freed(link: Link): void
  /** The link takes nothing new; what waits for it goes elsewhere. */
  retired(link: Link): void
  /** The link is gone without having opened (`failure`), or with exchanges that it had not ended (`lost`). */
  closed(link: Link, reason: string, lost: Exchange[]): void
  lateFrame(): void
  unsolicitedFrame(): void
}

export type LinkState = 'CONNECTING' | 'OPEN' | 'DOOMED' | 'RELEASING' | 'CLOSED'

export class Link {
  state: LinkState = 'CONNECTING'
  /** Exchanges under way. */
  activeCount = 0
  /** Connecting: the end of the attempt; releasing: the end of patience. */
  dueMs: number
  /** Neighbours among the idle links, least recently used first; see IdleLinks. */
  olderIdle: Link | undefined
  newerIdle: Link | undefined
  isIdleListed = false
  private readonly owner: LinkOwner
  private readonly socket: Socket
  private readonly reader: WrapperReader
  private readonly associations = new Map<number, Association>()
  private outgoing: Buffer[] = []
  private flushNumber = 0
  private servedCount = 0
  private releasesDue = 0
  private unsolicitedInRow = 0
  private lastFrameMs = 0
  private reason = 'closed by the device'

  constructor(owner: LinkOwner, host: string, port: number) {
    this.owner = owner
    this.reader = new WrapperReader({ apduBytesMax: owner.options.apduBytesMax })
    this.dueMs = owner.nowMs() + owner.options.connectMs
    const base = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs }
    if (sharedReadBuffer) {
      const callback = (count: number): boolean => {
        this.read(sharedReadBuffer.subarray(0, count))
        return true
      }
      this.socket = connect({ ...base, onread: { buffer: sharedReadBuffer, callback } })
    } else {
      this.socket = connect(base)
      this.socket.on('data', (chunk: Buffer) => this.read(chunk))
    }
    this.socket.on('connect', () => this.opened())
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.reason = error.code ?? error.message
    })
    this.socket.on('close', () => this.cut(this.reason))
  }

  /** Starts an exchange; only on an open link. */
  begin(exchange: Exchange): void {
    this.activeCount++
    exchange.isOnReusedLink = this.servedCount > 0
    exchange.isAnswered = exchange.isServiceSent = false
    const association = this.associationOf(exchange.address)
    if (association.exchange) (association.waiting ??= []).push(exchange)
    else this.start(association, exchange)
  }

  private associationOf(address: DeviceAddress): Association {
    const key = address.logicalDevice * 0x1_0000 + address.client
    let association = this.associations.get(key)
    if (!association) {
      association = new Association(address.logicalDevice, address.client)
      this.associations.set(key, association)
    }
    return association
  }

  private start(association: Association, exchange: Exchange): void {
    association.exchange = exchange
    const { secret } = exchange.address
    const { apduBytesMax } = this.owner.options
    const dlms = association.dlmsFor(secret, apduBytesMax)
    try {
      const apdu = dlms.begin(exchange.operations)
      exchange.isServiceSent = dlms.state !== 'ASSOCIATING'
      this.send(association, exchange, apdu)
    } catch (error) {
      this.fail(association, exchange, this.failureOf(error))
    }
  }

  private send(association: Association, exchange: Exchange, apdu: Buffer): void {
    const now = this.owner.nowMs()
    exchange.sentMs = now
    exchange.answerDueMs = now + this.owner.options.responseMs
    exchange.flushNumber = this.flushNumber
    if (exchange.isServiceSent) association.noteSent()
    const { dlms } = association
    for (let next: Buffer | undefined = apdu; next !== undefined; next = dlms?.more())
      this.write(association, next)
  }

  private write(association: Association, apdu: Buffer): void {
    if (this.outgoing.push(wrapInPlace(apdu, association.client, association.device)) === 1)
      this.owner.wantFlush(this)
  }

  /** Gives this turn's frames to the socket, as one write. */
  flush(): void {
    const { outgoing } = this
    this.flushNumber++
    if (this.state === 'CLOSED') outgoing.length = 0
    else if (outgoing.length === 1) {
      this.socket.write(outgoing[0]!)
      outgoing.length = 0
    } else if (outgoing.length > 1) {
      this.socket.write(Buffer.concat(outgoing))
      outgoing.length = 0
    }
  }

  private opened(): void {
    if (this.state !== 'CONNECTING') return
    this.state = 'OPEN'
    this.dueMs = Infinity
    this.owner.opened(this)
  }

  private read(chunkView: Buffer): void {
    if (this.state === 'CLOSED') return
    this.lastFrameMs = this.owner.nowMs()
    this.reader.push(chunkView)
    try {
      for (let frame = this.reader.next(); frame; frame = this.reader.next()) {
        this.onFrame(frame)
        // A frame may be the reason to cut the link; what follows it is of no use then.
        if ((this.state as LinkState) === 'CLOSED') return
      }
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.cut(`${error.code} ${error.detail ?? ''}`, true)
    }
  }

  private onFrame(frame: WrapperFrame): void {
    const association = this.associations.get(frame.source * 0x1_0000 + frame.destination)
    if (!association) return this.unsolicited()
    const { exchange, dlms } = association
    if (!exchange) {
      if (this.state === 'RELEASING' && dlms?.state === 'RELEASING')
        return this.onRelease(association, frame.apduView)
      return association.takeLate(frame.apduView) ? this.owner.lateFrame() : this.unsolicited()
    }
    if (association.takeLate(frame.apduView)) return this.owner.lateFrame()
    this.unsolicitedInRow = 0
    exchange.isAnswered = true
    try {
      const step = dlms!.receive(frame.apduView)
      if ('send' in step) {
        exchange.isServiceSent = true
        this.send(association, exchange, step.send)
      } else if ('results' in step) {
        this.end(association, exchange, { ok: true, results: step.results })
        this.proceed(association)
      } else exchange.answerDueMs = this.owner.nowMs() + this.owner.options.responseMs
    } catch (error) {
      this.fail(association, exchange, this.failureOf(error))
    }
  }

  private unsolicited(): void {
    this.owner.unsolicitedFrame()
    if (++this.unsolicitedInRow > limits.wanUnsolicitedFramesMax)
      this.cut('flooded with frames nobody asked for', true)
  }

  private end(association: Association, exchange: Exchange, result: ExchangeResult): void {
    association.exchange = undefined
    this.activeCount--
    this.servedCount++
    this.owner.ended(exchange, result)
  }

  // What comes after an exchange on an association.
  private proceed(association: Association): void {
    const next = association.waiting?.shift()
    if (next) return this.start(association, next)
    if (this.state === 'DOOMED' && this.activeCount === 0) this.cut('given up')
    else if (this.state === 'OPEN') this.owner.freed(this)
  }

  private failureOf(error: unknown): ExchangeFailure {
    if (error instanceof BrokerError) {
      const code =
        error.code === 'DLMS_ASSOCIATION_REFUSED'
          ? 'DEVICE_ASSOCIATION_REFUSED'
          : 'DEVICE_ANSWER_INVALID'
      return {
        ok: false,
        code,
        detail: error.detail ? `${error.code} ${error.detail}` : error.code,
      }
    }
    // A bug of ours: it ends as a wrong answer, so that one device cannot stop the rest, and it is told.
    this.owner.options.log.error(
      { stack: error instanceof Error ? error.stack : String(error) },
      'fault in a WAN exchange',
    )
    return { ok: false, code: 'DEVICE_ANSWER_INVALID', detail: String(error) }
  }

  // The device, or what it said, was wrong: the association is in doubt unless it goes on by itself.
  private fail(association: Association, exchange: Exchange, failure: ExchangeFailure): void {
    const { dlms } = association
    if (dlms && dlms.state === 'ASSOCIATED') {
      // An exception-response leaves the association as it was.
      this.end(association, exchange, failure)
      return this.proceed(association)
    }
    const isRefused = failure.code === 'DEVICE_ASSOCIATION_REFUSED'
    if (isRefused) association.forget()
    else association.giveUp(exchange.isServiceSent)
    this.end(association, exchange, failure)
    if (isRefused && association.isInDoubt) this.doom()
    if (this.activeCount === 0 && !isRefused) this.cut('in doubt after a wrong answer')
    else this.proceed(association)
  }

  /** Gives up on an exchange whose time has come; see above. */
  timeOut(exchange: Exchange): void {
    const association = this.associationOf(exchange.address)
    const failure = silent(exchange.isServiceSent ? 'no answer in time' : 'no association in time')
    if (association.exchange !== exchange) {
      const waiting = association.waiting ?? []
      waiting.splice(waiting.indexOf(exchange), 1)
      this.activeCount--
      return this.owner.ended(exchange, failure)
    }
    association.giveUp(exchange.isServiceSent)
    const isLinkSilent = this.lastFrameMs < exchange.sentMs
    this.end(association, exchange, failure)
    if (this.activeCount === 0) return this.cut('in doubt after a time-out')
    if (isLinkSilent) this.doom()
    this.proceed(association)
  }

  private doom(): void {
    if (this.state !== 'OPEN') return
    this.state = 'DOOMED'
    this.owner.retired(this)
  }

  /** Releases every association, then closes. For an idle link. */
  release(): void {
    if (this.state === 'CONNECTING') return this.cut('not needed any more')
    if (this.state !== 'OPEN') return
    this.state = 'RELEASING'
    this.dueMs = this.owner.nowMs() + this.owner.options.releaseMs
    this.owner.retired(this)
    for (const association of this.associations.values()) {
      if (association.dlms?.state !== 'ASSOCIATED') continue
      this.releasesDue++
      this.write(association, association.dlms.release())
    }
    if (this.releasesDue === 0) this.socket.end()
  }

  private onRelease(association: Association, apduView: Buffer): void {
    try {
      if (!('released' in association.dlms!.receive(apduView))) return
    } catch {
      // Whatever it says now, it has been told, and the connection closes next.
    }
    association.dlms = undefined
    if (--this.releasesDue === 0) this.socket.end()
  }

  /** Closes at once. `isNonsense`: what came was no frame, so what is under way has had a wrong answer, not none. */
  cut(reason: string, isNonsense = false): void {
    if (this.state === 'CLOSED') return
    this.state = 'CLOSED'
    this.socket.destroy()
    const lost: Exchange[] = []
    for (const association of this.associations.values()) {
      if (association.exchange) lost.push(association.exchange)
      if (association.waiting) lost.push(...association.waiting)
    }
    this.associations.clear()
    this.activeCount = 0
    if (isNonsense) {
      for (const exchange of lost.splice(0))
        this.owner.ended(exchange, { ok: false, code: 'DEVICE_ANSWER_INVALID', detail: reason })
    }
    this.owner.closed(this, reason, lost)
  }

  /** True when nothing of the exchange's last APDU has left this process, or carrying it out again does no harm. */
  mayRepeat(exchange: Exchange): boolean {
    if (!exchange.isOnReusedLink || exchange.isAnswered) return false
    return (
      !exchange.isServiceSent || exchange.flushNumber === this.flushNumber || exchange.isRepeatable
    )
  }
}

export function silent(detail: string): ExchangeFailure {
  return { ok: false, code: 'DEVICE_SILENT', detail }
}
