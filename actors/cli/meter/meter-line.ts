/**
 * What carries a person's octets to a meter, and how APDUs lie in them: the wrapper over TCP, or
 * one frame in each datagram over UDP [IEC 62056-4-7]; HDLC over TCP, as behind a serial server
 * [IEC 62056-46].
 */
import { BrokerError } from '../../../core/base/broker-error.ts'
import { formatHostPort } from '../../../core/base/host-port.ts'
import { limits } from '../../../core/base/limits.ts'
import type { DeviceProfile } from '../../../core/inventory/device-profiles.ts'
import { hdlcAddress, type HdlcAddress } from '../../../core/dlms/framing/hdlc/address.ts'
import { HdlcClient } from '../../../core/dlms/framing/hdlc/client.ts'
import { HdlcReader } from '../../../core/dlms/framing/hdlc/reader.ts'
import {
  allocateApdu,
  readWrapperDatagram,
  WrapperReader,
  wrapInPlace,
  type WrapperFrame,
} from '../../../core/dlms/framing/wrapper.ts'
import { ModeEHandshake, type ModeEOptions } from '../../../core/dlms/framing/mode-e.ts'
import { systemClock } from '../../../core/ports/clock.ts'
import { dialTcp, dialUdp, type Carrier } from '../../../core/wan/sockets/carrier.ts'

/** Where the meter is, and how it is reached. */
export type MeterPlace = {
  host: string
  port: number
  transport: 'tcp' | 'udp' | 'hdlc'
  /** Wrapper port, or HDLC address, of the client. */
  client: number
  /** Wrapper port of the logical device; its HDLC address is `server`. */
  logicalDevice: number
  server: HdlcAddress
  /** How the model deviates. */
  hdlc: NonNullable<DeviceProfile['hdlc']>
  /** How its line is opened before HDLC is spoken; undefined when it is spoken at once. */
  modeE?: ModeEOptions | undefined
  /** How long an answer is waited for, ms. */
  answerMs: number
}

/** Is shown what goes and comes. */
export type Trace = (direction: '>' | '<', octetsView: Buffer) => void

export type LineEvents = {
  trace: Trace
  /** An APDU for `client`, borrowed for the call. */
  heard(client: number, apduView: Buffer): void
  /**
   * What to send when a part of what was said may be lost; empty when there is nothing that
   * repeating would mend.
   */
  remind(): Buffer[]
  /** A segment of a long APDU has come, which is not whole yet. */
  progressed(): void
  /** No answer can be expected any more to what was asked. */
  failed(fault: unknown): void
  /** The connection is gone. */
  closed(fault: unknown): void
}

/** One way to one logical device. */
export interface MeterLine {
  /** Sends `apdus` one behind the other, and waits for an answer. */
  ask(apdus: readonly Buffer[], client: number): void
  /**
   * More will come without a question; `isPart`: what has come is a part of the answer, so that the
   * wait begins again.
   */
  awaitMore(isPart: boolean): void
  /** Nothing is waited for any more. */
  rest(): void
  /** Takes leave of the meter; settles when that is done, or has taken long enough. */
  leave(): Promise<void>
  close(): void
}

/** @throws BrokerError DEVICE_UNREACHABLE */
export async function openLine(place: MeterPlace, events: LineEvents): Promise<MeterLine> {
  // There is no line before the carrier, and nothing comes before that.
  const opened: { line?: MeterLine & { receive(view: Buffer): void } } = {}
  const carrier = await openCarrier(
    place,
    (view) => {
      try {
        opened.line?.receive(view)
      } catch (fault) {
        events.failed(fault)
      }
    },
    events.closed,
  )
  opened.line =
    place.transport === 'hdlc'
      ? new HdlcLine(place, carrier, events)
      : new WrapperLine(place, carrier, events)
  return opened.line
}

function openCarrier(
  { host, port, transport }: MeterPlace,
  octets: (view: Buffer) => void,
  failed: (fault: BrokerError) => void,
): Promise<Carrier> {
  const unreachable = (why: string): BrokerError =>
    new BrokerError('DEVICE_UNREACHABLE', `${formatHostPort(host, port)}: ${why}`)
  return new Promise((resolve, reject) => {
    let isOpen = false
    const carrier = (transport === 'udp' ? dialUdp : dialTcp)(host, port, {
      opened() {
        isOpen = true
        callOff()
        resolve(carrier)
      },
      octets,
      closed(reason) {
        callOff()
        if (!isOpen) reject(unreachable(reason))
        // Over UDP the host says so when nobody listens there.
        else if (transport === 'udp') failed(unreachable(reason))
        else failed(new BrokerError('DEVICE_SILENT', reason))
      },
    })
    const callOff = systemClock.at(systemClock.now() + limits.wanConnectMsMax, () => {
      reject(unreachable(`no connection within ${limits.wanConnectMsMax} ms`))
      carrier.destroy()
    })
  })
}

/**
 * Parts of a wait for an answer over UDP: at the end of each but the last one it is reminded of
 * what may be lost.
 */
const waitParts = 4

/** The wrapper, over either. */
class WrapperLine implements MeterLine {
  private readonly place: MeterPlace
  private readonly carrier: Carrier
  private readonly events: LineEvents
  private readonly reader = new WrapperReader()
  private client = 0
  private callOff: () => void = () => undefined

  constructor(place: MeterPlace, carrier: Carrier, events: LineEvents) {
    this.place = place
    this.carrier = carrier
    this.events = events
  }

  ask(apdus: readonly Buffer[], client: number): void {
    this.client = client
    this.send(apdus)
    this.awaitMore(true)
  }

  private send(apdus: readonly Buffer[]): void {
    for (const apdu of apdus) {
      const frame = wrapInPlace(apdu, this.client, this.place.logicalDevice)
      this.events.trace('>', frame)
      this.carrier.write([frame])
    }
  }

  awaitMore(isPart: boolean): void {
    // A stream loses nothing.
    if (isPart && this.place.transport === 'udp') this.remindAt(1)
  }

  /**
   * Reminds the meter at the end of part `part` of the wait, and of those behind it; how long is
   * waited the session knows.
   */
  private remindAt(part: number): void {
    this.callOff()
    if (part === waitParts) return
    const partMs = this.place.answerMs / waitParts
    this.callOff = systemClock.at(systemClock.now() + partMs, () => {
      this.send(this.events.remind())
      this.remindAt(part + 1)
    })
  }

  rest(): void {
    this.callOff()
  }

  receive(view: Buffer): void {
    if (this.place.transport === 'udp') return this.receiveDatagram(view)
    this.reader.push(view)
    for (let frame = this.reader.next(); frame !== undefined; frame = this.reader.next())
      this.take(frame)
  }

  private receiveDatagram(view: Buffer): void {
    let frame: WrapperFrame
    try {
      frame = readWrapperDatagram(view)
    } catch (fault) {
      // One datagram says nothing of the next.
      if (!(fault instanceof BrokerError)) throw fault
      return this.events.trace('<', view)
    }
    this.take(frame)
  }

  private take({ source, destination, apduView }: WrapperFrame): void {
    const apdu = allocateApdu(apduView.length)
    apduView.copy(apdu)
    this.events.trace('<', wrapInPlace(apdu, source, destination))
    if (source !== this.place.logicalDevice) return
    this.events.heard(destination, apduView)
  }

  async leave(): Promise<void> {
    this.callOff()
  }

  close(): void {
    this.callOff()
    this.carrier.destroy()
  }
}

/** HDLC: a link with one client address at a time, opened when something is asked. */
class HdlcLine implements MeterLine {
  private readonly place: MeterPlace
  private readonly carrier: Carrier
  private readonly events: LineEvents
  private readonly reader = new HdlcReader()
  private link: { client: number; hdlc: HdlcClient } | undefined
  private opening: ModeEHandshake | undefined
  private waiting: readonly Buffer[] = []
  private callOff: () => void = () => undefined
  private onLeft: () => void = () => undefined

  constructor(place: MeterPlace, carrier: Carrier, events: LineEvents) {
    this.place = place
    this.carrier = carrier
    this.events = events
  }

  ask(apdus: readonly Buffer[], client: number): void {
    const { server, hdlc: quirks, answerMs } = this.place
    const open = this.link?.client === client ? this.link.hdlc : undefined
    if (open !== undefined && open.state !== 'DISCONNECTED') this.send(open, apdus)
    else {
      const ends = { client: hdlcAddress(client, undefined, 1), server }
      const responseMs = Math.min(answerMs, limits.hdlcResponseMs)
      const hdlc = new HdlcClient({ ...ends, ...quirks, answerMs, responseMs })
      this.link = { client, hdlc }
      this.waiting = apdus
      const { modeE } = this.place
      if (modeE === undefined) hdlc.connect(systemClock.elapsedMs())
      else {
        this.opening = new ModeEHandshake(modeE)
        this.opening.begin(systemClock.elapsedMs())
      }
    }
    this.work()
  }

  /** Goes on with the opening in mode E; true while it is not done. */
  private isOpening(hdlc: HdlcClient): boolean {
    const now = systemClock.elapsedMs()
    for (let step = this.opening?.next(now); step; step = this.opening?.next(now)) {
      if ('send' in step) {
        this.events.trace('>', step.send)
        this.carrier.write([step.send])
      } else {
        this.opening = undefined
        hdlc.connect(now)
        if (step.rest.length > 0) hdlc.receive(step.rest, now)
      }
    }
    return this.opening !== undefined
  }

  private send(hdlc: HdlcClient, apdus: readonly Buffer[]): void {
    for (const [index, apdu] of apdus.entries())
      hdlc.send(apdu, systemClock.elapsedMs(), { wantsAnswer: index === apdus.length - 1 })
  }

  rest(): void {}

  awaitMore(): void {
    const hdlc = this.link?.hdlc
    if (hdlc?.state === 'IDLE') hdlc.poll(systemClock.elapsedMs())
    this.work()
  }

  receive(view: Buffer): void {
    this.events.trace('<', view)
    if (this.opening !== undefined) {
      this.opening.receive(view, systemClock.elapsedMs())
      return this.work()
    }
    this.reader.push(view)
    for (let frame = this.reader.next(); frame !== undefined; frame = this.reader.next()) {
      const { hdlc } = this.link ?? {}
      const segments = hdlc?.segmentsReceived
      hdlc?.take(frame, systemClock.elapsedMs())
      if (hdlc?.segmentsReceived !== segments) this.events.progressed()
      this.work()
    }
  }

  /** Does what the link asks for, and comes back when it wants that. */
  private work(): void {
    const { link } = this
    if (link === undefined) return
    const { hdlc, client } = link
    if (this.isOpening(hdlc)) return this.comeBack(this.opening?.actAtMs)
    for (
      let step = hdlc.next(systemClock.elapsedMs());
      step !== undefined;
      step = hdlc.next(systemClock.elapsedMs())
    ) {
      if ('send' in step) {
        this.events.trace('>', step.send)
        this.carrier.write([step.send])
      } else if ('connected' in step) {
        const { waiting } = this
        this.waiting = []
        this.send(hdlc, waiting)
      } else if ('apdu' in step) this.events.heard(client, step.apdu)
      else if ('unconfirmed' in step) this.events.heard(step.destination.upper, step.unconfirmed)
      else {
        this.onLeft()
        if (step.disconnected !== 'OK')
          this.events.failed(new BrokerError(step.disconnected, step.detail))
      }
    }
    this.comeBack(this.link === link ? hdlc.actAtMs : undefined)
  }

  private comeBack(actAtMs: number | undefined): void {
    this.callOff()
    if (actAtMs === undefined) return
    const waitMs = Math.ceil(actAtMs - systemClock.elapsedMs())
    this.callOff = systemClock.at(systemClock.now() + waitMs, () => {
      try {
        this.work()
      } catch (fault) {
        this.opening = undefined
        this.events.failed(fault)
      }
    })
  }

  leave(): Promise<void> {
    const hdlc = this.link?.hdlc
    if (hdlc === undefined || hdlc.state === 'DISCONNECTED') return Promise.resolve()
    return new Promise((resolve) => {
      const callOff = systemClock.at(systemClock.now() + limits.wanReleaseMsMax, () =>
        this.onLeft(),
      )
      this.onLeft = () => {
        callOff()
        this.onLeft = () => undefined
        this.link = undefined
        resolve()
      }
      hdlc.disconnect(systemClock.elapsedMs())
      this.work()
    })
  }

  close(): void {
    this.callOff()
    this.link = undefined
    this.carrier.destroy()
  }
}
