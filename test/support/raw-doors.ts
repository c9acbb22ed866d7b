/**
 * The doors of a broker as somebody without manners uses them: octets over gRPC, text over HTTP,
 * octets over TCP.
 */
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import {
  Client,
  credentials,
  Metadata,
  status,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js'
import { busbarCode } from '../../core/client/supplier-client.ts'
import {
  SubmitBatchRequest,
  SubmitBatchResponse,
  SubmitRequest,
  SubmitResponse,
  SubmitStreamRequest,
} from '../../proto/gen/busbar/v1/input_gateway.ts'
import type { ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import { supplierText } from './envelopes.ts'

/**
 * What a call came to: the code, whether of a status or an acknowledgement, and the sentence for
 * people.
 */
export type Outcome = { code: string; message: string }

const asItIs = (bytes: Buffer): Buffer => bytes
const input = '/busbar.v1.InputGateway/'

export function outcomeOfFault(error: unknown): Outcome {
  const { code, details } = error as ServiceError
  return { code: busbarCode(error) ?? status[code] ?? String(code), message: details }
}

/** gRPC calls whose messages are any octets at all. */
export class RawGrpc {
  private readonly client: Client
  private readonly metadata = new Metadata()

  constructor(address: string, party: string | undefined = supplierText) {
    this.client = new Client(address, credentials.createInsecure(), {
      'grpc.max_send_message_length': -1,
    })
    if (party !== undefined) this.metadata.set('x-busbar-party', party)
  }

  call(method: string, message: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const deadline = new Date(Date.now() + 20_000)
      this.client.makeUnaryRequest(
        input + method,
        asItIs,
        asItIs,
        Buffer.from(message),
        this.metadata,
        { deadline },
        (error, response) => (error ? reject(error) : resolve(response!)),
      )
    })
  }

  /** The code of whatever comes of `message`, status or acknowledgement. */
  async outcome(method: 'Submit' | 'SubmitBatch', message: Uint8Array): Promise<Outcome> {
    try {
      const answer = await this.call(method, message)
      const acknowledgement =
        method === 'Submit'
          ? SubmitResponse.decode(answer).acknowledgement
          : SubmitBatchResponse.decode(answer).acknowledgements[0]
      return { code: acknowledgement?.reason ?? 'NOTHING', message: acknowledgement?.message ?? '' }
    } catch (error) {
      return outcomeOfFault(error)
    }
  }

  submit(request: ServiceRequest): Promise<Outcome> {
    return this.outcome('Submit', SubmitRequest.encode({ request }).finish())
  }

  submitInBatch(request: ServiceRequest): Promise<Outcome> {
    return this.outcome('SubmitBatch', SubmitBatchRequest.encode({ requests: [request] }).finish())
  }

  stream(method = 'InputGateway/SubmitStream'): ClientDuplexStream<Buffer, Buffer> {
    return this.client.makeBidiStreamRequest(`/busbar.v1.${method}`, asItIs, asItIs, this.metadata)
  }

  close(): void {
    this.client.close()
  }
}

export const streamMessage = (requests: ServiceRequest[]): Buffer =>
  Buffer.from(SubmitStreamRequest.encode({ requests }).finish())

export type HttpOutcome = Outcome & { status: number; body: Record<string, unknown> }

/** One HTTP call; `body` goes out as it is. */
export async function http(
  address: string,
  method: string,
  path: string,
  body?: string | Buffer,
  headers: Record<string, string> = {},
): Promise<HttpOutcome> {
  const response = await fetch(`http://${address}${path}`, {
    method,
    headers: {
      'x-busbar-party': supplierText,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: new Uint8Array(Buffer.from(body)) }),
  })
  const json = (await response.json()) as Record<string, unknown>
  const text = (name: string): string => (typeof json[name] === 'string' ? json[name] : '')
  return {
    status: response.status,
    code: text('code') || text('reason'),
    message: text('message'),
    body: json,
  }
}

/**
 * Sends octets to a TCP port and settles when the other side has closed the connection, or at once
 * when `isLeaving`.
 */
export async function throwAt(address: string, octets: Buffer, isLeaving = false): Promise<void> {
  const [host, port] = address.split(':')
  const socket = connect({ host: host!, port: Number(port) })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.resume()
  const closed = new Promise((resolve) => socket.once('close', resolve))
  await new Promise<void>((resolve) => socket.write(octets, () => resolve()))
  if (isLeaving) socket.destroy()
  await closed
}

/**
 * A gRPC stream without a reader: what it is sent stays in the transport. `cut` settles with the
 * code of its reset.
 */
export async function stalledCall(
  address: string,
  method: string,
  party: string,
  message: Uint8Array,
): Promise<{ cut: Promise<number>; close(): void }> {
  const session = connectHttp2(`http://${address}`)
  session.on('error', () => undefined)
  const stream = session.request({
    ':method': 'POST',
    ':path': `/busbar.v1.${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    'x-busbar-party': party,
  })
  stream.on('error', () => undefined)
  const cut = new Promise<number>((resolve) => {
    const look = (): void => resolve(stream.rstCode)
    stream.once('close', look)
    stream.once('aborted', look)
  })
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  stream.write(Buffer.concat([head, message]))
  await once(stream, 'response')
  return { cut, close: () => session.destroy() }
}

/** Says `text` over TCP and gives what the other side says until it closes the connection. */
export async function sayTo(address: string, text: string): Promise<string> {
  const [host, port] = address.split(':')
  const socket = connect({ host: host!, port: Number(port) })
  socket.on('error', () => undefined)
  let said = ''
  socket.on('data', (chunk) => (said += chunk.toString('utf8')))
  const closed = once(socket, 'close')
  socket.write(text)
  await closed
  return said
}
