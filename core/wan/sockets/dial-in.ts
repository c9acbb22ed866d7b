/**
 * Devices that connect to us: a door for TCP connections and datagrams. A connection says who it is
 * before anything is asked of it: by an identification, by a notification, or by the address that
 * it comes from; core/dlms/unsolicited/push.ts tells these apart. From then on it is a link like
 * any other, the pool's. Station 10 of the way of one message, and station 9 for devices that we
 * cannot reach.
 *
 * A name is a claim that nothing proves, so that of two connections with one first name the newer
 * holds: a device that comes back looks the same as somebody who pretends to be it. Unless the
 * older one is proven, because the device has answered a question on it: then the newer one waits
 * until the older one fails (contenders.ts). What is known of a device beside its first name
 * (others in its notification, the address) is believed only while no connected device has it. When
 * there is no room, connections that are not proven make way, the oldest first. What a pretender
 * gets depends on the association that a device record asks for:
 *
 *   without keys or secret    every question that is asked, with what is written; its answers are believed, and prove its connection
 *   a low-level secret        that secret too, in the clear: it can then be the client towards the true device
 *   high-level, no ciphering  the questions; no secret, but nothing that protects the answers either once it relays the proofs
 *   a suite with protection   ciphered octets, which client and which device; it answers nothing and has counters used up
 *
 * So devices that dial in want a suite with protection, or a network in which nobody but them
 * reaches the door. Two devices behind one address cannot be told apart by it: such ones must say
 * names.
 */
import { createSocket, type RemoteInfo, type Socket as DatagramSocket } from 'node:dgram'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { BrokerError } from '../../base/broker-error.ts'
import { copyOf, emptyBytes } from '../../base/bytes.ts'
import { ConnectionPlaces } from '../../base/connection-places.ts'
import { addressKey } from '../../base/connections-per-address.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import { ApduTag } from '../../dlms/apdu/constants.ts'
import type { GeneralBlockStep } from '../../dlms/transfer/general-blocks.ts'
import {
  answerFrame,
  aroundOf,
  classifyPush,
  isUnaskedApdu,
  type Push,
} from '../../dlms/unsolicited/push.ts'
import { emptyFramesBytes } from '../../dlms/framing/wrapper.ts'
import { PushBlocks } from '../../dlms/unsolicited/push-blocks.ts'
import { readPushPayload } from '../../dlms/unsolicited/push-payload.ts'
import type { DevicePush } from '../../ports/wan.ts'
import { keepAlive, type CarrierEvents } from './carrier.ts'
import { namesIn, namesInApdu } from '../pushes/push-names.ts'
import { confirmationIn } from './unsolicited.ts'

/**
 * Who has connected: how it speaks, what it is called, and what of its octets is not dealt with.
 */
export type Announcement = {
  framing: 'wrapper' | 'hdlc' | 'mbus'
  names: string[]
  /** For the framing. Owned. */
  rest: Buffer
  /** True behind a name, the end of whose line may still come. */
  isNamed: boolean
  /** What it has said that is in no frame. */
  pushes: Pick<DevicePush, 'apduBytes' | 'alarmBytes'>[]
}

export type DialInEvents = {
  /** The socket is the receiver's from here on. */
  connected(socket: Socket, announcement: Announcement): void
  pushed(push: DevicePush): void
  /** True when there is something to ask of a device at this address. */
  isAwaited(name: string): boolean
  /** What came said nothing that could be understood; `bytes` octets, where that is known. */
  refused(code: ErrorCode, bytes?: number): void
}

export type DialInOptions = {
  host: string
  /** 0: any. The same for connections and datagrams. */
  port: number
  apduBytesMax: number
  /** Connections, named or not; and of one address those that have not proved themselves. */
  connectionsMax?: number
  perAddressMax?: number
  nowMs: () => number
}

type Newcomer = {
  /** Room that grows, of which `bytes` are what has come. */
  octets: Buffer
  bytes: number
  sinceMs: number
  heardMs: number
  forget: () => void
}

export class DialIn {
  private readonly options: DialInOptions
  private readonly events: DialInEvents
  private readonly newcomers = new Map<Socket, Newcomer>()
  private server: Server | undefined
  private datagrams: DatagramSocket | undefined
  private opening: Promise<number> | undefined
  private readonly blocks = new PushBlocks<string>({ bytesMax: limits.pushBytesMax })
  private datagramCount = 0
  private datagramsSinceMs = 0
  /** Datagrams taken since then, by address: no more entries than datagrams that are taken. */
  private readonly datagramsOf = new Map<string, number>()
  private readonly places: ConnectionPlaces<Socket>
  /** Octets of connections that have not said who they are. */
  private unknownBytes = 0

  constructor(options: DialInOptions, events: DialInEvents) {
    this.options = options
    this.events = events
    const connectionsMax = options.connectionsMax ?? limits.wanConnectionsMax
    this.places = new ConnectionPlaces({
      connectionsMax,
      perAddressMax: connectionsMax,
      unprovenMax: connectionsMax,
      unprovenPerAddressMax: options.perAddressMax ?? limits.dialInPerAddressMax,
    })
  }

  /** Settles with the port when it listens. @throws BrokerError DIAL_IN_LISTEN_FAILED */
  listen(): Promise<number> {
    this.opening = this.open()
    return this.opening
  }

  private async open(): Promise<number> {
    const { host } = this.options
    const options = { noDelay: true, ...keepAlive }
    const server = createServer(options, (socket) => this.onConnection(socket))
    this.server = server
    try {
      await listening(server, () => server.listen({ host, port: this.options.port }))
      const { port } = server.address() as AddressInfo
      const datagrams = createSocket(host.includes(':') ? 'udp6' : 'udp4')
      this.datagrams = datagrams
      datagrams.on('message', (datagram, remote) => this.onDatagram(datagram, remote))
      await listening(datagrams, () => datagrams.bind({ address: host, port }))
      return port
    } catch (cause) {
      await this.shut()
      const { message } = cause as Error
      throw new BrokerError('DIAL_IN_LISTEN_FAILED', message, { cause })
    }
  }

  /** Connections that have not said who they are. */
  get unknownCount(): number {
    return this.newcomers.size
  }

  /**
   * A device behind this connection has answered a question: the connection makes way for no other.
   */
  prove(socket: Socket): void {
    this.places.prove(socket)
  }

  isProven(socket: Socket): boolean {
    return this.places.isProven(socket)
  }

  /** Takes a place for the connection, also that of another one that has proved nothing. */
  private admit(socket: Socket): boolean {
    const { isAdmitted, evicted } = this.places.admit(socket, addressKey(socket.remoteAddress))
    if (evicted !== undefined || !isAdmitted) this.events.refused('DIAL_IN_FULL')
    evicted?.destroy()
    return isAdmitted
  }

  private onConnection(socket: Socket): void {
    // Whatever happens to it, 'close' follows.
    socket.on('error', () => undefined)
    if (!this.admit(socket)) return void socket.destroy()
    socket.once('close', () => this.places.release(socket))
    const now = this.options.nowMs()
    const onData = (chunk: Buffer): void => {
      this.unknownBytes += chunk.length
      keep(newcomer, chunk)
      newcomer.heardMs = this.options.nowMs()
      this.look(socket, newcomer, false)
      this.cutLargest()
    }
    const onEnd = (): void => this.look(socket, newcomer, true)
    const onClose = (): void => forget()
    const forget = (): void => {
      if (!this.newcomers.delete(socket)) return
      this.unknownBytes -= newcomer.bytes
      socket.off('data', onData).off('end', onEnd).off('close', onClose)
    }
    const newcomer = { octets: emptyBytes, bytes: 0, sinceMs: now, heardMs: now, forget }
    this.newcomers.set(socket, newcomer)
    socket.on('data', onData).on('end', onEnd).on('close', onClose)
  }

  private look(socket: Socket, newcomer: Newcomer, isEnd: boolean): void {
    if (!this.newcomers.has(socket) || newcomer.bytes === 0) return
    const view = newcomer.octets.subarray(0, newcomer.bytes)
    // Frames that only keep the connection alive say nothing.
    if (isEnd && isIdle(view)) return this.dropIdle(newcomer)
    const push = this.understood(view, isEnd)
    if (push === 'REFUSED') return void socket.destroy()
    if (push === undefined) return
    const names = [...namesIn(push), ...addressOf(socket)]
    this.handOver(socket, { names, ...this.dealtWith(push, view) })
  }

  private dropIdle(newcomer: Newcomer): void {
    this.unknownBytes -= newcomer.bytes
    newcomer.bytes = 0
    newcomer.octets = emptyBytes
  }

  /** Those that send much, and never anything that says who they are, are the first to go. */
  private cutLargest(): void {
    while (this.unknownBytes > limits.dialInUnknownBytesMax) {
      const [first, ...others] = this.newcomers
      if (first === undefined) return
      let largest = first
      for (const one of others) if (one[1].bytes > largest[1].bytes) largest = one
      this.events.refused('DIAL_IN_FULL', largest[1].bytes)
      largest[1].forget()
      largest[0].destroy()
    }
  }

  private understood(view: Buffer, isEnd: boolean): Push | undefined | 'REFUSED' {
    try {
      return classifyPush(view, isEnd, this.options.apduBytesMax)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      this.events.refused(fault.code, view.length)
      return 'REFUSED'
    }
  }

  private onDatagram(datagram: Buffer, remote: RemoteInfo): void {
    if (this.isFlooded(addressKey(remote.address)))
      return this.events.refused('DIAL_IN_FULL', datagram.length)
    // As a rule one frame; what follows it is read, too.
    for (let view = datagram; view.length > 0;) {
      const push = this.understood(view, true)
      if (push === undefined || push === 'REFUSED') return
      this.onDatagramPush(push, remote)
      view = view.subarray(push.bytes)
    }
  }

  private onDatagramPush(push: Push, { address, port }: RemoteInfo): void {
    const around = aroundOf(push)
    // An answer that nobody takes is the device's loss.
    const answer = (apdu: Buffer): void => {
      const octets = answerFrame(apdu, around)
      // Whoever writes port 0 as his own is not to be answered.
      if (octets !== undefined && port !== 0)
        this.datagrams?.send(octets, port, address, () => undefined)
    }
    const hand = (content: Content, names: string[]): void => {
      const { logicalDevice, client } = endsOf(push)
      const confirmation = confirmationIn(content.apduBytes)
      this.events.pushed({
        address: { transport: 'udp', host: address, port, logicalDevice, client },
        names: [...names, address],
        protection: 0,
        ...content,
        ...(confirmation && { confirm: () => answer(confirmation) }),
      })
    }
    if (push.kind === 'IDENTIFICATION') return hand(alarmOf(push), namesIn(push))
    const take = (payloadView: Buffer): void => {
      for (const { apduBytes } of this.apdusOf(payloadView)) {
        const step =
          apduBytes[0] === ApduTag.GENERAL_BLOCK_TRANSFER
            ? this.ofBlock(`${address} ${port}`, apduBytes)
            : { apdu: apduBytes }
        if (step === undefined) continue
        if ('send' in step) answer(step.send)
        else if (step.apdu !== apduBytes && step.apdu[0] !== ApduTag.GENERAL_BLOCK_TRANSFER)
          take(step.apdu)
        else if (isUnaskedApdu(step.apdu) && step.apdu === apduBytes)
          hand({ apduBytes }, namesInApdu(apduBytes))
        else this.events.refused('DLMS_SERVICE_UNEXPECTED', step.apdu.length)
      }
    }
    take(payloadOf(push))
  }

  /** The APDUs of a payload, each in memory of its own. What stands behind them is counted. */
  private apdusOf(payloadView: Buffer): Content[] {
    const { apduViews, restView } = readPushPayload(payloadView)
    if (restView.length > 0) this.events.refused('DLMS_LENGTH_INVALID', restView.length)
    return apduViews.map((view) => ({ apduBytes: copyOf(view) }))
  }

  /** What the first octets were: said by themselves, or the beginning of what the framing reads. */
  private dealtWith(push: Push, view: Buffer): Omit<Announcement, 'names'> {
    if (push.kind === 'WRAPPER' || push.kind === 'HDLC' || push.kind === 'MBUS') {
      const framing = framings[push.kind]
      return {
        framing,
        rest: copyOf(view),
        isNamed: false,
        pushes: [],
      }
    }
    const isNamed = push.kind === 'IDENTIFICATION'
    const rest = copyOf(view.subarray(push.bytes))
    if (!isNamed) return { framing: 'wrapper', rest, isNamed, pushes: this.apdusOf(push.apduView) }
    const pushes = push.alarmView.length === 0 ? [] : [alarmOf(push)]
    return { framing: 'wrapper', rest, isNamed, pushes }
  }

  private ofBlock(sender: string, view: Buffer): GeneralBlockStep {
    try {
      return this.blocks.receive(sender, view)
    } catch (fault) {
      if (!(fault instanceof BrokerError)) throw fault
      this.events.refused(fault.code, view.length)
      return undefined
    }
  }

  /** True when more datagrams have come within a second than are taken. */
  private isFlooded(address: string): boolean {
    const now = this.options.nowMs()
    if (now - this.datagramsSinceMs >= 1_000) {
      this.datagramsSinceMs = now
      this.datagramCount = 0
      this.datagramsOf.clear()
    }
    const count = this.datagramsOf.get(address) ?? 0
    // What one address sends beyond its share takes nothing from the others.
    if (count >= limits.dialInDatagramsPerAddressMax) return true
    if (this.datagramCount >= limits.dialInDatagramsMax) return true
    this.datagramsOf.set(address, count + 1)
    this.datagramCount++
    return false
  }

  /**
   * Ends what has no length of its own behind a pause, takes those that say nothing by where they
   * come from, and gives up on the rest.
   */
  sweep(now: number): void {
    for (const [socket, newcomer] of this.newcomers) {
      const isOver = now - newcomer.sinceMs >= limits.dialInAnnouncementMsMax
      if (newcomer.bytes === 0) this.sweepSilent(socket, now - newcomer.sinceMs, isOver)
      else {
        if (now - newcomer.heardMs >= limits.dialInPauseMs) this.look(socket, newcomer, true)
        if (!isOver || !this.newcomers.has(socket)) continue
        this.events.refused('DEVICE_SILENT')
        socket.destroy()
      }
    }
  }

  // One that waits to be asked, or is slow to say its name: it has time for that while nobody waits
  // for it.
  private sweepSilent(socket: Socket, silentMs: number, isOver: boolean): void {
    const names = addressOf(socket)
    const isDue = silentMs >= limits.dialInPauseMs && names.some(this.events.isAwaited)
    if (!isDue && !isOver) return
    const nothing = { rest: emptyBytes, isNamed: false, pushes: [] }
    this.handOver(socket, { framing: 'wrapper', names, ...nothing })
  }

  private handOver(socket: Socket, announcement: Announcement): void {
    this.newcomers.get(socket)?.forget()
    this.events.connected(socket, announcement)
  }

  /**
   * Closes the door, also one that is being opened. Connections that were handed over are others'
   * to close, and waited for.
   */
  async close(): Promise<void> {
    await this.opening?.catch(() => undefined)
    await this.shut()
  }

  private async shut(): Promise<void> {
    for (const socket of this.newcomers.keys()) socket.destroy()
    this.newcomers.clear()
    const { server, datagrams } = this
    if (server?.listening) await new Promise<void>((resolve) => void server.close(() => resolve()))
    if (datagrams) await new Promise<void>((resolve) => void datagrams.close(() => resolve()))
    this.server = this.datagrams = undefined
  }
}

/**
 * What comes in many pieces is copied a few times, not once for each of them. It is refused long
 * before there is much of it (`classifyPush`).
 */
function keep(newcomer: Newcomer, chunk: Buffer): void {
  const { octets, bytes } = newcomer
  const needed = bytes + chunk.length
  if (needed > octets.length) {
    newcomer.octets = Buffer.allocUnsafe(Math.max(needed, 2 * octets.length))
    octets.copy(newcomer.octets, 0, 0, bytes)
  }
  chunk.copy(newcomer.octets, bytes)
  newcomer.bytes = needed
}

function listening(server: Server | DatagramSocket, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      // Running out of descriptors refuses one connection; it must not end the process.
      server.on('error', () => undefined)
      resolve()
    })
    listen()
  })
}

type Content = Pick<DevicePush, 'apduBytes' | 'alarmBytes'>

const framings = { WRAPPER: 'wrapper', HDLC: 'hdlc', MBUS: 'mbus' } as const

/** Hears nothing of the line ends that come first. */
export function behindLineEnds(events: CarrierEvents): CarrierEvents {
  let isBehind = false
  return {
    ...events,
    octets(view) {
      let at = 0
      while (!isBehind && (view[at] === 0x0d || view[at] === 0x0a)) at++
      isBehind ||= at < view.length
      if (isBehind) events.octets(view.subarray(at))
    },
  }
}

const alarmOf = ({ alarmView }: Extract<Push, { kind: 'IDENTIFICATION' }>): Content => ({
  apduBytes: emptyBytes,
  alarmBytes: copyOf(alarmView),
})

const payloadOf = (push: Exclude<Push, { kind: 'IDENTIFICATION' }>): Buffer =>
  push.kind === 'WRAPPER' ? push.frame.apduView : push.apduView

function endsOf(push: Push): { logicalDevice: number; client: number } {
  if (push.kind === 'MBUS') return { logicalDevice: push.source, client: push.destination }
  if (push.kind !== 'WRAPPER') return { logicalDevice: 1, client: 1 }
  return { logicalDevice: push.frame.source, client: push.frame.destination }
}

const addressOf = ({ remoteAddress }: Socket): string[] =>
  remoteAddress === undefined ? [] : [remoteAddress.replace(/^::ffff:/, '')]

/** True when nothing but whole frames of length 0 has come. */
function isIdle(view: Buffer): boolean {
  try {
    return emptyFramesBytes(view) === view.length
  } catch (fault) {
    if (!(fault instanceof BrokerError)) throw fault
    return false
  }
}
