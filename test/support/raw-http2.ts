/** gRPC calls frame by frame over node:http2, for what no gRPC client would send. */
import { once } from 'node:events'
import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
  type Settings,
} from 'node:http2'
import { supplierText } from './envelopes.ts'

/** What a call came to. `code` is the trailer busbar-code, `reset` the code of RST_STREAM. */
export type RawAnswer = {
  http: number
  status: number | undefined
  code: string | undefined
  message: string
  headers: Record<string, unknown>
  body: Buffer
  reset: number
}

/** A gRPC message: five octets, then its content. `length` is what is announced. */
export function framed(content: Uint8Array, length = content.length, flag = 0): Buffer {
  const head = Buffer.alloc(5)
  head[0] = flag
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, content])
}

export class RawCall {
  readonly stream: ClientHttp2Stream
  readonly answer: Promise<RawAnswer>

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream
    const headers: Record<string, unknown> = {}
    const chunks: Buffer[] = []
    stream.on('error', () => undefined)
    stream.on('response', (list) => void Object.assign(headers, list))
    stream.on('trailers', (list) => void Object.assign(headers, list))
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    this.answer = new Promise((resolve) => {
      const settle = (): void => {
        const text = headers['grpc-message']
        const status = headers['grpc-status']
        const code = headers['busbar-code']
        resolve({
          http: Number(headers[':status'] ?? 0),
          status: status === undefined ? undefined : Number(status),
          code: typeof code === 'string' ? code : undefined,
          message: typeof text === 'string' ? decodeURI(text) : '',
          headers,
          body: Buffer.concat(chunks),
          reset: stream.rstCode,
        })
      }
      stream.once('close', settle)
      // node:http2 does not close a stream that is reset without an error while it is being
      // written.
      stream.once('end', () => {
        if (!stream.writableFinished) stream.close()
        settle()
      })
    })
  }

  /** Settles when the octets have gone to the transport, or the call is over. */
  async send(octets: Uint8Array): Promise<void> {
    if (this.stream.destroyed || this.stream.closed) return
    const written = new Promise<void>((resolve) => void this.stream.write(octets, () => resolve()))
    await Promise.race([written, this.answer])
  }
}

/** One connection. */
export class RawConnection {
  readonly session: ClientHttp2Session
  readonly closed: Promise<unknown>

  constructor(address: string, settings: Settings = {}) {
    // What waits to be sent counts as well; above the limit node:http2 resets its own calls.
    this.session = connect(`http://${address}`, { maxSessionMemory: 10_000, settings })
    this.session.on('error', () => undefined)
    this.closed = new Promise((resolve) => this.session.once('close', resolve))
  }

  async opened(): Promise<this> {
    await once(this.session, 'remoteSettings')
    return this
  }

  /** @param path  for example `InputGateway/Submit`, or a whole path */
  call(path: string, headers: OutgoingHttpHeaders = {}, party = supplierText): RawCall {
    const stream = this.session.request({
      ':method': 'POST',
      ':path': path.startsWith('/') ? path : `/busbar.v1.${path}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...(party === '' ? {} : { 'x-busbar-party': party }),
      ...headers,
    })
    return new RawCall(stream)
  }

  close(): void {
    this.session.destroy()
  }
}
