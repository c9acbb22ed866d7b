/**
 * A TCP endpoint with logical devices for tests of the WAN: answers truly through DlmsServer unless
 * the test's script says otherwise, and tells what it saw. The value of every attribute names the
 * device and the attribute, so that an answer that went to the wrong question shows.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import {
  DlmsServer,
  wrapInPlace,
  WrapperReader,
  writeWrapperHeader,
  type CosemObjects,
} from '../../../core/dlms/index.ts'
import type { DeviceAddress } from '../../../core/ports/wan.ts'

export type Seen = {
  /** Numbered from 1 in the order of accepting. */
  connection: number
  device: number
  client: number
  /** First octet of the APDU. */
  tag: number
  apdu: Buffer
  socket: Socket
  /** Gives the APDU to the real device and sends its answer. */
  answer(): void
  /** The real answer as a wrapper frame, not sent. */
  truth(): Buffer
  /** Sends `apdu` in a frame from this device. */
  say(apdu: Uint8Array): void
}

export const aarqTag = 0x60
export const rlrqTag = 0x62
export const getTag = 0xc0
export const setTag = 0xc1

/** What `get` of any attribute gives: device, then the descriptor, as an octet-string. */
export const valueOf = (device: number, descriptor: Uint8Array): Buffer =>
  Buffer.from([9, 2 + descriptor.length, device >> 8, device & 255, ...descriptor])

/** Class 1, OBIS 0-0:a.b.c.255, attribute 2: as many attributes as a test wants. */
export function descriptorOf(number: number): Buffer {
  return Buffer.from([0, 1, 0, 0, number >> 16, (number >> 8) & 255, number & 255, 255, 2])
}

export class ScriptedMeter {
  /** Decides about each APDU; without it, everything is answered. */
  script: ((seen: Seen) => void) | undefined
  secret: Uint8Array | undefined
  apduBytesMax = 2_048
  /** What `get` gives; `valueOf` unless the test says otherwise. */
  get: (device: number, descriptor: Buffer) => Buffer | number = valueOf
  readonly seen: Seen[] = []
  readonly sockets = new Set<Socket>()
  accepted = 0
  ended = 0
  private readonly server: Server
  private watchers: Array<{ isMet: () => boolean; resolve: () => void }> = []

  private constructor() {
    this.server = createServer({ noDelay: true, allowHalfOpen: false }, (socket) =>
      this.onSocket(socket),
    )
  }

  static async start(port = 0): Promise<ScriptedMeter> {
    const meter = new ScriptedMeter()
    await new Promise<void>((resolve) => meter.server.listen(port, '127.0.0.1', resolve))
    return meter
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  address(logicalDevice = 1, client = 16, secret?: Uint8Array): DeviceAddress {
    return { host: '127.0.0.1', port: this.port, logicalDevice, client, secret }
  }

  /** APDUs seen with this tag, of one device or of all. */
  count(tag: number, device?: number): number {
    return this.seen.filter(
      (seen) => seen.tag === tag && (device === undefined || seen.device === device),
    ).length
  }

  /** Settles when `isMet`; looked at after everything that the meter sees. */
  until(isMet: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.watchers.push({ isMet, resolve })
      this.changed()
    })
  }

  private changed(): void {
    this.watchers = this.watchers.filter(({ isMet, resolve }) => {
      if (!isMet()) return true
      resolve()
      return false
    })
  }

  private onSocket(socket: Socket): void {
    const connection = ++this.accepted
    const reader = new WrapperReader()
    const devices = new Map<number, DlmsServer>()
    this.sockets.add(socket)
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk)
      for (let frame = reader.next(); frame; frame = reader.next()) {
        const { source: client, destination: device } = frame
        const apdu = Buffer.from(frame.apduView)
        const say = (octets: Uint8Array): void => {
          const out = Buffer.alloc(8 + octets.length)
          out.set(octets, writeWrapperHeader(out, 0, device, client, octets.length))
          socket.write(out)
        }
        const truth = (): Buffer =>
          wrapInPlace(this.deviceOf(devices, device, client).receive(apdu)!, device, client)
        const seen: Seen = {
          connection,
          device,
          client,
          tag: apdu[0]!,
          apdu,
          socket,
          say,
          truth,
          answer: () => void socket.write(truth()),
        }
        this.seen.push(seen)
        if (this.script) this.script(seen)
        else seen.answer()
        this.changed()
      }
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.sockets.delete(socket)
      this.ended++
      this.changed()
    })
    this.changed()
  }

  private deviceOf(devices: Map<number, DlmsServer>, device: number, client: number): DlmsServer {
    const key = device * 65_536 + client
    let server = devices.get(key)
    if (!server) {
      const objects: CosemObjects = {
        get: (descriptor) => this.get(device, descriptor),
        set: () => 0,
        invoke: () => ({ result: 0 }),
      }
      devices.set(
        key,
        (server = new DlmsServer({
          objects,
          secret: this.secret,
          apduBytesMax: this.apduBytesMax,
        })),
      )
    }
    return server
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise((resolve) => this.server.close(resolve))
  }
}
