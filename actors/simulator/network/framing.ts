/**
 * How APDUs lie in the octets that simulated meters take and give: in the wrapper over TCP, one in
 * each datagram over UDP, or in HDLC as behind a serial server. Meters are told apart by numbers:
 * wrapper ports, or upper and lower HDLC address as one.
 */
import { hdlcAddress, type HdlcAddress } from '../../../core/dlms/framing/hdlc/address.ts'
import { HdlcServer } from '../../../core/dlms/framing/hdlc/server.ts'
import type { HdlcServerLink } from '../../../core/dlms/framing/hdlc/server-link.ts'
import {
  readWrapperDatagram,
  wrapInPlace,
  wrapperHeaderBytes,
  WrapperReader,
  writeWrapperHeader,
  type WrapperFrame,
} from '../../../core/dlms/framing/wrapper.ts'

export interface MeterFraming {
  /** Takes octets, borrowed until the next call; `next` must have given undefined before. */
  take(octetsView: Buffer): void
  /** The next APDU for a meter, or undefined. @throws BrokerError when the octets make no sense */
  next(): WrapperFrame | undefined
  /** What goes out for `apdu`, each buffer as one piece; empty when it cannot go now. */
  frame(apdu: Buffer, device: number, client: number): Buffer[]
  /** A frame without an APDU; none where that means nothing. */
  empty(device: number, client: number): Buffer[]
  /** What is to be sent beside answers. */
  readonly own: Buffer[]
}

/** The wrapper over TCP. */
export class WrapperFraming implements MeterFraming {
  readonly own: Buffer[] = []
  private readonly reader = new WrapperReader()

  take(octetsView: Buffer): void {
    this.reader.push(octetsView)
  }

  next(): WrapperFrame | undefined {
    return this.reader.next()
  }

  frame(apdu: Buffer, device: number, client: number): Buffer[] {
    return [wrapInPlace(apdu, device, client)]
  }

  empty(device: number, client: number): Buffer[] {
    return [emptyFrame(device, client)]
  }
}

/** A wrapper frame of length 0. */
function emptyFrame(device: number, client: number): Buffer {
  const frame = Buffer.alloc(wrapperHeaderBytes)
  writeWrapperHeader(frame, 0, device, client, 1)
  frame.writeUInt16BE(0, 6)
  return frame
}

/** The wrapper over UDP: a datagram is a frame. */
export class DatagramFraming implements MeterFraming {
  readonly own: Buffer[] = []
  private datagram: Buffer | undefined

  take(octetsView: Buffer): void {
    this.datagram = octetsView
  }

  next(): WrapperFrame | undefined {
    const { datagram } = this
    this.datagram = undefined
    return datagram && readWrapperDatagram(datagram)
  }

  frame(apdu: Buffer, device: number, client: number): Buffer[] {
    return [wrapInPlace(apdu, device, client)]
  }

  empty(device: number, client: number): Buffer[] {
    return [emptyFrame(device, client)]
  }
}

/** Upper address of every simulated meter on an HDLC line: its management logical device. */
const upperAddress = 1
/** Lower addresses below are reserved. [IEC 62056-46, 6.4.2.4] */
const lowerAddressMin = 16
const upperFactor = 128
/** Lower addresses of a line in two octets, without the reserved ones at the end. */
export const hdlcMetersMax = 125 - lowerAddressMin

/** The number of meter `index` on an HDLC line, as device records have it. */
export const hdlcDeviceOf = (index: number): number =>
  upperAddress * upperFactor + lowerAddressMin + index
/** The logical device there: a meter on an HDLC line is a physical device with one of its own. */
export const hdlcSapOf = (device: number): number => Math.floor(device / upperFactor)
/** Which meter on the line that is, from 1 on as wrapper ports are. */
export const hdlcPlaceOf = (device: number): number => (device % upperFactor) - lowerAddressMin + 1

/** HDLC: a line with `count` meters. */
export class HdlcFraming implements MeterFraming {
  readonly own: Buffer[] = []
  private readonly server: HdlcServer
  private readonly links = new Map<number, HdlcServerLink>()
  private readonly nowMs: () => number

  /**
   * @param llcOf of the meter at a place, 1 and up: the LLC octets of what it sends; E6 E7 00 when
   * left out
   */
  constructor(count: number, nowMs: () => number, llcOf?: (place: number) => Buffer) {
    this.nowMs = nowMs
    this.server = new HdlcServer({
      servers: Array.from({ length: count }, (_, i) =>
        hdlcAddress(upperAddress, lowerAddressMin + i, 2),
      ),
      inactivityMs: 0,
      ...(llcOf && {
        llcOf: ({ upper, lower = 0 }: HdlcAddress) =>
          llcOf(hdlcPlaceOf(upper * upperFactor + lower)),
      }),
    })
  }

  /** Links that are open. */
  get linkCount(): number {
    return this.server.linkCount
  }

  take(octetsView: Buffer): void {
    this.server.receive(octetsView)
  }

  next(): WrapperFrame | undefined {
    for (;;) {
      const next = this.server.next(this.nowMs())
      if (next === undefined) return undefined
      const { link, step } = next
      if ('send' in step) this.own.push(step.send)
      else if ('apdu' in step && link !== undefined) {
        const { upper, lower = 0 } = link.server
        const destination = upper * upperFactor + lower
        this.links.set(keyOf(destination, link.client.upper), link)
        return { source: link.client.upper, destination, apduView: step.apdu }
      }
    }
  }

  frame(apdu: Buffer, device: number, client: number): Buffer[] {
    // What it has to say at once comes as a step, with what the link sends by itself.
    this.links.get(keyOf(device, client))?.send(apdu)
    return []
  }

  empty(): Buffer[] {
    return []
  }
}

const keyOf = (device: number, client: number): number => device * 0x1_0000 + client
