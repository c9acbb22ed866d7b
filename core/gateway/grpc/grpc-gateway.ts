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
  type MethodDefinition,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation, service as healthService } from 'grpc-health-check'
import { InputGatewayService } from '../../../proto/gen/busbar/v1/input_gateway.ts'
import { OutputGatewayService } from '../../../proto/gen/busbar/v1/output_gateway.ts'
import type { PartySource } from '../../access/directory.ts'
import { QuarantineAction } from '../../access/quarantine-list.ts'
import type { Violation } from '../../base/violation.ts'
import { assert } from '../../base/assert.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { formatHostPort } from '../../base/host-port.ts'
import type { ErrorCode } from '../../base/error-table.ts'
import { limits } from '../../base/limits.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Log } from '../../ports/log.ts'
import type { Metrics } from '../../ports/metrics.ts'
import type { BytesInFlight } from '../../base/bytes-in-flight.ts'
import type { MethodRule } from './call-gate.ts'
import type { Deliveries } from '../delivery/deliveries.ts'
import { GrpcGate } from './grpc-gate.ts'
import type { Intake } from '../intake/intake.ts'
import type { PartyAccounts, PartyAccount } from '../intake/party-account.ts'
import { Receiver } from './receiver.ts'
import { TlsCredentials } from './tls-credentials.ts'
import type { PartyTls } from '../party-tls.ts'
import { grpcRefusal } from './refusal.ts'
import { requestIdViolations, tooMany } from '../intake/request-violations.ts'
import type { Responses } from '../delivery/responses.ts'
import { BatchCall, SingleCall, StatusCall, submitOne } from './submit-calls.ts'
import { ProtobufWriter } from '../../translate/protobuf.ts'
import { SubmitStream } from './submit-stream.ts'

export type GrpcGatewayPorts = {
  intake: Intake
  deliveries: Deliveries
  responses: Responses
  accounts: PartyAccounts
  parties: PartySource
  clock: Clock
  log: Log
  metrics: Metrics
  bytes: BytesInFlight
  /** Plaintext when left out: a header names the party. */
  tls?: PartyTls | undefined
}

type RawMethod = MethodDefinition<Buffer, Buffer>
type Shape = {
  readonly path: string
  readonly requestStream: boolean
  readonly responseStream: boolean
}

/** In front of the request in a SubmitRequest: its tag, and its length in three octets. */
const requestTagBytes = 4

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

/** A message with many requests, with one, and with none. */
const many = { bytesMax: limits.partyMessageBytesMax, needsParty: true }
const single = { bytesMax: limits.requestBytesMax + requestTagBytes, needsParty: true }
const short = { bytesMax: limits.partyShortMessageBytesMax, needsParty: true }
const probe = { bytesMax: limits.partyShortMessageBytesMax, needsParty: false }

/** What each method of the door takes. */
const methodRules: ReadonlyMap<string, MethodRule> = new Map<string, MethodRule>([
  ...rulesOf(InputGatewayService, {
    submit: { ...single, field: 'request' },
    submitBatch: { ...many, field: 'requests' },
    submitStream: { ...many, field: 'requests' },
    cancel: short,
    releaseQuarantined: short,
    deleteQuarantined: short,
    getRequestStatus: short,
  }),
  ...rulesOf(OutputGatewayService, { receive: short, getResponse: short }),
  ...['Check', 'List'].map((name) => probeRule(`grpc.health.v1.Health/${name}`, true)),
  probeRule('grpc.health.v1.Health/Watch', true),
  ...['v1', 'v1alpha'].map((version) =>
    probeRule(`grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`, false),
  ),
])

function rulesOf<Name extends string>(
  methods: Readonly<Record<Name, Shape>>,
  rules: Readonly<Record<Name, Omit<MethodRule, 'isUnary'>>>,
): [string, MethodRule][] {
  return (Object.keys(methods) as Name[]).map((name) => [
    methods[name].path,
    { ...rules[name], isUnary: !methods[name].requestStream },
  ])
}

function probeRule(name: string, isUnary: boolean): [string, MethodRule] {
  return [`/${name}`, { ...probe, isUnary }]
}

const descriptorSet = new URL('../../../proto/gen/descriptors.binpb', import.meta.url)

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
  private readonly gate: GrpcGate
  private readonly streams = new Set<SubmitStream>()
  private readonly receivers = new Set<Receiver>()
  /** Of all answers to calls with one message. */
  private readonly writer = new ProtobufWriter(64 * 1024)

  constructor(ports: GrpcGatewayPorts) {
    this.ports = ports
    this.server = new Server({
      'grpc.max_receive_message_length': limits.partyMessageBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': limits.connectionCallsMax,
      'grpc.keepalive_time_ms': limits.connectionKeepaliveMs,
      'grpc.keepalive_timeout_ms': limits.connectionKeepaliveWaitMs,
      'grpc.max_connection_idle_ms': limits.connectionIdleMsMax,
    })
    this.gate = new GrpcGate(ports, methodRules)
    this.server.addService(rawService(InputGatewayService), {
      submit: this.submit,
      submitBatch: this.submitBatch,
      submitStream: this.submitStream,
      cancel: this.cancel,
      releaseQuarantined: this.resolveQuarantined(QuarantineAction.RELEASE),
      deleteQuarantined: this.resolveQuarantined(QuarantineAction.DELETE),
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
        this.ports.tls ? new TlsCredentials(this.ports.tls) : ServerCredentials.createInsecure(),
        (cause, bound) =>
          cause
            ? reject(
                new BrokerError(
                  'CONFIG_INVALID',
                  `gRPC cannot listen on ${formatHostPort(host, port)}: ${reasonOf(cause)}`,
                  { cause },
                ),
              )
            : resolve(this.opened(bound)),
      )
    })
  }

  private opened(port: number): number {
    this.gate.guard(this.server)
    return port
  }

  /** Says NOT_SERVING; call when the intake begins to drain. */
  drain(): void {
    for (const service of ['', 'busbar.v1.InputGateway', 'busbar.v1.OutputGateway'])
      this.health.setStatus(service, 'NOT_SERVING')
  }

  /** Ends what is open with BROKER_DRAINING and stops; what does not end within `waitMs` is cut. */
  async close(waitMs: number = limits.gatewayCloseMsMax): Promise<void> {
    for (const stream of this.streams) stream.finish('BROKER_DRAINING')
    for (const receiver of this.receivers) receiver.end('BROKER_DRAINING')
    const { clock } = this.ports
    await new Promise<void>((resolve) => {
      const disarm = clock.at(clock.now() + waitMs, () => {
        this.server.forceShutdown()
        resolve()
      })
      this.gate.close()
      this.server.tryShutdown(() => {
        disarm()
        resolve()
      })
    })
  }

  /** Who calls, as the gate knows it: no call of another gets here. */
  private accountOf(call: object): PartyAccount {
    const { account } = this.gate.gateOf(call)
    assert(account !== undefined, 'the methods of a party have an account')
    return account
  }

  private readonly submit: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const account = this.accountOf(call)
    submitOne(this.ports.intake, account, call.request, callback, this.writer)
  }

  private readonly submitBatch: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const account = this.accountOf(call)
    new BatchCall((response, refusal) =>
      refusal
        ? callback(grpcRefusal(refusal, undefined, tooMany(refusal)))
        : callback(null, response),
    ).submit(this.ports.intake, account, call.request)
  }

  private readonly cancel: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const account = this.accountOf(call)
    this.ports.intake.cancel(
      account,
      call.request,
      new SingleCall(this.writer, callback, (code) => requestIdViolations(code, call.request)),
      0,
    )
  }

  private resolveQuarantined(action: QuarantineAction): handleUnaryCall<Buffer, Buffer> {
    return (call, callback) => {
      const violations = (code: ErrorCode): Violation[] => requestIdViolations(code, call.request)
      const sink = new SingleCall(this.writer, callback, violations)
      const account = this.accountOf(call)
      this.ports.intake.resolveQuarantined(action, account, call.request, sink, 0)
    }
  }

  private readonly getRequestStatus: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const account = this.accountOf(call)
    this.ports.intake.queryStatus(
      account,
      call.request,
      new StatusCall(this.writer, callback, call.request),
      0,
    )
  }

  private readonly getResponse: handleUnaryCall<Buffer, Buffer> = async (call, callback) => {
    const account = this.accountOf(call)
    const result = await this.ports.responses.get(
      account,
      call.request,
      (stop) => void call.once('cancelled', stop),
    )
    if ('code' in result) {
      const violations = requestIdViolations(result.code, call.request)
      callback(grpcRefusal(result.code, result.detail, violations))
    } else if (this.gate.gateOf(call).hold(result.message.length)) callback(null, result.message)
    else callback(grpcRefusal('BROKER_GATEWAY_BUSY', 'too many octets of responses are unread'))
  }

  private readonly submitStream: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    const gate = this.gate.gateOf(call)
    const stream = new SubmitStream(call, this.accountOf(call), gate, this.ports.intake, () =>
      this.streams.delete(stream),
    )
    this.streams.add(stream)
    stream.start()
  }

  private readonly receive: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    const { deliveries, intake, clock, log } = this.ports
    const account = this.accountOf(call)
    const ports = { deliveries, turn: intake.turn, clock, log }
    const end = (code: ErrorCode): void => receiver.end(code)
    const receiver = new Receiver(call, account.party, ports, () => {
      this.receivers.delete(receiver)
      account.lasting.delete(end)
    })
    account.lasting.add(end)
    const gate = this.gate.gateOf(call)
    gate.onRefused(end)
    call.on('data', () => gate.taken())
    this.receivers.add(receiver)
    receiver.start()
  }
}
