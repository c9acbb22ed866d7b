/**
 * HDLC on a line behind a serial server: several devices, each with an HDLC link of its own, one of
 * them asked at one time. Links stay open between exchanges and are closed when nobody has used
 * them for a while. A device that wants it is opened in mode E first. Also what devices say outside
 * of links (UI frames).
 * [IEC 62056-46]
 */
import { BrokerError } from '../../base/broker-error.ts'
import { limits } from '../../base/limits.ts'
import type { DeviceProfile } from '../../inventory/device-profiles.ts'
import { hdlcAddress, type HdlcAddress } from '../../dlms/framing/hdlc/address.ts'
import { HdlcClient } from '../../dlms/framing/hdlc/client.ts'
import type { HdlcStep } from '../../dlms/framing/hdlc/link-state.ts'
import { HdlcReader } from '../../dlms/framing/hdlc/reader.ts'
import { ModeEHandshake, type ModeEOptions } from '../../dlms/framing/mode-e.ts'
import {
  encodeUnconfirmed,
  llcToServer,
  SegmentGatherer,
} from '../../dlms/framing/hdlc/transfer.ts'
import type { DeviceAddress } from '../../ports/wan.ts'
import { keyOf } from './association.ts'
import type { Answer, Framing, FramingEvents } from './framing.ts'

// Seven bits, or fourteen where an address has four octets, of the lower part.
const narrowFactor = 128
const wideFactor = 16_384

/**
 * The address that `number` means: an upper one alone below 128; else upper and lower part, upper ×
 * 128 + lower, and upper × 16384 + lower from 16384 on or where it is written in four octets.
 */
export function hdlcAddressOf(number: number, octets?: 1 | 2 | 4): HdlcAddress {
  const isWide = octets === 4 || (octets === undefined && number >= wideFactor)
  const factor = isWide ? wideFactor : narrowFactor
  const upper = Math.floor(number / factor)
  const lower = number % factor
  if (upper === 0) return hdlcAddress(lower, undefined, octets)
  return hdlcAddress(upper, lower, isWide ? 4 : octets)
}

/** The other way round, for addresses that come. */
export const numberOfHdlc = ({ upper, lower = 0, octets }: HdlcAddress): number =>
  octets === 1 ? upper : upper * (octets === 4 ? wideFactor : narrowFactor) + lower

type Station = {
  device: number
  client: number
  hdlc: HdlcClient
  /** How its line is opened before HDLC is spoken, and the opening that is under way. */
  modeE: ModeEOptions | undefined
  opening: ModeEHandshake | undefined
  /** APDUs that wait for the link to open, or for the line to be free. */
  waiting: Array<{ apdu: Buffer; isLast: boolean }>
}

export type HdlcFramingOptions = { apduBytesMax: number; responseMs: number }

export class HdlcFraming implements Framing {
  readonly exchangesMax = 1
  readonly keepsTime = true
  readonly endsAssociations = true
  private readonly events: FramingEvents
  private readonly options: HdlcFramingOptions
  private readonly stations = new Map<number, Station>()
  /** Whose turn it is on the line: octets are for it. */
  private active: Station | undefined
  /** Who was asked last, and gets the turn when the line is free. */
  private asked: Station | undefined
  private isWorking = false
  /** Without anybody whose turn it is. */
  private readonly reader = new HdlcReader()
  private readonly unconfirmed: SegmentGatherer

  constructor(events: FramingEvents, options: HdlcFramingOptions) {
    this.events = events
    this.options = options
    this.unconfirmed = new SegmentGatherer(options.apduBytesMax)
  }

  admit(address: DeviceAddress, profile: DeviceProfile): boolean {
    const { logicalDevice, client } = address
    const key = keyOf(logicalDevice, client)
    const { hdlc: known } = this.stations.get(key) ?? {}
    // Anew where it is closed: the profile may have been corrected since.
    if (known !== undefined && known.state !== 'DISCONNECTED') return isOpen(known)
    const hdlc = this.clientFor(address, profile)
    const modeE = modeEOf(address, profile)
    this.stations.set(key, {
      device: logicalDevice,
      client,
      hdlc,
      modeE,
      opening: undefined,
      waiting: [],
    })
    return false
  }

  private clientFor(
    { logicalDevice, client }: DeviceAddress,
    { hdlc = {} }: DeviceProfile,
  ): HdlcClient {
    const { addressOctets, proposal, parameters, receiveNumbers } = hdlc
    const { apduBytesMax, responseMs } = this.options
    return new HdlcClient({
      ...addressesOf(logicalDevice, client, addressOctets),
      ...(proposal && { proposal }),
      ...(parameters && { parameters }),
      ...(receiveNumbers && { receiveNumbers }),
      apduBytesMax,
      answerMs: responseMs,
      responseMs: Math.min(responseMs, limits.hdlcResponseMs),
      inactivityMs: limits.wanHdlcIdleMs,
    })
  }

  send(apdu: Buffer, device: number, client: number, nowMs: number, isLast: boolean): void {
    this.asked = this.stations.get(keyOf(device, client))!
    this.asked.waiting.push({ apdu, isLast })
    this.work(nowMs)
  }

  /** In the order of a link nothing is said unless it is asked. */
  answerTo(): Answer {
    return () => undefined
  }

  private onUnconfirmed(source: HdlcAddress, destination: HdlcAddress, apdu: Buffer): void {
    const ends = { local: destination, remote: source }
    this.events.unsolicited(numberOfHdlc(source), destination.upper, apdu, (answer) => {
      // Between two conversations on the line.
      if (!isBusy(this.active)) this.events.write(encodeUnconfirmed(ends, llcToServer, answer))
    })
  }

  awaitMore(device: number, client: number, nowMs: number): void {
    const station = this.stations.get(keyOf(device, client))
    if (station?.hdlc.state !== 'IDLE') return
    station.hdlc.poll(nowMs)
    this.work(nowMs)
  }

  receive(view: Buffer, nowMs: number): void {
    const { active } = this
    if (active !== undefined) {
      if (active.opening !== undefined)
        this.guardOpening(active, () => active.opening!.receive(view, nowMs))
      else active.hdlc.receive(view, nowMs)
      return this.work(nowMs)
    }
    this.reader.push(view)
    for (let frame = this.reader.next(); frame !== undefined; frame = this.reader.next()) {
      if (frame.kind !== 'UI') continue
      const apdu = this.unconfirmed.addUnordered(frame.informationView, frame.isSegmented)
      if (apdu === 'TOO_LONG')
        this.events.dropped('DLMS_SIZE_EXCEEDED', frame.informationView.length)
      else if (apdu !== undefined) this.onUnconfirmed(frame.source, frame.destination, apdu)
    }
  }

  onTime(nowMs: number): void {
    // A link that was idle for too long is closed when nobody else is being asked: the line carries
    // one conversation.
    if (!isBusy(this.active)) this.active = this.firstDue(nowMs) ?? this.active
    if (this.active !== undefined) this.work(nowMs)
  }

  private firstDue(nowMs: number): Station | undefined {
    for (const station of this.stations.values())
      if (((station.opening ?? station.hdlc).actAtMs ?? Infinity) <= nowMs) return station
    return undefined
  }

  leaveDevice(device: number, client: number, nowMs: number): void {
    const station = this.stations.get(keyOf(device, client))
    if (station === undefined) return
    station.hdlc.disconnect(nowMs)
    this.active = station
    this.work(nowMs)
  }

  leave(nowMs: number): void {
    for (const station of this.stations.values()) {
      station.hdlc.disconnect(nowMs)
      for (let step = station.hdlc.next(nowMs); step; step = station.hdlc.next(nowMs))
        if ('send' in step) this.events.write(step.send)
    }
    this.stations.clear()
    this.active = this.asked = undefined
  }

  // What comes may be the reason to ask the next question: that is seen to by the call that is at
  // work.
  private work(nowMs: number): void {
    if (this.isWorking) return
    this.isWorking = true
    try {
      do {
        const { active } = this
        if (active?.opening !== undefined) this.openInModeE(active, nowMs)
        if (active?.opening !== undefined) continue
        let step = active?.hdlc.next(nowMs)
        for (; step !== undefined; step = active!.hdlc.next(nowMs))
          if (!this.take(active!, step)) return
      } while (this.giveTurn(nowMs))
    } finally {
      this.isWorking = false
    }
  }

  /** Goes on with the opening of a line; HDLC is spoken once it is done. */
  private openInModeE(station: Station, nowMs: number): void {
    this.guardOpening(station, () => {
      for (let step = station.opening?.next(nowMs); step; step = station.opening?.next(nowMs)) {
        if ('send' in step) this.events.write(step.send)
        else {
          station.opening = undefined
          station.hdlc.connect(nowMs)
          if (step.rest.length > 0) station.hdlc.receive(step.rest, nowMs)
        }
      }
    })
  }

  /** An opening that fails concerns its device alone. */
  private guardOpening(station: Station, work: () => void): void {
    try {
      work()
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      station.opening = undefined
      station.waiting = []
      this.events.lost(station.device, station.client, fault.code, fault.detail ?? 'mode E')
    }
  }

  /** Does what a step says; false when the link is gone by it. */
  private take(station: Station, step: HdlcStep): boolean {
    const { device, client } = station
    if ('send' in step) this.events.write(step.send)
    else if ('apdu' in step) return this.events.apdu(device, client, step.apdu)
    else if ('unconfirmed' in step)
      this.onUnconfirmed(step.source, step.destination, step.unconfirmed)
    else if ('disconnected' in step) {
      // It was closed on purpose, and is opened again for what waits.
      if (step.disconnected === 'OK' && station.waiting.length > 0) return true
      station.waiting = []
      this.events.lost(device, client, step.disconnected, step.detail ?? 'the link is closed')
    }
    return true
  }

  /**
   * Lets the station that was asked go on, when the line is free for it and something waits; true
   * when it has to be worked for.
   */
  private giveTurn(nowMs: number): boolean {
    const { asked, active } = this
    if (asked === undefined || asked.waiting.length === 0) return false
    if (active !== asked && isBusy(active)) return false
    this.active = asked
    const { hdlc } = asked
    if (isOpen(hdlc))
      for (const { apdu, isLast } of asked.waiting.splice(0))
        hdlc.send(apdu, nowMs, { wantsAnswer: isLast })
    else if (hdlc.state !== 'DISCONNECTED' || asked.opening !== undefined) return false
    else if (asked.modeE === undefined) hdlc.connect(nowMs)
    else {
      asked.opening = new ModeEHandshake(asked.modeE)
      asked.opening.begin(nowMs)
    }
    return true
  }
}

const isOpen = ({ state }: HdlcClient): boolean =>
  state === 'IDLE' || state === 'SENDING' || state === 'WAITING'

/** In a conversation, which nobody else may disturb. */
const isBusy = (station: Station | undefined): boolean =>
  station !== undefined &&
  (station.opening !== undefined ||
    (station.hdlc.state !== 'IDLE' && station.hdlc.state !== 'DISCONNECTED'))

/**
 * How the line of a device is opened: as its record says, else its profile; undefined when HDLC is
 * spoken at once.
 */
export function modeEOf(
  { modeE }: Pick<DeviceAddress, 'modeE'>,
  profile: Pick<DeviceProfile, 'modeE'>,
): ModeEOptions | undefined {
  if (modeE === undefined) return profile.modeE === true ? {} : undefined
  const { deviceAddress, baudMax } = modeE
  return {
    ...(deviceAddress !== undefined && { deviceAddress }),
    ...(baudMax !== undefined && { baudMax }),
  }
}

function addressesOf(device: number, client: number, octets: 1 | 2 | 4 | undefined) {
  try {
    return { client: hdlcAddress(client, undefined, 1), server: hdlcAddressOf(device, octets) }
  } catch (cause) {
    const detail = `no HDLC address: device ${device}, client ${client}`
    throw new BrokerError('DEVICE_RECORD_MALFORMED', detail, { cause })
  }
}
