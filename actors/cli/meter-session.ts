/** One TCP connection of a person to one meter: operations out, results back, through the DLMS client; each answer waited for so long and no longer. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { BrokerError } from '../../core/base/broker-error.ts'
import { limits } from '../../core/base/limits.ts'
import { DlmsClient, type ClientOptions } from '../../core/dlms/client.ts'
import type { ClientStep } from '../../core/dlms/client-state.ts'
import { allocateApdu, WrapperReader, wrapInPlace } from '../../core/dlms/wrapper.ts'
import { systemClock } from '../../core/ports/clock.ts'
import type { CosemOperation, CosemResult } from '../../core/ports/wan.ts'

/** Where the meter is; wrapper ports as in DeviceAddress. */
export type MeterPlace = { host: string; port: number; client: number; logicalDevice: number }
/** Is shown every frame, with its direction. */
export type Trace = (direction: '>' | '<', frame: Buffer) => void

type Waiting = {
  client: DlmsClient
  port: number
  resolve: (step: ClientStep) => void
  reject: (fault: unknown) => void
}

export class MeterSession {
  private readonly socket: Socket
  private readonly place: MeterPlace
  private readonly trace: Trace
  private readonly reader = new WrapperReader()
  private waiting: Waiting | undefined

  private constructor(socket: Socket, place: MeterPlace, trace: Trace) {
    this.socket = socket
    this.place = place
    this.trace = trace
    socket.on('data', (chunk: Buffer) => this.onData(chunk))
    socket.on('close', () =>
      this.fail(new BrokerError('DEVICE_SILENT', 'the meter closed the connection')),
    )
    socket.on('error', () => undefined)
  }

  /** @throws BrokerError DEVICE_UNREACHABLE */
  static async open(place: MeterPlace, trace: Trace = () => undefined): Promise<MeterSession> {
    const { host, port } = place
    const socket = connect({ host, port, noDelay: true })
    const callOff = systemClock.at(systemClock.now() + limits.wanConnectMsMax, () =>
      socket.destroy(new Error('no connection in time')),
    )
    try {
      await once(socket, 'connect')
    } catch (cause) {
      throw new BrokerError('DEVICE_UNREACHABLE', `${host}:${port}: ${(cause as Error).message}`, {
        cause,
      })
    } finally {
      callOff()
    }
    return new MeterSession(socket, place, trace)
  }

  /** An association of its own, as `clientPort`; made with its first exchange. */
  associate(options: ClientOptions, clientPort = this.place.client): MeterAssociation {
    return new MeterAssociation(new DlmsClient(options), (client, apdu) =>
      this.ask(client, clientPort, apdu),
    )
  }

  /** Sends `first` and what stands behind it, and waits for a step that is not "more will come". */
  private ask(client: DlmsClient, port: number, first: Buffer): Promise<ClientStep> {
    return new Promise((resolve, reject) => {
      this.waiting = { client, port, resolve, reject }
      for (let apdu: Buffer | undefined = first; apdu !== undefined; apdu = client.more()) {
        const frame = wrapInPlace(apdu, port, this.place.logicalDevice)
        this.trace('>', frame)
        this.socket.write(frame)
      }
      this.socket.setTimeout(limits.wanResponseMsMax, () =>
        this.fail(
          new BrokerError('DEVICE_SILENT', `no answer within ${limits.wanResponseMsMax} ms`),
        ),
      )
    })
  }

  private onData(chunk: Buffer): void {
    try {
      this.reader.push(chunk)
      for (let frame = this.reader.next(); frame !== undefined; frame = this.reader.next()) {
        this.trace('<', wrapInPlace(copyWithRoom(frame.apduView), frame.source, frame.destination))
        const { waiting } = this
        if (waiting === undefined || frame.destination !== waiting.port) continue
        const step = waiting.client.receive(frame.apduView)
        if ('wait' in step || 'push' in step) continue
        this.waiting = undefined
        waiting.resolve(step)
      }
    } catch (fault) {
      this.fail(fault)
    }
  }

  private fail(fault: unknown): void {
    const { waiting } = this
    this.waiting = undefined
    waiting?.reject(fault)
  }

  close(): void {
    this.socket.destroy()
  }
}

function copyWithRoom(view: Buffer): Buffer {
  const apdu = allocateApdu(view.length)
  view.copy(apdu)
  return apdu
}

/** Exchanges of one association, one after the other. */
export class MeterAssociation {
  readonly client: DlmsClient
  private readonly ask: (client: DlmsClient, apdu: Buffer) => Promise<ClientStep>

  constructor(client: DlmsClient, ask: (client: DlmsClient, apdu: Buffer) => Promise<ClientStep>) {
    this.client = client
    this.ask = ask
  }

  /** @throws BrokerError DEVICE_SILENT, and those of `DlmsClient.receive` */
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
    if (this.client.state !== 'ASSOCIATED') return
    await this.ask(this.client, this.client.release()).catch(() => undefined)
  }
}
