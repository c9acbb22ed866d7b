/**
 * The client's end of one HDLC link (the primary station): opens it, sends APDUs, fetches answers,
 * repeats what was lost, closes it. Octets and the time in, steps out; it opens no socket and sets
 * no timer.
 *
 * Call `connect`, `send`, `poll`, `disconnect`, `receive`; after each, and when `actAtMs` has come,
 * `next` until it gives undefined. States and their drawing: link-state.ts. [IEC 62056-46, 6.4.4]
 */
import { BrokerError } from '../../../base/broker-error.ts'
import type { ErrorCode } from '../../../base/error-table.ts'
import { limits } from '../../../base/limits.ts'
import { isAddressed, isBroadcast, isSameStation, type HdlcAddress } from './address.ts'
import { encodeFrame, type HdlcFrame, type HdlcKind } from './frame.ts'
import { hdlcClientTransitions, type HdlcClientState, type HdlcStep } from './link-state.ts'
import {
  agreeParameters,
  defaultHdlcParameters,
  encodeParameters,
  ownParameters,
  readParameters,
  type HdlcParameters,
} from './parameters.ts'
import { HdlcReader } from './reader.ts'
import { assert } from '../../../base/assert.ts'
import { emptyBytes } from '../../../base/bytes.ts'
import {
  llcToServer,
  SegmentGatherer,
  SegmentReceiver,
  SegmentSender,
  type HdlcEnds,
} from './transfer.ts'

export type HdlcClientOptions = {
  /** `hdlcAddress(16)` is the public client. */
  client: HdlcAddress
  server: HdlcAddress
  /** What is proposed; the largest size and a window of one unless given. */
  parameters?: Partial<HdlcParameters>
  /**
   * Whether SNRM carries them: some meters do not answer one with, some one without. 'alternating'
   * tries with, then without, in turn; 'always' and 'never' are for device profiles.
   */
  proposal?: 'alternating' | 'always' | 'never'
  /**
   * 'ignored': the meter's N(R) means nothing, any answer acknowledges what was sent (seen with a
   * server that counts late). In any case an answer in sequence acknowledges the whole question,
   * since no server answers half of one.
   */
  receiveNumbers?: 'counted' | 'ignored'
  apduBytesMax?: number
  responseMs?: number
  retriesMax?: number
  pollMs?: number
  /** How long an answer may be waited for while the meter says that it has none yet. */
  answerMs?: number
  /** An idle link is closed after this; 0 is never. */
  inactivityMs?: number
}

export class HdlcClient {
  private readonly options: Required<Omit<HdlcClientOptions, 'parameters'>>
  private readonly ends: HdlcEnds
  private readonly proposed: HdlcParameters
  private readonly reader = new HdlcReader()
  private readonly steps: HdlcStep[] = []
  private readonly sender = new SegmentSender(llcToServer)
  private readonly receiver: SegmentReceiver
  private readonly unconfirmed: SegmentGatherer
  private current: HdlcClientState = 'DISCONNECTED'
  /** What has been asked for without any progress since. */
  private fruitless = 0
  private ignored = 0
  /**
   * Segments in sequence that have come and were not the last of their APDU: grows while a long one
   * is under way.
   */
  segmentsReceived = 0
  private isPeerBusy = false
  private answersWanted = 0
  /** It is our turn, and we wait before we use it for a poll. */
  private holdsTurn = false
  private answerUntilMs = 0
  private heardAtMs = 0
  private timeMs: number | undefined

  constructor(options: HdlcClientOptions) {
    this.options = {
      proposal: 'alternating',
      receiveNumbers: 'counted',
      apduBytesMax: limits.apduBytesMax,
      responseMs: limits.hdlcResponseMs,
      retriesMax: limits.hdlcRetriesMax,
      pollMs: limits.hdlcPollMs,
      answerMs: limits.wanResponseMsMax,
      inactivityMs: 0,
      ...options,
    }
    this.ends = { local: options.client, remote: options.server }
    this.proposed = ownParameters(options.parameters ?? {}, 1)
    this.receiver = new SegmentReceiver(this.options.apduBytesMax)
    this.unconfirmed = new SegmentGatherer(this.options.apduBytesMax)
  }

  get state(): HdlcClientState {
    return this.current
  }

  /** Frames of other stations, and frames that mean nothing here. */
  get framesIgnored(): number {
    return this.ignored
  }

  /** Frames whose check was wrong. */
  get framesDropped(): number {
    return this.reader.framesDropped
  }

  /**
   * When `next` must be called although nothing came, in ms of the caller's clock; undefined when
   * there is no such time.
   */
  get actAtMs(): number | undefined {
    return this.timeMs
  }

  /** @throws BrokerError DLMS_STATE_INVALID (fault: broker) when the link is not closed */
  connect(nowMs: number): void {
    this.expect('DISCONNECTED')
    this.go('CONNECTING')
    this.fruitless = 0
    this.sendCommand('SNRM', nowMs)
  }

  /**
   * Sends `apdu`, which must not change until it is acknowledged, and polls for an answer when one
   * is wanted. Several may be given one after another; each APDU that comes is one of the answers
   * that are wanted.
   * @throws BrokerError DLMS_STATE_INVALID (fault: broker) when the link is not open, or too many
   * wait
   */
  send(apdu: Buffer, nowMs: number, options: { wantsAnswer?: boolean } = {}): void {
    this.expect('IDLE', 'SENDING', 'WAITING')
    if (!this.sender.add(apdu)) throw new BrokerError('DLMS_STATE_INVALID', 'too many APDUs wait')
    if (options.wantsAnswer ?? true) this.answersWanted++
    this.answerUntilMs = nowMs + this.options.answerMs
    if (this.current === 'IDLE' || this.holdsTurn) this.takeTurn(nowMs)
  }

  /**
   * Asks whether the meter has something to say: the next APDU of a stream, or an event. `isOnce`:
   * one question, not until something comes.
   * @throws BrokerError DLMS_STATE_INVALID (fault: broker) when the link is not idle
   */
  poll(nowMs: number, isOnce = false): void {
    this.expect('IDLE')
    this.answersWanted = isOnce ? 0 : 1
    this.answerUntilMs = nowMs + this.options.answerMs
    this.go('WAITING')
    this.sendReady(nowMs)
  }

  /** Closes the link, whatever is under way; nothing when it is closed. */
  disconnect(nowMs: number): void {
    if (this.current === 'DISCONNECTED' || this.current === 'DISCONNECTING') return
    this.go('DISCONNECTING')
    this.fruitless = 0
    this.sendCommand('DISC', nowMs)
  }

  /**
   * Takes octets from the line, borrowed until the next call; `next` must have given undefined
   * before.
   */
  receive(chunkView: Buffer, nowMs: number): void {
    if (chunkView.length > 0) this.heardAtMs = nowMs
    this.reader.push(chunkView)
  }

  /**
   * What is to be done next, or undefined.
   * @throws BrokerError DLMS_HDLC_INVALID (fault: meter) when what comes is no HDLC; the line is of
   * no use then
   */
  next(nowMs: number): HdlcStep | undefined {
    for (;;) {
      const step = this.steps.shift()
      if (step !== undefined) return step
      const frame = this.reader.next()
      if (frame !== undefined) this.take(frame, nowMs)
      else if (this.timeMs !== undefined && nowMs >= this.timeMs) this.onTime(nowMs)
      else return undefined
    }
  }

  /**
   * Takes a frame that another reader has cut, on a line of several links. Its views are borrowed
   * for the call.
   */
  take(frame: HdlcFrame, nowMs: number): void {
    const { destination, source, kind } = frame
    const isOurs =
      isAddressed(this.ends.local, destination) && (kind === 'UI' || !isBroadcast(destination))
    // Outside any link others on the line may speak, too: the step says who.
    if (!isOurs || (kind !== 'UI' && !isSameStation(source, this.ends.remote))) {
      this.ignored++
      return
    }
    switch (kind) {
      case 'UA':
        return this.onAccepted(frame, nowMs)
      case 'DM':
        if (this.current === 'DISCONNECTING') return this.end('OK')
        if (this.current !== 'DISCONNECTED') return this.end('DLMS_HDLC_REFUSED', 'DM')
        break
      case 'FRMR':
        if (this.current !== 'DISCONNECTED')
          return this.end('DLMS_HDLC_BROKEN', `FRMR ${frame.informationView.toString('hex', 0, 8)}`)
        break
      case 'UI':
        return this.onUnconfirmed(frame)
      case 'I':
      case 'RR':
      case 'RNR':
      case 'REJ':
        if (this.isOpen) return this.onNumbered(frame, nowMs)
        break
      default:
    }
    this.ignored++
  }

  private get isOpen(): boolean {
    return this.current === 'IDLE' || this.current === 'SENDING' || this.current === 'WAITING'
  }

  private onAccepted(frame: HdlcFrame, nowMs: number): void {
    if (this.current === 'DISCONNECTING') return this.end('OK')
    if (this.current !== 'CONNECTING') {
      this.ignored++
      return
    }
    const agreed = agreeParameters(this.proposed, readParameters(frame.informationView))
    this.sender.reset(agreed)
    this.receiver.reset(agreed)
    this.unconfirmed.reset()
    this.fruitless = 0
    this.answersWanted = 0
    this.isPeerBusy = false
    this.goIdle(nowMs)
    this.steps.push({ connected: agreed })
  }

  private onUnconfirmed({ informationView, isSegmented, source, destination }: HdlcFrame): void {
    const unconfirmed = this.unconfirmed.addUnordered(informationView, isSegmented)
    if (unconfirmed === 'TOO_LONG') this.ignored++
    else if (unconfirmed !== undefined) this.steps.push({ unconfirmed, source, destination })
  }

  private onNumbered(frame: HdlcFrame, nowMs: number): void {
    const isNext = frame.kind === 'I' && frame.sendNumber === this.receiver.expected
    // Undefined: it means no frame of ours. An answer from before, or a meter that miscounts: time
    // will tell.
    let acknowledged = this.sender.acknowledge(frame.receiveNumber)
    const isAnswer = isNext && this.sender.isAllSent
    if (!this.sender.isEmpty && (isAnswer || this.options.receiveNumbers === 'ignored')) {
      this.sender.acknowledgeSent()
      acknowledged = 1
    }
    this.isPeerBusy = frame.kind === 'RNR'
    if (isNext || (acknowledged ?? 0) > 0) this.fruitless = 0
    if (isNext) {
      if (frame.isSegmented) this.segmentsReceived++
      const apdu = this.receiver.take(frame.informationView, frame.isSegmented)
      if (apdu === 'TOO_LONG')
        return this.end('DLMS_SIZE_EXCEEDED', `an APDU above ${this.options.apduBytesMax}`)
      if (apdu !== undefined) {
        this.steps.push({ apdu })
        if (this.answersWanted > 0) this.answersWanted--
      }
    }
    // The turn is ours by F; also where the meter forgot to say it, but waits for us all the same.
    const isTurn =
      frame.isFinal ||
      (isNext && (this.receiver.isWindowFull || !this.receiver.isPartial)) ||
      (frame.kind !== 'I' && acknowledged !== undefined && acknowledged > 0 && !this.sender.isOut)
    // What brings nothing does not put off the end of the wait.
    if (!isTurn) {
      if (isNext || (acknowledged ?? 0) > 0 || this.current === 'IDLE') this.awaitMore(nowMs)
    } else if (!isNext && !this.countFruitless())
      this.end('DLMS_HDLC_BROKEN', 'nothing is acknowledged')
    else this.takeTurn(nowMs)
  }

  /** The meter goes on. A frame that means nothing to an idle link leaves it idle. */
  private awaitMore(nowMs: number): void {
    if (this.current === 'IDLE' && !this.receiver.isPartial) return
    if (this.current === 'IDLE') this.go('WAITING')
    this.timeMs = nowMs + this.options.responseMs
  }

  /** Our turn: sends what there is, or asks for what is wanted, or rests. */
  private takeTurn(nowMs: number): void {
    const heldUntilMs = this.holdsTurn ? this.timeMs : undefined
    this.holdsTurn = false
    if (!this.sender.isEmpty && !this.isPeerBusy) {
      if (this.current !== 'SENDING') this.go('SENDING')
      this.sender.goBack()
      return this.transmit(this.sender.write(this.ends, this.receiver.expected)!, nowMs)
    }
    if (this.receiver.isPartial) {
      if (this.current !== 'WAITING') this.go('WAITING')
      return this.sendReady(nowMs)
    }
    if (this.answersWanted === 0 && this.sender.isEmpty) return this.goIdle(nowMs)
    if (this.sender.isEmpty && this.current !== 'WAITING') this.go('WAITING')
    // It has nothing yet, or is busy: asked again in a moment.
    this.holdsTurn = true
    this.timeMs = heldUntilMs ?? nowMs + this.options.pollMs
  }

  /**
   * Counts a turn that brought nothing while something is out; false when there were too many. A
   * busy or thinking meter is not blamed.
   */
  private countFruitless(): boolean {
    if (this.isPeerBusy || (this.sender.isEmpty && !this.receiver.isPartial)) {
      this.fruitless = 0
      return true
    }
    return this.fruitless++ <= this.options.retriesMax
  }

  private onTime(nowMs: number): void {
    if (this.current === 'IDLE') return this.disconnect(nowMs)
    if (this.holdsTurn) {
      if (nowMs >= this.answerUntilMs)
        return this.end('DLMS_HDLC_SILENT', 'no answer, though polled')
      this.holdsTurn = false
      return this.sendReady(nowMs)
    }
    // A long frame on a slow line: it is coming.
    const comingUntilMs = this.reader.keptBytes > 1 ? this.heardAtMs + this.options.responseMs : 0
    if (nowMs < comingUntilMs) {
      this.timeMs = comingUntilMs
      return
    }
    this.reader.abandon()
    if (++this.fruitless > this.options.retriesMax)
      return this.end('DLMS_HDLC_SILENT', this.current)
    if (this.current === 'CONNECTING') this.sendCommand('SNRM', nowMs)
    else if (this.current === 'DISCONNECTING') this.sendCommand('DISC', nowMs)
    else this.sendReady(nowMs)
  }

  private sendCommand(kind: 'SNRM' | 'DISC', nowMs: number): void {
    const { proposal } = this.options
    const proposes =
      kind === 'SNRM' &&
      (proposal === 'always' || (proposal === 'alternating' && this.fruitless % 2 === 0))
    const header = this.headerOf(kind)
    this.transmit(
      encodeFrame(header, proposes ? encodeParameters(this.proposed) : emptyBytes),
      nowMs,
    )
  }

  private sendReady(nowMs: number): void {
    this.transmit(encodeFrame(this.headerOf('RR')), nowMs)
  }

  private headerOf(kind: HdlcKind) {
    const { local, remote } = this.ends
    const receiveNumber = this.receiver.expected
    return {
      destination: remote,
      source: local,
      kind,
      isFinal: true,
      sendNumber: 0,
      receiveNumber,
      isSegmented: false,
    }
  }

  private transmit(send: Buffer, nowMs: number): void {
    this.receiver.startTurn()
    this.holdsTurn = false
    this.timeMs = nowMs + this.options.responseMs
    this.steps.push({ send })
  }

  private goIdle(nowMs: number): void {
    if (this.current !== 'IDLE') this.go('IDLE')
    const { inactivityMs } = this.options
    this.timeMs = inactivityMs > 0 ? nowMs + inactivityMs : undefined
  }

  /** The link is over; a meter that may think otherwise is told. */
  private end(disconnected: ErrorCode, detail?: string): void {
    if (disconnected === 'DLMS_HDLC_BROKEN' || disconnected === 'DLMS_SIZE_EXCEEDED')
      this.steps.push({ send: encodeFrame(this.headerOf('DISC')) })
    this.go('DISCONNECTED')
    this.timeMs = undefined
    this.holdsTurn = false
    this.sender.reset(defaultHdlcParameters)
    this.receiver.reset(defaultHdlcParameters)
    this.unconfirmed.reset()
    this.steps.push(detail === undefined ? { disconnected } : { disconnected, detail })
  }

  private go(to: HdlcClientState): void {
    assert(hdlcClientTransitions[this.current].includes(to), `${this.current} may become ${to}`)
    this.current = to
  }

  private expect(...allowed: HdlcClientState[]): void {
    if (!allowed.includes(this.current))
      throw new BrokerError('DLMS_STATE_INVALID', `the HDLC link is ${this.current}`)
  }
}
