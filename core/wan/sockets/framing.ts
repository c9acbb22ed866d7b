/**
 * How APDUs lie in the octets of a link: in the wrapper, as a stream or one in each datagram [IEC
 * 62056-4-7], or in HDLC (hdlc-framing.ts). Devices are told apart by numbers as device records
 * have them.
 */
import { BrokerError } from '../../base/broker-error.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import type { DeviceProfile } from '../../inventory/device-profiles.ts'
import {
  readWrapperDatagram,
  wrapInPlace,
  WrapperReader,
  type WrapperFrame,
} from '../../dlms/framing/wrapper.ts'
import type { DeviceAddress } from '../../ports/wan.ts'

/**
 * Sends an APDU, owned and with the wrapper's spare octets in front, that wants no answer itself;
 * not at all while it would disturb somebody.
 */
export type Answer = (apdu: Buffer) => void

/** What a framing tells its link. */
export type FramingEvents = {
  /** An APDU has come, borrowed for the call; false when the link is gone by it. */
  apdu(device: number, client: number, apduView: Buffer): boolean
  /**
   * An APDU that is outside any question, borrowed for the call, and how to answer where it came
   * from.
   */
  unsolicited(device: number, client: number, apduView: Buffer, answer: Answer): void
  /**
   * The way to this device on the link is gone, with its association. OK: nothing was under way.
   */
  lost(device: number, client: number, code: ErrorCode, detail: string): void
  /** What came was nothing, and has been dropped: so many octets. */
  dropped(code: ErrorCode, bytes: number): void
  /** Octets that go out. */
  write(piece: Buffer): void
}

export interface Framing {
  /** Exchanges that may be under way at one time. */
  readonly exchangesMax: number
  /** True when it finds out by itself that no answer comes, by `onTime`. */
  readonly keepsTime: boolean
  /**
   * True when an association ends with the way to its device, by `leave`, so that nothing is to be
   * released.
   */
  readonly endsAssociations: boolean
  /**
   * Takes octets, borrowed for the call. @throws BrokerError when there are no boundaries in them
   * any more
   */
  receive(view: Buffer, nowMs: number): void
  /** Sends to a device that was `admitted`; `isLast`: no further APDU follows before an answer. */
  send(apdu: Buffer, device: number, client: number, nowMs: number, isLast: boolean): void
  /** How to answer an unsolicited message that came by `apdu`. */
  answerTo(device: number, client: number): Answer
  /**
   * To be called before the first `send` of an exchange; false when the way to the device is not
   * open, and so no association can be.
   * @throws BrokerError DEVICE_RECORD_MALFORMED when there is no address that could be written
   */
  admit(address: DeviceAddress, profile: DeviceProfile): boolean
  /**
   * Closes the way to one client of a device, where that `endsAssociations`: `lost` follows, with
   * OK when it was closed in order.
   */
  leaveDevice(device: number, client: number, nowMs: number): void
  /** The device has more to say to what was asked. */
  awaitMore(device: number, client: number, nowMs: number): void
  /** Does what is due; called every now and then. */
  onTime(nowMs: number): void
  /** Takes leave, before the octets' way is closed. */
  leave(nowMs: number): void
}

const nothing = (): void => {}
const always = (): boolean => true

type FramingOptions = { apduBytesMax: number; exchangesMax: number }

/** The wrapper over either: an APDU goes out behind a header, and the link has nothing to keep. */
abstract class Wrapping implements Framing {
  readonly keepsTime = false
  readonly endsAssociations = false
  readonly exchangesMax: number
  readonly admit = always
  readonly leaveDevice = nothing
  readonly awaitMore = nothing
  readonly onTime = nothing
  readonly leave = nothing
  protected readonly events: FramingEvents

  constructor(events: FramingEvents, { exchangesMax }: FramingOptions) {
    this.events = events
    this.exchangesMax = exchangesMax
  }

  abstract receive(view: Buffer): void

  send(apdu: Buffer, device: number, client: number): void {
    this.events.write(wrapInPlace(apdu, client, device))
  }

  answerTo(device: number, client: number): Answer {
    return (apdu) => this.send(apdu, device, client)
  }
}

/** The wrapper over TCP. */
export class WrapperFraming extends Wrapping {
  private readonly reader: WrapperReader

  constructor(events: FramingEvents, options: FramingOptions) {
    super(events, options)
    this.reader = new WrapperReader(options)
  }

  receive(view: Buffer): void {
    const { reader, events } = this
    reader.push(view)
    for (let frame = reader.next(); frame; frame = reader.next())
      // A frame may be the reason to cut the link; what follows it is of no use then.
      if (!events.apdu(frame.source, frame.destination, frame.apduView)) return
  }
}

/** The wrapper over UDP: one frame in each datagram. */
export class DatagramFraming extends Wrapping {
  private readonly apduBytesMax: number

  constructor(events: FramingEvents, options: FramingOptions) {
    super(events, options)
    this.apduBytesMax = options.apduBytesMax
  }

  receive(view: Buffer): void {
    let frame: WrapperFrame
    try {
      frame = readWrapperDatagram(view, this.apduBytesMax)
    } catch (fault) {
      // One datagram says nothing of the next.
      if (!(fault instanceof BrokerError)) throw fault
      return this.events.dropped(fault.code, view.length)
    }
    this.events.apdu(frame.source, frame.destination, frame.apduView)
  }
}
