/**
 * A person's talk with one meter: operations out, results back, through the DLMS client; each
 * answer waited for so long and no longer.
 */
import { copyOf } from '../../../core/base/bytes.ts'
import { BrokerError } from '../../../core/base/broker-error.ts'
import { limits } from '../../../core/base/limits.ts'
import { DlmsClient, type ClientOptions } from '../../../core/dlms/client/client.ts'
import type { ClientStep } from '../../../core/dlms/client/state.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import type { CosemOperation, CosemResult } from '../../../core/ports/wan.ts'
import { openLine, type MeterLine, type MeterPlace, type Trace } from './meter-line.ts'

type Waiting = {
  client: DlmsClient
  /** General blocks of the answer that have come. */
  blocks: number
  /** APDUs that have come and were no part of it. */
  others: number
  callOff: () => void
  number: number
  resolve: (step: ClientStep) => void
  reject: (fault: unknown) => void
}

export type SessionEvents = {
  trace?: Trace
  /** A notification that came between; owned. */
  pushed?: (apdu: Buffer) => void
}

export class MeterSession {
  private readonly place: MeterPlace
  private readonly events: SessionEvents
  private line!: MeterLine
  private waiting: Waiting | undefined
  /** When the whole answer must be there, in all its blocks; undefined between answers. */
  private completeDueMs: number | undefined
  /** Why nothing can be asked any more. */
  private over: unknown

  private constructor(place: MeterPlace, events: SessionEvents) {
    this.place = place
    this.events = events
  }

  /** @throws BrokerError DEVICE_UNREACHABLE */
  static async open(place: MeterPlace, events: SessionEvents = {}): Promise<MeterSession> {
    const session = new MeterSession(place, events)
    session.line = await openLine(place, {
      trace: events.trace ?? (() => undefined),
      heard: (client, apduView) => session.onApdu(client, apduView),
      remind: () => session.remind(),
      progressed: () => {
        if (session.waiting !== undefined) session.limit(session.waiting)
      },
      failed: (fault) => session.fail(fault),
      closed: (fault) => {
        session.over = fault
        session.fail(fault)
      },
    })
    return session
  }

  /** An association of its own, as the client `number`; made with its first exchange. */
  associate(options: ClientOptions, number = this.place.client): MeterAssociation {
    return new MeterAssociation(
      new DlmsClient(options),
      options.security !== undefined,
      (client, apdu) => this.ask(client, number, apdu),
      () => this.line.leave(),
      (isUnderWay) => {
        const completeMs = Math.min(
          this.place.answerMs * limits.meterAnswerWaitsMax,
          limits.meterAnswerMsMax,
        )
        this.completeDueMs = isUnderWay ? systemClock.elapsedMs() + completeMs : undefined
      },
    )
  }

  /** True when the meter has closed the connection. */
  get isOver(): boolean {
    return this.over !== undefined
  }

  /** Sends `first` and what stands behind it, and waits for a step that is not "more will come". */
  private ask(client: DlmsClient, number: number, first: Buffer): Promise<ClientStep> {
    if (this.over !== undefined) return Promise.reject(this.over)
    return new Promise((resolve, reject) => {
      const { blocksReceived: blocks } = client
      const nothing = (): void => undefined
      this.waiting = { client, number, blocks, others: 0, callOff: nothing, resolve, reject }
      this.limit(this.waiting)
      try {
        this.line.ask(withMore(client, first), number)
      } catch (fault) {
        this.fail(fault)
      }
    })
  }

  /**
   * The one limit of an answer: nothing that comes and is no part of it puts it off. An HDLC link
   * keeps the time of its own frames, and may have to be opened first.
   */
  private limit(waiting: Waiting): void {
    const { answerMs, transport } = this.place
    const openMs = Math.min(answerMs, limits.hdlcResponseMs) * (limits.hdlcRetriesMax + 1)
    const waitMs = transport === 'hdlc' ? answerMs + openMs : answerMs
    const now = systemClock.elapsedMs()
    const dueMs = Math.min(now + waitMs, this.completeDueMs ?? Infinity)
    waiting.callOff()
    waiting.callOff = systemClock.at(systemClock.now() + dueMs - now, () => {
      const { others } = waiting
      const came = others === 0 ? '' : `; ${others} other APDUs came`
      const what = dueMs < now + waitMs ? 'the answer was not complete in time' : 'no answer'
      this.fail(new BrokerError('DEVICE_SILENT', `${what} within ${waitMs} ms${came}`))
    })
  }

  private onApdu(number: number, apduView: Buffer): void {
    const { waiting } = this
    if (waiting === undefined || number !== waiting.number) {
      if (waiting !== undefined) waiting.others++
      return this.events.pushed?.(copyOf(apduView))
    }
    try {
      const step = waiting.client.receive(apduView)
      if ('push' in step) this.events.pushed?.(step.push)
      if ('wait' in step || 'push' in step) return this.onOther(waiting)
      this.endWait()
      waiting.resolve(step)
    } catch (fault) {
      this.fail(fault)
    }
  }

  /**
   * More is to come: behind a block of the answer the wait begins again, behind anything else it
   * goes on.
   */
  private onOther(waiting: Waiting): void {
    const { blocksReceived } = waiting.client
    const isPart = blocksReceived > waiting.blocks
    waiting.blocks = blocksReceived
    if (isPart) this.limit(waiting)
    else waiting.others++
    this.line.awaitMore(isPart)
  }

  private endWait(): void {
    this.waiting?.callOff()
    this.waiting = undefined
    this.line.rest()
  }

  /** Blocks that may be lost are asked for, or sent, again. */
  private remind(): Buffer[] {
    const { client } = this.waiting ?? {}
    try {
      return client === undefined ? [] : withMore(client, client.remind())
    } catch (fault) {
      this.fail(fault)
      return []
    }
  }

  private fail(fault: unknown): void {
    const { waiting } = this
    this.endWait()
    waiting?.reject(fault)
  }

  /** Takes leave, and closes. */
  async close(): Promise<void> {
    await this.line.leave()
    this.line.close()
  }
}

/** A meter that does not accept an association often says no word. */
function atAssociation(fault: unknown, isCiphered: boolean): unknown {
  if (!(fault instanceof BrokerError) || fault.code !== 'DEVICE_SILENT') return fault
  const { detail = '' } = fault
  const check = isCiphered
    ? 'check keys and --counter'
    : 'check --client, --mechanism and --password'
  if (detail.startsWith('no answer'))
    return new BrokerError('DEVICE_SILENT', `${detail} to the AARQ: ${check}`, { cause: fault })
  const what = `it closed the connection at the AARQ: ${check}`
  return new BrokerError('DEVICE_SILENT', `${what} (${detail})`, { cause: fault })
}

/** `first` and what stands behind it. */
function withMore(client: DlmsClient, first: Buffer | undefined): Buffer[] {
  const apdus: Buffer[] = []
  for (let apdu = first; apdu !== undefined; apdu = client.more()) apdus.push(apdu)
  return apdus
}

/** Exchanges of one association, one after the other. */
export class MeterAssociation {
  readonly client: DlmsClient
  /** True from when the meter has answered its AARQ with an acceptance. */
  isAccepted = false
  private readonly isCiphered: boolean
  private readonly ask: (client: DlmsClient, apdu: Buffer) => Promise<ClientStep>
  private readonly leave: () => Promise<void>
  private readonly underWay: (isUnderWay: boolean) => void

  constructor(
    client: DlmsClient,
    isCiphered: boolean,
    ask: (client: DlmsClient, apdu: Buffer) => Promise<ClientStep>,
    leave: () => Promise<void>,
    underWay: (isUnderWay: boolean) => void,
  ) {
    this.client = client
    this.isCiphered = isCiphered
    this.ask = ask
    this.leave = leave
    this.underWay = underWay
  }

  /** @throws BrokerError DEVICE_SILENT, and those of `DlmsClient.receive` and of an HDLC link */
  async exchange(operations: readonly CosemOperation[]): Promise<CosemResult[]> {
    let apdu = this.client.begin(operations)
    this.underWay(true)
    try {
      for (;;) {
        const step = await this.ask(this.client, apdu).catch((fault: unknown) => {
          throw this.isAccepted ? fault : atAssociation(fault, this.isCiphered)
        })
        this.isAccepted = true
        if ('results' in step) return step.results
        if (!('send' in step)) throw new BrokerError('DLMS_STATE_INVALID', 'released in the middle')
        apdu = step.send
      }
    } finally {
      this.underWay(false)
    }
  }

  /** Ends it in order; what the meter says to that is not worth failing on. */
  async release(): Promise<void> {
    if (this.client.isReleasable)
      await this.ask(this.client, this.client.release()).catch(() => undefined)
    await this.leave()
  }
}
