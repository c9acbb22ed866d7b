/**
 * A relay in front of a listener of simulated meters that makes them as odd as meters of other
 * makers are: it sees each APDU of either direction and passes it on, drops it, answers in its
 * place, or closes the connection.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { WrapperReader, writeWrapperHeader } from '../../../core/dlms/framing/wrapper.ts'
import { aarqTag, rlrqTag } from './scripted-meter.ts'

export type Passing = {
  tag: number
  client: number
  device: number
  apdu: Buffer
  /** Of this connection, kept between its APDUs. */
  connection: { number: number; associated: Set<number>; released: boolean }
  /** Sends an APDU to the head-end as if from the meter. */
  say(apdu: Uint8Array, client?: number): void
  /** Sends octets that are no APDU. */
  write(octets: Uint8Array): void
  close(): void
}
export type Oddity = {
  /** False: it goes no further. */
  question?(passing: Passing): boolean
  answer?(passing: Passing): boolean
  /** Connections at one time; more are refused. */
  connectionsMax?: number
}

export class OddRelay {
  readonly port: number
  /** Connections that were accepted. */
  accepted = 0
  /** AARQs by client, in order. */
  readonly aarqs: number[] = []
  private readonly close: () => Promise<void>

  private constructor(port: number, close: () => Promise<void>) {
    this.port = port
    this.close = close
  }

  static async start(target: number, oddity: Oddity): Promise<OddRelay> {
    const near = new Set<Socket>()
    const server = createServer({ noDelay: true }, (socket) => {
      if (near.size >= (oddity.connectionsMax ?? Infinity)) return void socket.resetAndDestroy()
      near.add(socket)
      relay.accepted++
      const far = connect(target, '127.0.0.1')
      const connection = {
        number: relay.accepted,
        associated: new Set<number>(),
        released: false,
      }
      const pass = (
        from: Socket,
        to: Socket,
        isQuestion: boolean,
        look: (passing: Passing) => boolean,
      ): void => {
        const reader = new WrapperReader()
        from.on('data', (octets: Buffer) => {
          reader.push(octets)
          for (let frame = reader.next(); frame; frame = reader.next()) {
            const { source, destination } = frame
            const apdu = Buffer.from(frame.apduView)
            const [client, device] = isQuestion ? [source, destination] : [destination, source]
            const tag = apdu[0]!
            const passing = {
              tag,
              client,
              device,
              apdu,
              connection,
              say: (said: Uint8Array, at = client) => void socket.write(framed(said, device, at)),
              write: (octets: Uint8Array) => void socket.write(octets),
              close: () => void socket.destroy(),
            }
            if (isQuestion && tag === aarqTag) relay.aarqs.push(client)
            if (look(passing)) to.write(framed(apdu, source, destination))
            if (isQuestion && tag === aarqTag) connection.associated.add(client)
            if (isQuestion && tag === rlrqTag) {
              connection.associated.delete(client)
              connection.released = true
            }
          }
        })
        from.on('error', () => undefined)
        from.on('close', () => {
          near.delete(socket)
          to.destroy()
        })
      }
      pass(socket, far, true, (passing) => oddity.question?.(passing) ?? true)
      pass(far, socket, false, (passing) => oddity.answer?.(passing) ?? true)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const relay = new OddRelay((server.address() as AddressInfo).port, async () => {
      for (const socket of near) socket.destroy()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    })
    return relay
  }

  stop(): Promise<void> {
    return this.close()
  }
}

function framed(apdu: Uint8Array, source: number, destination: number): Buffer {
  const out = Buffer.alloc(8 + apdu.length)
  out.set(apdu, writeWrapperHeader(out, 0, source, destination, apdu.length))
  return out
}
