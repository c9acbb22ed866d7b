/**
 * A supplier's client, as any supplier would write it: the generated stubs over grpc-js, nothing of
 * Busbar's inside. Used by the command line, the demonstration supplier and the tests. Rejects with
 * grpc-js's ServiceError; `busbarCode` reads its code.
 */
import { isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import {
  ChannelCredentials,
  type ChannelOptions,
  Metadata,
  status,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js'
import { limits } from '../base/limits.ts'
import {
  InputGatewayClient,
  type GetRequestStatusResponse,
  type SubmitStreamRequest,
  type SubmitStreamResponse,
} from '../../proto/gen/busbar/v1/input_gateway.ts'
import {
  OutputGatewayClient,
  type Delivery,
  type GetResponseResponse,
  type OpenReceiver,
  type ReceiveRequest,
  type ReceiveResponse,
} from '../../proto/gen/busbar/v1/output_gateway.ts'
import type { RequestId, ServiceRequest } from '../../proto/gen/busbar/v1/service_request.ts'
import type { Acknowledgement } from '../../proto/gen/busbar/v1/service_response.ts'
import { credentialHeaders, type PartyCredentials } from '../access/credentials.ts'
import { parseHostPort } from '../base/host-port.ts'
import { isLoopbackHost } from '../base/loopback.ts'
import { RequestCounters } from '../base/request-counter.ts'
import { RequestSigner, type SigningFiles } from './sign-request.ts'

/**
 * Busbar's own code in the trailers of a refused call, for example PARTY_UNKNOWN; undefined when
 * the refusal is gRPC's.
 */
export function busbarCode(error: unknown): string | undefined {
  const metadata = (error as Partial<ServiceError> | undefined)?.metadata
  const value = metadata instanceof Metadata ? metadata.get('busbar-code')[0] : undefined
  return typeof value === 'string' ? value : undefined
}

/**
 * The wait in ms after which the gateway says that the call may be repeated; 0 when repeating does
 * not help.
 */
export function retryAfterMs(error: unknown): number {
  const metadata = (error as Partial<ServiceError> | undefined)?.metadata
  const value = metadata instanceof Metadata ? metadata.get('retry-after-ms')[0] : undefined
  return typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : 0
}

/** The fast door: requests out, acknowledgements in, in any order. */
export class SubmissionStream {
  private readonly call: ClientDuplexStream<SubmitStreamRequest, SubmitStreamResponse>
  private readonly signed: (request: ServiceRequest) => ServiceRequest
  /**
   * Settles when the gateway has answered everything and ended the stream; rejects when it breaks
   * off.
   */
  readonly done: Promise<void>

  constructor(
    call: ClientDuplexStream<SubmitStreamRequest, SubmitStreamResponse>,
    onAcknowledgements: (list: Acknowledgement[]) => void,
    signed: (request: ServiceRequest) => ServiceRequest = (request) => request,
  ) {
    this.call = call
    this.signed = signed
    this.done = new Promise((resolve, reject) => {
      call.on('data', (response: SubmitStreamResponse) =>
        onAcknowledgements(response.acknowledgements),
      )
      call.on('status', ({ code }) => code === status.OK && resolve())
      call.on('error', reject)
    })
    // Whoever does not look at `done` learns of a break through `send` never draining; it is no
    // crash.
    this.done.catch(() => {})
  }

  /**
   * Sends requests in one message; false when the caller should wait for `drained` before sending
   * more.
   */
  send(requests: ServiceRequest[]): boolean {
    return this.call.write({ requests: requests.map(this.signed) })
  }

  /** Settles when there is room again; rejects when the stream breaks. */
  async drained(): Promise<void> {
    await Promise.race([
      new Promise<void>((resolve) => this.call.once('drain', resolve)),
      this.done,
    ])
  }

  /** Nothing more will be sent; settles like `done`. */
  end(): Promise<void> {
    this.call.end()
    return this.done
  }

  /** Vanishes. */
  cancel(): void {
    this.call.cancel()
  }
}

/** The output gateway's stream: deliveries in, acknowledgements out. */
export class DeliveryStream {
  private readonly call: ClientDuplexStream<ReceiveRequest, ReceiveResponse>
  private readonly endMs: number
  /** Settles when the stream has ended normally; rejects with why the gateway ended it. */
  readonly done: Promise<void>

  constructor(
    call: ClientDuplexStream<ReceiveRequest, ReceiveResponse>,
    { credit, onlyIfFree, endMs = 0 }: OpenReceiver & { endMs?: number },
    onDeliveries: (list: Delivery[]) => void,
  ) {
    this.call = call
    this.endMs = endMs
    this.done = new Promise((resolve, reject) => {
      call.on('data', (response: ReceiveResponse) => onDeliveries(response.deliveries))
      call.on('status', ({ code }) => code === status.OK && resolve())
      call.on('error', reject)
    })
    this.done.catch(() => {})
    call.write({ step: { $case: 'openReceiver', value: { credit, onlyIfFree } } })
  }

  /** This delivery and all before it are done with. */
  acknowledge(deliveryId: bigint): void {
    this.call.write({ step: { $case: 'acknowledge', value: { deliveryId } } })
  }

  /** Stops and resumes reading. */
  pause(): void {
    this.call.pause()
  }

  resume(): void {
    this.call.resume()
  }

  /**
   * Settles when the gateway has noted the last acknowledgement. Rejects with CANCELLED when it has
   * not within `callMs` of the client: it may send what was acknowledged last once more then.
   */
  async end(): Promise<void> {
    this.call.end()
    if (this.endMs === 0) return this.done
    const timer = setTimeout(() => this.call.cancel(), this.endMs)
    try {
      await this.done
    } finally {
      clearTimeout(timer)
    }
  }

  cancel(): void {
    this.call.cancel()
  }
}

/** With the party's certificate, or in the clear. */
export function channelOf({ tls }: PartyCredentials, address: string): ChannelCredentials {
  if (tls === undefined) return ChannelCredentials.createInsecure()
  const { caPem, certificatePem, keyPem } = tls
  const host = hostOf(address)
  return ChannelCredentials.createSsl(
    Buffer.from(caPem),
    Buffer.from(keyPem),
    Buffer.from(certificatePem),
    // Instead of the name below.
    isIP(host) === 0
      ? {}
      : { checkServerIdentity: (_name, cert) => checkServerIdentity(host, cert) },
  )
}

/** An address is no name that TLS may send [RFC 6066 3]; grpc-js would send it. */
export const nameOptionsOf = ({ tls }: PartyCredentials, address: string): ChannelOptions =>
  tls !== undefined && isIP(hostOf(address)) !== 0
    ? { 'grpc.ssl_target_name_override': 'busbar' }
    : {}

/** What a call answers that is acknowledged. */
type Acknowledged = { acknowledgement: Acknowledgement | undefined }

/** `address` is `host:port`, or a target of gRPC such as `dns:///host:port`. */
function hostOf(address: string): string {
  const bare = address.replace(/^(?:dns|ipv4|ipv6):(?:\/\/[^/]*\/)?/, '')
  return parseHostPort(bare)?.host ?? bare
}

export type SupplierClientOptions = {
  /** Signs every request that has no signature yet, before it is sent. */
  signing?: SigningFiles | undefined
  /** `host:port` of the gRPC gateway. */
  address: string
  credentials: PartyCredentials
  /** How long a single call, or the end of a stream, may take; 0 for as long as it does. */
  callMs?: number
}

export class SupplierClient {
  private readonly input: InputGatewayClient
  private readonly output: OutputGatewayClient
  private readonly metadata = new Metadata()
  private readonly callMs: number
  private readonly signer: RequestSigner | undefined
  private readonly counters = new RequestCounters(() => Date.now())

  constructor({
    address,
    credentials,
    signing,
    callMs = limits.clientCallMs,
  }: SupplierClientOptions) {
    this.signer = signing && new RequestSigner(signing)
    const options = {
      'grpc.max_receive_message_length': limits.clientMessageBytesMax,
      // A proxy elsewhere has another loopback. To other machines calls take the way that
      // grpc_proxy, https_proxy, http_proxy and no_proxy describe.
      'grpc.enable_http_proxy': isLoopbackHost(hostOf(address)) ? 0 : 1,
      ...nameOptionsOf(credentials, address),
    }
    const channel = channelOf(credentials, address)
    this.input = new InputGatewayClient(address, channel, options)
    this.output = new OutputGatewayClient(address, channel, options)
    for (const [name, value] of Object.entries(credentialHeaders(credentials)))
      this.metadata.set(name, value)
    this.callMs = callMs
  }

  /**
   * A RequestCounter for a new request: nanoseconds since 1970, above all that this client has
   * given before. A repeat takes the RequestID of the first submission instead.
   */
  nextCounter(): bigint {
    return this.counters.next()
  }

  async submit(given: ServiceRequest): Promise<Acknowledgement> {
    const request = this.signed(given)
    const response = await this.ask<{ acknowledgement: Acknowledgement | undefined }>((done) =>
      this.input.submit({ request }, this.metadata, this.callOptions(), done),
    )
    return present(response.acknowledgement)
  }

  /** Acknowledgements in the order of `requests`. */
  async submitBatch(given: ServiceRequest[]): Promise<Acknowledgement[]> {
    const requests = given.map(this.signed)
    const response = await this.ask<{ acknowledgements: Acknowledgement[] }>((done) =>
      this.input.submitBatch({ requests }, this.metadata, this.callOptions(), done),
    )
    return response.acknowledgements
  }

  submitStream(onAcknowledgements: (list: Acknowledgement[]) => void): SubmissionStream {
    return new SubmissionStream(
      this.input.submitStream(this.metadata),
      onAcknowledgements,
      this.signed,
    )
  }

  async cancel(requestId: RequestId): Promise<Acknowledgement> {
    return this.acknowledged((done) =>
      this.input.cancel({ requestId }, this.metadata, this.callOptions(), done),
    )
  }

  /** Lets a request in quarantine go on to its device. */
  releaseQuarantined(requestId: RequestId): Promise<Acknowledgement> {
    return this.acknowledged((done) =>
      this.input.releaseQuarantined({ requestId }, this.metadata, this.callOptions(), done),
    )
  }

  /** Ends a request in quarantine; its response is delivered. */
  deleteQuarantined(requestId: RequestId): Promise<Acknowledgement> {
    return this.acknowledged((done) =>
      this.input.deleteQuarantined({ requestId }, this.metadata, this.callOptions(), done),
    )
  }

  private async acknowledged(
    call: (done: (error: ServiceError | null, response: Acknowledged) => void) => unknown,
  ): Promise<Acknowledgement> {
    return present((await this.ask(call)).acknowledgement)
  }

  status(requestId: RequestId): Promise<GetRequestStatusResponse> {
    return this.ask((done) =>
      this.input.getRequestStatus({ requestId }, this.metadata, this.callOptions(), done),
    )
  }

  /**
   * The delivery that holds the response to a request; the delivery is not consumed. Rejects with
   * RESPONSE_NOT_READY when the response does not come within `waitMs` (0 to 30,000).
   */
  async response(
    requestId: RequestId,
    { waitMs = 0 }: { waitMs?: number } = {},
  ): Promise<Delivery> {
    const response = await this.ask<GetResponseResponse>((done) =>
      this.output.getResponse({ requestId, waitMs }, this.metadata, this.callOptions(waitMs), done),
    )
    if (response.delivery === undefined) throw new Error('the gateway sent an empty answer')
    return response.delivery
  }

  /**
   * Opens a receiver; a receiver of the same party that was open before ends. With `onlyIfFree`
   * this one ends instead, with DELIVERY_RECEIVER_PRESENT.
   */
  receive(
    credit: number,
    onDeliveries: (list: Delivery[]) => void,
    { onlyIfFree = false }: { onlyIfFree?: boolean } = {},
  ): DeliveryStream {
    return new DeliveryStream(
      this.output.receive(this.metadata),
      { credit, onlyIfFree, endMs: this.callMs },
      onDeliveries,
    )
  }

  close(): void {
    this.input.close()
    this.output.close()
  }

  private readonly signed = (request: ServiceRequest): ServiceRequest =>
    this.signer === undefined || request.signature !== undefined
      ? request
      : this.signer.sign(request)

  /** `waitMs`: how long the gateway itself waits at most. */
  private callOptions(waitMs = 0): { deadline?: Date } {
    return this.callMs > 0 ? { deadline: new Date(Date.now() + waitMs + this.callMs) } : {}
  }

  private ask<T>(
    call: (done: (error: ServiceError | null, response: T) => void) => unknown,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      call((error, response) => (error ? reject(error) : resolve(response)))
    })
  }
}

function present(acknowledgement: Acknowledgement | undefined): Acknowledgement {
  if (acknowledgement === undefined) throw new Error('the gateway sent an empty answer')
  return acknowledgement
}
