/** A person's talk with one meter: operations out, results back, through the DLMS client; each answer waited for so long and no longer. */
import { copyOf } from '../../core/base/bytes.ts'
import { BrokerError } from '../../core/base/broker-error.ts'
import { DlmsClient, type ClientOptions } from '../../core/dlms/client.ts'
import type { ClientStep } from '../../core/dlms/client-state.ts'
import type { CosemOperation, CosemResult } from '../../core/ports/wan.ts'
import { openLine, type MeterLine, type MeterPlace, type Trace } from './meter-line.ts'

type Waiting = {
  client: DlmsClient
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
      failed: (fault) => session.fail(fault),
    })
    return session
  }

  /** An association of its own, as the client `number`; made with its first exchange. */
  associate(options: ClientOptions, number = this.place.client): MeterAssociation {
    return new MeterAssociation(
      new DlmsClient(options),
      (client, apdu) => this.ask(client, number, apdu),
      () => this.line.leave(),
    )
  }

  /** Sends `first` and what stands behind it, and waits for a step that is not "more will come". */
  private ask(client: DlmsClient, number: number, first: Buffer): Promise<ClientStep> {
    return new Promise((resolve, reject) => {
      this.waiting = { client, number, resolve, reject }
      try {
        this.line.ask(withMore(client, first), number)
      } catch (fault) {
        this.fail(fault)
      }
    })
  }

  private onApdu(number: number, apduView: Buffer): void {
    const { waiting } = this
    if (waiting === undefined || number !== waiting.number)
      return this.events.pushed?.(copyOf(apduView))
    try {
      const step = waiting.client.receive(apduView)
      if ('push' in step) this.events.pushed?.(step.push)
      if ('wait' in step || 'push' in step) return this.line.awaitMore()
      this.waiting = undefined
      waiting.resolve(step)
    } catch (fault) {
      this.fail(fault)
    }
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
    this.waiting = undefined
    waiting?.reject(fault)
  }

  /** Takes leave, and closes. */
  async close(): Promise<void> {
    await this.line.leave()
    this.line.close()
  }
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
  private readonly ask: (client: DlmsClient, apdu: Buffer) => Promise<ClientStep>
  private readonly leave: () => Promise<void>

  constructor(
    client: DlmsClient,
    ask: (client: DlmsClient, apdu: Buffer) => Promise<ClientStep>,
    leave: () => Promise<void>,
  ) {
    this.client = client
    this.ask = ask
    this.leave = leave
  }

  /** @throws BrokerError DEVICE_SILENT, and those of `DlmsClient.receive` and of an HDLC link */
  async exchange(operations: readonly CosemOperation[]): Promise<CosemResult[]> {
    let apdu = this.client.begin(operations)
    for (;;) {
      const step = await this.ask(this.client, apdu)
      if ('results' in step) return step.results
      if (!('send' in step)) throw new BrokerError('DLMS_STATE_INVALID', 'released in the middle')
      apdu = step.send
    }
  }

  /** Ends it in order; what the meter says to that is not worth failing on. */
  async release(): Promise<void> {
    if (this.client.isReleasable)
      await this.ask(this.client, this.client.release()).catch(() => undefined)
    await this.leave()
  }
}
