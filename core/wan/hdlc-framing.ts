/**
 * HDLC on a line behind a serial server: several devices, each with an HDLC link of its own, one of them asked at one time. Links stay
 * open between exchanges and are closed when nobody has used them for a while. Also what devices say outside of links (UI frames).
 * [IEC 62056-46]
 */
import { BrokerError } from '../base/broker-error.ts'
import { limits } from '../base/limits.ts'
import type { DeviceProfile } from '../catalogue/device-profiles.ts'
import { hdlcAddress, type HdlcAddress } from '../dlms/hdlc/address.ts'
import { HdlcClient } from '../dlms/hdlc/client.ts'
import { HdlcReader } from '../dlms/hdlc/reader.ts'
import { SegmentGatherer } from '../dlms/hdlc/transfer.ts'
import type { DeviceAddress } from '../ports/wan.ts'
import type { Framing, FramingEvents } from './framing.ts'

// Seven bits, or fourteen where an address has four octets, of the lower part.
const narrowFactor = 128
const wideFactor = 16_384

/**
 * The address that `number` means: an upper one alone below 128; else upper and lower part, upper × 128 + lower, and upper × 16384 +
 * lower from 16384 on or where it is written in four octets.
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
  /** APDUs that wait for the link to open. */
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
  /** Whose turn it is: octets are for it. */
  private active: Station | undefined
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
    const station = this.stations.get(key)
    if (station !== undefined) return isOpen(station.hdlc)
    const hdlc = this.clientFor(address, profile)
    this.stations.set(key, { device: logicalDevice, client, hdlc, waiting: [] })
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
    const station = this.stations.get(keyOf(device, client))!
    this.active = station
    const { hdlc } = station
    if (isOpen(hdlc)) hdlc.send(apdu, nowMs, { wantsAnswer: isLast })
    else {
      station.waiting.push({ apdu, isLast })
      // One that is being closed is opened again when that is done.
      if (hdlc.state === 'DISCONNECTED') hdlc.connect(nowMs)
    }
    this.work(station, nowMs)
  }

  awaitMore(device: number, client: number, nowMs: number): void {
    const station = this.stations.get(keyOf(device, client))
    if (station?.hdlc.state !== 'IDLE') return
    station.hdlc.poll(nowMs)
    this.work(station, nowMs)
  }

  receive(view: Buffer, nowMs: number): void {
    const { active } = this
    if (active !== undefined) {
      active.hdlc.receive(view, nowMs)
      return this.work(active, nowMs)
    }
    this.reader.push(view)
    for (let frame = this.reader.next(); frame !== undefined; frame = this.reader.next()) {
      if (frame.kind !== 'UI') continue
      const apdu = this.unconfirmed.addUnordered(frame.informationView, frame.isSegmented)
      if (apdu !== undefined && apdu !== 'TOO_LONG')
        this.events.unasked(numberOfHdlc(frame.source), frame.destination.upper, apdu)
    }
  }

  onTime(nowMs: number): void {
    for (const station of this.stations.values())
      if ((station.hdlc.actAtMs ?? Infinity) <= nowMs) this.work(station, nowMs)
  }

  leave(nowMs: number): void {
    for (const station of this.stations.values()) {
      station.hdlc.disconnect(nowMs)
      for (let step = station.hdlc.next(nowMs); step; step = station.hdlc.next(nowMs))
        if ('send' in step) this.events.write(step.send)
    }
    this.stations.clear()
    this.active = undefined
  }

  private work(station: Station, nowMs: number): void {
    const { hdlc, device, client } = station
    for (let step = hdlc.next(nowMs); step !== undefined; step = hdlc.next(nowMs)) {
      if ('send' in step) this.events.write(step.send)
      else if ('connected' in step) {
        for (const { apdu, isLast } of station.waiting.splice(0))
          hdlc.send(apdu, nowMs, { wantsAnswer: isLast })
      } else if ('apdu' in step) {
        if (!this.events.apdu(device, client, step.apdu)) return
      } else if ('unconfirmed' in step)
        this.events.unasked(numberOfHdlc(step.source), step.destination.upper, step.unconfirmed)
      else if (step.disconnected === 'OK' && station.waiting.length > 0) hdlc.connect(nowMs)
      else {
        station.waiting = []
        this.events.lost(device, client, step.disconnected, step.detail ?? 'the link is closed')
      }
    }
  }
}

const isOpen = ({ state }: HdlcClient): boolean =>
  state === 'IDLE' || state === 'SENDING' || state === 'WAITING'

function addressesOf(device: number, client: number, octets: 1 | 2 | 4 | undefined) {
  try {
    return { client: hdlcAddress(client, undefined, 1), server: hdlcAddressOf(device, octets) }
  } catch (cause) {
    const detail = `no HDLC address: device ${device}, client ${client}`
    throw new BrokerError('DEVICE_RECORD_MALFORMED', detail, { cause })
  }
}

const keyOf = (device: number, client: number): number => device * 0x1_0000 + client
