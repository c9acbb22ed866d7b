/**
 * One client's connection to a concentrator of simulated meters, over TCP or UDP: frames in,
 * answers out. Each logical device and client on it has an association of its own. Answers to all
 * frames of one chunk leave in one write. A client that does not read its answers is not read from
 * either. Station 9 of the path, on the meters' side.
 */
import type { Socket } from 'node:net'
import { BrokerError } from '../../../core/base/broker-error.ts'
import type { Clock } from '../../../core/ports/clock.ts'
import { ApduTag } from '../../../core/dlms/apdu/constants.ts'
import type { WrapperFrame } from '../../../core/dlms/framing/wrapper.ts'
import type { Fault, FaultBoard } from './faults.ts'
import {
  endlessBlock,
  exceptionTo,
  garbage,
  isFirstGet,
  isGetNext,
  noise,
  refusalOf,
  withWrongBlockNumber,
  withWrongInvokeId,
} from './faulty-answer.ts'
import { WrapperFraming, type MeterFraming } from './framing.ts'
import { MeterAssociation, type AssociationSurroundings } from './meter-association.ts'
import type { Meter } from '../meter.ts'
import { emptyNotification, uselessApdu, withOddBlocks } from '../quirks/odd-answer.ts'
import { oddRefusal, OddSeats, type Admission } from '../quirks/odd-connection.ts'
import { noQuirks } from '../quirks/quirks.ts'

/** What a connection may cost. */
export const connectionLimits = {
  /** Answers that wait in the socket before its client is no longer read from. */
  bufferedBytesMax: 512 * 1024,
  /** Answers that gather before they are written, though the chunk has more questions. */
  gatheredBytesMax: 128 * 1024,
  /** Answers that a slow meter holds back; further ones are lost. */
  delayedAnswersMax: 1_024,
  /** Clients' wrapper ports with an association on one connection, over all its meters. */
  associationsMax: 4_096,
  /** Between two APDUs of a meter that sends useless ones without an end. */
  uselessEveryMs: 100,
} as const

/** Counted over all connections of a fleet. */
export type FleetCounts = {
  connections: number
  requests: number
  answers: number
  /** Frames for a logical device or client that is not there, and answers lost. */
  discarded: number
  /** Requests that a fault has chosen, also where it has no bearing on them. */
  faults: number
  /** Connections closed because the client's octets made no sense. */
  malformed: number
  /** Protected APDUs that were not taken. */
  refused: number
}

/** What a connection needs of its fleet. `meterAt` takes the wrapper port of a logical device. */
export type Concentrator = AssociationSurroundings & {
  readonly clock: Clock
  readonly faults: FaultBoard
  readonly counts: FleetCounts
  meterAt(logicalDevice: number): Meter | undefined
}

type Association = {
  readonly of: MeterAssociation
  /** The last block of an answer that never ends, 0 without one. */
  endlessBlockNumber: number
}

/** What a connection does with what carries it. */
export type Line = {
  write(pieces: readonly Buffer[]): void
  /** Octets that wait in it. */
  bufferedBytes(): number
  pause(): void
  resume(): void
  /** Closes once everything is sent. */
  end(): void
  destroy(): void
}

export function lineOf(socket: Socket): Line {
  return {
    write: (pieces) => void socket.write(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)),
    bufferedBytes: () => socket.writableLength,
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => socket.destroySoon(),
    destroy: () => void socket.destroy(),
  }
}

/** Serves `socket` until it closes. */
export function serveConnection(
  socket: Socket,
  concentrator: Concentrator,
  framing: MeterFraming = new WrapperFraming(),
): void {
  const connection = new MeterConnection(lineOf(socket), concentrator, framing)
  concentrator.counts.connections++
  socket.on('data', (chunk: Buffer) => connection.take(chunk))
  socket.on('drain', () => connection.goOn())
  socket.on('end', () => socket.end())
  // A reset or a broken pipe is the client's business; 'close' follows.
  socket.on('error', () => undefined)
  socket.on('close', () => {
    concentrator.counts.connections--
    connection.stop()
  })
}

export class MeterConnection {
  private readonly line: Line
  private readonly concentrator: Concentrator
  private readonly framing: MeterFraming
  private readonly associations = new Map<number, Association>()
  private gathered: Buffer[] = []
  private gatheredBytes = 0
  private isPaused = false
  private isEnding = false
  private readonly seats = new OddSeats()
  private readonly delayed = new Set<() => void>()

  constructor(line: Line, concentrator: Concentrator, framing: MeterFraming) {
    this.line = line
    this.concentrator = concentrator
    this.framing = framing
  }

  take(chunk: Buffer): void {
    if (this.isEnding) return
    this.framing.take(chunk)
    this.work()
  }

  /** The client has read what had piled up. */
  goOn(): void {
    if (!this.isPaused || this.isEnding) return
    this.isPaused = false
    this.work()
    if (!this.isPaused) this.line.resume()
  }

  stop(): void {
    for (const { of } of this.associations.values()) of.closed()
    for (const callOff of this.delayed) callOff()
    this.delayed.clear()
    this.associations.clear()
  }

  private work(): void {
    try {
      const { framing } = this
      for (let frame = framing.next(); frame !== undefined; frame = framing.next()) {
        if (!this.answer(frame)) return
        if (this.gatheredBytes < connectionLimits.gatheredBytesMax) continue
        this.flush()
        if (this.line.bufferedBytes() > connectionLimits.bufferedBytesMax) {
          this.isPaused = true
          this.line.pause()
          return
        }
      }
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.concentrator.counts.malformed++
      this.isEnding = true
      this.line.destroy()
      return
    }
    this.flush()
  }

  /** Answers one frame; false when the connection ends by it. */
  private answer(frame: WrapperFrame): boolean {
    const { counts, faults } = this.concentrator
    counts.requests++
    const association = this.associationOf(frame.destination, frame.source)
    if (association === undefined) {
      counts.discarded++
      return true
    }
    const isOdd = association.of.quirks !== noQuirks
    if (isOdd) {
      const admission = this.seats.admit(association.of, frame.apduView)
      if (admission !== 'taken') return this.turnAway(frame, admission)
      if (this.sendsNothingUseful(association.of, frame)) return true
    }
    if (faults.isOn || association.endlessBlockNumber > 0) {
      const fault = this.chooseFault(association, frame.apduView)
      if (fault !== undefined) return this.answerFaulty(frame, association, fault)
    }
    const answers = this.answersTo(frame, association)
    if (isOdd && answers.length > 0) this.putFirst(association.of, frame)
    for (const answer of answers)
      this.gather(this.framing.frame(answer, frame.destination, frame.source))
    return !(isOdd && this.endsOddly(association.of, frame.apduView))
  }

  /**
   * What a meter says that is well: several APDUs where it answers in general blocks. A release
   * ends the association.
   */
  private answersTo(frame: WrapperFrame, { of }: Association): Buffer[] {
    const { server } = of
    const answers: Buffer[] = []
    const isAarq = frame.apduView[0] === ApduTag.AARQ
    if (isAarq) of.opening()
    of.refused = undefined
    for (let answer = server.receive(frame.apduView); answer !== undefined; answer = server.more())
      answers.push(answer)
    if (of.quirks.blocks !== undefined) withOddBlocks(answers, server, of.quirks.blocks)
    of.answered()
    if (frame.apduView[0] === ApduTag.RLRQ && !server.isAssociated)
      this.associations.delete(keyOf(frame.destination, frame.source))
    if (of.refused === undefined || of.quirks.refusal === undefined) return answers
    const refusal = oddRefusal(of, of.refused)
    return typeof refusal === 'string' ? [] : [refusal]
  }

  private turnAway(frame: WrapperFrame, admission: Exclude<Admission, 'taken'>): boolean {
    if (admission === 'close') return this.end()
    if (admission !== 'silence')
      this.gather(this.framing.frame(admission.reply, frame.destination, admission.client))
    return true
  }

  /** What a meter with quirks sends in front of its answer. */
  private putFirst({ quirks }: MeterAssociation, { destination, source }: WrapperFrame): void {
    if (quirks.hasEmptyFrames === true)
      for (const piece of this.framing.empty(destination, source)) this.put(piece)
    for (let i = 1; i <= (quirks.notificationsFirst ?? 0); i++)
      this.gather(this.framing.frame(emptyNotification(i), destination, source))
  }

  /**
   * True when the meter answers the request with APDUs that lead nowhere, until the connection
   * closes.
   */
  private sendsNothingUseful(
    { quirks: { uselessApdus } }: MeterAssociation,
    { apduView, destination, source }: WrapperFrame,
  ): boolean {
    const isService = apduView[0] !== ApduTag.AARQ && apduView[0] !== ApduTag.RLRQ
    if (uselessApdus === undefined || !isService) return false
    const { clock } = this.concentrator
    const send = (index: number): void => {
      this.gather(this.framing.frame(uselessApdu(uselessApdus, index), destination, source))
      void this.framing.next()
      this.flush()
      const callOff = clock.at(clock.now() + connectionLimits.uselessEveryMs, () => {
        this.delayed.delete(callOff)
        send(index + 1)
      })
      this.delayed.add(callOff)
    }
    // One stream is enough, however often the client asks.
    if (this.delayed.size === 0) send(1)
    return true
  }

  /** True, and the connection is closed, when a meter with quirks closes it now. */
  private endsOddly(of: MeterAssociation, requestView: Buffer): boolean {
    const isOver = this.seats.answered(of, requestView)
    if (!isOver && !(of.refused !== undefined && of.quirks.refusal === 'close')) return false
    // An HDLC link gives its answer when it is asked.
    void this.framing.next()
    this.end()
    return true
  }

  private gather(pieces: readonly Buffer[]): void {
    this.concentrator.counts.answers++
    for (const piece of pieces) this.put(piece)
  }

  private put(piece: Buffer): void {
    this.gathered.push(piece)
    this.gatheredBytes += piece.length
  }

  private flush(): void {
    for (const piece of this.framing.own.splice(0)) this.put(piece)
    const { gathered } = this
    if (gathered.length === 0) return
    this.line.write(gathered)
    this.gathered = []
    this.gatheredBytes = 0
  }

  private associationOf(logicalDevice: number, client: number): Association | undefined {
    const key = keyOf(logicalDevice, client)
    const known = this.associations.get(key)
    if (known !== undefined) return known
    const meter = this.concentrator.meterAt(logicalDevice)
    if (meter === undefined || this.associations.size >= connectionLimits.associationsMax)
      return undefined
    const of = new MeterAssociation(meter, client, logicalDevice, this.concentrator)
    const association = { of, endlessBlockNumber: 0 }
    this.associations.set(key, association)
    return association
  }

  private chooseFault(association: Association, requestView: Buffer): Fault | undefined {
    const { meter } = association.of
    if (association.endlessBlockNumber > 0 && !isGetNext(requestView))
      association.endlessBlockNumber = 0
    if (association.endlessBlockNumber > 0) return endless
    const fault = this.concentrator.faults.choose(meter.number, meter.seed, meter.faultDraws++)
    return fault?.kind === 'too-much' && !isFirstGet(requestView) ? undefined : fault
  }

  /** As `answer`, with `fault`; a request on which the fault has no bearing is answered well. */
  private answerFaulty(frame: WrapperFrame, association: Association, fault: Fault): boolean {
    const { apduView, destination, source } = frame
    const { meter } = association.of
    const send = (...apdus: Buffer[]): true => {
      for (const apdu of apdus) this.gather(this.framing.frame(apdu, destination, source))
      return true
    }
    this.concentrator.counts.faults++
    switch (fault.kind) {
      case 'silent':
        return true
      case 'drop':
        return this.end()
      case 'garbage':
        return send(garbage(meter.seed, meter.faultDraws))
      case 'noise':
        this.gather([noise(meter.seed, meter.faultDraws)])
        return true
      case 'too-much':
        return send(endlessBlock(apduView, ++association.endlessBlockNumber))
      case 'exception':
      case 'refuse-association': {
        // What is refused is not done either.
        const refusal = fault.kind === 'exception' ? exceptionTo(apduView) : refusalOf(apduView)
        if (refusal !== undefined) return send(refusal)
        break
      }
      default:
        break
    }
    const replacements = meter.security?.replacements
    const answers = this.answersTo(frame, association)
    const [answer] = answers
    if (answer === undefined) return true
    switch (fault.kind) {
      case 'slow':
        this.delay(answers, destination, source, fault.delayMs)
        return true
      case 'truncate': {
        const frameBytes = Buffer.concat(this.framing.frame(answer, destination, source))
        this.gather([frameBytes.subarray(0, frameBytes.length >> 1)])
        return this.end()
      }
      case 'lose-key-answer':
        return meter.security?.replacements === replacements ? send(...answers) : true
      case 'wrong-invoke-id':
        return send(...answers.map((one) => withWrongInvokeId(one) ?? one))
      case 'wrong-block-number':
        return send(...answers.map((one) => withWrongBlockNumber(one) ?? one))
      default:
        return send(...answers)
    }
  }

  /** Sends what has gathered and closes; gives false. */
  private end(): false {
    this.isEnding = true
    this.flush()
    this.line.end()
    return false
  }

  private delay(answers: readonly Buffer[], device: number, client: number, delayMs: number): void {
    const { clock, counts } = this.concentrator
    if (this.delayed.size >= connectionLimits.delayedAnswersMax) {
      counts.discarded++
      return
    }
    const callOff = clock.at(clock.now() + delayMs, () => {
      this.delayed.delete(callOff)
      for (const answer of answers) this.gather(this.framing.frame(answer, device, client))
      // An HDLC link says by itself what it has to say, when it is asked.
      void this.framing.next()
      this.flush()
    })
    this.delayed.add(callOff)
  }
}

const endless: Fault = { kind: 'too-much', delayMs: 0, requestShare: 1, meterShare: 1 }

const keyOf = (logicalDevice: number, client: number): number => logicalDevice * 0x1_0000 + client
