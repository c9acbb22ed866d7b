/**
 * The gRPC doors: InputGateway, OutputGateway, health and reflection on one port. Messages stay
 * bytes on the hot path: the services are registered with identity (de)serialisers, and what is in
 * a message is read where it stands.
 */
import { readFileSync } from 'node:fs'
import {
  Server,
  ServerCredentials,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type MethodDefinition,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation, service as healthService } from 'grpc-health-check'
import { InputGatewayService } from '../../proto/gen/busbar/v1/input_gateway.ts'
import { OutputGatewayService } from '../../proto/gen/busbar/v1/output_gateway.ts'
import { identify, partyHeader, type IdentityRefusal } from '../access/identity.ts'
import type { Parties } from '../access/parties.ts'
import { BrokerError } from '../base/broker-error.ts'
import { formatHostPort } from '../base/host-port.ts'
import { limits } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Deliveries } from './deliveries.ts'
import type { Intake } from './intake.ts'
import type { PartyAccounts, PartyAccount } from './party-account.ts'
import { Receiver } from './receiver.ts'
import { grpcRefusal } from './refusal.ts'
import { requestIdViolations, tooMany } from './request-violations.ts'
import type { Responses } from './responses.ts'
import { BatchCall, SingleCall, StatusCall, submitOne } from './submit-calls.ts'
import { SubmitStream } from './submit-stream.ts'

export type GrpcGatewayPorts = {
  intake: Intake
  deliveries: Deliveries
  responses: Responses
  accounts: PartyAccounts
  parties: Parties
  clock: Clock
  log: Log
}

type RawMethod = MethodDefinition<Buffer, Buffer>
type Shape = {
  readonly path: string
  readonly requestStream: boolean
  readonly responseStream: boolean
}

const asItIs = (message: Buffer): Buffer => message
const raw = ({ path, requestStream, responseStream }: Shape): RawMethod => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: asItIs,
  requestDeserialize: asItIs,
  responseSerialize: asItIs,
  responseDeserialize: asItIs,
})
const rawService = (methods: Readonly<Record<string, Shape>>): ServiceDefinition =>
  Object.fromEntries(Object.entries(methods).map(([name, shape]) => [name, raw(shape)]))

/** What the operating system says, without what grpc-js says around it. */
const reasonOf = ({ message }: Error): string => /E[A-Z]+: [^\]]*/.exec(message)?.[0] ?? message

const descriptorSet = new URL('../../proto/gen/descriptors.binpb', import.meta.url)

/**
 * The FileDescriptorProtos of a FileDescriptorSet: `repeated FileDescriptorProto file = 1`, nothing
 * else.
 */
function fileDescriptors(set: Buffer): Buffer[] {
  const files: Buffer[] = []
  for (let at = 0; at < set.length;) {
    at++
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const octet = set[at++]!
      length |= (octet & 0x7f) << shift
      if (octet < 0x80) break
    }
    files.push(set.subarray(at, (at += length)))
  }
  return files
}

function addReflection(server: Server): void {
  // The service wants what a proto loader gives; all it reads of that are the descriptors.
  const ours = { fileDescriptorProtos: fileDescriptors(readFileSync(descriptorSet)) }
  const described = {
    'busbar.v1': ours,
    'grpc.health.v1': healthService['Check']?.requestType,
  } as unknown as ConstructorParameters<typeof ReflectionService>[0]
  new ReflectionService(described).addToServer(server)
}

export class GrpcGateway {
  private readonly ports: GrpcGatewayPorts
  private readonly server: Server
  private readonly health = new HealthImplementation({
    '': 'SERVING',
    'busbar.v1.InputGateway': 'SERVING',
    'busbar.v1.OutputGateway': 'SERVING',
  })
  private readonly streams = new Set<SubmitStream>()
  private readonly receivers = new Set<Receiver>()

  constructor(ports: GrpcGatewayPorts) {
    this.ports = ports
    this.server = new Server({
      'grpc.max_receive_message_length': limits.partyMessageBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': limits.connectionCallsMax,
      'grpc.keepalive_time_ms': limits.connectionKeepaliveMs,
      'grpc.keepalive_timeout_ms': limits.connectionKeepaliveWaitMs,
    })
    this.server.addService(rawService(InputGatewayService), {
      submit: this.submit,
      submitBatch: this.submitBatch,
      submitStream: this.submitStream,
      cancel: this.cancel,
      getRequestStatus: this.getRequestStatus,
    })
    this.server.addService(rawService(OutputGatewayService), {
      receive: this.receive,
      getResponse: this.getResponse,
    })
    this.health.addToServer(this.server)
    addReflection(this.server)
  }

  /**
   * Listens on `host:port`, 0 for any; settles with the port.
   * @throws BrokerError CONFIG_INVALID when the address is taken, or is none of this machine
   */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.bindAsync(
        formatHostPort(host, port),
        ServerCredentials.createInsecure(),
        (cause, bound) =>
          cause
            ? reject(
                new BrokerError(
                  'CONFIG_INVALID',
                  `gRPC cannot listen on ${formatHostPort(host, port)}: ${reasonOf(cause)}`,
                  { cause },
                ),
              )
            : resolve(bound),
      )
    })
  }

  /** Says NOT_SERVING; call when the intake begins to drain. */
  drain(): void {
    for (const service of ['', 'busbar.v1.InputGateway', 'busbar.v1.OutputGateway'])
      this.health.setStatus(service, 'NOT_SERVING')
  }

  /** Ends what is open with BROKER_DRAINING and stops; what does not end within `waitMs` is cut. */
  async close(waitMs = 1_000): Promise<void> {
    for (const stream of this.streams) stream.finish('BROKER_DRAINING')
    for (const receiver of this.receivers) receiver.end('BROKER_DRAINING')
    const { clock } = this.ports
    await new Promise<void>((resolve) => {
      const disarm = clock.at(clock.now() + waitMs, () => {
        this.server.forceShutdown()
        resolve()
      })
      this.server.tryShutdown(() => {
        disarm()
        resolve()
      })
    })
  }

  private identify(metadata: Metadata): PartyAccount | IdentityRefusal {
    const values = metadata.get(partyHeader)
    const value = values[0]
    if (values.length > 1 || (value !== undefined && typeof value !== 'string'))
      return 'PARTY_HEADER_MALFORMED'
    const party = identify(value, this.ports.parties)
    return typeof party === 'string' ? party : this.ports.accounts.of(party)
  }

  private readonly submit: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const account = this.identify(call.metadata)
    if (typeof account === 'string') return callback(grpcRefusal(account))
    submitOne(this.ports.intake, account, call.request, callback)
  }

  private readonly submitBatch: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const account = this.identify(call.metadata)
    if (typeof account === 'string') return callback(grpcRefusal(account))
    new BatchCall((response, refusal) =>
      refusal
        ? callback(grpcRefusal(refusal, undefined, tooMany(refusal)))
        : callback(null, response),
    ).submit(this.ports.intake, account, call.request)
  }

  private readonly cancel: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const account = this.identify(call.metadata)
    if (typeof account === 'string') return callback(grpcRefusal(account))
    this.ports.intake.cancel(
      account,
      call.request,
      0,
      call.request.length,
      new SingleCall(callback, (code) => requestIdViolations(code, call.request)),
      0,
    )
  }

  private readonly getRequestStatus: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const account = this.identify(call.metadata)
    if (typeof account === 'string') return callback(grpcRefusal(account))
    this.ports.intake.queryStatus(
      account,
      call.request,
      0,
      call.request.length,
      new StatusCall(callback, call.request),
      0,
    )
  }

  private readonly getResponse: handleUnaryCall<Buffer, Buffer> = async (call, callback) => {
    const account = this.identify(call.metadata)
    if (typeof account === 'string') return callback(grpcRefusal(account))
    const result = await this.ports.responses.get(
      account,
      call.request,
      (stop) => void call.once('cancelled', stop),
    )
    if ('code' in result) {
      const violations = requestIdViolations(result.code, call.request)
      callback(grpcRefusal(result.code, result.detail, violations))
    } else callback(null, result.message)
  }

  private readonly submitStream: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    const account = this.identify(call.metadata)
    if (typeof account === 'string') return void call.emit('error', grpcRefusal(account))
    const stream = new SubmitStream(call, account, this.ports.intake, () =>
      this.streams.delete(stream),
    )
    this.streams.add(stream)
    stream.start()
  }

  private readonly receive: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    const account = this.identify(call.metadata)
    if (typeof account === 'string') return void call.emit('error', grpcRefusal(account))
    const { deliveries, intake, clock, log } = this.ports
    const receiver = new Receiver(call, account.party, deliveries, intake.turn, clock, log, () =>
      this.receivers.delete(receiver),
    )
    this.receivers.add(receiver)
    receiver.start()
  }
}
