/**
 * One way to devices, whatever carries it (carrier.ts) and however APDUs lie in it (framing.ts),
 * and the associations on it: station 9 of the way of one message. Several logical devices and
 * client addresses share it; APDUs find their association by both. Octets go out once a turn of the
 * event loop and are read in place. Which exchange goes on which link, caps and retries are the
 * pool's affair.
 *
 *   CONNECTING → OPEN → RELEASING → CLOSED       any state → CLOSED on an error, a time-out or octets that are no frame
 *                  └→ DOOMED → CLOSED            takes nothing new, ends what is under way
 *
 * After a time-out or nonsense a device's next frame may belong to the question given up. When
 * nothing else is under way on the link it is cut: certain and simple. Otherwise (a hub with other
 * devices at work) that association alone is given up, the next exchange associates again, and late
 * answers are told by their invoke id (association.ts). If nothing at all has come on the link
 * since the question, or the device refuses to associate again, the link is doomed; so it is when
 * the answer given up is ciphered, since then nothing tells it from the next.
 *
 * An association belongs to one set of keys and one way of association; an exchange under others
 * begins on a new connection, where we can make one. So does what a late answer may pass for.
 *
 * An exchange that `endsAssociation` is followed by a release (RLRQ, or DISC in HDLC): its results
 * are given when that was answered. A device that does not answer it, or not with a release, is
 * reached on another connection next.
 */
import { assert } from '../../base/assert.ts'
import { BrokerError } from '../../base/broker-error.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { isNotification, isReleaseAnswer } from '../../dlms/client/response.ts'
import type { CosemResult, ExchangeFailure, ExchangeResult } from '../../ports/wan.ts'
import { keyOf, type Association } from './association.ts'
import { associationFor, forgetAll } from './link-associations.ts'
import type { Carrier } from './carrier.ts'
import { profileOf } from './client-terms.ts'
import type { Exchange } from './exchange.ts'
import { cannotAsk, failureOf, invalid, silent, textOf } from './failures.ts'
import type { Answer, Framing } from './framing.ts'
import type { LinkOwner, LinkParts, LinkState } from './link-owner.ts'
import { Unsolicited } from './unsolicited.ts'

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
  readonly isTheirs: boolean
  private readonly owner: LinkOwner<Link>
  private readonly carrier: Carrier
  private readonly framing: Framing
  private readonly associations = new Map<number, Association>()
  private readonly unsolicited: Unsolicited<Link>
  private outgoing: Buffer[] = []
  private flushNumber = 0
  private servedCount = 0
  private releasesDue = 0
  private lastFrameMs = 0

  constructor(owner: LinkOwner<Link>, { open, frame, isTheirs }: LinkParts) {
    this.owner = owner
    this.isTheirs = isTheirs
    this.unsolicited = new Unsolicited(this, owner, this.associations)
    this.dueMs = owner.nowMs() + owner.options.connectMs
    this.framing = frame({
      apdu: (device, client, apduView) => this.onApdu(device, client, apduView),
      unsolicited: (...unsolicited) => this.unsolicited.receive(...unsolicited),
      lost: (device, client, code, detail) => this.onLost(device, client, code, detail),
      dropped: (code, bytes) => {
        this.owner.refusedFrame(code, bytes)
        this.unsolicited.note()
      },
      write: (piece) => {
        if (this.outgoing.push(piece) === 1) this.owner.wantFlush(this)
      },
    })
    this.carrier = open({
      opened: () => this.opened(),
      octets: (view) => this.read(view),
      closed: (reason) => this.cut(reason),
    })
  }

  get hasRoom(): boolean {
    return this.activeCount < this.framing.exchangesMax
  }

  /**
   * True when an exchange that wants a connection of its own cannot have this one, and may close
   * it.
   */
  get isReplaceable(): boolean {
    return this.state === 'OPEN' && this.activeCount === 0 && !this.isTheirs && this.servedCount > 0
  }

  /** True once octets have come. */
  get hasSpoken(): boolean {
    return this.lastFrameMs > 0
  }

  /** True when `onTime` must be called every now and then. */
  get keepsTime(): boolean {
    return this.framing.keepsTime
  }

  /** Starts an exchange; only on an open link. */
  begin(exchange: Exchange): void {
    this.activeCount++
    exchange.isOnReusedLink = this.servedCount > 0 || this.isTheirs
    exchange.isAnswered = exchange.isServiceSent = false
    exchange.results = undefined
    const association = associationFor(this.associations, exchange.address)
    if (association.exchange) (association.waiting ??= []).push(exchange)
    else this.start(association, exchange)
  }

  private start(association: Association, exchange: Exchange): void {
    if (!association.isFor(exchange)) {
      if (this.activeCount === 1 && !this.isTheirs) return this.displace(exchange, 'for other keys')
      association.forget()
    }
    if (association.mayMistakeFor(exchange)) return this.divert(exchange)
    association.exchange = exchange
    try {
      const { address, command } = exchange
      // An association does not outlive the way to its device.
      if (!this.framing.admit(address, profileOf(address))) association.forget()
      const dlms = association.dlmsFor(exchange, this.owner.options)
      const { cosem, opaque } = command
      const apdu = cosem === undefined ? dlms.beginOpaque(opaque) : dlms.begin(cosem)
      exchange.isServiceSent = dlms.state !== 'ASSOCIATING'
      this.send(association, exchange, apdu)
    } catch (error) {
      // Whatever it is, the device has no part in it: nothing was sent.
      if (!(error instanceof BrokerError))
        return this.fail(association, exchange, failureOf(error, this.owner))
      association.forget()
      this.end(association, exchange, cannotAsk(error, this.owner))
      this.proceed(association)
    }
  }

  /**
   * The device forgets its association with the connection: whatever it makes of a second one, it
   * cannot mix them.
   */
  private displace(exchange: Exchange, why: string): void {
    this.activeCount--
    this.cut(`the association is ${why}`)
    this.owner.displaced(this, exchange)
  }

  /** A late answer that may still come here would pass for the answer, or nothing is begun here. */
  private divert(exchange: Exchange): void {
    if (this.activeCount === 1) return this.displace(exchange, 'in doubt')
    this.activeCount--
    this.doom()
    this.owner.displaced(this, exchange)
  }

  private send(association: Association, exchange: Exchange, apdu: Buffer): void {
    const now = this.owner.nowMs()
    exchange.sentMs = now
    exchange.answerDueMs = this.framing.keepsTime ? Infinity : now + this.owner.options.responseMs
    exchange.flushNumber = this.flushNumber
    if (exchange.isServiceSent) association.noteSent()
    this.write(association, apdu, now)
  }

  private write(association: Association, first: Buffer, now: number): void {
    const { dlms, device, client } = association
    for (let apdu: Buffer | undefined = first; apdu !== undefined;) {
      const next: Buffer | undefined = dlms?.more()
      this.framing.send(apdu, device, client, now, next === undefined)
      apdu = next
    }
  }

  /** Gives this turn's octets to the carrier. */
  flush(): void {
    const { outgoing } = this
    this.flushNumber++
    if (outgoing.length === 0) return
    this.outgoing = []
    if (this.state === 'CLOSED') return
    this.carrier.write(outgoing)
    if (this.carrier.unreadBytes > this.owner.options.unreadBytesMax)
      this.cut('the device does not read')
  }

  /** Does what is due where a framing keeps time. */
  onTime(now: number): void {
    this.guard(() => this.framing.onTime(now))
  }

  /** The way is open: told by the carrier, or by the acceptor of a connection. */
  opened(): void {
    if (this.state !== 'CONNECTING') return
    this.state = 'OPEN'
    this.dueMs = Infinity
    this.owner.opened(this)
  }

  /** Takes octets that have come, borrowed for the call. */
  read(chunkView: Buffer): void {
    this.lastFrameMs = this.owner.nowMs()
    this.guard(() => this.framing.receive(chunkView, this.lastFrameMs))
  }

  /** What comes may make no sense, or no more than before now that its time is over. */
  private guard(work: () => void): void {
    if (this.state === 'CLOSED') return
    try {
      work()
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.cut(textOf(error), true)
    }
  }

  private onApdu(device: number, client: number, apduView: Buffer): boolean {
    const association = this.associations.get(keyOf(device, client))
    if (association?.exchange === undefined) this.onIdle(association, device, client, apduView)
    else if (association.takeLate(apduView)) this.owner.lateFrame()
    else this.onAnswer(association, association.exchange, apduView)
    return this.state !== 'CLOSED'
  }

  private onAnswer(association: Association, exchange: Exchange, apduView: Buffer): void {
    if (association.isCiphered && isNotification(apduView)) {
      this.onUnsolicited(association.device, association.client, apduView)
      return this.awaitMore(association, exchange, undefined)
    }
    exchange.isAnswered = true
    if (exchange.results !== undefined) return this.onReleased(association, exchange, apduView)
    try {
      const step = association.dlms!.receive(apduView)
      association.noteReceived()
      if (!('push' in step)) this.unsolicited.forgive()
      if ('send' in step) {
        exchange.isServiceSent = true
        this.send(association, exchange, step.send)
      } else if ('results' in step) this.succeed(association, exchange, step.results)
      else if ('answerBytes' in step) this.complete(association, exchange, step.answerBytes)
      else this.awaitMore(association, exchange, 'push' in step ? step.push : undefined)
    } catch (error) {
      association.noteReceived()
      this.fail(association, exchange, failureOf(error, this.owner))
    }
  }

  private complete(association: Association, exchange: Exchange, answerBytes: Buffer): void {
    this.end(association, exchange, { ok: true, results: [], answerBytes })
    this.proceed(association)
  }

  private succeed(association: Association, exchange: Exchange, results: CosemResult[]): void {
    if (exchange.endsAssociation) return this.part(association, exchange, results)
    this.end(association, exchange, { ok: true, results })
    this.proceed(association)
  }

  /**
   * Releases the association after its last exchange: many devices keep one at a time on a
   * connection.
   */
  private part(association: Association, exchange: Exchange, results: CosemResult[]): void {
    const { dlms, device, client } = association
    const now = this.owner.nowMs()
    exchange.results = results
    exchange.answerDueMs = now + this.owner.options.releaseMs
    if (this.framing.endsAssociations)
      this.guard(() => this.framing.leaveDevice(device, client, now))
    else if (dlms?.isReleasable === true) this.write(association, dlms.release(), now)
    else this.parted(association, exchange)
  }

  /** What came in answer to an RLRQ: a release, or something else. */
  private onReleased(association: Association, exchange: Exchange, apduView: Buffer): void {
    if (isNotification(apduView))
      return this.onUnsolicited(association.device, association.client, apduView)
    if (isReleaseAnswer(apduView)) this.parted(association, exchange)
    else this.partedInDoubt(association, exchange, 'no release was answered')
  }

  private parted(association: Association, exchange: Exchange): void {
    association.forget()
    this.end(association, exchange, { ok: true, results: exchange.results! })
    this.proceed(association)
  }

  /** The device may still keep the association: what comes next goes on another connection. */
  private partedInDoubt(association: Association, exchange: Exchange, reason: string): void {
    association.forget()
    this.end(association, exchange, { ok: true, results: exchange.results! })
    if (this.activeCount === 0) return this.cut(reason)
    this.doom()
    this.proceed(association)
  }

  /** A part of the answer has come, or a notification in front of it. */
  private awaitMore(association: Association, exchange: Exchange, push: Buffer | undefined): void {
    if (this.state === 'CLOSED') return
    const { device, client } = association
    const now = this.owner.nowMs()
    if (!this.framing.keepsTime) exchange.answerDueMs = now + this.owner.options.responseMs
    this.framing.awaitMore(device, client, now)
    if (push === undefined) return
    this.unsolicited.tell(device, client, push, true, this.framing.answerTo(device, client))
  }

  /** Nothing is under way on the association, if there is one. */
  private onIdle(
    association: Association | undefined,
    device: number,
    client: number,
    apduView: Buffer,
  ): void {
    if (association === undefined) return this.onUnsolicited(device, client, apduView)
    const isReleasing = this.state === 'RELEASING' && association.dlms?.state === 'RELEASING'
    if (isReleasing && isReleaseAnswer(apduView)) return this.onRelease(association, apduView)
    if (association.takeLate(apduView)) return this.owner.lateFrame()
    this.onUnsolicited(device, client, apduView)
  }

  /**
   * Answers a notification, or not: a device repeats what was not confirmed. On a connection that
   * the device has made, it may come before the link is open.
   */
  answer(apdu: Buffer, answer: Answer): void {
    const isOpen = this.state === 'OPEN' || this.state === 'DOOMED'
    if (isOpen || (this.state === 'CONNECTING' && this.isTheirs)) answer(apdu)
  }

  private onUnsolicited(device: number, client: number, apduView: Buffer): void {
    this.unsolicited.receive(device, client, apduView, this.framing.answerTo(device, client))
  }

  /** The framing has lost the way to one device. */
  private onLost(device: number, client: number, code: ErrorCode, detail: string): void {
    const association = this.associations.get(keyOf(device, client))
    if (association === undefined || this.state === 'CLOSED') return
    const { exchange } = association
    if (exchange === undefined) return association.forget()
    if (exchange.results !== undefined) return this.parted(association, exchange)
    // The reused connection was closed by the device: a new one retries.
    if (this.mayRepeat(exchange)) return this.cut(detail)
    const failure =
      code === 'DLMS_HDLC_SILENT' ? silent(`${code} ${detail}`) : invalid(`${code} ${detail}`)
    association.forget()
    this.end(association, exchange, failure)
    this.proceed(association)
  }

  private end(association: Association, exchange: Exchange, result: ExchangeResult): void {
    association.exchange = undefined
    this.activeCount--
    this.servedCount++
    this.owner.ended(this, exchange, result)
  }

  // What comes after an exchange on an association; a doomed link begins nothing.
  private proceed(association: Association): void {
    const next = association.waiting?.shift()
    if (next && this.state !== 'DOOMED') return this.start(association, next)
    if (next) {
      this.divert(next)
      this.proceed(association)
    } else if (this.state === 'DOOMED' && this.activeCount === 0) this.cut('given up')
    else if (this.state === 'OPEN') this.owner.freed(this)
  }

  // The device, or what it said, was wrong: the association is in doubt unless it goes on by
  // itself.
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
  timeOut(exchange: Exchange, now: number): void {
    const association = associationFor(this.associations, exchange.address)
    const failure = silent(exchange.isServiceSent ? 'no answer in time' : 'no association in time')
    if (association.exchange !== exchange) {
      const { waiting = [] } = association
      const at = waiting.indexOf(exchange)
      assert(at >= 0, 'an exchange is under way, or waits')
      waiting.splice(at, 1)
      this.activeCount--
      this.owner.ended(this, exchange, failure)
      if (this.state === 'OPEN') this.owner.freed(this)
      return
    }
    if (exchange.results !== undefined)
      return this.partedInDoubt(association, exchange, 'no release in time')
    if (exchange.dueMs > now && this.remind(association, exchange)) return
    association.giveUp(exchange.isServiceSent)
    const isDoubtful = this.lastFrameMs < exchange.sentMs || association.isCiphered
    this.end(association, exchange, failure)
    if (this.activeCount === 0) return this.cut('in doubt after a time-out')
    if (isDoubtful) this.doom()
    this.proceed(association)
  }

  /** A block of a long answer may be lost, and is asked for again. */
  private remind(association: Association, exchange: Exchange): boolean {
    try {
      const again = association.dlms?.remind()
      if (again !== undefined) this.send(association, exchange, again)
      return again !== undefined
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      return false
    }
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
    const now = this.owner.nowMs()
    this.dueMs = now + this.owner.options.releaseMs
    this.owner.retired(this)
    if (!this.framing.endsAssociations)
      for (const association of this.associations.values()) {
        if (association.dlms?.isReleasable !== true) continue
        this.releasesDue++
        this.write(association, association.dlms.release(), now)
      }
    if (this.releasesDue === 0) this.leave()
  }

  private leave(): void {
    this.guard(() => this.framing.leave(this.owner.nowMs()))
    if (this.state === 'CLOSED') return
    this.flush()
    this.carrier.end()
  }

  private onRelease(association: Association, apduView: Buffer): void {
    try {
      if (!('released' in association.dlms!.receive(apduView))) return
    } catch {
      // Whatever it says now, it has been told, and the connection closes next.
    }
    association.dlms = undefined
    if (--this.releasesDue === 0) this.leave()
  }

  /**
   * Closes at once. `isNonsense`: what came was no frame, so what is under way has had a wrong
   * answer, not none.
   */
  cut(reason: string, isNonsense = false): void {
    if (this.state === 'CLOSED') return
    this.state = 'CLOSED'
    this.carrier.destroy()
    const { releasing, lost } = forgetAll(this.associations)
    // A device may close the connection in place of an answer to the release.
    for (const exchange of releasing)
      this.owner.ended(this, exchange, { ok: true, results: exchange.results! })
    this.activeCount = 0
    if (isNonsense) {
      for (const exchange of lost.splice(0)) this.owner.ended(this, exchange, invalid(reason))
    }
    this.owner.closed(this, reason, lost)
  }

  /**
   * True when nothing of the exchange's last APDU has left this process, or carrying it out again
   * does no harm.
   */
  mayRepeat(exchange: Exchange): boolean {
    if (!exchange.isOnReusedLink || exchange.isAnswered) return false
    return (
      !exchange.isServiceSent || exchange.flushNumber === this.flushNumber || exchange.isRepeatable
    )
  }
}
